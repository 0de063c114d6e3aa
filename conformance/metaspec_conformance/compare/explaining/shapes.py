"""Explanations in how numbers are arranged or scaled: axes, a normalisation's small constant, a term over n."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations, pairwise, permutations
from math import prod

import numpy as np

from metaspec.task import Task
from metaspec_conformance.compare.comparison_messages import SCALAR, Variant
from metaspec_conformance.compare.comparison_verdicts import distance
from metaspec_conformance.compare.explaining.case import ONE_OVER_N, ExplanationCase, Proposal
from metaspec_conformance.compare.layout import Layout, Leaf, permutations_of
from metaspec_conformance.compare.stages import LOSS
from metaspec_conformance.judging.numpy_trees import is_floating, leaves, leaves_with_paths, tree_map

MOST = 240  # arrangements that are tried
HUGE = 2.0**26  # a factor beside which a normalisation's constant is nothing
TILES = (1, 4, 16, 64)


def axes(case: ExplanationCase) -> Iterator[Proposal]:
    """Each leaf, all square ones, pairs of one shape, arranged otherwise: if the loss agrees, all is computed."""
    candidates = list(_arrangements(case))[:MOST]
    if not candidates:
        return
    wanted = case.context.truth(replace(case.other, until="loss"))[LOSS][SCALAR]
    variants = [replace(case.own, layout=layout, until="loss") for _, layout in candidates]
    cell = case.cells[LOSS][SCALAR]
    bound = 4 * cell.expected * abs(float(wanted))
    answers = case.context.team.ask([(case.side, variant) for variant in variants])
    fits = [
        (what, layout)
        for (what, layout), answer in zip(candidates, answers, strict=True)
        if not answer.error and distance(answer.stages[LOSS][SCALAR], wanted) <= bound
    ]
    for what, layout in fits[:3]:
        yield Proposal(
            "axes",
            f"{case.side} has {what}",
            f"of {len(candidates)} other arrangements of {case.side}'s parameters the one whose loss agrees, in full",
            ((replace(case.own, layout=layout), case.other),),
        )


def normalisation(case: ExplanationCase) -> Iterator[Proposal]:
    """Leaves before a normalisation made so large that its small constant is nothing beside them."""
    base = replace(case.other, until="loss")
    names = [name for name, x in base.params.items() if np.ndim(x) > 1]
    data = [path for path, x in leaves_with_paths(case.other.task) if is_floating(x)] if case.same_data else []
    groups = [((name,), False) for name in names] + ([((), True)] if data else [])
    variants = [_scaled(base, group, with_data) for group, with_data in groups]
    plain, *found = (float(s[LOSS][SCALAR]) for s in case.context.values(case.context.against, [base, *variants]))
    inert = [group for group, value in zip(groups, found, strict=True) if abs(value - plain) <= 0.05 * abs(plain)]
    if not inert:
        return
    chosen = tuple(name for group, with_data in inert if not with_data for name in group)
    for with_data in {any(flag for _, flag in inert), False} if chosen else {True}:
        what = ", ".join([*chosen, *(["the data"] if with_data else [])])
        yield Proposal(
            "normalisation",
            f"the small constant of a normalisation that {what} go through (its value, or whether it stands within the "
            f"root) is another in {case.side}",
            f"{what} times 2^26, beside which such a constant is nothing",
            ((_scaled(case.own, chosen, with_data), _scaled(case.other, chosen, with_data)),),
            final=True,
        )


def examples(case: ExplanationCase) -> Iterator[Proposal]:
    """The examples repeated: a mean stays, and what differs by 1 / n falls as 1 / n."""
    own = [_tiled(replace(case.own, until="loss"), m) for m in TILES]
    other = [_tiled(replace(case.other, until="loss"), m) for m in TILES]
    mine = [float(s[LOSS][SCALAR]) for s in case.context.values(case.side, own)]
    theirs = [float(s[LOSS][SCALAR]) for s in case.context.values(case.context.against, other)]
    apart = [abs(a - b) for a, b in zip(mine, theirs, strict=True)]
    steady = all(abs(a - b) <= 1e-2 * abs(b) for a, b in pairwise(theirs))
    falls = apart[-1] > 0 and all(0.2 * a < b < 0.28 * a for a, b in pairwise(apart[1:]))
    if steady:
        yield Proposal(
            ONE_OVER_N,
            "the two differ by something that falls as one over the number of examples: in one of the two a variance "
            "with n - 1 in place of n, or a penalty that is divided by n",
            f"every example {', '.join(map(str, TILES[1:]))} times: the losses then differ by "
            + ", ".join(f"{x:.2g}" for x in apart[1:]),
            settled=falls,
        )


def _arrangements(case: ExplanationCase) -> Iterator[tuple[str, Layout]]:
    layout = case.own.layout
    shapes = {name: np.shape(x) for name, x in case.own.params.items()}
    turned: list[int] = []
    for i, leaf in enumerate(layout.leaves):
        own = leaf.forward(case.own.params[leaf.name]).shape
        if leaf.shape is not None:
            continue
        if len(own) == 2 and own[0] == own[1] > 1:
            turned.append(i)
        for order in permutations_of(own) if len(own) <= 4 else ():
            yield f"{leaf.name} with its axes in the order {order}", _with(layout, {i: _turned(leaf, own, order)})
    if len(turned) > 1:
        every = {i: _turned(layout.leaves[i], shapes[layout.leaves[i].name], (1, 0)) for i in turned}
        yield "all square matrices transposed", _with(layout, every)
    for i, j in combinations(range(len(layout.leaves)), 2):
        a, b = layout.leaves[i], layout.leaves[j]
        if shapes[a.name] == shapes[b.name] and prod(shapes[a.name]):
            yield (
                f"{a.name} and {b.name} exchanged",
                _with(layout, {i: replace(a, name=b.name), j: replace(b, name=a.name)}),
            )
    for i, leaf in enumerate(layout.leaves):
        own = leaf.forward(case.own.params[leaf.name]).shape
        if len(own) == 2 and leaf.split is None and leaf.shape is None:
            yield from _flattenings(layout, i, leaf, own)


def _turned(leaf: Leaf, own: tuple[int, ...], order: tuple[int, ...]) -> Leaf:
    """The side's leaf with its axes in another order."""
    axes = leaf.axes or tuple(range(len(own)))
    return replace(leaf, axes=tuple(axes[i] for i in order))


def _flattenings(layout: Layout, i: int, leaf: Leaf, own: tuple[int, ...]) -> Iterator[tuple[str, Layout]]:
    """A long axis that was flattened from two or three others in another order."""
    swapped = leaf.axes == (1, 0)
    for axis in (0, 1):
        size, rest = own[axis], own[1 - axis]
        for parts in _factors(size):
            for order in permutations(range(len(parts))):
                if order == tuple(range(len(parts))):
                    continue
                k = len(parts)
                split = (*parts, rest) if axis == 0 else (rest, *parts)
                turned = (*order, k) if axis == 0 else (0, *(1 + j for j in order))
                if swapped:  # the common leaf has the axes the other way round
                    split = (rest, *parts) if axis == 0 else (*parts, rest)
                    turned = (*(1 + j for j in order), 0) if axis == 0 else (k, *order)
                what = f"{leaf.name}'s axis {axis} flattened from {' x '.join(map(str, parts))} in the order {order}"
                yield what, _with(layout, {i: Leaf(leaf.name, split, turned, own)})


def _factors(size: int) -> Iterator[tuple[int, ...]]:
    pairs = [(a, size // a) for a in range(2, size) if size % a == 0]
    yield from pairs
    for a, b in pairs:
        yield from ((a, c, b // c) for c in range(2, b) if b % c == 0)


def _with(layout: Layout, changes: dict[int, Leaf]) -> Layout:
    return replace(layout, leaves=tuple(changes.get(i, leaf) for i, leaf in enumerate(layout.leaves)))


def _scaled(variant: Variant, names: tuple[str, ...], with_data: bool) -> Variant:
    params = {name: x * HUGE if name in names else x for name, x in variant.params.items()}
    task = Task(*tree_map(lambda x: x * HUGE if is_floating(x) else x, variant.task)) if with_data else variant.task
    return replace(variant, params=params, task=task)


def _tiled(variant: Variant, times: int) -> Variant:
    count = {np.shape(x)[0] for x in leaves(variant.task.support) if np.shape(x)}
    if len(count) != 1:
        return variant

    def tile(x: np.ndarray) -> np.ndarray:
        return np.concatenate([x] * times) if np.shape(x) else x

    return replace(variant, task=Task(*tree_map(tile, variant.task)))
