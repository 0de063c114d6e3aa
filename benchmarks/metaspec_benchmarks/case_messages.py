"""What the benchmark and its workers say to each other."""

from typing import NamedTuple

from metaspec_benchmarks.cases import Case
from metaspec_benchmarks.reference_results import Truth


class Job(NamedTuple):
    """One case to be measured; the answer is a list of records.

    Attributes:
        case: What to compute.
        truth: What it gives.
        seconds: For each form, about.
        quick: Leave out what compiles for long.
    """

    case: Case
    truth: Truth
    seconds: float
    quick: bool


class Ready(NamedTuple):
    """What `case_worker.greet` returns: versions of the framework and of the rivals, and which of these are missing."""

    versions: dict[str, str]
    missing: dict[str, str]
