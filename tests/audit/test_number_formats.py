"""Numbers held in float32 are told as that, and are in nobody's way."""

import importlib

import numpy as np
import pytest

import metaspec as ms
from metaspec_conformance.audit.search.number_formats import in_float32, is_held_in_float32

FRAMEWORKS = {
    "torch_tensor": "torch",
    "numpy_scalar": "numpy",
    "jax_array": "jax",
    "tensorflow_variable": "tensorflow",
}


def code(name: str):
    pytest.importorskip("torch")
    return getattr(importlib.import_module("tests.audit.code.float32_numbers"), name)


# An audit sees numbers, whichever framework held the rate; where every operation is compiled it takes seconds more.
COMPILED = [pytest.param(name, marks=pytest.mark.soak) for name in ("jax_array", "tensorflow_variable")]


@pytest.mark.parametrize("name", ["torch_tensor", "numpy_scalar", *COMPILED])
def test_a_rate_in_float32_is_a_note(name: str) -> None:
    pytest.importorskip(FRAMEWORKS[name])
    claim = "fomaml" if name == "numpy_scalar" else "maml"
    report = ms.audit(code(name), claim=claim, framework=FRAMEWORKS[name])
    assert (report.verdict, report.algorithm, report.codes) == ("identified", claim, ("number-format",)), str(report)
    assert report.passed
    assert "held in float32: 0.0500000007451, where 0.05 was given" in " ".join(str(report).split())


@pytest.mark.parametrize(
    ("name", "algorithm", "codes"),
    [
        ("torch_sum", "fomaml", {"task-sum", "number-format"}),
        ("torch_one_step_fewer", "maml", {"steps", "number-format"}),
        ("torch_outer_rate", "maml", {"number-format"}),
        ("torch_mean_in_float32", "maml", set()),
        ("torch_hard_coded", "maml", {"number-format"}),
    ],
)
def test_it_hides_no_deviation_and_adds_none(name: str, algorithm: str, codes: set[str]) -> None:
    report = ms.audit(code(name))
    assert (report.verdict, report.algorithm, set(report.codes)) == ("identified", algorithm, codes), str(report)


def test_a_hard_coded_rate_in_float32_is_the_claimed_one() -> None:
    assert ms.audit(code("torch_hard_coded"), claim="maml", lr=0.07).passed


def test_what_no_format_explains_is_a_fault() -> None:
    report = ms.audit(code("another_rate"), claim="maml")
    assert (report.algorithm, report.codes) == ("maml", ("inner-rate",)), str(report)


def test_numbers_of_float32_are_recognised() -> None:
    for x in (0.05, 0.08, 0.07, 1e-3, 123.456):
        assert is_held_in_float32(float(np.float32(x)))
        assert in_float32(x * (1 + 3e-8)) == float(np.float32(x))
        assert not is_held_in_float32(x)
    assert not is_held_in_float32(0.5)


def test_mixed_precision_is_examined_as_it_runs() -> None:
    report = ms.audit(code("torch_autocast"), claim="maml")
    assert (report.algorithm, report.codes) == ("maml", ("mixed-precision", "precision")), str(report)
    assert report.passed, str(report)
    assert "autocast to bfloat16 was active" in str(report)
