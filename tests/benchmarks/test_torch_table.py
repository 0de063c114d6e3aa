"""PyTorch's table of hand-written forms, on a tiny case and on figures made up here."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("torch")

from metaspec.errors import InvalidArgumentError
from metaspec.nn import MLP
from metaspec_benchmarks import torch_table as table
from metaspec_benchmarks.benchmark_cases import BenchmarkCase
from metaspec_benchmarks.reference_results import truth

TINY = BenchmarkCase("W1", MLP((1, 5, 5, 1)), tasks=3, steps=2, lr=0.01)
IMPLICIT = replace(TINY, workload="imaml", steps=1, solver_steps=2)


def test_every_form_is_held_against_the_truth_and_timed(monkeypatch):
    for case in (TINY, IMPLICIT):
        ((name, rounds),) = table.measured([case], native=False, seconds=0)
        assert name == case.id
        assert set(table.COLUMNS) - set(rounds) == {table.NATIVE, table.INDUCTOR}
        assert all(len(times) == 1 and times[0] > 0 for times in rounds.values())
    right = truth(TINY)
    off = replace(right, leaves={leaf: 2 * x for leaf, x in right.leaves.items()})
    monkeypatch.setattr(table, "truth", lambda case: off)
    with pytest.raises(InvalidArgumentError, match=r"metaspec, eager, torch.nn: wrong: .*loop, create_graph: wrong"):
        list(table.measured([TINY], native=False, seconds=0))


def test_times_are_lower_quartiles_and_ratios_medians_of_rounds():
    rounds = {
        table.EAGER: [0.0012, 0.0024, 0.0036, 0.0048],
        table.OWN: [0.001] * 4,
        table.VMAP: [0.001, 0.002, 0.003, 0.004],
        table.LOOP: [0.01] * 4,
        table.STACKS: [0.001] * 4,
    }
    _, _, times, _, _, _, ratios = table.markdown({TINY.id: rounds}, [TINY]).splitlines()
    assert times.split(" | ")[1:4] == ["1.5", "-", "1"]
    assert ratios.split(" | ")[1:4] == ["**1.20** (1.1)", "1.00 (1.1)", "-"]
    no_bar = table.markdown({IMPLICIT.id: rounds}, [IMPLICIT]).splitlines()[-1]
    assert no_bar.split(" | ")[2] == "1.00"


def test_the_document_gets_the_table_and_keeps_the_figures(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "BY_HAND", (TINY,))
    monkeypatch.setattr(table, "SECONDS", 0)
    document = tmp_path / "performance.md"
    document.write_text("before")
    with pytest.raises(InvalidArgumentError, match="expected the marks"):
        table.write({}, document)
    document.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.figures_of(document).write_text(json.dumps({"another case": {}}))
    table.main([str(document)])
    text = document.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert f"| {TINY.id} |" in text
    assert set(json.loads(table.figures_of(document).read_text())) == {"another case", TINY.id}
    table.main([str(document), "W1:2"])
    for unknown in ("W9", "W1:3"):
        with pytest.raises(SystemExit, match="usage|python -m"):
            table.main([str(document), unknown])
