"""The problems on which code is audited: those that come with the audit, and a user's own.

The supplied ones separate the hypotheses: a network of 24 parameters whose leaves are coupled and come in pairs of
equal shape, sums that differ from means, sets of different sizes, curvature of about one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from metaspec.backend.arrays import array_namespace
from metaspec.errors import InvalidArgumentError, nearest
from metaspec.task import Task

REFERENCE = "numpy"  # the backend that truth is computed on, where the loss runs there
WIDTH = 3
RAGGED = ((5, 7), (4, 6), (6, 3))  # examples in support and query, task by task
EQUAL = (((5, 7),) * 3, ((4, 6),) * 3, ((6, 3),) * 3)  # by seed
SUPPLIED = ("regression", "classification")


class Batch(NamedTuple):
    """Examples on axis 0: inputs and targets (classes as integers in classification)."""

    x: Any
    y: Any


@dataclass(frozen=True)
class Problem:
    """A user's own loss and data, on which their code is audited.

    Attributes:
        loss: `loss(params, batch)`, a scalar; with `model`, `loss(model, batch)`. A mean over the examples on axis 0.
            Where it runs on NumPy arrays (see `metaspec.array_namespace`), the truth is computed there, else by the
            function's framework, in the format of the parameters.
        tasks: A list of Task; or a function of a seed that gives one, which lets the audit confirm on fresh data.
        params: The meta-parameters, a tree of arrays; None with `model`.
        model: A function without arguments that makes the model anew.

    Raises:
        InvalidArgumentError: Both or neither of `params` and `model`; no tasks.
    """

    loss: Callable[[Any, Any], Any]
    tasks: Sequence[Task] | Callable[[int], Sequence[Task]]
    params: Any = None
    model: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        if (self.params is None) == (self.model is None):
            raise InvalidArgumentError("Problem: expected one of `params`, a tree of arrays, and `model`, a function")
        if not callable(self.loss):
            raise InvalidArgumentError(f"Problem: loss must be a function (params, batch), got {self.loss!r}")
        if not callable(self.tasks) and not self.tasks:
            raise InvalidArgumentError("Problem: tasks is empty; expected at least one metaspec.Task")

    def drawn(self, seed: int) -> list[Task]:
        """The tasks of a seed; without a function the same ones for all.

        Raises:
            InvalidArgumentError: The function raises, or they are no list of Task with something in it.
        """
        try:
            found: Any = self.tasks(seed) if callable(self.tasks) else self.tasks
        except Exception as error:
            raise InvalidArgumentError(f"Problem: tasks({seed}) raises {type(error).__name__}: {error}") from None
        what = f"tasks({seed})" if callable(self.tasks) else "tasks"
        if isinstance(found, Task) or not isinstance(found, Sequence) or not found:
            given = "an empty list" if isinstance(found, Sequence) and not found else f"a {type(found).__name__}"
            raise InvalidArgumentError(f"Problem: {what} is {given}; expected a list of metaspec.Task")
        for i, task in enumerate(found):
            if not isinstance(task, Task):
                raise InvalidArgumentError(
                    f"Problem: {what}[{i}] is a {type(task).__name__}; expected metaspec.Task(support, query)"
                )
        return list(found)


@dataclass(frozen=True)
class Supplied:
    """A drawn problem as plain NumPy data in float64."""

    kind: str
    params: dict[str, Any]
    tasks: tuple[Task, ...]


def supplied(kind: str, seed: int, sizes: Sequence[tuple[int, int]] = RAGGED) -> Supplied:
    """Parameters of the network and one task per pair of sizes.

    Raises:
        InvalidArgumentError: No problem has that name.
    """
    if kind not in SUPPLIED:
        raise InvalidArgumentError(
            f"problem: {kind!r} is not one of {', '.join(SUPPLIED)}{nearest(kind, SUPPLIED)}; or give a "
            "metaspec_conformance.audit.Problem"
        )
    rng = np.random.default_rng([seed, 20170813])
    params = {name: 0.6 * rng.normal(size=shape) for name, shape in shapes().items()}

    def batch(n: int, teacher: dict[str, Any]) -> Batch:
        x = rng.normal(size=(n, WIDTH))
        z = np.tanh(x @ teacher["w1"] + teacher["b1"]) @ teacher["w2"] + teacher["b2"]
        if kind == "regression":
            return Batch(x, z + 0.1 * rng.normal(size=(n, WIDTH)))
        return Batch(x, np.argmax(z + 0.3 * rng.normal(size=(n, WIDTH)), axis=1))

    def task(m: int, n: int) -> Task:
        """Sets that a network near the parameters would fit: there curvature is mostly positive."""
        teacher = {name: leaf + 0.5 * rng.normal(size=leaf.shape) for name, leaf in params.items()}
        return Task(batch(m, teacher), batch(n, teacher))

    tasks = tuple(task(m, n) for m, n in sizes)

    def rounded(leaf: Any) -> Any:
        return leaf.astype(np.float32).astype(np.float64) if leaf.dtype.kind == "f" else leaf

    return Supplied(
        kind,
        {name: rounded(leaf) for name, leaf in params.items()},
        tuple(Task(*(Batch(*map(rounded, batch)) for batch in task)) for task in tasks),
    )


def shapes() -> dict[str, tuple[int, ...]]:
    """The network's leaves in order."""
    return {"b1": (WIDTH,), "b2": (WIDTH,), "w1": (WIDTH, WIDTH), "w2": (WIDTH, WIDTH)}


def loss(kind: str) -> Callable[[Any, Any], Any]:
    """The supplied problem's portable loss of parameters and a batch; params may be a list of leaves in order."""

    def value(params: Any, batch: Any) -> Any:
        if not isinstance(params, dict):
            params = dict(zip(shapes(), params, strict=True))
        x, y = (batch["x"], batch["y"]) if isinstance(batch, dict) else batch
        xp = array_namespace(params)
        z = xp.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] + params["b2"]
        if kind == "regression":
            return xp.mean((z - y) ** 2)
        z = z - xp.max(z, axis=1, keepdims=True)
        one_hot = y if len(y.shape) == 2 else y[:, None] == xp.arange(WIDTH, dtype=y.dtype)[None, :]
        chosen = xp.astype(one_hot, z.dtype)
        return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - xp.sum(chosen * z, axis=1))

    return value
