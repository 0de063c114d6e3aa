"""What a check says of something broken. Evidence is made while all is sound; each check meets a fault anew."""

import os
import random
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy
import pytest

from metaspec.backend.protocol import Backend
from metaspec.backend.selection import get_backend
from metaspec_conformance.judging.certification import certification
from metaspec_conformance.judging.evidence import Check, Evidence, evidence
from metaspec_conformance.judging.verdicts import Outcome, judge
from metaspec_conformance.laws.framework.law_check import LawCheck
from metaspec_conformance.workers.check_worker import perform
from metaspec_conformance.workers.python_program import PRELUDE
from tests.conformance.seeded_faults import Fault
from tests.conformance.seeded_faults.fault import VARIABLE

SOURCE, TRAINING, INTERFACE = "task source", "training", "interface"
IN_CHILDREN = "backend-of-the-environment"  # all that this law looks at happens in other processes
ROOT = Path(__file__).parents[2]
SEEDED_FAULTS = "tests.conformance.seeded_faults"


@cache
def by_id() -> dict[str, Check]:
    """The certification list."""
    return {check.id: check for check in certification()}


@cache
def known(check_id: str) -> Evidence:
    """A check's evidence; to be asked for while nothing is broken."""
    return evidence(by_id()[check_id])[0]


@contextmanager
def broken(fault: Fault) -> Iterator[Backend]:
    """Something is broken within; afterwards all is as it was, what belongs to the process too."""
    before = numpy.random.get_state(), random.getstate(), dict(os.environ)
    if fault.kind in (SOURCE, INTERFACE):
        os.environ |= {VARIABLE: fault.name, PRELUDE: f"{SEEDED_FAULTS}:break_child"}
    if fault.kind in (SOURCE, INTERFACE) or fault.worker:
        os.environ["PYTHONPATH"] = os.pathsep.join((str(ROOT), os.environ.get("PYTHONPATH", "")))
    with pytest.MonkeyPatch.context() as patch, numpy.errstate(), warnings.catch_warnings():
        try:
            yield fault(partial(patch.setattr, raising=False))
        finally:
            numpy.random.set_state(before[0])
            random.setstate(before[1])
            os.environ.clear()
            os.environ.update(before[2])


def outcome(fault: Fault, check: Check, dtype: str) -> Outcome:
    """What the check says."""
    truth = known(check.id)
    with broken(fault) as B:
        target = f"{SEEDED_FAULTS}:worker_{fault.name}" if fault.worker else None
        result = perform(B, check, dtype, target)
    return judge("broken", check, dtype, truth, result)


def kills(fault: Fault, check: Check) -> bool:
    """Whether the check fails, in the format in which the fault shows, or in its own."""
    dtype = fault.dtype if fault.dtype in check.dtypes else check.dtypes[-1]
    return meets(fault, check) and not outcome(fault, check, dtype).passed


def meets(fault: Fault, check: Check) -> bool:
    """Whether what the fault is in has a part in the check at all."""
    subject = check.algorithm_name
    if fault.kind in (SOURCE, TRAINING):
        return subject == TRAINING or (subject == "sources" and fault.kind == SOURCE)
    if subject == "sources":
        return check.law == "source/every-backend"
    return fault.kind == INTERFACE or getattr(check, "law", "") != IN_CHILDREN


@cache
def executed(check_id: str) -> frozenset[Any]:
    """The code of every Python function that the check calls while nothing is broken, in whichever format."""
    found: set[Any] = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            found.add(frame.f_code)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        check = by_id()[check_id]
        perform(get_backend("numpy"), check, check.dtypes[-1])
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return frozenset(found)


def reaches(fault: Fault, check: Check) -> bool:
    """Whether the check calls anything that the fault replaces; where it does not, it cannot see the fault."""
    if getattr(check, "law", "") == IN_CHILDREN:
        return True
    replaced: list[Any] = []
    fault(lambda owner, name, value: replaced.append(getattr(owner, name, None)))
    codes = [getattr(original, "__code__", None) for original in replaced]
    return None in codes or not executed(check.id).isdisjoint(codes)


def group(check: Check) -> str:
    """The law's name, or the topic of the scenarios that this one is of."""
    return check.law if isinstance(check, LawCheck) else topic(check.id)


def topic(scenario_id: str) -> str:
    """The first part of a scenario's id."""
    return scenario_id.partition("/")[0]


def laws() -> dict[str, list[Any]]:
    """The certified checks of each law."""
    found: dict[str, list[Any]] = {}
    for check in certification():
        if isinstance(check, LawCheck):
            found.setdefault(check.law, []).append(check)
    return found


def scenarios() -> dict[str, list[Any]]:
    """The scenarios of each topic."""
    found: dict[str, list[Any]] = {}
    for check in certification():
        if not isinstance(check, LawCheck):
            found.setdefault(topic(check.id), []).append(check)
    return found
