"""Laws of wrong input: it is an error of its own kind, whose message names the argument, and never a wrong number."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.algorithms import FOMAML, IMAML, MAML, Reptile
from metaspec.errors import InvalidArgumentError, InvalidTypeError, LossError, NonFiniteError
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.task import Task
from metaspec_conformance.laws.framework.claims import Claim, Holds, raises
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree

wrong = partial(law, on=small, applies=alone, numeric=False, dtypes=("float32",))


@wrong(
    "K < 0, α < 0 or not finite, λ ≤ 0, γ < 0, tol ≤ 0, no steps to solve in: errors",
    "MS-INNER-2",
    "MS-IMAML-1",
    "MS-SOLVE-1",
)
def wrong_hyper_parameters(at: LawContext) -> Iterator[Claim]:
    nan, inner = float("nan"), GradientDescent(0.1, 1)
    refused: dict[str, Callable[[], Any]] = {
        "steps = -1": lambda: GradientDescent(0.1, -1),
        "lr = -0.1": lambda: GradientDescent(-0.1, 1),
        "lr = nan": lambda: GradientDescent(nan, 1),
        "lr = inf": lambda: GradientDescent(float("inf"), 1),
        "regularization = 0": lambda: IMAML(inner, regularization=0.0),
        "regularization = nan": lambda: IMAML(inner, regularization=nan),
        "damping = -1": lambda: ms.ConjugateGradient(damping=-1.0),
        "damping = -1, dense": lambda: ms.DenseSolve(damping=-1.0),
        "tol = 0": lambda: ms.ConjugateGradient(tol=0.0),
        "steps = 0": lambda: ms.ConjugateGradient(steps=0),
    }
    for what, call in refused.items():
        yield raises(what, InvalidArgumentError, call, what.partition(" ")[0])
    yield raises("steps = 1.5", InvalidTypeError, lambda: GradientDescent(0.1, 1.5))  # type: ignore[arg-type]

    def at_rate(rate: Tree) -> Tree:
        return at.adapt(at.inner(lr=rate))

    for what, rate in (("negative", -0.5), ("not finite", nan)):
        rates = {"a": at.array(np.array(0.5)), "b": at.array(np.array([0.5, rate, 0.5]))}
        yield raises(f"{what} array", InvalidArgumentError, partial(at_rate, at.array(np.array(rate))), "lr")
        yield raises(f"{what} in a tree", InvalidArgumentError, partial(at_rate, rates), "lr", "b")
    alone_ = {"a": at.array(np.array(0.5))}
    yield raises("a tree of another structure", InvalidArgumentError, partial(at_rate, alone_), "lr")


@wrong(
    "parameters without leaves, integers, booleans and what is no array: errors that name the leaf",
    "MS-TREE-1",
    "MS-DTYPE-2",
)
def wrong_parameters(at: LawContext) -> Iterator[Claim]:
    integers, booleans = at.array(np.array([1, 2, 3], "int32")), at.array(np.array([True, False, True]))
    for what, params in (("{}", {}), ("()", ()), ("None", [None])):
        yield raises(f"params = {what}", InvalidArgumentError, partial(at.meta_gradient, params=params), "params")
    for what, leaf in (("integers", integers), ("booleans", booleans), ("a string", "w")):
        for name, call in (("meta_gradient", at.meta_gradient), ("adapt", at.adapt)):
            params = {**at.params, "b": leaf}
            yield raises(f"{what}, {name}", InvalidTypeError, partial(call, params=params), "params['b']")


@wrong(
    "a loss that is no floating scalar array of the backend is an error; so is (value, aux) unless has_aux is said",
    "MS-EDGE-6",
)
def wrong_loss(at: LawContext) -> Iterator[Claim]:
    xp = at.B.xp
    one = at.array(np.array([1], "int32"))
    losses: dict[str, Callable[[Tree, Tree], Any]] = {
        "a vector": lambda params, batch: params["a"],
        "shape (1,)": lambda params, batch: xp.reshape(at.loss(params, batch), (1,)),
        "None": lambda params, batch: None,
        "a number": lambda params, batch: 1.0,
        "an integer": lambda params, batch: xp.sum(one),
        "a boolean": lambda params, batch: xp.sum(params["a"]) > 0,
        "value and aux": lambda params, batch: (at.loss(params, batch), 1.0),
    }
    for what, loss in losses.items():
        yield raises(f"{what}, meta_gradient", LossError, partial(at.meta_gradient, loss=loss), "loss")
        yield raises(f"{what}, adapt", LossError, partial(at.adapt, loss=loss), "loss")
        yield raises(f"{what}, batch", LossError, partial(at.batch_meta_gradient, loss=loss), "loss")
    yield raises("no aux", LossError, lambda: at.meta_gradient(has_aux=True), "loss", "has_aux")
    yield raises("no function", InvalidTypeError, lambda: at.meta_gradient(loss=3.0), "loss")  # type: ignore[arg-type]


@wrong("zero tasks, leaves that disagree in axis 0, what is no task: errors", "MS-BATCH-3")
def wrong_batches(at: LawContext) -> Iterator[Claim]:
    short, scalar = at.array(np.zeros(2)), at.array(np.array(0.5))
    ragged = Task({**at.task.support, "x": short}, at.task.query)
    lonely = Task({**at.task.support, "x": scalar}, at.task.query)
    nothing = Task(*({"x": at.array(np.zeros((0, 3))), "y": at.array(np.zeros((0, 3)))} for _ in range(2)))
    for what, tasks in (("zero tasks", []), ("axis 0", ragged), ("no axis 0", lonely), ("zero stacked tasks", nothing)):
        yield raises(what, InvalidArgumentError, partial(at.batch_meta_gradient, tasks=tasks), "tasks")
    yield raises("a pair", InvalidTypeError, lambda: at.meta_gradient(task=(1.0, 2.0)))  # type: ignore[arg-type]
    yield raises("no sequence", InvalidTypeError, lambda: at.batch_meta_gradient(tasks=3.0))  # type: ignore[arg-type]


@wrong("without a query set MAML, FO-MAML and iMAML are an error, Reptile runs on S alone", "MS-EDGE-4", "MS-REPTILE-2")
def empty_query(at: LawContext) -> Iterator[Claim]:
    inner, support = at.algorithm.inner, at.task.support
    empties: dict[str, Tree] = {"None": None, "no leaves": {}, "no entries": {"x": at.array(np.zeros((0, 3)))}}
    algorithms = (MAML(inner), FOMAML(inner), IMAML(inner, 2.0, ms.ConjugateGradient(2)))
    for what, query in empties.items():
        for algo in algorithms:
            name = f"{what}, {type(algo).__name__}"
            call = partial(at.meta_gradient, algo, task=Task(support, query))
            yield raises(name, InvalidArgumentError, call, "query")
        r = at.meta_gradient(Reptile(inner), task=Task(support, query))
        same = np.asarray(at.B.to_numpy(r.query_loss)) == np.asarray(at.B.to_numpy(at.loss(r.adapted, support)))
        yield Holds(f"{what}, Reptile", bool(same), "the query loss is not l(θ_K; S)")


@wrong(
    "NaN or infinity in θ_K or Δ is an error that names the inner step and leaf; under a trace finite is false",
    "MS-EDGE-7",
)
def not_a_number(at: LawContext) -> Iterator[Claim]:
    B, xp, leaf = at.B, at.B.xp, at.params["b"]
    way = float(B.to_numpy(xp.sum(at.adapt(at.inner(steps=1))["b"] - leaf)))

    def spoiled(params: Tree, batch: Tree) -> Array:
        """At θ_0 finite; half of the first step further its gradient in the leaf b is NaN."""
        gone = xp.sum(params["b"] - leaf) / way
        return at.loss(params, batch) + 0.001 * xp.sqrt(0.5 - gone)

    yield raises("second step", NonFiniteError, lambda: at.meta_gradient(loss=spoiled), "step 2", "'b'")
    yield raises("at meta-test", NonFiniteError, lambda: at.adapt(loss=spoiled), "step 2", "'b'")
    nan = at.array(np.array(float("nan")))
    bad = {**at.params, "b": leaf * nan}
    yield raises("parameters", NonFiniteError, lambda: at.meta_gradient(params=bad), "params", "'b'")
    query = Task(at.task.support, {**at.task.query, "y": at.task.query["y"] * nan})
    yield raises("query set", NonFiniteError, lambda: at.meta_gradient(task=query))
    yield raises("in a batch", NonFiniteError, lambda: at.batch_meta_gradient(tasks=[at.task, query]), "task 1")
    compiled = ms.compile(lambda task: at.meta_gradient(at.inner(steps=1), task=task).diagnostics.finite, backend=B)
    yield Holds("under a trace: finite", bool(B.to_numpy(compiled(at.task))), "diagnostics.finite is false")
    if B.capabilities["compile"].level == "native":
        yield Holds("under a trace: not finite", not bool(B.to_numpy(compiled(query))), "diagnostics.finite is true")
    else:
        yield raises("compiled: not finite", NonFiniteError, lambda: compiled(query))
