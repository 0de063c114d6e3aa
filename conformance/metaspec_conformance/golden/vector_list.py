"""The list of golden vectors, without their results: which losses, algorithms and hyper-parameters there are."""

from collections.abc import Iterator

from metaspec_conformance.golden import vector_data
from metaspec_conformance.golden.family_list import family
from metaspec_conformance.golden.vector_data import COUPLED, parameters
from metaspec_conformance.golden.vector_drawing import constant
from metaspec_conformance.golden.vector_records import Array, Arrays, Inputs, VectorAlgorithm, VectorSolver, VectorTask

CG2, CG3, DENSE = VectorSolver("cg", 2), VectorSolver("cg", 3), VectorSolver("dense")


def catalogue() -> tuple[Inputs, ...]:
    """All of them, in a fixed order; ids are unique and begin with the loss."""
    topics = (_quadratic, _rates, _solvers, _rosenbrock, _networks, _network_variants, _softplus, _classifiers)
    return (*(inputs for topic in topics for inputs in topic()), *family())


def _four(
    name: str,
    params: Arrays,
    tasks: VectorTask | tuple[VectorTask, ...],
    steps: int,
    lr: str | Arrays,
    strength: str,
    solver: VectorSolver = CG3,
) -> Iterator[Inputs]:
    """One problem under the four algorithms; `name` is the loss, then what is special."""
    loss, _, rest = name.partition("/")
    for algorithm in (
        VectorAlgorithm("MAML", steps, lr),
        VectorAlgorithm("FOMAML", steps, lr),
        VectorAlgorithm("Reptile", steps, lr),
        VectorAlgorithm("IMAML", steps, lr, strength, solver),
    ):
        several = (tasks,) if isinstance(tasks, VectorTask) else tasks
        yield Inputs(f"{loss}/{algorithm.name.lower()}/{rest}", loss, algorithm, params, several)


def _quadratic() -> Iterator[Inputs]:
    params, task = parameters(1, COUPLED), vector_data.quadratic(2, 7)
    for steps, lr, strength in ((0, "0.25", "0.5"), (1, "0.5", "1"), (2, "0.25", "0.25"), (4, "0.375", "2")):
        yield from _four(f"quadratic/steps-{steps}", params, task, steps, lr, strength)
    yield from _four("quadratic/zero-hessian", params, vector_data.linear(3, 7), 3, "0.25", "2", VectorSolver("cg", 1))
    tasks = tuple(vector_data.quadratic(seed, 7, support=1) for seed in (74, 75, 76))
    yield from _four("quadratic/three-tasks", params, tasks, 2, "0.25", "1")
    ragged = vector_data.quadratic(7, 7, support=1, query=2), vector_data.quadratic(8, 7, support=3, query=1)
    yield from _four("quadratic/tasks-of-unequal-size", params, ragged, 2, "0.25", "1")
    reptile = VectorAlgorithm("Reptile", 3, "0.25")
    yield Inputs("quadratic/reptile/no-query", "quadratic", reptile, params, (VectorTask(task.support, None),))


def _rates() -> Iterator[Inputs]:
    params, task = parameters(10, COUPLED), vector_data.quadratic(11, 7)
    per_leaf = {"a": constant("0.5"), "b": constant("0.125"), "c": constant("0.25")}
    yield from _four("quadratic/rate-per-leaf", params, task, 3, per_leaf, "0.5")
    per_entry = {
        "a": Array((3,), ("0.5", "0", "0.25")),
        "b": Array((3,), ("0.125", "0.375", "0.25")),
        "c": constant("0.5"),
    }
    yield from _four("quadratic/rate-per-entry", params, task, 2, per_entry, "1")


def _solvers() -> Iterator[Inputs]:
    params, task = parameters(20, COUPLED), vector_data.quadratic(21, 7)
    for name, solver, strength in (
        ("cg-1", VectorSolver("cg", 1), "0.5"),
        ("cg-5", VectorSolver("cg", 5), "0.125"),
        ("cg-damped", VectorSolver("cg", 3, "0.5"), "0.5"),
        ("dense", DENSE, "0.125"),
        ("dense-strong", DENSE, "8"),
        ("dense-damped", VectorSolver("dense", None, "0.5"), "0.5"),
    ):
        algorithm = VectorAlgorithm("IMAML", 2, "0.25", strength, solver)
        yield Inputs(f"quadratic/imaml/{name}", "quadratic", algorithm, params, (task,))
    one_step = VectorAlgorithm("IMAML", 2, "0.25", "0.5", VectorSolver("cg", 1))
    identity = vector_data.multiple_of_identity(22, 7, "0.75")
    yield Inputs("quadratic/imaml/identity-hessian-cg-1", "quadratic", one_step, params, (identity,))


def _rosenbrock() -> Iterator[Inputs]:
    params = parameters(30, {"u": (2,), "v": (2,)})
    task = vector_data.rosenbrock(31)
    for steps, lr, solver in ((1, "0.0625", CG2), (2, "0.03125", DENSE), (4, "0.046875", CG3)):
        yield from _four(f"rosenbrock/steps-{steps}", params, task, steps, lr, "8", solver)


def _networks() -> Iterator[Inputs]:
    params, task = vector_data.network(40, (2, 3, 1)), vector_data.regression(41, 2, 1)
    for steps, lr, strength in ((1, "0.25", "1"), (3, "0.125", "2")):
        yield from _four(f"tanh_network/steps-{steps}", params, task, steps, lr, strength)
    params, task = vector_data.network(42, (2, 2, 2, 1)), vector_data.regression(43, 2, 1, support=3, query=4)
    yield from _four("tanh_network/equal-shapes", params, task, 2, "0.125", "2")


def _network_variants() -> Iterator[Inputs]:
    params, task = vector_data.network(44, (1, 3, 2)), vector_data.regression(45, 1, 2)
    unused = {**params, "unused": parameters(46, {"unused": (2, 2)})["unused"]}
    yield from _four("tanh_network/unused-leaf", unused, task, 2, "0.125", "2")
    tasks = tuple(vector_data.regression(seed, 1, 2, support=3, query=2) for seed in (47, 48))
    yield from _four("tanh_network/two-tasks", params, tasks, 2, "0.125", "2")
    rates = {"w0": constant("0.25"), "b0": constant("0.125"), "w1": constant("0.0625"), "b1": constant("0")}
    for inputs in _four("tanh_network/rate-per-leaf", params, task, 4, rates, "2", DENSE):
        if inputs.algorithm.name in ("MAML", "IMAML"):
            yield inputs


def _softplus() -> Iterator[Inputs]:
    params, task = parameters(50, {"w": (3,), "b": ()}), vector_data.positive_regression(51)
    yield from _four("softplus_regression/steps-2", params, task, 2, "0.5", "0.5", DENSE)
    yield from _four("softplus_regression/steps-4", params, task, 4, "0.25", "1", CG2)


def _classifiers() -> Iterator[Inputs]:
    params, task = parameters(60, {"w": (3,), "b": ()}), vector_data.classification(61, 3, 2)
    yield from _four("logistic/steps-1", params, task, 1, "1", "0.25", CG2)
    yield from _four("logistic/steps-3", params, task, 3, "0.5", "0.5")
    params, task = parameters(62, {"w": (2, 3), "b": (3,)}), vector_data.classification(63, 2, 3)
    yield from _four("softmax/steps-1", params, task, 1, "1", "0.25", CG2)
    yield from _four("softmax/steps-3", params, task, 3, "0.5", "0.5")
    tasks = tuple(vector_data.classification(seed, 2, 3, support=3, query=4) for seed in (64, 65))
    yield from _four("softmax/two-tasks", params, tasks, 2, "0.5", "1", DENSE)
