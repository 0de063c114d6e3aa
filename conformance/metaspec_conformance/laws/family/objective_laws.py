"""Laws of what is judged along the inner path: weights, truncation, minibatches."""

from collections.abc import Iterator
from functools import partial

import numpy as np

import metaspec as ms
from metaspec.trees import row
from metaspec_conformance.laws.family.written_out import backpropagated, each, loop
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import ONE_FORMAT, hyphenated, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, nowhere, scenarios

ON = scenarios("tanh-network-1/maml/steps-3")
objective = partial(law, naming=hyphenated("objective/"))


def _rule(at: LawContext) -> ms.Momentum:
    return ms.Momentum(0.1, at.algorithm.inner.steps, 0.8)


def _path(at: LawContext, phi: Tree, batch: object = None) -> list[Tree]:
    def move(theta: Tree, m: Tree, g: Tree, k: int) -> tuple[Tree, Tree]:
        m = g if m is None else each(at, lambda m, g: 0.8 * m + g, m, g)
        return each(at, lambda x, m: x - 0.1 * m, theta, m), m

    return loop(at, move, phi)


@objective(
    "Δ = ∇_φ Σ_k w_k l(θ_k; Q): v_k = w_k ∇l(θ_k; Q) + (I − α H_k) v_{k+1}",
    "MS-MAML-3",
    on=ON,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def multi_step(at: LawContext) -> Iterator[Claim]:
    K = at.algorithm.inner.steps
    weights = [2.0 ** -(K - k) for k in range(1, K + 1)]

    def objective(phi: Tree, learned: object) -> Array:
        return sum(w * at.loss(theta, at.task.query) for w, theta in zip(weights, _path(at, phi)[1:], strict=True))

    for checkpoint in ("none", "sqrt"):
        algo = ms.MAML(_rule(at), checkpoint, query_weights=weights)
        yield from backpropagated(at, algo, objective)


@objective("weights 0, ..., 0, 1 are no weights", "MS-MAML-3", on=ON, applies=algorithm("MAML"), dtypes=ONE_FORMAT)
def last_step_alone(at: LawContext) -> Iterator[Claim]:
    weights = [0.0] * (at.algorithm.inner.steps - 1) + [1.0]
    r, plain = at.meta_gradient(ms.MAML(_rule(at), query_weights=weights)), at.meta_gradient(ms.MAML(_rule(at)))
    yield Equal("delta", r.delta, plain.delta)
    yield Equal("query_loss", r.query_loss, plain.query_loss)


@objective(
    "backprop_steps = j: Δ = ∇ l(θ_K; Q) in θ_{K−j}; j = K is MAML, j = 0 is FO-MAML",
    "MS-MAML-4",
    on=ON,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def truncation(at: LawContext) -> Iterator[Claim]:
    inner = ms.GradientDescent(0.1, at.algorithm.inner.steps)
    K = inner.steps
    full, first = at.meta_gradient(ms.MAML(inner)), at.meta_gradient(ms.FOMAML(inner))
    yield Equal("j = K", at.meta_gradient(ms.MAML(inner, backprop_steps=K)).delta, full.delta)
    yield Equal("j = 0", at.meta_gradient(ms.MAML(inner, backprop_steps=0)).delta, first.delta)
    ahead = at.adapt(ms.MAML(ms.GradientDescent(0.1, K - 1)))
    last = at.meta_gradient(ms.MAML(ms.GradientDescent(0.1, 1)), params=ahead)
    yield Equal("j = 1", at.meta_gradient(ms.MAML(inner, backprop_steps=1)).delta, last.delta)


@objective(
    "step k sees the examples k s ... k s + s − 1, counted around the end; Δ = ∇_φ l(θ_K(φ); Q)",
    "MS-INNER-3",
    on=ON,
    applies=nowhere,
    dtypes=ONE_FORMAT,
)
def minibatches(at: LawContext) -> Iterator[Claim]:
    B, K = at.B, at.algorithm.inner.steps
    count = B.tree_flatten(at.task.support)[0][0].shape[0]
    size = count // 2 + 1

    def part(k: int) -> Tree:
        rows = [(k * size + i) % count for i in range(size)]
        return each(at, lambda x: B.xp.stack([x[i, ...] for i in rows], axis=0), at.task.support)

    def objective(phi: Tree, learned: object) -> Array:
        path = loop(
            at,
            lambda theta, _, g, k: (each(at, lambda x, g: x - 0.1 * g, theta, g), None),
            phi,
            lambda theta, k: at.gradient(part(k), theta),
        )
        return at.loss(path[-1], at.task.query)

    algo = ms.MAML(ms.GradientDescent(0.1, K), minibatches=ms.Minibatches(size))
    yield from backpropagated(at, algo, objective)


@objective(
    "the loss of step k finds k in its batch, the query loss at θ_k finds k − 1",
    "MS-INNER-3",
    on=ON,
    applies=nowhere,
    dtypes=ONE_FORMAT,
)
def numbered_steps(at: LawContext) -> Iterator[Claim]:
    K = at.algorithm.inner.steps
    weights = [2.0 ** -(K - k) for k in range(1, K + 1)]
    params = {"net": at.params, "scales": at.array(1.0 + 0.25 * np.arange(K))}

    def scaled(p: Tree, batch: Tree) -> Array:
        return row(at.B, p["scales"], batch["k"]) * at.loss(p["net"], batch["examples"])

    def numbered(batch: Tree, k: int) -> Tree:
        return {"examples": batch, "k": k}

    def objective(phi: Tree, learned: object) -> Array:
        path = loop(
            at,
            lambda theta, _, g, k: (each(at, lambda x, g: x - 0.1 * g, theta, g), None),
            phi,
            lambda theta, k: at.B.grad(scaled)(theta, numbered(at.task.support, k)),
        )
        judged = [scaled(theta, numbered(at.task.query, k)) for k, theta in enumerate(path[1:])]
        return sum(w * value for w, value in zip(weights, judged, strict=True))

    algo = ms.MAML(ms.GradientDescent(0.1, K), query_weights=weights, minibatches=ms.Minibatches(None, number="k"))
    wrapped = ms.Task({"examples": at.task.support}, {"examples": at.task.query})
    yield from backpropagated(at, algo, objective, params, scaled, task=wrapped)
