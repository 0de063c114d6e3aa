"""The table "PyTorch beside forms by hand" between two marks of a document: processor time, all forms in turn.

OMP_NUM_THREADS=1 python -m metaspec_benchmarks.torch_table docs/performance.md [--native] [WORKLOAD ...]

Results are held against the truth first. Figures are kept beside the document, so that cases (W1, W2, W3, imaml; by
default all; W2:1 is W2 with one inner step) and the forms of Inductor (--native: minutes a case) may be measured on
different days.
"""

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from metaspec.atomic_files import atomic_writer
from metaspec.errors import InvalidArgumentError, MetaspecError
from metaspec_benchmarks.benchmark_cases import BY_HAND, BenchmarkCase
from metaspec_benchmarks.frameworks import forms
from metaspec_benchmarks.reference_results import truth
from metaspec_benchmarks.timing import measure

SECONDS = 6.0  # of each form in each case, about
BEGIN, END = "<!-- by hand -->", "<!-- end of by hand -->"
VMAP, STACKS, LOOP = "torch.autograd, vmap of the loss", "torch.autograd, loss of stacks", "torch, loop, create_graph"
EAGER, OWN, COMPILED, NATIVE = (
    "metaspec, eager, torch.nn",
    "metaspec, eager",
    "metaspec, torch.nn",
    "metaspec, native, torch.nn",
)
INDUCTOR = "torch.func, vmap, torch.compile"
COLUMNS = {
    EAGER: "eager",
    "metaspec, eager, from_model": "eager, `from_model`",
    OWN: "eager, our `nn`",
    COMPILED: "compiled",
    NATIVE: "native",
    VMAP: "vmap of the loss",
    STACKS: "loss of stacks",
    LOOP: "loop",
    INDUCTOR: "`torch.compile`",
}
RATIOS: tuple[tuple[str, str, tuple[str, ...], dict[str, float]], ...] = (
    ("eager over the faster of vmap and loop", EAGER, (VMAP, LOOP), {"": 1.1}),
    ("our `nn` over a loss of stacks", OWN, (STACKS,), {"W1": 1.1}),
    ("compiled over loop", COMPILED, (LOOP,), {"": 1.0}),
    ("compiled over `torch.compile`", COMPILED, (INDUCTOR,), {"W1": 1.6, "": 1.15}),
    ("native over `torch.compile`", NATIVE, (INDUCTOR,), {"": 1.0}),
)
"""(heading, the form, those of which the fastest counts, the bar by workload, "" for all others)."""

Rounds = dict[str, list[float]]
"""Seconds of a call in each round, by form."""


def measured(cases: Sequence[BenchmarkCase], native: bool, seconds: float) -> Iterator[tuple[str, Rounds]]:
    """Return each case's id and times; of the forms that Inductor compiles too, with `native`.

    Raises:
        InvalidArgumentError: A form gives another result than the truth, or none.
    """
    from metaspec_benchmarks.baselines import torch_modules

    known = {form.name: form for form in (*forms("torch"), *torch_modules.forms())}
    chosen = [known[name] for name in COLUMNS if native or not known[name].slow]
    for case in cases:
        records = list(measure("torch", chosen, case, truth(case), seconds, time.process_time, looks=0))
        wrong = [f"{record.form}: {record.problem}" for record in records if record.problem is not None]
        if wrong:
            raise InvalidArgumentError(f"{case.id}: {'; '.join(wrong)}")
        yield case.id, {record.form: record.rounds for record in records}


def markdown(found: dict[str, Rounds], cases: Sequence[BenchmarkCase]) -> str:
    """Return the times, and the ratios with their bars; what misses its bar is bold."""
    there = [case for case in cases if case.id in found]
    times = [[case.id, *(_time(found[case.id].get(form)) for form in COLUMNS)] for case in there]
    ratios = [[case.id, *(_ratio(case, found[case.id], *one[1:]) for one in RATIOS)] for case in there]
    headings = ["computation", *(one[0] for one in RATIOS)]
    return "\n".join([*_table(["ms", *COLUMNS.values()], times), "", *_table(headings, ratios)])


def _time(rounds: list[float] | None) -> str:
    if not rounds:
        return "-"
    ms = 1e3 * _lower_quartile(rounds)
    return f"{ms:.3g}" if ms < 1000 else f"{ms:,.0f}"


def _lower_quartile(rounds: list[float]) -> float:
    return quantiles(rounds, n=4)[0] if len(rounds) > 1 else rounds[0]


def _ratio(case: BenchmarkCase, found: Rounds, form: str, others: Sequence[str], bars: dict[str, float]) -> str:
    there = [found[name] for name in others if found.get(name)]
    if not there or not found.get(form):
        return "-"
    fastest = min(there, key=median)
    ratio = median(a / b for a, b in zip(found[form], fastest, strict=False))
    bar = bars.get(case.workload, bars.get(""))
    if bar is None:
        return f"{ratio:.2f}"
    return f"{ratio:.2f} ({bar:g})" if ratio <= bar else f"**{ratio:.2f}** ({bar:g})"


def _table(headings: Sequence[str], lines: Sequence[Sequence[str]]) -> list[str]:
    ruled = "| --- |" + " ---: |" * (len(headings) - 1)
    return ["| " + " | ".join(headings) + " |", ruled, *("| " + " | ".join(line) + " |" for line in lines)]


def write(found: dict[str, Rounds], document: Path) -> None:
    """Put the tables into the document, and the figures beside it.

    Raises:
        InvalidArgumentError: It has no place for them.
    """
    before, begin, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise InvalidArgumentError(f"{document}: expected the marks {BEGIN} and {END} around the table")
    with atomic_writer(figures_of(document)) as stream:
        stream.write(json.dumps(found).encode() + b"\n")
    with atomic_writer(document) as stream:
        stream.write(f"{before}{BEGIN}\n{markdown(found, BY_HAND)}\n{END}{after}".encode())


def figures_of(document: Path) -> Path:
    """Where the figures of a document's table are kept."""
    return document.with_name(f"{document.stem}-torch.json")


def _names(case: BenchmarkCase) -> set[str]:
    return {case.workload, f"{case.workload}:{case.steps}"}


def main(arguments: Sequence[str]) -> None:
    """Take a document, and what to measure."""
    native = "--native" in arguments
    names = [argument for argument in arguments if argument != "--native"]
    chosen, known = set(names[1:]), {name for case in BY_HAND for name in _names(case)}
    if not names or not chosen <= known:
        sys.exit(__doc__)
    document = Path(names[0])
    if not document.is_file():
        raise InvalidArgumentError(
            f"{document}: there is no such document; the tables are written into one that is there"
        )
    kept = figures_of(document)
    found: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {}
    cases = [case for case in BY_HAND if not chosen or chosen & _names(case)]
    for name, rounds in measured(cases, native, SECONDS):
        found[name] = rounds
        write(found, document)
        print(name, flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except MetaspecError as error:
        sys.exit(f"error: {error}")
