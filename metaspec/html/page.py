"""The page around the content: head, navigation, sections, footer."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import metaspec
from metaspec.atomic_files import checked_path
from metaspec.html.markup import Content, Html, h, join

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""What a page may load: its own style and the pictures in it; no script, and nothing from elsewhere."""


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    content: Sequence[Content]

    @property
    def anchor(self) -> str:
        """The title as the target of a link."""
        return re.sub(r"[^\w]+", "-", self.title.lower()).strip("-") or "section"


def page(title: str, sections: Sequence[Section], *, lead: Sequence[Content] = (), footer: str = "") -> Html:
    """A whole document.

    Args:
        title: Of the page and of the browser's window.
        sections: In order; from three on there is a list of them at the top.
        lead: What stands between the title and the sections.
        footer: A last line, beside metaspec's version.
    """
    style = files("metaspec.html").joinpath("style.css").read_text(encoding="utf-8")
    anchors = _anchors(sections)
    links = [h("a", section.title, href=f"#{anchor}") for section, anchor in zip(sections, anchors, strict=True)]
    body = join(
        [
            h("header", h("h1", title), *lead),
            h("nav", *links, aria_label="Sections") if len(links) > 2 else None,
            h(
                "main",
                *(
                    h("section", h("h2", section.title), *section.content, id=anchor)
                    for section, anchor in zip(sections, anchors, strict=True)
                ),
            ),
            h("footer", f"metaspec {metaspec.__version__}", f" · {footer}" if footer else None),
        ],
        "\n",
    )
    head = h(
        "head",
        h("meta", charset="utf-8"),
        h("meta", http_equiv="Content-Security-Policy", content=POLICY),
        h("meta", name="viewport", content="width=device-width, initial-scale=1"),
        h("meta", name="color-scheme", content="light dark"),
        h("title", title),
        h("style", Html(f"\n{style}")),
    )
    return Html(f"<!DOCTYPE html>\n{h('html', head, Html(chr(10)), h('body', body), lang='en')}\n")


def paragraph(*text: Content, note: bool = False) -> Html:
    """A paragraph; a note is set smaller and paler."""
    return h("p", *text, class_="note" if note else None)


def verdict(good: bool, *text: Content) -> Html:
    """The page's answer in one sentence, marked as good or as bad by more than colour."""
    return h("p", h("strong", "✓ " if good else "✗ "), *text, class_=f"verdict {'good' if good else 'bad'}")


def code(text: str) -> Html:
    """Lines of code or of output, as they are."""
    return h("pre", h("code", text))


def details(summary: str, *content: Content, open_: bool = False) -> Html:
    """Content that is shown when its summary is opened."""
    return h("details", h("summary", summary), *content, open=open_)


def side_by_side(*content: Content) -> Html:
    """Figures beside each other where the window is wide enough."""
    return h("div", *content, class_="side-by-side")


def write(path: Path | str, document: str) -> None:
    """Put the page in a file."""
    checked_path(path, "write: path").write_text(document, encoding="utf-8")


def _anchors(sections: Sequence[Section]) -> list[str]:
    """Each section's, numbered where two would be the same."""
    found: list[str] = []
    for section in sections:
        count = sum(other == section.anchor or other.startswith(f"{section.anchor}--") for other in found)
        found.append(f"{section.anchor}--{count + 1}" if count else section.anchor)
    return found
