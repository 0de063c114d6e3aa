"""The benchmark's own process: truths are computed here, and each framework's cases in a process of its own."""

import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import metaspec
from metaspec_benchmarks.benchmark_cases import DTYPE, BenchmarkCase
from metaspec_benchmarks.case_messages import Job
from metaspec_benchmarks.reference_results import ReferenceResult, truth
from metaspec_benchmarks.source_digest import digest
from metaspec_benchmarks.timing import Record
from metaspec_conformance.workers.worker import Worker, WorkerDiedError

TIMEOUT = 3600.0  # seconds for the forms of one case; compilers are slow
MODULE = "metaspec_benchmarks.case_worker"

Say = Callable[[str], None]


@dataclass
class Results:
    """Everything that a run found.

    Attributes:
        machine: Processor, cores, system, Python.
        source: Which code was timed.
        versions: Of each framework and its rivals.
        missing: Rivals that are not installed.
        cases: Those that were measured.
        records: In the order of the cases, within them of the frameworks.
    """

    machine: dict[str, Any]
    source: str = field(default_factory=digest)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    missing: dict[str, dict[str, str]] = field(default_factory=dict)
    cases: list[BenchmarkCase] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        described = [
            {
                "id": case.id,
                "workload": case.workload,
                "x_axis": case.x_axis,
                "network": case.name,
                "parameters": case.parameters,
                "tasks": case.tasks,
                "steps": case.steps,
                "solver_steps": case.solver_steps,
            }
            for case in self.cases
        ]
        return {
            "metaspec": metaspec.__version__,
            "source": self.source,
            "dtype": DTYPE,
            "machine": self.machine,
            "versions": self.versions,
            "missing": self.missing,
            "cases": described,
            "records": [asdict(record) | {"median": record.median} for record in self.records],
        }


def run(
    cases: Sequence[BenchmarkCase],
    frameworks: Sequence[str],
    *,
    seconds: float,
    quick: bool,
    say: Say,
    keep: Callable[[Results], None] = lambda results: None,
) -> Results:
    """Measure every case in every framework, one process at a time.

    Args:
        cases: What to compute.
        frameworks: Names of backends.
        seconds: For the repetitions of each form, about.
        quick: Leave out what compiles for long.
        say: Is told of progress, a line at a time.
        keep: Is given what there is after each case in each framework, as a long run may be broken off.
    """
    results = Results(machine(), cases=list(cases))
    once = list({case.id: case for case in reversed(cases)}.values())[::-1]  # what two workloads have, for the first
    truths: dict[str, ReferenceResult] = {}
    with TemporaryDirectory() as stored:  # empty, so that a first call compiles
        for framework in frameworks:
            with Worker(f"{MODULE}:greet", framework, threads=processors(), compilations=Path(stored)) as worker:
                for number, case in enumerate(once, 1):
                    name = f"{framework} {number}/{len(once)}: {case.id}"
                    try:
                        ready: Any = worker.start()
                        results.versions[framework], results.missing[framework] = ready.versions, ready.missing
                        if case.id not in truths:
                            truths[case.id] = truth(case)
                        job = Job(case, truths[case.id], seconds, quick)
                        records: list[Record] = worker.call(f"{MODULE}:measure_case", framework, job, timeout=TIMEOUT)
                        say(name)
                    except WorkerDiedError as error:
                        records = [Record(case.id, framework, "process", "process", problem=str(error))]
                        say(f"{name}: {error}")
                    results.records += records
                    keep(results)
    order = {case.id: number for number, case in enumerate(cases)}
    results.records.sort(key=lambda record: order[record.case])
    return results


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": processors(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    }


def processors() -> int:
    """How many this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _processor() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
