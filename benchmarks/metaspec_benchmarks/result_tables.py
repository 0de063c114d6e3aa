"""A run's figures as lines of tables: from the JSON, so that a table can be made long after the run."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True)
class ResultRow:
    """One form in one case.

    Attributes:
        framework: Whose process.
        form: Its name.
        first: Seconds of the first call.
        time: Median seconds of a call.
        spread: Quartiles of the rounds over the median, lower and upper.
        of_ours: Time over that of metaspec, compiled, in the same process: the median over rounds of both.
        of_limit: Time over the least number of gradients times the time of one.
        peak: Bytes.
        problem: Why there are no figures.
    """

    framework: str
    form: str
    first: float | None
    time: float | None
    spread: tuple[float, float] | None
    of_ours: float | None
    of_limit: float | None
    peak: int | None
    problem: str | None


def rows(results: Json, case: Json) -> Iterator[ResultRow]:
    """The forms of a case, without the gradients that the limit is made of."""
    records = [record for record in results["records"] if record["case"] == case["id"]]
    for framework in dict.fromkeys(record["framework"] for record in records):
        here = {record["form"]: record for record in records if record["framework"] == framework}
        ours, limit = here.get("metaspec"), _limit(case, here)
        for record in here.values():
            if record["kind"] != "limit":
                yield _row(record, ours, limit)


def _row(record: Json, ours: Json | None, limit: float | None) -> ResultRow:
    rounds = record["rounds"]
    time = median(rounds) if rounds else None
    spread = None
    if len(rounds) > 1 and time:
        low, _, high = quantiles(rounds, n=4)
        spread = low / time, high / time
    return ResultRow(
        record["framework"],
        record["form"],
        record["first"],
        time,
        spread,
        _paired(rounds, ours["rounds"]) if ours else None,
        time / limit if time and limit else None,
        record["peak"],
        record["problem"],
    )


def _paired(rounds: list[float], others: list[float]) -> float | None:
    """The median ratio of what ran side by side."""
    ratios = [a / b for a, b in zip(rounds, others, strict=False)]
    return median(ratios) if ratios else None


def _limit(case: Json, here: dict[str, Json]) -> float | None:
    """3 K gradients on the support set and one on the query set; of iMAML K + 1 + 2 n and one."""
    support, query = (_fastest(here, f"gradient, {part}") for part in ("support", "query"))
    if not support or not query:
        return None
    steps, solver = case["steps"], case["solver_steps"]
    return float((3 * steps if solver is None else steps + 1 + 2 * solver) * support + query)


def _fastest(here: dict[str, Json], gradient: str) -> float | None:
    found = [record["median"] for form, record in here.items() if form.startswith(gradient) and record["median"]]
    return min(found, default=None)


SUMMARY = ("computation", "metaspec", "time", "of limit", "by hand", "fastest by hand", "libraries")
SUMMARY_LEGEND = (
    "By hand, libraries: how many times as long as this form of metaspec the fastest hand-written form and the fastest "
    "form of each library take, round by round: above 1 metaspec is ahead, below 1 it is behind."
)


def summary(results: Json, framework: str, case: Json) -> Iterator[tuple[str, ...]]:
    """Cells under SUMMARY: compiled metaspec beside the best that others have for the case."""
    found = _timed(results, framework, case)
    limit = _limit(case, {record["form"]: record for record in found})
    compiled = next((record["rounds"] for record in found if record["form"] == "metaspec"), None)
    by_hand = _fastest_first(found, "hand-written", compiled)[:1]
    libraries = {r["form"].partition(",")[0]: r for r in reversed(_fastest_first(found, "library", compiled))}
    for form, name in (("metaspec", "compiled"), ("metaspec, native", "native code")):
        for ours in (record["rounds"] for record in found if record["form"] == form):
            beside = [f"{library} {ratio(_paired(record['rounds'], ours))}" for library, record in libraries.items()]
            yield (
                case["id"],
                name,
                duration(median(ours)),
                ratio(median(ours) / limit if limit else None),
                ratio(_paired(by_hand[0]["rounds"], ours) if by_hand else None),
                by_hand[0]["form"] if by_hand else "–",
                ", ".join(beside) or "–",
            )


def series(results: Json, axis: str) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Headings and lines: time for each step, task or thousand parameters, compiled and of the best by hand."""
    cases = sorted((case for case in results["cases"] if case["x_axis"] == axis), key=lambda case: case[axis])
    lines = []
    for framework in results["versions"]:
        lists: dict[str, list[str]] = {"metaspec": [], "fastest by hand": []}
        for case in cases:
            found = _timed(results, framework, case)
            ours = [record for record in found if record["form"] == "metaspec"]
            by_hand = _fastest_first(found, "hand-written", ours[0]["rounds"] if ours else None)
            for best, times in zip((ours, by_hand), lists.values(), strict=True):
                share = (1000 if axis == "parameters" else 1) / case[axis]
                times.append(duration(median(best[0]["rounds"]) * share if best else None))
        lines += [(framework, form, *times) for form, times in lists.items() if set(times) - {"–"}]
    return ("", axis, *(f"{case[axis]:,}" for case in cases)), lines


def _timed(results: Json, framework: str, case: Json) -> list[Json]:
    here = (case["id"], framework)
    return [
        record for record in results["records"] if (record["case"], record["framework"]) == here and record["rounds"]
    ]


def _fastest_first(records: list[Json], kind: str, beside: list[float] | None) -> list[Json]:
    """By the time beside what ran in the same rounds: slow forms have fewer of them, and machines have phases."""

    def time(record: Json) -> float:
        rounds: list[float] = record["rounds"]
        return (_paired(rounds, beside) if beside else None) or median(rounds)

    return sorted((record for record in records if record["kind"] == kind), key=time)


def duration(seconds: float | None) -> str:
    """Three digits, in the unit that fits."""
    if seconds is None:
        return "–"
    for unit, scale in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def ratio(value: float | None) -> str:
    """Two decimals below ten, else three digits."""
    return "–" if value is None else f"{value:.2f}" if value < 10 else f"{value:.3g}"


def mebibytes(count: int | None) -> str:
    """In MiB."""
    return "–" if count is None else f"{count / 2**20:.3g}"


def processor(results: Json) -> str:
    """Where a run took place: the processor and how many cores of it."""
    machine = results["machine"]
    return f"{machine['processor']}, {machine['cores']} core{'' if machine['cores'] == 1 else 's'}"


HEADINGS = ("", "form", "time", "±", "of ours", "of limit", "MiB", "first")


def cells(row: ResultRow) -> tuple[str, ...]:
    """The row under HEADINGS; ±: half the distance of the quartiles."""
    spread = "–" if row.spread is None else f"{50 * (row.spread[1] - row.spread[0]):.0f} %"
    return (
        row.framework,
        row.form,
        duration(row.time),
        spread,
        ratio(row.of_ours),
        ratio(row.of_limit),
        mebibytes(row.peak),
        duration(row.first),
    )


LEGEND = (
    "time: median of a call; ±: half the distance between the quartiles of the rounds; of ours: time over that of "
    "metaspec, compiled, on the same backend, round by round; of limit: time over that of the least number of "
    "gradients; MiB: memory at most, beyond what was in use; first: the first call, which traces and compiles."
)
