"""The benchmark at tiny sizes: not how long things take, but what is told and what is refused."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from metaspec.benchmarks import cases, document, frameworks, ours, running, source, tables
from metaspec.benchmarks.cases import Case
from metaspec.benchmarks.forms import Built, Form
from metaspec.benchmarks.measuring import measure
from metaspec.benchmarks.memory import peak_bytes
from metaspec.benchmarks.truth import KEPT, Truth, tolerances, truth
from metaspec.errors import InvalidArgumentError, LibraryMissingError
from metaspec.nn import MLP, ConvNet

TINY = Case("W1", MLP((1, 5, 5, 1)), tasks=3, steps=2, lr=0.01)
TINY_CLASSIFIER = Case("W3", MLP((784, 6, 5), classifier=True), tasks=2, steps=2, lr=0.1)
TINY_CONV = Case("W2", ConvNet(5, filters=3), tasks=2, steps=1, lr=0.1)
IMPLICIT = replace(TINY, workload="imaml", steps=1, solver_steps=2)
IMPLICIT_CLASSIFIER = replace(TINY_CLASSIFIER, workload="imaml", steps=1, solver_steps=2)
IMPLICIT_CONV = replace(TINY_CONV, workload="imaml", solver_steps=2)
CASES = (TINY, TINY_CLASSIFIER, TINY_CONV, IMPLICIT, IMPLICIT_CLASSIFIER, IMPLICIT_CONV)
NEEDED = {"torch": "torch", "jax": "jax", "tensorflow": "tensorflow"}
COMPILED = [pytest.param(name, marks=pytest.mark.soak) for name in ("jax", "tensorflow")]  # half a minute each


@pytest.fixture(scope="module")
def truths():
    return {case.id: truth(case) for case in CASES}


@pytest.mark.parametrize("framework", ["numpy", "torch", *COMPILED])
def test_every_form_gives_the_same_and_gets_a_time(framework, truths):
    if framework in NEEDED:
        pytest.importorskip(NEEDED[framework])
    forms = [form for form in frameworks.forms(framework) if not form.slow]
    for case in (TINY, IMPLICIT):
        records = {record.form: record for record in measure(framework, forms, case, truths[case.id], 0)}
        for form in forms:
            record = records.get(form.name)
            if form.missing() is not None:
                assert record.problem.startswith("not installed: ")
            elif record is not None:
                assert record.problem is None, (framework, form.name, record.problem)
                assert len(record.rounds) == 1
                assert record.first > 0
        assert records["metaspec"].median > 0
        assert any(record.kind in ("library", "hand-written") and record.rounds for record in records.values())


@pytest.mark.parametrize("framework", ["numpy", "torch", *COMPILED])
def test_rivals_have_the_same_networks(framework, truths):
    """Layouts, paddings and losses of the hand-written ones, on a classifier and on pictures, and all solver steps."""
    if framework in NEEDED:
        pytest.importorskip(NEEDED[framework])
    compared = 0
    for case in (TINY_CLASSIFIER, TINY_CONV, IMPLICIT_CLASSIFIER, IMPLICIT_CONV):
        for form in frameworks.forms(framework):
            built = None
            if form.kind in ("library", "hand-written") and not form.slow and form.missing() is None:
                built = form.build(case)
            if built is not None and built.arrays is not None:
                assert truths[case.id].problem(built.arrays(built.run())) is None, (framework, form.name, case.id)
                compared += 1
    assert compared >= 2


def of_constant(value):
    return Form("constant", "library", lambda case: Built(lambda: value, lambda found: found))


def test_what_is_wrong_is_not_timed(truths):
    right = truths[TINY.id]
    for leaf, expected in right.leaves.items():
        off = in_float32({**right.leaves, leaf: expected * (1 + 3 * right.tolerances[leaf])})
        near = in_float32({**right.leaves, leaf: expected * (1 + right.tolerances[leaf] / 3)})
        (wrong,) = measure("numpy", [of_constant(off)], TINY, right, 0)
        assert wrong.problem.startswith(f"wrong: {leaf} is off by")
        assert wrong.rounds == []
        (fine,) = measure("numpy", [of_constant(near)], TINY, right, 0)
        assert fine.problem is None
    (short,) = measure("numpy", [of_constant(in_float32({"w0": right.leaves["w0"]}))], TINY, right, 0)
    assert "expected ['b0'" in short.problem
    (wide,) = measure("numpy", [of_constant(right.leaves)], TINY, right, 0)
    assert wide.problem == "wrong: float64, expected float32"


def test_the_last_result_counts_too(truths):
    right = truths[TINY.id]
    good = in_float32(right.leaves)
    answers = iter([good] * 3)
    turning = Form(
        "turning",
        "library",
        lambda case: Built(lambda: next(answers, {name: 2 * leaf for name, leaf in good.items()}), lambda found: found),
    )
    (record,) = measure("numpy", [turning], TINY, right, 0)
    assert record.problem.startswith("wrong: ")
    assert record.rounds == []


def in_float32(leaves):
    return {name: np.asarray(leaf, "float32") for name, leaf in leaves.items()}


def test_a_solver_step_less_is_beyond_the_tolerance(truths):
    """What shows that rivals take the steps that they are asked for: on large cases the last ones change little."""
    for case in (IMPLICIT, IMPLICIT_CLASSIFIER, IMPLICIT_CONV):
        fewer = truth(replace(case, solver_steps=case.solver_steps - 1))
        assert truths[case.id].problem(fewer.leaves) is not None


def test_a_rival_that_fails_or_is_missing_is_a_line():
    def broken(case):
        raise RuntimeError("no such operation\nand more")

    forms = [
        Form("broken", "library", broken),
        Form("absent", "library", broken, (("no-such-distribution", "no_such_module"),)),
        Form("elsewhere", "library", lambda case: None),
    ]
    records = list(measure("numpy", forms, TINY, Truth({}, {}), 0))
    assert [(r.form, r.problem) for r in records] == [
        ("broken", "RuntimeError: no such operation"),
        ("absent", "not installed: no-such-distribution"),
    ]


def test_first_order_gradients_are_beyond_the_tolerance(truths):
    import metaspec as ms

    for case in (TINY, TINY_CLASSIFIER, TINY_CONV):
        algo = ms.FOMAML(ms.GradientDescent(case.lr, case.steps))
        r = ms.batch_meta_gradient(algo, case.network.loss, case.params("float64"), case.batch("float64"))
        assert truths[case.id].problem(r.delta) is not None


def test_kept_tolerances_are_those_of_the_cases():
    kept = json.loads(KEPT.read_text())
    wanted = {case.id: case for case in (*cases.FULL, *cases.QUICK)}
    assert set(kept) == set(wanted)
    cheap = next(case for case in cases.FULL if case.workload == "W1" and case.steps == 1)
    found = tolerances(cheap)
    assert kept[cheap.id] == pytest.approx(found, rel=1.0)  # random signs; libraries' sums differ in order
    for name, kept_of in kept.items():
        assert max(kept_of.values()) < 0.3, name  # of which kinks are the most; FO-MAML is off by 0.9 and more


def test_the_limit_is_made_of_the_fastest_gradients():
    results = some_results()
    slow = next(record for record in results["records"] if record["form"] == "gradient, support")
    fast = slow | {"form": "gradient, support, one at a time", "rounds": [0.0002], "median": 0.0002}
    results["records"].append(fast)
    ours, *_ = tables.rows(results, results["cases"][0])
    assert ours.of_limit == pytest.approx(0.003 / (3 * 0.0002 + 0.0015))


def test_gradients_of_the_limit_are_steps_of_descent():
    """Of each task, from where all start: the mean of where they end is what descent written out gives."""
    import metaspec as ms

    params, batch = TINY.params("float64"), TINY.batch("float64")
    B = ms.get_backend("numpy")
    expected = dict.fromkeys(params, 0.0)
    for t in range(TINY.tasks):
        theta = dict(params)
        for _ in range(ours.GRADIENTS):
            _, g = B.value_and_grad(TINY.network.loss)(theta, {name: x[t] for name, x in batch.support.items()})
            theta = {name: p - TINY.lr * g[name] for name, p in theta.items()}
        expected = {name: total + theta[name] / TINY.tasks for name, total in expected.items()}
    named = {form.name: form for form in ours.forms("numpy")}
    for name in ("gradient, support", "gradient, support, one at a time"):
        found, _ = named[name].build(TINY).run()
        for leaf, value in expected.items():
            np.testing.assert_allclose(found[leaf], value, rtol=0, atol=1e-5 * np.abs(value).max())


def test_the_source_is_what_is_timed(tmp_path, monkeypatch):
    import metaspec.benchmarks

    before = source.digest()
    assert source.digest() == before
    folder = tmp_path / "benchmarks"
    shutil.copytree(metaspec.benchmarks.__path__[0], folder)
    monkeypatch.setattr(metaspec.benchmarks, "__path__", [str(folder)])
    assert source.digest() == before
    (folder / "tables.py").write_text("")
    assert source.digest() == before
    (folder / "cases.py").write_text("")
    assert source.digest() != before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--seconds", "inf"], "--seconds: expected a number of seconds, got inf"),
        (["--workload", "W1,"], "--workload: expected names joined by commas, got 'W1,'"),
        (["--workload", "W1,W1"], "--workload: 'W1' is given twice"),
        (["--framework", "numpy,"], "--framework: expected names joined by commas, got 'numpy,'"),
        (["--json", "."], "--json: expected a file, . is a folder"),
        (["--json", "no/such/run.json"], "--json: there is no folder"),
    ],
)
def test_command_refuses(arguments, said, capsys, monkeypatch):
    from metaspec.cli import main

    monkeypatch.setattr(sys, "argv", ["metaspec", "bench", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_cases_are_chosen_by_workload():
    assert {case.workload for case in cases.selected(["W1", "imaml"], quick=False)} == {"W1", "imaml"}
    assert {case.workload for case in cases.selected([], quick=False)} == set(cases.WORKLOADS)
    ids = [case.id for case in cases.FULL if case.x_axis is None]
    assert len(ids) == len(set(ids))
    with pytest.raises(InvalidArgumentError, match="--workload: W9 is none of W1, W2"):
        cases.selected(["W9"], quick=True)


def test_memory_is_that_of_the_call():
    size = 64 << 20
    if peak_bytes(lambda: None) is None:
        pytest.skip("the system does not tell the most memory of a stretch of time")
    assert peak_bytes(lambda: np.ones(size // 8)) >= 0.9 * size
    assert peak_bytes(lambda: None) < size / 8


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


def test_document_gets_tables_and_plots(tmp_path):
    pytest.importorskip("matplotlib")
    page = tmp_path / "page.md"
    page.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n")
    document.write(some_results(), page)
    assert json.loads((tmp_path / "page.json").read_text()) == some_results()
    text = page.read_text()
    assert "\nP, 2 cores; Python 3, numpy 2; float32.\n" in text
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| numpy | rival | 12 ms |" in text
    assert "numpy, gone: not installed: gone" in text
    assert "![time and memory against steps](performance-steps.svg)" in text
    svg = (tmp_path / "performance-steps.svg").read_text()
    assert "numpy: ms a call" in svg
    assert ">rival<" in svg
    assert "inner steps K" in svg
    document.write(some_results(), page)
    assert (tmp_path / "performance-steps.svg").read_text() == svg
    page.write_text("no place")
    with pytest.raises(InvalidArgumentError, match="expected the marks"):
        document.write(some_results(), page)


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
    page.write_text(f"{document.BEGIN}\nold\n{document.END}\n")
    monkeypatch.setattr(sys, "argv", ["document", str(file), str(page)])
    with pytest.raises(
        SystemExit, match=rf"^error: {file}: expected what `metaspec bench --json FILE` writes; .*{said}"
    ):
        document.main()
    assert "old" in page.read_text()


def test_document_refuses_what_is_no_document(tmp_path, monkeypatch):
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(some_results()))
    monkeypatch.setattr(sys, "argv", ["document", str(file), str(tmp_path / "page.md")])
    with pytest.raises(SystemExit, match=r"page.md: expected a Markdown document that can be read"):
        document.main()
    monkeypatch.setattr(sys, "argv", ["document"])
    with pytest.raises(SystemExit, match=r"bench.json \[more.json"):
        document.main()


def test_several_runs_are_joined():
    first, second = some_results(), some_results()
    second["cases"] = [*second["cases"][1:], second["cases"][0] | {"id": "third"}]
    second["records"] = [r | {"first": 9.0} for r in second["records"] if r["case"] == "another"]
    second["records"] += [second["records"][0] | {"case": "third", "framework": "jax"}]
    second["versions"] = {"jax": {"jax": "1"}}
    both = document.joined([first, second])
    assert [case["id"] for case in both["cases"]] == [*(case["id"] for case in first["cases"]), "third"]
    assert len(both["records"]) == len(first["records"]) + 1
    assert {r["first"] for r in both["records"] if r["case"] == "another"} == {9.0}
    assert {r["first"] for r in both["records"] if r["case"] == first["cases"][0]["id"]} == {0.5}
    assert set(both["versions"]) == {"numpy", "jax"}
    assert document.joined([first])["records"] == first["records"]
    second["machine"] = second["machine"] | {"cores": 1}
    with pytest.raises(InvalidArgumentError, match="runs of different machine"):
        document.joined([first, second])
    with pytest.raises(InvalidArgumentError, match="runs of different source in one document: s and t"):
        document.joined([some_results(), some_results() | {"source": "t"}])
    second = some_results() | {"versions": {"numpy": {"numpy": "3"}}}
    with pytest.raises(InvalidArgumentError, match="runs of different versions in one document: numpy"):
        document.joined([first, second])


def test_what_two_workloads_have_is_measured_once_and_told_in_both():
    said = []
    same = replace(TINY, workload="k64")
    results = running.run([TINY, same], ["numpy"], seconds=0, quick=True, say=said.append).as_json()
    assert [case["workload"] for case in results["cases"]] == ["W1", "k64"]
    assert len(said) == 1
    forms = [record["form"] for record in results["records"]]
    assert len(forms) == len(set(forms))
    apart = [results | {"cases": [case]} for case in results["cases"]]
    assert document.joined(apart)["cases"] == results["cases"]
    assert "### Sinusoid network" in document.markdown(results)
    assert "### Long inner loops" in document.markdown(results)


def test_figures_are_kept_as_they_come(monkeypatch):
    """A run that is broken off leaves what it had measured."""
    kept = []

    def keep(results):
        kept.append(len(results.as_json()["records"]))
        if len(kept) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        running.run([TINY, IMPLICIT, TINY], ["numpy"], seconds=0, quick=True, say=lambda text: None, keep=keep)
    assert 0 < kept[0] < kept[1]


def test_plots_say_what_to_install(tmp_path, monkeypatch):
    from metaspec.benchmarks import plots

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(LibraryMissingError, match=r"pip install 'metaspec\[plots\]'"):
        plots.draw(some_results(), tmp_path)


def test_command(tmp_path):
    file = tmp_path / "bench.json"
    arguments = ["bench", "--quick", "--workload", "W1", "--framework", "numpy", "--seconds", "0", "--json", str(file)]
    command = [sys.executable, "-c", "from metaspec.cli import main; main()", *arguments]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "COLUMNS": "120", "NO_COLOR": "1"}, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("numpy 1/1: MLP 1-40-40-1, 25 tasks, K = 5", "hand-derived", "of limit", "numpy: numpy "):
        assert word in done.stdout
    figures = json.loads(file.read_text())
    assert {record["form"] for record in figures["records"]} >= {"metaspec", "metaspec, eager", "gradient, query"}
    assert all(record["median"] > 0 for record in figures["records"] if record["problem"] is None)
    assert figures["versions"]["numpy"]["numpy"] == np.__version__
