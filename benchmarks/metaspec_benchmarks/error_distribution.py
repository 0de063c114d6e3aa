"""The evidence in docs/error-model.md from a soak: the plot, and the table between the document's two marks.

python -m metaspec_conformance.soak --scenarios 20000 --json soak.json
python -m metaspec_benchmarks.error_distribution soak.json      (needs matplotlib)
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from metaspec_conformance.judging.error_model import TOLERANCE

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- soak -->", "<!-- end of soak -->"
COLOURS = {"numpy": "#4477aa", "torch": "#ee6677", "jax": "#228833", "tensorflow": "#ccbb44"}
TOGETHER = 3  # bins of the soak in one of the plot
SHOWN = 3.0  # of the histograms; the tails are in the lower row


def main(source: str) -> None:
    found = json.loads(Path(source).read_text())
    document = DOCS / "error-model.md"
    before, _, rest = document.read_text().partition(BEGIN)
    document.write_text(f"{before}{BEGIN}\n{_table(found)}\n{END}{rest.partition(END)[2]}")
    _plot(found, str(DOCS / "error-distribution.svg"))


def _table(found: dict[str, Any]) -> str:
    counted = [tally for formats in found["backends"].values() for tally in formats.values()]
    ran = sum(tally["eager"] + tally["compiled"] for tally in counted)
    failed = sum(tally["failures"] for tally in counted)
    lines = [
        f"{found['scenarios']:,} scenarios of {found['structures']} structures on each backend, {ran:,} computations; "
        f"{failed} beyond the tolerance; {len(found['reference_problems'])} references in doubt; "
        f"{found['seconds'] / 60:.0f} minutes.",
        "",
        "| backend, format | scenarios (eager) | median | 99 % | 99.9 % | worst | headroom | digits |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for backend, formats in found["backends"].items():
        for dtype, tally in sorted(formats.items()):
            count = f"{tally['eager'] + tally['compiled']:,} ({tally['eager']:,})"
            quantiles = " | ".join(f"{tally['quantiles'][q]:.2f}" for q in ("0.5", "0.99", "0.999"))
            worst = f"{tally['worst'][0][0]:.2f} | {tally['headroom']:.1f} | {tally['digits']:.1f}"
            lines.append(f"| {backend}, {dtype} | {count} | {quantiles} | {worst} |")
    return "\n".join(lines)


def _plot(found: dict[str, Any], figure: str) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams |= {"svg.fonttype": "none", "svg.hashsalt": "metaspec", "font.size": 9}
    import matplotlib.pyplot as plt

    canvas, axes = plt.subplots(2, 2, figsize=(8, 5.4), sharey="row")
    for column, dtype in enumerate(("float32", "float64")):
        for backend, formats in found["backends"].items():
            if dtype not in formats:
                continue
            tally = formats[dtype]
            counts = np.asarray(tally["histogram"], dtype=float)
            edges = np.arange(len(counts) + 1) / tally["per_unit"]
            wide = np.add.reduceat(counts, np.arange(0, len(counts), TOGETHER)) / counts.sum()
            shown = edges[: len(counts) : TOGETHER] < SHOWN
            style = {"color": COLOURS.get(backend, "black"), "label": backend, "linewidth": 1.0}
            density = wide * tally["per_unit"] / TOGETHER
            axes[0, column].step(edges[: len(counts) : TOGETHER][shown], density[shown], where="post", **style)
            beyond = 1 - np.cumsum(counts) / counts.sum()
            points = np.unique(np.geomspace(1, len(counts), 100).astype(int)) - 1
            points = points[beyond[points] > 1e-12]
            axes[1, column].plot(edges[1:][points], beyond[points], **style)
        axes[0, column].set(title=dtype, xlim=(0, SHOWN))
        axes[1, column].axvline(TOLERANCE, color="black", linestyle="--", linewidth=1.0)
        axes[1, column].text(TOLERANCE * 0.93, 0.3, "tolerance", rotation=90, ha="right", va="center")
        axes[1, column].set(xscale="log", yscale="log", xlim=(0.05, 30), xlabel="error, in roundoffs × amplification")
    axes[0, 0].set_ylabel("density")
    axes[1, 0].set_ylabel("share of scenarios beyond")
    axes[0, 1].legend(frameon=False)
    canvas.tight_layout()
    canvas.savefig(figure, metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
