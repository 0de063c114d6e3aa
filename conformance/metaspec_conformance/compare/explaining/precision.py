"""Explanations in the format: float32 that loses more than its share, or digits that were never there."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from metaspec_conformance.compare.comparison_messages import SCALAR, Variant
from metaspec_conformance.compare.comparison_verdicts import Cells, flattened
from metaspec_conformance.compare.context import SEEDS, shaken
from metaspec_conformance.compare.explaining.case import FLOAT32_DIGITS, ExplanationCase, Proposal
from metaspec_conformance.compare.stages import GRADIENT, LOSS
from metaspec_conformance.judging.error_model import ROUNDOFF

NARROW = {"float32": 2.0**-24, "float16 or TF32": 2.0**-11, "bfloat16": 2.0**-8}
POINTS = 17
DIGITS = (2.0**-36, 2.0**-20)  # off by a float32 constant: part of a sum, or its amplified whole
SHAKEN = 2.0**-4
SAME = 64.0  # errors in units of roundoff that are so close are of one kind


def rounding(case: ExplanationCase) -> Iterator[Proposal]:
    """Both in the other format: what is rounding grows and shrinks with the format's roundoff, what is not stays."""
    other_format = "float32" if case.own.dtype == "float64" else "float64"
    cells = case.context.cells(
        case.side, replace(case.own, dtype=other_format), replace(case.other, dtype=other_format)
    )
    here, there = _worst(case.cells), _worst(cells)
    apart = case.cell.relative, cells[case.stage][case.leaf].relative
    yield Proposal(
        "dtype",
        f"rounding: {case.side} loses more digits than the problem's own sensitivity costs (sums or differences that "
        f"cancel); the difference is {apart[0]:.1g} in {case.own.dtype} and {apart[1]:.1g} in {other_format}",
        f"everything in {other_format}: does the difference follow the format's roundoff",
        final=True,
        settled=1 / SAME < here / there < SAME if 0 < there < math.inf and here < math.inf else False,
    )


def narrow_format(case: ExplanationCase) -> Iterator[Proposal]:
    """Whether the side agrees to a narrower format's digits and its values are as rough as that format's."""
    roundoff = ROUNDOFF[case.own.dtype]
    worst = _worst(case.cells)
    for name, narrow in NARROW.items():
        if narrow <= roundoff or not worst * roundoff / narrow <= 1:
            continue
        own = _roughness(case, case.side, case.own, narrow)
        other = _roughness(case, case.context.against, case.other, narrow)
        yield Proposal(
            "dtype",
            f"{case.side} computes something in {name}: it agrees to that format's digits, and between points that are "
            f"{4 * narrow:.0e} apart its values are rough by {own:.0e} (those of {case.context.compared_with} by "
            f"{other:.0e})",
            f"values at {POINTS} points that lie {4 * narrow:.0e} apart: smooth, or rough like {name}",
            final=True,
            settled=own > narrow / 64 and other < own / 64,
        )
        return


def narrow_digits(case: ExplanationCase) -> Iterator[Proposal]:
    """Whether a smooth side has float32's digits wherever one looks: its constants or coefficients are float32's."""
    if case.own.dtype != "float64" or not case.cell.relative <= DIGITS[1]:
        return
    apart = []
    for seed in SEEDS:
        own, other = (replace(shaken(variant, SHAKEN, seed), until="loss") for variant in (case.own, case.other))
        x, r = (
            float(case.context.values(name, [variant])[0][LOSS][SCALAR])
            for name, variant in ((case.side, own), (case.context.against, other))
        )
        apart.append(abs(x - r) / abs(r) if r else math.inf)
    yield Proposal(
        FLOAT32_DIGITS,
        f"a function with float32's digits in float64, in {case.side}: its values are smooth, and at other points too "
        f"they are off by {', '.join(f'{x:.0e}' for x in apart)}; a constant or the coefficients of a series were "
        "rounded to float32 (TensorFlow's leaky_relu keeps its slope so)",
        f"values at {len(apart)} points, {SHAKEN:.0%} apart in every entry: off by as much as float32 rounds",
        settled=DIGITS[0] < max(apart) <= DIGITS[1],
    )


def _roughness(case: ExplanationCase, side: str, variant: Variant, narrow: float) -> float:
    """Second differences of the loss and of its gradient along a line of tiny steps, relative to their size.

    Of a smooth function they are of the order of the step squared, of rounded values of that of the rounding.
    """
    rng = np.random.default_rng(7)
    steps = {name: 4 * narrow * _size(x) * rng.normal(size=np.shape(x)) for name, x in variant.params.items()}
    points = [
        replace(variant, params={name: x + j * steps[name] for name, x in variant.params.items()}, until="gradient")
        for j in range(POINTS)
    ]
    found = case.context.values(side, points)
    rough = []
    for stage in (LOSS, GRADIENT):
        values = np.stack([flattened(stages[stage]) for stages in found])
        size = float(np.sqrt(np.mean(values[0] ** 2)))
        second = values[2:] - 2 * values[1:-1] + values[:-2]
        rough.append(float(np.sqrt(np.mean(second**2) / 6)) / size if size else 0.0)
    return max(rough)


def _worst(cells: Cells) -> float:
    return max(cell.error / cell.tolerance for leaves in cells.values() for cell in leaves.values())


def _size(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x)))) or 1.0 if np.size(x) else 0.0
