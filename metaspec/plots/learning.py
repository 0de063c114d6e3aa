"""Lines with intervals: query losses and accuracies in the course of a training, of one run or of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaspec.checks.arguments import checked_integer
from metaspec.errors import InvalidArgumentError
from metaspec.plots.figures import panels, style
from metaspec.training import Judged, StepRecord
from metaspec.training.evaluation import NORMAL_95

POINTS = 100


@dataclass(frozen=True)
class Curve:
    """Line of a plot: at x the mean and half of its 95 % interval; NaN where there is none.

    Attributes:
        label: What the legend calls it.
        x: Increasing.
        mean: As long as x.
        half_width: As long as x.
    """

    label: str
    x: Sequence[float]
    mean: Sequence[float]
    half_width: Sequence[float]

    def __post_init__(self) -> None:
        if not len(self.x) == len(self.mean) == len(self.half_width):
            raise InvalidArgumentError(
                f"Curve {self.label!r}: x, mean and half_width must be of one length, got {len(self.x)}, "
                f"{len(self.mean)} and {len(self.half_width)}"
            )


def losses_of(label: str, histories: Sequence[Sequence[StepRecord]], points: int = POINTS) -> Curve:
    """Return the query loss of a run, or of several that differ in their seeds, over the outer steps.

    The steps are divided into `points` segments; a segment's x is its last step's count. Its mean is over its steps
    and runs. Its interval is over the runs' means by Student's t, of one run alone over its steps (normal
    approximation, as if they were independent).

    Args:
        label: As Curve's.
        histories: Of each run its `history`; longer ones are cut to the shortest.
        points: Stretches, at most.

    Raises:
        InvalidArgumentError: No run, or one without steps.
    """
    points = checked_integer(points, "losses_of: points", least=1)
    if not histories or not all(histories):
        raise InvalidArgumentError("losses_of: expected at least one history, each with at least one step")
    length = min(map(len, histories))
    losses = np.array([[record.query_loss for record in history[:length]] for history in histories])
    first = histories[0][0].step
    ends = np.unique(np.linspace(0, length, min(points, length) + 1).round().astype(int))[1:]
    pieces = np.split(losses, ends[:-1], axis=1)
    across = len(histories) > 1
    half = [_half_of_runs(piece.mean(axis=1)) if across else _half_of_steps(piece[0]) for piece in pieces]
    return Curve(label, (first + ends).tolist(), [float(piece.mean()) for piece in pieces], half)


def accuracy_of(label: str, evaluations: Sequence[Judged]) -> Curve:
    """Return the metric after adaptation, in per cent if it is an accuracy, at each evaluation of a run.

    Raises:
        InvalidArgumentError: The evaluations had no metric.
    """
    metrics = [judged.report.metric_after for judged in evaluations]
    found = [metric.percent() for metric in metrics if metric is not None]
    if len(found) < len(metrics) or not found:
        raise InvalidArgumentError("accuracy_of: expected evaluations that had a metric")
    return Curve(
        label, [judged.steps for judged in evaluations], [m.mean for m in found], [m.half_width for m in found]
    )


def curves(lines: Sequence[Curve], *, title: str = "", x: str = "outer step", y: str, log_y: bool = False) -> Any:
    """Draw a matplotlib Figure of lines and the bands of their intervals.

    Args:
        lines: At least one.
        title: Above the picture.
        x: Label of the horizontal axis.
        y: Label of the vertical axis.
        log_y: Whether the vertical axis is logarithmic.

    Raises:
        InvalidArgumentError: No lines.
        LibraryMissingError: matplotlib is not installed.
    """
    if not lines:
        raise InvalidArgumentError("curves: expected at least one line")
    figure, (axes,) = panels(1, 1, 6.4, 4.0)
    for number, line in enumerate(lines):
        look, mean, half = style(number), np.asarray(line.mean, float), np.asarray(line.half_width, float)
        axes.plot(line.x, mean, label=line.label, **look)
        axes.fill_between(line.x, mean - half, mean + half, color=look["color"], alpha=0.2, linewidth=0)
    axes.set(title=title, xlabel=x, ylabel=y, yscale="log" if log_y else "linear")
    axes.grid(visible=True, alpha=0.3)
    if len(lines) > 1 or lines[0].label:
        axes.legend(frameon=False)
    return figure


def _half_of_steps(losses: NDArray[np.float64]) -> float:
    if len(losses) < 2:
        return float("nan")
    return float(NORMAL_95 * losses.std(ddof=1) / len(losses) ** 0.5)


def _half_of_runs(means: NDArray[np.float64]) -> float:
    return float(T_95[min(len(means) - 1, len(T_95)) - 1] * means.std(ddof=1) / len(means) ** 0.5)


# The 97.5 % points of Student's t with 1, 2, ... degrees of freedom; the last stands for all that are more.
T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)
