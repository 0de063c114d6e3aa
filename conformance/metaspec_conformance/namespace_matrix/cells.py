"""Cells of the matrix: a function of `xp` in one form, on one shape, on one backend; right, refused or neither.

The loss of a support set is sum(w * f(phi + shift)), that of a query set v . phi. FO-MAML without inner steps gives the
former's gradient; MAML with one step of rate 1 gives v - H v. Truth is NumPy's own function, in longdouble where it has
one, and differences of fourth order.

Cells are asked together, as one loss whose parameters are theirs, since tracing and compiling take most of the time.
Where together they are not right, or a form gives way to a slower one, each half is asked, down to single cells.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
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
TOGETHER = 32  # cells

RIGHT, REFUSED, NOT_ASKED, WRONG, FOREIGN = "right", "refused", "not asked", "wrong", "foreign"
Place = tuple[str, str]
"""The name of a function, and of a shape."""


@dataclass(frozen=True)
class Cell:
    """What came of one cell.

    Attributes:
        state: RIGHT; REFUSED by a MetaspecError; NOT_ASKED where NumPy itself refuses; WRONG; FOREIGN, another error.
        words: Of an error; how far the numbers are apart; what a backend says that gave up a form for a slower one.
    """

    state: str
    words: str = ""

    @property
    def sound(self) -> bool:
        """Whether the cell keeps the promise: right, or refused by name."""
        return self.state in (RIGHT, REFUSED, NOT_ASKED)


def cells(B: Backend, form: str, places: Sequence[Place]) -> dict[Place, Cell]:
    """Compute cells of one form in float64."""
    batched, second = form in ("batched", "all three"), form in ("second order", "all three")
    found = {place: Cell(NOT_ASKED) for place in places}
    asked = [place for place in places if _truth(*place, batched, second) is not None]
    for i in range(0, len(asked), TOGETHER):
        found |= _judged(B, form, asked[i : i + TOGETHER], batched, second)
    return found


def _judged(B: Backend, form: str, places: Sequence[Place], batched: bool, second: bool) -> dict[Place, Cell]:
    gave_way: list[str] = []
    try:
        with B.precision("float64"), _told(gave_way):
            value, derivatives = _found(B, places, form)
    except Exception as error:
        words = " ".join(str(error).split())
        ours = isinstance(error, ms.MetaspecError)
        bad: Cell | None = Cell(REFUSED, words) if ours else Cell(FOREIGN, f"{type(error).__name__}: {words[:160]}")
    else:
        truth = [t for place in places if (t := _truth(*place, batched, second)) is not None]
        bad = _apart("value", value, np.sum([t[0] for t in truth]), 1.0 if len(places) > 1 else np.inf)
        for a, (_, b) in zip(derivatives, truth, strict=True):
            bad = bad or _apart("derivative", a, b)
    if len(places) > 1 and (bad or gave_way):
        first, last = places[: len(places) // 2], places[len(places) // 2 :]
        return _judged(B, form, first, batched, second) | _judged(B, form, last, batched, second)
    return dict.fromkeys(places, bad or Cell(RIGHT, *gave_way[:1]))


def _apart(what: str, a: Any, b: Any, largest: float = np.inf) -> Cell | None:
    apart = float(np.max(np.abs(a - b), initial=0.0)) if np.shape(a) == np.shape(b) else np.inf
    size = max(1.0, float(np.max(np.abs(b), initial=0.0)))
    return None if apart <= TOLERANCE * min(size, largest) else Cell(WRONG, f"{what}: apart by {apart:.1e}")


class _Keeping(logging.Handler):
    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.WARNING)
        self.found = found

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.getMessage())


@contextmanager
def _told(found: list[str]) -> Iterator[None]:
    """Collect what the backend says of forms that it gave up."""
    handler = _Keeping(found)
    logging.getLogger("metaspec").addHandler(handler)
    try:
        with warnings.catch_warnings(record=True) as given:
            warnings.simplefilter("always", RuntimeWarning)
            yield
        found += [str(warning.message) for warning in given if warning.category is RuntimeWarning]
    finally:
        logging.getLogger("metaspec").removeHandler(handler)


def _point(entry: Entry, shape: tuple[int, ...]) -> Any:
    rng = np.random.default_rng(7)
    x = rng.uniform(entry.low, entry.high - SHIFTS[-1] - 4 * STEP, size=shape)
    return x + np.diag([3.0, 4.5, 6.0][: shape[-1]])[: shape[0]] if entry.square and len(shape) == 2 else x


def _weights(shape: tuple[int, ...]) -> Any:
    return np.cos(np.arange(np.prod(shape, dtype=int))).reshape(shape)


@cache
def _truth(name: str, shape: str, batched: bool, second: bool) -> tuple[Any, Any] | None:
    """Value and derivative; None where NumPy has none."""
    entry = ENTRIES[name]
    if len(SHAPES[shape]) < entry.axes:
        return None
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # means of nothing
            truth = _differences(entry, _point(entry, SHAPES[shape]), batched, second)
    except Exception:
        return None
    return truth if all(np.isfinite(np.asarray(part, float)).all() for part in truth) else None


def _differences(entry: Entry, x: Any, batched: bool, second: bool) -> tuple[Any, Any]:
    xp, v = array_api_compat.numpy, _direction(x)

    def loss(z: Any, shift: float) -> Any:
        with np.errstate(all="ignore"):
            try:
                value = entry.f(xp, z.astype(np.longdouble) + shift)
            except TypeError:  # a decomposition, which NumPy has in float64 alone
                value = entry.f(xp, z.astype(np.float64) + shift)
        return np.sum(_weights(value.shape) * value)

    entry.f(xp, x)
    gradients, products, values = [], [], []
    for shift in SHIFTS if batched else SHIFTS[:1]:
        gradients.append(_gradient(partial(loss, shift=shift), x))
        values.append(loss(x, shift))
        if second:
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


def _found(B: Backend, places: Sequence[Place], form: str) -> tuple[Any, list[Any]]:
    """Return the sum of the values, and each derivative."""
    second = form in ("second order", "all three")
    xp = B.xp
    points = [_point(ENTRIES[name], SHAPES[shape]) for name, shape in places]
    directions = [B.asarray(_direction(x)) for x in points]

    def loss(phi: Any, batch: Any) -> Any:
        if "v" in batch:
            return sum(xp.sum(v * x) for v, x in zip(batch["v"], phi, strict=True))
        parts = []
        for (name, _), x in zip(places, phi, strict=True):
            value = ENTRIES[name].f(xp, x + batch["shift"])
            parts.append(xp.sum(B.asarray(_weights(tuple(value.shape))) * value))
        return sum(parts)

    shifts = [{"shift": B.asarray(np.asarray(s))} for s in SHIFTS]
    algo = ms.MAML(ms.GradientDescent(1.0, 1)) if second else ms.FOMAML(ms.GradientDescent(1.0, 0))
    tasks = [ms.Task(s, {"v": directions, "one": B.asarray(np.ones(1))} if second else s) for s in shifts]

    def one(phi: Any, task: Any) -> Any:
        return ms.meta_gradient(algo, loss, phi, task, backend=B)

    def batch(phi: Any, tasks: Any) -> Any:
        return ms.batch_meta_gradient(algo, loss, phi, tasks, backend=B)

    f, given = (batch, B.tree_stack(tasks)) if form in ("batched", "all three") else (one, tasks[0])
    f = ms.compile(f, backend=B) if form in ("compiled", "all three") else f
    r = f([B.asarray(x) for x in points], given)
    if not np.all(B.to_numpy(r.diagnostics.finite)):  # what eager code raises, compiled code says
        raise ms.errors.NonFiniteError("NaN or infinity arose: r.diagnostics.finite is false")
    return B.to_numpy(r.query_loss), [B.to_numpy(d) for d in r.delta]
