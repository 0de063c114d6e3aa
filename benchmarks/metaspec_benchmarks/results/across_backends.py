"""One training on every backend: how long its curves coincide before roundoff parts them."""

import json
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

from metaspec.backend.registry import list_backends
from metaspec.backend.selection import get_backend
from metaspec.experiments.config import effective
from metaspec.experiments.setup import experiment_of
from metaspec.plots import Curve, losses_of, save
from metaspec.plots import curves as drawn
from metaspec.training import StepRecord
from metaspec_benchmarks.results.store import Store, machine
from metaspec_benchmarks.results.stream import outer_steps

DTYPES = ("float32", "float64")
APART = (1e-6, 1e-3, 1e-1)  # relative differences of the query loss


def run(store: Store, say: Callable[[str], None], steps: int) -> None:
    """Every run that the store does not have yet, each in a process of its own."""
    for dtype in DTYPES:
        for status in list_backends():
            of = {"backend": status.name, "dtype": dtype, "steps": steps}
            if status.installed and store.find(of) is None:
                command = [sys.executable, "-m", "metaspec_benchmarks.results.across_backends", *map(str, of.values())]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
                store.add(of, json.loads(done.stdout.splitlines()[-1]))
                say(f"{status.name}, {dtype}: {steps} steps")


def losses(backend: str, dtype: str, steps: int) -> list[float]:
    """The query losses of the preset's first steps."""
    settled = effective({"experiment": "sinusoid", "backend": backend, "dtype": dtype, "steps": steps})
    problem = experiment_of(settled)
    stream = outer_steps(settled, problem)
    found = [progress.record.query_loss for progress, _ in zip(stream, range(steps), strict=False)]
    stream.close()
    return found


def parted(one: list[float], other: list[float], apart: float) -> int | None:
    """The first step at which two curves differ by more than `apart` of the larger; None where they never do."""
    return next((step for step, gap in enumerate(_relative(one, other)) if gap > apart), None)


def _relative(one: list[float], other: list[float]) -> list[float]:
    return [abs(a - b) / max(abs(a), abs(b)) for a, b in zip(one, other, strict=True)]


def section(file: Path) -> list[str]:
    """What docs/results.md says of it."""
    rows = Store(file).rows()
    lines = []
    for dtype in DTYPES:
        curves = {row["backend"]: row["query_loss"] for row in rows if row["dtype"] == dtype}
        if len(curves) < 2:
            lines += [f"{dtype}: not run", ""]
            continue
        steps = min(map(len, curves.values()))
        lines += [
            f"| {dtype}, first of {steps:,} steps at which the query losses differ by | "
            + " | ".join(f"{apart:g}" for apart in APART)
            + " | largest difference |",
            "| --- |" + " --- |" * (len(APART) + 1),
        ]
        for one, other in combinations(sorted(curves), 2):
            cells = [parted(curves[one][:steps], curves[other][:steps], apart) for apart in APART]
            shown = " | ".join("never" if cell is None else f"{cell:,}" for cell in cells)
            largest = max(_relative(curves[one][:steps], curves[other][:steps]))
            lines.append(f"| {one}, {other} | {shown} | {largest:.1e} |")
        lines.append("")
    return lines


def draw(file: Path, folder: Path) -> None:
    """The curves on every backend, and how far each is from NumPy's, as SVG files; nothing where there is nothing."""
    for dtype in DTYPES:
        curves = {row["backend"]: row["query_loss"] for row in Store(file).rows() if row["dtype"] == dtype}
        if len(curves) < 2 or "numpy" not in curves:
            continue
        steps = min(map(len, curves.values()))
        lines = [losses_of(name, [history(values[:steps])]) for name, values in curves.items()]
        title = f"one training on {len(curves)} backends, {dtype}"
        save(drawn(lines, title=title, y="query loss", log_y=True), folder / f"curves-{dtype}.svg")
        gaps = [_gaps(name, values, curves["numpy"], steps) for name, values in curves.items() if name != "numpy"]
        title = f"relative difference from NumPy's query loss, {dtype}"
        save(drawn(gaps, title=title, y="largest of each stretch of steps", log_y=True), folder / f"gaps-{dtype}.svg")


def history(values: list[float]) -> tuple[StepRecord, ...]:
    """A training's history of these query losses."""
    return tuple(StepRecord(step, value, 0.0) for step, value in enumerate(values))


def _gaps(name: str, values: list[float], others: list[float], steps: int) -> Curve:
    gaps = _relative(values[:steps], others[:steps])
    each = max(1, steps // 100)
    starts = range(0, steps, each)
    largest = [max(gaps[start : start + each]) for start in starts]
    return Curve(name, [min(start + each, steps) for start in starts], largest, [float("nan")] * len(largest))


if __name__ == "__main__":
    name, dtype, steps = sys.argv[1:]
    found = losses(name, dtype, int(steps))
    print(json.dumps({"versions": dict(get_backend(name).versions()), "machine": machine(), "query_loss": found}))
