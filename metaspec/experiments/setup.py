"""What a `Config` describes, made: experiment, algorithm, outer optimiser."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from metaspec.algorithms import (
    ANIL,
    BOIL,
    CAVIA,
    FOMAML,
    IMAML,
    MAML,
    MAMLPlusPlus,
    MetaSGD,
    Minibatches,
    Reptile,
    SigmaIMAML,
    SigmaMAML,
    SigmaReptile,
    multi_step_weights,
)
from metaspec.algorithms.base import Algorithm
from metaspec.api import initial_state
from metaspec.backend.arrays import asarray
from metaspec.backend.protocol import Backend
from metaspec.experiments.config import Config
from metaspec.experiments.presets import HEADS
from metaspec.experiments.problems import Experiment, digits, mixture, mnist1d, omniglot, sinusoid, table
from metaspec.inner import Adam as InnerAdam
from metaspec.inner import GradientDescent, Learned
from metaspec.inner.base import InnerRule
from metaspec.inner.continued import RuleState
from metaspec.nn.context_network import WithContext
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.training.outer_optimizers import SGD, Adam, AdamW, Optimizer
from metaspec.training.schedules import Cosine, Linear, Schedule, WarmUp

ANNEALING = 5
"""Stages in which MAML++'s weights fall; each compiles the outer step anew."""

WIDTHS = Learned(1.0, per="leaf", positive=True)
CONTEXT = 4
"""Entries of CAVIA's context."""


def experiment_of(settings: Config) -> Experiment:
    """The experiment that the settings describe."""
    sizes: dict[str, Any] = {"shots": settings.shots, "queries": settings.queries, "dtype": settings.dtype}
    if settings.experiment == "mixture":
        sizes |= {"families": settings.families, "noise": settings.noise}
    if settings.ways is not None:
        own = ("ways", "filters", "variants", "kernel_gain", "readout_std")
        sizes |= {name: getattr(settings, name) for name in own}
    if settings.experiment == "omniglot":
        sizes |= {"folder": settings.data, "subset": settings.subset}
    made: dict[str, Callable[..., Experiment]] = {
        "sinusoid": sinusoid,
        "mixture": mixture,
        "table": table,
        "omniglot": omniglot,
        "digits": digits,
        "mnist1d": mnist1d,
    }
    found = made[settings.experiment](seed=settings.seed, **sizes)
    if settings.algorithm != "cavia":
        return found
    inputs, *others = found.network.sizes
    network = WithContext(replace(found.network, sizes=(inputs + CONTEXT, *others)), CONTEXT)
    return replace(found, network=network)


def algorithm_of(settings: Config, inner_steps: int | None = None) -> Algorithm:
    """The algorithm that the settings describe, perhaps with another number of inner steps."""
    steps = settings.inner_steps if inner_steps is None else inner_steps
    lr, head = settings.inner_lr, HEADS[settings.experiment]
    inner: InnerRule = InnerAdam(lr, steps, b1=0.0) if settings.rule == "adam" else GradientDescent(lr, steps)
    solver = ConjugateGradient(settings.cg_steps or 1)
    kinds: dict[str, Callable[[], Any]] = {
        "maml": lambda: MAML(inner),
        "fomaml": lambda: FOMAML(inner),
        "reptile": lambda: Reptile(inner),
        "imaml": lambda: IMAML(inner, settings.regularization, solver),
        "anil": lambda: ANIL(inner, head),
        "boil": lambda: BOIL(inner, head),
        "metasgd": lambda: MetaSGD(lr, steps),
        "mamlpp": lambda: MAMLPlusPlus(lr, steps),
        "cavia": lambda: CAVIA(inner, "context"),
        "sigma-maml": lambda: SigmaMAML(inner, WIDTHS),
        "sigma-imaml": lambda: SigmaIMAML(inner, WIDTHS, solver),
        "sigma-reptile": lambda: SigmaReptile(inner, WIDTHS, solver),
    }
    made = kinds[settings.algorithm]()
    return made if settings.inner_batch is None else replace(made, minibatches=Minibatches(settings.inner_batch))


def adapting_algorithm(settings: Config, inner_steps: int | None = None) -> Algorithm:
    """The algorithm as it adapts in evaluations: on the whole support set, in `test_inner_steps` steps unless given."""
    steps = settings.test_inner_steps if inner_steps is None else inner_steps
    return algorithm_of(replace(settings, inner_batch=None), steps)


def trained_algorithm(settings: Config) -> Algorithm | Callable[[int], Algorithm]:
    """Return what `meta_train` is given: MAML++ with its weights annealed over the first half, else the algorithm."""
    if settings.algorithm != "mamlpp":
        return algorithm_of(settings)
    return partial(annealed, algorithm_of(settings), max(1, settings.steps // (2 * ANNEALING)))


def annealed(algo: Any, epoch: int, step: int) -> Algorithm:
    """Return the algorithm with the weights of an outer step's epoch, of so many steps each."""
    weighted: Algorithm = replace(algo, query_weights=multi_step_weights(step // epoch, algo.inner.steps, ANNEALING))
    return weighted


def initial_parameters(settings: Config, problem: Experiment) -> Any:
    """Return what training starts from: the network's parameters, with what the algorithm learns beside them."""
    params = problem.network.init(settings.seed, settings.dtype)
    algorithm: Any = algorithm_of(settings)
    return algorithm.init(params, backend="numpy")


def initial_inner_state(settings: Config, params: Any, B: Backend) -> RuleState | None:
    """Return what the inner rule starts from in the first task, where its state is carried to the next; else None."""
    return (
        initial_state(algorithm_of(settings), asarray(params, backend=B), backend=B) if settings.carry_state else None
    )


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
