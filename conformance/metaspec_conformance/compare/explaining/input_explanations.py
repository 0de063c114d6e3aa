"""Explanations in what goes in: chance, other parameters, other data, a point where there is no derivative."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metaspec.task import Task
from metaspec_conformance.compare.comparison_messages import Variant
from metaspec_conformance.compare.comparison_verdicts import agree, distance
from metaspec_conformance.compare.explaining.case import ExplanationCase, Proposal
from metaspec_conformance.compare.team import ComparisonError
from metaspec_conformance.judging.numpy_trees import is_floating, leaves, tree_map

MOVE = 2.0**-9  # of a leaf's size: far beyond rounding, small beside the leaf
DRAWS = (11, 12)
LEAVES = 12  # as many are tried one by one


def randomness(case: ExplanationCase) -> Iterator[Proposal]:
    """Propose randomness where two equal calls of a side differ."""
    first, again = case.context.values(case.side, [case.own])[0], case.context.team.afresh(case.side, case.own)
    spread = distance(again[case.stage][case.leaf], first[case.stage][case.leaf])
    apart = distance(case.context.truth(case.other)[case.stage][case.leaf], first[case.stage][case.leaf])
    yield Proposal(
        "randomness",
        f"{case.side} is not deterministic: two equal calls differ by {spread:.2g} in {case.leaf} at {case.stage}, "
        f"where it is {apart:.2g} from {case.context.compared_with}; draw what is random outside and hand it in with "
        "the batch",
        "the same call twice",
        final=True,
        settled=bool(spread > apart / 100 or (np.isnan(spread) and apart > 0)) and spread > 0,
    )


def initialisation(case: ExplanationCase) -> Iterator[Proposal]:
    """The yardstick's parameters in place of the side's own."""
    other = [name for name, x in case.other.params.items() if not np.array_equal(x, case.own.params[name])]
    if other:
        yield Proposal(
            "initialisation",
            f"{case.side} starts from other parameters: {_few(other)}",
            f"{case.side} computed from the first side's parameters",
            ((replace(case.own, params=case.other.params), case.other),),
        )


def data(case: ExplanationCase) -> Iterator[Proposal]:
    """The yardstick's task in place of the side's own, where it has that form."""
    own, other = leaves(case.own.task), leaves(case.other.task)
    if [np.shape(x) for x in own] != [np.shape(x) for x in other] or all(map(np.array_equal, own, other)):
        return
    yield Proposal(
        "data",
        f"{case.side} computes on other data",
        f"{case.side} computed on the first side's task",
        ((replace(case.own, task=case.other.task), case.other),),
    )


def kink(case: ExplanationCase) -> Iterator[Proposal]:
    """Parameters, then data too, moved a little: at nearly every point there is a derivative."""
    for with_data in (False, True) if case.same_data else (False,):
        trials = tuple(_moved(case, draw, list(case.other.params), with_data) for draw in DRAWS)
        what = "parameters and data" if with_data else "parameters"
        alone = _suffices(case) if not with_data and _agrees(case, trials) else ""
        yield Proposal(
            "kink",
            f"a kink: the {'data lie' if with_data else 'parameters lie'} where there is no derivative{alone}, and "
            f"what {case.side} takes for one there is not what {case.context.compared_with} takes (docs/kinks.md)",
            f"{what} moved by {MOVE:.1%} of their size, two draws",
            trials,
            final=True,
        )


def _suffices(case: ExplanationCase) -> str:
    """The leaves each of which is enough to move."""
    names = list(case.other.params)[:LEAVES]
    enough = [name for name in names if _agrees(case, [_moved(case, draw, [name], False) for draw in DRAWS])]
    return f" (moving {' or '.join(enough)} alone is enough)" if enough and len(enough) < len(case.other.params) else ""


def _agrees(case: ExplanationCase, trials: Sequence[tuple[Variant, Variant]]) -> bool:
    try:
        return all(agree(case.compared(own, other)) for own, other in trials)
    except ComparisonError:
        return False


def _moved(case: ExplanationCase, seed: int, names: Sequence[str], with_data: bool) -> tuple[Variant, Variant]:
    rng = np.random.default_rng(seed)

    def move(x: Any) -> Any:
        if not is_floating(x):
            return x
        size = float(np.sqrt(np.mean(np.square(x, dtype=float)))) if np.size(x) else 0.0
        return np.float64(np.float32(x + MOVE * (size or 1.0) * rng.normal(size=np.shape(x))))

    shifts = {name: move(case.other.params[name]) - case.other.params[name] for name in names}
    task = Task(*tree_map(move, case.other.task)) if with_data else None

    def shifted(variant: Variant) -> Variant:
        params = {name: x + shifts[name] if name in shifts else x for name, x in variant.params.items()}
        return replace(variant, params=params, task=task or variant.task)

    return shifted(case.own), shifted(case.other)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
