"""Failures as people read them: equal ones once, each with the place that says what should hold."""

import math
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from metaspec_conformance.commands import verify
from metaspec_conformance.judging.certification import certification
from metaspec_conformance.judging.error_model import Measured
from metaspec_conformance.judging.failures import grouped, place
from metaspec_conformance.judging.verdicts import Outcome
from metaspec_conformance.laws import LawCheck
from metaspec_conformance.laws.framework.claims import Same
from metaspec_conformance.laws.framework.law_verdicts import judged
from metaspec_conformance.workers.runner import VerifyReport


def failed(scenario, message, backend="mine", algorithm="MAML", worst=None):
    return Outcome(backend, algorithm, scenario, "float64", "oracle", worst, message)


def test_equal_failures_are_one_group_whatever_their_leaves_and_numbers():
    first = failed("a/maml", "delta['w']: relative error 2.89e-01")
    second = failed("b/maml", "delta['layers'][0]['b']: relative error inf")
    other = failed("c/maml", "adapted['w']: relative error 2.89e-01")
    elsewhere = failed("a/maml", first.message, backend="theirs")
    groups = grouped([first, other, second, elsewhere])
    assert [(group.first, group.others) for group in groups] == [(first, (second,)), (other, ()), (elsewhere, ())]
    assert groups[0].names == ("b/maml float64",)


def test_errors_of_different_kinds_are_not_one_group():
    names = "TypeError: no sin", "TypeError: no cos", "KeyError: no sin", "float32 for float64"
    assert len(grouped([failed("a", name) for name in names])) == len(names)


@pytest.mark.parametrize("check", certification(), ids=lambda check: check.id)
def test_place_says_what_should_hold(check):
    file, _, line = place(check.id).rpartition(":")
    said = Path(file).read_text(encoding="utf-8").splitlines()
    before, after = said[: int(line)], said[int(line) - 1 :]
    if isinstance(check, LawCheck):
        made_in_a_loop = check.law.startswith(("capability/", "rule/", "moving/"))
        named = check.law.rpartition("/")[2]
        end = next(i for i, text in enumerate(after) if text.startswith("def "))
        given = (f"def {named.replace('-', '_')}(", f'{named}"')
        assert made_in_a_loop or any(name in text for text in after[: end + 1] for name in given)
    else:
        assert "yield" in after[0]
        assert any(text.startswith("def ") and text.endswith("Scenario, None, None]:") for text in before)


def test_a_drawn_scenario_has_no_place():
    assert place("drawn-7-0/maml") == ""


def test_terminal_report_names_places_and_counts():
    worst = Measured("delta['w']", 3e6, 16.0, 2.0, 0.3)
    ids = [f"least-squares/maml/steps-{k}" for k in (1, 3, 5)]
    failures = [failed(name, f"delta['w']: relative error {k}.5e-01", worst=worst) for k, name in enumerate(ids)]
    console = Console(width=80, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    verify._print(console, VerifyReport(tuple(failures), {}, ()), 1.0)
    text = console.export_text()
    assert text.count("FAILED") == 1
    assert "3 failed" in text
    assert f"said in {place(ids[0])}" in text
    assert f"and 2 like it: {ids[1]} float64, {ids[2]} float64" in text


def test_figures_of_what_passed_are_not_told():
    sound = Measured("delta['w']", 0.3, 16.0, 2.0, 0.3)
    assert verify._failure(failed("a", "xp.roll: no roll", worst=sound)) == "mine MAML a float64: xp.roll: no roll"


def test_what_could_not_start_computed_nothing():
    console = Console(width=80, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    verify._print(console, VerifyReport((), {}, (("mine", "still to be written"),)), 1.0)
    assert console.export_text().splitlines()[-2:] == ["FAILED mine: still to be written", "nothing was computed"]


def test_bits_that_differ_are_told_with_their_place():
    one, other = {"a": np.array([1.0, 0.0])}, {"a": np.array([1.0, -0.0])}
    assert (
        judged([Same("x", one, other)], {}, "float64")[1] == "x['a']: not the same to the last bit: 0.0 and -0.0 at [1]"
    )
    numbers = judged([Same("x", np.array(0.0), np.array(1.0))], {}, "float64")[1]
    assert numbers == "x: not the same to the last bit: 0.0 and 1.0"


@pytest.mark.parametrize("error", [0.4, 1.23e15, math.inf])
def test_the_table_fits_80_columns_and_breaks_no_name(error):
    names = "numpy", "tensorflow"
    outcomes = [
        Outcome(backend, algorithm, "s", dtype, "o", Measured("x", error, 16.0, 1.0, 0.1), "wrong", digits=15.2)
        for backend in names
        for algorithm in ("Reptile", "protocol", "training")
        for dtype in ("bfloat16", "float32", "float64")
        for _ in range(120)
    ]
    console = Console(width=80, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    console.print(verify._table(VerifyReport(tuple(outcomes), {}, ())))
    text = console.export_text()
    for row in [line for line in text.splitlines() if "│" in line]:
        cells = [cell.strip() for cell in row.split("│")]
        assert cells[0] in names
        assert cells[1] in ("Reptile", "protocol", "training")
        assert cells[2] in ("bfloat16", "float32", "float64")
        assert cells[3] == cells[4] == "120"
