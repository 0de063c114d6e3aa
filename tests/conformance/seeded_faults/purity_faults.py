"""Functions that alter what is not theirs, or do not give the same twice."""

import os
import random
import warnings
from contextlib import contextmanager
from typing import Any

import numpy

import metaspec as ms
from metaspec.algorithms.inner_loop import InnerLoop
from metaspec.trees import tree_map
from metaspec_conformance.workers import child
from metaspec_numpy.tracer import forward, reverse
from metaspec_numpy.tracer.core import Box
from tests.conformance.seeded_faults.algorithm_faults import ALGORITHMS
from tests.conformance.seeded_faults.derivative_faults import concrete, gradients
from tests.conformance.seeded_faults.fault import Patch, fault, member, method

purity = "purity"


def _precision(patch: Patch, leaves_behind: Any) -> None:
    """A `precision` that leaves something behind, `leaves_behind(dtype)`."""

    @contextmanager
    def precision(original: Any, self: Any, dtype: str) -> Any:
        with original(self, dtype):
            leaves_behind(dtype)
            yield

    member(patch, "precision", precision)


@fault(purity, 11)
def parameters_altered(patch: Patch) -> None:
    """A step writes into the parameters that it was given."""

    def update(original: Any, self: Any, B: Any, theta: Any, *rest: Any) -> Any:
        for leaf in B.tree_flatten(theta)[0]:
            if isinstance(leaf, numpy.ndarray) and leaf.size and leaf.flags.writeable:
                leaf[...] = leaf * 1.0009765625
        return original(self, B, theta, *rest)

    method(patch, ms.GradientDescent, "update", update)


@fault(purity, 11)
def parameters_moved_to_the_adapted(patch: Patch) -> None:
    """`adapt` leaves theta_K in the arrays of phi; what it returns is right."""

    def end(original: Any, self: Any) -> Any:
        B = self.B
        theta, state = original(self)
        theta = tree_map(B, lambda leaf: leaf + 0, theta)
        if concrete(B, (self.params, theta)):
            for old, new in zip(B.tree_flatten(self.params)[0], B.tree_flatten(theta)[0], strict=True):
                if isinstance(old, numpy.ndarray) and old.flags.writeable:
                    old[...] = new
        return theta, state

    method(patch, InnerLoop, "end", end)


@fault(purity, 12)
def batch_altered(patch: Patch) -> None:
    """Statistics that are kept in the data move with every gradient."""

    def value_and_grad(original: Any, self: Any, f: Any, has_aux: bool = False) -> Any:
        def wrapped(x: Any, *args: Any) -> Any:
            returned = original(self, f, has_aux)(x, *args)
            for leaf in self.tree_flatten(args)[0]:
                if isinstance(leaf, numpy.ndarray) and leaf.dtype.kind == "f" and leaf.flags.writeable:
                    leaf *= 1.0009765625
            return returned

        return wrapped

    member(patch, "value_and_grad", value_and_grad)


@fault(purity)
def losses_may_write(patch: Patch) -> None:
    """A loss is given arrays that it can write into."""
    member(patch, "read_only_view", lambda original, self, tree: tree)


@fault(purity)
def one_bit_differs(patch: Patch) -> None:
    """Every other gradient is off in its last bit."""
    calls = [0]

    def off(B: Any, x: Any, gradient: Any) -> Any:
        calls[0] += 1
        factor = 1.0 + (calls[0] % 2) * 2.0**-52
        return tree_map(B, lambda g: g * factor, gradient)

    gradients(patch, off)


@fault(purity)
def error_state_left(patch: Patch) -> None:
    """`precision` leaves NumPy's treatment of floating-point errors as it set it for the format."""
    _precision(patch, lambda dtype: numpy.seterr(under="warn" if dtype == "float64" else "ignore"))


@fault(purity, 23)
def random_state_set(patch: Patch) -> None:
    """A gradient seeds NumPy's global generator."""

    def seeded(B: Any, x: Any, gradient: Any) -> Any:
        numpy.random.seed(0)
        return gradient

    gradients(patch, seeded)


@fault(purity)
def python_random_state_set(patch: Patch) -> None:
    """A gradient draws from Python's global generator."""

    def drawn(B: Any, x: Any, gradient: Any) -> Any:
        random.random()
        return gradient

    gradients(patch, drawn)


@fault(purity)
def environment_changed(patch: Patch) -> None:
    """`precision` sets an environment variable."""
    _precision(patch, lambda dtype: os.environ.__setitem__("METASPEC_SEEDED", dtype))


@fault(purity)
def warnings_silenced(patch: Patch) -> None:
    """A gradient adds a filter that silences warnings."""

    def silenced(B: Any, x: Any, gradient: Any) -> Any:
        warnings.simplefilter("ignore", category=ResourceWarning)
        return gradient

    gradients(patch, silenced)


@fault(purity, 21)
def setting_left(patch: Patch) -> None:
    """`precision` switches a setting of the framework, and does not switch it back."""
    state = {"wide": False}
    _precision(patch, lambda dtype: state.__setitem__("wide", dtype == "float64"))

    member(patch, "settings", lambda original, self: {**original(self), "wide": state["wide"]})


@fault(purity, 21)
def setting_left_after_an_error(patch: Patch) -> None:
    """`precision` switches a setting back, unless an error passes through."""
    state = {"wide": False}

    @contextmanager
    def precision(original: Any, self: Any, dtype: str) -> Any:
        before, state["wide"] = state["wide"], dtype == "float64"
        with original(self, dtype):
            yield
        state["wide"] = before

    member(patch, "precision", precision)
    member(patch, "settings", lambda original, self: {**original(self), "wide": state["wide"]})


@fault(purity, worker=True)
def bits_of_the_process(patch: Patch) -> None:
    """The last bit of a gradient depends on whether the process is a worker."""
    factor = 1.0 + (child._connection is not None) * 2.0**-52
    gradients(patch, lambda B, x, gradient: tree_map(B, lambda g: g * factor, gradient))


@fault(purity, 11)
def results_share_memory(patch: Patch) -> None:
    """Every result of one shape is given in the same arrays."""
    kept: dict[Any, Any] = {}

    def meta_gradient(original: Any, self: Any, B: Any, *rest: Any) -> Any:
        r = original(self, B, *rest)
        if not concrete(B, r.delta):
            return r
        leaves, structure = B.tree_flatten(r.delta)
        for i, leaf in enumerate(leaves):
            buffer = kept.setdefault((i, leaf.shape, leaf.dtype.name), numpy.empty_like(leaf))
            buffer[...] = leaf
            leaves[i] = buffer
        return r._replace(delta=B.tree_unflatten(structure, leaves))

    for kind in ALGORITHMS:
        method(patch, kind, "meta_gradient", meta_gradient)


@fault(purity)
def operators_in_place_bind_anew(patch: Patch) -> None:
    """`h += 1` in a loss gives its name another array, and leaves the array's other names as they were."""
    for name in ("add", "sub", "mul", "truediv"):
        patch(Box, f"__i{name}__", getattr(Box, f"__{name}__"))


@fault(purity)
def imaginary_parts_dropped(patch: Patch) -> None:
    """The derivative of a loss with complex numbers in it is cast to a real one."""
    for kind in (reverse, forward):
        patch(kind, "refuse_complex", lambda primitive, out: None)


@fault(purity)
def one_seed_for_all_tasks(patch: Patch) -> None:
    """Integers that a batch has one of for each task are taken from the first."""
    from metaspec.api import meta_gradients

    original = meta_gradients.over_tasks

    def over_tasks(B: Any, f: Any, params: Any, tasks: Any, *rest: Any) -> Any:
        def shared(x: Any) -> Any:
            return B.xp.broadcast_to(x[:1], x.shape) if x.ndim == 1 and "int" in B.dtype_name(x) else x

        return original(B, f, params, tree_map(B, shared, tasks), *rest)

    patch(meta_gradients, "over_tasks", over_tasks)
