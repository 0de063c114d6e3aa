"""Text and scenarios name the same clauses."""

import re
from pathlib import Path

import pytest

from metaspec.conformance.scenarios import certified

SPEC = (Path(__file__).parents[2] / "SPEC.md").read_text()
CLAUSES = re.findall(r"^\*\*(MS-[A-Z]+-\d+)\*\*", SPEC, flags=re.MULTILINE)


def test_clauses_are_numbered_once():
    assert len(CLAUSES) == len(set(CLAUSES)) > 30


@pytest.mark.parametrize("scenario", certified(), ids=lambda scenario: scenario.id)
def test_cited_clauses_exist(scenario):
    assert set(scenario.clauses) <= set(CLAUSES)


def test_references_within_the_text_exist():
    assert set(re.findall(r"MS-[A-Z]+-\d+", SPEC)) == set(CLAUSES)
