"""Laws of the arrays inside a loss: writes in place and complex values are the framework's own, or an error."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import metaspec as ms
from metaspec_conformance.laws.framework.claims import Claim, Holds
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree

ONE = ("float32",)
CLOSE = 1e-4  # of numbers near one in float32: a lost write or a dropped part is off by a tenth at least


def second_name(w: Array) -> Array:
    h = w * 2.0
    other = h
    other += 1.0
    return h * other


def view(w: Array) -> Array:
    h = w * 2.0
    row = h[...]
    row *= 3.0
    return h


def element(w: Array) -> Array:
    h = w * 2.0
    h[...] = w * w
    return h + w


def argument(w: Array) -> Array:
    def double(x: Array) -> None:
        x *= 2.0

    h = w + 1.0
    double(h)
    return h * w


Polynomial = tuple[Callable[[Any], Any], Callable[[Any], Any]]
CLOSED: dict[Callable[[Array], Array], list[Polynomial]] = {
    second_name: [
        (lambda w: (2 * w + 1) ** 2, lambda w: 8 * w + 4),
        (lambda w: 2 * w * (2 * w + 1), lambda w: 8 * w + 2),
    ],
    view: [(lambda w: 6 * w, lambda w: 6 + 0 * w), (lambda w: 2 * w, lambda w: 2 + 0 * w)],
    element: [(lambda w: w * w + w, lambda w: 2 * w + 1)],
    argument: [(lambda w: 2 * (w + 1) * w, lambda w: 4 * w + 2), (lambda w: (w + 1) * w, lambda w: 2 * w + 1)],
}
"""Each as a polynomial with its derivative: where arrays are written to, and where the operators bind a new array."""


@law(
    "a loss that writes to arrays of its own has the framework's own value and the derivative of that, or is an error",
    "MS-PURE-4",
    on=small,
    applies=alone,
    numeric=False,
    dtypes=ONE,
)
def writes_in_place(at: LawContext) -> Iterator[Claim]:
    leaf = np.array([0.3, 0.7, -0.4])
    for body, closed in CLOSED.items():

        def loss(params: Tree, batch: Tree, body: Any = body) -> Array:
            return at.B.xp.sum(body(params["w"]))

        given = at.array(leaf)
        try:
            own = float(at.B.to_numpy(loss({"w": given}, None)))
        except Exception:
            own = np.nan  # arrays that cannot be written to: so says the framework itself
        known = [slope for f, slope in closed if abs(np.sum(f(leaf)) - own) < CLOSE]
        for form, result in _forms(at, loss, given).items():
            if result is None:
                yield Holds(f"{body.__name__}, {form}", True)  # an error
                continue
            value, gradient = result
            right = bool(known) and abs(value - own) < CLOSE and np.allclose(gradient, known[0](leaf), atol=CLOSE)
            yield Holds(f"{body.__name__}, {form}", right, f"value {value} for {own}, gradient {gradient}")


def _forms(at: LawContext, loss: Any, given: Array) -> dict[str, tuple[float, Any] | None]:
    """Value and gradient by each form; None for an error."""
    algo = ms.MAML(ms.GradientDescent(0.1, 0))
    params, task = {"w": given}, at.task

    def eager() -> Any:
        return ms.meta_gradient(algo, loss, params, task, backend=at.B)

    def compiled() -> Any:
        return ms.compile(lambda p, t: ms.meta_gradient(algo, loss, p, t, backend=at.B), backend=at.B)(params, task)

    def batched() -> Any:
        return ms.batch_meta_gradient(algo, loss, params, [task, task], backend=at.B)

    found: dict[str, tuple[float, Any] | None] = {}
    for call in (eager, compiled, batched):
        try:
            r = call()
            found[call.__name__] = float(at.B.to_numpy(r.query_loss)), at.B.to_numpy(r.delta["w"])
        except Exception:
            found[call.__name__] = None
    return found


@law(
    "a loss that passes through complex numbers has the derivative of the real function that it is, or is an error",
    "MS-DTYPE-4",
    on=small,
    applies=alone,
    numeric=False,
    dtypes=ONE,
)
def complex_values(at: LawContext) -> Iterator[Claim]:
    leaf = np.array([0.3, 0.7, -0.4])

    def product(params: Tree, batch: Tree) -> Array:
        return at.B.xp.sum(abs(params["w"] * (1.0 + 1.0j)) ** 2)

    def cast(params: Tree, batch: Tree) -> Array:
        z = at.B.xp.astype(params["w"], at.B.xp.complex64) * (1.0 + 1.0j)
        return at.B.xp.sum(at.B.xp.real(z) ** 2 + at.B.xp.imag(z) ** 2)

    for loss in (product, cast):
        for form, result in _forms(at, loss, at.array(leaf)).items():
            right = result is None or np.allclose(result[1], 4 * leaf, atol=CLOSE)
            yield Holds(f"{loss.__name__}, {form}", right, f"gradient {result and result[1]}, expected {4 * leaf}")
