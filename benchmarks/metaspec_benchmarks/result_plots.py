"""Time and peak memory against K, tasks and parameters, as SVG: a row of plots for each framework."""

from pathlib import Path
from typing import Any

from metaspec.checks.optional_libraries import optional_library

Json = dict[str, Any]
Points = list[tuple[int, Json]]

AXES = {"steps": "inner steps K", "tasks": "tasks", "parameters": "parameters"}
OURS = {
    "metaspec": ("black", "-"),
    "metaspec, native": ("black", "--"),
    "metaspec, recompute": ("black", "-."),
    "metaspec, sqrt": ("black", ":"),
    "metaspec, eager": ("grey", "-"),
}
COLOURS = ("#4477aa", "#ee6677", "#228833", "#aa7700", "#aa3377", "#66ccee", "#999933")
MARKERS = "osD^vPX"


def draw(results: Json, folder: Path) -> list[Path]:
    """A file for each axis that the run has a series of.

    Raises:
        LibraryMissingError: matplotlib is not installed.
    """
    matplotlib = optional_library("matplotlib", "plots", extra="plots")
    matplotlib.use("Agg")
    drawn = []
    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "metaspec", "font.size": 9}
    with matplotlib.rc_context(style):
        for axis in AXES:
            cases = [case for case in results["cases"] if case["x_axis"] == axis]
            if len(cases) > 1:
                file = folder / f"performance-{axis}.svg"
                _figure(results, sorted(cases, key=lambda case: case[axis]), axis, file)
                drawn.append(file)
    return drawn


def _figure(results: Json, cases: list[Json], axis: str, file: Path) -> None:
    import matplotlib.pyplot as plt

    lines = {framework: _lines(results, cases, axis, framework) for framework in results["versions"]}
    shown = {framework: forms for framework, forms in lines.items() if forms}
    canvas, rows = plt.subplots(len(shown), 2, figsize=(9.5, 3.1 * len(shown)), squeeze=False, layout="constrained")
    for (framework, forms), (times, peaks) in zip(shown.items(), rows, strict=True):
        rivals = [form for form in forms if form not in OURS]
        for form, points in forms.items():
            look = _look(form, rivals)
            times.plot([x for x, record in points], [1e3 * record["median"] for _, record in points], **look)
            with_peak = [(x, record["peak"] / 2**20) for x, record in points if record["peak"]]
            peaks.plot([x for x, _ in with_peak], [y for _, y in with_peak], **look)
        for plot, title in ((times, f"{framework}: ms a call"), (peaks, f"{framework}: peak memory, MiB")):
            plot.set(xscale="log", yscale="log", xlabel=AXES[axis], title=title)
            plot.set_xticks([case[axis] for case in cases], [f"{case[axis]:,}" for case in cases])
            plot.minorticks_off()
            plot.grid(visible=True, linewidth=0.4, alpha=0.5)
        peaks.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, fontsize=7.5)
    canvas.patch.set_facecolor("white")
    canvas.savefig(file, metadata={"Date": None})
    plt.close(canvas)


def _look(form: str, rivals: list[str]) -> Json:
    """Ours black or grey, its modes told apart by dashes; each rival a colour and a mark."""
    if form in OURS:
        colour, dashes = OURS[form]
        return {"label": form, "color": colour, "linestyle": dashes, "linewidth": 1.8}
    number = rivals.index(form)
    mark = {"marker": MARKERS[number % len(MARKERS)], "markersize": 4}
    return {"label": form, "color": COLOURS[number % len(COLOURS)], "linewidth": 1.0, **mark}


def _lines(results: Json, cases: list[Json], axis: str, framework: str) -> dict[str, Points]:
    """The points of each form in a framework; forms with one point are no line."""
    lines: dict[str, Points] = {}
    for case in cases:
        for record in results["records"]:
            here = record["case"] == case["id"] and record["framework"] == framework
            if here and record["rounds"] and record["kind"] != "limit":
                lines.setdefault(record["form"], []).append((case[axis], record))
    return {form: points for form, points in lines.items() if len(points) > 1}
