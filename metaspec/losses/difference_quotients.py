"""Derivatives held against differences: of the loss's values for the gradient, of gradients for the Hessian.

Along a line x + t v, with v as large as the parameters themselves,

    (f(x + h v) - f(x)) / h - h/2 <H v, v>   is to be   <g(x), v>
    (g(x + h v) - g(x)) / h                  is to be   H(x) v

up to terms of order h. The first step is short, h = 2^-26 in float64: then kinks such as relu's are hardly ever
crossed. Where it agrees, that is all. Else a second point, at 2 h, shows how far a difference can be trusted, and
longer steps follow: a loss that computes in float32 inside does not feel the short one, and rounding may hide what it
says. A product is called wrong only where two steps contradict it by the same difference and agree with the gradient on
the values, and no step that is certain enough to tell that difference agrees with the product.
"""

from dataclasses import dataclass

from metaspec.losses import finding_messages
from metaspec.losses.findings import LossFinding
from metaspec.losses.points import Evaluator, Sample, Vector, inner, moved, sizes_of, total

STEPS = tuple(2.0**-k for k in (26, 18, 12, 9))
STEPS_FLOAT32 = tuple(2.0**-k for k in (11, 8, 6))
FEW = 64  # roundoffs that a value, or a gradient in units of the whole, may be off
CLEAR = 0.1  # of the whole: a difference less certain than that contradicts nothing
ALIKE = 0.25  # of what two steps miss: the difference of two that say the same


@dataclass(frozen=True)
class ProbeLine:
    """The line that is followed, and what derivatives say of it at its start.

    Attributes:
        x: Its start.
        v: Its direction.
        scale: Each leaf's typical magnitude.
        start: Value and gradient at x, in the format in which differences are taken.
        product: H v as the algorithms compute it.
        error: The relative error that derivatives may have from rounding alone.
        names: The leaves' names.
    """

    x: Vector
    v: Vector
    scale: list[float]
    start: Sample
    product: Vector
    error: float
    names: list[str]

    def sizes(self, x: Vector) -> list[float]:
        """Return each leaf's norm, in units in which the parameters have size 1."""
        return sizes_of(x, self.scale)


@dataclass(frozen=True)
class StepDifferences:
    """What the differences over one length say.

    Attributes:
        slope: The slope of the values.
        sloped: Whether it is that of the gradient.
        change: The change of the gradient.
        agrees: Whether it is the product.
        contradicts: Whether it is certainly not the product.
        misses: The difference of the two, for each leaf.
        allowed: How large it may be, in sum over the leaves.
    """

    slope: float
    sloped: bool
    change: Vector
    agrees: bool
    contradicts: bool
    misses: list[float]
    allowed: float


def against_differences(at: Evaluator, line: ProbeLine) -> list[LossFinding]:
    """Return what is wrong with the first and the second derivative along a line; `at` computes in a wide format."""
    steps = list[StepDifferences]()
    for h in STEPS if at.roundoff < 1e-12 else STEPS_FLOAT32:
        near = at.sample(moved(line.x, h, line.v))
        step = _step(line, at.roundoff, h, near, None)
        if step.agrees and step.sloped:
            return []
        far = at.sample(moved(line.x, 2 * h, line.v))
        steps.append(_step(line, at.roundoff, h, near, far))
        if steps[-1].agrees and steps[-1].sloped and not any(step.contradicts for step in steps):
            return []
    trusted = [step for step in steps if step.sloped]
    if not trusted:
        return _gradient(line, steps[0], steps[1])
    against = [step for step in trusted if step.contradicts]
    if len(against) < 2 or not _alike(line, against[0], against[1]):
        return []
    if any(step.agrees and step.allowed < total(against[0].misses) for step in trusted):
        return []
    return [_product(line, against[0])]


def _step(line: ProbeLine, roundoff: float, h: float, near: Sample, far: Sample | None) -> StepDifferences:
    start = line.start
    change = [(a - b) / h for a, b in zip(near.gradient, start.gradient, strict=True)]
    bend, doubt, spread = inner(line.product, line.v), 0.0, [0.0] * len(change)
    if far is not None:  # D(h) and D(2 h) differ by half of the error that both have in common
        longer = [(a - b) / (2 * h) for a, b in zip(far.gradient, start.gradient, strict=True)]
        spread = line.sizes(moved(change, -1.0, longer))
        change = [2 * a - b for a, b in zip(change, longer, strict=True)]
        bend = inner(change, line.v)
        doubt = abs(2 * near.value - far.value - start.value + h * h * bend) / h
    misses, found = line.sizes(moved(change, -1.0, line.product)), line.sizes(change)
    whole, noise = (
        max(total(found), total(line.sizes(line.product))),
        FEW * roundoff * total(line.sizes(start.gradient)) / h,
    )
    allowed = [line.error * (size + whole / FEW) + s + noise for size, s in zip(found, spread, strict=True)]
    slope, rise = (near.value - start.value) / h - h * bend / 2, inner(start.gradient, line.v)
    doubt += line.error * (abs(rise) + h * abs(bend)) + FEW * roundoff * abs(start.value) / h
    clear = total(spread) + noise <= CLEAR * whole
    fits = all(miss <= most for miss, most in zip([*misses, total(misses)], [*allowed, total(allowed)], strict=True))
    return StepDifferences(
        slope,
        abs(slope - rise) <= doubt,
        change,
        fits and (clear or whole <= noise),
        clear and any(miss > 10 * most for miss, most in zip(misses, allowed, strict=True)),
        misses,
        total(allowed),
    )


def _alike(line: ProbeLine, one: StepDifferences, other: StepDifferences) -> bool:
    """Return whether two steps miss the product by the same: their changes differ by what they differ from it."""
    return total(line.sizes(moved(one.change, -1.0, other.change))) <= ALIKE * total(one.misses)


def _gradient(line: ProbeLine, one: StepDifferences, other: StepDifferences) -> list[LossFinding]:
    """The gradient is not the values'. Second derivatives then treat as constant what it does, by intent or not."""
    given = inner(line.start.gradient, line.v)
    if not abs(one.slope - other.slope) <= ALIKE * max(abs(given), abs(one.slope)):
        return []
    return [finding_messages.another_gradient(given, one.slope)]


def _product(line: ProbeLine, step: StepDifferences) -> LossFinding:
    worst = line.names[max(range(len(line.names)), key=lambda i: step.misses[i])]
    return finding_messages.second_derivative(
        total(line.sizes(line.product)), total(line.sizes(step.change)), total(step.misses), worst
    )
