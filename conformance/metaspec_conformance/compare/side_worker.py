"""One side in a process of its own: `python -m metaspec_conformance.compare.side_worker`.

It reads a `Side`, answers `SideReady`, then reads lists of `Variant` and answers each with a list of `Answer`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidTypeError
from metaspec.task import Task, Tree
from metaspec_conformance.compare import sources, stages
from metaspec_conformance.compare.comparison_messages import SCALAR, Answer, Side, SideReady, Stages, Variant
from metaspec_conformance.compare.layout import Layout, Leaves, checked_mapping, filled, readable, skeleton_of
from metaspec_conformance.containment.worker_channel import WorkerChannel
from metaspec_conformance.judging.numpy_trees import tree_map
from metaspec_conformance.oracles import extended_precision as extended
from metaspec_conformance.workers.loading import load as load_backend
from metaspec_conformance.workers.user_errors import describe_user_error


@dataclass(frozen=True)
class Work:
    """A side that is ready: its backend, its loss, and the structure of its own parameters if it has any."""

    B: Backend
    loss: Callable[[Tree, Tree], Any]
    structure: Any = None


def prepare(side: Side) -> tuple[Work | None, SideReady]:
    """Load everything that the side names."""
    try:
        B = load_backend(side.backend)
        loss = sources.load(side.loss)
        if not callable(loss):
            raise InvalidTypeError(f"loss: {side.loss.place} is a {type(loss).__name__}, expected a function")
        given = {
            "params": sources.load(side.params) if side.params else None,
            "task": sources.load(side.task) if side.task else None,
        }
        for name in given:
            if name in side.defaults:
                given[name] = sources.default(side.loss, name)
            given[name] = sources.value(given[name], name)
        task = None if given["task"] is None else sources.as_task(given["task"], lambda x: _plain(x, "task"))
        structure, params, skeleton = None, None, None
        if given["params"] is not None:
            leaves, structure = B.tree_flatten(given["params"])
            names = [readable(path) for path in B.tree_paths(given["params"])]
            params = {name: sources.as_numpy(x, f"params: {name}") for name, x in zip(names, leaves, strict=True)}
            skeleton = _skeleton(given["params"], names)
        mapping = None
        if side.mapping:
            given_mapping = sources.value(sources.load(side.mapping), "mapping")
            mapping = checked_mapping(side.name, given_mapping)
        return Work(B, loss, structure), SideReady(dict(B.versions()), params, skeleton, task, mapping)
    except Exception as error:
        return None, SideReady(error=_message(error))


def perform(work: Work, variant: Variant) -> Answer:
    """One computation."""
    try:
        with work.B.precision(variant.dtype):
            return Answer(_stages(work, variant))
    except Exception as error:
        return Answer({}, _message(error))


def _stages(work: Work, variant: Variant) -> Stages:
    B, layout = work.B, variant.layout

    def convert(tree: Tree) -> Tree:
        return ms.asarray(tree, dtype=variant.dtype, backend=B)

    params = convert(_tree(work, layout, variant.params))
    direction, task = convert(_tree(work, layout, variant.direction)), Task(*map(convert, variant.task))
    names = _names(work, layout)
    forms = {leaf.name: leaf for leaf in layout.leaves}
    replaced = {name: convert(forms[name].forward(x)) for name, x in variant.replaced.items()}
    loss = stages.changed(B, work.loss, names, variant.scale, variant.offset, variant.decay, variant.frozen, replaced)
    rounding = extended.EXACT if variant.rounding is None else extended.perturbation(*variant.rounding)

    def noisy(theta: Tree, batch: Tree) -> Any:
        return loss(rounding(theta), rounding(batch))

    def run(params: Tree, task: Task, direction: Tree) -> dict[str, Tree]:
        used = loss if rounding is extended.EXACT else noisy
        return stages.compute(B, used, variant.algorithm, params, task, direction, variant.until)

    found = rounding.everywhere(B, run)(params, task, direction)
    shapes = {name: np.shape(x) for name, x in variant.params.items()}
    return {stage: _common(work, layout, names, shapes, tree) for stage, tree in found.items()}


def _tree(work: Work, layout: Layout, common: Leaves) -> Tree:
    own = [leaf.forward(common[leaf.name]) for leaf in layout.leaves]
    if layout.skeleton is None:
        return work.B.tree_unflatten(work.structure, own)
    return filled(layout.skeleton, own)


def _names(work: Work, layout: Layout) -> list[str]:
    """The common names in the order in which the backend has the leaves."""
    order = range(len(layout.leaves)) if layout.skeleton is None else work.B.tree_flatten(layout.skeleton)[0]
    return [layout.leaves[i].name for i in order]


def _common(work: Work, layout: Layout, names: list[str], shapes: dict[str, Any], tree: Tree) -> Leaves:
    B = work.B
    if isinstance(tree, dict) and list(tree) == [SCALAR]:
        return {SCALAR: np.array(B.to_numpy(tree[SCALAR]))}
    forms = {leaf.name: leaf for leaf in layout.leaves}
    return {
        name: forms[name].backward(np.array(B.to_numpy(leaf)), shapes[name])
        for name, leaf in zip(names, B.tree_flatten(tree)[0], strict=True)
    }


def _skeleton(tree: Tree, names: list[str]) -> Any:
    """The tree of plain containers with numbers in place of leaves; None where it has other nodes."""
    skeleton, found = skeleton_of(tree, "params")
    return skeleton if [name for name, _ in found] == names else None


def _plain(tree: Tree, what: str) -> Tree:
    return tree_map(lambda leaf: sources.as_numpy(leaf, what), tree)


def _message(error: Exception) -> str:
    ours = isinstance(error, ms.MetaspecError)
    return " ".join(str(error).split()) if ours else describe_user_error(error)


def main() -> None:
    """Answer the caller's requests until there are no more."""
    channel = WorkerChannel()
    try:
        work, ready = prepare(channel.receive())
        channel.send(ready)
        while work is not None:
            channel.send([perform(work, variant) for variant in channel.receive()])
    except EOFError:
        return


if __name__ == "__main__":
    main()
