"""Code from which nothing can be had: a finding, or a clear error, never a traceback of ours."""

from pathlib import Path

import pytest

import metaspec as ms
from metaspec.conformance.audit import supervising
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from tests.audit.code import bad

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
def test_bad_manners_are_findings(name: str, code: str) -> None:
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


def test_a_process_of_its_own_keeps_what_is_compiled_until_the_audit_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    folders = []

    class Watched(supervising.Process):
        def __init__(self, target: str, *, module: str, compilations: Path) -> None:
            folders.append(compilations)
            assert compilations.is_dir()
            super().__init__(target, module=module, compilations=compilations)

    monkeypatch.setattr(supervising, "Process", Watched)
    assert ms.audit(f"{CODE / 'styles.py'}:as_function", claim="maml").passed
    assert len(folders) == 1
    assert not folders[0].exists()
