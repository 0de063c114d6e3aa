"""Columns of a table as tasks, and MNIST-1D's series."""

import importlib.util
import random
import sys

import numpy as np
import pytest

from metaspec.data import TableColumns, load_mnist1d, mnist1d_tasks, tumour_tasks
from metaspec.errors import InvalidArgumentError, LibraryMissingError
from tests.data.helpers import assert_same_bits

needs_sklearn = pytest.mark.skipif(not importlib.util.find_spec("sklearn"), reason="scikit-learn is not installed")
needs_mnist1d = pytest.mark.skipif(not importlib.util.find_spec("mnist1d"), reason="mnist1d is not installed")


def test_a_task_hides_its_column_and_asks_for_it():
    table = np.arange(1.0, 61.0).reshape(12, 5)
    source = TableColumns(table, targets=(1, 4), shots=3, queries=4, seed=2)
    asked, signs, hidden_sets = set(), set(), set()
    for index in range(40):
        task = source.task(index)
        x = np.concatenate([task.support["x"], task.query["x"]])
        y = np.concatenate([task.support["y"], task.query["y"]])[:, 0]
        hidden = np.flatnonzero((x == 0).all(axis=0)).tolist()
        seen = [c for c in range(5) if c not in hidden]
        hidden_sets.add(tuple(hidden))
        if not seen:
            continue
        rows = [int(np.flatnonzero(table[:, seen[0]] == value)[0]) for value in x[:, seen[0]]]
        assert len(set(rows)) == 7
        np.testing.assert_array_equal(x[:, seen], table[rows][:, seen])
        ((column, sign),) = [(c, s) for c in hidden for s in (-1, 1) if (y == s * table[rows, c]).all()]
        asked.add(column)
        signs.add(sign)
    assert (asked, signs) == ({1, 4}, {-1, 1})
    assert len(hidden_sets) > 15
    stacked = source.batch(2, 3)
    assert_same_bits(source.task(8), type(stacked)(*({k: v[2] for k, v in part.items()} for part in stacked)))


def test_tables_that_are_refused():
    with pytest.raises(InvalidArgumentError, match=r"targets\[0\]: expected an integer of at most 2, got 3"):
        TableColumns(np.zeros((30, 3)), targets=(3,))
    with pytest.raises(InvalidArgumentError, match="shots, queries: expected a sum of at most 12"):
        TableColumns(np.zeros((12, 3)), targets=(0,))
    with pytest.raises(InvalidArgumentError, match="table: expected finite numbers"):
        TableColumns(np.full((30, 3), np.nan), targets=(0,))


@needs_sklearn
def test_held_out_targets_and_rows_are_other_ones(monkeypatch):
    train, test = tumour_tasks()
    assert not set(train.targets) & set(test.targets)
    assert sorted([*train.targets, *test.targets]) == list(range(30))
    assert not set(map(tuple, train.table)) & set(map(tuple, test.table))
    np.testing.assert_allclose(train.table.mean(axis=0), 0.0, atol=1e-12)
    np.testing.assert_allclose(train.table.std(axis=0), 1.0, atol=1e-12)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(LibraryMissingError, match="tumour_tasks: needs scikit-learn"):
        tumour_tasks()


@needs_mnist1d
def test_series_are_made_offline_and_no_generator_is_left_changed():
    load_mnist1d.cache_clear()
    np.random.seed(7)
    random.seed(7)
    before = np.random.get_state()[1].tolist(), random.getstate()
    data = load_mnist1d()
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before
    assert data.images.shape == (2000, 40, 1)
    assert np.bincount(data.labels).tolist() == [200] * 10


@needs_mnist1d
def test_classes_of_meta_training_are_reversed_and_negated_and_meta_tests_are_others():
    train, test = mnist1d_tasks(queries=5)
    assert set(test.data.names) == set("01689")
    x, labels = train.data.images, train.data.labels
    own = x[labels == 3]
    for offset, made in ((10, own[:, ::-1]), (20, -own), (30, -own[:, ::-1])):
        np.testing.assert_array_equal(x[labels == 3 + offset], made)
    with pytest.raises(InvalidArgumentError, match="variants: expected an integer of at most 3, got 4"):
        mnist1d_tasks(variants=4)


def test_without_mnist1d_it_is_said(monkeypatch):
    load_mnist1d.cache_clear()
    monkeypatch.setitem(sys.modules, "mnist1d.data", None)
    with pytest.raises(LibraryMissingError, match=r"pip install 'metaspec\[mnist1d\]'"):
        load_mnist1d()
