"""An episode of few-shot classification as two sheets of pictures, with what was predicted."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from metaspec.api import adapt
from metaspec.backend.arrays import asarray, computing
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import checked_integer
from metaspec.errors import InvalidArgumentError
from metaspec.inner.continued import RuleState
from metaspec.plots.figures import COLOURS, panels
from metaspec.task import Array, Task, Tree

WRONG = COLOURS[1]


class Classifier(Protocol):
    """A network whose outputs are a logit for each class."""

    def apply(self, params: Tree, x: Array) -> Array:
        """Return logits [N, C]."""

    def loss(self, params: Tree, batch: Tree) -> Array:
        """Return the loss that adaptation descends."""


def predictions(
    algo: Any,
    network: Classifier,
    params: Tree,
    task: Task,
    *,
    state: RuleState | None = None,
    backend: str | Backend | None = None,
) -> NDArray[np.integer[Any]]:
    """Return the class of the largest logit of each query, after adaptation to the support set.

    Args:
        algo: The algorithm that adapts.
        network: Such as `metaspec.nn.ConvNet`.
        params: The meta-parameters.
        task: Of NumPy arrays: x [N, ...], y [N].
        state: As in `meta_test`.
        backend: As in `meta_test`.

    Raises:
        MetaspecError: As `adapt`.

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> from metaspec import nn, plots
        >>> network = nn.MLP((2, 2), classifier=True)
        >>> part = {"x": np.eye(2), "y": np.array([0, 1])}
        >>> algo = ms.MAML(ms.GradientDescent(1.0, steps=20))
        >>> plots.predictions(algo, network, network.init(0, "float64"), ms.Task(part, part), backend="numpy")
        array([0, 1])
    """
    B = resolve(backend, params)
    with computing(B, params):
        theta = adapt(algo, network.loss, asarray(params, backend=B), asarray(task.support, backend=B), state=state)
        theta = theta if state is None else theta[0]
        logits = B.to_numpy(network.apply(theta, asarray(task.query["x"], backend=B)))
    found: NDArray[np.integer[Any]] = logits.argmax(axis=-1)
    return found


def episode_grid(task: Task, *, queries: int = 5, predicted: NDArray[np.integer[Any]] | None = None) -> Any:
    """Draw a matplotlib Figure: the support set and the query set of one episode, a column for each class.

    Args:
        task: Of NumPy arrays, as `FewShot.task` gives it: x [N, H, W] or [N, H, W, C], y [N].
        queries: At most so many query pictures of each class.
        predicted: Of each query the class that a learner gave it, as `predictions` returns them: a query that is wrong
            gets a frame and the number of that class, and the title counts the right ones of all queries.

    Raises:
        InvalidArgumentError: The examples are no pictures, or there are not as many predictions as queries.
        LibraryMissingError: matplotlib is not installed.
    """
    queries = checked_integer(queries, "episode_grid: queries", least=1)
    shape = task.support["x"].shape
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[3] not in (1, 3)):
        raise InvalidArgumentError(
            f"episode_grid: expected pictures x [N, H, W], or [N, H, W, C] of 1 or 3 channels, got x {list(shape)}"
        )
    if predicted is not None and np.shape(predicted) != task.query["y"].shape:
        raise InvalidArgumentError(
            f"episode_grid: predicted: expected a class for each of the {len(task.query['y'])} queries, got shape "
            f"{list(np.shape(predicted))}"
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
    if predicted is not None:
        right = int((predicted == task.query["y"]).sum())
        below.set_title(f"query set, {right} of {len(predicted)} right")
        _mark(below, task.query["y"], predicted, classes, queries, shape[1:3])
    return figure


def _mark(axes: Any, labels: Any, predicted: Any, classes: Any, most: int, size: tuple[int, int]) -> None:
    """Frames the pictures that are wrong and writes beside each what it was taken for."""
    from matplotlib.patches import Rectangle

    height, width = size
    for column, label in enumerate(classes):
        for row, guess in enumerate(predicted[labels == label][:most]):
            if guess != label:
                corner = column * (width + 1) - 0.5, row * (height + 1) - 0.5
                axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=WRONG, linewidth=1.5))
                axes.text(corner[0] + 1, corner[1] + 1, str(guess), color=WRONG, fontsize=8, va="top")


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
