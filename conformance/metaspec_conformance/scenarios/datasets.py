"""The data that scenarios are made of: plain NumPy from fixed seeds, with curvature bounded by construction.

Every number is a float32 number held as float64.
"""

from itertools import pairwise
from typing import Any

import numpy as np

from metaspec.backend.selection import backend_context
from metaspec.task import Task
from metaspec_conformance.judging.numpy_trees import cast, leaves, ravel, tree_map, unravel
from metaspec_conformance.scenarios.portable_losses import Loss, loss_of

Tree = Any


def rounded(tree: Tree) -> Tree:
    """Floating leaves rounded to float32 numbers."""
    return cast(cast(tree, np.float32), np.float64)


def parameters(seed: int, shapes: Tree, scale: float = 1.0) -> Tree:
    """Normal parameters; `shapes` is a tree of arrays whose shapes count."""
    rng = np.random.default_rng(seed)
    return rounded(tree_map(lambda leaf: scale * rng.normal(size=leaf.shape), shapes))


def shaped(*shape: int) -> Any:
    """A leaf of a tree of shapes."""
    return np.zeros(shape)


def least_squares(seed: int, like: Tree, support: int = 16, query: int = 12) -> Task:
    """Least squares over all leaves; the Hessians of support and query have eigenvalues in [0.1, 1] or 0."""
    rng = np.random.default_rng(seed)

    def batch(n: int) -> Tree:
        d = sum(leaf.size for leaf in leaves(like))
        U, _, V = np.linalg.svd(rng.normal(size=(n, d)), full_matrices=False)
        X = U * np.sqrt(n * np.geomspace(1, 0.1, len(V))) @ V
        rows = [unravel(row, like) for row in X]
        return rounded({"x": tree_map(lambda *parts: np.stack(parts), *rows), "y": rng.normal(size=n)})

    return Task(batch(support), batch(query))


def multiple_of_identity(seed: int, like: Tree, curvature: float) -> Task:
    """Quadratics with Hessians c I (support) and c I / 2 (query)."""
    rng = np.random.default_rng(seed)
    n = sum(leaf.size for leaf in leaves(like))
    parts = [{"H": c * np.eye(n), "c": rng.normal(size=n)} for c in (curvature, curvature / 2)]
    return Task(*rounded(parts))


def linear(seed: int, like: Tree, support: int = 4, query: int = 3) -> Task:
    """Coefficients of linear losses, examples on axis 0."""
    rng = np.random.default_rng(seed)

    def batch(n: int) -> Tree:
        return rounded(tree_map(lambda leaf: rng.normal(size=(n, *leaf.shape)), like))

    return Task(batch(support), batch(query))


def network(seed: int, widths: tuple[int, ...]) -> Tree:
    """Parameters of a tanh network."""
    rng = np.random.default_rng(seed)
    pairs = pairwise(widths)
    return rounded(
        {"layers": [{"w": rng.normal(size=(a, b)) / np.sqrt(a), "b": 0.3 * rng.normal(size=b)} for a, b in pairs]}
    )


def regression(seed: int, inputs: int, outputs: int, support: int = 8, query: int = 6) -> Task:
    """A smooth function with noise."""
    rng = np.random.default_rng(seed)
    slope = rng.normal(size=(inputs, outputs))

    def batch(n: int) -> Tree:
        x = rng.uniform(-2, 2, size=(n, inputs))
        return rounded({"x": x, "y": 2 * np.sin(x @ slope) + 0.1 * rng.normal(size=(n, outputs))})

    return Task(batch(support), batch(query))


def classification(seed: int, inputs: int, classes: int, support: int = 8, query: int = 6) -> Task:
    """Random points with random integer labels."""
    rng = np.random.default_rng(seed)

    def batch(n: int) -> Tree:
        labels = rng.permutation(np.arange(n) % classes).astype(np.int32)
        return rounded({"x": rng.normal(size=(n, inputs)) + labels[:, None] / 2, "y": labels})

    return Task(batch(support), batch(query))


def pictures(seed: int, size: int, classes: int, support: int = 4, query: int = 6) -> Task:
    """Smooth random pictures [n, size, size, 1] with random integer labels."""
    rng = np.random.default_rng(seed)
    labels = classification(seed, 1, classes, support, query)

    def batch(n: int, y: Any) -> Tree:
        x = rng.normal(size=(n, size, size, 1)) + y[:, None, None, None] / 2
        return rounded({"x": x, "y": y})

    return Task(batch(support, labels.support["y"]), batch(query, labels.query["y"]))


def curvature(loss: str | Loss, params: Tree, tasks: tuple[Task, ...], steps: int = 15) -> float:
    """An upper estimate of the norm of the losses' Hessians near `params`, support and query alike.

    Twice what power iteration on differences of gradients finds; the path stays where this holds (tests look at it).
    """
    try:
        return 2 * max(_norm(loss, params, batch, steps) for task in tasks for batch in task if batch is not None)
    except Exception:
        return 1.0  # a tracer that raises is reported by the scenario's name when it runs, not while it is made


def _norm(loss: str | Loss, params: Tree, batch: Tree, steps: int) -> float:
    with backend_context("numpy") as B:
        gradient = B.grad(loss_of(loss))
        origin = ravel(params)
        v = np.random.default_rng(0).normal(size=origin.size)
        for _ in range(steps):
            v = v / np.linalg.norm(v)
            ahead, behind = (ravel(gradient(unravel(origin + s * 1e-4 * v, params), batch)) for s in (1, -1))
            v = (ahead - behind) / 2e-4
    return float(np.linalg.norm(v))


def rate(bound: float) -> float:
    """The largest power of two times 1, 1.25, 1.5 or 1.75 with rate * bound <= 1: a float32 number, robustly."""
    mantissa, exponent = np.frexp(1 / bound)
    return float(np.floor(mantissa * 8) / 8 * 2.0**exponent)
