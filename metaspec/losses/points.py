"""A loss, its gradient and its Hessian-vector products at given points, as NumPy arrays, one for each leaf."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from metaspec.backend.arrays import computing
from metaspec.backend.protocol import Backend
from metaspec.task import Array, Loss, Tree

Vector = list[Any]
"""One NumPy array for each leaf, in float64 or wider."""

ROUNDOFF = {"float64": 2.0**-53, "longdouble": float(np.finfo(np.longdouble).eps) / 2, "float128": 2.0**-64}
NARROW = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}


class Sample(NamedTuple):
    """The loss's value and its gradient at one point."""

    value: float
    gradient: Vector


@dataclass(frozen=True)
class Evaluator:
    """The loss on one batch as a function of plain vectors.

    Attributes:
        B: The backend.
        loss: As the algorithms have it, (params, batch) -> (value, aux).
        params: The tree that gives structure, formats and devices.
        batch: The batch.
        eager: Nothing is compiled; else as `Tuning.eager_compiles` says.
    """

    B: Backend
    loss: Loss
    params: Tree
    batch: Tree
    eager: bool = False

    @property
    def roundoff(self) -> float:
        """The unit roundoff of the narrowest leaf."""
        names = [self.B.dtype_name(leaf) for leaf in self.B.tree_flatten(self.params)[0]]
        return max(ROUNDOFF.get(name) or NARROW.get(name, 1.0) for name in names)

    def ready(self, f: Callable[..., Tree]) -> Callable[..., Tree]:
        """Return f, compiled where the backend compiles every operation by itself otherwise."""
        return self.B.compile(f) if self.B.tuning.eager_compiles and not self.eager else f

    @cached_property
    def value_of(self) -> Callable[[Tree, Tree], Array]:
        """(params, batch) -> the loss."""
        return self.ready(lambda params, batch: self.loss(params, batch)[0])

    @cached_property
    def value_and_gradient(self) -> Callable[[Tree, Tree], tuple[Array, Tree]]:
        """`value_and_gradient_of`, ready to be called often."""
        return self.ready(self.value_and_gradient_of)

    def value_and_gradient_of(self, params: Tree, batch: Tree) -> tuple[Array, Tree]:
        """(params, batch) -> the loss and its gradient."""
        (value, _), gradient = self.B.value_and_grad(self.loss, has_aux=True)(params, batch)
        return value, gradient

    def gradient_and_product(self, params: Tree, batch: Tree, v: Tree) -> tuple[Tree, Tree]:
        """(params, batch, v) -> the gradient and H v, as MAML and iMAML compute them."""
        gradient, hvp = self.B.linearize_grad(lambda params, batch: self.loss(params, batch)[0])(params, batch)
        return gradient, hvp(v)

    def vector(self, tree: Tree) -> Vector:
        """Return the leaves on the host."""
        return [on_host(self.B, leaf) for leaf in self.B.tree_flatten(tree)[0]]

    def tree(self, x: Vector) -> Tree:
        """Return the tree whose leaves have these entries, in their formats and on their devices."""
        leaves, structure = self.B.tree_flatten(self.params)
        made = [
            self.B.asarray(np.asarray(entries), dtype=self.B.dtype_name(leaf), device=getattr(leaf, "device", None))
            for entries, leaf in zip(x, leaves, strict=True)
        ]
        return self.B.tree_unflatten(structure, made)

    def value(self, x: Vector) -> float:
        """Return the loss at x."""
        with computing(self.B, self.params):
            return float(on_host(self.B, self.value_of(self.tree(x), self.batch)))

    def sample(self, x: Vector) -> Sample:
        """Return the loss and its gradient at x."""
        with computing(self.B, self.params):
            value, gradient = self.value_and_gradient(self.tree(x), self.batch)
            return Sample(float(on_host(self.B, value)), self.vector(gradient))

    def product(self, x: Vector, v: Vector) -> tuple[Vector, Vector]:
        """Return the gradient and the product H v at x."""
        with computing(self.B, self.params):
            gradient, product = self.ready(self.gradient_and_product)(self.tree(x), self.batch, self.tree(v))
            return self.vector(gradient), self.vector(product)

    def in_float64(self) -> "Evaluator":
        """Return the same loss on the same numbers, computed in float64."""

        def wide(leaf: Any) -> Any:
            narrow = self.B.is_array(leaf) and self.B.dtype_name(leaf) in NARROW
            return self.B.asarray(leaf, dtype="float64", device=getattr(leaf, "device", None)) if narrow else leaf

        trees = []
        with self.B.precision("float64"):
            for tree in (self.params, self.batch):
                leaves, structure = self.B.tree_flatten(tree)
                trees.append(self.B.tree_unflatten(structure, [wide(leaf) for leaf in leaves]))
        return Evaluator(self.B, self.loss, trees[0], trees[1], self.eager)


def on_host(B: Backend, x: Array) -> Any:
    """Return a NumPy array of float64, or of a wider format that x has."""
    if B.dtype_name(x) in ("bfloat16", "float16"):
        x = B.asarray(x, dtype="float32")  # NumPy has no bfloat16
    array = B.to_numpy(x)
    return array if array.dtype.itemsize > 8 else array.astype(np.float64)


def scales(x: Vector) -> list[float]:
    """Return each leaf's typical magnitude, its root mean square; of a leaf of zeros that of the others, else 1."""
    found = [float(np.sqrt(np.mean(np.square(leaf)))) if leaf.size else 0.0 for leaf in x]
    usual = [size for size in found if size > 0]
    return [size if size > 0 else float(np.median(usual)) if usual else 1.0 for size in found]


def direction(x: Vector, sizes: list[float], seed: int) -> Vector:
    """Return a random direction with entries of each leaf's typical magnitude; the same for the same seed."""
    draw = np.random.Generator(np.random.Philox(seed))
    return [size * draw.standard_normal(leaf.shape) for size, leaf in zip(sizes, x, strict=True)]


def moved(x: Vector, t: float, v: Vector) -> Vector:
    """Return x + t v."""
    return [a + t * b for a, b in zip(x, v, strict=True)]


def inner(x: Vector, y: Vector) -> float:
    """Return <x, y>."""
    return float(sum((np.sum(a * b) for a, b in zip(x, y, strict=True)), 0.0))


def sizes_of(x: Vector, sizes: list[float]) -> list[float]:
    """Return each leaf's norm in units in which the parameters have size 1: gradients and products can be compared."""
    return [_norm(size * leaf) for size, leaf in zip(sizes, x, strict=True)]


def total(norms: list[float]) -> float:
    """Return the norm of a whole whose parts have these norms."""
    return _norm(np.asarray(norms, dtype=np.float64))


def finite(x: Vector) -> bool:
    """Return whether no entry is NaN or infinite."""
    return all(bool(np.all(np.isfinite(leaf))) for leaf in x)


def _norm(x: Any) -> float:
    largest = float(np.max(np.abs(x), initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return largest
    return float(largest * np.sqrt(np.sum(np.square(x / largest))))
