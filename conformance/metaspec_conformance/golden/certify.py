"""From inputs to a vector: the oracle at two precisions, and no result of which they share fewer digits than wanted."""

from collections.abc import Callable
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any

from metaspec_conformance.golden.difference_oracle import Arithmetic, NewRounding, UnfitVectorError, compute
from metaspec_conformance.golden.perturbing import perturbation
from metaspec_conformance.golden.vector_records import Array, Inputs, Outputs, Vector, map_values

Number = Any

DIGITS = 30
SPARE = 3  # what is printed is rounded once more
SEEDS = (1, 2, 3)
PERTURBATION_BITS = 32
LARGEST_AMPLIFICATION = 100

FINE, COARSE, ROUGH = (140, 30), (110, 25), (60, 15)  # working digits, and the digits of the differences' step


def certified(inputs: Inputs) -> tuple[Vector, float]:
    """The vector, and how many digits of its worst entry the two precisions share.

    Raises:
        UnfitVectorError: Fewer than DIGITS + SPARE; or roundoff is amplified so much that the vector tests little.
    """
    arithmetic = Arithmetic.of(*FINE)
    fine, coarse = compute(inputs, arithmetic), compute(inputs, Arithmetic.of(*COARSE))
    digits = shared_digits(arithmetic.m, fine, coarse)
    if not digits >= DIGITS + SPARE:
        raise UnfitVectorError(f"{inputs.id}: two precisions share {digits:.1f} digits, {DIGITS + SPARE} are wanted")
    vector = Vector(inputs, fine.map(lambda leaf: _printed(arithmetic.m, leaf, DIGITS)), amplification(inputs))
    for name, leaf in vector.amplification.named().items():
        if float(leaf.values[0]) > LARGEST_AMPLIFICATION:
            raise UnfitVectorError(f"{inputs.id}: roundoff in {name} is amplified {leaf.values[0]} times")
    return vector, digits


def shared_digits(m: Any, fine: Outputs, coarse: Outputs) -> float:
    """-log10 of the largest relative difference of two entries; beside an exact zero only another one agrees."""
    others = coarse.named()
    worst = m.mpf(10) ** -m.dps
    for name, leaf in fine.named().items():
        for x, y in zip(leaf.values, others[name].values, strict=True):
            if x != y:
                worst = max(worst, m.inf if x == 0 else abs((x - m.mpf(y)) / x))
    return float(-m.log10(worst))


def amplification(inputs: Inputs) -> Outputs:
    """How much a leaf changes, in units of the change, where all that would be rounded is changed relatively.

    docs/error-model.md has the definition. One number for each leaf, as an array of shape ().
    """
    arithmetic = Arithmetic.of(*ROUGH)
    m = arithmetic.m
    size = m.mpf(2) ** -PERTURBATION_BITS

    def roundings(seed: int) -> Callable[[int], NewRounding]:
        return lambda task: lambda: perturbation(size, 1000 * seed + task)

    exact = compute(inputs, arithmetic)
    changed = [compute(inputs, arithmetic, roundings(seed)) for seed in SEEDS]

    def largest(leaf: Array, *others: Array) -> Array:
        length = m.norm(leaf.values) if leaf.values else 0
        moved = [m.norm([a - b for a, b in zip(leaf.values, other.values, strict=True)]) for other in others]
        return Array((), (m.mpf(1) if length == 0 else max(m.mpf(1), max(moved) / length / size),))

    return exact.map(largest, *changed).map(lambda leaf: _printed(m, leaf, 3))


def _printed(m: Any, leaf: Array, digits: int) -> Array:
    """Rounded to `digits` by decimal arithmetic, halves up: versions of mpmath round an exact half differently."""

    def printed(x: Number) -> str:
        places = Context(prec=digits, rounding=ROUND_HALF_UP)
        return f"{places.normalize(Decimal(m.nstr(x, 2 * DIGITS))):f}"

    return map_values(lambda x: "0" if x == 0 else printed(x), leaf)
