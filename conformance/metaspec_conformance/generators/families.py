"""Drawn problems: a portable loss, parameters for it and tasks, all small.

Shapes are few and small, so that a framework that prepares each operation for each shape is soon done with it. Every
number has three decimals and is rounded to a float32 number, so that counter-examples can be read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.task import Task, Tree
from metaspec_conformance.generators.choices import Choose
from metaspec_conformance.generators.generated_models import ACTIVATIONS, ConvolutionalNetwork, Network, Rosenbrock
from metaspec_conformance.generators.programs import BINARY, COLUMNS, OBJECTIVES, UNARY, Composition, Instruction
from metaspec_conformance.judging.numpy_trees import is_floating, leaves, tree_map
from metaspec_conformance.scenarios import datasets
from metaspec_conformance.scenarios.datasets import rounded, shaped
from metaspec_conformance.scenarios.portable_losses import Loss

FULL_SHAPES = ((2,), (), (3,), (2, 2), (1,), (3, 1))
SHAPES = (*FULL_SHAPES, (2,), (2,), (0,), (0, 2))
WIDTHS = ((1, 2, 1), (2, 3, 1), (2, 2, 2), (1, 3, 2, 1), (3, 2))


@dataclass(frozen=True)
class DrawnProblem:
    """What a scenario's loss and data are made from.

    Attributes:
        name: The family.
        loss: As a scenario has it.
        params: seed -> meta-parameters.
        task: (seed, examples of the support set, of the query set) -> Task.
        convex: Whether no Hessian has a negative eigenvalue.
        joins: Whether support and query can be joined along axis 0, as Reptile does.
    """

    name: str
    loss: str | Loss
    params: Callable[[int], Tree]
    task: Callable[[int, int, int], Task]
    convex: bool = False
    joins: bool = True


def decimal(tree: Tree) -> Tree:
    """Floating leaves with three decimals, as float32 numbers."""
    return rounded(tree_map(lambda x: np.round(x, 3) if is_floating(x) else x, tree))


def draw_problem(choose: Choose, families: Sequence[str] | None = None) -> DrawnProblem:
    """A problem of one of the families (all where none are named)."""
    return FAMILIES[choose(tuple(FAMILIES) if families is None else tuple(families))](choose)


def draw_tree(choose: Choose) -> Tree:
    """Up to five leaves of zeros in nested dictionaries, lists and tuples; one leaf at least has entries."""
    parts = [shaped(*choose(FULL_SHAPES))]
    parts += [shaped(*choose(SHAPES)) for _ in range(choose((1, 2, 3, 4, 0)))]
    return _arranged(choose, parts)


def _arranged(choose: Choose, parts: list[Any]) -> Tree:
    if len(parts) > 2 and choose((False, True)):
        cut = choose(range(1, len(parts)))
        parts = [_arranged(choose, parts[:cut]), _arranged(choose, parts[cut:])]
    kind = choose(("dict", "list", "tuple"))
    if kind == "dict":
        names = choose(("abcde", "zyxwv"))  # insertion order is not sorted order
        return dict(zip(names, parts, strict=False))
    return parts if kind == "list" else tuple(parts)


def draw_composition(choose: Choose, count: int, length: int = 5) -> Composition:
    """A program over `count` leaves; a leaf may stay unused."""
    program: list[Instruction] = []
    unused = list(range(1, count))
    last = 0
    for _ in range(choose(range(length + 1))):
        if choose((True, False)):
            program.append((choose(tuple(UNARY)), last))
        else:
            others = unused or list(range(count + len(program)))
            other = choose(others)
            unused = [i for i in unused if i != other]
            program.append((choose(tuple(BINARY)), last, other))
        last = count + len(program) - 1
    for i in unused if choose((True, True, True, False)) else ():
        program.append(("add", last, i))
        last = count + len(program) - 1
    return Composition(tuple(program), choose(tuple(OBJECTIVES)))


def _composition(choose: Choose) -> DrawnProblem:
    like = draw_tree(choose)
    loss = draw_composition(choose, sum(leaf.size > 0 for leaf in leaves(like)))

    def task(seed: int, support: int, query: int) -> Task:
        rng = np.random.default_rng(seed)

        def batch(n: int) -> Tree:
            x = tree_map(lambda leaf: rng.normal(size=(n, COLUMNS, *leaf.shape)), like)
            return decimal({"x": x, "y": rng.normal(size=(n, COLUMNS))})

        return Task(batch(support), batch(query))

    return DrawnProblem("composition", loss, normal(like), task)


def _least_squares(choose: Choose) -> DrawnProblem:
    like = draw_tree(choose)

    def task(seed: int, support: int, query: int) -> Task:
        return decimal(datasets.least_squares(seed, like, support, query))

    return DrawnProblem("least-squares", "least_squares", normal(like), task, convex=True)


def _quadratic(choose: Choose) -> DrawnProblem:
    like = draw_tree(choose)
    n = sum(leaf.size for leaf in leaves(like))

    def task(seed: int, support: int, query: int) -> Task:
        rng = np.random.default_rng(seed)

        def batch() -> Tree:
            Q = np.linalg.qr(rng.normal(size=(n, n)))[0]
            H = Q * np.geomspace(1, 0.1, n) @ Q.T
            return decimal({"H": (H + H.T) / 2, "c": rng.normal(size=n)})

        return Task(batch(), batch())

    return DrawnProblem("quadratic", "quadratic", normal(like), task, convex=True, joins=False)


def _linear(choose: Choose) -> DrawnProblem:
    like = draw_tree(choose)
    return DrawnProblem(
        "linear", "linear", normal(like), lambda *args: decimal(datasets.linear(args[0], like, *args[1:])), True
    )


def _network(choose: Choose) -> DrawnProblem:
    widths = choose(WIDTHS)
    loss = Network(choose(tuple(ACTIVATIONS)), choose((False, True)) and widths[-1] > 1)
    unused = choose((False, False, False, True))

    def params(seed: int) -> Tree:
        extra = {"unused": normal([shaped(2), shaped()])(seed)} if unused else {}
        return decimal(datasets.network(seed, widths)) | extra

    def task(seed: int, support: int, query: int) -> Task:
        make = datasets.classification if loss.classifies else datasets.regression
        return decimal(make(seed, widths[0], widths[-1], support, query))

    return DrawnProblem("network", loss, params, task)


def _convolution(choose: Choose) -> DrawnProblem:
    kernels = choose(([shaped(3, 3, 1, 2)], [shaped(3, 3, 1, 2), shaped(3, 3, 2, 1)]))
    channels = kernels[-1].shape[-1]
    loss = ConvolutionalNetwork(choose(tuple(ACTIVATIONS)), choose((False, True)))
    like = {"kernels": kernels, "w": shaped(channels, 2), "b": shaped(2)}
    return DrawnProblem(
        "convolution",
        loss,
        normal(like, 0.5),
        lambda seed, support, query: decimal(datasets.pictures(seed, 4, 2, support, query)),
    )


def _classifier(choose: Choose) -> DrawnProblem:
    inputs = choose((2, 3))
    classes = choose((2, 3))
    name, like = (
        ("logistic", {"w": shaped(inputs), "b": shaped()})
        if classes == 2
        else ("softmax", {"w": shaped(inputs, classes), "b": shaped(classes)})
    )

    def task(seed: int, support: int, query: int) -> Task:
        return decimal(datasets.classification(seed, inputs, classes, support, query))

    return DrawnProblem(name, name, normal(like, 0.5), task, convex=True)


def _rosenbrock(choose: Choose) -> DrawnProblem:
    like = draw_tree(choose)

    def task(seed: int, support: int, query: int) -> Task:
        rng = np.random.default_rng(seed)
        parts = [{"a": rng.normal(size=n), "s": rng.uniform(0.1, 2, size=n)} for n in (support, query)]
        return Task(*decimal(parts))

    return DrawnProblem("rosenbrock", Rosenbrock(), normal(like, 0.7), task)


def normal(like: Tree, scale: float = 1.0) -> Callable[[int], Tree]:
    return lambda seed: decimal(datasets.parameters(seed, like, scale))


FAMILIES: dict[str, Callable[[Choose], DrawnProblem]] = {
    "least-squares": _least_squares,
    "quadratic": _quadratic,
    "linear": _linear,
    "classifier": _classifier,
    "network": _network,
    "composition": _composition,
    "rosenbrock": _rosenbrock,
    "convolution": _convolution,
}
