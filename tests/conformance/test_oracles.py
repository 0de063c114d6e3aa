"""The oracles agree with one another and with what can be worked out by hand; each can fail."""

from dataclasses import replace

import numpy as np
import pytest

from metaspec.algorithms import FOMAML, MAML
from metaspec.backend.selection import backend_context
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.task import Task
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.numpy_trees import leaves, ravel
from metaspec_conformance.oracles import checked, dense_oracle, quadratic
from metaspec_conformance.oracles import extended_precision as extended
from metaspec_conformance.oracles.krylov_oracle import conjugate_gradients
from metaspec_conformance.scenarios import datasets
from metaspec_conformance.scenarios.certified import certified
from metaspec_conformance.scenarios.datasets import rate
from metaspec_conformance.scenarios.portable_losses import LOSSES
from metaspec_conformance.scenarios.reference import reference

QUADRATICS = [s for s in certified() if s.oracle == "quadratic"]
OTHERS = [s for s in certified() if s.oracle == "extended"]


@pytest.mark.parametrize("scenario", QUADRATICS, ids=lambda s: s.id)
def test_backpropagation_agrees_with_the_closed_form(scenario):
    by_rules, by_formula = (oracle.compute(scenario, scenario.tasks[0]) for oracle in (extended, quadratic))
    for name, tree in by_formula.items():
        for a, b in zip(leaves(by_rules[name]), leaves(tree), strict=True):
            assert error_model.relative_error(a, b) < 1e-15


@pytest.mark.parametrize("steps", [1, 3])
def test_a_chain_cut_at_either_end_is_fomaml_or_maml(steps):
    scenario, inner = next(s for s in OTHERS if s.loss == "logistic"), GradientDescent(0.5, steps)

    def delta(algorithm):
        found = extended.compute(replace(scenario, algorithm=algorithm), scenario.tasks[0])
        return ravel(found["delta"])

    whole, none = (delta(MAML(inner, backprop_steps=j)) for j in (steps, 0))
    assert error_model.relative_error(whole, delta(MAML(inner))) < 1e-15
    assert error_model.relative_error(none, delta(FOMAML(inner))) < 1e-15
    assert error_model.relative_error(whole, none) > 1e-3


def test_closed_form_by_hand():
    scenario = next(s for s in QUADRATICS if s.id == "identity-hessian/maml")
    task, inner = scenario.tasks[0], scenario.algorithm.inner
    v, c = ravel(scenario.params), task.support["H"][0, 0]
    optimum = task.support["c"] / c
    reached = optimum + (1 - inner.lr * c) ** inner.steps * (v - optimum)
    delta = (1 - inner.lr * c) ** inner.steps * (task.query["H"][0, 0] * reached - task.query["c"])
    assert np.allclose(ravel(quadratic.compute(scenario, task)["delta"]).astype(float), delta, rtol=1e-13)


def test_dense_solve():
    rng = np.random.default_rng(0)
    A, x = rng.normal(size=(2, 9, 9)).astype(np.longdouble)[0], rng.normal(size=9).astype(np.longdouble)
    assert error_model.relative_error(dense_oracle.solve(A, np.sum(A * x, axis=1)), x) < 1e-15


def test_conjugate_gradients_end_after_as_many_steps_as_unknowns():
    rng = np.random.default_rng(1)
    M = rng.normal(size=(6, 6)).astype(np.longdouble)
    A, b = np.sum(M[:, :, None] * M[:, None, :], axis=0) + np.eye(6), rng.normal(size=6).astype(np.longdouble)
    found = [error_model.relative_error(conjugate_gradients(A, b, k), dense_oracle.solve(A, b)) for k in (5, 6)]
    assert found[1] < 1e-14 < found[0]


@pytest.mark.parametrize("scenario", OTHERS[::4], ids=lambda s: s.id)
def test_tracer_is_trusted_where_it_is_right(scenario):
    assert checked.reference_error(scenario) == ""


@pytest.mark.parametrize("fault", ["matmul_rule_transposed", "tanh_rule_wrong"])
def test_tracer_is_not_trusted_where_a_rule_is_wrong(fault, monkeypatch):
    from tests.conformance import seeded_faults

    seeded_faults.WRONG[fault](monkeypatch.setattr)
    assert any(checked.reference_error(scenario) for scenario in OTHERS)


@pytest.mark.parametrize("scenario", [s for s in OTHERS if "network" in s.id], ids=lambda s: s.id)
def test_curvature_along_the_path_is_within_the_bound(scenario):
    """lr * L <= 1 at every iterate, the proximal term included."""
    algo = scenario.algorithm
    strength = getattr(algo, "regularization", 0.0)
    theta = extended.compute(scenario, scenario.tasks[0])["adapted"]
    with backend_context("numpy") as B:
        for batch in scenario.tasks[0]:
            for point in (
                scenario.params,
                B.tree_unflatten(B.tree_flatten(theta)[1], [np.asarray(x, float) for x in leaves(theta)]),
            ):
                assert algo.inner.lr * (_largest(B, LOSSES[scenario.loss], point, batch) + strength) <= 1


def _largest(B, loss, params, batch):
    from metaspec_conformance.judging.numpy_trees import unravel

    _, product = B.linearize_grad(loss)(params, batch)
    unit = np.eye(sum(leaf.size for leaf in leaves(params)))
    return np.abs(np.linalg.eigvalsh([ravel(product(unravel(e, params))) for e in unit])).max()


def test_rate_is_a_short_number_within_the_bound():
    for bound in (0.3, 1.0, 7.7, 64.1):
        assert 0.8 <= rate(bound) * bound <= 1
        assert rate(bound) == float(np.float32(rate(bound)))


def test_errors_are_measured_by_leaf_and_against_exact_zeros():
    r = np.array([3, 4], np.longdouble)
    assert error_model.relative_error(np.array([3, 4.5]), r) == pytest.approx(0.1)
    assert error_model.relative_error(np.zeros(2), 0 * r) == 0
    assert error_model.relative_error(np.array([0, 1e-30]), 0 * r) == np.inf
    assert error_model.relative_error(np.array([np.nan, 4]), r) == np.inf


def test_cancellation_is_seen_as_amplification():
    """Reptile's delta is a difference of nearly equal numbers after a short step."""
    by_id = {s.id: s for s in certified()}
    short, long = (reference(by_id[f"linear-loss/{name}"]) for name in ("reptile", "imaml"))
    assert all(expected.amplification >= 1 for r in (short, long) for expected in r.leaves.values())
    assert reference(by_id["compiled/reptile"]).leaves["delta['layers'][0]['w']"].amplification > 3


def test_platform_without_extended_precision_widens_and_says_so(monkeypatch):
    from metaspec_conformance.reports import verify_report as report

    assert "64 bits" not in report.statement() or "no wider" not in report.statement()
    monkeypatch.setattr(error_model, "EXTENDED_ROUNDOFF", 2.0**-53)
    assert error_model.tolerance("float64") == 32
    assert error_model.tolerance("float32") == 16
    assert "no wider than float64 on this platform; tolerance float32 16, float64 32" in report.statement()


@pytest.mark.parametrize("scenario", certified(), ids=lambda s: s.id)
def test_rounding_is_not_amplified_much(scenario):
    """Digits are lost in a scenario where a leaf nearly vanishes; another seed serves better."""
    assert max(expected.amplification for expected in reference(scenario).leaves.values()) < 100


def test_a_tracer_that_raises_does_not_stop_the_making_of_scenarios(monkeypatch):
    def raising(params, batch):
        raise ValueError("a rule is broken")

    assert datasets.curvature(raising, {"w": np.ones(2)}, (Task(np.ones(2), np.ones(2)),)) == 1.0
