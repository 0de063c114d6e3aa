"""The ways in which code can be given to an audit, and what comes back."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import metaspec as ms
from metaspec.cli.app import build
from metaspec_conformance.audit import Problem
from tests.audit.code import styles

CODE = Path(__file__).parent / "code"
LENIENT = 1e-12


def test_a_function_of_parameters_and_tasks_that_is_right_has_no_findings() -> None:
    report = ms.audit(styles.as_function, claim="maml")
    assert (report.verdict, report.algorithm, report.codes, report.matches_claim) == ("identified", "maml", (), True)
    assert report.sentence == "computes MAML; claimed MAML"
    assert report.found["differentiated"] == [True, True, True]
    assert (report.found["steps"], report.found["lr_factor"], report.found["task_reduction"]) == (3, 1.0, "mean")


def test_a_wrong_claim_is_named() -> None:
    report = ms.audit(styles.of_one_task, claim="maml")
    assert (report.algorithm, report.codes, report.passed) == ("fomaml", ("algorithm",), False)
    assert report.found["task_reduction"] is None


def test_updated_parameters_are_told_from_a_meta_gradient() -> None:
    report = ms.audit(styles.as_update, claim="reptile")
    assert (report.found["result"], report.codes, report.matches_claim) == ("params", (), True)


def test_conjugate_gradients_are_counted() -> None:
    report = ms.audit(styles.implicit, claim="imaml")
    assert (report.algorithm, report.codes) == ("imaml", ())
    assert (report.found["solver"], report.found["solver_steps"]) == ("conjugate gradients", 2)


def test_what_is_hard_coded_is_found() -> None:
    report = ms.audit(styles.hard_coded, steps=2)
    assert (report.algorithm, report.codes) == ("maml", ())
    assert abs(report.found["lr"] - 0.07) < LENIENT


def test_a_hard_coded_rate_that_is_not_the_claimed_one_is_a_fault() -> None:
    report = ms.audit(styles.hard_coded, claim="maml", lr=0.05, steps=2)
    assert report.codes == ("inner-rate",)
    assert abs(report.found["lr"] - 0.07) < LENIENT


def test_an_estimator_is_made_and_fitted() -> None:
    assert ms.assert_computes("fomaml", styles.Learner).found["result"] == "params"


def test_the_assertion_shows_the_verdict_and_the_evidence() -> None:
    with pytest.raises(AssertionError, match=r"computes FO-MAML; claimed MAML[\s\S]*residual[\s\S]*fault algorithm"):
        ms.assert_computes("maml", styles.Learner)


def test_the_classification_problem() -> None:
    assert ms.audit(styles.as_function, claim="maml", problem="classification").passed


def test_float32_is_held_to_its_own_roundoff() -> None:
    report = ms.audit(styles.as_function, claim="maml", dtype="float32")
    assert (report.verdict, report.codes, report.found["precision"]) == ("identified", (), "float32")


def test_a_problem_of_ones_own() -> None:
    drawn = ms.data.Sinusoid()

    def loss(params: dict, batch: dict) -> object:
        xp = ms.array_namespace(params)
        return xp.mean((xp.tanh(batch["x"] @ params["a"]) @ params["b"] - batch["y"]) ** 2)

    import numpy as np

    rng = np.random.default_rng(0)
    params = {"a": rng.normal(size=(1, 6)), "b": rng.normal(size=(6, 1))}
    problem = Problem(loss, lambda seed: [drawn.task(3 * seed + i) for i in range(3)], params)
    report = ms.audit(styles.as_function, claim="fomaml", problem=problem)
    assert (report.algorithm, report.codes) == ("maml", ("algorithm",))


def test_a_problem_that_does_not_separate_says_so() -> None:
    import numpy as np

    rng = np.random.default_rng(1)
    tasks = [ms.Task(*(rng.normal(size=(n, 4)) for n in (5, 7))) for _ in range(2)]
    problem = Problem(lambda params, batch: (batch @ params["w"]).mean(), tasks, {"w": rng.normal(size=4)})
    report = ms.audit(styles.as_function, claim="maml", problem=problem)
    assert report.verdict == "consistent"
    assert report.matches_claim is False
    assert any("cannot tell it apart" in other for other in report.alternatives)


def test_the_command_gives_the_sentence_the_json_and_the_status(tmp_path: Path) -> None:
    place, out = f"{CODE / 'styles.py'}:as_function", tmp_path / "report.json"
    run = CliRunner().invoke(build(), ["audit", place, "--claim", "fomaml", "--json", str(out)])
    assert run.exit_code == 1, run.output
    assert run.output.startswith("✗ computes MAML; claimed FO-MAML")
    assert max(map(len, run.output.splitlines()[:-1])) <= 80
    assert run.output.rstrip().endswith("--claim fomaml")
    assert json.loads(out.read_text())["codes"] == ["algorithm"]


def test_the_command_has_help_with_an_example() -> None:
    assert "--claim maml" in CliRunner().invoke(build(), ["audit", "--help"]).output


def test_parameters_that_are_changed_in_place_and_not_returned_are_the_result() -> None:
    report = ms.audit(styles.in_place, claim="maml")
    assert (report.found["result"], report.codes, report.matches_claim) == ("params", (), True), str(report)


def test_weights_by_place_are_no_state_that_is_carried() -> None:
    report = ms.audit(styles.divided_on_the_way, claim="maml")
    assert (report.verdict, report.algorithm, report.codes) == ("identified", "maml", ("task-weights",)), str(report)
    assert "weigh 0.03704, 0.1111, 0.3333 (their place in the list)" in report.findings[0].text


def test_a_median_over_tasks_is_neither_weights_nor_order() -> None:
    report = ms.audit(styles.middle_of_the_tasks, claim="maml")
    assert (report.verdict, report.codes, report.passed) == ("consistent", ("task-weights",), False), str(report)
    assert "no weighted sum" in str(report)


def test_a_clipped_meta_gradient_is_not_said_to_weigh_tasks() -> None:
    report = ms.audit(styles.clipped, claim="maml")
    assert (report.verdict, report.codes) == ("identified", ("outer-clipping",)), str(report)
    assert "norm of the result is at most 0.1" in report.findings[0].text


def test_a_switch_between_calls_is_counted() -> None:
    report = ms.audit(f"{CODE / 'annealed.py'}:step", claim="maml", isolated=False)
    assert (report.algorithm, report.codes) == ("fomaml", ("algorithm", "annealing")), str(report)
    assert "changes at call 7 in a fresh process, to MAML" in report.findings[0].text
