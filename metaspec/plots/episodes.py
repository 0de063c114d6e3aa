"""An episode of few-shot classification as two sheets of pictures."""

from typing import Any

import numpy as np

from metaspec.checks.arguments import checked_integer
from metaspec.errors import InvalidArgumentError
from metaspec.plots.figures import panels
from metaspec.task import Task


def episode_grid(task: Task, *, queries: int = 5) -> Any:
    """Draw a matplotlib Figure: the support set and the query set of one episode, a column for each class.

    Args:
        task: Of NumPy arrays, as `FewShot.task` gives it: x [N, H, W] or [N, H, W, C], y [N].
        queries: At most so many query pictures of each class.

    Raises:
        InvalidArgumentError: The examples are no pictures.
        LibraryMissingError: matplotlib is not installed.
    """
    queries = checked_integer(queries, "episode_grid: queries", least=1)
    shape = task.support["x"].shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise InvalidArgumentError(
            f"episode_grid: expected pictures x [N, H, W], or [N, H, W, C] of 1 or 3 channels, got x {list(shape)}"
        )
    classes = np.unique(task.support["y"])
    shots = max(int((task.support["y"] == c).sum()) for c in classes)
    rows = min(queries, max(int((task.query["y"] == c).sum()) for c in classes))
    side = min(0.8, 12.0 / len(classes))
    figure, (above, below) = panels(2, 1, side * len(classes) + 0.2, side * shots + 0.5, side * rows + 0.7)
    for axes, name, part, most in (
        (above, "support set", task.support, shots),
        (below, "query set", task.query, queries),
    ):
        sheet = _sheet(part["x"], part["y"], classes, most)
        axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        width = sheet.shape[1] / len(classes)
        axes.set_xticks([(i + 0.5) * width for i in range(len(classes))], [str(c) for c in classes])
        axes.set_yticks([])
        axes.set_title(name)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    below.set_xlabel("label")
    return figure


def _sheet(x: Any, y: Any, classes: Any, most: int) -> Any:
    """Each class's pictures one above the other, the classes beside each other, with a line of blank between."""
    _, height, width, *channels = x.shape
    colours = channels if channels == [3] else []
    own = [x[y == c][:most] for c in classes]
    rows = max(map(len, own))
    blank = 1.0 if colours else 0.0
    sheet = np.full((rows * (height + 1) - 1, len(classes) * (width + 1) - 1, *colours), blank, x.dtype)
    for column, pictures in enumerate(own):
        for row, picture in enumerate(pictures):
            top, left = row * (height + 1), column * (width + 1)
            sheet[top : top + height, left : left + width] = picture.reshape(height, width, *colours)
    return sheet
