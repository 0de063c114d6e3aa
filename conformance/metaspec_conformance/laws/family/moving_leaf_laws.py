"""Laws of inner loops that move some of the leaves (ANIL, BOIL, CAVIA)."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import metaspec as ms
from metaspec_conformance.laws.family.written_out import backpropagated, each, loop
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same, raises
from metaspec_conformance.laws.framework.law import ONE_FORMAT, hyphenated, law
from metaspec_conformance.laws.framework.law_context import LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, nowhere, scenarios

ON = scenarios("tanh-network-1/maml/steps-3")
moving = partial(law, naming=hyphenated("moving/"))


@dataclass(frozen=True)
class Part:
    """A part of the two-layer network's parameters: its pattern, how it is taken out, and how it is put back."""

    pattern: str
    get: Callable[[Tree], Tree]
    put: Callable[[Tree, Tree], Tree]


HEAD = Part("layers/1/*", lambda p: p["layers"][1], lambda p, part: {"layers": [p["layers"][0], part]})
BODY = Part("!layers/1/*", lambda p: p["layers"][0], lambda p, part: {"layers": [part, p["layers"][1]]})
CONTEXT = Part(
    "layers/0/b",
    lambda p: p["layers"][0]["b"],
    lambda p, part: {"layers": [{**p["layers"][0], "b": part}, p["layers"][1]]},
)


def _adapted(at: LawContext, part: Part, phi: Tree, lr: float, from_zero: bool = False) -> Tree:
    """Return theta_K where the part alone descends."""
    start = each(at, lambda x: 0 * x, part.get(phi)) if from_zero else part.get(phi)
    path = loop(
        at,
        lambda theta, _, g, k: (each(at, lambda x, g: x - lr * g, theta, g), None),
        start,
        lambda theta, k: at.B.grad(lambda moving: at.loss(part.put(phi, moving), at.task.support))(theta),
    )
    return part.put(phi, path[-1])


def _adapts_part(name: str, part: Part, other: Part, formula: str) -> None:
    @law(formula, "MS-MOVE-1", on=ON, applies=nowhere, dtypes=ONE_FORMAT, naming=lambda _: f"moving/{name}")
    def check(at: LawContext) -> Iterator[Claim]:
        algo = ms.MAML(ms.GradientDescent(0.1, at.algorithm.inner.steps), adapt=part.pattern)
        yield from backpropagated(at, algo, lambda phi, learned: at.loss(_adapted(at, part, phi, 0.1), at.task.query))
        yield Same("what stays", other.get(at.adapt(algo)), other.get(at.params))


_adapts_part("anil", HEAD, BODY, "the head alone descends; Δ = ∇_φ l(θ_K(φ); Q) for all leaves")
_adapts_part("boil", BODY, HEAD, "all but the head descend; Δ = ∇_φ l(θ_K(φ); Q) for all leaves")


@moving('adapt="**" moves all: Δ is MAML\'s', "MS-MOVE-1", on=ON, applies=algorithm("MAML"), dtypes=ONE_FORMAT)
def all_is_maml(at: LawContext) -> Iterator[Claim]:
    inner = ms.GradientDescent(0.1, at.algorithm.inner.steps)
    yield Equal("delta", at.meta_gradient(ms.MAML(inner, adapt="**")).delta, at.meta_gradient(ms.MAML(inner)).delta)
    first, first_part = (at.meta_gradient(ms.FOMAML(inner, adapt=p)).delta for p in (None, "**"))
    yield Equal("first order", first_part, first)


@moving(
    "FO-MAML's Δ = ∇l(θ_K; Q) for all leaves, the head alone having moved",
    "MS-MOVE-1",
    "MS-FOMAML-1",
    on=ON,
    applies=nowhere,
    dtypes=ONE_FORMAT,
)
def fomaml(at: LawContext) -> Iterator[Claim]:
    algo = ms.FOMAML(ms.GradientDescent(0.1, at.algorithm.inner.steps), adapt=HEAD.pattern)
    theta = _adapted(at, HEAD, at.params, 0.1)
    r = at.meta_gradient(algo)
    yield Equal("adapted", r.adapted, theta)
    yield Equal("delta", r.delta, at.gradient(at.task.query, theta))


@moving(
    "c_0 = 0 for every task, c descends alone; Δ = ∇_ψ l(c_K(ψ), ψ; Q), and 0 for c",
    "MS-CAVIA-1",
    on=ON,
    applies=nowhere,
    dtypes=ONE_FORMAT,
)
def cavia(at: LawContext) -> Iterator[Claim]:
    algo = ms.CAVIA(ms.GradientDescent(0.5, at.algorithm.inner.steps), CONTEXT.pattern)
    yield from backpropagated(
        at, algo, lambda phi, learned: at.loss(_adapted(at, CONTEXT, phi, 0.5, from_zero=True), at.task.query)
    )
    shifted = CONTEXT.put(at.params, CONTEXT.get(at.params) + 1.0)
    yield Same("whatever the context was", at.adapt(algo, params=shifted), at.adapt(algo))


@moving("θ_0 = s(φ; S): Δ = ∇_φ l(θ_K(s(φ; S)); Q), through s", "MS-MOVE-3", on=ON, applies=nowhere, dtypes=ONE_FORMAT)
def start(at: LawContext) -> Iterator[Claim]:
    def started(phi: Tree, support: Tree) -> Tree:
        head, scale = HEAD.get(phi), at.loss(phi, support)
        return HEAD.put(phi, each(at, lambda x: x * (1 + x) + scale, head))

    algo = ms.MAML(ms.GradientDescent(0.1, at.algorithm.inner.steps), adapt=HEAD.pattern, start=started)
    yield from backpropagated(
        at,
        algo,
        lambda phi, learned: at.loss(_adapted(at, HEAD, started(phi, at.task.support), 0.1), at.task.query),
    )


@moving(
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
        yield raises(what, error, partial(at.meta_gradient, algo), "matches no leaf", "layers/0/w")
    yield Holds("names", ms.MAML(inner, adapt="layers/*/w").adapt == "layers/*/w")
