"""Drawn scenarios: a structure (loss, tree, shapes, algorithm, steps, form), then data and hyper-parameters for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.algorithms.adjoint import Checkpoint
from metaspec.algorithms.base import Algorithm
from metaspec.backend.patterns import leaf_names
from metaspec.backend.selection import get_backend
from metaspec.inner.adaptive import Adam
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.inner.learned import Learned
from metaspec.inner.momentum import Momentum
from metaspec.solvers.base import Solver
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.solvers.dense_solve import DenseSolve
from metaspec.task import Task, Tree
from metaspec_conformance.generators.choices import Choose
from metaspec_conformance.generators.families import DrawnProblem, draw_problem
from metaspec_conformance.generators.rates import Explorer, bounded, explorer
from metaspec_conformance.judging.numpy_trees import tree_map
from metaspec_conformance.scenarios.portable_losses import loss_of
from metaspec_conformance.scenarios.scenario import Form, Scenario

ALGORITHMS = ("MAML", "FOMAML", "Reptile", "IMAML")
FAMILY = ("Momentum", "Nesterov", "Adam", "MetaSGD", "RatesPerStep", "ANIL", "MultiStep", "Truncated", "AdamANIL")
"""Members of the family: MAML with other arguments; see `member`."""
STEPS = (1, 0, 2, 3, 5, 8)
CHECKPOINTS: tuple[Checkpoint, ...] = ("none", "none", "recompute", "sqrt")
RATES = ("one", "one", "leaf", "entry")
EXAMPLES = (2, 1, 3, 4)
SEEDS = range(2**16)
COMPILED_ONE_IN = 64
SOLVERS: tuple[ConjugateGradient | DenseSolve, ...] = (
    ConjugateGradient(steps=2),
    ConjugateGradient(steps=1),
    ConjugateGradient(steps=4),
    ConjugateGradient(steps=3, damping=0.5),
    DenseSolve(),
    DenseSolve(damping=0.5),
)
BY_TOLERANCE = ConjugateGradient(steps=12, tol=1e-3)  # judged by its residual, so for one task alone
CLAUSES = {"MAML": "MS-MAML-1", "FOMAML": "MS-FOMAML-1", "Reptile": "MS-REPTILE-1", "IMAML": "MS-IMAML-1"}
FORMS: dict[Form, tuple[str, ...]] = {
    "task": (),
    "stacked": ("MS-BATCH-1",),
    "sequence": ("MS-BATCH-1", "MS-BATCH-2"),
    "adapt": ("MS-ADAPT-1",),
}

OFTEN: tuple[Form, ...] = ("task", "task", *FORMS)


@dataclass(frozen=True)
class Structure:
    """Everything about a scenario but its numbers.

    Attributes:
        problem: Loss, tree and data.
        algorithm: One of `ALGORITHMS` or `FAMILY`.
        steps: K.
        solver: IMAML's.
        form: As a scenario has it.
        sizes: (support, query) examples of each task; 0 query examples are an empty query set, which Reptile takes.
        rates: "one" rate, one per "leaf", or one per "entry".
        proximal: IMAML's least lambda / L.
        checkpoint: MAML's.
    """

    problem: DrawnProblem
    algorithm: str
    steps: int
    solver: ConjugateGradient | DenseSolve
    form: Form
    sizes: tuple[tuple[int, int], ...]
    rates: str
    proximal: float
    checkpoint: Checkpoint

    def scenario(self, choose: Choose, name: str, explore: Explorer | None = None) -> Scenario:
        """The structure with numbers; `name` becomes part of the id, `explore` the loss's where it is at hand."""
        seed = choose(SEEDS)
        fraction = choose((1.0, 0.5, 0.125))
        compiled = choose((False,) * (COMPILED_ONE_IN - 1) + (True,))
        params = self.problem.params(seed)
        tasks = tuple(self._task(seed + 1 + i, *size) for i, size in enumerate(self.sizes))
        loss = self.problem.loss
        batches = [self._inner_batch(task) for task in tasks]
        explore = explorer(loss_of(loss)) if explore is None else explore
        shares = spread(params, self.rates, seed)
        found = bounded(explore, params, batches, self.steps, fraction, self.proximal, shares)
        lr = rates_of(found.lr, params, self.rates, seed)
        made: Any
        if self.algorithm in FAMILY:
            made = member(
                self.algorithm, found.lr, self.steps, leaf_names(get_backend("numpy"), params), self.checkpoint
            )
            params = made.init(params, backend="numpy")
        else:
            inner = GradientDescent(lr, self.steps)
            made = algorithm(self.algorithm, inner, found.strength, self.solver, self.checkpoint)
        clauses = (*self._clauses(), *(("MS-BACKEND-6",) if compiled else ()))
        scenario_id = f"{name}/{self.problem.name}/{self.algorithm.lower()}"
        oracle: Any = (
            "quadratic"
            if self.algorithm not in FAMILY and loss in ("least_squares", "quadratic", "linear")
            else "extended"
        )
        return Scenario(scenario_id, loss, params, tasks, made, oracle, clauses, self.form, compiled)

    def _clauses(self) -> tuple[str, ...]:
        applies = {
            "MS-INNER-2": self.rates != "one",
            "MS-EDGE-1": self.steps == 0,
            "MS-REPTILE-2": self.sizes[0][1] == 0,
            "MS-SOLVE-2": self.solver == BY_TOLERANCE,
            "MS-SOLVE-3": self.solver.damping > 0,
            "MS-SOLVE-4": isinstance(self.solver, DenseSolve),
        }
        return (
            CLAUSES.get(self.algorithm, "MS-MAML-1"),
            *FORMS[self.form],
            *(clause for clause, does in applies.items() if does),
        )

    def _task(self, seed: int, support: int, query: int) -> Task:
        task = self.problem.task(seed, support, query or 1)
        return task if query else Task(task.support, None)

    def _inner_batch(self, task: Task) -> Tree:
        if self.algorithm != "Reptile" or self.form == "adapt" or task.query is None:
            return task.support
        return tree_map(lambda a, b: np.concatenate([a, b]), task.support, task.query)


def spread(params: Tree, rates: str, seed: int) -> Tree:
    """What of a rate each leaf has: 1 for "one", else eighths, one for each "leaf" or each "entry"."""
    rng = np.random.default_rng(seed)

    def share(leaf: Any) -> Any:
        return 1.0 if rates == "one" else rng.integers(1, 9, size=leaf.shape if rates == "entry" else ()) / 8

    return tree_map(share, params)


def rates_of(lr: float, params: Tree, rates: str, seed: int) -> Any:
    """`lr` as an inner optimiser takes it: the number itself for "one", else a tree of arrays."""
    if rates == "one":
        return lr
    return tree_map(lambda share: np.asarray(lr * share), spread(params, rates, seed))


def algorithm(name: str, inner: GradientDescent, strength: float, solver: Solver, checkpoint: Checkpoint) -> Algorithm:
    """The algorithm of that name; it takes what it has a use for."""
    if name == "IMAML":
        return IMAML(inner, regularization=strength, solver=solver)
    if name == "MAML":
        return MAML(inner, checkpoint=checkpoint)
    return FOMAML(inner) if name == "FOMAML" else Reptile(inner)


def member(name: str, lr: float, steps: int, leaves: Sequence[str], checkpoint: Checkpoint) -> MAML:
    """The member of that name, its rates such that a step is no longer than a step of descent with `lr` may be."""
    adam = Adam(Learned(lr / 2, per="leaf", per_step=True), steps, b1=0.5, b2=0.75, eps=1.0)
    first = list(leaves[: (len(leaves) + 1) // 2])
    plain = GradientDescent(lr, steps)
    made = {
        "Momentum": lambda: MAML(Momentum(lr / 4, steps, Learned(0.5)), checkpoint),
        "Nesterov": lambda: MAML(Momentum(lr / 4, steps, 0.5, nesterov=True), checkpoint),
        "Adam": lambda: MAML(Adam(Learned(lr / 2), steps, b1=0.5, b2=0.75, eps=1.0), checkpoint),
        "MetaSGD": lambda: MAML(GradientDescent(Learned(lr, per="entry"), steps), checkpoint),
        "RatesPerStep": lambda: MAML(GradientDescent(Learned(lr, per="leaf", per_step=True), steps), checkpoint),
        "ANIL": lambda: MAML(plain, checkpoint, adapt=first),
        "MultiStep": lambda: MAML(plain, checkpoint, query_weights=[2.0 ** (k - steps) for k in range(steps)]),
        "Truncated": lambda: MAML(plain, checkpoint, backprop_steps=steps // 2),
        "AdamANIL": lambda: MAML(adam, checkpoint, adapt=first),
    }
    return made[name]()


def draw_structure(
    choose: Choose,
    families: Sequence[str] | None = None,
    algorithms: Sequence[str] = ALGORITHMS,
    forms: Sequence[str] = tuple(FORMS),
) -> Structure:
    """A structure; `families`, `algorithms` and `forms` are those to draw from."""
    name = choose(tuple(algorithms))
    steps = choose(STEPS) if name in ALGORITHMS else choose((1, 2, 3, 5))
    problem = draw_problem(choose, families)
    form: Form = choose(tuple(form for form in OFTEN if form in forms))
    count = choose((2, 1, 3)) if form in ("stacked", "sequence") else 1
    one = _size(choose)
    sizes = (one, *(_size(choose) if form == "sequence" else one for _ in range(count - 1)))
    if name == "Reptile" and (not problem.joins or choose((False,) * 7 + (True,))):
        sizes = tuple((support, 0) for support, _ in sizes)
    rates = choose(RATES) if name in ALGORITHMS else "one"
    solver = choose((*SOLVERS, BY_TOLERANCE) if count == 1 else SOLVERS) if name == "IMAML" else SOLVERS[0]
    proximal = choose((1.0, 2.0, 0.25) if problem.convex else (1.5, 3.0)) if name == "IMAML" else 0.0
    checkpoint = choose(CHECKPOINTS) if name == "MAML" or name in FAMILY else "none"
    return Structure(problem, name, steps, solver, form, sizes, rates, proximal, checkpoint)


def _size(choose: Choose) -> tuple[int, int]:
    return choose(EXAMPLES), choose(EXAMPLES)
