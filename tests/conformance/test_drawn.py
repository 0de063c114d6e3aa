"""Drawn scenarios in a run: what fails is shrunk to a program that shows it; a soak counts what it should."""

import json
import pickle
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec_conformance.generators.examples import counterexamples, examples
from metaspec_conformance.generators.snippets import snippet
from metaspec_conformance.judging.error_model import Measured
from metaspec_conformance.judging.verdicts import Outcome, judge
from metaspec_conformance.scenarios.reference import reference
from metaspec_conformance.soak import groups
from metaspec_conformance.soak.tally import BINS, PER_UNIT, Tally
from metaspec_conformance.workers.runner import run

WITHOUT_PRODUCTS = "tests.conformance.seeded_faults:worker_without_products"
SOAK = [sys.executable, "-m", "metaspec_conformance.soak"]


def _run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)


def test_a_planted_fault_is_found_shrunk_and_shown_by_a_program():
    target = WITHOUT_PRODUCTS
    report = run([target], examples(12, 5), ["float64"])
    algorithms = {outcome.algorithm for outcome in report.failures}
    assert "MAML" in algorithms <= {"MAML", "IMAML"}
    maml = tuple(outcome for outcome in report.failures if outcome.algorithm == "MAML")
    (program,) = counterexamples(maml, 12, 5, timeout=60.0)
    assert "ms.MAML(" in program
    assert program.count("ms.Task(") == 1
    assert len(program) < 4000
    shown = _run(program)
    assert shown.returncode == 1
    assert "tolerances" in shown.stderr.splitlines()[-1]
    sound = _run(program.replace(f"load({target!r})", "ms.get_backend('numpy')"))
    assert (sound.returncode, sound.stderr) == (0, "")


def test_a_crash_is_shown_too():
    report = run(["tests.conformance.seeded_faults:worker_ending"], examples(1, 0), ["float32"])
    (program,) = counterexamples(report.failures, 1, 0, timeout=60.0, patience=2.0)
    assert "the worker process ended with status 3" in program.splitlines()[0]


def test_failures_of_the_list_and_of_other_seeds_are_not_shrunk():
    outcome = Outcome("numpy", "MAML", "least-squares/maml/steps-3", "float32", "", None, "wrong")
    other = Outcome("numpy", "MAML", "drawn-6-0/network/maml", "float32", "", None, "wrong")
    assert list(counterexamples((outcome, other), 12, 5, timeout=1.0)) == []


def test_snippets_of_every_form_run():
    for scenario in [s for s in examples(40, 9) if s.compiled or s.form != "task"][:8]:
        _runs(scenario)


def _runs(scenario):
    program = snippet(scenario, "numpy", "float32", reference(scenario), "nothing is wrong")
    names = {}
    exec(compile(program, scenario.id, "exec"), names)  # it asserts
    assert names["worst"] < 1


def test_verify_draws_examples_and_prints_the_program_of_what_fails(tmp_path):
    file = tmp_path / "report.json"
    command = [sys.executable, "-c", "from metaspec.cli import main; main()", "verify", "numpy", WITHOUT_PRODUCTS]
    arguments = ["--scenario", "drawn*", "--examples", "3", "--seed", "2", "--dtype", "float64", "--json", str(file)]
    done = subprocess.run([*command, *arguments], capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"B = load({WITHOUT_PRODUCTS!r})" in done.stdout
    found = json.loads(file.read_text())
    assert {o["scenario"].partition("/")[0] for o in found["outcomes"]} == {f"drawn-2-{i}" for i in range(3)}
    assert {o["backend"] for o in found["outcomes"] if not o["passed"]} == {WITHOUT_PRODUCTS}
    sound = [row for row in found["rows"] if row["backend"] == "numpy"]
    assert sound
    assert all(row["headroom"] is None or row["headroom"] >= 1 for row in sound)


@pytest.mark.parametrize(("seed", "dtype"), [(22, "float32"), (35, "float64")])
def test_groups_agree_on_every_backend(backend, seed, dtype):
    """A composition with iMAML, Rosenbrock's function with MAML; two dozen data sets through one compiled function."""
    made = _made(seed, dtype)
    results = groups.compute(backend, made.plan, made.scenarios)
    outcomes = [
        judge(backend, *row) for row in zip(made.scenarios, [dtype] * 24, made.references, results, strict=True)
    ]
    assert [outcome.message for outcome in outcomes] == [""] * 24
    assert made.problems == ()


@cache
def _made(seed, dtype):
    return groups.make(groups.Plan(seed, 0, 24, dtype, eager=False))


def test_a_soak_counts_what_ran(tmp_path):
    file = tmp_path / "soak.json"
    command = [*SOAK, "--backend", "numpy", "--scenarios", "44", "--seed", "35", "--json", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(file.read_text())
    assert (found["scenarios"], found["structures"], found["passed"]) == (44, 2, True)
    (formats,) = found["backends"].values()
    assert sum(tally["eager"] for tally in formats.values()) == 40
    assert sum(tally["compiled"] for tally in formats.values()) == 4
    assert sum(sum(tally["histogram"]) for tally in formats.values()) == 44
    assert all(tally["headroom"] > 1 for tally in formats.values())


def test_a_soak_finds_a_planted_fault_and_a_crash_and_the_rest_runs():
    crashing = "tests.conformance.seeded_faults:worker_ending"
    backends = [word for name in (crashing, WITHOUT_PRODUCTS, "numpy") for word in ("--backend", name)]
    done = subprocess.run([*SOAK, *backends, "--scenarios", "4", "--seed", "35"], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"{crashing} float32: 4 scenarios, 4 failed" in done.stdout
    assert "the worker process ended with status 3" in done.stdout
    assert f"FAILED {WITHOUT_PRODUCTS} float32 soak-35-0-0/rosenbrock/maml (eager): delta" in done.stdout
    assert "numpy float32: 4 scenarios, 0 failed" in done.stdout


def test_a_scenario_of_a_soak_is_shown_as_a_program():
    done = subprocess.run(
        [*SOAK, "--backend", "numpy", "--show", "soak-35-0-2/rosenbrock/maml"], capture_output=True, text=True
    )
    shown = _run(done.stdout)
    assert (shown.returncode, shown.stderr) == (0, "")
    (same,) = [s for s in _made(35, "float64").scenarios if s.id.startswith("soak-35-0-2/")]
    assert repr(same.algorithm.inner.lr) in done.stdout


def test_a_group_is_the_same_when_it_is_made_again_and_half_of_the_groups_have_each_format():
    plan = groups.Plan(35, 0, 3, "float64", False)
    first, second = groups.make(plan), groups.make(plan)
    assert pickle.dumps(first.scenarios) == pickle.dumps(second.scenarios)
    assert repr(first.references) == repr(second.references)
    for eager in (True, False):
        plans = [plan for plan in (groups.plan(0, i, 1000) for i in range(64)) if plan.eager is eager]
        assert [p.dtype for p in plans].count("float32") * 2 == len(plans)


def test_the_compiled_reference_is_the_reference():
    made = groups.make(groups.Plan(22, 0, 3, "float64", False))
    for scenario, truth in zip(made.scenarios, made.references, strict=True):
        for path, plain in reference(scenario).leaves.items():
            assert np.allclose(np.float64(truth.leaves[path].value), np.float64(plain.value), rtol=1e-15, atol=0)
            assert 1 / 30 < truth.leaves[path].amplification / plain.amplification < 30  # other random signs


def test_a_mean_of_solves_by_tolerance_has_no_reference():
    scenario = next(s for s in examples(120, 1) if s.algorithm_name == "IMAML" and len(s.tasks) > 1)
    algorithm = replace(scenario.algorithm, solver=ConjugateGradient(steps=12, tol=1e-3))
    with pytest.raises(ValueError, match="judged by its residual, so for one task"):
        reference(replace(scenario, algorithm=algorithm))


def test_a_tally_counts():
    rng = np.random.default_rng(0)
    errors = rng.exponential(size=1000)
    tally = Tally()
    for i, error in enumerate(errors):
        leaf = Measured("delta", error, 16.0, 2.0, 1e-8)
        tally.add(Outcome("numpy", "MAML", f"s{i}", "float32", "", leaf, "", 0.1, 7.0), "eager")
    tally.add(Outcome("numpy", "MAML", "broken", "float32", "", None, "it broke"), "compiled")
    plain = tally.as_json()
    assert (plain["eager"], plain["compiled"], plain["failures"]) == (1000, 1, 1)
    assert plain["messages"] == ["broken (compiled): it broke"]
    assert plain["headroom"] == 16.0 / max(errors)
    assert [entry[0] for entry in plain["worst"]] == sorted(errors, reverse=True)[:20]
    for q, found in plain["quantiles"].items():
        assert 0 <= found - np.quantile(errors, float(q), method="inverted_cdf") <= 1 / PER_UNIT + 1e-9
    infinite = Measured("delta", np.inf, 16.0, 2.0, np.inf)
    tally.add(Outcome("numpy", "MAML", "far", "float32", "", infinite, "wrong"), "eager")
    assert tally.histogram[BINS] == 1
