"""`metaspec verify --kinks`: how each framework differentiates at kinks, beside what is declared."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from metaspec_conformance.kinks.catalogue import KINKS
from metaspec_conformance.kinks.kink_document import FREE, heading
from metaspec_conformance.kinks.kink_measurements import as_json, declared, departures, in_words, measure_all


def print_kinks(console: Console, targets: Sequence[str], json_file: Path | None, workers: int) -> bool:
    """Print the table; whether every declared convention is kept."""
    found = measure_all(targets, workers)
    table = Table(
        caption="first / second order (the Hessian times ones), in float64; free: no convention (docs/kinks.md)"
    )
    for title in ("function", "at", "declared", *(heading(target, one.versions) for target, one in found.items())):
        table.add_column(title, overflow="fold")
    for kink in KINKS:
        wanted = " / ".join(declared(kink) or [FREE])
        table.add_row(
            kink.name, in_words(kink.at), wanted, *(" / ".join(one.cells[kink.name]) for one in found.values())
        )
    console.print(table)
    wrong = departures(found)
    for departure in wrong:
        console.print(f"FAILED {departure}", markup=False, highlight=False, soft_wrap=True)
    if json_file is not None:
        json_file.write_text(json.dumps(as_json(found), indent=2) + "\n")
    return not wrong
