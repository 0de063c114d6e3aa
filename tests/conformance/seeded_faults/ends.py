"""What ends a worker, and what is sound: no faults of numbers, but ways in which a target can behave."""

import os
import time

import metaspec as ms
from metaspec.backends.numpy.adapter import NumpyBackend
from metaspec.protocol import Backend

from .fault import Patch


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
