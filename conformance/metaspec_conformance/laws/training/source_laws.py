"""Laws of task sources: a task is a function of its index, the same bits everywhere, with nothing global behind it."""

import hashlib
import os
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.data import FewShot, FunctionMixture, Sinusoid
from metaspec.data.source import TaskSource
from metaspec.task import Task
from metaspec_conformance.judging.numpy_trees import leaves
from metaspec_conformance.laws.framework.claims import Claim, Holds, Same
from metaspec_conformance.laws.framework.law import hyphenated, law
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.framework.law_scenarios import nowhere
from metaspec_conformance.laws.members.required_members import small
from metaspec_conformance.laws.training.marked_images import TURNS, numbered
from metaspec_conformance.workers.python_program import run_program

source = partial(
    law, on=small, applies=nowhere, subject="sources", numeric=False, dtypes=("float64",), naming=hyphenated("source/")
)

WAYS, SHOTS, QUERIES = 3, 2, 4


def sinusoids(seed: int = 0, stream: str = "train", dtype: str = "float64") -> Sinusoid:
    return Sinusoid(shots=5, queries=7, seed=seed, stream=stream, dtype=dtype)


def episodes(seed: int = 0, stream: str = "train", dtype: str = "float64") -> FewShot:
    rotations = TURNS if stream == "train" else (0,)
    return FewShot(numbered(), WAYS, SHOTS, QUERIES, seed=seed, stream=stream, dtype=dtype, rotations=rotations)


def mixtures(seed: int = 0, stream: str = "train", dtype: str = "float64", noise: float = 0.0) -> FunctionMixture:
    """Functions of five families."""
    return FunctionMixture(noise=noise, shots=5, queries=7, seed=seed, stream=stream, dtype=dtype)


SOURCES: dict[str, Callable[..., TaskSource]] = {"sinusoid": sinusoids, "mixture": mixtures, "episodes": episodes}


def fingerprint(task: Task) -> str:
    """A hash of every leaf's format, shape and bits."""
    whole = hashlib.sha256()
    for leaf in leaves(task):
        whole.update(f"{leaf.dtype.str} {leaf.shape}".encode() + np.ascontiguousarray(leaf).tobytes())
    return whole.hexdigest()


def fingerprints() -> str:
    """One hash of some tasks of every source."""
    some = [make(seed=5).batch(step, 3) for make in SOURCES.values() for step in (0, 7)]
    return hashlib.sha256("".join(map(fingerprint, some)).encode()).hexdigest()


def stacked(tasks: Sequence[Task]) -> Task:
    parts = zip(*tasks, strict=True)
    return Task(*({name: np.stack([tree[name] for tree in part]) for name in part[0]} for part in parts))


@source("task(i) depends on the arguments and on i; batch(k, n) = tasks kn ... kn + n - 1", "MS-SOURCE-1")
def by_index(at: LawContext) -> Iterator[Claim]:
    for name, make in SOURCES.items():
        one = make(seed=3)
        later = one.task(1000)
        one.task(0)
        yield Same(f"{name}: again, after another", one.task(1000), later)
        yield Same(f"{name}: from another instance", make(seed=3).task(1000), later)
        for step in (0, 3):
            wanted = stacked([one.task(4 * step + i) for i in range(4)])
            yield Same(f"{name}: batch {step}", make(seed=3).batch(step, 4), wanted)


@source("the same bits in every thread and every process", "MS-SOURCE-1")
def threads_and_processes(at: LawContext) -> Iterator[Claim]:
    for name, make in SOURCES.items():
        shared, indices = make(seed=4), list(range(24))
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda i, one=shared: fingerprint(one.task(i)), reversed(indices)))
        alone = [fingerprint(make(seed=4).task(i)) for i in indices]
        yield Holds(f"{name}: four threads, in reverse", together[::-1] == alone, "other bits than one after another")
    program = f"from {__name__} import fingerprints; print(fingerprints())"
    child = run_program(program, PYTHONHASHSEED="77")
    found = child.stdout.strip() or child.stderr.strip()[-200:]
    yield Holds("another process", found == fingerprints(), f"it finds {found}")


@source("float32 tasks are the float64 ones rounded; labels are integers", "MS-SOURCE-1")
def formats(at: LawContext) -> Iterator[Claim]:
    for name, make in SOURCES.items():
        wide, narrow = (make(seed=2, dtype=dtype).batch(1, 3) for dtype in ("float64", "float32"))
        rounded = Task(*({k: v.astype("float32") if v.dtype == "float64" else v for k, v in p.items()} for p in wide))
        yield Same(name, narrow, rounded)
    kinds = {part["y"].dtype.kind for part in episodes().task(0)}
    yield Holds("labels", kinds == {"i"}, f"they are of the kinds {kinds}")


@source("no generator, no setting, no data is read from the outside or written to", "MS-SOURCE-5")
def nothing_global(at: LawContext) -> Iterator[Claim]:
    before = numbered().images.tobytes()
    for name, make in SOURCES.items():
        state = _globals()
        one = make(seed=1)
        tasks = [fingerprint(one.batch(step, 2)) for step in (5, 2)]
        yield Holds(
            f"{name}: nothing is written",
            _globals() == state,
            "a generator, the environment or the error state has changed",
        )
        with _other_globals():
            again = [fingerprint(make(seed=1).batch(step, 2)) for step in (5, 2)]
        yield Holds(f"{name}: nothing is read", again == tasks, "the tasks depend on a global generator")
        task = one.task(3)
        meant = fingerprint(task)
        for part in task:
            part["x"][...] = 7
        yield Holds(
            f"{name}: a task is its owner's", fingerprint(one.task(3)) == meant, "writing to it changes the next"
        )
    yield Holds("the pictures are untouched", numbered().images.tobytes() == before, "they have changed")


def _globals() -> tuple[Any, ...]:
    """The states of the global generators, the environment, the treatment of floating-point errors."""
    state: Any = np.random.get_state()  # noqa: NPY002  # the global one is meant, here and below
    kind, words, *rest = state
    return kind, words.tobytes(), *rest, random.getstate(), dict(os.environ), np.geterr()


@contextmanager
def _other_globals() -> Iterator[None]:
    """Other states of the global generators, for a while."""
    before = np.random.get_state(), random.getstate()  # noqa: NPY002
    np.random.seed(12345)  # noqa: NPY002
    random.seed(12345)
    try:
        yield
    finally:
        np.random.set_state(before[0])  # noqa: NPY002
        random.setstate(before[1])


@source("a task is the same to the bit on every backend", "MS-SOURCE-1", "MS-BACKEND-4")
def every_backend(at: LawContext) -> Iterator[Claim]:
    for name, make in SOURCES.items():
        task = make(seed=1).task(7)
        found = ms.asarray(task, backend=at.B)
        for part, wanted in zip(found, task, strict=True):
            yield Same(name, {key: at.B.to_numpy(leaf) for key, leaf in part.items()}, wanted)
