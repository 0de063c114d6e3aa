"""Forms of one case, checked and then timed in turn."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from metaspec_benchmarks.benchmark_cases import DTYPE, BenchmarkCase
from metaspec_benchmarks.peak_memory import peak_bytes
from metaspec_benchmarks.reference_results import ReferenceResult
from metaspec_benchmarks.timed_forms import Built, TimedForm

TURN_SECONDS = 0.03  # seconds that a form gets at a time; at least one call
LEAST, MOST = 5, 40  # rounds
SLOW = 1.0  # seconds of a call from which on there are no more rounds than the least
VERY_SLOW = 10.0  # from which on the second call is the one round: noise is no longer what it is about
LOOKS = 6  # calls of which memory is looked at; of slow ones one

Clock = Callable[[], float]


@dataclass
class Record:
    """What became of one form in one case.

    Attributes:
        case: Its id.
        framework: Whose process.
        form: Its name.
        kind: As in `TimedForm`; "process" where the process ended, and with it all forms of the case.
        problem: Why there are no times; None where there are.
        first: Seconds of the first call, which traces and compiles.
        rounds: Median seconds of a call, for each round.
        peak: Bytes beyond those in use before, at most, during a call; None where the system does not tell.
    """

    case: str
    framework: str
    form: str
    kind: str
    problem: str | None = None
    first: float | None = None
    rounds: list[float] = field(default_factory=list)
    peak: int | None = None

    @property
    def median(self) -> float | None:
        """The median over the rounds, in seconds."""
        return statistics.median(self.rounds) if self.rounds else None


class Turn(NamedTuple):
    """A form that takes turns with others; `warm`: seconds of a call, about."""

    record: Record
    built: Built
    warm: float


def measure(
    framework: str,
    forms: list[TimedForm],
    case: BenchmarkCase,
    truth: ReferenceResult,
    seconds: float,
    clock: Clock = time.perf_counter,
    looks: int | None = None,
) -> Iterator[Record]:
    """A record for each form that applies to the case.

    Every form is built, called and held against the truth first; then all take turns, in every round each. The last
    result is held against the truth too: compilers may give another program after some calls.

    Args:
        framework: For the records.
        forms: In the order in which they take turns.
        case: What to compute.
        truth: What it gives.
        seconds: For the rounds of a form, about; 0: one round.
        clock: What is read before and after a call: the processor's time where others keep the machine busy.
        looks: Calls of which the memory is looked at; None: 6, of slow ones one.
    """
    records: list[Record] = []
    running: list[Turn] = []
    for form in forms:
        record = Record(case.id, framework, form.name, form.kind, form.missing())
        built = None
        if record.problem is None:
            try:
                built = form.build(case)
                if built is None:
                    continue
                running.append(Turn(record, built, checked(record, built, truth, clock)))
            except Exception as error:  # a rival's failure is a line of the table
                record.problem = f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error) else ''}"
        records.append(record)
    usable = [turn for turn in running if turn.record.problem is None]
    with garbage_left_alone():
        take_turns(usable, seconds, clock)
        for turn in usable:
            calls = (1 if turn.warm >= SLOW else LOOKS) if looks is None else looks
            turn.record.peak = peak_bytes(turn.built.run, calls) if calls else None
            turn.record.problem = _problem(turn.built, turn.built.run(), truth) if turn.warm < VERY_SLOW else None
            if turn.record.problem is not None:
                turn.record.rounds.clear()
    yield from records


@contextmanager
def garbage_left_alone() -> Iterator[None]:
    """Recordings of other forms are millions of objects: no affair of the form whose turn it is."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def checked(record: Record, built: Built, truth: ReferenceResult, clock: Clock = time.perf_counter) -> float:
    """Seconds of a warm call; `record` gets those of the first one, and what is wrong with its result."""
    start = clock()
    found = built.run()
    record.first = clock() - start
    record.problem = _problem(built, found, truth)
    start = clock()
    built.run()
    return clock() - start


def _problem(built: Built, found: Any, truth: ReferenceResult) -> str | None:
    if built.arrays is None:
        return None
    leaves = built.arrays(found)
    others = sorted({str(leaf.dtype) for leaf in leaves.values()} - {DTYPE})
    wrong = f"{', '.join(others)}, expected {DTYPE}" if others else truth.problem(leaves)
    return None if wrong is None else f"wrong: {wrong}"


def take_turns(running: list[Turn], seconds: float, clock: Clock = time.perf_counter) -> None:
    """Rounds in which each form has its turn; `seconds` and `clock` as in `measure`."""
    rounds = [_rounds(turn.warm, seconds) for turn in running]
    for turn, limit in zip(running, rounds, strict=True):
        if limit == 0:
            turn.record.rounds.append(turn.warm / turn.built.work)
    for number in range(max(rounds, default=0)):
        for turn, limit in zip(running, rounds, strict=True):
            if number >= limit:
                continue
            run, calls = turn.built.run, max(1, round(TURN_SECONDS / max(turn.warm, 1e-6)))
            calls = calls if seconds else 1
            if calls > 1 or (number == 0 and turn.warm < SLOW):
                run()  # what the form before it left in the caches is not its own affair
            times = []
            for _ in range(calls):
                start = clock()
                run()
                times.append(clock() - start)
            turn.record.rounds.append(statistics.median(times) / turn.built.work)


def _rounds(warm: float, seconds: float) -> int:
    if warm >= VERY_SLOW:
        return 0
    if seconds == 0:
        return 1
    if warm >= SLOW:
        return LEAST
    return max(LEAST, min(MOST, round(seconds / max(warm, TURN_SECONDS))))
