"""Pages: well formed, escaped, self-contained, readable by everybody."""

import math
import re
from html.parser import HTMLParser
from importlib.resources import files

import pytest

from metaspec.html import (
    HeatmapCell,
    Section,
    Series,
    Shade,
    code,
    definitions,
    details,
    embedded_svg,
    figure,
    h,
    heat_map,
    histogram,
    legend,
    line_chart,
    page,
    paragraph,
    side_by_side,
    table,
    verdict,
    write,
)
from metaspec.html.scales import scale

NASTY = '<script>alert("x & y")</script>'
STYLE = files("metaspec.html").joinpath("style.css").read_text()


class Tree(HTMLParser):
    """Checks that elements end in the order in which they began, and keeps what there is."""

    EMPTY = frozenset({"br", "hr", "meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[tuple[str, ...], str]] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((tuple(self.open), data))


def full() -> str:
    line = Series(NASTY, [1, 2, 3], [1.0, math.nan, 3.0], [0.5, 1.0, 2.0], [2.0, 2.0, 4.0])
    cells = [[HeatmapCell(NASTY, Shade.BAD, NASTY, True)]]
    sections = [
        Section(NASTY, [paragraph(NASTY), table([NASTY], [[NASTY]], caption=NASTY), definitions({NASTY: NASTY})]),
        Section("Twice", [heat_map([NASTY], [NASTY], cells, caption=NASTY), legend([(Shade.BAD, NASTY)])]),
        Section("Twice", [side_by_side(line_chart([line], title=NASTY, x=NASTY, y=NASTY), h("br"))]),
        Section("Code", [code(NASTY), details(NASTY, NASTY), histogram([(NASTY, [1])], [0, 1, 2], title="t", x="x")]),
    ]
    return page(NASTY, sections, lead=[verdict(False, NASTY)], footer=NASTY)


def test_a_page_is_well_formed_and_escaped(tmp_path):
    write(tmp_path / "page.html", full())
    tree = Tree((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "script" not in {tag for tag, _ in tree.tags}
    assert sum(NASTY in text for _, text in tree.texts) >= 15
    assert {attributes.get("title") for tag, attributes in tree.tags if tag == "td"} == {None, NASTY}


def test_a_page_loads_nothing():
    tree = Tree(full())
    assert not {tag for tag, _ in tree.tags} & {"link", "img", "iframe", "script", "object", "embed", "use", "image"}
    assert not [a for _, attributes in tree.tags for a in attributes if a.startswith("on") or a == "src"]
    targets = [attributes["href"] for _, attributes in tree.tags if "href" in attributes]
    ids = [attributes["id"] for _, attributes in tree.tags if "id" in attributes]
    assert targets == [f"#{name}" for name in ids]
    assert len(set(ids)) == len(ids) == 4
    assert "url(" not in STYLE
    assert "@import" not in STYLE


def colours(scheme: str) -> dict[str, str]:
    light, dark = re.findall(r":root \{(.*?)\}", STYLE, flags=re.DOTALL)[:2]
    found = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", light))
    return found | (dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", dark)) if scheme == "dark" else {})


def contrast(a: str, b: str) -> float:
    """WCAG 2's ratio of relative luminances."""

    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    one, other = sorted((luminance(a), luminance(b)))
    return (other + 0.05) / (one + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_lines_stand_out(scheme):
    found = colours(scheme)
    text = [("ink", "paper"), ("pale", "paper"), ("link", "paper"), ("ink", "panel"), ("pale", "panel")]
    text += [(f"{name}-ink", name) for name in ("best", "fine", "fair", "poor", "worst")]
    text += [("good", "panel"), ("bad", "panel")]
    for one, other in text:
        assert contrast(found[one], found[other]) >= 4.5, (one, other)
    for i in range(8):
        assert contrast(found[f"series-{i}"], found["paper"]) >= 3, i


def test_numbers_are_set_flush_right_and_text_is_not():
    text = table(["name", "error", "mixed"], [["a", 0.012345, "x"], ["b", None, 3]])
    cells = [(attributes.get("class"), name) for name, attributes in Tree(text).tags if name in ("td", "th")]
    assert [kind for kind, _ in cells] == [None, "number", None] * 3
    assert "0.0123" in text
    assert "<td>–</td>" not in text
    with pytest.raises(ValueError, match="3 cells under 2 headings"):
        table(["a", "b"], [[1, 2, 3]])


def test_figures():
    assert [figure(x) for x in (0.0012345, None, 7, math.inf, -math.inf, math.nan)] == [
        "0.00123",
        "–",
        "7",
        "∞",
        "−∞",
        "NaN",
    ]


def test_a_heat_map_says_everything_in_figures_too():
    text = heat_map(["a"], ["x", "y"], [[HeatmapCell("1.5", Shade.BEST), HeatmapCell("0.1", Shade.BAD, mark=True)]])
    assert [t for where, t in Tree(text).texts if where[-1] == "td"] == ["1.5", "0.1"]
    assert 'class="bad mark"' in text
    with pytest.raises(ValueError, match="expected 1 rows of 2 cells"):
        heat_map(["a"], ["x", "y"], [[HeatmapCell("1", Shade.BEST)]])


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("figures", [(0.3, 0.7), (3.0, 20.0), (1.0, 1.0), (5.0, 5.0), (1e-7, 3e4), (9.99, 10.0)])
def test_scales_hold_their_figures_between_ticks(figures, log):
    s = scale(figures, 0, 100, log)
    assert s.low <= min(figures) <= max(figures) <= s.high
    assert 2 <= len(s.ticks) <= 9
    assert all(s.low * (1 - 1e-9) <= tick <= s.high * (1 + 1e-9) for tick in s.ticks)
    places = [s(tick) for tick in s.ticks]
    assert places == sorted(places)
    assert -0.1 <= places[0] <= places[-1] <= 100.1
    middle = math.sqrt(s.low * s.high) if log else (s.low + s.high) / 2
    assert s(middle) == pytest.approx(50, abs=0.01)


def test_scales_of_nothing():
    assert scale([], 0, 1)(0.5) == 0.5
    assert scale([-1.0, math.nan], 0, 1, log=True)(1.0) == 0


def test_a_line_leaves_a_gap_where_it_has_no_place():
    text = line_chart([Series("a", range(5), [1, 2, math.nan, 3, 4])], title="t", x="x", y="y")
    assert sum(tag == "polyline" for tag, _ in Tree(text).tags) == 2
    assert sum(tag == "circle" for tag, _ in Tree(text).tags) == 4
    with pytest.raises(ValueError, match="one length"):
        Series("a", [1, 2], [1])


def test_a_histogram_counts_shares_and_what_lies_beyond():
    text = histogram([("a", [-5, 0.5, 1.5, 99])], [0, 1, 2], title="t", x="x", mark=(1.0, "limit"))
    points = next(a["points"] for tag, a in Tree(text).tags if tag == "polyline")
    heights = {float(point.split(",")[1]) for point in points.split()}
    assert len(heights) == 2  # nothing, and one half in each bin
    assert "limit" in text


def test_pictures_made_elsewhere_are_embedded_or_refused():
    text = embedded_svg('<?xml version="1.0"?><!DOCTYPE svg><svg viewBox="0 0 1 1"><use href="#a"/></svg>\n')
    assert text.startswith('<div class="picture"><svg')
    for wrong in ("<svg><script/></svg>", '<svg><image href="http://x/y.png"/></svg>', '<svg onload="x()"></svg>'):
        with pytest.raises(ValueError, match="self-contained"):
            embedded_svg(wrong)
    with pytest.raises(ValueError, match="no <svg>"):
        embedded_svg("<p>")
