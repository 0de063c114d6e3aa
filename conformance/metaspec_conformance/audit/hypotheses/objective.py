"""Gradients and Hessians of a problem's loss at any point, as flat vectors: what every hypothesis is computed from."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from metaspec.backend.arrays import asarray, computing
from metaspec.backend.protocol import Backend
from metaspec.task import Task, Tree
from metaspec_conformance.audit.hypotheses.loss_derivatives import Derivatives, places
from metaspec_conformance.audit.problem import REFERENCE
from metaspec_conformance.oracles.extended_precision import EXACT, Rounding

DENSE = 64  # parameters; beyond it products are computed one by one, and a matrix only where a system is solved
AT_ONCE = 16  # points whose derivatives are computed in one call: one trace serves any number of them
TRUSTED = {"float64": 1e-4, "float32": 0.05}  # between a framework's product and a difference quotient of gradients

Vector = Any
Matrix = Any


class Objective:
    """The loss of one problem on the support and query sets of its tasks, and on both joined.

    Args:
        B: The backend that computes.
        loss: `loss(params, batch)`.
        params: A tree; its leaves, in the backend's order, are the entries of all vectors here.
        tasks: The tasks, as trees of arrays of any framework.
        dtype: The format that is computed in.
        rounding: Errors to be made, for amplifications; operations within the loss are perturbed on NumPy alone.
        derivatives: Of this loss; by default they are traced anew.
    """

    def __init__(
        self,
        B: Backend,
        loss: Callable[[Tree, Tree], Any],
        params: Tree,
        tasks: Sequence[Task],
        dtype: str,
        rounding: Rounding = EXACT,
        derivatives: Derivatives | None = None,
    ) -> None:
        self.B, self.dtype, self.rounding = B, dtype, rounding
        leaves, self._structure = B.tree_flatten(params)
        self.names = tuple(_readable(path) for path in B.tree_paths(params))
        self.shapes = tuple(tuple(int(n) for n in leaf.shape) for leaf in leaves)
        self.size = sum(int(np.prod(shape)) for shape in self.shapes)
        self._start = np.concatenate([np.reshape(np.array(B.to_numpy(B.asarray(x))), -1) for x in leaves])
        self._tasks = [asarray(task, dtype=dtype, backend=B) for task in tasks]
        self.slices = places(self.shapes)
        self.derivatives = derivatives or Derivatives(B, loss, self._structure, self.shapes, rounding)
        self._known: dict[tuple[str, int, str, bytes], Any] = {}
        self._batches: dict[tuple[int, str], Any] = {}

    @property
    def count(self) -> int:
        """How many tasks there are."""
        return len(self._tasks)

    def gradient(self, task: int, part: str, theta: Vector) -> Vector:
        """The gradient at theta of the loss on "support", "query" or "both"; of a matrix at each of its rows."""
        if theta.ndim > 1:
            return self._at_rows("g", task, part, theta)
        return self._cached("g", self.derivatives.gradient, task, part, theta)

    def hessian(self, task: int, part: str, theta: Vector) -> Matrix:
        """The Hessian there."""
        if theta.ndim > 1:
            return self._at_rows("H", task, part, theta)
        if self.B.name != REFERENCE and not self.twice_differentiable:
            columns = [self._difference(task, part, theta, v) for v in np.eye(self.size)]
            return (np.stack(columns) + np.stack(columns, axis=1)) / 2
        return self._cached("H", self.derivatives.hessian, task, part, theta)

    def product(self, task: int, part: str, theta: Vector, v: Vector) -> Vector:
        """The Hessian there times v."""
        if self.size <= DENSE and self.rounding.factors is None:
            return (self.hessian(task, part, theta) @ v[..., None])[..., 0]
        if self.B.name != REFERENCE and not self.twice_differentiable:
            return self._difference(task, part, theta, v)
        return self._framework_product(task, part, theta, v)

    def examples(self, task: int, part: str) -> int:
        """Return the number of examples, the length of axis 0; 1 for a batch of a single number."""
        if part == "both":
            return self.examples(task, "support") + self.examples(task, "query")
        shape = self.B.tree_flatten(self._batch(task, part))[0][0].shape
        return int(shape[0]) if len(shape) else 1

    def entries(self, task: int) -> tuple[int, ...]:
        """How many numbers an example may have: the products of the leaves' other axes, without 1."""
        leaves = self.B.tree_flatten(self._tasks[task].support)[0]
        return tuple(sorted({int(np.prod([int(n) for n in leaf.shape[1:]])) for leaf in leaves} - {1}))

    @cached_property
    def divides(self) -> bool:
        """Whether the loss takes some of a set's examples."""
        try:
            for count in (1, 2):  # one alone may be broadcast
                self.gradient(0, f"support 0 {min(count, self.examples(0, 'support'))}", self._start)
        except Exception:  # as for `joins`
            return False
        return True

    @cached_property
    def joins(self) -> bool:
        """Whether support and query can be joined along axis 0, and the loss takes what comes of it."""
        try:
            self.gradient(0, "both", self._start)
        except Exception:  # a user's loss may raise anything on a batch that is none of its own
            return False
        return True

    @cached_property
    def twice_differentiable(self) -> bool:
        """Whether the framework's second derivatives of the loss are those of its gradients, by a difference quotient.

        Scripted code, say, may have second derivatives of zero. Where they are wrong, difference quotients are used.
        """
        v = np.random.default_rng(0).normal(size=self.size)
        expected = self._difference(0, "support", self._start, v)
        off = float(np.linalg.norm(self._framework_product(0, "support", self._start, v) - expected))
        return off <= TRUSTED.get(self.dtype, TRUSTED["float32"]) * float(np.linalg.norm(expected)) + 1e-9

    def tree(self, v: Vector) -> Tree:
        """The vector's leaves as NumPy arrays, by name."""
        return {n: np.reshape(v[s], shape) for n, s, shape in zip(self.names, self.slices, self.shapes, strict=True)}

    def _framework_product(self, task: int, part: str, theta: Vector, v: Vector) -> Vector:
        point, rounded = self._in(self.rounding(theta)), self._in(self.rounding(v))
        with computing(self.B, point):
            return self.rounding(self._out(self.derivatives.product(point, self._batch(task, part), rounded)))

    def _at_rows(self, kind: str, task: int, part: str, points: Vector) -> Any:
        """The gradients ("g") or Hessians ("H") at each row of a matrix."""
        if self.B.name != REFERENCE or self.rounding.factors is not None or self.size > DENSE:
            one = self.gradient if kind == "g" else self.hessian
            return np.stack([one(task, part, point) for point in points])
        found = []
        for i in range(0, len(points), AT_ONCE):
            rows = self._in(np.resize(points[i : i + AT_ONCE], (AT_ONCE, self.size)))
            with computing(self.B, rows):
                found.append(self._out(self.derivatives.rows[kind](rows, self._batch(task, part))))
        return np.concatenate(found)[: len(points)]

    def _difference(self, task: int, part: str, theta: Vector, v: Vector) -> Vector:
        """The Hessian times v by central differences of gradients, extrapolated twice: the error is of sixth order."""
        size = float(np.linalg.norm(v))
        if size == 0:
            return 0 * v
        width = (0.01 if self.dtype == "float64" else 0.1) / size

        def quotient(step: float) -> Vector:
            ahead, behind = (self.gradient(task, part, theta + s * step * v) for s in (1, -1))
            return (ahead - behind) / (2 * step)

        a, b, c = (quotient(width / 2**i) for i in range(3))
        b, a = (4 * c - b) / 3, (4 * b - a) / 3
        return (16 * b - a) / 15

    def _cached(self, kind: str, f: Any, task: int, part: str, theta: Vector) -> Any:
        key = (kind, task, part, theta.tobytes())
        if key not in self._known:
            point = self._in(self.rounding(theta))
            with computing(self.B, point):
                self._known[key] = self._out(f(point, self._batch(task, part)))
        return self._known[key] if self.rounding.factors is None else self.rounding(self._known.pop(key))

    def _batch(self, task: int, part: str) -> Tree:
        if (task, part) not in self._batches:
            name, *bounds = part.split()
            if bounds:
                self._batches[task, part] = self._rows_of(task, name, *map(int, bounds))
                return self._batches[task, part]
            support, query = self._tasks[task]
            batch = support if part == "support" else query
            if part == "both":
                pairs = zip(self.B.tree_flatten(support)[0], self.B.tree_flatten(query)[0], strict=True)
                with computing(self.B, support):
                    joined = [self.B.xp.concat(list(pair)) for pair in pairs]
                batch = self.B.tree_unflatten(self.B.tree_flatten(support)[1], joined)
            self._batches[task, part] = batch
        return self._batches[task, part]

    def _rows_of(self, task: int, name: str, first: int, last: int) -> Tree:
        """Some of a set's examples, counted around its end."""
        batch = self._batch(task, name)
        places = np.arange(first, last) % self.examples(task, name)
        with computing(self.B, batch):
            indices = self.B.asarray(places)
            leaves, structure = self.B.tree_flatten(batch)
            return self.B.tree_unflatten(structure, [self.B.xp.take(leaf, indices, axis=0) for leaf in leaves])

    def _in(self, v: Vector) -> Any:
        return self.B.asarray(v, dtype=self.dtype)

    def _out(self, x: Any) -> Any:
        return np.array(self.B.to_numpy(x))


def _readable(path: str) -> str:
    """root['layer']['w'] -> layer.w."""
    return path.removeprefix("root").replace("['", ".").replace("']", "").removeprefix(".")
