"""One cell of the matrix: a function of `xp` in one form, on one shape, on one backend; right, refused or neither.

The loss of a support set is sum(w * f(phi + shift)), that of a query set v . phi. FO-MAML without inner steps gives the
former's gradient; MAML with one step of rate 1 gives v - H v. Truth is NumPy's own function, in longdouble where it has
one, and differences of fourth order.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import array_api_compat.numpy
import numpy as np

import metaspec as ms
from metaspec.backend.protocol import Backend
from metaspec_conformance.namespace_matrix.functions import ENTRIES, Entry

FORMS = ("eager", "batched", "compiled", "second order", "all three")
SHAPES: dict[str, tuple[int, ...]] = {"ordinary": (3, 3), "one": (1, 1), "empty": (0, 3), "scalar": ()}
TOLERANCE = 1e-6  # of differences in float64, which decomposed matrices need
STEP = 1e-3
SHIFTS = (0.0, 0.0625)

RIGHT, REFUSED, NOT_ASKED, WRONG, FOREIGN = "right", "refused", "not asked", "wrong", "foreign"


@dataclass(frozen=True)
class Cell:
    """What came of one cell.

    Attributes:
        state: RIGHT; REFUSED by a MetaspecError; NOT_ASKED where NumPy itself refuses; WRONG; FOREIGN, another error.
        words: Of an error, or how far the numbers are apart.
    """

    state: str
    words: str = ""

    @property
    def sound(self) -> bool:
        """Whether the cell keeps the promise: right, or refused by name."""
        return self.state in (RIGHT, REFUSED, NOT_ASKED)


def cell(B: Backend, name: str, form: str, shape: str) -> Cell:
    """Compute one cell in float64."""
    entry = ENTRIES[name]
    if len(SHAPES[shape]) < entry.axes:
        return Cell(NOT_ASKED)
    x = _point(entry, SHAPES[shape])
    try:
        with np.errstate(all="ignore"):
            truth = _truth(entry, x, form)
    except Exception:
        return Cell(NOT_ASKED)
    if not all(np.isfinite(np.asarray(part, float)).all() for part in truth):
        return Cell(NOT_ASKED)
    try:
        with B.precision("float64"):
            found = _found(B, entry, x, form)
    except ms.MetaspecError as error:
        return Cell(REFUSED, " ".join(str(error).split())[:200])
    except Exception as error:
        return Cell(FOREIGN, f"{type(error).__name__}: {' '.join(str(error).split())[:160]}")
    for what, a, b in zip(("value", "derivative"), found, truth, strict=True):
        apart = float(np.max(np.abs(a - b), initial=0.0))
        if np.shape(a) != np.shape(b) or not apart <= TOLERANCE * max(1.0, float(np.max(np.abs(b), initial=0.0))):
            return Cell(WRONG, f"{what}: apart by {apart:.1e}")
    return Cell(RIGHT)


def _point(entry: Entry, shape: tuple[int, ...]) -> Any:
    rng = np.random.default_rng(7)
    x = rng.uniform(entry.low, entry.high - SHIFTS[-1] - 4 * STEP, size=shape)
    return x + np.diag([3.0, 4.5, 6.0][: shape[-1]])[: shape[0]] if entry.square and len(shape) == 2 else x


def _weights(shape: tuple[int, ...]) -> Any:
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape)


def _truth(entry: Entry, x: Any, form: str) -> tuple[Any, Any]:
    xp, v = array_api_compat.numpy, _direction(x)

    def loss(z: Any, shift: float) -> Any:
        with np.errstate(all="ignore"):
            try:
                value = entry.f(xp, z.astype(np.longdouble) + shift)
            except TypeError:  # a decomposition, which NumPy has in float64 alone
                value = entry.f(xp, z.astype(np.float64) + shift)
        return np.sum(_weights(value.shape) * value)

    entry.f(xp, x)
    shifts = SHIFTS if form in ("batched", "all three") else SHIFTS[:1]
    gradients, products, values = [], [], []
    for shift in shifts:
        gradients.append(_gradient(partial(loss, shift=shift), x))
        values.append(loss(x, shift))
        if form in ("second order", "all three"):
            h = STEP
            g = [_gradient(partial(loss, shift=shift), x + t * h * v) for t in (-2, -1, 1, 2)]
            products.append((g[0] - 8 * g[1] + 8 * g[2] - g[3]) / (12 * h))
    if products:
        after = [np.sum(v * (x - g)) for g in gradients]
        return np.mean(after), v - np.mean(products, 0)
    return np.mean(values), np.mean(gradients, 0)


def _direction(x: Any) -> Any:
    return np.sin(1.0 + np.arange(x.size, dtype=float)).reshape(x.shape)


def _gradient(f: Callable[[Any], Any], x: Any) -> Any:
    out = np.zeros(x.shape, np.longdouble)
    for i in np.ndindex(x.shape):
        e = np.zeros(x.shape, np.longdouble)
        e[i] = STEP
        out[i] = (f(x - 2 * e) - 8 * f(x - e) + 8 * f(x + e) - f(x + 2 * e)) / (12 * STEP)
    return out


def _found(B: Backend, entry: Entry, x: Any, form: str) -> tuple[Any, Any]:
    second = form in ("second order", "all three")
    xp, v = B.xp, B.asarray(_direction(x))

    def loss(phi: Any, batch: Any) -> Any:
        if "v" in batch:
            return xp.sum(batch["v"] * phi)
        value = entry.f(xp, phi + batch["shift"])
        return xp.sum(B.asarray(_weights(tuple(value.shape))) * value)

    shifts = [{"shift": B.asarray(np.asarray(s))} for s in SHIFTS]
    algo = ms.MAML(ms.GradientDescent(1.0, 1)) if second else ms.FOMAML(ms.GradientDescent(1.0, 0))
    tasks = [ms.Task(s, {"v": v, "one": B.asarray(np.ones(1))} if second else s) for s in shifts]

    def one(phi: Any, task: Any) -> Any:
        return ms.meta_gradient(algo, loss, phi, task, backend=B)

    def batch(phi: Any, tasks: Any) -> Any:
        return ms.batch_meta_gradient(algo, loss, phi, tasks, backend=B)

    f, given = (batch, B.tree_stack(tasks)) if form in ("batched", "all three") else (one, tasks[0])
    f = ms.compile(f, backend=B) if form in ("compiled", "all three") else f
    r = f(B.asarray(x), given)
    return B.to_numpy(r.query_loss), B.to_numpy(r.delta)
