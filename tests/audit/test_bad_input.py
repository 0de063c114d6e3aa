"""Code from which nothing can be had: a finding, or a clear error, never a traceback of ours."""

import tempfile
from pathlib import Path

import pytest

import metaspec as ms
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec_conformance.audit import Problem, audit_running
from tests.audit.code import bad, styles

CODE = Path(__file__).parent / "code"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("raises", "raises"),
        ("returns_none", "none"),
        ("returns_the_loss", "wrong-tree"),
        ("returns_text", "wrong-tree"),
        ("fewer_leaves", "wrong-tree"),
        ("other_shape", "wrong-shape"),
        ("not_a_number", "not-finite"),
        ("integers", "dtype"),
        ("unknown_argument", "signature"),
        ("no_data", "signature"),
        ("no_parameters", "signature"),
    ],
)
def test_what_cannot_be_explained_is_a_finding(name: str, code: str) -> None:
    report = ms.audit(getattr(bad, name), claim="maml")
    assert (report.verdict, report.codes, report.matches_claim) == ("failed", (code,), False), str(report)
    assert report.sentence.startswith("the code ")


def test_the_error_of_the_code_is_told_with_its_line() -> None:
    report = ms.audit(bad.raises)
    assert "KeyError: 'no such leaf' (bad.py, line " in report.sentence


@pytest.mark.parametrize(
    ("name", "code"), [("hangs", "timeout"), ("leaves_at_once", "died"), ("exits", "raises"), ("lacking:step", "")]
)
def test_in_a_process_of_its_own_nothing_takes_the_audit_with_it(name: str, code: str) -> None:
    place = f"{CODE / 'bad.py'}:{name}" if code else f"{CODE / 'lacking.py'}:step"
    report = ms.audit(place, timeout=1.0)
    assert (report.verdict, report.codes) == ("failed", (code or "framework-missing",)), str(report)


def test_what_the_code_prints_does_not_get_in_the_way() -> None:
    report = ms.audit(f"{CODE / 'bad.py'}:prints")
    assert (report.verdict, report.algorithm) == ("identified", "gradient"), str(report)


def test_a_meta_gradient_of_zeros_is_said_to_be_that() -> None:
    report = ms.audit(bad.zeros, claim="maml")
    assert (report.verdict, report.sentence) == ("none", "the result is exactly zero; claimed MAML")


@pytest.mark.parametrize(
    ("name", "code"), [("changes_inputs", "input-changed"), ("counts", "call-state"), ("noise", "random")]
)
def test_bad_manners_are_findings(monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    monkeypatch.setattr(audit_running, "SEARCH_SECONDS", 1.0)  # noise has no explanation that more could find
    assert code in ms.audit(getattr(bad, name)).codes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"claim": "protomaml"}, "audit: claim must be one of 'maml'"),
        ({"style": "lambda"}, "audit: style must be one of"),
        ({"result": "loss"}, "audit: result must be one of"),
        ({"problem": "nothing"}, "audit: problem must be one of 'regression'"),
        ({"dtype": "float16"}, "audit: dtype must be one of"),
        ({"reduction": "median"}, "audit: reduction must be one of"),
    ],
)
def test_a_wrong_option_is_an_error_that_lists_the_right_ones(options: dict, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        ms.audit(bad.zeros, **options)


@pytest.mark.parametrize("place", ["nowhere", "no_file.py:f", f"{CODE / 'bad.py'}:nothing"])
def test_a_place_that_is_none_is_an_error(place: str) -> None:
    with pytest.raises(InvalidArgumentError, match="audit: "):
        ms.audit(place, isolated=False)


def test_no_function_is_an_error() -> None:
    with pytest.raises(InvalidTypeError, match="expected a function"):
        ms.audit(3)  # type: ignore[arg-type]


def test_a_process_of_its_own_keeps_what_is_compiled_until_the_audit_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    report = ms.audit(f"{CODE / 'bad.py'}:tells_its_folders")
    told = dict(line.split("=", 1) for line in report.sentence.split("told: ")[1].split(" (bad.py")[0].split(";"))
    assert {Path(folder).parts[: len(tmp_path.parts)] for folder in told.values()} == {tmp_path.parts}
    assert set(told) == {"TMPDIR", "JAX_COMPILATION_CACHE_DIR", "TORCHINDUCTOR_CACHE_DIR"}
    assert list(tmp_path.iterdir()) == []


def _raises(seed: int) -> list[ms.Task]:
    raise KeyError(seed)


@pytest.mark.parametrize(
    ("tasks", "said"),
    [
        (_raises, r"tasks\(0\) raises KeyError: 0"),
        (lambda seed: [], r"tasks\(0\) is an empty list; expected a list of metaspec.Task"),
        ([(1.0, 2.0)], r"tasks\[0\] is a tuple; expected metaspec.Task"),
        (ms.Task(1.0, 2.0), "tasks is a Task; expected a list of metaspec.Task"),
    ],
)
def test_a_problem_whose_tasks_are_none_says_so(tasks: object, said: str) -> None:
    problem = Problem(loss=lambda params, batch: params**2, tasks=tasks, params=1.0)  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match=said):
        ms.audit(styles.as_function, problem=problem)


@pytest.mark.parametrize(
    "number", [{"lr": 0.0}, {"lr": float("nan")}, {"steps": -3}, {"cg_steps": 0}, {"outer_lr": -1.0}]
)
def test_numbers_that_none_can_be_are_refused(number: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match=f"audit: {next(iter(number))} must be"):
        ms.audit(styles.hard_coded, **number)  # type: ignore[arg-type]


def test_a_mistyped_module_is_a_wrong_name() -> None:
    with pytest.raises(InvalidArgumentError, match="there is no module 'no_such_module'"):
        ms.audit("no_such_module:step")
    with pytest.raises(InvalidArgumentError, match="problem: 'no_such_module:p' cannot be imported"):
        ms.audit(styles.as_function, problem="no_such_module:p")


def test_a_module_that_can_be_run_once_only_is_not_run_again(tmp_path: Path) -> None:
    marker = tmp_path / "was here"
    (tmp_path / "once.py").write_text(
        "import random\n"
        "from pathlib import Path\n"
        "from metaspec_conformance.audit import audit_running\n"
        "audit_running.SEARCH_SECONDS = 1.0\n"  # there is no explanation that more could find
        f"if Path({str(marker)!r}).exists():\n    raise RuntimeError('a second time')\n"
        f"Path({str(marker)!r}).touch()\n"
        "def step(params, tasks):\n    return {name: random.random() * leaf for name, leaf in params.items()}\n"
    )
    report = ms.audit(f"{tmp_path / 'once.py'}:step")
    assert {"random", "call-state"} & set(report.codes), str(report)
