"""Measurements of one framework, as functions for a worker: `greet` first, then `measure_case` for each case."""

from functools import cache

import metaspec as ms
from metaspec_benchmarks.case_messages import Job, WorkerReady
from metaspec_benchmarks.frameworks import forms
from metaspec_benchmarks.timed_forms import TimedForm
from metaspec_benchmarks.timing import Record, measure


def greet(framework: str) -> WorkerReady:
    """Load everything that is timed, and return versions and which libraries are missing."""
    versions: dict[str, str] = dict(ms.get_backend(framework).versions())
    missing: dict[str, str] = {}
    for form in _forms(framework):
        versions |= form.versions()
        absent = form.missing()
        if absent is not None:
            missing[form.name] = absent
    return WorkerReady(versions, missing)


def measure_case(framework: str, job: Job) -> list[Record]:
    """Measure one case in every form that takes part in it."""
    brief = job.quick or job.case.workload == "series"
    chosen = [form for form in _forms(framework) if not (brief and form.slow)]
    return list(measure(framework, chosen, job.case, job.truth, job.seconds))


@cache
def _forms(framework: str) -> list[TimedForm]:
    return forms(framework)
