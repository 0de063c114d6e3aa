"""The papers' experiments, as values: network, task sources, and each algorithm's hyper-parameters.

Inner rates are those of a mean loss; the MAML authors' Omniglot loss is `ways` times ours (see metaspec.nn.losses).
Sizes are chosen so that two CPU cores learn something in minutes, which the papers' 60,000 iterations do not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from metaspec.algorithm import Algorithm
from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.data.source import TaskSource
from metaspec.errors import InvalidArgumentError
from metaspec.inner import GradientDescent
from metaspec.solvers import ConjugateGradient
from metaspec.task import Tree

ALGORITHMS = ("maml", "fomaml", "reptile", "imaml")


@dataclass(frozen=True)
class Experiment:
    """A network with the tasks to train it on and the held-out tasks to judge it on.

    Attributes:
        name: "sinusoid" or "omniglot".
        network: Has init(seed, dtype), loss(params, batch) and, where `metric` says so, accuracy(params, batch).
        train: Source of meta-training tasks.
        test: Source of held-out tasks.
        metric: The network's accuracy, or None for a regression.
    """

    name: str
    network: Any
    train: TaskSource
    test: TaskSource
    metric: Callable[[Tree, Tree], Any] | None


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of an algorithm on an experiment."""

    inner_lr: float
    inner_steps: int
    outer_lr: float
    regularization: float = 2.0
    cg_steps: int = 5

    def algorithm(self, name: str) -> Algorithm:
        """The algorithm of that name with these settings.

        Raises:
            InvalidArgumentError: An unknown name, or a setting that the algorithm refuses.
        """
        inner = GradientDescent(self.inner_lr, self.inner_steps)
        if name == "imaml":
            return IMAML(inner, self.regularization, ConjugateGradient(self.cg_steps))
        kinds: dict[str, Callable[[Any], Algorithm]] = {"maml": MAML, "fomaml": FOMAML, "reptile": Reptile}
        if name not in kinds:
            raise InvalidArgumentError(f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {name!r}")
        return kinds[name](inner)


SETTINGS = {
    "sinusoid": {
        "maml": Settings(inner_lr=0.01, inner_steps=1, outer_lr=1e-3),
        "fomaml": Settings(inner_lr=0.01, inner_steps=1, outer_lr=1e-3),
        "reptile": Settings(inner_lr=0.01, inner_steps=5, outer_lr=1e-3),
        "imaml": Settings(inner_lr=0.01, inner_steps=16, outer_lr=1e-3, regularization=2.0),
    },
    "omniglot": {
        "maml": Settings(inner_lr=0.4, inner_steps=1, outer_lr=3e-3),
        "fomaml": Settings(inner_lr=0.4, inner_steps=1, outer_lr=3e-3),
        "reptile": Settings(inner_lr=0.1, inner_steps=5, outer_lr=3e-3),
        "imaml": Settings(inner_lr=0.2, inner_steps=8, outer_lr=3e-3, regularization=0.5),
    },
}


def sinusoid(seed: int = 0, *, shots: int = 10, queries: int = 10, dtype: str = "float32") -> Experiment:
    """Sinusoid regression with the MLP 1-40-40-1 (Finn, Abbeel, Levine 2017, section 5.1)."""
    from metaspec.data import Sinusoid
    from metaspec.nn import sinusoid_mlp

    train, test = (Sinusoid(shots, queries, seed, stream, dtype) for stream in ("train", "test"))
    return Experiment("sinusoid", sinusoid_mlp(), train, test, None)


def omniglot(
    folder: Any,
    seed: int = 0,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    filters: int = 32,
    subset: str = "small",
    dtype: str = "float32",
) -> Experiment:
    """Few-shot classification of Omniglot characters with four convolutional blocks (ibid., section 5.2)."""
    from metaspec.data import load_omniglot, omniglot_tasks
    from metaspec.nn import omniglot_convnet

    network = omniglot_convnet(ways, filters)
    split = load_omniglot(folder, subset)
    train, test = omniglot_tasks(split, ways=ways, shots=shots, queries=queries, seed=seed, dtype=dtype)
    return Experiment("omniglot", network, train, test, network.accuracy)
