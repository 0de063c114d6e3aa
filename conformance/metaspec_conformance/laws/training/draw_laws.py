"""Laws of what task sources draw: distributions, independence, and what must have nothing in common.

Every sample comes from a fixed seed; `statistics` says how far it may be from its distribution.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from metaspec.data import OmniglotSplit, omniglot_tasks, split_classes
from metaspec.task import Task
from metaspec_conformance.laws.framework.claims import Claim, Holds, Same
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.training.marked_images import (
    PER_CLASS,
    TURNS,
    class_of,
    classes,
    numbered,
    numbers,
    turns,
)
from metaspec_conformance.laws.training.sample_statistics import correlated, uneven, unlike_normal, unlike_uniform
from metaspec_conformance.laws.training.source_laws import (
    QUERIES,
    SHOTS,
    SOURCES,
    WAYS,
    episodes,
    fingerprint,
    mixtures,
    sinusoids,
    source,
)

MANY = 600


@source("other index, stream or seed: another task, independent of the first", "MS-SOURCE-2")
def no_two_alike(at: LawContext) -> Iterator[Claim]:
    for name, make in SOURCES.items():
        families = [(0, "train"), (0, "validation"), (0, "test"), (1, "train"), (2**32, "train")]
        tasks = [make(seed=seed, stream=stream).task(i) for seed, stream in families for i in range(60)]
        different = len({fingerprint(task) for task in tasks})
        yield Holds(f"{name}: all different", different == len(tasks), f"{different} different ones of {len(tasks)}")
    points = np.concatenate([_inputs(sinusoids(seed, stream).batch(0, 60)) for seed, stream in families])
    yield Holds("sinusoid: no input twice", len(np.unique(points)) == points.size, "inputs are shared between tasks")
    mixed = _inputs(mixtures(seed=9, noise=0.25).batch(0, MANY)).ravel()
    yield Holds("mixture: no input twice", len(np.unique(mixed)) == mixed.size, "inputs are shared between tasks")
    amplitudes, phases, _ = _waves(sinusoids(seed=9).batch(0, MANY))
    for what, values in (("amplitudes", amplitudes), ("phases", phases)):
        found = correlated(values[:-1], values[1:])
        yield Holds(f"sinusoid: {what} of neighbours are independent", not found, found)


@source("y = A sin(x - p); A ~ U[0.1, 5], p ~ U[0, pi], x ~ U[-5, 5], independent", "MS-SOURCE-3")
def sinusoid(at: LawContext) -> Iterator[Claim]:
    for stream in ("train", "test"):
        batch = sinusoids(seed=2, stream=stream).batch(0, MANY)
        amplitudes, phases, misfit = _waves(batch)
        yield Holds(f"{stream}: a sinusoid", misfit < 1e-12, f"y is {misfit:.1e} from A sin(x - p)")
        inputs = _inputs(batch).reshape(MANY, -1)
        for what, values, low, high in (
            ("A", amplitudes, 0.1, 5.0),
            ("p", phases, 0.0, np.pi),
            ("x", inputs.ravel(), -5.0, 5.0),
        ):
            found = unlike_uniform(values, low, high)
            yield Holds(f"{stream}: {what} is uniform", not found, found)
        for i, column in enumerate(inputs.T):
            found = correlated(amplitudes, phases) or correlated(amplitudes, column) or correlated(phases, column)
            found = found or correlated(column, inputs[:, i - 1])
            yield Holds(f"{stream}: input {i} is independent of A, p and input {i - 1}", not found, found)


def _inputs(batch: Task) -> Any:
    """Support's x, then query's."""
    return np.concatenate([batch.support["x"], batch.query["x"]], axis=1)


def _waves(batch: Task) -> tuple[Any, Any, float]:
    """A, p of each task by least squares, y = (A cos p) sin x - (A sin p) cos x, and the largest misfit."""
    x, y = _joined(batch, "x"), _joined(batch, "y")
    design = np.stack([np.sin(x), -np.cos(x)], axis=-1)
    solved = np.stack([np.linalg.lstsq(rows, values, rcond=None)[0] for rows, values in zip(design, y, strict=True)])
    misfit = float(np.max(np.abs(np.einsum("tnk,tk->tn", design, solved) - y)))
    return np.hypot(*solved.T), np.arctan2(solved[:, 1], solved[:, 0]), misfit


# Each family as its documentation has it: the intervals of its parameters, and the function.
WIDE = (-3.0, 3.0)
FAMILIES: dict[str, tuple[list[tuple[float, float]], Callable[..., Any]]] = {
    "sinusoid": ([(0.1, 5.0), (0.0, np.pi)], lambda x, a, p: a * np.sin(x - p)),
    "linear": ([WIDE, WIDE], lambda x, a, b: b + a * x),
    "quadratic": ([(0.02, 0.15), WIDE, WIDE, (-1.0, 1.0)], lambda x, a, b, c, s: b + np.sign(s) * a * (x - c) ** 2),
    "absolute": ([WIDE, WIDE, WIDE], lambda x, a, b, c: b + a * np.abs(x - c)),
    "tanh": ([WIDE, WIDE, WIDE], lambda x, a, b, c: b + a * np.tanh(x - c)),
}


@source(
    "every family as often; y = f(x; p), p uniform on the family's intervals; noise is normal, of its own for each y",
    "MS-SOURCE-3",
)
def mixture(at: LawContext) -> Iterator[Claim]:
    plain, noisy = mixtures(seed=11), mixtures(seed=11, noise=0.25)
    x, y, blurred = (_joined(one.batch(0, MANY), key) for one, key in ((plain, "x"), (plain, "y"), (noisy, "y")))
    drawn = [plain.family(i) for i in range(MANY)]
    names = list(FAMILIES)
    found = uneven(np.array([names.index(name) for name, _ in drawn]), len(names))
    yield Holds("each family as often", not found, found)
    exact = np.stack([FAMILIES[name][1](row, *p) for row, (name, p) in zip(x, drawn, strict=True)])
    misfit = float(np.max(np.abs(y - exact)))
    yield Holds("y = f(x; p)", misfit < 1e-12, f"y is {misfit:.1e} from the function")
    for name, (intervals, _) in FAMILIES.items():
        values = np.array([p for kind, p in drawn if kind == name])
        for i, (low, high) in enumerate(intervals):
            found = unlike_uniform(values[:, i], low, high) or (i and correlated(values[:, i], values[:, i - 1])) or ""
            yield Holds(f"{name}: parameter {i} is uniform, and independent of the others", not found, found)
    noise = (blurred - y) / 0.25
    found = unlike_normal(noise)
    yield Holds("noise is normal", not found, found)
    for i in range(1, noise.shape[1]):
        found = correlated(noise[:, i], noise[:, i - 1]) or correlated(noise[:, i], x[:, i])
        yield Holds(f"noise {i} is independent of the point before it, and of x", not found, found)


def _joined(batch: Task, key: str) -> Any:
    """Support and query of each task, [tasks, points]."""
    return np.concatenate([part[key] for part in batch], axis=1)[..., 0]


@source(
    "each label has K examples; classes, turns, pictures and their labels are equally likely",
    "MS-SOURCE-3",
    naming=lambda _: "source/episodes",
)
def drawn_episodes(at: LawContext) -> Iterator[Claim]:
    for stream in ("train", "test"):
        batch = episodes(seed=6, stream=stream).batch(0, MANY)
        for part, each in zip(batch, (SHOTS, QUERIES), strict=True):
            counts = np.stack([np.bincount(y, minlength=WAYS) for y in part["y"]])
            balanced = bool(np.all(counts == each))
            yield Holds(f"{stream}: {each} examples of each label", balanced, "labels are unbalanced")
        pictures, kinds, quarters = _by_label(batch)
        alike = bool(np.all(kinds == kinds[..., :1]) and np.all(quarters == quarters[..., :1]))
        yield Holds(f"{stream}: a label is one class, turned one way", alike, "a label has several classes")
        labelled = kinds[..., 0] * WAYS + np.arange(WAYS)
        found = uneven(labelled.ravel(), WAYS * len(classes()))
        yield Holds(f"{stream}: each class under each label as often", not found, found)
        found = uneven(pictures.ravel(), len(classes()) * PER_CLASS)
        yield Holds(f"{stream}: each picture as often", not found, found)
        found = "" if stream == "train" or not quarters.any() else "meta-test pictures are turned"
        found = found or (uneven(quarters[..., 0].ravel(), len(TURNS)) if stream == "train" else "")
        yield Holds(f"{stream}: each turn as often, in meta-training alone", not found, found)


def _by_label(batch: Task) -> tuple[Any, Any, Any]:
    """Pictures, their classes and quarter turns, each [tasks, labels, examples]."""
    x, y = (np.concatenate([part[key] for part in batch], axis=1) for key in ("x", "y"))
    order = np.argsort(y, axis=1, kind="stable")
    pictures, quarters = (
        np.take_along_axis(of_each, order, axis=1).reshape(len(y), WAYS, -1) for of_each in (numbers(x), turns(x))
    )
    return pictures, class_of(pictures), quarters


@source("support and query have no example in common, an episode no class twice", "MS-SOURCE-4")
def no_example_twice(at: LawContext) -> Iterator[Claim]:
    for stream in ("train", "test"):
        functions = _inputs(mixtures(seed=8, stream=stream).batch(0, MANY))
        yield Holds(f"{stream}: mixture", _distinct(functions), "an input is there twice")
        waves = _inputs(sinusoids(seed=8, stream=stream).batch(0, MANY))
        yield Holds(f"{stream}: sinusoid", _distinct(waves), "an input is there twice")
        batch = episodes(seed=8, stream=stream).batch(0, MANY)
        pictures, kinds, quarters = _by_label(batch)
        yield Holds(f"{stream}: episodes", _distinct(pictures * 4 + quarters), "a picture is there twice")
        yield Holds(f"{stream}: classes", _distinct((kinds * 4 + quarters)[..., 0]), "a class has two labels")


def _distinct(rows: Any) -> bool:
    """Whether no row holds anything twice."""
    return bool(np.all(np.diff(np.sort(rows.reshape(len(rows), -1), axis=1), axis=1) > 0))


@source("meta-train and meta-test have no class and no picture in common", "MS-SOURCE-4")
def splits(at: LawContext) -> Iterator[Claim]:
    whole = numbered()
    parts = split_classes(whole, (3, 2, 1), seed=1)
    held = [set(part.labels.tolist()) for part in parts]
    yield Holds("sizes", [len(one) for one in held] == [3, 2, 1], f"{[len(one) for one in held]} classes for 3, 2, 1")
    yield Holds("no class in two parts", len(set().union(*held)) == 6, "a class is in two parts")
    kept = all(np.array_equal(part.images, whole.images[np.isin(whole.labels, part.labels)]) for part in parts)
    yield Holds("each class with its pictures", kept, "pictures are lost, or are another class's")
    again = split_classes(whole, (3, 2, 1), seed=1)
    yield Same("the same again", [part.images for part in again], [part.images for part in parts])
    other = [split_classes(whole, (3, 3), seed=seed)[0].labels.tolist() for seed in range(8)]
    yield Holds("another seed, another division", len({tuple(one) for one in other}) > 3, "seeds do not matter")
    train, test = omniglot_tasks(OmniglotSplit(parts[0], parts[1]), ways=2, shots=1, queries=2)
    seen = [set(numbers(_inputs(one.batch(0, 200))).ravel().tolist()) for one in (train, test)]
    yield Holds("no picture in both", not seen[0] & seen[1], f"{len(seen[0] & seen[1])} pictures are in both")
    meant = [set(numbers(part.images).tolist()) for part in parts[:2]]
    yield Holds("each source draws from its own classes", seen == meant, "other pictures than its own")
    stayed = not turns(_inputs(test.batch(0, 200))).any()
    yield Holds("meta-test classes are not turned", stayed, "turned pictures would be other classes")
