"""Tables, plots and the document, of figures made up here: what is told and what is refused."""

import json
import sys

import numpy as np
import pytest

from metaspec.errors import InvalidArgumentError, LibraryMissingError
from metaspec_benchmarks import performance_document
from metaspec_benchmarks import result_plots as plots
from metaspec_benchmarks import result_tables as tables


def some_results(seconds=(0.002, 0.004)):
    case = {
        "id": "a case",
        "workload": "W1",
        "x_axis": "steps",
        "network": "MLP",
        "parameters": 10,
        "tasks": 2,
        "steps": 1,
        "solver_steps": None,
    }
    longer = case | {"id": "another", "steps": 2}

    def record(case, form, kind, rounds, problem=None):
        median = float(np.median(rounds)) if rounds else None
        one = {"case": case["id"], "framework": "numpy", "form": form, "kind": kind, "problem": problem}
        return one | {"first": 0.5, "rounds": rounds, "peak": 1 << 20, "median": median}

    records = []
    for number, one in enumerate((case, longer)):
        records += [
            record(one, "metaspec", "metaspec", [t * (number + 1) for t in seconds]),
            record(one, "rival", "library", [4 * t * (number + 1) for t in seconds]),
            record(one, "gone", "library", [], "not installed: gone"),
            record(one, "gradient, support", "limit", [0.0005]),
            record(one, "gradient, query", "limit", [0.0015]),
        ]
    return {
        "metaspec": "1",
        "source": "s",
        "dtype": "float32",
        "machine": {"processor": "P", "cores": 2, "python": "3"},
        "versions": {"numpy": {"numpy": "2"}},
        "missing": {"numpy": {}},
        "cases": [case, longer],
        "records": records,
    }


def test_the_limit_is_made_of_the_fastest_gradients():
    results = some_results()
    slow = next(record for record in results["records"] if record["form"] == "gradient, support")
    fast = slow | {"form": "gradient, support, one at a time", "rounds": [0.0002], "median": 0.0002}
    results["records"].append(fast)
    ours, *_ = tables.rows(results, results["cases"][0])
    assert ours.of_limit == pytest.approx(0.003 / (3 * 0.0002 + 0.0015))


def test_rows_hold_ratios_and_the_limit():
    results = some_results()
    ours, rival, gone = tables.rows(results, results["cases"][0])
    assert (ours.of_ours, rival.of_ours) == (1, 4)
    assert ours.of_limit == pytest.approx(0.003 / (3 * 0.0005 + 0.0015))
    assert gone.problem == "not installed: gone"
    assert gone.time is None
    assert [tables.duration(t) for t in (None, 2.5, 0.0123, 4.2e-5)] == ["–", "2.5 s", "12.3 ms", "42 µs"]
    solved = dict(results["cases"][0], solver_steps=5)
    (first, *_) = tables.rows(results, solved)
    assert first.of_limit == pytest.approx(0.003 / ((1 + 1 + 10) * 0.0005 + 0.0015))


def test_the_summary_holds_each_form_against_the_best_of_the_others():
    results = some_results()
    case = results["cases"][0]
    rival = next(record for record in results["records"] if record["form"] == "rival")
    slower = rival | {"form": "rival, slower", "rounds": [0.1, 0.1]}
    by_hand = rival | {"kind": "hand-written", "form": "by hand", "rounds": [0.001, 0.006]}
    native = rival | {"kind": "metaspec", "form": "metaspec, native", "rounds": [0.001, 0.002]}
    while_fast = by_hand | {"form": "slower, in a fast round", "rounds": [0.003]}  # its median is the lower
    results["records"] = [slower, *results["records"], while_fast, by_hand, native]
    assert list(tables.summary(results, "numpy", case)) == [
        # beside by hand (1/2 + 6/4) / 2; the limit is 3 x 0.5 + 1.5
        ("a case", "compiled", "3 ms", "1.00", "1.00", "by hand", "rival 4.00"),
        ("a case", "native code", "1.5 ms", "0.50", "2.00", "by hand", "rival 8.00"),
    ]
    assert list(tables.summary(some_results(), "numpy", case)) == [
        ("a case", "compiled", "3 ms", "1.00", "–", "–", "rival 4.00")
    ]
    assert list(tables.summary(results, "torch", case)) == []


def test_series_are_times_for_each_unit():
    results = some_results()
    headings, lines = tables.series(results, "steps")
    assert headings == ("", "steps", "1", "2")
    assert lines == [("numpy", "metaspec", "3 ms", "3 ms")]
    results["cases"][1]["x_axis"] = "parameters"
    assert tables.series(results, "parameters") == (("", "parameters", "10"), [("numpy", "metaspec", "600 ms")])
    assert tables.series(results, "tasks")[1] == []


def test_document_gets_tables_and_plots(tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{performance_document.BEGIN}\nold\n{performance_document.END}\nafter\n")
    performance_document.write(some_results(), page)
    assert json.loads((tmp_path / "page.json").read_text()) == some_results()
    text = page.read_text()
    assert "\nP, 2 cores; Python 3, numpy 2; float32.\n" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| numpy | rival | 12 ms |" in text
    assert "| a case | compiled | 3 ms | 1.00 | – | – | rival 4.00 |" in text
    assert "| numpy | metaspec | 3 ms | 3 ms |" in text
    assert "numpy, gone: not installed: gone" in text
    assert "![time and memory against steps](performance-steps.svg)" in text
    svg = (tmp_path / "performance-steps.svg").read_text()
    assert "numpy: ms a call" in svg
    assert ">rival<" in svg
    assert "inner steps K" in svg
    performance_document.write(some_results(), page)
    assert (tmp_path / "performance-steps.svg").read_text() == svg
    page.write_text("no place")
    with pytest.raises(InvalidArgumentError, match="expected the marks"):
        performance_document.write(some_results(), page)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, r"No such file"),
        ('{"metaspec": ', r"Expecting value"),
        ("[]", r"it has no metaspec, source, dtype, machine"),
        ('{"records": []}', r"it has no metaspec, source, dtype, machine, versions, missing, cases$"),
    ],
    ids=["missing", "truncated", "list", "foreign"],
)
def test_document_refuses_what_is_no_run(source, said, tmp_path, monkeypatch):
    file, page = tmp_path / "bench.json", tmp_path / "page.md"
    if source is not None:
        file.write_text(source)
    page.write_text(f"{performance_document.BEGIN}\nold\n{performance_document.END}\n")
    monkeypatch.setattr(sys, "argv", ["document", str(file), str(page)])
    with pytest.raises(
        SystemExit, match=rf"^error: {file}: expected what `metaspec bench --json FILE` writes; .*{said}"
    ):
        performance_document.main()
    assert "old" in page.read_text()


def test_document_refuses_what_is_no_document(tmp_path, monkeypatch):
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(some_results()))
    monkeypatch.setattr(sys, "argv", ["document", str(file), str(tmp_path / "page.md")])
    with pytest.raises(SystemExit, match=r"page.md: expected a Markdown document that can be read"):
        performance_document.main()
    monkeypatch.setattr(sys, "argv", ["document"])
    with pytest.raises(SystemExit, match=r"bench.json \[more.json"):
        performance_document.main()


def test_several_runs_are_joined():
    first, second = some_results(), some_results()
    second["cases"] = [*second["cases"][1:], second["cases"][0] | {"id": "third"}]
    second["records"] = [r | {"first": 9.0} for r in second["records"] if r["case"] == "another"]
    second["records"] += [second["records"][0] | {"case": "third", "framework": "jax"}]
    second["versions"] = {"jax": {"jax": "1"}}
    both = performance_document.joined([first, second])
    assert [case["id"] for case in both["cases"]] == [*(case["id"] for case in first["cases"]), "third"]
    assert len(both["records"]) == len(first["records"]) + 1
    assert {r["first"] for r in both["records"] if r["case"] == "another"} == {9.0}
    assert {r["first"] for r in both["records"] if r["case"] == first["cases"][0]["id"]} == {0.5}
    assert set(both["versions"]) == {"numpy", "jax"}
    assert performance_document.joined([first])["records"] == first["records"]
    second["machine"] = second["machine"] | {"cores": 1}
    with pytest.raises(InvalidArgumentError, match="runs of different machine"):
        performance_document.joined([first, second])
    with pytest.raises(InvalidArgumentError, match="runs of different source in one document: s and t"):
        performance_document.joined([some_results(), some_results() | {"source": "t"}])
    second = some_results() | {"versions": {"numpy": {"numpy": "3"}}}
    with pytest.raises(InvalidArgumentError, match="runs of different versions in one document: numpy"):
        performance_document.joined([first, second])


def test_plots_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(LibraryMissingError, match=r"pip install 'metaspec\[plots\]'"):
        plots.draw(some_results(), tmp_path)
