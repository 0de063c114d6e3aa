"""Time and peak memory against K, tasks and parameters, as SVG."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from metaspec.errors import LibraryMissingError

Json = dict[str, Any]

AXES = {"steps": "inner steps K", "tasks": "tasks", "parameters": "parameters"}
COLOURS = {"numpy": "#4477aa", "torch": "#ee6677", "jax": "#228833", "tensorflow": "#aa7700"}
STYLES = ("-", "--", ":", "-.")


def draw(results: Json, folder: Path) -> list[Path]:
    """A file for each axis that the run has a series of.

    Raises:
        LibraryMissingError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ImportError:
        raise LibraryMissingError("plots need matplotlib; run: pip install 'metaspec[plots]'") from None
    matplotlib.use("Agg")
    drawn = []
    style: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "metaspec", "font.size": 9}
    with matplotlib.rc_context(style):
        for axis in AXES:
            cases = [case for case in results["cases"] if case["x_axis"] == axis]
            if len(cases) > 1:
                file = folder / f"performance-{axis}.svg"
                _figure(results, cases, axis, file)
                drawn.append(file)
    return drawn


def _figure(results: Json, cases: list[Json], axis: str, file: Path) -> None:
    import matplotlib.pyplot as plt

    canvas, (times, peaks) = plt.subplots(1, 2, figsize=(9.5, 5.2))
    for framework, form, number, points in _lines(results, cases, axis):
        label = form if form.startswith(framework) else f"{framework}: {form}"
        look: Json = {
            "color": COLOURS.get(framework, "black"),
            "linestyle": STYLES[number % len(STYLES)],
            "label": label,
        }
        look |= {"marker": "o", "markersize": 3, "linewidth": 1.2}
        times.plot([x for x, record in points], [1e3 * record["median"] for _, record in points], **look)
        with_peak = [(x, record["peak"] / 2**20) for x, record in points if record["peak"]]
        peaks.plot([x for x, _ in with_peak], [y for _, y in with_peak], **look)
    for plot, title in ((times, "ms a call"), (peaks, "peak memory, MiB")):
        plot.set(xscale="log", yscale="log", xlabel=AXES[axis], title=title)
        plot.grid(visible=True, which="major", linewidth=0.4, alpha=0.5)
    handles, labels = times.get_legend_handles_labels()
    canvas.legend(handles, labels, loc="lower center", ncols=3, frameon=False, fontsize=7.5)
    canvas.tight_layout(rect=(0, 0.06 + 0.033 * -(-len(labels) // 3), 1, 1))
    canvas.patch.set_facecolor("white")
    canvas.savefig(file, metadata={"Date": None})
    plt.close(canvas)


def _lines(results: Json, cases: list[Json], axis: str) -> Iterator[tuple[str, str, int, list[tuple[int, Json]]]]:
    """Framework, form, its number within the framework, and its points; forms with one point are no line."""
    for framework in results["versions"]:
        lines: dict[str, list[tuple[int, Json]]] = {}
        for case in cases:
            for record in results["records"]:
                here = record["case"] == case["id"] and record["framework"] == framework
                if here and record["rounds"] and record["kind"] != "limit":
                    lines.setdefault(record["form"], []).append((case[axis], record))
        shown = [(form, points) for form, points in lines.items() if len(points) > 1]
        for number, (form, points) in enumerate(shown):
            yield framework, form, number, points
