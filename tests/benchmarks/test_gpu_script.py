"""The script for a GPU, on a CPU in its place; and code that asks for a device, on one that computes nothing."""

import pytest

import metaspec as ms
from metaspec_benchmarks import gpu
from metaspec_benchmarks.benchmark_cases import FULL


def test_table_agrees_with_float64(backend, capsys):
    gpu.main(backend, [case for case in FULL if case.workload == "W1"][:1], repeats=1)
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[3:]]
    assert [row[1].strip() for row in rows] == ["float32", "TF32"]
    for row in rows:
        assert float(row[2]) < 1e-4
        assert float(row[3]) > 0


def test_tasks_of_a_training_go_where_the_parameters_are():
    torch = pytest.importorskip("torch")
    tasks = ms.Task({"x": torch.ones(2, 3)}, {"x": torch.ones(2, 3)})
    B = ms.get_backend("torch")
    placed = B.tuning.spread({"w": torch.ones(3, device="meta")}, tasks)
    assert {leaf.device.type for part in placed for leaf in part.values()} == {"meta"}
    assert B.tuning.spread({"w": torch.ones(3)}, tasks) is tasks
