"""Laws of the expansions in α over the order of K minibatches (Nichol, Achiam, Schulman 2018, section 5.1).

One step on each of K minibatches b_1 … b_K in some order; E is the mean over all K! orders. With g_i and H_i those of
l(·; b_i) at φ, G = mean_i g_i and I = mean_{i≠j} H_i g_j. The coefficients are derivatives at α = 0, or those of a
polynomial, so there is no remainder to bound.
"""

from collections.abc import Callable, Iterator
from functools import partial, reduce
from itertools import permutations

from metaspec.algorithms import FOMAML, MAML, Reptile
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.task import Task
from metaspec.trees import add, divide, scale, subtract
from metaspec_conformance.laws.algorithms.limit_laws import slope_in_rate
from metaspec_conformance.laws.framework.claims import Claim, Equal
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import nowhere, scenarios


def mean(at: LawContext, trees: list[Tree]) -> Tree:
    """Return the mean of trees of one structure."""
    return divide(at.B, reduce(partial(add, at.B), trees), float(len(trees)))


def inner_product_gradient(at: LawContext, batches: list[Tree]) -> Tree:
    """I = mean_{i≠j} H_i g_j, half the gradient of mean_{i≠j} ⟨g_i, g_j⟩."""
    return mean(at, [at.product(bi, at.gradient(bj)) for bi, bj in permutations(batches, 2)])


def walk(at: LawContext, step: GradientDescent, batches: tuple[Tree, ...], theta: Tree) -> Tree:
    """One step on each batch, each by the public `adapt`."""
    for batch in batches:
        theta = at.adapt(FOMAML(step), params=theta, support=batch)
    return theta


def over_orders(at: LawContext, batches: list[Tree], f: Callable[[tuple[Tree, ...]], Tree]) -> Tree:
    """E f."""
    return mean(at, [f(order) for order in permutations(batches)])


@law(
    "E[∇_φ l(θ_{K−1}(φ); b_K)] = G − 2(K − 1) α I + O(α²)",
    "MS-MAML-1",
    "MS-BACKEND-1",
    on=scenarios("stacked-compiled/maml"),
    applies=nowhere,
    dtypes=("float64",),
)
def maml_over_orders(at: LawContext) -> Iterator[Claim]:
    def expected(batches: list[Tree], rate: Array) -> Tree:
        step = GradientDescent(rate, 1)

        def delta(order: tuple[Tree, ...]) -> Tree:
            theta, back = at.B.vjp(partial(walk, at, step, order[:-2]), at.params)
            return back(at.meta_gradient(MAML(step), params=theta, task=Task(*order[-2:])).delta)[0]

        return over_orders(at, batches, delta)

    for K, batches in _supports(at):
        slope = slope_in_rate(at, partial(expected, batches))
        yield Equal(f"K = {K}", slope, scale(at.B, -2.0 * (K - 1), inner_product_gradient(at, batches)))


@law(
    "E[∇l(θ_{K−1}; b_K)] = G − (K − 1) α I + O(α²)",
    "MS-FOMAML-1",
    "MS-BACKEND-1",
    on=scenarios("stacked-compiled/fomaml"),
    applies=nowhere,
    dtypes=("float64",),
)
def fomaml_over_orders(at: LawContext) -> Iterator[Claim]:
    def expected(batches: list[Tree], rate: Array) -> Tree:
        step = GradientDescent(rate, 1)

        def delta(order: tuple[Tree, ...]) -> Tree:
            theta = walk(at, step, order[:-2], at.params)
            return at.meta_gradient(FOMAML(step), params=theta, task=Task(*order[-2:])).delta

        return over_orders(at, batches, delta)

    for K, batches in _supports(at):
        slope = slope_in_rate(at, partial(expected, batches))
        yield Equal(f"K = {K}", slope, scale(at.B, -float(K - 1), inner_product_gradient(at, batches)))


@law(
    "E[φ − θ_K] = K α G − K(K − 1)/2 α² I + O(α³): on quadratics a polynomial in α, its coefficients by interpolation",
    "MS-REPTILE-1",
    on=scenarios("ragged/reptile"),
    applies=nowhere,
    dtypes=("float64",),
)
def reptile_over_orders(at: LawContext) -> Iterator[Claim]:
    for K, batches in _supports(at):
        ways = [over_orders(at, batches, partial(way, at, rate)) for rate in RATES[:K]]
        ratios = [divide(at.B, w, rate) for w, rate in zip(ways, RATES[:K], strict=True)]
        G, inner = mean(at, [at.gradient(batch) for batch in batches]), inner_product_gradient(at, batches)
        coefficients = (float(K), G), (-K * (K - 1) / 2, inner)
        for power, weights, (factor, term) in zip(("α", "α²"), WEIGHTS[K], coefficients, strict=True):
            yield Equal(f"K = {K}, {power}", weighted(at, weights, ratios), scale(at.B, factor, term))


RATES = (0.25, 0.5, 0.75)
WEIGHTS = {2: ((2.0, -1.0), (-4.0, 4.0)), 3: ((3.0, -3.0, 1.0), (-10.0, 16.0, -6.0))}
"""K: what makes q(0), and q'(0), of the values of a polynomial q of degree K − 1 at the first K rates."""


def way(at: LawContext, rate: float, order: tuple[Tree, ...]) -> Tree:
    """φ − θ_K, Reptile taking one step on each batch."""
    reptile, theta = Reptile(GradientDescent(rate, 1)), at.params
    for batch in order:
        theta = subtract(at.B, theta, at.meta_gradient(reptile, params=theta, task=Task(batch, None)).delta)
    return subtract(at.B, at.params, theta)


def weighted(at: LawContext, weights: tuple[float, ...], trees: list[Tree]) -> Tree:
    """The sum of weight times tree."""
    first, *rest = (scale(at.B, weight, tree) for weight, tree in zip(weights, trees, strict=True))
    return reduce(partial(add, at.B), rest, first)


def _supports(at: LawContext) -> Iterator[tuple[int, list[Tree]]]:
    """Two minibatches, then three: the tasks' support sets."""
    for K in (2, 3):
        yield K, [task.support for task in at.tasks[:K]]
