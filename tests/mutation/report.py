"""Verdicts as tables: the score of each room, its interval, and the mutants that live with what is known of them."""

import json
import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .population import ROOMS, population

REASONS = Path(__file__).with_name("alive.toml")
Key = tuple[str, str, str]


def known_reasons() -> dict[Key, str]:
    """Module, lines before and lines after of each mutant whose life is explained -> why it lives."""
    groups = tomllib.loads(REASONS.read_text(encoding="utf-8"))["group"]
    return {(m["path"], m["before"], m["after"]): group["why"] for group in groups for m in group["mutants"]}


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The 95 % interval of a proportion (Wilson 1927)."""
    p, n = successes / trials, trials
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


def report(files: Sequence[Path]) -> str:
    """Markdown for the verdicts in the first file, as those in the others correct them."""
    rows = _verdicts(files)
    reasons = known_reasons()
    rooms = [room for room in ROOMS if any(row["room"] == room for row in rows)]
    sizes = Counter(mutant.room for mutant in population())
    lines = [
        "| room | mutants | judged | killed | by time | alive | of these explained | score | score without those |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_row(room, sizes[room], [row for row in rows if row["room"] == room], reasons) for room in rooms),
        _row("all", sum(sizes[room] for room in rooms), rows, reasons),
        "",
    ]
    low, high = wilson(sum(map(_dead, rows)), len(rows))
    judged = [row for row in rows if _dead(row) or _key(row) not in reasons]
    lower, higher = wilson(sum(map(_dead, judged)), len(judged))
    spans = [" to ".join(map(_percent, ends)) for ends in ((low, high), (lower, higher))]
    lines.append(f"95 % intervals: {spans[0]}; without those explained {spans[1]}.")
    return "\n".join([*lines, "", *_alive(rows, reasons)]) + "\n"


def _verdicts(files: Sequence[Path]) -> list[dict[str, Any]]:
    first, *others = ([json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] for file in files)
    found = {_name(row): row for row in first}
    for row in (row for rows in others for row in rows):
        if _name(row) in found:
            found[_name(row)] = row
    return list(found.values())


def _name(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["mutant"]["path"], row["mutant"]["operator"], row["mutant"]["occurrence"]


def _row(room: str, size: int, rows: Sequence[dict[str, Any]], reasons: dict[Key, str]) -> str:
    dead, late = sum(map(_dead, rows)), sum(row["status"] == "timeout" for row in rows)
    alive = [row for row in rows if not _dead(row)]
    same = sum(_key(row) in reasons for row in alive)
    scores = _percent(dead / len(rows)), _percent(dead / max(1, len(rows) - same))
    return f"| {room} | {size} | {len(rows)} | {dead} | {late} | {len(alive)} | {same} | {scores[0]} | {scores[1]} |"


def _alive(rows: Iterable[dict[str, Any]], reasons: dict[Key, str]) -> Iterable[str]:
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        if not _dead(row):
            groups.setdefault(reasons.get(_key(row), "Not killed"), []).append(row)
    for why in sorted(groups, key=lambda why: (why != "Not killed", -len(groups[why]), why)):
        yield f"**{why}** ({len(groups[why])})\n\n```diff"
        for row in sorted(groups[why], key=lambda row: (row["mutant"]["path"], row["mutant"]["line"])):
            yield f"@@ {row['mutant']['path']}:{row['mutant']['line']}\n- {row['before']}\n+ {row['after']}"
        yield "```\n"


def _dead(row: dict[str, Any]) -> bool:
    return row["status"] in ("killed", "timeout")


def _key(row: dict[str, Any]) -> Key:
    return row["mutant"]["path"], row["before"], row["after"]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
