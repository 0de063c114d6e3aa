"""Heat maps: tables whose cells have a colour and a number, so that nothing is said by colour alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from metaspec.html.markup import Content, Html, h
from metaspec.html.tables import scrolling


class Shade(Enum):
    """How good or bad a cell is: blue to orange, which colour-blind readers tell apart; text keeps its contrast."""

    BEST = "best"
    GOOD = "good"
    FAIR = "fair"
    POOR = "poor"
    BAD = "bad"
    NONE = "none"


@dataclass(frozen=True)
class HeatmapCell:
    """One cell.

    Attributes:
        text: A short figure.
        shade: Its colour.
        title: What is said when one points at it.
        mark: Framed, e.g. the first of its kind.
    """

    text: str
    shade: Shade
    title: str = ""
    mark: bool = False


def heat_map(
    rows: Sequence[str], columns: Sequence[str], cells: Sequence[Sequence[HeatmapCell]], *, caption: Content = None
) -> Html:
    """A heat map of `len(rows)` by `len(columns)` cells; row headings stay in sight while it scrolls.

    Raises:
        ValueError: The cells are not so many.
    """
    if len(cells) != len(rows) or any(len(row) != len(columns) for row in cells):
        raise ValueError(
            f"heat_map: expected {len(rows)} rows of {len(columns)} cells, got {[len(row) for row in cells]}"
        )
    head = h("tr", h("td"), *(h("th", column, scope="col") for column in columns))
    body = [
        h("tr", h("th", name, scope="row"), *(_cell(cell) for cell in row))
        for name, row in zip(rows, cells, strict=True)
    ]
    parts = h("caption", h("span", caption)) if caption is not None else None, h("thead", head), h("tbody", *body)
    return scrolling(h("table", *parts, class_="heat"))


def legend(meanings: Sequence[tuple[Shade, str]]) -> Html:
    """What the colours mean."""
    parts = [h("span", h("i", class_=f"swatch {shade.value}"), meaning) for shade, meaning in meanings]
    return h("p", *parts, class_="legend")


def _cell(cell: HeatmapCell) -> Html:
    kind = f"{cell.shade.value} mark" if cell.mark else cell.shade.value
    return h("td", cell.text, class_=kind, title=cell.title or None)
