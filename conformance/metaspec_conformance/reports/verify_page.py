"""A run as a self-contained page: digits, errors, failures with programs, capabilities, kinks, versions."""

from collections.abc import Mapping, Sequence

from metaspec.backend.capabilities import Capability
from metaspec.backend.registry import registrations
from metaspec.html import (
    HeatmapCell,
    Html,
    Section,
    Shade,
    code,
    definitions,
    details,
    heat_map,
    histogram,
    legend,
    page,
    paragraph,
    side_by_side,
    table,
    verdict,
)
from metaspec_conformance.generators.snippets import snippet
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.evidence import Check, evidence
from metaspec_conformance.judging.verdicts import Outcome
from metaspec_conformance.kinks.catalogue import KINKS
from metaspec_conformance.kinks.kink_document import FREE, heading
from metaspec_conformance.kinks.kink_measurements import Found, declared, in_words
from metaspec_conformance.laws.framework.law import LAWS
from metaspec_conformance.reports import verify_report
from metaspec_conformance.scenarios.reference import Reference
from metaspec_conformance.scenarios.scenario import Scenario
from metaspec_conformance.workers.runner import VerifyReport

BINS = [2.0**e for e in range(-12, 4)]  # of errors, in tolerances
PROGRAMS = 5  # failures that get a program of their own
SHOWN = 200  # failures that are listed
LEVELS = (
    (Shade.BEST, "error within 1/8 of the tolerance"),
    (Shade.GOOD, "within the tolerance"),
    (Shade.BAD, "a check failed"),
    (Shade.NONE, "not run"),
)


def page_of(
    report: VerifyReport,
    seconds: float,
    programs: Mapping[Outcome, str] | None = None,
    kinks: Mapping[str, Found] | None = None,
) -> Html:
    """The page.

    Args:
        report: What a run found.
        seconds: How long it took.
        programs: Of failures, as `programs_of` gives them.
        kinks: As `measure_all` gives them.
    """
    failed = len(report.failures) + len(report.broken)
    work = f"{len(report.outcomes)} computations in {seconds:.0f} s"
    answer = f"everything agrees: {work}" if report.passed else f"{failed} failed, of {work}"
    answer += "; interrupted before all had run" if report.interrupted else ""
    sections = [Section("Digits that agree", [_digits(report)])] if report.outcomes else []
    if failed:
        sections.append(Section("Failures", _failures(report, programs or {})))
    if report.outcomes:
        sections.append(Section("Distribution of errors", _distributions(report)))
        sections.append(Section("Figures", [_figures(report)]))
    sections.append(Section("Capabilities", [_capabilities(report)]))
    if kinks:
        sections.append(Section("Kinks", _kinks(kinks)))
    sections.append(Section("Versions", [_versions(report)]))
    references = {"held against": verify_report.statement(report.thorough)}
    references |= {name: f"{count} scenarios" for name, count in verify_report.oracles(report).items()}
    names = ", ".join(report.versions) or "nothing"
    return page(f"Conformance of {names}", sections, lead=[verdict(report.passed, answer), definitions(references)])


def programs_of(report: VerifyReport, checks: Sequence[Check]) -> dict[Outcome, str]:
    """For the first failures, each of another backend or scenario, a program that shows it."""
    known = {check.id: check for check in checks}
    found: dict[Outcome, str] = {}
    for outcome in report.failures:
        check = known.get(outcome.scenario)
        if len(found) >= PROGRAMS or not isinstance(check, Scenario):
            continue
        truth, problem = evidence(check)
        if isinstance(truth, Reference) and not problem:
            found[outcome] = snippet(check, outcome.backend, outcome.dtype, truth, outcome.message)
    return found


def _digits(report: VerifyReport) -> Html:
    rows = verify_report.rows(report)
    places = {(row.backend, row.dtype): None for row in rows}
    algorithms = list(dict.fromkeys(row.algorithm for row in rows))
    known = {(row.backend, row.dtype, row.algorithm): row for row in rows}
    cells = [[_cell(known.get((*place, algorithm)), place[1]) for algorithm in algorithms] for place in places]
    caption = (
        "The fewest decimal digits of all scenarios · the worst error of all checks, in roundoffs times amplification "
        f"(tolerance {error_model.TOLERANCE:g})"
    )
    names = [f"{backend}, {dtype}" for backend, dtype in places]
    return Html(legend(LEVELS) + heat_map(names, algorithms, cells, caption=caption))


def _cell(row: verify_report.VerifyRow | None, dtype: str) -> HeatmapCell:
    if row is None or (row.worst is None and not row.failures):
        return HeatmapCell("–", Shade.NONE)
    worst = "" if row.worst is None else f"{row.worst:.2g}"
    digits = "–" if row.digits is None else f"{row.digits:.1f}"
    said = f"{row.scenarios} checks, {row.failures} failed; worst error {worst or 'none'}, {row.seconds:.1f} s"
    if row.failures:
        return HeatmapCell(f"{digits} digits ✗ {row.failures} failed", Shade.BAD, said)
    low = row.worst is not None and row.worst <= error_model.tolerance(dtype) / 8
    return HeatmapCell(f"{digits} digits, error {worst}", Shade.BEST if low else Shade.GOOD, said)


def _failures(report: VerifyReport, programs: Mapping[Outcome, str]) -> list[Html]:
    parts = [verdict(False, f"{target}: {message}") for target, message in report.broken]
    for outcome in report.failures[:SHOWN]:
        name = f"{outcome.backend}, {outcome.dtype}: {outcome.scenario}"
        again = f"metaspec verify {outcome.backend} --scenario '{outcome.scenario}' --dtype {outcome.dtype}"
        content = [paragraph(outcome.message), *_measure(outcome), code(again)]
        if outcome in programs:
            content.append(details("A program that shows it", code(programs[outcome])))
        parts.append(details(f"{name}: {outcome.message[:80]}", *content, open_=len(report.failures) <= PROGRAMS))
    if len(report.failures) > SHOWN:
        parts.append(paragraph(f"and {len(report.failures) - SHOWN} more; `--json` has them all", note=True))
    return parts


def _measure(outcome: Outcome) -> list[Html]:
    worst = outcome.worst
    law = LAWS.get(outcome.scenario.partition("/")[0])
    said = [paragraph(f"The law: {law.formula} ({', '.join(law.clauses)})", note=True)] if law else []
    if worst is None:
        return said
    units = (
        f"{worst.error:.3g} roundoffs times the amplification {worst.amplification:.3g}; tolerance {worst.tolerance:g}"
    )
    return [*said, paragraph(f"{worst.leaf}: relative error {worst.relative:.3g} = {units}", note=True)]


def _distributions(report: VerifyReport) -> list[Html]:
    charts = []
    for dtype in sorted({outcome.dtype for outcome in report.outcomes}):
        groups = [
            (backend, shares)
            for backend in report.versions
            if (shares := [_share(o) for o in report.outcomes if (o.backend, o.dtype) == (backend, dtype) and o.worst])
        ]
        if groups:
            title = f"{dtype}: worst leaf of each check"
            mark = 1.0, "tolerance"
            charts.append(histogram(groups, BINS, title=title, x="error / tolerance", mark=mark, log_x=True))
    return [side_by_side(*charts), paragraph("Errors of zero, and all smaller ones, are in the first bin.", note=True)]


def _share(outcome: Outcome) -> float:
    return 0.0 if outcome.worst is None else outcome.worst.error / outcome.worst.tolerance


def _figures(report: VerifyReport) -> Html:
    rows = [
        [r.backend, r.algorithm, r.dtype, r.scenarios, r.failures, r.worst, r.headroom, r.digits, r.seconds]
        for r in verify_report.rows(report)
    ]
    headings = ["backend", "algorithm", "format", "checks", "failed", "worst error", "room", "digits", "seconds"]
    return table(headings, rows, caption="Room: tolerance / error, at the least; seconds in the worker")


def _capabilities(report: VerifyReport) -> Html:
    known = {name: registrations()[name].all_capabilities for name in report.versions if name in registrations()}
    if not known:
        return paragraph("These backends are not registered, and say nothing of their capabilities.", note=True)
    members = list(next(iter(known.values())))
    rows = [[member, *(_level(known[name][member]) for name in known)] for member in members]
    return table(["member", *known], rows, caption="Derived: written once, from the required members")


def _level(capability: Capability) -> str:
    return f"{capability.level}: {capability.reason}" if capability.level == "unsupported" else capability.level


def _kinks(found: Mapping[str, Found]) -> list[Html]:
    rows = []
    for kink in KINKS:
        cells = [" / ".join(one.cells[kink.name]) for one in found.values()]
        mark = "≠" if len(set(cells)) > 1 else ""
        rows.append([kink.name, in_words(kink.at), " / ".join(declared(kink) or [FREE]), *cells, mark])
    heads = [heading(target, one.versions) for target, one in found.items()]
    caption = "First / second derivative where there is none, in float64; ≠ where backends differ (docs/kinks.md)"
    return [table(["function", "at", "declared", *heads, "differ"], rows, caption=caption)]


def _versions(report: VerifyReport) -> Html:
    rows = [[name, ", ".join(f"{k} {v}" for k, v in versions.items())] for name, versions in report.versions.items()]
    return table(["backend", "versions"], rows)
