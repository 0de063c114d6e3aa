"""Formats, trees and transformations of an adapter broken on purpose."""

from typing import Any

import numpy
import optree

from metaspec.backend.protocol import NAMESPACE
from metaspec.trees import tree_map
from metaspec_numpy.adapter import NumpyBackend
from metaspec_numpy.tracer import PRIMITIVES
from tests.conformance.seeded_faults.derivative_faults import adapter, concrete, gradients, products
from tests.conformance.seeded_faults.fault import Patch, fault, member


def _narrow(B: Any, tree: Any) -> Any:
    """Rounded to float32, in the format that it had."""
    return tree_map(B, lambda leaf: B.xp.astype(B.xp.astype(leaf, "float32"), leaf.dtype), tree)


@fault(adapter, 21)
def float32_for_float64(patch: Patch) -> None:
    """`asarray` gives float32 where float64 was asked for."""

    member(
        patch,
        "asarray",
        (
            lambda original, self, x, dtype=None, device=None: original(
                self, x, "float32" if dtype == "float64" else dtype, device
            )
        ),
    )


@fault(adapter, 21)
def float32_hidden_in_float64(patch: Patch) -> None:
    """Gradients have the right format and the digits of the wrong one."""
    gradients(patch, lambda B, x, gradient: _narrow(B, gradient))


@fault(adapter, 21)
def float32_hidden_in_products(patch: Patch) -> None:
    """Hessian-vector products alone have float32's digits."""
    products(patch, lambda B, f, x, args, product: lambda v: _narrow(B, product(v)))


@fault(adapter, dtype="float32")
def matrix_products_in_ten_bits(patch: Patch) -> None:
    """float32 matrix products with ten bits of mantissa, as fast hardware does if it is let."""
    primitive = PRIMITIVES["matmul"]
    original = primitive.impl

    def short(x: Any) -> Any:
        if getattr(x, "dtype", None) != numpy.float32:
            return x
        mantissa, exponent = numpy.frexp(x)
        return numpy.ldexp(numpy.round(mantissa * 2048) / 2048, exponent).astype(numpy.float32)

    patch(primitive, "impl", lambda xp, a, b: original(xp, short(a), short(b)))


@fault(adapter)
def unknown_format_replaced(patch: Patch) -> None:
    """`asarray` gives float64 for a format that it does not have."""

    member(
        patch,
        "asarray",
        (
            lambda original, self, x, dtype=None, device=None: original(
                self, x, dtype if dtype is None or hasattr(numpy, dtype) else "float64", device
            )
        ),
    )


@fault(adapter)
def to_numpy_rounds(patch: Patch) -> None:
    """`to_numpy` gives float32's digits."""

    def to_numpy(original: Any, self: Any, x: Any) -> Any:
        plain = original(self, x)
        return plain.astype(numpy.float32).astype(plain.dtype) if plain.dtype == numpy.float64 else plain

    member(patch, "to_numpy", to_numpy)


@fault(adapter, dtype="float32")
def to_numpy_widens(patch: Patch) -> None:
    """`to_numpy` gives float64 whatever the array's format."""

    def to_numpy(original: Any, self: Any, x: Any) -> Any:
        plain = original(self, x)
        return plain.astype(numpy.float64) if plain.dtype.kind == "f" else plain

    member(patch, "to_numpy", to_numpy)


@fault(adapter, 18)
def keys_in_order_of_insertion(patch: Patch) -> None:
    """Dictionaries are flattened in the order of insertion: leaves of two trees of equal keys do not meet."""

    def tree_flatten(original: Any, self: Any, tree: Any) -> Any:
        with optree.dict_insertion_ordered(True, namespace=NAMESPACE):
            return original(self, tree)

    member(patch, "tree_flatten", tree_flatten)


@fault(adapter)
def none_is_a_leaf(patch: Patch) -> None:
    """None is a leaf."""

    def tree_flatten(self: Any, tree: Any) -> Any:
        leaves, structure = optree.tree_flatten(tree, none_is_leaf=True, namespace=NAMESPACE)
        return leaves, structure

    patch(NumpyBackend, "tree_flatten", tree_flatten)


@fault(adapter, 15)
def vmap_mixes_tasks(patch: Patch) -> None:
    """The first leaf of a batch is that of the next task."""

    def vmap(original: Any, self: Any, f: Any) -> Any:
        def mapped(*args: Any) -> Any:
            leaves, structure = self.tree_flatten(args)
            leaves[0] = self.xp.concat([leaves[0][1:, ...], leaves[0][:1, ...]], axis=0)
            return original(self, f)(*self.tree_unflatten(structure, leaves))

        return mapped

    member(patch, "vmap", vmap)


@fault(adapter)
def vmap_in_reverse(patch: Patch) -> None:
    """The rows of what is mapped come out in reverse."""

    member(
        patch,
        "vmap",
        (
            lambda original, self, f: (
                lambda *args: tree_map(self, lambda leaf: leaf[::-1, ...], original(self, f)(*args))
            )
        ),
    )


@fault(adapter)
def scan_one_short(patch: Patch) -> None:
    """`scan` leaves the last step out."""

    def scan(
        original: Any, self: Any, f: Any, carry: Any, xs: Any = None, length: int | None = None, **named: Any
    ) -> Any:
        leaves = self.tree_flatten(xs)[0]
        if not leaves:
            return original(self, f, carry, xs, max(0, (length or 0) - 1), **named)
        return original(self, f, carry, tree_map(self, lambda leaf: leaf[:-1, ...], xs), length, **named)

    member(patch, "scan", scan)


@fault(adapter)
def scan_backwards(patch: Patch) -> None:
    """`scan` goes through its inputs from the last to the first."""

    def scan(
        original: Any, self: Any, f: Any, carry: Any, xs: Any = None, length: int | None = None, **named: Any
    ) -> Any:
        return original(self, f, carry, tree_map(self, lambda leaf: leaf[::-1, ...], xs), length, **named)

    member(patch, "scan", scan)


@fault(adapter)
def scan_reverses_its_outputs(patch: Patch) -> None:
    """With `reverse`, `scan` stacks its outputs in the order in which they came, not at their places."""

    def scan(original: Any, self: Any, *arguments: Any, reverse: bool = False, **named: Any) -> Any:
        carry, ys = original(self, *arguments, reverse=reverse, **named)
        return carry, tree_map(self, lambda leaf: leaf[::-1, ...], ys) if reverse else ys

    member(patch, "scan", scan)


@fault(adapter)
def checkpoint_blocks_the_gradient(patch: Patch) -> None:
    """Nothing is differentiated through `checkpoint`."""
    member(patch, "checkpoint", lambda original, self, f: lambda *args: self.stop_gradient(f(*args)))


@fault(adapter)
def compile_bakes_in_the_values(patch: Patch) -> None:
    """A compiled function gives its first result for ever, for arguments of equal shapes."""
    _remembered(patch, lambda leaf: (leaf.shape, leaf.dtype.name))


@fault(adapter)
def compile_keeps_the_trace_of_other_shapes(patch: Patch) -> None:
    """A compiled function does not look at shapes: the trace of the first call answers all."""
    _remembered(patch, lambda leaf: None, again=lambda B, leaf: leaf)


@fault(adapter)
def compile_bakes_in_numbers(patch: Patch) -> None:
    """A leaf that is a Python number keeps the value that it had at the first call."""

    def compile_(original: Any, self: Any, f: Any) -> Any:
        first: dict[Any, Any] = {}
        compiled = original(self, f)

        def call(*args: Any) -> Any:
            leaves, structure = self.tree_flatten(args)
            key = structure, *(getattr(leaf, "shape", None) for leaf in leaves)
            kept = first.setdefault(key, leaves)
            mixed = [leaf if self.is_array(leaf) else k for leaf, k in zip(leaves, kept, strict=True)]
            return compiled(*self.tree_unflatten(structure, mixed))

        return call

    member(patch, "compile", compile_)


@fault(adapter, 21)
def compile_narrows(patch: Patch) -> None:
    """What is compiled has float32's digits."""

    def compile_(original: Any, self: Any, f: Any) -> Any:
        return original(self, lambda *args: tree_map(self, lambda leaf: _rounded(self, leaf), f(*args)))

    member(patch, "compile", compile_)


def _rounded(B: Any, leaf: Any) -> Any:
    floating = B.is_array(leaf) and B.dtype_name(leaf) == "float64"
    return B.xp.astype(B.xp.astype(leaf, "float32"), leaf.dtype) if floating else leaf


def _remembered(patch: Patch, signature: Any, again: Any = None) -> None:
    def compile_(original: Any, self: Any, f: Any) -> Any:
        compiled, results = original(self, f), {}

        def call(*args: Any) -> Any:
            leaves, structure = self.tree_flatten(args)
            if not concrete(self, args):
                return compiled(*args)
            key = structure, *(signature(leaf) for leaf in leaves)
            shapes = [leaf.shape for leaf in leaves]
            if key not in results or (again is not None and results[key][0] == shapes):
                results[key] = shapes, compiled(*args)
            return results[key][1]

        return call

    member(patch, "compile", compile_)


@fault(adapter)
def one_solver_for_all(patch: Patch) -> None:
    """`linear_solve` uses ten steps of conjugate gradients, whatever solver was asked for."""
    from metaspec.solvers.conjugate_gradient import ConjugateGradient

    member(
        patch,
        "linear_solve",
        (
            lambda original, self, matvec, b, solver, *rest, **named: original(
                self, matvec, b, ConjugateGradient(), *rest, **named
            )
        ),
    )
