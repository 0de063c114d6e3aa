"""The parts of the judgement that an audit of right code does not reach."""

import math
import re

import numpy as np
import pytest

import metaspec as ms
from metaspec_conformance.audit.findings.audit_verdicts import relative
from metaspec_conformance.audit.hypotheses.generalising import generalisations
from metaspec_conformance.audit.hypotheses.hypothesis import canonical
from tests.audit.code import styles

HOME = {"lr": 0.05, "steps": 3, "regularization": 3.0, "cg_steps": 2}


@pytest.mark.filterwarnings("error")
def test_a_result_of_zeros_is_explained_by_zeros_alone() -> None:
    zeros, some, every = np.zeros(3), np.array([0.0, 1.0, 0.0]), np.ones(3, bool)
    assert relative(zeros, zeros, every) == 0
    assert relative(zeros, some, every) == math.inf
    assert relative(some, zeros, every) == 1
    assert relative(zeros, some, np.array([True, False, True])) == 0


def test_a_solver_may_take_half_of_the_steps_that_it_is_given() -> None:
    h = canonical("imaml", 3, 0.05, 3.0, 1)
    rules = [ruled for ruled in generalisations(h, HOME, frozenset(HOME)) if ruled.rule("steps") == "given"]
    taken = {tuple(ruled.at(HOME | {"cg_steps": n}).solver_steps for n in (1, 2, 5, 8)) for ruled in rules}
    assert taken == {(1, 1, 4, 7), (1, 1, 1, 1), (0, 1, 2, 4)}


def test_what_fresh_problems_refute_is_named_as_the_nearest_alone() -> None:
    report = ms.audit(styles.first_order_in_short_loops, claim="maml")
    assert (report.verdict, report.algorithm, report.codes, report.matches_claim) == (
        "none",
        None,
        ("unexplained",),
        False,
    )
    ending = r"nearest is FO-MAML, 1[56]\.\d digits on one problem, but not on others; claimed MAML$"
    assert re.search(ending, report.sentence)
