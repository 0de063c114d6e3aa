"""Affine images of classes as new classes: against scipy's interpolation, exact maps, and what must stay."""

import numpy as np
import pytest

from metaspec.data import LabelledImages, OmniglotSplit, affine_classes, digits_tasks, omniglot_tasks
from metaspec.data.variants import _drawn_through
from metaspec.errors import InvalidArgumentError, InvalidTypeError


def _pictures(*shape, dtype="float64"):
    u = np.random.default_rng(3).random((6, *shape))
    return LabelledImages((255 * u).astype("uint8") if dtype == "uint8" else u.astype(dtype), np.arange(6) // 2 * 5)


@pytest.mark.parametrize("shape", [(7, 7), (6, 9), (5, 8, 3)])
def test_interpolation_is_scipys(shape):
    from scipy.ndimage import affine_transform

    matrix = np.array([[0.9, -0.4], [0.3, 1.2]])
    images = _pictures(*shape).images
    centre = (np.array(shape[:2]) - 1) / 2
    colours = images.reshape(*images.shape[:3], -1)
    theirs = np.empty_like(colours)
    for n, c in np.ndindex(len(colours), colours.shape[-1]):
        # their border is a blend only where the mode says so
        theirs[n, ..., c] = affine_transform(
            colours[n, ..., c], matrix, centre - matrix @ centre, order=1, mode="grid-constant"
        )
    np.testing.assert_allclose(_drawn_through(images, matrix), theirs.reshape(images.shape), rtol=0, atol=1e-14)


def test_exact_maps():
    images = _pictures(8, 8).images
    assert (_drawn_through(images, np.eye(2)) == images).all()
    assert (_drawn_through(images, np.diag([1.0, -1.0])) == images[:, :, ::-1]).all()
    assert (_drawn_through(images, np.array([[0.0, 1.0], [-1.0, 0.0]])) == np.rot90(images, 1, (1, 2))).all()


def test_old_classes_stay_and_new_ones_are_told_apart():
    data = LabelledImages(_pictures(8, 8).images, np.arange(6) // 2 * 5, ("a", "b", "c"))
    more = affine_classes(data, 2, seed=1)
    assert (more.images[:6] == data.images).all()
    assert np.unique(more.labels, return_counts=True)[1].tolist() == [2] * 9
    assert more.names == ("a", "b", "c", "a~1", "b~1", "c~1", "a~2", "b~2", "c~2")
    still = affine_classes(data, 1, rotation=0, stretch=0, shear=0, mirrored=False)
    np.testing.assert_allclose(still.images[6:], data.images, rtol=1e-15)
    assert (affine_classes(data, 3, seed=1).images[:18] == more.images).all()
    assert (affine_classes(data, 2, seed=2).images[6:] != more.images[6:]).any(axis=(1, 2)).all()


def test_one_map_for_the_whole_class_and_another_for_the_next():
    same = LabelledImages(np.repeat(_pictures(8, 8, dtype="uint8").images[:1], 6, axis=0), np.arange(6) // 2)
    new = affine_classes(same, 1).images[6:].reshape(3, 2, -1)
    assert new.dtype == np.uint8
    assert (new[:, 0] == new[:, 1]).all()
    assert len(np.unique(new[:, 0], axis=0)) == 3


def test_only_meta_training_has_them():
    from metaspec.experiments.problems import digits

    plain, more = digits(ways=5, filters=2), digits(ways=5, filters=2, variants=3)
    assert (plain.train.class_count, more.train.class_count) == (20, 80)
    assert more.validation.class_count == plain.validation.class_count == more.test.class_count == 5
    for source, same in ((more.validation, plain.validation), (more.test, plain.test)):
        assert (source.task(3).query["x"] == same.task(3).query["x"]).all()


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"copies": -1}, InvalidArgumentError, "copies: expected an integer of at least 0"),
        ({"rotation": 200}, InvalidArgumentError, r"rotation: expected a number in \[0, 180\], got 200"),
        ({"shear": float("nan")}, InvalidArgumentError, "shear"),
        ({"stretch": "much"}, InvalidTypeError, "stretch: expected a number, got 'much'"),
    ],
)
def test_wrong_options(options, error, words):
    with pytest.raises(error, match=words):
        affine_classes(_pictures(4, 4), **{"copies": 1, **options})


def test_what_is_no_picture_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"data: expected pictures \[N, H, W\]"):
        affine_classes(LabelledImages(np.zeros((4, 3)), np.arange(4)), 1)
    with pytest.raises(InvalidTypeError, match="data: expected LabelledImages, got ndarray"):
        affine_classes(np.zeros((4, 8, 8)), 1)


def test_a_number_of_variants_is_called_what_its_caller_called_it():
    pictures = _pictures(4, 4)
    with pytest.raises(InvalidArgumentError, match="variants: expected an integer of at least 0, got -1"):
        omniglot_tasks(OmniglotSplit(pictures, pictures), ways=2, queries=1, variants=-1)
    with pytest.raises(InvalidTypeError, match="variants: expected an integer, got 0.5"):
        digits_tasks(variants=0.5)
