"""The experiments: a network with its task sources, for each name of EXPERIMENTS."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from metaspec.data.source import TaskSource
from metaspec.task import Tree


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


def table(seed: int = 0, *, shots: int = 10, queries: int = 10, dtype: str = "float32") -> Experiment:
    """Regression of one column of a table on the others, the network 30-64-64-1."""
    from metaspec.data import tumour_tasks
    from metaspec.nn import MLP

    train, test = tumour_tasks(shots=shots, queries=queries, seed=seed, dtype=dtype)
    network = MLP((train.table.shape[1], 64, 64, 1))
    return Experiment("table", network, train, replace(train, stream="validation"), test, None)


def omniglot(
    seed: int = 0,
    *,
    folder: Any,
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
    """Few-shot classification of Omniglot characters with four convolutional blocks (ibid., section 5.2).

    Of the subset "lake" the held-out tasks are within one alphabet, a drawer's characters against those of others.
    """
    from metaspec.data import WithinAlphabet, load_omniglot, omniglot_tasks
    from metaspec.nn import omniglot_convnet

    network = omniglot_convnet(ways, filters, kernel_gain=kernel_gain, readout_std=readout_std)
    split = load_omniglot(folder, subset)
    sizes: dict[str, Any] = {"ways": ways, "shots": shots, "queries": queries, "seed": seed, "dtype": dtype}
    train, test = omniglot_tasks(split, **sizes, variants=variants)
    held_out = WithinAlphabet(split.test, ways, shots, seed=seed, dtype=dtype) if subset == "lake" else test
    return Experiment("omniglot", network, train, _validation(train, variants), held_out, network.accuracy)


def digits(seed: int = 0, **sizes: Any) -> Experiment:
    """Few-shot classification of scikit-learn's digits with three convolutional blocks."""
    from metaspec.data import digits_tasks

    return _small("digits", digits_tasks, seed, **sizes)


def mnist1d(seed: int = 0, **sizes: Any) -> Experiment:
    """Few-shot classification of MNIST-1D's series with three convolutional blocks.

    A series is a picture one pixel wide, of whose kernels the middle column alone sees anything.
    """
    from metaspec.data import mnist1d_tasks

    return _small("mnist1d", mnist1d_tasks, seed, **sizes)


def _small(
    name: str,
    tasks: Callable[..., tuple[Any, Any]],
    seed: int,
    *,
    ways: int = 5,
    filters: int = 16,
    variants: int = 0,
    kernel_gain: float = 1.0,
    readout_std: float = 1.0,
    **sizes: Any,
) -> Experiment:
    from metaspec.nn import ConvNet

    network = ConvNet(ways, filters, blocks=3, kernel_gain=kernel_gain, readout_std=readout_std)
    train, test = tasks(ways=ways, seed=seed, variants=variants, **sizes)
    return Experiment(name, network, train, _validation(train, variants), test, network.accuracy)


def _streams(source: Any) -> tuple[TaskSource, TaskSource, TaskSource]:
    train, validation, test = (replace(source, stream=stream) for stream in ("train", "validation", "test"))
    return train, validation, test


def _validation(train: Any, variants: int) -> TaskSource:
    """Tasks of meta-training's classes as they are, neither turned nor drawn through a map."""
    classes = train.data.classes
    plain = train.data.select(classes[: len(classes) // (1 + variants)])
    source: TaskSource = replace(train, data=plain, stream="validation", rotations=(0,))
    return source
