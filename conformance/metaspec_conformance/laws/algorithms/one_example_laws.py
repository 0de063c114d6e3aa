"""Laws of losses on one example, l(v) = f(a·v): closed forms on a path along which the Hessian changes.

Everything happens along a. With s = a·v and n = a·a the path is a recursion of numbers, and the product of the steps'
Jacobians stays I plus a multiple of a aᵀ. Since a couples all leaves, nothing here is right leaf by leaf.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from metaspec.task import Task, Tree
from metaspec_conformance.judging.numpy_trees import cast, ravel, unravel
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.framework.law_scenarios import nowhere, scenarios
from metaspec_conformance.scenarios.scenario import Scenario

Vector = Any


@dataclass(frozen=True)
class OneExample:
    """Logistic regression on the first example of the support set: f(s) = log(1 + e^s) − ys, s = a·v, a = (1, x)."""

    phi: Vector
    a: Vector
    label: Any
    queries: Any
    labels: Any

    @classmethod
    def of(cls, scenario: Scenario) -> "OneExample":
        """Return the one-example problem of the scenario's first task."""
        support, query = cast(scenario.tasks[0], np.longdouble)
        phi = ravel(cast(scenario.params, np.longdouble))
        ones = np.ones((len(query["y"]), 1), np.longdouble)
        queries = np.concatenate([ones, query["x"]], axis=1)  # the bias comes first among the sorted keys
        a = np.concatenate([ones[0], support["x"][0]])
        return cls(phi, a, support["y"][0].astype(np.longdouble), queries, query["y"].astype(np.longdouble))

    @property
    def n(self) -> Any:
        """a·a."""
        return np.sum(self.a * self.a)

    def curvature(self, s: Any) -> Any:
        """f″(s)."""
        return _sigmoid(s) * (1 - _sigmoid(s))

    def path(self, scenario: Scenario) -> list[Any]:
        """s_0 … s_K."""
        algo: Any = scenario.algorithm
        strength = np.longdouble(getattr(algo, "regularization", 0))
        path = [np.sum(self.a * self.phi)]
        for _ in range(algo.inner.steps):
            s = path[-1]
            path.append(s - algo.inner.lr * (self.n * (_sigmoid(s) - self.label) + strength * (s - path[0])))
        return path

    def reached(self, s: Any) -> Vector:
        """The point of φ + span a where a·v = s."""
        return self.phi + self.a * (s - np.sum(self.a * self.phi)) / self.n

    def query_gradient(self, s: Any) -> Vector:
        """Return the gradient of the query loss at `reached(s)`."""
        z = np.sum(self.queries * self.reached(s), axis=1)
        return np.mean((_sigmoid(z) - self.labels)[:, None] * self.queries, axis=0)


def _sigmoid(s: Any) -> Any:
    return 1 / (1 + np.exp(-s))


@law(
    "l(v) = f(a·v): Δ = g − a (a·g)/n · (1 − Π_k (1 − α n f″(s_k))), s_{k+1} = s_k − α n f′(s_k), n = a·a",
    "MS-MAML-1",
    "MS-INNER-1",
    on=scenarios("logistic/maml"),
    applies=nowhere,
    dtypes=("float64",),
)
def maml_on_one_example(at: LawContext) -> Iterator[Claim]:
    one = OneExample.of(at.scenario)
    path = one.path(at.scenario)
    jacobian = np.prod([1 - at.algorithm.inner.lr * one.n * one.curvature(s) for s in path[:-1]])
    g = one.query_gradient(path[-1])
    along = one.a * np.sum(one.a * g) / one.n
    r = at.meta_gradient(task=_first_example(at))
    yield Equal("adapted", r.adapted, _like(at, one.reached(path[-1])))
    yield Equal("delta", r.delta, _like(at, g - along * (1 - jacobian)))


@law(
    "l(v) = f(a·v): Δ = −a (s_K − s_0)/n",
    "MS-REPTILE-2",
    "MS-EDGE-4",
    on=scenarios("logistic/reptile"),
    applies=nowhere,
    dtypes=("float64",),
)
def reptile_on_one_example(at: LawContext) -> Iterator[Claim]:
    one = OneExample.of(at.scenario)
    s = one.path(at.scenario)[-1]
    r = at.meta_gradient(task=Task(_first_example(at).support, None))
    yield Equal("delta", r.delta, _like(at, one.phi - one.reached(s)))


@law(
    "l(v) = f(a·v): Δ = g − a (a·g) f″(s_K) / (λ + n f″(s_K)), exact after two steps of conjugate gradients",
    "MS-IMAML-1",
    "MS-SOLVE-1",
    on=scenarios("logistic/imaml"),
    applies=nowhere,
    dtypes=("float64",),
)
def imaml_on_one_example(at: LawContext) -> Iterator[Claim]:
    one = OneExample.of(at.scenario)
    s = one.path(at.scenario)[-1]
    g, curvature = one.query_gradient(s), one.curvature(s)
    shrink = np.sum(one.a * g) * curvature / (np.longdouble(at.algorithm.regularization) + one.n * curvature)
    r = at.meta_gradient(task=_first_example(at))
    yield Equal("adapted", r.adapted, _like(at, one.reached(s)))
    yield Equal("delta", r.delta, _like(at, g - one.a * shrink))


def _first_example(at: LawContext) -> Task:
    support, query = at.scenario.tasks[0]
    return at.array(Task({name: leaf[:1] for name, leaf in support.items()}, query))


def _like(at: LawContext, vector: Vector) -> Tree:
    return unravel(vector, at.scenario.params)
