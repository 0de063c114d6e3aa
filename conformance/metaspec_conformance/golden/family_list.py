"""The golden vectors of the wider family: every member on three problems."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from metaspec_conformance.golden import vector_data
from metaspec_conformance.golden.vector_data import parameters
from metaspec_conformance.golden.vector_drawing import Draw, constant
from metaspec_conformance.golden.vector_records import (
    ALL,
    Array,
    Arrays,
    Inputs,
    VectorAlgorithm,
    VectorRule,
    VectorTask,
)


@dataclass(frozen=True)
class FamilyProblem:
    """A loss with parameters, a task, a rate, and the names of the parameters that take the part of a head."""

    loss: str
    params: Arrays
    task: VectorTask
    lr: str
    head: tuple[str, ...]

    @property
    def body(self) -> tuple[str, ...]:
        return tuple(name for name in sorted(self.params) if name not in self.head)


PROBLEMS = (
    FamilyProblem(
        "rosenbrock", parameters(80, {"u": (2,), "v": (2,)}, scale=0.5), vector_data.rosenbrock(81), "0.0625", ("v",)
    ),
    FamilyProblem(
        "softplus_regression",
        parameters(82, {"w": (3,), "b": ()}),
        vector_data.positive_regression(83),
        "0.25",
        ("b",),
    ),
    FamilyProblem(
        "tanh_network",
        vector_data.network(92, (2, 2, 1)),
        vector_data.regression(85, 2, 1),
        "0.25",
        ("w1", "b1"),
    ),
)
MOMENTS = {"b1": "0.75", "b2": "0.875", "eps": "0.25", "decay": "0"}


def family() -> Iterator[Inputs]:
    """Every member on every problem, two or three steps of each."""
    for problem in PROBLEMS:
        for name, algorithm in _members(problem):
            yield Inputs(f"{problem.loss}/family/{name}", problem.loss, algorithm, problem.params, (problem.task,))


def _members(problem: FamilyProblem) -> Iterator[tuple[str, VectorAlgorithm]]:
    yield from _rules(problem)
    yield from _learned_inputs(problem)
    yield from _parts_and_objectives(problem)
    yield from _pairs(problem)


def _rules(p: FamilyProblem) -> Iterator[tuple[str, VectorAlgorithm]]:
    yield "momentum", _maml(p, 3, "Momentum", {"momentum": "0.5"}, learned=("momentum",))
    yield "nesterov", _maml(p, 3, "Nesterov", {"momentum": "0.5"}, learned=("momentum",))
    yield "adam", _maml(p, 3, "Adam", {**MOMENTS, "lr": p.lr}, learned=("lr",))
    yield "adamw", _maml(p, 2, "Adam", {**MOMENTS, "decay": "0.125"}, learned=("decay",))
    yield "rmsprop", _maml(p, 3, "RMSProp", {"rho": "0.75", "eps": "0.25"}, learned=("rho",))
    yield "adagrad", _maml(p, 3, "AdaGrad", {"eps": "0.25"})
    yield "adadelta", _maml(p, 2, "Adadelta", {"rho": "0.75", "eps": "0.0625", "lr": "0.5"}, learned=("rho",))
    yield "weight-decay", _maml(p, 2, inputs={"weight_decay": "0.25"}, learned=("weight_decay",))
    yield "clipped", _maml(p, 2, inputs={"max_norm": "0.0625", "lr": "1"}, learned=("max_norm",))


def _learned_inputs(p: FamilyProblem) -> Iterator[tuple[str, VectorAlgorithm]]:
    yield "one-rate", _maml(p, 3, inputs={"lr": p.lr}, learned=("lr",))
    yield "meta-sgd", _maml(p, 2, inputs={"lr": _rates(p, 86)}, learned=("lr",))
    yield (
        "rates-per-leaf-and-step",
        _maml(p, 3, inputs={"lr": _rates(p, 87, steps=3)}, learned=("lr",), per_step=("lr",)),
    )
    yield "sigma-maml", _maml(p, 3, inputs={"sigma": _widths(p)}, learned=("sigma",))
    factors = _factors(p)
    yield "meta-curvature", _maml(p, 2, inputs=factors, learned=tuple(factors))


def _parts_and_objectives(p: FamilyProblem) -> Iterator[tuple[str, VectorAlgorithm]]:
    weights = ("0.25", "0.25", "0.5")
    yield "anil", _maml(p, 2, adapt=p.head)
    yield "boil", _maml(p, 2, adapt=p.body)
    yield "cavia", _maml(p, 2, inputs={"lr": p.lr}, learned=("lr",), adapt=p.head, from_zero=p.head)
    yield "multi-step-loss", _maml(p, 3, query_weights=weights)
    yield "truncated", _maml(p, 2, inputs={"lr": p.lr}, learned=("lr",), backprop_steps=1)
    yield "minibatches", _maml(p, 3, minibatch=1)
    rule = VectorRule("Adam", {name: _one(value) for name, value in MOMENTS.items()})
    yield "reptile-adam", VectorAlgorithm("Reptile", 3, p.lr, rule=rule)
    momentum = VectorRule("Momentum", {"momentum": _one("0.5")}, adapt=p.head)
    yield "fomaml-momentum-anil", VectorAlgorithm("FOMAML", 3, p.lr, rule=momentum)


def _pairs(p: FamilyProblem) -> Iterator[tuple[str, VectorAlgorithm]]:
    per_step: dict[str, str | Arrays] = {**MOMENTS, "lr": _rates(p, 88, steps=3)}
    yield "adam-per-step-anil", _maml(p, 3, "Adam", per_step, learned=("lr",), per_step=("lr",), adapt=p.head)
    yield (
        "nesterov-sigma-weights",
        _maml(p, 2, "Nesterov", {"momentum": "0.5", "sigma": _widths(p)}, ("sigma",), query_weights=("0.25", "0.75")),
    )


def _maml(
    p: FamilyProblem,
    steps: int,
    name: str = "GradientDescent",
    inputs: dict[str, str | Arrays] | None = None,
    learned: tuple[str, ...] = (),
    **more: Any,
) -> VectorAlgorithm:
    arrays = {which: _one(given) if isinstance(given, str) else given for which, given in (inputs or {}).items()}
    return VectorAlgorithm("MAML", steps, p.lr, rule=VectorRule(name, arrays, learned, **more))


def _one(value: str) -> Arrays:
    return {ALL: constant(value)}


def _rates(p: FamilyProblem, seed: int, steps: int | None = None) -> Arrays:
    """A rate for each entry; with `steps` for each leaf and step."""
    draw, most = Draw(seed), float(p.lr)
    return {
        name: draw.positive(*(leaf.shape if steps is None else (steps,)), least=most / 2, most=most)
        for name, leaf in p.params.items()
    }


def _widths(p: FamilyProblem) -> Arrays:
    draw = Draw(89)
    return {name: draw.positive(least=1.0, most=2.0) for name in p.params}


def _factors(p: FamilyProblem) -> dict[str, str | Arrays]:
    """Matrices near the identity: of the outputs, and of a matrix's inputs; zero-size ones elsewhere."""
    draw = Draw(90)

    def near_identity(n: int) -> Array:
        noise = draw.reals(n, n, scale=0.25).values
        return Array((n, n), tuple(_sum(x, i % (n + 1) == 0) for i, x in enumerate(noise)))

    output = {name: near_identity(leaf.shape[-1] if leaf.shape else 1) for name, leaf in p.params.items()}
    inputs = {name: near_identity(leaf.shape[0] if len(leaf.shape) == 2 else 0) for name, leaf in p.params.items()}
    return {"output": output, "input": inputs} if any(leaf.values for leaf in inputs.values()) else {"output": output}


def _sum(x: str, one: bool) -> str:
    return f"{float(x) + one:.10f}".rstrip("0").rstrip(".") if one else x
