"""Laws that hold the chain of products against the framework's own derivatives of the written-out inner loop."""

from collections.abc import Callable, Iterator

from metaspec.trees import dot, subtract
from metaspec_conformance.laws.algorithms.chain_laws import scaled
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import ONE_FORMAT, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import algorithm, scenarios

Change = Callable[[Tree], Tree]


def unrolled(at: LawContext, change: Change = lambda gradient: gradient) -> Callable[[Tree], Array]:
    """φ ↦ l(θ_K(φ); Q), the loop written out, each gradient changed before it is used."""

    def judged(phi: Tree) -> Array:
        theta = phi
        for _ in range(at.algorithm.inner.steps):
            gradient = at.gradient(at.task.support, theta)
            theta = subtract(at.B, theta, scaled(at, change(gradient)))
        return at.loss(theta, at.task.query)

    return judged


@law(
    "Δ = ∇_φ l(θ_K(φ); Q), backwards through the loop written out",
    "MS-MAML-1",
    "MS-INNER-1",
    "MS-BACKEND-1",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=algorithm("MAML"),
)
def backpropagation(at: LawContext) -> Iterator[Claim]:
    value, delta = at.B.value_and_grad(unrolled(at))(at.params)
    r = at.meta_gradient()
    yield Equal("delta", r.delta, delta)
    yield Equal("query_loss", r.query_loss, value)


@law(
    "Δ = ∇_φ l(adapt(φ, S); Q)",
    "MS-MAML-1",
    "MS-ADAPT-1",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=algorithm("MAML"),
    dtypes=ONE_FORMAT,
)
def backpropagation_through_adapt(at: LawContext) -> Iterator[Claim]:
    delta = at.B.grad(lambda phi: at.loss(at.adapt(params=phi), at.task.query))(at.params)
    yield Equal("delta", at.meta_gradient().delta, delta)


@law(
    "FO-MAML's Δ = ∇_φ l(θ_K(φ); Q) where every ∇l(θ_k; S) counts as a constant",
    "MS-FOMAML-1",
    "MS-INNER-1",
    "MS-BACKEND-2",
    on=scenarios("tanh-network-1/fomaml/steps-3"),
    applies=algorithm("FOMAML"),
    dtypes=ONE_FORMAT,
)
def stopped_gradients(at: LawContext) -> Iterator[Claim]:
    yield Equal("delta", at.meta_gradient().delta, at.B.grad(unrolled(at, at.B.stop_gradient))(at.params))


@law(
    "d/dt l(θ_K(φ + tv); Q) = ⟨Δ, v⟩ at t = 0, forwards through the loop written out, v = φ",
    "MS-MAML-1",
    "MS-BACKEND-1",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=algorithm("MAML"),
    dtypes=("float64",),
)
def forward_mode(at: LawContext) -> Iterator[Claim]:
    _, pushed = at.B.jvp(unrolled(at), (at.params,), (at.params,))
    yield Equal("<delta, v>", dot(at.B, at.meta_gradient().delta, at.params), pushed)
