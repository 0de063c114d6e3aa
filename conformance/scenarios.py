"""The certification list: every scenario that `metaspec verify` runs, by topic. No randomness: all seeds are fixed."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import numpy as np

from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.conformance import problems
from metaspec.conformance.problems import parameters, shaped
from metaspec.conformance.scenario import Form, Scenario
from metaspec.inner import GradientDescent
from metaspec.solvers import ConjugateGradient, DenseSolve
from metaspec.task import Task

CLAUSES = {"MAML": "MS-MAML-1", "FOMAML": "MS-FOMAML-1", "Reptile": "MS-REPTILE-1", "IMAML": "MS-IMAML-1"}
COUPLED = {"a": shaped(2, 3), "b": shaped(4), "s": shaped()}
TWINS = {"left": {"p": shaped(3), "q": shaped(3)}, "right": [shaped(3), {"p": shaped(3)}]}


@cache
def certification() -> tuple[Scenario, ...]:
    """Every scenario, in a fixed order; ids are unique."""
    topics = (_least_squares, _edges, _linear, _networks, _classifiers, _solvers, _batches, _rates, _adaptation, _compiled)
    return tuple(scenario for topic in topics for scenario in topic())


def matching(pattern: str) -> tuple[Scenario, ...]:
    """The scenarios whose id has the pattern (shell style), or contains it."""
    return tuple(s for s in certification() if pattern in s.id or fnmatchcase(s.id, pattern))


def _scenario(
    name: str,
    loss: str,
    params: Any,
    tasks: Task | tuple[Task, ...],
    algorithm: Any,
    *clauses: str,
    form: Form = "task",
    compiled: bool = False,
) -> Scenario:
    several = tasks if isinstance(tasks[0], Task) else (tasks,)
    oracle = "quadratic" if loss in ("least_squares", "quadratic", "linear") else "extended"
    cited = (CLAUSES[type(algorithm).__name__], *clauses)
    return Scenario(name, loss, params, several, algorithm, oracle, cited, form, compiled)  # type: ignore[arg-type]


def _algorithms(lr: float, steps: int, strength: float, solver: Any, proximal_lr: float | None = None) -> dict[str, Any]:
    """The four with one inner loop; iMAML's rate is its own, the proximal term being part of its curvature."""
    inner = GradientDescent(lr, steps)
    proximal = GradientDescent(lr if proximal_lr is None else proximal_lr, steps)
    return {
        "maml": MAML(inner),
        "fomaml": FOMAML(inner),
        "reptile": Reptile(inner),
        "imaml": IMAML(proximal, regularization=strength, solver=solver),
    }


def _least_squares() -> Iterator[Scenario]:
    params = parameters(10, COUPLED)
    for steps, seed in ((0, 11), (1, 12), (3, 13), (5, 14)):
        task = problems.least_squares(seed, COUPLED)
        clauses = ("MS-EDGE-1",) if steps == 0 else ()
        # Three steps of conjugate gradients on eleven unknowns: far from solved, so that each step shows.
        algorithms = _algorithms(0.75, steps, 0.25, ConjugateGradient(steps=3), proximal_lr=0.75)
        for name, algorithm in algorithms.items():
            yield _scenario(f"least-squares/{name}/steps-{steps}", "least_squares", params, task, algorithm, *clauses)


def _edges() -> Iterator[Scenario]:
    params, task = parameters(20, TWINS), problems.least_squares(21, TWINS)
    for name, algorithm in _algorithms(0.75, 3, 0.25, ConjugateGradient(steps=3)).items():
        yield _scenario(f"equal-shapes/{name}", "least_squares", params, task, algorithm, "MS-TREE-1")

    like = {"empty": shaped(0, 3), "scalar": shaped(), "vector": shaped(4)}
    params, task = parameters(22, like), problems.least_squares(23, like)
    for name, algorithm in _algorithms(0.75, 3, 0.25, ConjugateGradient(steps=3)).items():
        yield _scenario(f"zero-size-leaf/{name}", "least_squares", params, task, algorithm, "MS-EDGE-5")

    params = problems.network(24, (2, 3, 1)) | {"unused": parameters(25, {"deep": shaped(2, 2), "flat": shaped(3)})}
    task = problems.regression(26, 2, 1)
    bound = problems.curvature("tanh_network", params, (task,))
    lr, proximal = problems.rate(bound), problems.rate(2 * bound)
    for name, algorithm in _algorithms(lr, 3, bound, ConjugateGradient(steps=3), proximal).items():
        yield _scenario(f"unused-leaf/{name}", "tanh_network", params, task, algorithm, "MS-EDGE-2")

    like = {"a": shaped(3), "b": shaped(2)}
    params, task = parameters(27, like), problems.least_squares(28, like)
    reptile = Reptile(GradientDescent(0.75, 3))
    yield _scenario("empty-query/reptile", "least_squares", params, Task(task.support, None), reptile, "MS-REPTILE-2")


def _linear() -> Iterator[Scenario]:
    like = {"a": shaped(2, 3), "b": shaped(3)}
    params, task = parameters(30, like), problems.linear(31, like)
    for name, algorithm in _algorithms(0.5, 3, 2.0, ConjugateGradient(steps=2), 0.25).items():
        yield _scenario(f"linear-loss/{name}", "linear", params, task, algorithm, "MS-EDGE-3")


def _networks() -> Iterator[Scenario]:
    for widths, steps, seed in (((2, 4, 2), 1, 40), ((2, 4, 2), 3, 43), ((2, 4, 3, 1), 5, 46)):
        params, task = problems.network(seed, widths), problems.regression(seed + 1, widths[0], widths[-1])
        bound = problems.curvature("tanh_network", params, (task,))
        lr, proximal = problems.rate(bound), problems.rate(2 * bound)
        layers = len(widths) - 2
        for name, algorithm in _algorithms(lr, steps, bound, ConjugateGradient(steps=3), proximal).items():
            scenario_id = f"tanh-network-{layers}/{name}/steps-{steps}"
            yield _scenario(scenario_id, "tanh_network", params, task, algorithm)


def _classifiers() -> Iterator[Scenario]:
    cases = (
        ("logistic", {"w": shaped(3), "b": shaped()}, problems.classification(50, 3, 2)),
        ("softmax", {"w": shaped(3, 4), "b": shaped(4)}, problems.classification(52, 3, 4)),
    )
    for loss, like, task in cases:
        params = parameters(54, like, 0.5)
        bound = problems.curvature(loss, params, (task,))
        lr, proximal = problems.rate(bound), problems.rate(1.5 * bound)
        for name, algorithm in _algorithms(lr, 3, bound / 2, ConjugateGradient(steps=2), proximal).items():
            yield _scenario(f"{loss}/{name}", loss, params, task, algorithm, "MS-DTYPE-2")


def _solvers() -> Iterator[Scenario]:
    like = {"a": shaped(2, 2), "b": shaped(3)}
    params, task = parameters(60, like), problems.multiple_of_identity(61, like, 0.75)
    for solver, name in ((ConjugateGradient(steps=1), "cg-1"), (ConjugateGradient(steps=4), "cg-4"), (DenseSolve(), "dense")):
        imaml = IMAML(GradientDescent(0.5, 3), regularization=0.5, solver=solver)
        yield _scenario(f"identity-hessian/imaml/{name}", "quadratic", params, task, imaml, "MS-SOLVE-1")
    maml = MAML(GradientDescent(0.75, 3))
    yield _scenario("identity-hessian/maml", "quadratic", params, task, maml)

    quadratic = ("least_squares", parameters(62, COUPLED), problems.least_squares(63, COUPLED), 1.0)
    params, task = problems.network(64, (2, 4, 1)), problems.regression(65, 2, 1)
    network = ("tanh_network", params, task, problems.curvature("tanh_network", params, (task,)))
    solvers = {
        "cg-damped": (ConjugateGradient(steps=3, damping=0.5), "MS-SOLVE-3"),
        "cg-tolerance": (ConjugateGradient(steps=60, tol=1e-4), "MS-SOLVE-2"),
        "dense": (DenseSolve(), "MS-SOLVE-4"),
        "dense-damped": (DenseSolve(damping=0.5), "MS-SOLVE-4"),
    }
    for loss, params, task, bound in (quadratic, network):
        for name, (solver, clause) in solvers.items():
            inner = GradientDescent(problems.rate(1.5 * bound), 5)
            imaml = IMAML(inner, regularization=bound / 2, solver=solver)
            yield _scenario(f"{loss.replace('_', '-')}/imaml/{name}", loss, params, task, imaml, clause)


def _batches() -> Iterator[Scenario]:
    params = problems.network(70, (2, 4, 1))
    tasks = tuple(problems.regression(seed, 2, 1) for seed in (71, 72, 73))
    bound = problems.curvature("tanh_network", params, tasks)
    lr, proximal = problems.rate(bound), problems.rate(2 * bound)
    for name, algorithm in _algorithms(lr, 2, bound, ConjugateGradient(steps=3), proximal).items():
        arguments = ("tanh_network", params, tasks, algorithm, "MS-BATCH-1")
        yield _scenario(f"stacked/{name}", *arguments, form="stacked")
        yield _scenario(f"stacked-compiled/{name}", *arguments, "MS-BACKEND-6", form="stacked", compiled=True)

    params = parameters(74, COUPLED)
    equal = tuple(problems.least_squares(seed, COUPLED) for seed in (75, 76))
    sizes = ((75, 12, 9), (76, 5, 7), (77, 9, 4))
    ragged = tuple(problems.least_squares(seed, COUPLED, support=s, query=q) for seed, s, q in sizes)
    for name, algorithm in _algorithms(0.75, 2, 0.25, ConjugateGradient(steps=3)).items():
        yield _scenario(f"sequence/{name}", "least_squares", params, equal, algorithm, "MS-BATCH-2", form="sequence")
        yield _scenario(f"ragged/{name}", "least_squares", params, ragged, algorithm, "MS-BATCH-2", form="sequence")


def _rates() -> Iterator[Scenario]:
    params, task = parameters(80, COUPLED), problems.least_squares(81, COUPLED)
    per_leaf = {"a": np.array(0.75), "b": np.array([0.25, 0.5, 0.75, 0.125]), "s": np.array(0.5)}
    inner = GradientDescent(per_leaf, 3)
    yield _scenario("per-leaf-rates/maml", "least_squares", params, task, MAML(inner), "MS-INNER-2")
    yield _scenario("per-leaf-rates/fomaml", "least_squares", params, task, FOMAML(inner), "MS-INNER-2")
    yield _scenario("per-leaf-rates/reptile", "least_squares", params, task, Reptile(inner), "MS-INNER-2")
    imaml = IMAML(inner, regularization=0.25, solver=ConjugateGradient(steps=3))
    yield _scenario("per-leaf-rates/imaml", "least_squares", params, task, imaml, "MS-INNER-2")


def _adaptation() -> Iterator[Scenario]:
    params, task = problems.network(90, (2, 4, 1)), problems.regression(91, 2, 1)
    bound = problems.curvature("tanh_network", params, (task,))
    lr, proximal = problems.rate(bound), problems.rate(2 * bound)
    for name, algorithm in _algorithms(lr, 4, bound, ConjugateGradient(steps=1), proximal).items():
        yield _scenario(f"adapt/{name}", "tanh_network", params, task, algorithm, "MS-ADAPT-1", form="adapt")


def _compiled() -> Iterator[Scenario]:
    params, task = problems.network(92, (2, 3, 1)), problems.regression(93, 2, 1)
    bound = problems.curvature("tanh_network", params, (task,))
    lr, proximal = problems.rate(bound), problems.rate(2 * bound)
    for name, algorithm in _algorithms(lr, 2, bound, ConjugateGradient(steps=2), proximal).items():
        yield _scenario(f"compiled/{name}", "tanh_network", params, task, algorithm, "MS-BACKEND-6", compiled=True)
