"""Every displayed equation of docs/theory.md names laws that exist, and every law of the mathematics is named there."""

import re
from pathlib import Path

from metaspec_conformance.laws import LAWS

TEXT = (Path(__file__).parents[2] / "docs" / "theory.md").read_text(encoding="utf-8")
EQUATION = re.compile(
    r"^\$\$\n(?P<formula>[^$]+?) \\tag\{(?P<number>\d+)\}\n\$\$\n\nLaws?: (?P<laws>.+)$", re.MULTILINE
)
NAME = re.compile(r"`([^`]+)`")
TOPICS = ("chain", "closed_forms", "expansions", "implicit", "limits", "moreau", "one_example", "scaling", "unrolled")


def equations(text):
    return [(int(m["number"]), NAME.findall(m["laws"])) for m in EQUATION.finditer(text)]


def test_displayed_equations_are_numbered_and_name_laws():
    found = equations(TEXT)
    assert 2 * len(found) == TEXT.count("$$"), "a displayed equation without a number or a law"
    assert [number for number, _ in found] == list(range(1, len(found) + 1))
    assert {name for _, names in found for name in names} <= set(LAWS)
    assert all(names for _, names in found)


def test_references_to_equations_exist():
    numbers = {number for number, _ in equations(TEXT)}
    assert {int(number) for number in re.findall(r"(?<![\w{])\((\d+)\)", TEXT)} <= numbers


def test_laws_of_the_mathematics_are_derived():
    named = {name for _, names in equations(TEXT) for name in names}
    laws = {name for name, law in LAWS.items() if law.check.__module__.rpartition(".")[2] in TOPICS}
    assert laws - named == set()


def test_equation_without_a_law_is_found():
    first = EQUATION.search(TEXT)
    assert len(equations(TEXT.replace(f"Law: {first['laws']}\n", "", 1))) == len(equations(TEXT)) - 1
