"""The commands behind docs/results.md: what is kept, gone on with, and shown."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from metaspec.errors import InvalidArgumentError
from metaspec_benchmarks.results import (
    across_backends,
    omniglot_accuracy,
    results_document,
    sinusoid_curves,
    step_overhead,
)
from metaspec_benchmarks.results.store import Store
from tests.data.helpers import OMNIGLOT, needs_omniglot

DOCS = Path(__file__).parents[2] / "docs"


def test_a_row_is_found_by_what_it_is_of_and_replaced(tmp_path):
    store = Store(tmp_path / "new" / "rows.json")
    assert store.rows() == []
    store.add({"algorithm": "maml", "seed": 1}, {"mse": 2.0})
    store.add({"algorithm": "fomaml", "seed": 1}, {"mse": 3.0})
    store.add({"algorithm": "maml", "seed": 1}, {"mse": 1.0})
    assert [row["mse"] for row in store.rows()] == [3.0, 1.0]
    assert store.find({"algorithm": "maml", "seed": 1})["mse"] == 1.0
    assert store.find({"algorithm": "maml", "seed": 2}) is None
    store.file.write_text("{")
    with pytest.raises(InvalidArgumentError, match="it is no JSON"):
        store.rows()


def test_sinusoids_are_run_once_and_shown_as_medians(tmp_path, monkeypatch):
    monkeypatch.setattr(sinusoid_curves, "TEST_TASKS", 25)
    monkeypatch.setattr(sinusoid_curves, "NAMES", {"maml": "MAML"})
    file, said = tmp_path / "sinusoid.json", []
    sinusoid_curves.run(Store(file), said.append, range(2), steps=2)
    sinusoid_curves.run(Store(file), said.append, range(3), steps=2)
    assert [line.split(":")[0] for line in said] == ["MAML, seed 0", "MAML, seed 1", "MAML, seed 2"]
    rows = Store(file).rows()
    assert all(row["mse"]["10"]["mean"] < row["mse"]["0"]["mean"] for row in rows)
    values = sorted(row["mse"]["1"]["mean"] for row in rows)
    assert f"| {values[1]:.2f} ({values[0]:.2f}–{values[2]:.2f}) |" in sinusoid_curves.section(file)[2]


def test_curves_are_parted_at_the_first_step_that_differs_so_much(tmp_path):
    one, other = [1.0, 2.0, 4.0, 1.0], [1.0, 2.0002, 4.0, 2.0]
    assert [across_backends.parted(one, other, apart) for apart in (1e-6, 1e-3, 0.1, 0.6)] == [1, 3, 3, None]
    file = tmp_path / "backends.json"
    for name, values in (("jax", one), ("numpy", other)):
        Store(file).add({"backend": name, "dtype": "float32", "steps": 4}, {"query_loss": values})
    assert "| jax, numpy | 1 | 3 | 3 | 5.0e-01 |" in across_backends.section(file)
    pytest.importorskip("matplotlib")
    across_backends.draw(file, tmp_path)
    assert {path.name for path in tmp_path.glob("*.svg")} == {"curves-float32.svg", "gaps-float32.svg"}


def test_the_losses_of_a_backend_come_from_a_process_of_its_own():
    command = [sys.executable, "-m", "metaspec_benchmarks.results.across_backends", "numpy", "float64", "2"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout)["query_loss"] == across_backends.losses("numpy", "float64", 2)


@needs_omniglot
def test_an_omniglot_run_is_planned_once_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(omniglot_accuracy, "JUDGED_AFTER", (1,))
    monkeypatch.setattr(omniglot_accuracy, "TIMED", 1)
    monkeypatch.setattr(omniglot_accuracy, "QUERIES", {5: 1, 20: 1})
    store, said = Store(tmp_path / "omniglot.json"), []
    options = {"backends": ("numpy",), "tasks": ("5-way 1-shot",), "algorithms": ("fomaml",), "test_tasks": 10}
    work = tmp_path / "work" / "numpy-5-way-1-shot-fomaml"
    work.mkdir(parents=True)
    (work / "plan.json").write_text('{"minutes": 1, "steps": 2}')
    with pytest.raises(InvalidArgumentError, match="it is of a run of 1 minutes"):
        omniglot_accuracy.run(store, said.append, OMNIGLOT, tmp_path / "work", minutes=2, **options)
    omniglot_accuracy.run(store, said.append, OMNIGLOT, tmp_path / "work", minutes=1, **options)
    omniglot_accuracy.run(store, said.append, OMNIGLOT, tmp_path / "work", minutes=1, **options)
    assert len(said) == 1
    (row,) = store.rows()
    assert (row["steps"], row["minutes"], row["tasks"], row["inner_steps"]) == (2, 1, 10, 1)
    assert 0 <= row["accuracy"]["mean"] <= 100
    cell = f"{row['accuracy']['mean']:.1f} ± {row['accuracy']['half_width']:.1f} (1 min)"
    assert f"| FO-MAML | numpy | {cell} | not run | not run |" in omniglot_accuracy.section(store.file)


def test_the_document_is_what_its_figures_give(tmp_path):
    results_document.write(tmp_path, tmp_path / "empty.md")
    assert "not run" in (tmp_path / "empty.md").read_text()
    results_document.write(DOCS / "results", tmp_path / "results.md")
    assert (tmp_path / "results.md").read_text() == (DOCS / "results.md").read_text()


def test_a_training_step_is_held_against_its_computation(tmp_path, monkeypatch):
    monkeypatch.setattr(step_overhead, "SECONDS", 0.01)
    monkeypatch.setattr(step_overhead, "EARLY", 5)
    row = step_overhead.measured("numpy", "sinusoid", 10)
    low, high = row["share_quartiles"]
    assert low <= row["share"] <= high < 1
    assert row["steps"] == 10
    assert min(row["resident_early"], row["resident_end"]) > 1 << 20
    store = Store(tmp_path / "steps.json")
    store.add({"backend": "numpy", "experiment": "sinusoid"}, row)
    line = step_overhead.section(store.file)[2]
    assert line.startswith(f"| numpy | sinusoid | {row['step_us'] / 1e3:.2f} | {100 * row['share']:.1f} % (")
    assert line.endswith(" MiB, 10 |")
