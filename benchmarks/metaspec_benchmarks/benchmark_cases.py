"""What is computed in a benchmark: a network, tasks, an algorithm; plain NumPy from fixed seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.data import Sinusoid
from metaspec.errors import InvalidArgumentError
from metaspec.nn import MLP, ConvNet
from metaspec.task import Task, Tree

DTYPE = "float32"
LONG = 16  # inner steps: straight code of more is left to no compiler of machine code, which takes half an hour for it
FEW = 8  # tasks up to which a compiler is given each of them in turn, in straight code
MANY = 100  # tasks beyond which a loop over them in Python is not worth the wait
WAYS, QUERIES, SIDE = 5, 75, 28


@dataclass(frozen=True)
class BenchmarkCase:
    """One computation: the mean meta-gradient of a batch of tasks.

    Attributes:
        workload: W1, W2, W3, imaml, large, k64 or series: what the command line selects by.
        network: Its `loss` is portable; hand-written rivals read its sizes.
        tasks: In the batch.
        steps: K, of gradient descent.
        lr: Its rate.
        solver_steps: Of conjugate gradients; None: MAML.
        regularization: lambda of iMAML.
        x_axis: Of a series: the field of this class that varies ("parameters": the network's size).
    """

    workload: str
    network: MLP | ConvNet
    tasks: int
    steps: int
    lr: float
    solver_steps: int | None = None
    regularization: float = 2.0
    x_axis: str | None = None

    @property
    def id(self) -> str:
        """A name that tells it from all others."""
        ends = f"{self.tasks} tasks, K = {self.steps}"
        if self.solver_steps is not None:
            ends += f", {self.solver_steps} solver steps"
        return f"{self.name}, {ends}"

    @property
    def name(self) -> str:
        """The network, in words."""
        if isinstance(self.network, MLP):
            return "MLP " + "-".join(map(str, self.network.sizes))
        return f"conv net, {self.network.filters} filters"

    @property
    def parameters(self) -> int:
        """How many numbers a task adapts."""
        return sum(leaf.size for leaf in self.params().values())

    def algorithm(self, checkpoint: Any = "none") -> Any:
        """MAML or iMAML of metaspec."""
        inner = ms.GradientDescent(self.lr, self.steps)
        if self.solver_steps is None:
            return ms.MAML(inner, checkpoint)
        return ms.IMAML(inner, self.regularization, ms.ConjugateGradient(self.solver_steps))

    def params(self, dtype: str = DTYPE) -> dict[str, Any]:
        """Where the tasks start from; float32 numbers whatever the dtype."""
        return {name: leaf.astype(dtype) for name, leaf in self.network.init(0, DTYPE).items()}

    def batch(self, dtype: str = DTYPE) -> Task:
        """Sinusoids of 10 + 10 points, or episodes 5-way 1-shot with 15 queries of each class; stacked."""
        if isinstance(self.network, MLP) and not self.network.classifier:
            return _cast(Sinusoid(dtype=DTYPE).batch(0, self.tasks), dtype)
        rng = np.random.default_rng(0)
        classes = rng.random((self.tasks, WAYS, SIDE, SIDE))

        def episode(n: int) -> Tree:
            labels = np.tile(np.arange(n) % WAYS, (self.tasks, 1))
            x = 0.6 * np.take_along_axis(classes, labels[:, :, None, None], axis=1)
            x = (x + 0.4 * rng.random(x.shape)).astype(DTYPE)
            flat = x.reshape(self.tasks, n, -1) if isinstance(self.network, MLP) else x
            return {"x": flat, "y": labels.astype("int32")}

        return _cast(Task(episode(WAYS), episode(QUERIES)), dtype)


def _cast(task: Task, dtype: str) -> Task:
    support, query = (
        {name: leaf.astype(dtype) if leaf.dtype.kind == "f" else leaf for name, leaf in part.items()} for part in task
    )
    return Task(support, query)


SINUSOID = MLP((1, 40, 40, 1))
WIDE = MLP((784, 256, 128, 64, WAYS), classifier=True)
CONV = ConvNet(WAYS, filters=32)
RATE = {WIDE: 0.1, CONV: 0.1}
# I + H / lambda must be positive definite, or conjugate gradients have no solution to find: H of the wide network has
# eigenvalues from -12 to 50. Of the sinusoids' ten steps at 2 would leave no digit in float32.
STRENGTH = {SINUSOID: 30.0, WIDE: 30.0, CONV: 2.0}
_WORKLOADS: tuple[tuple[str, MLP | ConvNet, int], ...] = (("W1", SINUSOID, 25), ("W2", CONV, 4), ("W3", WIDE, 32))


def _case(workload: str, network: Any, tasks: int, steps: int, solver: int | None = None, **more: Any) -> BenchmarkCase:
    if solver is None:
        return BenchmarkCase(workload, network, tasks, steps, RATE.get(network, 0.01), **more)
    strength = STRENGTH[network]
    rate = 0.01 if strength > 2 else RATE[network]  # less than 2 / (lambda + H)
    return BenchmarkCase(workload, network, tasks, steps, rate, solver, strength, **more)


FULL: tuple[BenchmarkCase, ...] = (
    *(_case("W1", SINUSOID, tasks, steps) for tasks in (4, 25) for steps in (1, 5, 10)),
    *(_case("W2", CONV, 4, steps) for steps in (1, 5)),
    _case("W3", WIDE, 32, 5),
    *(_case("imaml", SINUSOID, 25, 10, solver) for solver in (5, 10)),
    *(_case("imaml", CONV, 4, 5, solver) for solver in (5, 10)),
    *(_case("imaml", WIDE, 32, 5, solver) for solver in (5, 10)),
    _case("large", SINUSOID, 1000, 5),
    _case("k64", SINUSOID, 25, 64),
    _case("k64", CONV, 4, 64),
    *(_case("series", SINUSOID, 25, steps, x_axis="steps") for steps in (4, 8, 16, 32, 64)),
    *(_case("series", SINUSOID, tasks, 5, x_axis="tasks") for tasks in (4, 16, 64, 256)),
    *(_case("series", MLP((1, width, width, 1)), 25, 5, x_axis="parameters") for width in (32, 64, 128, 256)),
)
QUICK: tuple[BenchmarkCase, ...] = (
    _case("W1", SINUSOID, 25, 5),
    _case("W2", CONV, 4, 1),
    _case("W3", WIDE, 8, 5),
    _case("imaml", SINUSOID, 25, 10, 5),
    _case("large", SINUSOID, 250, 5),
    _case("k64", SINUSOID, 4, 64),
    *(_case("series", SINUSOID, 4, steps, x_axis="steps") for steps in (4, 16)),
)
BY_HAND: tuple[BenchmarkCase, ...] = (  # PyTorch's table of hand-written forms
    *(_case(name, net, n, steps) for name, net, n in _WORKLOADS for steps in (1, 5, 10)),
    _case("imaml", SINUSOID, 25, 10, 5),
    _case("imaml", CONV, 4, 5, 5),
    _case("imaml", WIDE, 32, 5, 5),
)
BRIEF = ("W1", "imaml")  # the sinusoid network: all backends together take less than three minutes
WORKLOADS = tuple(dict.fromkeys(case.workload for case in FULL))


def selected(workloads: Sequence[str], *, quick: bool) -> tuple[BenchmarkCase, ...]:
    """The cases of these workloads; where none is named, of all, or of the small ones where it has to be quick.

    Raises:
        InvalidArgumentError: An unknown name.
    """
    wrong = [name for name in workloads if name not in WORKLOADS]
    if wrong:
        raise InvalidArgumentError(f"--workload: {', '.join(wrong)} is none of {', '.join(WORKLOADS)}")
    wanted = workloads or (BRIEF if quick else WORKLOADS)
    return tuple(case for case in (QUICK if quick else FULL) if case.workload in wanted)
