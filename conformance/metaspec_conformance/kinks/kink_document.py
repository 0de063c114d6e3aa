"""docs/kinks.md, and what a reader of its table gets back."""

from collections.abc import Mapping

from metaspec_conformance.kinks.catalogue import KINKS
from metaspec_conformance.kinks.kink_measurements import Cell, Found, declared, in_words

BACKENDS = ("numpy", "jax", "torch", "tensorflow")
TITLE = """\
# Kinks: derivatives where there are none

MS-KINK-1 of [SPEC.md](../SPEC.md): where a function has no derivative, what a backend gives is the framework's own.
Here is what that is, in float64: through each adapter by `grad` (first order) and by `hvp` with a vector of ones
(second order), "/" between the two. A comparison of frameworks that does not know this calls a convention a fault.

The members of `metaspec.nn` that have a kink have one convention on every backend: it is in the column "declared" (all
else is "free"), and the law `blocks-at-kinks` holds every backend to it. A portable loss uses them, or keeps away from
the kinks, as the data of the conformance suite do (law `away-from-kinks`).

`metaspec verify --kinks` prints this table for what is installed. This page is written by
`python -m metaspec_conformance.kinks > docs/kinks.md`; a test holds it against the installed versions where they are
these.

"""
NOTES = """
- The tracer of the backend `numpy` is metaspec's own. It takes the mean of the one-sided derivatives: 1/2 for `maximum`
  and `clip`, 0 for `abs`, shares among equals for `max`; a norm is flat at 0, at every order.
- `x**0` is 1 everywhere, so its derivative is 0; a framework that computes y x^(y-1) finds 0 times infinity.
- `where(x > 0, sqrt(x), 0)` shows why a mask does not protect a derivative: both branches are differentiated, and 0
  times infinity is NaN. Mask the argument too: `where(x > 0, sqrt(where(x > 0, x, 1)), 0)`.
"""
FREE = "free"


def document(found: Mapping[str, Found]) -> str:
    """The page."""
    head = ["function", "at", "declared", *(heading(target, found[target].versions) for target in found)]
    lines = [row(head), row(["---"] * len(head))]
    for kink in KINKS:
        at, wanted = in_words(kink.at), " / ".join(declared(kink) or [FREE])
        lines.append(row([f"`{kink.name}`", at, wanted, *(" / ".join(one.cells[kink.name]) for one in found.values())]))
    return TITLE + "\n".join(lines) + "\n" + NOTES


def heading(target: str, versions: Mapping[str, str]) -> str:
    """The backend with its framework's version; our own tracer has none."""
    version = "" if target == "numpy" else versions.get(target, next(iter(versions.values()), "")).partition("+")[0]
    return f"{target} {version}".strip()


def row(cells: list[str]) -> str:
    """A line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def columns(page: str) -> dict[str, dict[str, Cell]]:
    """Each backend's cells by kink, by its heading, as the page has them."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|")]
    head, body = rows[0], rows[2:]
    found: dict[str, dict[str, Cell]] = {name: {} for name in head[3:]}
    for line in body:
        for name, cell in zip(head[3:], line[3:], strict=True):
            first, _, second = cell.partition(" / ")
            found[name][line[0].strip("`")] = first, second
    return found
