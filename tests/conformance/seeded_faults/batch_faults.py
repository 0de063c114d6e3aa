"""The meta-batch broken on purpose."""

from collections.abc import Callable
from typing import Any

import metaspec as ms
from metaspec.api import meta_gradients as api
from metaspec.ranks import sums
from metaspec.trees import scale, tree_map
from tests.conformance.seeded_faults.fault import Patch, fault, rebind

meta_batch = "meta-batch"


def around(patch: Patch, change: Callable[..., Any]) -> None:
    """`change(original, algo, loss, params, tasks, **options)` for `batch_meta_gradient`."""
    original = api.batch_meta_gradient

    def call(algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        return change(original, algo, loss, params, tasks, **options)

    rebind(patch, original, call)


def _backend(options: Any, params: Any) -> Any:
    from metaspec.backend.selection import resolve

    return resolve(options.get("backend"), params)


def _count(B: Any, tasks: Any) -> int:
    return int(B.tree_flatten(tasks)[0][0].shape[0]) if isinstance(tasks, ms.Task) else len(tasks)


@fault(meta_batch, 6, margin=True)
def sum_over_tasks(patch: Patch) -> None:
    """The sum over tasks where the mean was meant."""

    def summed(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        r, B = original(algo, loss, params, tasks, **options), _backend(options, params)
        n = float(_count(B, tasks))
        return r._replace(delta=scale(B, n, r.delta), query_loss=n * r.query_loss)

    around(patch, summed)


@fault(meta_batch, 6)
def divided_by_one_less(patch: Patch) -> None:
    """The sum over n tasks divided by n - 1."""

    def divided(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        r, B = original(algo, loss, params, tasks, **options), _backend(options, params)
        n = _count(B, tasks)
        return r._replace(delta=scale(B, n / max(1, n - 1), r.delta))

    around(patch, divided)


@fault(meta_batch, margin=True)
def weighted_by_examples(patch: Patch) -> None:
    """Tasks weigh as many examples as they have."""

    def weighted(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        B = _backend(options, params)
        if isinstance(tasks, ms.Task):
            return original(algo, loss, params, tasks, **options)
        sizes = [sum(leaf.shape[0] for leaf in B.tree_flatten(task)[0] if leaf.shape) for task in tasks]
        parts = [original(algo, loss, params, [task], **options).delta for task in tasks]
        shares = [size / sum(sizes) for size in sizes]
        mean = tree_map(B, lambda *leaves: sum(s * leaf for s, leaf in zip(shares, leaves, strict=True)), *parts)
        return original(algo, loss, params, tasks, **options)._replace(delta=mean)

    around(patch, weighted)


@fault(meta_batch, margin=True)
def last_task_dropped(patch: Patch) -> None:
    """The last task has no part in the mean."""

    def dropped(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        B = _backend(options, params)
        r = original(algo, loss, params, tasks, **options)
        if _count(B, tasks) < 2:
            return r
        rest = tree_map(B, lambda leaf: leaf[:-1, ...], tasks) if isinstance(tasks, ms.Task) else tasks[:-1]
        fewer = original(algo, loss, params, rest, **options)
        return r._replace(delta=fewer.delta, query_loss=fewer.query_loss)

    around(patch, dropped)


@fault(meta_batch)
def cut_to_the_smallest_task(patch: Patch) -> None:
    """Tasks of different sizes are cut to the size of the smallest, so that they can be stacked."""

    def cut(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        if not isinstance(tasks, ms.Task):
            B = _backend(options, params)
            columns = zip(*(B.tree_flatten(task)[0] for task in tasks), strict=True)
            least = [min(leaf.shape[0] if leaf.shape else 0 for leaf in column) for column in columns]
            structure = B.tree_flatten(tasks[0])[1]
            tasks = [
                B.tree_unflatten(
                    structure,
                    [leaf[:n, ...] if n else leaf for leaf, n in zip(B.tree_flatten(task)[0], least, strict=True)],
                )
                for task in tasks
            ]
        return original(algo, loss, params, tasks, **options)

    around(patch, cut)


@fault(meta_batch, 15, margin=True)
def first_task_for_all(patch: Patch) -> None:
    """Every task of a stacked batch is computed on the first one's data."""

    def repeated(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        if isinstance(tasks, ms.Task):
            B = _backend(options, params)
            tasks = tree_map(B, lambda leaf: B.xp.stack([leaf[0, ...]] * leaf.shape[0]), tasks)
        return original(algo, loss, params, tasks, **options)

    around(patch, repeated)


@fault(meta_batch)
def results_in_reverse(patch: Patch) -> None:
    """`adapted` and `diagnostics` hold the tasks in reverse; the mean is right."""

    def reversed_(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        B, r = _backend(options, params), original(algo, loss, params, tasks, **options)
        turn = lambda tree: tree_map(B, lambda leaf: leaf[::-1, ...], tree)  # noqa: E731
        return r._replace(adapted=turn(r.adapted), diagnostics=turn(r.diagnostics))

    around(patch, reversed_)


@fault(meta_batch)
def query_loss_of_the_first_task(patch: Patch) -> None:
    """The query loss is the first task's, not the mean."""

    def first(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        r = original(algo, loss, params, tasks, **options)
        return r._replace(query_loss=r.diagnostics.query_loss[0])

    around(patch, first)


@fault(meta_batch)
def single_task_not_averaged(patch: Patch) -> None:
    """A sequence of one task gives half of that task's meta-update."""

    def halved(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        B, r = _backend(options, params), original(algo, loss, params, tasks, **options)
        return r._replace(delta=scale(B, 0.5, r.delta)) if _count(B, tasks) == 1 else r

    around(patch, halved)


@fault(meta_batch, 6)
def chunks_weigh_alike(patch: Patch) -> None:
    """The mean of the chunks' means: the tasks of a last, smaller chunk weigh more."""

    def alike(original: Any, algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        B, r = _backend(options, params), original(algo, loss, params, tasks, **options)
        size, n = options.get("chunk_size"), _count(B, tasks)
        if not size or n % size == 0:
            return r
        stacked = tasks if isinstance(tasks, ms.Task) else B.tree_stack(list(tasks))
        deltas = []
        for start in range(0, n, size):
            part = tree_map(B, lambda leaf, start=start: leaf[start : min(n, start + size), ...], stacked)
            deltas.append(original(algo, loss, params, part, **options).delta)
        mean = tree_map(B, lambda *leaves: sum(leaves[1:], leaves[0]) / len(leaves), *deltas)
        return r._replace(delta=mean)

    around(patch, alike)


@fault(meta_batch)
def ranks_weigh_alike(patch: Patch) -> None:
    """The sum of the processes' means, whatever the size of their shares."""
    patch(sums, "scale", lambda B, count, tree: tree)
