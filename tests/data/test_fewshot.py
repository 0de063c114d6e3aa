"""Episodes: shapes, order of labels, true rotations, errors."""

import numpy as np
import pytest

from metaspec.data import FewShot, LabelledImages, split_classes
from metaspec.errors import InvalidArgumentError, InvalidTypeError, MetaspecError
from tests.data.helpers import identify, numbered_images

COUNTS = [6, 9, 7, 12, 6, 8]
DATA = numbered_images(COUNTS)
ALL = (0, 90, 180, 270)


def episodes(source: FewShot, count: int = 200):
    """(x, y) of support and query, stacked over tasks."""
    batch = source.batch(0, count)
    return batch.support["x"], batch.support["y"], batch.query["x"], batch.query["y"]


@pytest.mark.parametrize("label_dtype", ["int32", "int64"])
def test_shapes_and_dtypes(label_dtype):
    source = FewShot(DATA, ways=4, shots=2, queries=3, label_dtype=label_dtype)
    task, batch = source.task(0), source.batch(0, 5)
    assert task.support["x"].shape == (8, 4, 4)
    assert task.query["x"].shape == (12, 4, 4)
    assert batch.support["y"].shape == (5, 8)
    assert batch.query["x"].shape == (5, 12, 4, 4)
    assert (task.support["x"].dtype, task.query["y"].dtype) == (np.float32, np.dtype(label_dtype))


def test_labels_are_balanced_and_run_through_the_classes():
    _, ys, _, yq = episodes(FewShot(DATA, ways=4, shots=2, queries=3))
    assert (ys == [0, 1, 2, 3] * 2).all()
    assert (yq == [0, 1, 2, 3] * 3).all()


def test_with_every_picture_asked_for_the_smallest_class_is_used_up():
    source = FewShot(DATA, ways=6, shots=1, queries=5)
    batch = source.batch(0, 20)
    smallest = {n for n, label in enumerate(DATA.labels) if label == DATA.labels.min()}
    for s, q in zip(identify(batch.support["x"]), identify(batch.query["x"]), strict=True):
        assert smallest <= {*s.tolist(), *q.tolist()}


def test_an_episodes_members_are_frozen():
    # Changing these changes every published figure.
    positions, turns = FewShot(DATA, 3, 1, 1, seed=1, rotations=ALL).members((5,))
    assert (positions[0].tolist(), turns[0].tolist()) == ([[40, 6, 16], [36, 1, 35]], [[2, 0, 2], [2, 0, 2]])


@pytest.mark.parametrize("steps", [(0, 1, 2, 3, 40, 41, 42), (5, 6, 7, 5, 6, 4), (2, 30, 31, 2**62)])
def test_episodes_do_not_depend_on_what_was_asked_for_before(steps):
    source = FewShot(DATA, 3, 1, 2, seed=4, rotations=ALL)
    for step in steps:
        alone = FewShot(DATA, 3, 1, 2, seed=4, rotations=ALL).batch(step, 3 if step < 7 else 2)
        batch = source.batch(step, 3 if step < 7 else 2)
        for part, part_alone in zip(batch, alone, strict=True):
            assert all(part[name].tobytes() == part_alone[name].tobytes() for name in ("x", "y"))
    last = (2**64 - 1) // 3 - 1
    for step in (last - 1, last):  # drawing ahead ends where the indices do
        np.testing.assert_array_equal(source.batch(step, 3).query["x"][0], source.task(3 * step).query["x"])


def test_every_rotation_of_every_class_appears():
    source = FewShot(DATA, ways=3, shots=1, queries=1, rotations=ALL)
    assert source.class_count == 24
    positions, turns = source.members(range(400))
    seen = set(zip(DATA.labels[positions].ravel().tolist(), turns.ravel().tolist(), strict=True))
    assert seen == {(int(label), turn) for label in DATA.classes for turn in range(4)}


@pytest.mark.parametrize("rotations", [(90,), (180,), (270,), ALL])
@pytest.mark.parametrize("channels", [(), (3,)])
def test_pictures_are_the_raw_ones_turned_as_rot90_turns_them(rotations, channels):
    raw = np.random.Generator(np.random.PCG64(0)).integers(0, 256, size=(40, 5, 5, *channels), dtype=np.uint8)
    source = FewShot(LabelledImages(raw, np.arange(40) % 4), 3, 2, 3, rotations=rotations, dtype="float64")
    turned = {(n, k): np.rot90(raw[n], k) / 255 for n in range(40) for k in range(4)}
    positions, turns = source.members(range(10))
    batch = source.batch(0, 10)
    assert {int(turn) * 90 for turn in np.unique(turns)} == set(rotations)
    for t in range(10):
        x = np.concatenate([batch.support["x"][t], batch.query["x"][t]])
        for picture, n, k in zip(x, positions[t].ravel(), turns[t].ravel(), strict=True):
            assert np.array_equal(picture, turned[int(n), int(k)])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bytes_become_the_nearest_floats_to_their_share_of_255(dtype):
    every = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
    source = FewShot(LabelledImages(every, np.array([0, 0, 1, 1])), ways=2, shots=1, queries=1, dtype=dtype)
    values = np.unique(np.concatenate([part["x"].ravel() for part in source.task(0)]))
    assert np.array_equal(values, (np.arange(256) / 255).astype(dtype))


def test_boolean_and_float_pictures_keep_their_values():
    ink = np.eye(3, dtype=bool)[None].repeat(4, 0)
    assert (FewShot(LabelledImages(ink, [0, 0, 1, 1]), 2, 1, 1).task(0).query["x"] == np.eye(3)).all()
    assert (FewShot(LabelledImages(ink * 300.5, [0, 0, 1, 1]), 2, 1, 1).task(0).query["x"] == np.eye(3) * 300.5).all()


def test_class_split_is_disjoint_reproducible_and_keeps_names():
    data = LabelledImages(DATA.images, DATA.labels, tuple("abcdef"))
    train, validation, test = split_classes(data, (3, 1, 2), seed=5)
    parts = [set(part.classes.tolist()) for part in (train, validation, test)]
    assert [len(part) for part in parts] == [3, 1, 2]
    assert set.union(*parts) == set(DATA.classes.tolist())
    names = dict(zip(DATA.classes.tolist(), "abcdef", strict=True))
    for part in (train, validation, test):
        assert part.names == tuple(names[c] for c in part.classes.tolist())
        assert all(DATA.labels[n] in part.classes for n in identify(part.images))
        assert len(part.images) == sum(COUNTS["abcdef".index(name)] for name in part.names)
    again = split_classes(data, (3, 1, 2), seed=5)
    assert all(np.array_equal(a.labels, b.labels) for a, b in zip(again, (train, validation, test), strict=True))
    assert len({tuple(split_classes(data, (3,), seed=s)[0].classes.tolist()) for s in range(20)}) > 5


@pytest.mark.parametrize(
    ("argument", "value", "error"),
    [
        ("ways", 0, InvalidArgumentError),
        ("ways", -5, InvalidArgumentError),
        ("ways", 2.5, InvalidTypeError),
        ("shots", 0, InvalidArgumentError),
        ("shots", "1", InvalidTypeError),
        ("queries", -1, InvalidArgumentError),
        ("queries", False, InvalidTypeError),
        ("seed", -1, InvalidArgumentError),
        ("stream", "eval", InvalidArgumentError),
        ("dtype", "bfloat16", InvalidArgumentError),
        ("dtype", np.dtype("float32"), InvalidTypeError),
        ("label_dtype", "uint8", InvalidArgumentError),
        ("rotations", (45,), InvalidArgumentError),
        ("rotations", (0, 0), InvalidArgumentError),
        ("rotations", (), InvalidArgumentError),
        ("rotations", 90, InvalidTypeError),
    ],
)
def test_wrong_arguments_are_named(argument, value, error):
    arguments = {"ways": 3, "shots": 1, "queries": 2, argument: value}
    with pytest.raises(error, match=rf"^{argument}: expected") as caught:
        FewShot(DATA, **arguments)
    assert str(value) in str(caught.value) or repr(value) in str(caught.value)


def test_too_few_classes():
    with pytest.raises(InvalidArgumentError, match=r"^ways: expected at most 6.*got 7"):
        FewShot(DATA, ways=7, shots=1, queries=1)
    assert FewShot(DATA, ways=7, shots=1, queries=1, rotations=(0, 90)).class_count == 12
    with pytest.raises(InvalidArgumentError, match=r"^ways: expected at most 12.*got 13"):
        FewShot(DATA, ways=13, shots=1, queries=1, rotations=(0, 90))


def test_too_few_examples_names_the_class():
    named = LabelledImages(DATA.images, DATA.labels, tuple("abcdef"))
    with pytest.raises(InvalidArgumentError, match=r"^shots, queries: .*at most 6, .*class -3 \(a\), got 7"):
        FewShot(named, ways=2, shots=3, queries=4)


def test_rotations_are_for_meta_training_and_square_pictures():
    with pytest.raises(InvalidArgumentError, match=r"^rotations: expected \(0,\) for the stream 'test'"):
        FewShot(DATA, 3, 1, 1, stream="test", rotations=ALL)
    wide = LabelledImages(np.zeros((4, 2, 3)), np.array([0, 0, 1, 1]))
    with pytest.raises(InvalidArgumentError, match=r"^rotations: expected \(0,\) for examples of 2 x 3"):
        FewShot(wide, 2, 1, 1, rotations=(0, 90))


@pytest.mark.parametrize(
    ("images", "labels", "names", "argument"),
    [
        (np.zeros(2), [0, 1], (), "images"),
        (np.zeros((2, 3, 3), dtype=np.int64), [0, 1], (), "images"),
        (np.zeros((2, 3, 3)), [0, 1, 2], (), "labels"),
        (np.zeros((2, 3, 3)), [0.0, 1.0], (), "labels"),
        (np.zeros((2, 3, 3)), [0, 1], ("a",), "names"),
    ],
)
def test_wrong_pictures_are_refused(images, labels, names, argument):
    with pytest.raises(MetaspecError, match=rf"^{argument}: expected"):
        LabelledImages(images, np.array(labels), names)


def test_examples_need_not_be_pictures():
    rows = np.arange(24.0).reshape(12, 2)
    source = FewShot(LabelledImages(rows, np.arange(12) % 3), ways=3, shots=1, queries=2, dtype="float64")
    batch = source.batch(0, 4)
    assert batch.query["x"].shape == (4, 6, 2)
    assert {tuple(row) for row in batch.query["x"].reshape(-1, 2).tolist()} <= {tuple(row) for row in rows.tolist()}
    with pytest.raises(InvalidArgumentError, match=r"^rotations: expected \(0,\) for examples of 2, which are no"):
        FewShot(LabelledImages(rows, np.arange(12) % 3), 3, 1, 2, rotations=(0, 90))


def test_wrong_data_and_classes_are_refused():
    with pytest.raises(InvalidTypeError, match=r"^data: expected LabelledImages, got ndarray"):
        FewShot(DATA.images)
    with pytest.raises(InvalidArgumentError, match=r"^classes: expected ids of classes that exist, got \[99\]"):
        DATA.select([4, 99])
    with pytest.raises(InvalidArgumentError, match=r"^counts: expected a sum of at most 6.*got 7"):
        split_classes(DATA, (4, 3))
    with pytest.raises(InvalidArgumentError, match=r"^counts\[1\]: expected"):
        split_classes(DATA, (4, 0))
