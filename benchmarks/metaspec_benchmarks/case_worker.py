"""A process for one framework: cases and their truths come in, records go out."""

import os
import sys

import metaspec as ms
from metaspec_benchmarks.case_messages import Job, WorkerReady
from metaspec_benchmarks.forms import TimedForm
from metaspec_benchmarks.frameworks import forms
from metaspec_benchmarks.timing import measure
from metaspec_conformance.workers.channel import receive, send


def main() -> None:
    """Answer jobs until the other end closes."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    framework = sys.argv[1]
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what frameworks print must not get between the messages
    all_forms = forms(framework)
    send(out, _ready(framework, all_forms))
    while True:
        try:
            job: Job = receive(sys.stdin.buffer)
        except EOFError:
            return
        brief = job.quick or job.case.workload == "series"
        chosen = [form for form in all_forms if not (brief and form.slow)]
        send(out, list(measure(framework, chosen, job.case, job.truth, job.seconds)))


def _ready(framework: str, all_forms: list[TimedForm]) -> WorkerReady:
    versions: dict[str, str] = dict(ms.get_backend(framework).versions())
    missing: dict[str, str] = {}
    for form in all_forms:
        versions |= form.versions()
        absent = form.missing()
        if absent is not None:
            missing[form.name] = absent
    return WorkerReady(versions, missing)


if __name__ == "__main__":
    main()
