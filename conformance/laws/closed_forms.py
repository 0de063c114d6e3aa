"""Laws with a closed form: quadratics, whose meta-updates are products and inverses of a matrix."""

from collections.abc import Iterator

from metaspec.conformance.laws.bench import Bench
from metaspec.conformance.laws.claims import Claim, Equal
from metaspec.conformance.laws.law import law
from metaspec.conformance.laws.on import algorithm, scenarios
from metaspec.conformance.oracles import quadratic
from metaspec.conformance.scenario import Scenario


def _quadratic(scenario: Scenario) -> bool:
    return scenario.oracle == "quadratic"


@law(
    "maml-on-a-quadratic",
    "D = (I - a A)^K g, g the query gradient at the end of the path",
    "MS-MAML-1",
    on=scenarios("least-squares/maml/steps-3", "identity-hessian/maml"),
    applies=lambda scenario: _quadratic(scenario) and algorithm("MAML")(scenario),
)
def maml_on_a_quadratic(at: Bench) -> Iterator[Claim]:
    wanted = quadratic.compute(at.scenario, at.scenario.tasks[0])
    yield Equal("delta", at.meta_gradient().delta, wanted["delta"])
