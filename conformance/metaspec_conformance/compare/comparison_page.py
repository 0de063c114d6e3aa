"""A comparison as a self-contained page: the answer, a heat map of leaves by stages for each side, what was tested."""

import math

from metaspec.html import (
    HeatmapCell,
    Html,
    Section,
    Series,
    Shade,
    definitions,
    heat_map,
    legend,
    line_chart,
    page,
    paragraph,
    table,
    verdict,
)
from metaspec.html.markup import Content
from metaspec_conformance.compare.comparison import Comparison, SideReport
from metaspec_conformance.compare.comparison_messages import SCALAR
from metaspec_conformance.compare.comparison_verdicts import LeafComparison

MEANINGS = (
    (Shade.BEST, "agrees: within 1/16 of the tolerance"),
    (Shade.GOOD, "agrees: within the tolerance"),
    (Shade.FAIR, "up to 1,000 times the tolerance"),
    (Shade.POOR, "fewer digits"),
    (Shade.BAD, "fewer than 3 digits"),
    (Shade.NONE, "not computed"),
)


def page_of(found: Comparison) -> Html:
    """The page."""
    title = f"Comparison of {', '.join(side.name for side in found.sides)}"
    answers = [verdict(side.agrees, side.sentence) for side in found.sides if side.cells]
    setting = definitions(
        {
            "held against": found.against,
            "format": found.dtype,
            "algorithm": found.algorithm,
            "leaves": len(found.leaves),
        }
    )
    notes = [paragraph(note, note=True) for note in found.notes]
    sections = [Section("Digits", [_intro(), *_maps(found), *_chart(found)])]
    tested = [side for side in found.sides if side.tried]
    if tested:
        sections.append(Section("What was tested", [part for side in tested for part in _tested(side)]))
    sections.append(Section("Worst leaves", [_worst(found)]))
    sections.append(Section("Sides", [_sides(found)]))
    return page(title, sections, lead=[*answers, setting, *notes])


def _intro() -> Html:
    return Html(
        paragraph(
            "A cell has the decimal digits that a leaf at a stage has in common with what it is held against, of those "
            "that rounding and the problem's own sensitivity leave: 14.2 of 13.1. Framed: where they part. A wide map "
            "scrolls sideways."
        )
        + legend(MEANINGS)
    )


def _maps(found: Comparison) -> list[Html]:
    rows = (SCALAR, *found.leaves)
    return [
        heat_map(
            rows,
            found.stages,
            [[_coloured(side, stage, leaf) for stage in found.stages] for leaf in rows],
            caption=f"{side.name} against {found.against}",
        )
        for side in found.sides
        if side.cells
    ]


def _coloured(side: SideReport, stage: str, leaf: str) -> HeatmapCell:
    cell = side.cells.get(stage, {}).get(leaf)
    if cell is None:
        return HeatmapCell("", Shade.NONE)
    text = "=" if cell.relative == 0 else f"{cell.digits:.1f} of {cell.expected_digits:.1f}"
    text = text if cell.agrees else f"{text} ✗"
    said = (
        f"{leaf} at {stage}: {cell.digits:.1f} digits agree, {cell.expected_digits:.1f} have to; relative difference "
        f"{cell.relative:.2g}, error {cell.error:.3g}, tolerance {cell.tolerance:g}"
    )
    return HeatmapCell(text, _shade(cell), said, side.parting == (stage, leaf))


def _shade(cell: LeafComparison) -> Shade:
    share = cell.error / cell.tolerance
    if share <= 1:
        return Shade.BEST if share <= 1 / 16 else Shade.GOOD
    if share <= 1000:
        return Shade.FAIR
    return Shade.POOR if cell.digits >= 3 else Shade.BAD


def _chart(found: Comparison) -> list[Html]:
    """The worst leaf's error along the stages, in tolerances."""
    sides = [side for side in found.sides if side.cells]
    series = [
        Series(side.name, list(range(len(found.stages))), [_share(side, stage) for stage in found.stages])
        for side in sides
    ]
    limit = Series("tolerance", [0, len(found.stages) - 1], [1.0, 1.0])
    chart = line_chart(
        [*series, limit],
        title="Difference of the worst leaf along the computation, in tolerances",
        x=found.stages,
        y="difference / tolerance",
        log_y=True,
    )
    return [chart, paragraph("A gap: exactly equal, or no leaf at a finite distance.", note=True)]


def _share(side: SideReport, stage: str) -> float:
    shares = [cell.error / cell.tolerance for cell in side.cells[stage].values() if cell.error < math.inf]
    return max(shares, default=0.0) or math.nan


def _tested(side: SideReport) -> list[Html]:
    rows = [["✓" if t.helped else "–", t.kind, t.test, t.outcome] for t in side.tried]
    found = [
        paragraph(f"Explained by: {e.sentence}." if e.confirmed else f"In part: {e.sentence}.")
        for e in side.explanations
    ]
    remarks = [paragraph(f"{remark}.") for remark in side.remarks]
    heading = f"{side.name}: an explanation is right if, its cause taken away, everything agrees"
    return [table(["", "explanation", "test", "then"], rows, caption=heading), *found, *remarks]


def _worst(found: Comparison) -> Html:
    rows: list[list[Content]] = []
    for side in found.sides:
        for stage, leaves in side.cells.items():
            name = max(leaves, key=lambda leaf: leaves[leaf].error / leaves[leaf].tolerance)
            cell = leaves[name]
            figures = [round(cell.digits, 1), round(cell.expected_digits, 1), cell.relative, cell.error, cell.tolerance]
            rows.append([side.name, stage, name, *figures])
    headings = ["side", "stage", "leaf", "digits", "needed", "relative", "error", "tolerance"]
    caption = "Of each stage the leaf that is furthest off; error and tolerance in roundoffs times amplification"
    return table(headings, rows, caption=caption)


def _sides(found: Comparison) -> Html:
    rows = [
        [side.name, side.backend, side.loss, ", ".join(f"{k} {v}" for k, v in side.versions.items())]
        for side in found.sides
    ]
    return table(["side", "backend", "loss", "versions"], rows)
