"""What the benchmark and its workers say to each other."""

from typing import NamedTuple

from metaspec_benchmarks.benchmark_cases import BenchmarkCase
from metaspec_benchmarks.reference_results import ReferenceResult


class Job(NamedTuple):
    """One case to be measured; the answer is a list of records.

    Attributes:
        case: What to compute.
        truth: What it gives.
        seconds: For each form, about.
        quick: Leave out what compiles for long.
    """

    case: BenchmarkCase
    truth: ReferenceResult
    seconds: float
    quick: bool


class WorkerReady(NamedTuple):
    """What `case_worker.greet` returns: versions of the framework and of the rivals, and which of these are missing."""

    versions: dict[str, str]
    missing: dict[str, str]
