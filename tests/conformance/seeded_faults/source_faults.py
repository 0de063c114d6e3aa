"""Task sources broken on purpose."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy

from metaspec import data
from metaspec.data import FewShot, FunctionMixture, Sinusoid, _random, mixture
from metaspec.data import source as core
from metaspec.task import Task
from tests.conformance.seeded_faults.fault import Patch, fault, method, rebind

task_source = "task source"


def drawn(patch: Patch, change: Callable[..., Any]) -> None:
    """`change(original, seed, stream, indices, count)` for the uniform numbers that all sources are made of."""
    original = _random.uniforms
    rebind(patch, original, lambda seed, stream, indices, count: change(original, seed, stream, indices, count))


def made(patch: Patch, kind: type, change: Callable[[Any, Task, Sequence[int]], Task]) -> None:
    """`change(source, batch, indices)` for the batches that a source makes."""

    method(patch, kind, "_stack", lambda original, self, indices: change(self, original(self, indices), indices))


@fault(task_source, 23)
def one_task_for_ever(patch: Patch) -> None:
    """The index is not used: every task is the same."""
    drawn(patch, lambda original, seed, stream, indices, count: original(seed, stream, [0] * len(indices), count))


@fault(task_source, 23)
def one_task_per_batch(patch: Patch) -> None:
    """The tasks of a batch are all its first one."""
    drawn(
        patch,
        lambda original, seed, stream, indices, count: original(seed, stream, [indices[0]] * len(indices), count),
    )


@fault(task_source)
def seed_ignored(patch: Patch) -> None:
    """Every seed gives the same tasks."""
    drawn(patch, lambda original, seed, *rest: original(0, *rest))


@fault(task_source)
def stream_ignored(patch: Patch) -> None:
    """Meta-test sees the tasks of meta-training."""
    drawn(patch, lambda original, seed, stream, *rest: original(seed, "train", *rest))


@fault(task_source)
def seed_in_32_bits(patch: Patch) -> None:
    """A seed's upper bits are dropped."""
    drawn(patch, lambda original, seed, *rest: original(seed % 2**32, *rest))


@fault(task_source)
def generator_with_a_state(patch: Patch) -> None:
    """A task depends on how many were drawn before it."""
    generator = numpy.random.Generator(numpy.random.PCG64(0))
    drawn(patch, lambda original, seed, stream, indices, count: generator.random((len(indices), count)))


@fault(task_source)
def global_generator_read(patch: Patch) -> None:
    """Tasks come from NumPy's global generator."""
    drawn(patch, lambda original, seed, stream, indices, count: numpy.random.random((len(indices), count)))


@fault(task_source, 23)
def global_generator_seeded(patch: Patch) -> None:
    """Each draw seeds NumPy's global generator; the tasks are right."""

    def seeded(original: Any, seed: int, *rest: Any) -> Any:
        numpy.random.seed(seed % 2**32)
        return original(seed, *rest)

    drawn(patch, seeded)


@fault(task_source)
def differs_between_processes(patch: Patch) -> None:
    """The tasks depend on the process, as a hash of a string does."""
    drawn(patch, lambda original, seed, *rest: original(seed + hash("tasks") % 2**31, *rest))


@fault(task_source)
def draws_share_a_buffer(patch: Patch) -> None:
    """All threads draw into one array."""
    shared: dict[Any, Any] = {}

    def buffered(original: Any, seed: int, stream: str, indices: Any, count: int) -> Any:
        out = shared.setdefault((len(indices), count), numpy.empty((len(indices), count)))
        out[...] = original(seed, stream, indices, count)
        time.sleep(1e-4)
        return out

    drawn(patch, buffered)


@fault(task_source)
def neighbours_are_alike(patch: Patch) -> None:
    """A task's numbers are in part those of the task before it."""

    def blended(original: Any, seed: int, stream: str, indices: Any, count: int) -> Any:
        now = original(seed, stream, indices, count)
        before = original(seed, stream, [max(0, i - 1) for i in indices], count)
        return numpy.where(original(seed + 1, stream, indices, count) < 0.3, before, now)

    drawn(patch, blended)


@fault(task_source)
def crowded_at_the_low_end(patch: Patch) -> None:
    """Small values are drawn more often than large ones."""
    drawn(patch, lambda original, *arguments: original(*arguments) ** 1.25)


@fault(task_source)
def amplitude_and_phase_from_one_number(patch: Patch) -> None:
    """One number gives amplitude and phase."""

    def doubled(original: Any, *arguments: Any) -> Any:
        u = original(*arguments)
        u[:, 1] = u[:, 0]
        return u

    drawn(patch, doubled)


@fault(task_source)
def batches_overlap(patch: Patch) -> None:
    """Batch k starts at task k, not at task k n."""
    rebind(patch, core.batch_indices, lambda step, size: range(step, step + size))


@fault(task_source)
def phases_of_a_whole_turn(patch: Patch) -> None:
    """Phases are drawn from [0, 2 pi]."""
    method(
        patch,
        Sinusoid,
        "_stack",
        lambda original, self, indices: original(replace(self, phase=(0.0, 2 * numpy.pi)), indices),
    )


@fault(task_source)
def noise_in_the_queries(patch: Patch) -> None:
    """The query's values are off the curve by a millionth."""

    def noisy(source: Any, batch: Task, indices: Any) -> Task:
        return batch._replace(query=batch.query | {"y": batch.query["y"] + batch.query["y"].dtype.type(1e-6)})

    made(patch, Sinusoid, noisy)


@fault(task_source)
def support_in_the_query(patch: Patch) -> None:
    """The first query example is the first support example."""

    def leaked(source: Any, batch: Task, indices: Any) -> Task:
        query = {name: leaf.copy() for name, leaf in batch.query.items()}
        for name, leaf in query.items():
            leaf[:, 0] = batch.support[name][:, 0]
        return batch._replace(query=query)

    for kind in (Sinusoid, FunctionMixture, FewShot):
        made(patch, kind, leaked)


@fault(task_source)
def inputs_shared_by_all_tasks(patch: Patch) -> None:
    """Every task is seen at the same inputs."""

    def fixed(original: Any, seed: int, stream: str, indices: Any, count: int) -> Any:
        u = original(seed, stream, indices, count)
        u[:, 2:] = original(seed, stream, [0], count)[:, 2:]
        return u

    drawn(patch, fixed)


@fault(task_source)
def float32_computed_in_float32(patch: Patch) -> None:
    """float32 tasks are computed in float32, not rounded at the end."""

    def narrow(source: Any, batch: Task, indices: Any) -> Task:
        if source.dtype != "float32":
            return batch
        parts = []
        for part in batch:
            waves = [source.amplitude_and_phase(i) for i in indices]
            A, phase = (numpy.array(column, "float32")[:, None, None] for column in zip(*waves, strict=True))
            parts.append(part | {"y": A * numpy.sin(part["x"] - phase)})
        return Task(*parts)

    made(patch, Sinusoid, narrow)


@fault(task_source)
def tasks_are_lent(patch: Patch) -> None:
    """Tasks are kept, and given out again as the same arrays."""
    kept = cache(lambda original, self, index: original(self, index))
    for kind in (Sinusoid, FunctionMixture):
        method(patch, kind, "task", kept)


@fault(task_source)
def families_uneven(patch: Patch) -> None:
    """The first family is drawn more often than the others."""
    method(patch, FunctionMixture, "_kinds", lambda original, self, u: original(self, u**1.5))


@fault(task_source)
def noise_is_uniform(patch: Patch) -> None:
    """Noise of the right mean and variance, but not normal."""
    patch(mixture, "_normals", lambda u: (u[:, : u.shape[1] // 2] - 0.5) * 12**0.5)


@fault(task_source)
def one_noise_for_all_points(patch: Patch) -> None:
    """All points of a task are off by the same."""
    original = mixture._normals
    patch(mixture, "_normals", lambda u: 0 * original(u) + original(u)[:, :1])


@fault(task_source)
def curve_turned_over(patch: Patch) -> None:
    """Parabolas open upwards alone."""
    family = mixture.FAMILIES["quadratic"]
    function = lambda x, a, b, c, sign: a * (x - c) ** 2 + b  # noqa: E731
    patch(mixture, "FAMILIES", mixture.FAMILIES | {"quadratic": replace(family, function=function)})


@fault(task_source)
def labels_not_permuted(patch: Patch) -> None:
    """An episode's classes are labelled in the order of their ids."""

    def members(original: Any, self: Any, indices: Any) -> Any:
        positions, turns = original(self, indices)
        order = numpy.argsort(self.data.labels[positions], axis=2, kind="stable")
        return tuple(numpy.take_along_axis(x, order, axis=2) for x in (positions, turns))

    method(patch, FewShot, "members", members)


@fault(task_source)
def labels_unbalanced(patch: Patch) -> None:
    """One query example has its neighbour's label."""

    def mislabelled(source: Any, batch: Task, indices: Any) -> Task:
        y = batch.query["y"].copy()
        y[:, 0] = y[:, 1]
        return batch._replace(query=batch.query | {"y": y})

    made(patch, FewShot, mislabelled)


@fault(task_source)
def drawn_with_replacement(patch: Patch) -> None:
    """Classes and pictures are drawn with replacement."""

    def shuffle(u: Any, sizes: Any) -> Any:
        return (u * sizes[:, None]).astype(numpy.int64)

    rebind(patch, _random.partial_shuffle, shuffle)


@fault(task_source)
def last_class_never_drawn(patch: Patch) -> None:
    """The last of the classes, or of a class's pictures, is never drawn: an interval that is open at the wrong end."""
    original = _random.partial_shuffle
    rebind(patch, original, lambda u, sizes: original(u, numpy.where(sizes > u.shape[1], sizes - 1, sizes)))


@fault(task_source)
def pictures_not_turned(patch: Patch) -> None:
    """Rotations count as classes, and the pictures are not turned."""
    from metaspec.data.images import rotated

    rebind(patch, rotated, lambda pictures, quarter_turns: pictures.copy())


@fault(task_source)
def splits_overlap(patch: Patch) -> None:
    """Meta-train and meta-test classes are drawn independently of each other."""
    original = data.split_classes

    def split(pictures: Any, counts: Any, seed: int = 0) -> Any:
        return tuple(original(pictures, (count,), seed + i)[0] for i, count in enumerate(counts))

    rebind(patch, original, split)


@fault(task_source)
def split_ignores_the_seed(patch: Patch) -> None:
    """Every seed divides the classes in the same way."""
    original = data.split_classes
    rebind(patch, original, lambda pictures, counts, seed=0: original(pictures, counts, 0))


@fault(task_source)
def meta_test_on_training_classes(patch: Patch) -> None:
    """The source for meta-test draws from the classes of meta-training."""
    original = data.omniglot_tasks
    rebind(patch, original, lambda split, **options: original(split._replace(test=split.train), **options))
