"""Whether an explanation holds to roundoff: the error model, with the amplification of this very computation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec_conformance.audit.hypotheses.objective import Objective, Vector
from metaspec_conformance.judging import error_model

TYPICAL = 0.3  # the median error of right code in units of roundoff times amplification (docs/error-model.md)

Compute = Callable[[int | None], Vector]
"""seed of the perturbed arithmetic, or None -> the meta-update that is expected."""


@dataclass(frozen=True)
class Judgement:
    """One call held against its explanation.

    Attributes:
        error: Of the worst leaf, in units of the tolerance.
        relative: Its relative error.
        format: The widest format whose roundoff explains it; None where none does.
    """

    error: float
    relative: float
    format: str | None

    @property
    def digits(self) -> float:
        """The digits that agree."""
        return error_model.digits(self.relative)


def judged(
    seen: Vector, compute: Compute, objective: Objective, dtype: str, origin: Vector | None, wide: bool
) -> Judgement:
    """Hold one result against its explanation.

    Args:
        seen: The result as a meta-update.
        compute: The expected one, exact and with perturbed arithmetic.
        objective: Says where the leaves are.
        dtype: The format that went in.
        origin: The parameters that the result was subtracted from, where they were returned; their roundoff counts.
        wide: Whether `compute` is in a wider format than `dtype`.
    """
    with np.errstate(all="ignore"):
        exact = compute(None)
        perturbed = [compute(seed) for seed in error_model.SEEDS]
    formats = [
        f
        for f in ("float64", "float32", "float16", "bfloat16")
        if error_model.ROUNDOFF[f] >= error_model.ROUNDOFF[dtype]
    ]
    found: list[tuple[float, float, str | None]] = []
    for place in objective.slices:
        r, x = exact[place], seen[place]
        size, off = float(error_model.norm(r)), float(error_model.norm(x.astype(np.longdouble) - r))
        if size == 0:
            found.append((0.0 if off == 0 else np.inf, 0.0 if off == 0 else np.inf, dtype if off == 0 else None))
            continue
        A = error_model.amplification(r, [other[place] for other in perturbed])
        extra = 0.0 if origin is None else float(error_model.norm(origin[place]))
        extra += (
            0.0 if wide else float(error_model.norm(exact))
        )  # a leaf that nearly vanishes is the reference's own rounding
        units = {name: error_model.ROUNDOFF[name] * (A * size + extra) for name in formats}
        room = {name: (1 if wide else 2) * error_model.tolerance(name) * unit for name, unit in units.items()}
        known = [name for name in formats if off <= room[name]]
        explained = known[0] if known[:1] == [dtype] else None
        if known and explained is None:
            explained = min(known, key=lambda name: abs(np.log(off / (TYPICAL * units[name]))))
        found.append((off / room[dtype], off / size, explained))
    worst = max(found, key=lambda item: item[0])
    names = [name for _, _, name in found]
    widest = None if None in names else max((str(n) for n in names), key=lambda n: error_model.ROUNDOFF[n])
    return Judgement(worst[0], worst[1], widest)


def relative(seen: Vector, predicted: Vector, keep: Any) -> float:
    """||seen - predicted|| / ||seen|| over what counts; infinite where nothing was seen and something was predicted."""
    off, size = float(error_model.norm(np.asarray(seen - predicted)[keep])), float(error_model.norm(seen[keep]))
    if size == 0:
        return 0.0 if off == 0 else np.inf
    return off / size
