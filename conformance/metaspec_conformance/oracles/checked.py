"""Whether the tracer's derivatives can be a reference: compared with differences of the loss's values alone.

Backpropagation in extended precision stands on the NumPy tracer's rules. Here, for a scenario's own loss and data, no
rule is used: central differences in extended precision, extrapolated to step zero (Richardson), give directional first
and second derivatives to about ten digits, at the meta-parameters, on support and query.
"""

from typing import Any

import numpy as np

from metaspec.backend.selection import backend_context
from metaspec.inner.learned import Meta
from metaspec.task import Tree
from metaspec_conformance.judging.numpy_trees import cast, ravel, unravel
from metaspec_conformance.scenarios.portable_losses import Loss, loss_of
from metaspec_conformance.scenarios.scenario import Scenario

STEP = np.longdouble(2.0**-12)
TOLERANCE = 1e-8  # truncation STEP^4 of the extrapolated differences, rounding roundoff / STEP^2, with room


def reference_error(scenario: Scenario) -> str:
    """What is wrong with the tracer's derivatives on this scenario's first task; empty where nothing is."""
    given = scenario.params.params if isinstance(scenario.params, Meta) else scenario.params
    params = cast(given, np.longdouble)
    for name, batch in zip(("support", "query"), cast(scenario.tasks[0], np.longdouble), strict=True):
        if batch is None:
            continue
        for order, (claimed, found, scale) in enumerate(_derivatives(loss_of(scenario.loss), params, batch), start=1):
            if not abs(claimed - found) <= TOLERANCE * scale:
                return (
                    f"{scenario.id}: derivative {order} of the loss {scenario.loss!r} on the {name} set is "
                    f"{float(claimed):.9g} by the tracer's rules and {float(found):.9g} by differences of its values"
                )
    return ""


def _derivatives(loss: Loss, params: Tree, batch: Tree) -> tuple[tuple[Any, Any, Any], ...]:
    """(claimed, found, scale) of g.v and of v.Hw, v and w random unit vectors."""
    origin = ravel(params)
    rng = np.random.default_rng(0)
    v, w = (x / np.sqrt(np.sum(x * x)) for x in rng.normal(size=(2, origin.size)).astype(np.longdouble))
    with backend_context("numpy") as B:

        def value(x: Any) -> Any:
            return np.longdouble(loss(unravel(x, params), batch))

        gradient, pull = B.vjp(lambda theta: B.grad(loss)(theta, batch), params)
        g, Hv = ravel(gradient), ravel(pull(unravel(v, params))[0])

        def differences(step: Any) -> Any:
            a, b = step * v, step * w
            first = (value(origin + a) - value(origin - a)) / (2 * step)
            second = value(origin + a + b) - value(origin + a - b) - value(origin - a + b) + value(origin - a - b)
            return np.array([first, second / (4 * step * step)])

        first, second = (4 * differences(STEP / 2) - differences(STEP)) / 3
    sizes = 1 + np.sqrt(np.sum(g * g)), 1 + np.sqrt(np.sum(Hv * Hv))
    return (np.sum(g * v), first, sizes[0]), (np.sum(Hv * w), second, sizes[1])
