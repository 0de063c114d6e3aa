"""Targets for whole runs: what is sound, what ends a worker, and a fault that shows in most drawn scenarios."""

import os
import time
from typing import Any

import metaspec as ms
from metaspec.backend.protocol import Backend
from metaspec.trees import tree_map
from metaspec_numpy.adapter import NumpyBackend
from tests.conformance.seeded_faults.fault import Patch


def sound(patch: Patch) -> Backend:
    """Nothing is wrong."""
    return NumpyBackend()


def crash(patch: Patch) -> Backend:
    """The process ends."""
    patch(ms.Reptile, "meta_gradient", lambda *args: os._exit(3))
    return NumpyBackend()


def hang(patch: Patch) -> Backend:
    """The process never answers."""
    patch(ms.Reptile, "meta_gradient", lambda *args: time.sleep(600))
    return NumpyBackend()


def ending(patch: Patch) -> Backend:
    """The process ends in the first computation."""

    class Ending(NumpyBackend):
        def value_and_grad(self, f: Any, has_aux: bool = False) -> Any:
            os._exit(3)

    return Ending()


def without_products(patch: Patch) -> Backend:
    """Products with the Hessian are zero."""

    class WithoutProducts(NumpyBackend):
        def linearize_grad(self, f: Any) -> Any:
            gradient = self.grad(f)
            return lambda x, *args: (gradient(x, *args), lambda v: tree_map(self, lambda leaf: 0 * leaf, v))

    return WithoutProducts()
