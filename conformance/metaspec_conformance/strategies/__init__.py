"""Hypothesis strategies for meta-learning problems: losses, trees, tasks, algorithms, whole scenarios.

Needs hypothesis (`pip install 'metaspec[verify]'`). Everything is small, finite and smooth; inner rates are such that
lr * (L + lambda) <= 1 along the whole inner path, L the largest absolute eigenvalue of the inner loss's Hessian, so
that rounding errors are not amplified without bound. Nothing is filtered: every draw is a valid example. What is drawn
shrinks towards one step of MAML on a small least-squares problem.

Example:
    >>> from hypothesis import given
    >>> from metaspec_conformance import strategies
    >>> @given(strategies.scenarios(), strategies.dtypes())
    ... def test_mine(scenario, dtype):
    ...     ...  # compute it, and compare with metaspec_conformance.scenarios.reference.reference(scenario)
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

try:
    from hypothesis import strategies as st
except ImportError as error:
    raise ImportError(
        "metaspec_conformance.strategies needs hypothesis; run: pip install 'metaspec[verify]'"
    ) from error

from metaspec.algorithms.base import Algorithm
from metaspec.errors import InvalidArgumentError, nearest
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.solvers.base import Solver
from metaspec.task import Task, Tree
from metaspec_conformance.generators import families as _families
from metaspec_conformance.generators import structures as _structures
from metaspec_conformance.generators.choices import Choose
from metaspec_conformance.generators.families import FAMILIES, DrawnProblem
from metaspec_conformance.generators.programs import Composition
from metaspec_conformance.generators.rates import power_of_four
from metaspec_conformance.scenarios.datasets import rate
from metaspec_conformance.scenarios.portable_losses import Loss, loss_of
from metaspec_conformance.scenarios.scenario import Scenario

__all__ = [
    "FAMILY",
    "algorithms",
    "compositions",
    "dtypes",
    "losses",
    "problems",
    "scenarios",
    "solvers",
    "tasks",
    "trees",
]

T = TypeVar("T")

FAMILY = _structures.FAMILY
"""Names of members of the family, for `scenarios(algorithms=...)`."""


def scenarios(
    families: Sequence[str] | None = None,
    algorithms: Sequence[str] = _structures.ALGORITHMS,
    forms: Sequence[str] = tuple(_structures.FORMS),
) -> st.SearchStrategy[Scenario]:
    """Whole scenarios: loss, parameters, tasks (one, equal ones, ragged ones), algorithm, form.

    Args:
        families: Names of `FAMILIES` to draw problems from: least-squares, quadratic, linear, classifier, network,
            composition, rosenbrock, convolution. None: all.
        algorithms: Of MAML, FOMAML, Reptile, IMAML; of `FAMILY`, members of the family, where they are named.
        forms: Of "task", "stacked" and "sequence" (meta-batches), "adapt".

    Raises:
        InvalidArgumentError: A name that is not known.
    """
    _check("families", families or (), tuple(FAMILIES))
    _check("algorithms", algorithms, (*_structures.ALGORITHMS, *FAMILY))
    _check("forms", forms, tuple(_structures.FORMS))

    def make(choose: Choose) -> Scenario:
        return _structures.draw_structure(choose, families, algorithms, forms).scenario(choose, "drawn")

    return _made(make)


def problems(families: Sequence[str] | None = None) -> st.SearchStrategy[DrawnProblem]:
    """A portable loss with what makes parameters and tasks for it from seeds.

    Args:
        families: As of `scenarios`.

    Raises:
        InvalidArgumentError: A name that is not known.

    Example:
        >>> problem = problems(["rosenbrock"]).example()  # doctest: +SKIP
        >>> problem.loss, problem.params(0), problem.task(0, 3, 2)  # doctest: +SKIP
    """
    _check("families", families or (), tuple(FAMILIES))
    return _made(lambda choose: _families.draw_problem(choose, families))


def losses(families: Sequence[str] | None = None) -> st.SearchStrategy[Loss]:
    """Portable losses (params, batch) -> scalar, smooth, written over the array API.

    Args:
        families: As of `scenarios`.
    """
    return problems(families).map(lambda problem: loss_of(problem.loss))


def compositions(leaves: int = 2, length: int = 5) -> st.SearchStrategy[Composition]:
    """Random programs of smooth operations over `leaves` leaves that have entries; see `Composition`.

    Args:
        leaves: At least 1.
        length: At most so many operations, and one more for each leaf that would not be used.
    """
    return _made(lambda choose: _families.draw_composition(choose, leaves, length))


def trees(seeds: int = 2**16) -> st.SearchStrategy[Tree]:
    """Parameter trees of float64 arrays: nested dictionaries, lists and tuples, scalars, zero-size and equal shapes.

    Args:
        seeds: How many different fillings a structure has.
    """

    def make(choose: Choose) -> Tree:
        like = _families.draw_tree(choose)
        return _families.normal(like)(choose(range(seeds)))

    return _made(make)


def tasks(problem: DrawnProblem) -> st.SearchStrategy[Task]:
    """Tasks of a problem, with one to four examples in support and query set."""

    def make(choose: Choose) -> Task:
        sizes = choose(_structures.EXAMPLES), choose(_structures.EXAMPLES)
        return problem.task(choose(_structures.SEEDS), *sizes)

    return _made(make)


def algorithms(curvature: float, params: Tree | None = None) -> st.SearchStrategy[Algorithm]:
    """MAML, FO-MAML, Reptile, iMAML with 0 to 8 inner steps, for inner losses whose Hessians' norms are <= `curvature`.

    The rate times the curvature (with iMAML's lambda) is at most 1; lambda is at least 1.5 times the curvature.

    Args:
        curvature: > 0.
        params: Where given, there are rates per leaf and per entry too.

    Raises:
        InvalidArgumentError: `curvature` is not positive.
    """
    if not curvature > 0:
        raise InvalidArgumentError(f"curvature: expected a number > 0, got {curvature!r}")

    def make(choose: Choose) -> Algorithm:
        name, steps = choose(_structures.ALGORITHMS), choose(_structures.STEPS)
        proximal = choose((1.5, 3.0)) if name == "IMAML" else 0.0
        strength = power_of_four(proximal * curvature) if proximal else 0.0
        lr: Any = choose((1.0, 0.5, 0.125)) * rate(curvature + strength)
        if params is not None:
            lr = _structures.rates_of(lr, params, choose(_structures.RATES), choose(_structures.SEEDS))
        solver, checkpoint = choose(_structures.SOLVERS), choose(_structures.CHECKPOINTS)
        return _structures.algorithm(name, GradientDescent(lr, steps), strength, solver, checkpoint)

    return _made(make)


def solvers() -> st.SearchStrategy[Solver]:
    """Conjugate gradients with fixed steps, damping or a tolerance, and dense solves."""
    return _made(lambda choose: choose((*_structures.SOLVERS, _structures.BY_TOLERANCE)))


def dtypes() -> st.SearchStrategy[str]:
    """float32 or float64."""
    return _made(lambda choose: choose(("float32", "float64")))


def _made(make: Callable[[Choose], T]) -> st.SearchStrategy[T]:
    @st.composite
    def strategy(draw: Any) -> T:
        def choose(options: Sequence[Any], /) -> Any:
            return draw(st.sampled_from(options))

        return make(choose)

    return strategy()


def _check(argument: str, given: Sequence[str], known: Sequence[str]) -> None:
    for name in given:
        if name not in known:
            raise InvalidArgumentError(f"{argument}: {name!r} is not one of {', '.join(known)}{nearest(name, known)}")
