"""The commands behind docs/results.md: what is kept, gone on with, and shown."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import metaspec as ms
from metaspec.errors import InvalidArgumentError
from metaspec.experiments.config import effective
from metaspec.experiments.setup import experiment_of
from metaspec.task import Task
from metaspec_benchmarks.results import (
    across_backends,
    omniglot_accuracy,
    results_document,
    simple_baselines,
    sinusoid_curves,
    small_data,
    step_overhead,
    time_to_accuracy,
    trained_runs,
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


def test_a_run_goes_on_is_judged_at_its_checkpoints_and_shown(tmp_path):
    pytest.importorskip("sklearn")
    store, said, work = Store(tmp_path / "runs.json"), [], tmp_path / "work"
    given = {"experiment": "table", "backend": "numpy", "steps": 3, "checkpoint_every": 1, "test_tasks": 2}
    for _ in range(2):
        trained_runs.run_once(store, said.append, given, work, tasks=25)
    (row,) = store.rows()
    assert len([line for line in said if line.startswith("metaspec train table")]) == 1
    assert row["command"] == "metaspec train table --steps 3 --test-tasks 2 --checkpoint-every 1"
    assert [steps for steps, _, _ in row["curve"]] == [1, 2, 3]
    assert (row["steps_taken"], row["tasks"]) == (3, 25)
    assert row["trained"][0] == pytest.approx(row["curve"][-1][1], rel=1)
    line = small_data.section(store.file)[2]
    assert line.startswith("| columns of a table, mean squared error | MAML |")
    (folder,) = work.iterdir()
    assert folder.name == "table-10-maml-numpy-0"
    with pytest.raises(InvalidArgumentError, match="there is no run in it"):
        trained_runs.add(store, said.append, tmp_path, 25)


def test_steps_to_an_accuracy_follow_a_power_law():
    curve = [[steps, 100 - 200 / steps**0.5, 0.1] for steps in (100, 200, 400, 800, 1600)]
    assert trained_runs.steps_to(curve, 75.0) == (100.0, False)
    assert trained_runs.steps_to(curve, 90.0) == (pytest.approx(400.0), False)
    assert trained_runs.steps_to(curve, 93.0) == (pytest.approx((200 / 7) ** 2), False)
    assert trained_runs.steps_to(curve, 98.0) == (pytest.approx(1e4), True)
    assert trained_runs.steps_to(curve, 99.0) is None  # after 40,000 steps, 25 times as many as were taken
    assert trained_runs.steps_to(curve[:2], 98.0) is None
    assert trained_runs.steps_to([[n, 50.0, 1.0] for n in (1, 2, 3, 4, 5, 6)], 98.0) is None


def test_omniglots_rows_stand_beside_the_papers(tmp_path):
    store = Store(tmp_path / "runs.json")
    key = dict.fromkeys(trained_runs.OF) | {
        "experiment": "omniglot",
        "subset": "full",
        "ways": 5,
        "shots": 1,
        "seed": 0,
    }
    curve = [[n, 100 - 200 / n**0.5, 0.5] for n in (100, 200, 400, 800, 1600)]
    figures = {
        "steps": 3000,
        "steps_taken": 1600,
        "minutes": 6.6,
        "trained": [95.02, 0.31],
        "curve": curve,
        "command": "x",
    }
    store.add(key | {"algorithm": "maml", "backend": "jax"}, figures)
    store.add(key | {"algorithm": "reptile", "backend": "jax"}, {"steps": 5, "command": "x", "diverged": "so"})
    lines = omniglot_accuracy.section(store.file)
    shown = "95.0 ± 0.3 | 98.7 | 1,600 of 3,000, 7 min | 4.0 times the steps | ~20,000 steps, extrapolated |"
    assert lines[2] == f"| 5-way 1-shot | MAML | jax, 0 | {shown}"
    assert lines[4].startswith("| 5-way 1-shot | Reptile | jax, 0 | diverged |")
    assert "| 20-way 1-shot | ANIL | – | not run | 96.2 | – | – | – |" in lines
    times = Store(tmp_path / "times.json")
    times.add({"algorithm": "maml", "form": "higher"}, {"ms": 600.0})
    (line,) = time_to_accuracy.section(times.file, store.file)[2:]
    assert line == "| MAML | higher, a loop | 600 | 16.0 min | (~44 min) | (~100 min) |"
    pytest.importorskip("matplotlib")
    omniglot_accuracy.draw(store.file, tmp_path)
    assert [path.name for path in tmp_path.glob("*.svg")] == ["omniglot-5-way-1-shot.svg"]


def test_what_needs_no_meta_learning():
    eye = np.eye(3)
    task = Task({"x": eye, "y": np.arange(3)}, {"x": 0.9 * eye[[0, 1, 1, 2]], "y": np.array([0, 1, 2, 2])})
    assert simple_baselines.nearest(task) == 75.0
    x = np.random.default_rng(0).normal(size=(40, 2))
    y = x @ np.array([[1.0], [-2.0]]) + 3.0
    error = simple_baselines.ridge(Task({"x": x[:30], "y": y[:30]}, {"x": x[30:], "y": y[30:]}))
    from sklearn.linear_model import Ridge

    fitted = Ridge(alpha=1.0).fit(x[:30], y[:30])
    assert error == pytest.approx(float(((fitted.predict(x[30:]) - y[30:, 0]) ** 2).mean()), rel=1e-9)


@needs_omniglot
def test_a_step_of_a_librarys_loop_is_that_of_the_training(monkeypatch):
    pytest.importorskip("higher")
    from metaspec_benchmarks.baselines.torch_baselines import forms

    settled = effective({"experiment": "omniglot", "data": str(OMNIGLOT), "filters": 2, "queries": 1, "variants": 0})
    problem = experiment_of(settled)
    batch = problem.train.batch(0, 2)
    case = time_to_accuracy.OmniglotCase("omniglot", problem.network, 2, 1, 0.4, tasks_at_hand=batch)
    built = next(form for form in forms() if form.name == "higher").build(case)
    found = built.arrays(built.run())
    algo = ms.MAML(ms.GradientDescent(0.4, 1))
    ours = ms.batch_meta_gradient(algo, problem.network.loss, case.params(), batch, backend="numpy").delta
    for name, leaf in ours.items():
        assert np.linalg.norm(found[name] - leaf) <= 1e-3 * np.linalg.norm(leaf), name


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
