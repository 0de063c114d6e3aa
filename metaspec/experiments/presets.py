"""The papers' experiments, as values: network, task sources, and each algorithm's hyper-parameters.

Inner rates are those of a mean loss; the MAML authors' Omniglot loss is `ways` times ours (see metaspec.nn.losses).
Sizes are chosen so that two CPU cores learn something in minutes, which the papers' 60,000 iterations do not.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from metaspec.algorithms import ANIL, BOIL, FOMAML, IMAML, MAML, MAMLPlusPlus, MetaSGD, Reptile, SigmaMAML
from metaspec.algorithms.base import Algorithm
from metaspec.data.source import TaskSource
from metaspec.errors import InvalidArgumentError, nearest
from metaspec.inner import GradientDescent, Learned
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Tree

EXPERIMENTS = ("sinusoid", "mixture", "omniglot", "digits")
ALGORITHMS = ("maml", "fomaml", "reptile", "imaml", "anil", "boil", "metasgd", "mamlpp", "sigma-maml")
OPTIMIZERS = ("adam", "adamw", "sgd", "momentum", "nesterov")
SCHEDULES = ("constant", "linear", "cosine")


@dataclass(frozen=True)
class Experiment:
    """A network with the tasks to train it on and the held-out tasks to judge it on.

    Attributes:
        name: One of EXPERIMENTS.
        network: Has init(seed, dtype), loss(params, batch) and, where `metric` says so, accuracy(params, batch).
        train: Source of meta-training tasks.
        validation: Source of other tasks of the same kind (the same classes), to judge on while training.
        test: Source of held-out tasks, of other classes.
        metric: The network's accuracy, or None for a regression.
    """

    name: str
    network: Any
    train: TaskSource
    validation: TaskSource
    test: TaskSource
    metric: Callable[[Tree, Tree], Any] | None


@dataclass(frozen=True)
class PaperSettings:
    """Hyper-parameters of an algorithm on an experiment."""

    inner_lr: float
    inner_steps: int
    outer_lr: float
    regularization: float = 2.0
    cg_steps: int = 5
    clip_norm: float | None = None
    steps: int | None = None
    kernel_gain: float | None = None
    readout_std: float | None = None

    def algorithm(self, name: str, head: tuple[str, ...] = ("**",)) -> Algorithm:
        """Return the algorithm of that name with these settings; `head` names the leaves of the network's read-out.

        Raises:
            InvalidArgumentError: An unknown name, or a setting that the algorithm refuses.
        """
        inner = GradientDescent(self.inner_lr, self.inner_steps)
        kinds: dict[str, Callable[[], Algorithm]] = {
            "maml": lambda: MAML(inner),
            "fomaml": lambda: FOMAML(inner),
            "reptile": lambda: Reptile(inner),
            "imaml": lambda: IMAML(inner, self.regularization, ConjugateGradient(self.cg_steps)),
            "anil": lambda: ANIL(inner, head),
            "boil": lambda: BOIL(inner, head),
            "metasgd": lambda: MetaSGD(self.inner_lr, self.inner_steps),
            "mamlpp": lambda: MAMLPlusPlus(self.inner_lr, self.inner_steps),
            "sigma-maml": lambda: SigmaMAML(inner, Learned(1.0, per="leaf", positive=True)),
        }
        if name not in kinds:
            raise InvalidArgumentError(
                f"algorithm: expected one of {', '.join(ALGORITHMS)}, got {name!r}{nearest(name, ALGORITHMS)}"
            )
        return kinds[name]()


FUNCTIONS = {
    "maml": PaperSettings(inner_lr=0.01, inner_steps=1, outer_lr=2e-3),
    "fomaml": PaperSettings(inner_lr=0.01, inner_steps=1, outer_lr=2e-3),
    "reptile": PaperSettings(inner_lr=0.01, inner_steps=5, outer_lr=2e-3),
    "anil": PaperSettings(inner_lr=0.01, inner_steps=5, outer_lr=2e-3),
    "boil": PaperSettings(inner_lr=0.01, inner_steps=1, outer_lr=2e-3),
    "metasgd": PaperSettings(inner_lr=0.01, inner_steps=1, outer_lr=2e-3),
    "mamlpp": PaperSettings(inner_lr=0.01, inner_steps=5, outer_lr=2e-3),
    "sigma-maml": PaperSettings(inner_lr=0.01, inner_steps=5, outer_lr=2e-3),
    # Nothing in iMAML's update keeps the curvature below 2 / inner_lr, beyond which the inner loop diverges: training
    # ends before.
    "imaml": PaperSettings(inner_lr=5e-4, inner_steps=32, outer_lr=1e-3, regularization=2.0, clip_norm=1.0, steps=5000),
}
PICTURES = {
    "maml": PaperSettings(inner_lr=0.4, inner_steps=1, outer_lr=3e-3),
    "fomaml": PaperSettings(inner_lr=0.4, inner_steps=1, outer_lr=3e-3),
    "reptile": PaperSettings(inner_lr=0.1, inner_steps=5, outer_lr=3e-3),
    "anil": PaperSettings(inner_lr=0.4, inner_steps=5, outer_lr=3e-3),
    "boil": PaperSettings(inner_lr=0.4, inner_steps=1, outer_lr=3e-3),
    "metasgd": PaperSettings(inner_lr=0.4, inner_steps=1, outer_lr=3e-3),
    "mamlpp": PaperSettings(inner_lr=0.1, inner_steps=5, outer_lr=3e-3),
    "sigma-maml": PaperSettings(inner_lr=0.1, inner_steps=5, outer_lr=3e-3),
    # From the usual start the Hessian's eigenvalues are some +-400: no proximal term outweighs that, and the inner loop
    # diverges. From this one they are a few units.
    "imaml": PaperSettings(
        inner_lr=0.3,
        inner_steps=10,
        outer_lr=3e-3,
        regularization=0.1,
        cg_steps=3,
        clip_norm=1.0,
        kernel_gain=5.0,
        readout_std=0.3,
    ),
}
HEADS = {"sinusoid": ("w2", "b2"), "mixture": ("w2", "b2"), "omniglot": ("w", "b"), "digits": ("w", "b")}
"""The read-out's leaves of each experiment's network."""
SETTINGS = {"sinusoid": FUNCTIONS, "mixture": FUNCTIONS, "omniglot": PICTURES, "digits": PICTURES}

_functions: dict[str, Any] = {
    "steps": 15000,
    "tasks_per_step": 25,
    "shots": 10,
    "queries": 10,
    "schedule": "cosine",
    "checkpoint_every": 1000,
}
_pictures: dict[str, Any] = {
    "steps": 500,
    "tasks_per_step": 4,
    "shots": 1,
    "queries": 15,
    "checkpoint_every": 25,
    "ways": 5,
    "variants": 0,
    "kernel_gain": 1.0,
    "readout_std": 1.0,
}
SIZES: dict[str, dict[str, Any]] = {
    "sinusoid": _functions,
    "mixture": _functions | {"families": "sinusoid,linear,quadratic,absolute,tanh", "noise": 0.0},
    "omniglot": _pictures | {"filters": 32, "subset": "small", "variants": 15},
    "digits": _pictures | {"filters": 16},
}


def sinusoid(seed: int = 0, *, shots: int = 10, queries: int = 10, dtype: str = "float32") -> Experiment:
    """Sinusoid regression with the MLP 1-40-40-1 (Finn, Abbeel, Levine 2017, section 5.1).

    Weights start Glorot uniform: from the authors' N(0, 0.01^2) the same steps leave the loss after one inner step
    higher (docs/results.md).
    """
    from metaspec.data import Sinusoid
    from metaspec.nn import sinusoid_mlp

    source = Sinusoid(shots, queries, seed, dtype=dtype)
    return Experiment("sinusoid", sinusoid_mlp(std=None), *_streams(source), None)


def mixture(
    seed: int = 0,
    *,
    families: str,
    noise: float = 0.0,
    shots: int = 10,
    queries: int = 10,
    dtype: str = "float32",
) -> Experiment:
    """Regression on functions of several families, separated by commas, with the same network."""
    from metaspec.data import FunctionMixture
    from metaspec.nn import sinusoid_mlp

    names = tuple(name.strip() for name in families.split(","))
    source = FunctionMixture(names, noise, shots, queries, seed, dtype=dtype)
    return Experiment("mixture", sinusoid_mlp(std=None), *_streams(source), None)


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
    variants: int = 0,
    kernel_gain: float = 1.0,
    readout_std: float = 1.0,
) -> Experiment:
    """Few-shot classification of Omniglot characters with four convolutional blocks (ibid., section 5.2)."""
    from metaspec.data import load_omniglot, omniglot_tasks
    from metaspec.nn import omniglot_convnet

    network = omniglot_convnet(ways, filters, kernel_gain=kernel_gain, readout_std=readout_std)
    split = load_omniglot(folder, subset)
    sizes: dict[str, Any] = {"ways": ways, "shots": shots, "queries": queries, "seed": seed, "dtype": dtype}
    train, test = omniglot_tasks(split, **sizes, variants=variants)
    return Experiment("omniglot", network, train, _validation(train, variants), test, network.accuracy)


def digits(
    seed: int = 0,
    *,
    ways: int = 5,
    shots: int = 1,
    queries: int = 15,
    filters: int = 16,
    dtype: str = "float32",
    variants: int = 0,
    kernel_gain: float = 1.0,
    readout_std: float = 1.0,
) -> Experiment:
    """Few-shot classification of scikit-learn's digits with three convolutional blocks."""
    from metaspec.data import digits_tasks
    from metaspec.nn import ConvNet

    network = ConvNet(ways, filters, blocks=3, kernel_gain=kernel_gain, readout_std=readout_std)
    sizes: dict[str, Any] = {"ways": ways, "shots": shots, "queries": queries, "seed": seed, "dtype": dtype}
    train, test = digits_tasks(**sizes, variants=variants)
    return Experiment("digits", network, train, _validation(train, variants), test, network.accuracy)


def _streams(source: Any) -> tuple[TaskSource, TaskSource, TaskSource]:
    train, validation, test = (replace(source, stream=stream) for stream in ("train", "validation", "test"))
    return train, validation, test


def _validation(train: Any, variants: int) -> TaskSource:
    """Tasks of meta-training's classes as they are, neither turned nor drawn through a map."""
    classes = train.data.classes
    plain = train.data.select(classes[: len(classes) // (1 + variants)])
    source: TaskSource = replace(train, data=plain, stream="validation", rotations=(0,))
    return source
