"""Explanations in the loss: a leaf without use or derivative, a factor, a constant, a penalty on the weights."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaspec.task import Task, Tree
from metaspec_conformance.compare.comparison_messages import SCALAR, PowerLaw, Stages, Variant
from metaspec_conformance.compare.comparison_verdicts import flattened
from metaspec_conformance.compare.explaining.case import ExplanationCase, Proposal
from metaspec_conformance.compare.stages import GRADIENT, LOSS
from metaspec_conformance.judging.numpy_trees import leaves_with_paths

FITS = 1e-3  # a fit that leaves more than this of the gradient is none; what it is worth is tested afterwards


def unused_leaf(case: ExplanationCase) -> Iterator[Proposal]:
    """A leaf whose gradient is exactly zero on one of the two alone, held fast, or left out, on the other as well."""
    if GRADIENT not in case.cells:
        return
    own = case.context.values(case.side, [replace(case.own, until="gradient")])[0][GRADIENT]
    other = case.context.truth(replace(case.other, until="gradient"))[GRADIENT]
    deaf = [name for name in own if not np.any(own[name]) and np.any(other[name])]
    if deaf:
        used = _changes_value(case, case.side, case.own, deaf)
        for what, fill in (("held fast", None), ("set to 0", 0.0), ("set to 1", 1.0)):
            yield Proposal(
                "unused leaf",
                f"{case.side}'s loss {_how(used)} {', '.join(deaf)}",
                f"{', '.join(deaf)} {what} for {case.context.compared_with} too",
                ((case.own, _without(case.other, deaf, fill)),),
            )
    deaf = [name for name in own if np.any(own[name]) and not np.any(other[name])]
    if deaf:
        used = _changes_value(case, case.context.against, case.other, deaf)
        for what, fill in (("held fast", None), ("set to 0", 0.0), ("set to 1", 1.0)):
            yield Proposal(
                "unused leaf",
                f"{case.side} uses {', '.join(deaf)}, which the loss of {case.context.compared_with} {_how(used)}",
                f"{', '.join(deaf)} {what} for {case.side} too",
                ((_without(case.own, deaf, fill), case.other),),
            )


def affine(case: ExplanationCase) -> Iterator[Proposal]:
    """Own loss = a * (other loss) + b + decay / 2 ||theta||^2, a and b fitted on support and query set."""
    fits = [_fit(case, batch) for batch in ("support", "query") if getattr(case.own.task, batch) is not None]
    if not fits or any(fit is None for fit in fits):
        return
    support, *_ = found = [fit for fit in fits if fit is not None]
    factor = _law(case, [(fit.n, fit.a) for fit in found])
    constant = _law(case, [(fit.n, fit.b) for fit in found])
    decay = support.decay if abs(support.decay) > 1e-12 else 0.0
    if factor is None or constant is None:
        return
    if abs(factor.k - 1) < 1e-12 and factor.p == 0 and not constant.k and not decay:
        return
    parts, kinds = [], []
    if factor != PowerLaw(1.0):
        parts.append(f"{case.side}'s loss is {_named(factor, case.own.task)} that of {case.context.compared_with}")
        kinds.append("reduction")
    if constant.k:
        parts.append(f"{'and ' if parts else case.side + chr(39) + 's loss '}has a constant {_worded(constant)} more")
        kinds.append("constant")
    if decay:
        parts.append(
            f"{case.side}'s loss has a penalty of {decay / 2:.6g} times the squared norm of the parameters more"
        )
        kinds.append("weight decay")
    changed = replace(case.own, scale=PowerLaw(1 / factor.k, -factor.p), offset=constant, decay=decay)
    yield Proposal(
        " and ".join(kinds),
        ", ".join(parts),
        "its loss computed without that",
        ((changed, case.other),),
    )


@dataclass(frozen=True)
class _Fit:
    n: int
    a: float
    b: float
    decay: float


def _fit(case: ExplanationCase, batch: str) -> _Fit | None:
    own, other = _on(case.own, batch), _on(case.other, batch)
    mine, theirs = case.context.values(case.side, [own])[0], case.context.truth(other)
    g, r, theta = flattened(mine[GRADIENT]), flattened(theirs[GRADIENT]), flattened(case.own.params)
    if not (np.all(np.isfinite(g)) and np.all(np.isfinite(r)) and np.any(r) and np.any(g)):
        return None
    n = _examples(own.task.support)
    square = float(np.sum(theta * theta))
    for columns in ([r], [r, theta]):
        A = np.stack(columns, axis=1).astype(float)
        if len(columns) > 1 and (not square or A.shape[0] < 3):
            continue
        solution, *_ = np.linalg.lstsq(A, g.astype(float), rcond=None)
        left = np.linalg.norm(g.astype(float) - A @ solution) / np.linalg.norm(g.astype(float))
        if left < (FITS if len(columns) > 1 else 1e-9 if own.dtype == "float64" else 1e-4):
            a, decay = _simple(float(solution[0]), own.dtype), float(solution[1]) if len(columns) > 1 else 0.0
            return _Fit(n, a, _rest(mine, theirs, a, decay, square), decay)
    return None


def _rest(mine: Stages, theirs: Stages, a: float, decay: float, square: float) -> float:
    """What of the value the factor and the penalty leave; 0 where that is rounding."""
    value, wanted = float(mine[LOSS][SCALAR]), float(theirs[LOSS][SCALAR])
    rest = value - a * wanted - decay / 2 * square
    return rest if abs(rest) > 1e-6 * max(abs(value), abs(a * wanted)) else 0.0


def _law(case: ExplanationCase, rows: list[tuple[int, float]]) -> PowerLaw | None:
    """k n^p through the rows (n, value)."""
    (n, value), (m, second) = rows[0], rows[-1]
    for p in (0, 1, -1):
        if math.isclose(value * float(m) ** p, second * float(n) ** p, rel_tol=1e-6, abs_tol=1e-12):
            joined = type(case.own.algorithm).__name__ == "Reptile"  # n grows there: a sum must be told from a factor
            p = 1 if p == 0 and n == m > 1 and joined and _whole(value / n) else p
            return PowerLaw(_simple(value / float(n) ** p, case.context.dtype), p)
    return None


def _whole(x: float) -> bool:
    return round(x) > 0 and math.isclose(x, round(x), rel_tol=1e-6)


def _simple(x: float, dtype: str) -> float:
    """A fraction with a small denominator where x is one but for rounding."""
    for denominator in (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 25, 32, 64, 128):
        nearest = round(x * denominator) / denominator
        if nearest and math.isclose(x, nearest, rel_tol=1e-10 if dtype == "float64" else 1e-5):
            return nearest
    return x


def _named(law: PowerLaw, task: Task) -> str:
    """A factor in words, with the size of the data that it is."""
    k, n = law.k, _examples(task.support)
    if law.p:
        text = "n times" if law.p == 1 else "1/n times"
        return f"{'' if k == 1 else f'{k:.6g} '}{text} (n examples: one has their sum, the other their mean)"
    sizes = {n: "as there are examples; one has their sum, the other their mean"}
    for path, leaf in leaves_with_paths(task.support):
        total = math.prod(np.shape(leaf))
        for axis, size in enumerate(np.shape(leaf)):
            sizes.setdefault(size, f"so long is axis {axis} of the batch's {path or 'leaf'}")
        sizes.setdefault(total, f"so many entries has the batch's {path or 'leaf'}")
    for number, text in sizes.items():
        if number > 1 and math.isclose(k, number, rel_tol=1e-6):
            return f"{number} times ({number}: {text})"
        if number > 1 and math.isclose(k, 1 / number, rel_tol=1e-6):
            return f"1/{number} times ({number}: {text})"
    return f"{k:.8g} times"


def _worded(law: PowerLaw) -> str:
    return f"{law.k:.6g}" + {0: "", 1: " times the number of examples", -1: " over the number of examples"}[law.p]


def _on(variant: Variant, batch: str) -> Variant:
    data = getattr(variant.task, batch)
    return replace(variant, task=Task(data, data), until="gradient")


def _examples(batch: Tree) -> int:
    shapes = [np.shape(leaf) for _, leaf in leaves_with_paths(batch) if np.shape(leaf)]
    return int(shapes[0][0]) if shapes else 1


def _changes_value(case: ExplanationCase, side: str, variant: Variant, names: list[str]) -> bool:
    rng = np.random.default_rng(5)
    moved = variant.params | {
        name: variant.params[name] + rng.normal(size=variant.params[name].shape) for name in names
    }
    found = case.context.values(side, [replace(variant, until="loss"), replace(variant, params=moved, until="loss")])
    return not np.array_equal(found[0][LOSS][SCALAR], found[1][LOSS][SCALAR], equal_nan=True)


def _how(used: bool) -> str:
    return (
        "reads but does not differentiate (it is detached, a constant, or reaches a step function alone)"
        if used
        else "does not use"
    )


def _without(variant: Variant, names: list[str], fill: float | None) -> Variant:
    if fill is None:
        return replace(variant, frozen=(*variant.frozen, *names))
    put: dict[str, Any] = {name: np.full_like(variant.params[name], fill) for name in names}
    return replace(variant, replaced=variant.replaced | put)
