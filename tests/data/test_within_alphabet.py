"""Episodes within an alphabet: who drew what, and what Omniglot's own division is."""

from pathlib import Path

import numpy as np
import pytest

from metaspec.data import LabelledImages, WithinAlphabet, load_omniglot
from metaspec.errors import InvalidArgumentError
from tests.data import helpers
from tests.data.helpers import assert_same_bits

DRAWERS = 6


def characters(sizes=(3, 5, 4)):
    """Pictures that say which they are: pixel [0, 0] is 1 + DRAWERS * class + drawer."""
    names = [f"Alphabet{a}/character{c:02}" for a, count in enumerate(sizes) for c in range(count)]
    images = np.zeros((len(names) * DRAWERS, 2, 2))
    images[:, 0, 0] = 1 + np.arange(len(images))
    return LabelledImages(images, np.repeat(np.arange(len(names)), DRAWERS), tuple(names))


def identified(x):
    numbers = x[..., 0, 0].astype(int) - 1
    return numbers // DRAWERS, numbers % DRAWERS


def test_an_episode_is_one_alphabet_and_a_drawer_against_others():
    data = characters()
    source = WithinAlphabet(data, ways=4, shots=2, queries=3, seed=5)
    alphabets, drawn = set(), set()
    for index in range(60):
        task = source.task(index)
        classes, drawers = identified(np.concatenate([task.support["x"], task.query["x"]]).reshape(5, 4, 2, 2))
        assert (classes == classes[0]).all()
        assert (drawers == drawers[:, :1]).all()
        assert len(set(classes[0])) == 4
        assert len(set(drawers[:, 0])) == 5
        (alphabet,) = {data.names[c].partition("/")[0] for c in classes[0]}
        alphabets.add(alphabet)
        drawn |= set(zip(classes.ravel(), drawers.ravel(), strict=True))
        assert task.support["y"].tolist() == [0, 1, 2, 3] * 2
    assert alphabets == {"Alphabet1", "Alphabet2"}  # the other has three characters
    assert len(drawn) == 9 * DRAWERS
    stacked = source.batch(3, 4)
    assert_same_bits(source.task(13), type(stacked)(*({k: v[1] for k, v in part.items()} for part in stacked)))


def test_what_is_no_such_data_is_refused():
    with pytest.raises(InvalidArgumentError, match="ways: expected at most 5, the most that an alphabet has, got 6"):
        WithinAlphabet(characters(), ways=6)
    with pytest.raises(InvalidArgumentError, match=r"at least shots \+ queries = 7; got 12 names and 6 to 6 pictures"):
        WithinAlphabet(characters(), ways=3, shots=4, queries=3)
    with pytest.raises(InvalidArgumentError, match="data: expected classes named Alphabet/character"):
        WithinAlphabet(LabelledImages(np.zeros((4, 2, 2)), np.arange(4)), ways=2)


def test_the_authors_division_keeps_alphabets_apart(tmp_path, monkeypatch):
    made = {"images_background": {"Alpha": 2, "Beta": 3}, "images_evaluation": {"Gamma": 2}}
    archives = {}
    for name, alphabets in made.items():
        path = helpers.write_zip(tmp_path / f"{name}.zip", helpers.small_archive(name, alphabets))
        archives[name] = helpers.description(path, sum(alphabets.values()))
    monkeypatch.setattr("metaspec.data._archives.ARCHIVES", archives)
    monkeypatch.setattr("metaspec.data.omniglot.ARCHIVES", archives)
    train, test = load_omniglot(tmp_path, "lake", cache_dir=Path(tmp_path / "cache"))
    assert {name.partition("/")[0] for name in train.names} == {"Alpha", "Beta"}
    assert (len(train.classes), test.names) == (5, ("Gamma/character01", "Gamma/character02"))
    drawer = WithinAlphabet(test, ways=2).members(0) % 20
    assert (drawer == drawer[:, :1]).all()
