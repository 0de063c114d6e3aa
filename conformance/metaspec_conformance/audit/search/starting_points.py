"""Where a search begins: the algorithms as they are claimed, and the numbers that free fields start at."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from metaspec_conformance.audit.hypotheses.expectation import Expectation
from metaspec_conformance.audit.hypotheses.hypothesis import ALGORITHMS, Hypothesis, canonical
from metaspec_conformance.audit.hypotheses.inner_rules import NORM_CLIPS, PLAIN
from metaspec_conformance.audit.search.free_numbers import numbers

STEPS = (*range(1, 11), 12, 15, 16, 20, 25, 32, 50)  # where nobody says how many
RATES = tuple(1e-4 * 1.3**i for i in range(45))  # up to about 10
STRENGTHS = (0.1, 0.5, 1.0, 2.0, 5.0, 20.0, 100.0)
CG_STEPS = (1, 2, 3, 5, 10)
CLIPS = (*NORM_CLIPS, "clipped entries")


def bases(e: Expectation, joins: bool) -> Iterator[Hypothesis]:
    """The algorithms with the settings that are claimed; a free number stands at 1 or at a guess.

    Args:
        e: What is claimed.
        joins: Whether support and query can be joined.
    """
    for steps in (e.steps,) if e.steps is not None else (0, *STEPS):
        for algorithm in ALGORITHMS:
            if steps == 0 and algorithm in ("maml", "reptile"):
                continue
            counts: Iterable[int] = (0,)
            if algorithm == "imaml":
                counts = (e.cg_steps,) if e.cg_steps else (0, *CG_STEPS)
            for cg_steps in counts:
                h = canonical(algorithm, steps, e.rate or 0.1, e.strength or 1.0, cg_steps)
                if h.inner_data == "both" and not joins:
                    h = replace(h, inner_data="support")
                h = replace(h, rate_per="given") if e.gives_rates else h
                yield replace(h, proximal=True) if "sigma" in e.given else h
    if e.steps is not None and e.steps > 0:
        yield canonical("fomaml", 0, e.rate or 0.1, e.strength or 1.0)


def unknown(h: Hypothesis, e: Expectation) -> list[str]:
    """Return the rate and lambda, where nobody says what they are."""
    known = e.rate is not None or h.rate_per == "given" or h.rate_ratios[1:] or not h.steps
    pulled = h.algorithm == "imaml" and "sigma" not in e.given
    return ["rate"] * (not known) + ["strength"] * (e.strength is None and pulled)


def starts(h: Hypothesis, free: Sequence[str], known_rate: bool, apart: int) -> Iterator[tuple[float, ...]]:
    """The product of the grids of the free fields, of the rates each `apart`th; the numbers of a tuple start alike."""
    grids: dict[str, Sequence[float]] = {
        "rate": RATES,
        "strength": STRENGTHS,
        "hessian_factor": (-2.0, -0.5, 0.1, 0.5, 1.5, 3.0, 10.0),
        "decay": (1e-3, 1e-1),
        "operator": (-0.5, 0.1, 0.5, 1.5, 4.0),
        "rate_ratios": (1.0,) if known_rate else tuple(x / h.rate for x in RATES[::4]),
        "solver_rate": (0.05, 0.2, 0.5, 0.8),
        "difference": (1e-1, 1e-2, 1e-3),
    }
    if h.rate_per in ("geometric", "harmonic"):
        grids["rate_ratios"] = (0.3, 0.5, 0.8, 0.95)
    kinds = list(dict.fromkeys(name.partition("[")[0] for name in free))
    points: list[dict[str, float]] = [{}]
    for kind in kinds:
        grid = grids.get(kind, ())
        if kind == "constants" and len([name for name in free if name.startswith(kind)]) == 1:
            grid = (0.1, 0.5, 0.9) if h.rule.kind not in CLIPS else (0.05, 0.2, 0.5, 1.0, 2.0)
        if kind == "rate":
            grid = grid[:: 4 if len(kinds) > 1 or h.rule != PLAIN else apart]
        if kind == "strength" and len(kinds) > 1 and apart > 1:
            grid = grid[::3]
        points = [{**point, kind: x} for point in points for x in grid] if grid else points
    own = dict(zip(free, numbers(h, free), strict=True))
    pattern = {name: x for name, x in own.items() if name.startswith("rate_ratios") and h.rate_per == "step"}
    for point in points:
        yield tuple(point.get(name.partition("[")[0], own[name]) * pattern.get(name, 1.0) for name in free)
