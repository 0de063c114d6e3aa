"""Tables of text and figures."""

import math
from collections.abc import Mapping, Sequence

from metaspec.html.markup import Content, Html, h


def table(headings: Sequence[Content], rows: Sequence[Sequence[Content]], *, caption: Content = None) -> Html:
    """A table that scrolls by itself where the window is too narrow.

    A column whose cells are numbers, or nothing, is set flush right; a float has three significant digits (`figure`).

    Args:
        headings: One per column.
        rows: As many cells as there are headings; None is a dash.
        caption: What the table says, and in which units.

    Raises:
        ValueError: A row has more or fewer cells than there are headings.
    """
    for row in rows:
        if len(row) != len(headings):
            raise ValueError(f"table: a row of {len(row)} cells under {len(headings)} headings: {list(row)!r}")
    kinds = ["number" if _numeric([row[i] for row in rows]) else None for i in range(len(headings))]
    head = h("tr", *(h("th", text, scope="col", class_=kind) for text, kind in zip(headings, kinds, strict=True)))
    body = [h("tr", *(_cell(x, kind) for x, kind in zip(row, kinds, strict=True))) for row in rows]
    return scrolling(
        h(
            "table",
            h("caption", h("span", caption)) if caption is not None else None,
            h("thead", head),
            h("tbody", *body),
        )
    )


def definitions(pairs: Mapping[str, Content]) -> Html:
    """Names and what they are, e.g. a configuration."""
    parts = [part for name, value in pairs.items() for part in (h("dt", name), h("dd", _shown(value)))]
    return h("dl", *parts)


def figure(x: float | None, digits: int = 3) -> str:
    """A number in so many significant digits; a dash for None.

    Example:
        >>> from metaspec.html.tables import figure
        >>> figure(0.0012345), figure(123456.0), figure(None)
        ('0.00123', '1.23e+05', '–')
    """
    if x is None:
        return "–"
    if isinstance(x, int):
        return str(x)
    return f"{x:.{digits}g}" if math.isfinite(x) else {math.inf: "∞", -math.inf: "−∞"}.get(x, "NaN")


def scrolling(content: Html) -> Html:
    """Content in a box that scrolls sideways, by keyboard too."""
    return h("div", content, class_="scrolling", tabindex="0")


def _cell(x: Content, kind: str | None) -> Html:
    return x if isinstance(x, Html) and x.startswith("<td") else h("td", _shown(x), class_=kind)


def _shown(x: Content) -> Content:
    return x if isinstance(x, str) else figure(x)


def _numeric(column: Sequence[Content]) -> bool:
    given = [x for x in column if x is not None]
    return bool(given) and all(isinstance(x, int | float) for x in given)
