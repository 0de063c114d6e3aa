"""Laws of what task sources draw: distributions, independence, and what must have nothing in common.

Every sample comes from a fixed seed; `statistics` says how far it may be from its distribution.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from metaspec.conformance.laws.bench import Bench
from metaspec.conformance.laws.claims import Claim, Holds, Same
from metaspec.conformance.laws.pictures import PER_CLASS, TURNS, class_of, classes, numbered, numbers, turns
from metaspec.conformance.laws.sources import QUERIES, SHOTS, SOURCES, WAYS, episodes, fingerprint, sinusoids, source
from metaspec.conformance.laws.statistics import correlated, uneven, unlike_uniform
from metaspec.data import OmniglotSplit, omniglot_tasks, split_classes
from metaspec.task import Task

MANY = 600


@source("source/no-two-alike", "other index, stream or seed: another task, independent of the first", "MS-SOURCE-2")
def no_two_alike(at: Bench) -> Iterator[Claim]:
    for name, make in SOURCES.items():
        families = [(0, "train"), (0, "validation"), (0, "test"), (1, "train"), (2**32, "train")]
        tasks = [make(seed=seed, stream=stream).task(i) for seed, stream in families for i in range(60)]
        different = len({fingerprint(task) for task in tasks})
        yield Holds(f"{name}: all different", different == len(tasks), f"{different} different ones of {len(tasks)}")
    points = np.concatenate([_inputs(sinusoids(seed, stream).batch(0, 60)) for seed, stream in families])
    yield Holds("sinusoid: no input twice", len(np.unique(points)) == points.size, "inputs are shared between tasks")
    amplitudes, phases, _ = _waves(sinusoids(seed=9).batch(0, MANY))
    for what, values in (("amplitudes", amplitudes), ("phases", phases)):
        found = correlated(values[:-1], values[1:])
        yield Holds(f"sinusoid: {what} of neighbours are independent", not found, found)


@source("source/sinusoid", "y = A sin(x - p); A ~ U[0.1, 5], p ~ U[0, pi], x ~ U[-5, 5], independent", "MS-SOURCE-3")
def sinusoid(at: Bench) -> Iterator[Claim]:
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
    return np.concatenate([batch.support["x"], batch.query["x"]], axis=1)


def _waves(batch: Task) -> tuple[Any, Any, float]:
    """A, p of each task by least squares, y = (A cos p) sin x - (A sin p) cos x, and the largest misfit."""
    x, y = (np.concatenate([part[key] for part in batch], axis=1)[..., 0] for key in ("x", "y"))
    design = np.stack([np.sin(x), -np.cos(x)], axis=-1)
    solved = np.stack([np.linalg.lstsq(rows, values, rcond=None)[0] for rows, values in zip(design, y, strict=True)])
    misfit = float(np.max(np.abs(np.einsum("tnk,tk->tn", design, solved) - y)))
    return np.hypot(*solved.T), np.arctan2(solved[:, 1], solved[:, 0]), misfit


@source(
    "source/episodes",
    "each label has K examples; classes, turns, pictures and their labels are equally likely",
    "MS-SOURCE-3",
)
def drawn_episodes(at: Bench) -> Iterator[Claim]:
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


@source(
    "source/no-example-twice", "support and query have no example in common, an episode no class twice", "MS-SOURCE-4"
)
def no_example_twice(at: Bench) -> Iterator[Claim]:
    for stream in ("train", "test"):
        waves = _inputs(sinusoids(seed=8, stream=stream).batch(0, MANY))
        yield Holds(f"{stream}: sinusoid", _distinct(waves), "an input is there twice")
        batch = episodes(seed=8, stream=stream).batch(0, MANY)
        pictures, kinds, quarters = _by_label(batch)
        yield Holds(f"{stream}: episodes", _distinct(pictures * 4 + quarters), "a picture is there twice")
        yield Holds(f"{stream}: classes", _distinct((kinds * 4 + quarters)[..., 0]), "a class has two labels")


def _distinct(rows: Any) -> bool:
    """Whether no row holds anything twice."""
    return bool(np.all(np.diff(np.sort(rows.reshape(len(rows), -1), axis=1), axis=1) > 0))


@source("source/splits", "meta-train and meta-test have no class and no picture in common", "MS-SOURCE-4")
def splits(at: Bench) -> Iterator[Claim]:
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
