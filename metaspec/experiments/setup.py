"""What a `Config` describes, made: experiment, algorithm, outer optimiser."""

from collections.abc import Callable
from functools import partial
from typing import Any

from metaspec.algorithms import MAML, MAMLPlusPlus, multi_step_weights
from metaspec.algorithms.base import Algorithm
from metaspec.experiments.config import Config
from metaspec.experiments.presets import HEADS, Experiment, PaperSettings, digits, mixture, omniglot, sinusoid
from metaspec.training.outer_optimizers import SGD, Adam, AdamW, Optimizer
from metaspec.training.schedules import Cosine, Linear, Schedule, WarmUp


ANNEALING = 5
"""Stages in which MAML++'s weights fall; each compiles the outer step anew."""


def experiment_of(settings: Config) -> Experiment:
    """The experiment that the settings describe."""
    sizes: dict[str, Any] = {"shots": settings.shots, "queries": settings.queries, "dtype": settings.dtype}
    if settings.experiment == "sinusoid":
        return sinusoid(settings.seed, **sizes)
    if settings.experiment == "mixture":
        return mixture(settings.seed, families=settings.families or "", noise=settings.noise or 0.0, **sizes)
    pictures = ("ways", "filters", "variants", "kernel_gain", "readout_std")
    sizes |= {name: getattr(settings, name) for name in pictures}
    if settings.experiment == "digits":
        return digits(settings.seed, **sizes)
    return omniglot(settings.data, settings.seed, subset=settings.subset or "small", **sizes)


def algorithm_of(settings: Config, inner_steps: int | None = None) -> Algorithm:
    """The algorithm that the settings describe, perhaps with another number of inner steps."""
    steps = settings.inner_steps if inner_steps is None else inner_steps
    own = {
        name: getattr(settings, name) for name in ("regularization", "cg_steps") if getattr(settings, name) is not None
    }
    return PaperSettings(settings.inner_lr, steps, settings.outer_lr, **own).algorithm(
        settings.algorithm, HEADS[settings.experiment]
    )


def trained_algorithm(settings: Config) -> Algorithm | Callable[[int], Algorithm]:
    """Return what `meta_train` is given: MAML++ with its weights annealed over the first half, else the algorithm."""
    if settings.algorithm != "mamlpp":
        return algorithm_of(settings)
    return partial(annealed, settings.inner_lr, settings.inner_steps, max(1, settings.steps // (2 * ANNEALING)))


def annealed(lr: float, inner_steps: int, epoch: int, step: int) -> MAML:
    """Return MAML++ at an outer step, with the weights of its epoch."""
    return MAMLPlusPlus(lr, inner_steps, multi_step_weights(step // epoch, inner_steps, ANNEALING))


def initial_parameters(settings: Config, problem: Experiment) -> Any:
    """Return what training starts from: the network's parameters, with what the algorithm learns beside them."""
    params = problem.network.init(settings.seed, settings.dtype)
    algorithm: Any = algorithm_of(settings)
    return algorithm.init(params, backend="numpy")


def optimizer_of(settings: Config) -> Optimizer:
    """The outer optimiser; its rate rises for `warmup` steps, then stays, or falls to 0 at the last step."""
    lr, after = settings.outer_lr, max(1, settings.steps - settings.warmup)
    courses: dict[str, float | Schedule] = {
        "constant": lr,
        "linear": Linear(lr, 0.0, after),
        "cosine": Cosine(lr, after),
    }
    course = courses[settings.schedule]
    rate = WarmUp(settings.warmup, course) if settings.warmup else course
    kinds: dict[str, Callable[[], Optimizer]] = {
        "adam": lambda: Adam(rate),
        "adamw": lambda: AdamW(rate, weight_decay=settings.weight_decay or 0.0),
        "sgd": lambda: SGD(rate),
        "momentum": lambda: SGD(rate, 0.9),
        "nesterov": lambda: SGD(rate, 0.9, nesterov=True),
    }
    return kinds[settings.optimizer]()
