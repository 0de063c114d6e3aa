"""Data sets of PyTorch and Hugging Face as labelled examples, and the axis of channels of episodes."""

import numpy as np
import pytest

from metaspec.data import FewShot, LabelledImages, from_dataset
from metaspec.errors import InvalidArgumentError, InvalidTypeError

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(0, 256, size=(12, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


def same(found):
    return np.array_equal(found.images, PICTURES) and np.array_equal(found.labels, LABELS)


def test_a_torch_dataset_of_tensors():
    torch = pytest.importorskip("torch")
    rows = torch.utils.data.TensorDataset(torch.from_numpy(PICTURES), torch.from_numpy(LABELS))
    assert same(from_dataset(rows))
    with pytest.raises(InvalidTypeError, match=r"DataLoader.*\.dataset"):
        from_dataset(torch.utils.data.DataLoader(rows))


def test_rows_of_hugging_faces_datasets():
    datasets = pytest.importorskip("datasets")
    kinds = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])})
    from PIL import Image

    rows = {"image": [Image.fromarray(picture) for picture in PICTURES], "label": LABELS.tolist()}
    found = from_dataset(datasets.Dataset.from_dict(rows, features=kinds))
    assert same(found)
    assert found.names == ("a", "b", "c")


def test_rows_with_other_keys_and_what_is_wrong_with_others():
    rows = [{"img": picture, "fine": int(label)} for picture, label in zip(PICTURES, LABELS, strict=True)]
    assert same(from_dataset(rows, image="img", label="fine"))
    with pytest.raises(InvalidArgumentError, match=r"row 0 has no 'image'; it has img, fine"):
        from_dataset(rows)
    with pytest.raises(InvalidArgumentError, match=r"row 1 has shape \[2, 2\], row 0 \[3, 3\]"):
        from_dataset([(np.zeros((3, 3)), 0), (np.zeros((2, 2)), 1)])
    with pytest.raises(InvalidTypeError, match=r"row 0: expected an integer class, got 'cat'"):
        from_dataset([(np.zeros((3, 3)), "cat")])
    with pytest.raises(InvalidTypeError, match="expected one split, got several: train, test"):
        from_dataset({"train": rows, "test": rows})


@pytest.mark.parametrize("grey", [False, True])
def test_the_axis_of_channels(grey):
    data = LabelledImages(PICTURES[..., 0] if grey else PICTURES, LABELS)
    plain, first, last = (FewShot(data, 2, 1, 2, channels=c).batch(0, 2).query["x"] for c in (None, "first", "last"))
    assert last.shape == (2, 4, 6, 5, 1 if grey else 3)
    assert np.array_equal(last[..., 0] if grey else last, plain)
    assert np.array_equal(first, np.transpose(last, (0, 1, 4, 2, 3)))
    with pytest.raises(InvalidArgumentError, match="channels"):
        FewShot(data, 2, 1, 2, channels="middle")
    with pytest.raises(InvalidArgumentError, match=r"channels: expected None for examples of shape \[4\]"):
        FewShot(LabelledImages(np.zeros((12, 4)), LABELS), 2, 1, 2, channels="first")
