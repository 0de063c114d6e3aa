"""What is drawn is valid, of bounded curvature by construction, the same for the same seed, and right on backends."""

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import metaspec as ms
from metaspec.backend.selection import backend_context
from metaspec.errors import InvalidArgumentError
from metaspec_conformance import strategies
from metaspec_conformance.generators import generated_models as models
from metaspec_conformance.generators import programs, structures
from metaspec_conformance.generators.choices import at_random
from metaspec_conformance.generators.examples import examples
from metaspec_conformance.generators.families import FAMILIES, draw_problem
from metaspec_conformance.generators.structures import draw_structure
from metaspec_conformance.judging.numpy_trees import cast, leaves, ravel, tree_map, unravel
from metaspec_conformance.judging.verdicts import judge
from metaspec_conformance.oracles.checked import reference_error
from metaspec_conformance.scenarios.portable_losses import loss_of
from metaspec_conformance.scenarios.reference import reference
from metaspec_conformance.scenarios.scenario import Scenario
from metaspec_conformance.workers.check_worker import perform

ROOT = Path(__file__).parents[2]

# Drawing a scenario follows its inner path several times, which is work, not waste.
FIXED = settings(
    derandomize=True, database=None, deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow]
)


@FIXED
@given(strategies.scenarios())
def test_curvature_is_bounded_along_the_path(scenario):
    """By products with unit vectors at every iterate, the path walked here."""
    algo, loss = scenario.algorithm, loss_of(scenario.loss)
    strength = getattr(algo, "regularization", 0.0)
    lr = algo.inner.lr
    largest = lr if isinstance(lr, float) else max(float(np.max(rate)) for rate in leaves(lr) if rate.size)
    rates = tree_map(lambda w: np.float64(lr), scenario.params) if isinstance(lr, float) else lr
    with backend_context("numpy") as B:
        for task in scenario.tasks:
            batch = task.support
            if scenario.algorithm_name == "Reptile" and scenario.form != "adapt" and task.query is not None:
                batch = tree_map(lambda a, b: np.concatenate([a, b]), *task)
            theta = scenario.params
            for step in range(algo.inner.steps + 1):
                assert largest * (_norm_of_hessian(B, loss, theta, batch) + strength) <= 1
                if step < algo.inner.steps:
                    g = B.grad(loss)(theta, batch)
                    theta = tree_map(
                        lambda t, r, g, p: t - r * (g + strength * (t - p)), theta, rates, g, scenario.params
                    )


def _norm_of_hessian(B, loss, theta, batch):
    unit = np.eye(ravel(theta).size)
    H = np.stack([ravel(B.hvp(loss)(theta, unravel(e, theta), batch)) for e in unit])
    return float(np.max(np.abs(np.linalg.eigvalsh((H + H.T) / 2))))


@FIXED
@given(strategies.scenarios(), strategies.dtypes())
def test_scenarios_are_plain_data_and_numpy_agrees(scenario, dtype):
    again = pickle.loads(pickle.dumps(scenario))
    assert isinstance(again, Scenario)
    if not isinstance(scenario.loss, str):
        assert eval(repr(scenario.loss), vars(programs) | vars(models)) == scenario.loss == again.loss
    _agrees("numpy", again, dtype)


@settings(FIXED, max_examples=12)
@given(strategies.scenarios(algorithms=strategies.FAMILY))
def test_numpy_agrees_on_members_of_the_family(scenario):
    _agrees("numpy", scenario, "float64")


def test_a_member_s_moments_that_are_constants_are_seen(monkeypatch):
    choose = at_random(11, 5)
    scenario = draw_structure(choose, algorithms=("Adam",), forms=("task",)).scenario(choose, "drawn")
    truth, original = reference(scenario), ms.Adam.update
    monkeypatch.setattr(
        ms.Adam, "update", lambda self, B, theta, state, *rest: original(self, B, theta, B.stop_gradient(state), *rest)
    )
    found = perform(ms.get_backend("numpy"), scenario, "float64")
    assert "delta" in judge("numpy", scenario, "float64", truth, found).message


@pytest.mark.skipif("torch" not in {s.name for s in ms.list_backends() if s.installed}, reason="needs torch")
@FIXED
@given(strategies.scenarios(["composition", "network", "rosenbrock", "least-squares"]), strategies.dtypes())
def test_torch_agrees(scenario, dtype):
    _agrees("torch", scenario, dtype)


def _agrees(name, scenario, dtype):
    truth = reference(scenario)
    assert judge(name, scenario, dtype, truth, perform(ms.get_backend(name), scenario, dtype)).message == ""


@pytest.mark.parametrize("name", [*programs.UNARY, *programs.BINARY])
def test_operations_have_the_derivatives_that_their_values_say(name):
    rng = np.random.default_rng(0)
    loss = programs.Composition(((name, 0) if name in programs.UNARY else (name, 0, 1),))
    _has_right_derivatives(loss, _composition_data(rng))


@pytest.mark.parametrize("name", programs.OBJECTIVES)
def test_objectives_have_the_derivatives_that_their_values_say(name):
    loss = programs.Composition((("multiply", 0, 1),), name)
    _has_right_derivatives(loss, _composition_data(np.random.default_rng(1)))


def _composition_data(rng):
    params = {"a": rng.normal(size=2), "b": rng.normal(size=(2, 1))}
    x = tree_map(lambda leaf: rng.normal(size=(3, 2, *leaf.shape)), params)
    return params, {"x": x, "y": rng.normal(size=(3, 2))}


def _has_right_derivatives(loss, data):
    params, batch = cast(cast(data, np.float32), np.float64)
    task = ms.Task(batch, batch)
    algorithm = ms.FOMAML(ms.GradientDescent(0.1, 1))
    assert reference_error(Scenario("x", loss, params, (task,), algorithm, "extended", ())) == ""


def test_a_composition_by_hand():
    loss = programs.Composition((("tanh", 0), ("quotient", 2, 1)), "cauchy")
    params, batch = _composition_data(np.random.default_rng(2))
    a, b = (batch["x"][name].reshape(6, 2) @ params[name].reshape(2) for name in ("a", "b"))
    z = np.tanh(a) / (1 + b**2)
    with backend_context("numpy"):
        assert np.isclose(loss(params, batch), np.mean(np.log1p((z - batch["y"].reshape(6)) ** 2)), rtol=1e-14)


def test_what_is_not_known_is_named():
    with pytest.raises(InvalidArgumentError, match="'tan' with 1 operands is not one of tanh, sin"):
        programs.Composition((("tan", 0),))
    with pytest.raises(InvalidArgumentError, match="objective: 'cubes' is not one of squares"):
        programs.Composition((), "cubes")
    with pytest.raises(InvalidArgumentError, match="activation: 'relu' is not one of tanh"):
        models.Network("relu")
    with pytest.raises(InvalidArgumentError, match="families: 'cubic' is not one of least-squares"):
        strategies.scenarios(["cubic"])
    with pytest.raises(InvalidArgumentError, match="algorithms: 'PEARL' is not one of MAML"):
        strategies.scenarios(algorithms=["PEARL"])
    with pytest.raises(InvalidArgumentError, match="forms: 'batch' is not one of task"):
        strategies.scenarios(forms=["batch"])
    with pytest.raises(InvalidArgumentError, match="curvature: expected a number > 0, got 0"):
        strategies.algorithms(0)
    with pytest.raises(InvalidArgumentError, match="loss: 'cubic' is not one of least_squares"):
        loss_of("cubic")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_gives_losses_of_its_own_data(family):
    for seed in range(4):
        problem = draw_problem(at_random(seed), [family])
        params = problem.params(seed)
        with backend_context("numpy") as B:
            for batch in problem.task(seed, 3, 1):
                value, gradient = B.value_and_grad(loss_of(problem.loss))(params, batch)
                assert np.shape(value) == ()
                assert all(np.all(np.isfinite(leaf)) for leaf in [value, *leaves(gradient)])


@FIXED
@given(st.data())
def test_the_parts_can_be_drawn_alone(data):
    problem = data.draw(strategies.problems())
    params = problem.params(0)
    task = data.draw(strategies.tasks(problem))
    algo = data.draw(strategies.algorithms(4.0, params if data.draw(st.booleans()) else None))
    largest = max(np.max(rate, initial=0.0) for rate in leaves(algo.inner.lr))
    assert largest * (4.0 + getattr(algo, "regularization", 0.0)) <= 1
    adapted = ms.adapt(algo, loss_of(problem.loss), params, task.support, backend="numpy")
    assert [leaf.shape for leaf in leaves(adapted)] == [leaf.shape for leaf in leaves(params)]
    tree = data.draw(strategies.trees())
    assert sum(leaf.size for leaf in leaves(tree)) > 0
    assert callable(data.draw(strategies.losses()))
    assert data.draw(strategies.compositions(3)).program is not None
    assert data.draw(strategies.solvers()) in (*structures.SOLVERS, structures.BY_TOLERANCE)


def test_many_kinds_are_drawn():
    drawn = [draw_structure(at_random(5, i)) for i in range(200)]
    assert {s.algorithm for s in drawn} == {"MAML", "FOMAML", "Reptile", "IMAML"}
    assert {s.steps for s in drawn} == {0, 1, 2, 3, 5, 8}
    assert {s.form for s in drawn} == {"task", "stacked", "sequence", "adapt"}
    assert {s.rates for s in drawn} == {"one", "leaf", "entry"}
    assert len({s.problem.name for s in drawn}) >= len(FAMILIES)
    shapes = [leaf.shape for s in drawn for leaf in leaves(s.problem.params(0))]
    assert {(), (0,), (2, 2)} <= set(shapes)
    clauses = {clause for s in drawn[:40] for clause in s.scenario(at_random(6), "x").clauses}
    assert {"MS-INNER-2", "MS-EDGE-1", "MS-REPTILE-2", "MS-SOLVE-3", "MS-SOLVE-4", "MS-BATCH-2"} <= clauses
    assert any(len(set(sizes)) > 1 for sizes in (s.sizes for s in drawn))


def test_the_same_seed_draws_the_same():
    first, second, other = examples(5, 3), examples(5, 3), examples(5, 4)
    assert pickle.dumps(first) == pickle.dumps(second) != pickle.dumps(other)
    assert [scenario.id.partition("/")[0] for scenario in first] == [f"drawn-3-{i}" for i in range(5)]


def test_the_first_options_are_the_simplest_scenario():
    def first(options):
        return options[0]

    scenario = draw_structure(first).scenario(first, "drawn")
    assert (scenario.loss, scenario.algorithm_name, scenario.algorithm.inner.steps) == ("least_squares", "MAML", 1)
    assert (len(scenario.tasks), scenario.form, scenario.compiled) == (1, "task", False)
    assert ravel(scenario.params).size <= 4


def test_the_document_s_example_accepts_what_is_right_and_rejects_what_is_not():
    code = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "strategies.md").read_text(), flags=re.DOTALL).group(1)

    def run(kind):
        def my_maml(loss, params, task, lr, steps):
            return ms.meta_gradient(kind(ms.GradientDescent(lr, steps)), loss, params, task, backend="numpy").delta

        names = {}
        exec(code, names)
        names["my_maml"] = my_maml
        settings(FIXED, max_examples=5, phases=[Phase.generate])(names["test_my_maml"])()

    run(ms.MAML)
    with pytest.raises(AssertionError):
        run(ms.FOMAML)


@pytest.mark.parametrize("drawing", ["examples(2, 0)", "strategies"])
def test_without_hypothesis_drawing_says_what_to_install(drawing):
    program = (
        "import sys; sys.modules['hypothesis'] = None\n"
        "from metaspec_conformance.generators.examples import examples\n"
        "assert examples(0, 0) == ()\n"
        f"{'import metaspec_conformance.strategies' if drawing == 'strategies' else drawing}\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "pip install 'metaspec[verify]'" in done.stderr.splitlines()[-1]
