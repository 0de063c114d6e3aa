"""Charts as inline SVG, their colours those of the page's scheme; lines differ in dashes and marks too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metaspec.html.markup import Html, h
from metaspec.html.scales import Scale, scale
from metaspec.html.tables import figure

WIDTH, HEIGHT = 540, 310
LEFT, RIGHT, TOP, BOTTOM = 76, 26, 10, 44
DASHES = (None, "7 3", "2 3", "9 3 2 3", "12 4", "5 2 1 2 1 2")
NAMES = 56  # height of slanting names of places
KINDS = 8  # colours in style.css
MARKED = 40  # points beyond which a line has no marks


@dataclass(frozen=True)
class Series:
    """A line; `low` and `high`, where given, are the band around it, `look` the number of its colour and dashes.

    Raises:
        ValueError: The lengths differ.
    """

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None
    look: int | None = None

    def __post_init__(self) -> None:
        lengths = {len(part) for part in (self.x, self.y, self.low, self.high) if part is not None}
        if len(lengths) > 1 or (self.low is None) != (self.high is None):
            raise ValueError(f"Series {self.name!r}: x, y, low and high must be of one length, and low come with high")


def line_chart(
    series: Sequence[Series],
    *,
    title: str,
    x: str | Sequence[str],
    y: str,
    log_y: bool = False,
) -> Html:
    """Lines over one pair of axes, with a legend.

    Figures that are not finite, or not positive on a logarithmic axis, leave a gap.

    Args:
        series: The lines.
        title: What the chart says.
        x: Label of the horizontal axis, with its unit; or the names of the places 0, 1, ... on it.
        y: Label of the vertical axis, with its unit.
        log_y: Whether the vertical axis is logarithmic.
    """
    across = scale([v for s in series for v in s.x], LEFT, WIDTH - RIGHT)
    heights = [v for s in series for part in (s.y, s.low or (), s.high or ()) for v in part]
    up = scale(heights, HEIGHT - BOTTOM, TOP, log_y)
    looks = [i if s.look is None else s.look for i, s in enumerate(series)]
    drawn = [part for i, s in zip(looks, series, strict=True) for part in _line(i, s, across, up)]
    names = dict(zip([s.name for s in series], looks, strict=True))
    deeper = 0 if isinstance(x, str) else NAMES
    return _figure(title, [*_axes(across, up, x, y), *drawn], names, deeper)


def histogram(
    groups: Sequence[tuple[str, Sequence[float]]],
    edges: Sequence[float],
    *,
    title: str,
    x: str,
    mark: tuple[float, str] | None = None,
    log_x: bool = False,
) -> Html:
    """The share of each group's figures between each two edges, as stepped outlines over each other.

    Figures beyond the edges count into the outermost bins.

    Args:
        groups: (name, figures).
        edges: Increasing; on a logarithmic axis positive.
        title: What the chart says.
        x: Label of the horizontal axis.
        mark: A figure to mark by a vertical line, and what it is.
        log_x: Whether the horizontal axis is logarithmic.
    """
    shares = {name: _shares(figures, edges) for name, figures in groups}
    across = scale([*edges, *([mark[0]] if mark else [])], LEFT, WIDTH - RIGHT, log_x)
    up = scale([0.0, *(s for row in shares.values() for s in row)], HEIGHT - BOTTOM, TOP)
    drawn: list[Html] = []
    for i, (name, row) in enumerate(shares.items()):
        points = [(edges[0], 0.0)]
        for a, b, share in zip(edges[:-1], edges[1:], row, strict=True):
            points += [(a, share), (b, share)]
        places = " ".join(f"{across(a)},{up(b)}" for a, b in [*points, (edges[-1], 0.0)])
        attributes = {"class_": f"line series-{i % KINDS}", "stroke_dasharray": DASHES[i % len(DASHES)]}
        drawn.append(h("polyline", h("title", name), points=places, **attributes))
    if mark:
        place = across(mark[0])
        drawn.append(h("line", x1=place, x2=place, y1=TOP, y2=HEIGHT - BOTTOM, class_="threshold"))
        drawn.append(h("text", mark[1], x=place - 4, y=TOP + 12, text_anchor="end"))
    return _figure(title, [*_axes(across, up, x, "share"), *drawn], {name: i for i, name in enumerate(shares)})


def _shares(figures: Sequence[float], edges: Sequence[float]) -> list[float]:
    counts = [0] * (len(edges) - 1)
    for value in figures:
        place = sum(edge <= value for edge in edges) - 1
        counts[min(max(place, 0), len(counts) - 1)] += 1
    return [count / max(1, len(figures)) for count in counts]


def _line(i: int, s: Series, across: Scale, up: Scale) -> list[Html]:
    kind = f"series-{i % KINDS}"
    parts: list[Html] = []
    if s.low is not None and s.high is not None:
        rows = zip(s.x, s.low, s.high, strict=True)
        band = [(a, b, c) for a, b, c in rows if across.shows(a) and up.shows(b) and up.shows(c)]
        edge = [(a, c) for a, _, c in band] + [(a, b) for a, b, _ in reversed(band)]
        places = " ".join(f"{across(a)},{up(b)}" for a, b in edge)
        parts.append(h("polygon", points=places, class_=f"band {kind}"))
    dashes = DASHES[i % len(DASHES)]
    for piece in _pieces(s, across, up):
        places = " ".join(f"{across(a)},{up(b)}" for a, b in piece)
        parts.append(h("polyline", h("title", s.name), points=places, class_=f"line {kind}", stroke_dasharray=dashes))
        for a, b in piece if len(s.x) <= MARKED else ():
            said = h("title", f"{s.name}: {figure(a, 4)}, {figure(b, 4)}")
            parts.append(h("circle", said, cx=across(a), cy=up(b), r=3, class_=f"mark {kind}"))
    return parts


def _pieces(s: Series, across: Scale, up: Scale) -> list[list[tuple[float, float]]]:
    """The line, broken where a figure has no place."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for a, b in zip(s.x, s.y, strict=True):
        if across.shows(a) and up.shows(b):
            pieces[-1].append((a, b))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _axes(across: Scale, up: Scale, x: str | Sequence[str], y: str) -> list[Html]:
    bottom, parts = HEIGHT - BOTTOM, []
    label = x if isinstance(x, str) else ""
    named = not label
    places: list[tuple[float, str]] = list(zip(across.ticks, across.labels(), strict=True) if label else enumerate(x))
    for tick, name in places:
        at = across(tick)
        turned = {"transform": f"rotate(-40 {at} {bottom + 14})", "text_anchor": "end"} if named else {}
        parts.append(h("line", x1=at, x2=at, y1=TOP, y2=bottom, class_="grid"))
        parts.append(h("text", name, x=at, y=bottom + (14 if named else 16), **{"text_anchor": "middle", **turned}))
    for tick, name in zip(up.ticks, up.labels(), strict=True):
        parts.append(h("line", x1=LEFT, x2=WIDTH - RIGHT, y1=up(tick), y2=up(tick), class_="grid"))
        parts.append(h("text", name, x=LEFT - 6, y=up(tick) + 4, text_anchor="end"))
    middle = (TOP + bottom) / 2
    if label:
        parts.append(h("text", label, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, text_anchor="middle", class_="label"))
    turned = {"transform": f"rotate(-90 14 {middle})", "text_anchor": "middle", "class_": "label"}
    return [*parts, h("text", y, x=14, y=middle, **turned)]


def _figure(title: str, drawn: list[Html], names: Mapping[str, int], deeper: int = 0) -> Html:
    """Names with their looks make the legend; `deeper`: room below for names of places."""
    svg = h("svg", *drawn, viewBox=f"0 0 {WIDTH} {HEIGHT + deeper}", role="img", aria_label=title, class_="chart")
    keys = [h("span", _key(i), name) for name, i in names.items()]
    said = h("figcaption", h("strong", title), h("p", *keys, class_="legend") if any(names) else None)
    return h("figure", said, svg)


def _key(i: int) -> Html:
    line = h(
        "line", x1=0, x2=28, y1=5, y2=5, class_=f"line series-{i % KINDS}", stroke_dasharray=DASHES[i % len(DASHES)]
    )
    return h("svg", line, viewBox="0 0 28 10", width=28, height=10, aria_hidden="true")
