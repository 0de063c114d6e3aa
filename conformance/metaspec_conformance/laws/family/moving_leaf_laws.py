"""Laws of inner loops that move some of the leaves (ANIL, BOIL, CAVIA)."""

from collections.abc import Callable, Iterator

import metaspec as ms
from metaspec.algorithms.partition import Partition
from metaspec_conformance.laws.family.written_out import backpropagated, each, loop
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same, raises
from metaspec_conformance.laws.framework.law import ONE_FORMAT, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, nowhere, scenarios

ON = scenarios("tanh-network-1/maml/steps-3")
HEAD = "layers/1/*"


def _moved(at: LawContext, pattern: str) -> tuple[Partition, Callable[[Tree, Tree], Array]]:
    """Return the partition, and the support loss of the leaves that move."""
    parts = Partition.of(at.B, at.params, pattern, "pattern")
    return parts, lambda moving, staying: at.loss(parts.join(moving, staying), at.task.support)


def _path(at: LawContext, pattern: str, phi: Tree, lr: float, from_zero: bool = False) -> Tree:
    """Return theta_K where the matching leaves alone descend."""
    parts, value = _moved(at, pattern)
    start, staying = parts.split(phi)
    start = each(at, lambda x: 0 * x, start) if from_zero else start
    path = loop(
        at,
        lambda theta, _, g, k: (each(at, lambda x, g: x - lr * g, theta, g), None),
        start,
        lambda theta, k: at.B.grad(value)(theta, staying),
    )
    return parts.join(path[-1], staying)


def _adapts_part(name: str, pattern: str, formula: str) -> None:
    @law(f"moving/{name}", formula, "MS-MOVE-1", on=ON, applies=nowhere, dtypes=ONE_FORMAT)
    def check(at: LawContext) -> Iterator[Claim]:
        algo = ms.MAML(ms.GradientDescent(0.1, at.algorithm.inner.steps), adapt=pattern)
        yield from backpropagated(at, algo, lambda phi, learned: at.loss(_path(at, pattern, phi, 0.1), at.task.query))
        parts = Partition.of(at.B, at.params, pattern, "pattern")
        before, after = parts.split(at.params)[1], parts.split(at.adapt(algo))[1]
        yield Same("what stays", after, before)


_adapts_part("anil", HEAD, "the head alone descends; Δ = ∇_φ l(θ_K(φ); Q) for all leaves")
_adapts_part("boil", f"!{HEAD}", "all but the head descend; Δ = ∇_φ l(θ_K(φ); Q) for all leaves")


@law(
    "moving/all-is-maml",
    'adapt="**" moves all: Δ is MAML\'s',
    "MS-MOVE-1",
    on=ON,
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def all_is_maml(at: LawContext) -> Iterator[Claim]:
    inner = ms.GradientDescent(0.1, at.algorithm.inner.steps)
    yield Equal("delta", at.meta_gradient(ms.MAML(inner, adapt="**")).delta, at.meta_gradient(ms.MAML(inner)).delta)
    first, first_part = (at.meta_gradient(ms.FOMAML(inner, adapt=p)).delta for p in (None, "**"))
    yield Equal("first order", first_part, first)


@law(
    "moving/fomaml",
    "FO-MAML's Δ = ∇l(θ_K; Q) for all leaves, the head alone having moved",
    "MS-MOVE-1",
    "MS-FOMAML-1",
    on=ON,
    applies=nowhere,
    dtypes=ONE_FORMAT,
)
def first_order_part(at: LawContext) -> Iterator[Claim]:
    algo = ms.FOMAML(ms.GradientDescent(0.1, at.algorithm.inner.steps), adapt=HEAD)
    theta = _path(at, HEAD, at.params, 0.1)
    r = at.meta_gradient(algo)
    yield Equal("adapted", r.adapted, theta)
    yield Equal("delta", r.delta, at.gradient(at.task.query, theta))


@law(
    "moving/cavia",
    "c_0 = 0 for every task, c descends alone; Δ = ∇_ψ l(c_K(ψ), ψ; Q), and 0 for c",
    "MS-CAVIA-1",
    on=ON,
    applies=nowhere,
    dtypes=ONE_FORMAT,
)
def cavia(at: LawContext) -> Iterator[Claim]:
    context = "layers/0/b"
    algo = ms.CAVIA(ms.GradientDescent(0.5, at.algorithm.inner.steps), context)
    yield from backpropagated(
        at, algo, lambda phi, learned: at.loss(_path(at, context, phi, 0.5, from_zero=True), at.task.query)
    )
    shifted = each(at, lambda x: x, at.params)
    shifted["layers"][0]["b"] = shifted["layers"][0]["b"] + 1.0
    yield Same("whatever the context was", at.adapt(algo, params=shifted), at.adapt(algo))


@law(
    "moving/unmatched",
    "a pattern that matches no leaf is an error that lists the leaves",
    "MS-MOVE-2",
    on=ON,
    applies=nowhere,
    subject="interface",
    numeric=False,
    dtypes=ONE_FORMAT,
)
def unmatched(at: LawContext) -> Iterator[Claim]:
    inner = ms.GradientDescent(0.1, 1)
    error = ms.errors.InvalidArgumentError
    for what, algo in (
        ("adapt", ms.MAML(inner, adapt="haed/**")),
        ("adapt", ms.FOMAML(inner, adapt=["layers/**", "!nothing"])),
        ("context", ms.CAVIA(inner, "context")),
    ):
        yield raises(what, error, lambda algo=algo: at.meta_gradient(algo), "matches no leaf", "layers/0/w")  # type: ignore[misc]
    yield Holds("names", ms.MAML(inner, adapt="layers/*/w").adapt == "layers/*/w")
