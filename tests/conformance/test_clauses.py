"""Text, scenarios and laws name the same clauses; the coverage document says so."""

import re
from pathlib import Path

import pytest

from metaspec_conformance.laws import LAWS
from metaspec_conformance.reports import clause_coverage as coverage
from metaspec_conformance.scenarios.certified import certified

ROOT = Path(__file__).parents[2]
SPEC = (ROOT / "SPEC.md").read_text(encoding="utf-8")
CLAUSES = coverage.clauses(SPEC)


def test_clauses_are_numbered_once():
    assert len(CLAUSES) == len(set(CLAUSES)) > 30


def test_clauses_of_a_topic_are_numbered_on():
    topics = {}
    for clause in CLAUSES:
        topic, _, number = clause.rpartition("-")
        topics.setdefault(topic, []).append(int(number))
    assert {topic: numbers for topic, numbers in topics.items() if numbers != list(range(1, len(numbers) + 1))} == {}


@pytest.mark.parametrize("scenario", certified(), ids=lambda scenario: scenario.id)
def test_cited_clauses_exist(scenario):
    assert set(scenario.clauses) <= set(CLAUSES), "SPEC.md has no clause **MS-TOPIC-n** of this number"


def test_references_within_the_text_exist():
    assert set(re.findall(r"MS-[A-Z]+-\d+", SPEC)) == set(CLAUSES)


@pytest.mark.parametrize("clause", CLAUSES)
def test_clause_has_a_law(clause):
    assert [law.name for law in coverage.laws_of(clause) if list(law.scenarios())] != [], (
        f"no law cites {clause}, or its file is not imported in the __init__.py of its folder in laws/"
    )


@pytest.mark.parametrize("law", LAWS.values(), ids=lambda law: law.name)
def test_law_cites_clauses_that_exist(law):
    assert law.clauses
    assert set(law.clauses) <= set(CLAUSES), "SPEC.md has no clause **MS-TOPIC-n** of this number"
    assert len(set(law.clauses)) == len(law.clauses)


def test_coverage_document_is_up_to_date():
    text = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert text == coverage.document(SPEC), (
        "python -m metaspec_conformance.reports.clause_coverage --write docs/coverage.md"
    )


def test_coverage_document_shows_what_is_missing(monkeypatch):
    """It is made from the table of laws: a law less is a clause without one."""
    alone = next(clause for clause in CLAUSES if len(coverage.laws_of(clause)) == 1)
    law = coverage.laws_of(alone)[0]
    monkeypatch.setattr(coverage, "LAWS", {name: other for name, other in LAWS.items() if other is not law})
    assert coverage.laws_of(alone) == []
    assert coverage.document(SPEC) != coverage.document(SPEC.replace(f"**{alone}**", alone))
    assert f"| {law.name} |" not in coverage.document(SPEC)
