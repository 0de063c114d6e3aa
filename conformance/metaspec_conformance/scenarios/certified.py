"""The scenarios of the certification list, by topic. No randomness: all seeds are fixed."""

from collections.abc import Callable, Generator
from functools import cache
from typing import Any, Literal

import numpy as np

from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.solvers.dense_solve import DenseSolve
from metaspec.task import Task
from metaspec_conformance.scenarios import datasets
from metaspec_conformance.scenarios.datasets import parameters, shaped
from metaspec_conformance.scenarios.scenario import Form, Scenario

CLAUSES = {"MAML": "MS-MAML-1", "FOMAML": "MS-FOMAML-1", "Reptile": "MS-REPTILE-1", "IMAML": "MS-IMAML-1"}

# Few shapes, shared by many scenarios: a framework that compiles each operation for each shape then does it once.
# Nested, a scalar, a matrix, and three leaves of one shape, so that exchanged leaves show in numbers and not in shapes.
COUPLED = {"left": {"p": shaped(3), "q": shaped(3)}, "matrix": shaped(2, 2), "right": [shaped(3), shaped()]}
WIDTHS = (2, 4, 1)


@cache
def certified() -> tuple[Scenario, ...]:
    """Every scenario, in a fixed order; ids are unique."""
    return tuple(scenario for topic in _topics() for scenario in topic())


def lines() -> dict[str, tuple[str, int]]:
    """By id, the file and the line where the scenario is made."""
    found: dict[str, tuple[str, int]] = {}
    for topic in _topics():
        made: Any = topic()
        for scenario in made:
            found[scenario.id] = made.gi_code.co_filename, made.gi_frame.f_lineno
    return found


def _topics() -> tuple[Callable[[], Generator[Scenario, None, None]], ...]:
    return (
        _least_squares,
        _edges,
        _linear,
        _networks,
        _classifiers,
        _solvers,
        _batches,
        _rates,
        _adaptation,
        _compiled,
        _convolutions,
    )


def named(scenario_id: str) -> Scenario:
    """The scenario of that id."""
    return _by_id()[scenario_id]


@cache
def _by_id() -> dict[str, Scenario]:
    return {scenario.id: scenario for scenario in certified()}


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
    several = (tasks,) if isinstance(tasks, Task) else tasks
    oracle: Literal["quadratic", "extended"] = (
        "quadratic" if loss in ("least_squares", "quadratic", "linear") else "extended"
    )
    cited = (CLAUSES[type(algorithm).__name__], *clauses)
    return Scenario(name, loss, params, several, algorithm, oracle, cited, form, compiled)


def _algorithms(
    lr: float, steps: int, strength: float, solver: Any, proximal_lr: float | None = None
) -> dict[str, Any]:
    """The four with one inner loop; iMAML's rate is its own, the proximal term being part of its curvature."""
    inner = GradientDescent(lr, steps)
    proximal = GradientDescent(lr if proximal_lr is None else proximal_lr, steps)
    return {
        "maml": MAML(inner),
        "fomaml": FOMAML(inner),
        "reptile": Reptile(inner),
        "imaml": IMAML(proximal, regularization=strength, solver=solver),
    }


def _least_squares() -> Generator[Scenario, None, None]:
    params = parameters(10, COUPLED)
    for steps, seed in ((0, 11), (1, 17), (3, 13), (5, 16)):
        task = datasets.least_squares(seed, COUPLED)
        clauses = ("MS-EDGE-1", "MS-TREE-1") if steps == 0 else ("MS-TREE-1",)
        # Three steps of conjugate gradients on fourteen unknowns: far from solved, so that each step shows.
        algorithms = _algorithms(0.75, steps, 0.25, ConjugateGradient(steps=3), proximal_lr=0.75)
        for name, algorithm in algorithms.items():
            yield _scenario(f"least-squares/{name}/steps-{steps}", "least_squares", params, task, algorithm, *clauses)


def _edges() -> Generator[Scenario, None, None]:
    like = {"empty": shaped(0, 3), "scalar": shaped(), "vector": shaped(4)}
    params, task = parameters(22, like), datasets.least_squares(23, like)
    for name, algorithm in _algorithms(0.75, 3, 0.25, ConjugateGradient(steps=3)).items():
        yield _scenario(f"zero-size-leaf/{name}", "least_squares", params, task, algorithm, "MS-EDGE-5")

    params = datasets.network(24, WIDTHS) | {"unused": parameters(25, {"deep": shaped(2, 2), "flat": shaped(3)})}
    task = datasets.regression(26, 2, 1)
    bound = datasets.curvature("tanh_network", params, (task,))
    lr, proximal = datasets.rate(bound), datasets.rate(2 * bound)
    for name, algorithm in _algorithms(lr, 3, bound, ConjugateGradient(steps=3), proximal).items():
        yield _scenario(f"unused-leaf/{name}", "tanh_network", params, task, algorithm, "MS-EDGE-2")

    params, task = parameters(27, COUPLED), datasets.least_squares(28, COUPLED)
    reptile = Reptile(GradientDescent(0.75, 3))
    yield _scenario("empty-query/reptile", "least_squares", params, Task(task.support, None), reptile, "MS-REPTILE-2")


def _linear() -> Generator[Scenario, None, None]:
    like = {"a": shaped(2, 2), "b": shaped(3)}
    params, task = parameters(30, like), datasets.linear(34, like)
    for name, algorithm in _algorithms(0.5, 3, 2.0, ConjugateGradient(steps=2), 0.25).items():
        yield _scenario(f"linear-loss/{name}", "linear", params, task, algorithm, "MS-EDGE-3")


def _networks() -> Generator[Scenario, None, None]:
    for widths, steps, seed in ((WIDTHS, 1, 45), (WIDTHS, 3, 48), ((2, 4, 4, 1), 5, 57)):
        params, task = datasets.network(seed, widths), datasets.regression(seed + 1, widths[0], widths[-1])
        bound = datasets.curvature("tanh_network", params, (task,))
        lr, proximal = datasets.rate(bound), datasets.rate(2 * bound)
        layers = len(widths) - 2
        for name, algorithm in _algorithms(lr, steps, bound, ConjugateGradient(steps=3), proximal).items():
            scenario_id = f"tanh-network-{layers}/{name}/steps-{steps}"
            yield _scenario(scenario_id, "tanh_network", params, task, algorithm)


def _classifiers() -> Generator[Scenario, None, None]:
    cases = (
        ("logistic", {"w": shaped(3), "b": shaped()}, datasets.classification(50, 3, 2)),
        ("softmax", {"w": shaped(2, 4), "b": shaped(4)}, datasets.classification(52, 2, 4)),
    )
    for loss, like, task in cases:
        params = parameters(54, like, 0.5)
        bound = datasets.curvature(loss, params, (task,))
        lr, proximal = datasets.rate(bound), datasets.rate(1.5 * bound)
        for name, algorithm in _algorithms(lr, 3, bound / 2, ConjugateGradient(steps=2), proximal).items():
            yield _scenario(f"{loss}/{name}", loss, params, task, algorithm, "MS-DTYPE-2")


def _solvers() -> Generator[Scenario, None, None]:
    like = {"a": shaped(2, 2), "b": shaped(3)}
    params, task = parameters(60, like), datasets.multiple_of_identity(61, like, 0.75)
    for solver, name in (
        (ConjugateGradient(steps=1), "cg-1"),
        (ConjugateGradient(steps=4), "cg-4"),
        (DenseSolve(), "dense"),
    ):
        imaml = IMAML(GradientDescent(0.5, 3), regularization=0.5, solver=solver)
        yield _scenario(f"identity-hessian/imaml/{name}", "quadratic", params, task, imaml, "MS-SOLVE-1")
    maml = MAML(GradientDescent(0.75, 3))
    yield _scenario("identity-hessian/maml", "quadratic", params, task, maml)

    quadratic = ("least_squares", parameters(62, COUPLED), datasets.least_squares(63, COUPLED), 1.0)
    params, task = datasets.network(64, WIDTHS), datasets.regression(65, 2, 1)
    network = ("tanh_network", params, task, datasets.curvature("tanh_network", params, (task,)))
    solvers: dict[str, tuple[Any, str]] = {
        "cg-damped": (ConjugateGradient(steps=3, damping=0.5), "MS-SOLVE-3"),
        "cg-tolerance": (ConjugateGradient(steps=40, tol=1e-4), "MS-SOLVE-2"),
        "dense": (DenseSolve(), "MS-SOLVE-4"),
        "dense-damped": (DenseSolve(damping=0.5), "MS-SOLVE-4"),
    }
    # The matrix's rows are batched products, which cost an eager framework a compilation of every operation.
    for loss, params, task, bound in (quadratic, network):
        for name, (solver, clause) in solvers.items():
            if loss == "tanh_network" and name == "dense-damped":
                continue
            inner = GradientDescent(datasets.rate(1.5 * bound), 5)
            imaml = IMAML(inner, regularization=bound / 2, solver=solver)
            topic = loss.replace("_", "-")
            compiled = loss == "tanh_network" and isinstance(solver, DenseSolve)
            yield _scenario(f"{topic}/imaml/{name}", loss, params, task, imaml, clause, compiled=compiled)


def _batches() -> Generator[Scenario, None, None]:
    params = datasets.network(70, WIDTHS)
    tasks = tuple(datasets.regression(seed, 2, 1) for seed in (71, 72, 73))
    bound = datasets.curvature("tanh_network", params, tasks)
    lr, proximal = datasets.rate(bound), datasets.rate(2 * bound)
    for name, algorithm in _algorithms(lr, 2, bound, ConjugateGradient(steps=3), proximal).items():
        arguments = ("tanh_network", params, tasks, algorithm, "MS-BATCH-1", "MS-BACKEND-6")
        yield _scenario(f"stacked-compiled/{name}", *arguments, form="stacked", compiled=True)

    params = parameters(74, COUPLED)
    sizes = ((75, 16, 12), (76, 12, 16), (77, 6, 12))
    equal = tuple(datasets.least_squares(seed, COUPLED) for seed in (78, 79))
    ragged = tuple(datasets.least_squares(seed, COUPLED, support=s, query=q) for seed, s, q in sizes)
    forms: dict[str, Form] = {"maml": "stacked", "fomaml": "sequence", "reptile": "stacked", "imaml": "sequence"}
    for name, algorithm in _algorithms(0.75, 2, 0.25, ConjugateGradient(steps=3)).items():
        form = forms[name]
        yield _scenario(f"{form}/{name}", "least_squares", params, equal, algorithm, "MS-BATCH-1", form=form)
        yield _scenario(f"ragged/{name}", "least_squares", params, ragged, algorithm, "MS-BATCH-2", form="sequence")


def _rates() -> Generator[Scenario, None, None]:
    params, task = parameters(80, COUPLED), datasets.least_squares(81, COUPLED)
    rates = np.array(0.75), np.array([0.25, 0.5, 0.75]), np.array(0.5), np.array(0.125), np.array(0.25)
    per_leaf = {"left": {"p": rates[0], "q": rates[1]}, "matrix": rates[2], "right": [rates[3], rates[4]]}
    inner = GradientDescent(per_leaf, 3)
    yield _scenario("per-leaf-rates/maml", "least_squares", params, task, MAML(inner), "MS-INNER-2")
    yield _scenario("per-leaf-rates/fomaml", "least_squares", params, task, FOMAML(inner), "MS-INNER-2")
    yield _scenario("per-leaf-rates/reptile", "least_squares", params, task, Reptile(inner), "MS-INNER-2")
    imaml = IMAML(inner, regularization=0.25, solver=ConjugateGradient(steps=3))
    yield _scenario("per-leaf-rates/imaml", "least_squares", params, task, imaml, "MS-INNER-2")


def _adaptation() -> Generator[Scenario, None, None]:
    params, task = datasets.network(90, WIDTHS), datasets.regression(91, 2, 1)
    bound = datasets.curvature("tanh_network", params, (task,))
    lr, proximal = datasets.rate(bound), datasets.rate(2 * bound)
    for name, algorithm in _algorithms(lr, 4, bound, ConjugateGradient(steps=1), proximal).items():
        yield _scenario(f"adapt/{name}", "tanh_network", params, task, algorithm, "MS-ADAPT-1", form="adapt")


def _compiled() -> Generator[Scenario, None, None]:
    params, task = datasets.network(92, WIDTHS), datasets.regression(93, 2, 1)
    bound = datasets.curvature("tanh_network", params, (task,))
    lr, proximal = datasets.rate(bound), datasets.rate(2 * bound)
    for name, algorithm in _algorithms(lr, 2, bound, ConjugateGradient(steps=2), proximal).items():
        yield _scenario(f"compiled/{name}", "tanh_network", params, task, algorithm, "MS-BACKEND-6", compiled=True)


def _convolutions() -> Generator[Scenario, None, None]:
    like = {"kernels": [shaped(3, 3, 1, 2), shaped(3, 3, 2, 3)], "w": shaped(3, 2), "b": shaped(2)}
    params, tasks = parameters(94, like, 0.5), tuple(datasets.pictures(seed, 8, 2) for seed in (95, 96))
    bound = datasets.curvature("pooled_conv_net", params, tasks)
    maml = MAML(GradientDescent(datasets.rate(bound), 2))
    arguments = ("pooled_conv_net", params, tasks, maml, "MS-BACKEND-6", "MS-BATCH-1")
    yield _scenario("pooled-conv-net/maml", *arguments, form="stacked", compiled=True)
