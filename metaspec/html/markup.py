"""Markup as text that is already escaped."""

import re
from collections.abc import Iterable
from html import escape
from typing import Any

VOID = frozenset({"br", "circle", "hr", "line", "meta", "path", "polygon", "polyline", "rect"})


class Html(str):
    """Markup: it goes into a page as it is, where any other string is escaped."""

    __slots__ = ()


Content = Html | str | int | float | None
"""What an element may hold: markup, text, a number, nothing."""


def h(name: str, /, *children: Content, **attributes: Any) -> Html:
    """The element `name` with its children; None leaves an attribute or a child out.

    A trailing underscore of an attribute's name is dropped (`class_`), other underscores become hyphens; True is an
    attribute without a value.

    Example:
        >>> from metaspec.html import h
        >>> h("p", "a < b", class_="note")
        '<p class="note">a &lt; b</p>'
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items() if value not in (None, False))
    if name in VOID and not children:
        return Html(f"<{name}{written}>" if name in ("br", "hr", "meta") else f"<{name}{written}/>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[Content], between: str = "") -> Html:
    """The children one after the other, escaped where they are no markup."""
    return Html(between.join(_text(child) for child in children if child is not None))


def embedded_svg(svg: str) -> Html:
    """An SVG file's text as an element of a page: without its XML declaration and document type, fitting the width.

    Raises:
        ValueError: It holds no <svg> element, or a script or something from elsewhere.
    """
    start, end = svg.find("<svg"), svg.rfind("</svg>")
    if start < 0 or end < 0:
        raise ValueError("embedded_svg: expected the text of an SVG file, found no <svg> element")
    body = svg[start : end + len("</svg>")]
    if re.search(r"<script|\son\w+\s*=|(?:href|src)\s*=\s*[\"'](?![#\"']|data:)", body, re.IGNORECASE):
        raise ValueError(
            "embedded_svg: a page is self-contained; the SVG has a script or refers to something elsewhere"
        )
    return h("div", Html(body), class_="picture")


def _text(child: Content) -> str:
    return child if isinstance(child, Html) else escape(str(child), quote=False)


def _attribute(key: str, value: Any) -> str:
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
