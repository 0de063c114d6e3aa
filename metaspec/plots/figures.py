"""Figures to draw on, and their way into a file."""

import io
import re
from pathlib import Path
from typing import Any

from metaspec.atomic_files import atomic_writer, checked_path
from metaspec.checks.optional_libraries import optional_library

# Paul Tol's palette "bright", apart for colour-blind eyes too; lines differ in dashes as well.
COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa3377", "#66ccee", "#ccbb44", "#bbbbbb")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)))
INK, PALE = "#222222", "#999999"


def panels(rows: int, columns: int, width: float, *heights: float) -> tuple[Any, list[Any]]:
    """Make a figure of that many panels, so many inches wide, and high: one number for all rows, or one for each.

    Raises:
        LibraryMissingError: matplotlib is not installed.
    """
    Figure = optional_library("matplotlib.figure", "pictures", extra="plots").Figure
    high = heights if len(heights) == rows else heights * rows
    figure = Figure(figsize=(columns * width, sum(high)), layout="constrained")
    return figure, list(figure.subplots(rows, columns, squeeze=False, height_ratios=high).ravel())


def style(number: int) -> dict[str, Any]:
    """Return the style of line number 0, 1, ..."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number % len(DASHES)], "linewidth": 1.6}


def svg(figure: Any) -> str:
    """Return the figure as the text of an SVG file; the same figure gives the same text."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    # Matplotlib makes names of clip paths and markers at random; here they are numbered.
    drawn = dict.fromkeys(re.findall(r'\bid="([A-Za-z][0-9a-f]{10})"', text))
    names = {name: f"{name[0]}{number}" for number, name in enumerate(drawn)}
    return re.sub(r"\b[A-Za-z][0-9a-f]{10}\b", lambda found: names.get(found[0], found[0]), text)


def save(figure: Any, path: str | Path) -> None:
    """Write the figure: SVG, or whatever else the name ends in (.png, .pdf); whole or not at all."""
    path = checked_path(path, "save: path")
    with atomic_writer(path) as stream:
        if path.suffix == ".svg":
            stream.write(svg(figure).encode())
        else:
            figure.savefig(stream, format=path.suffix[1:] or "png", dpi=150)
