"""Laws of the points without a derivative: the blocks' conventions, and that the suite's own data stay away."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from metaspec import nn
from metaspec.backend.selection import backend_context, get_backend
from metaspec_conformance.kinks.catalogue import KINKS, Kink
from metaspec_conformance.laws.framework.claims import Claim, Holds, Same
from metaspec_conformance.laws.framework.law import PROTOCOL, hyphenated, law
from metaspec_conformance.laws.framework.law_context import LawContext
from metaspec_conformance.laws.framework.law_scenarios import nowhere, scenarios
from metaspec_conformance.laws.members.required_members import once
from metaspec_conformance.scenarios.scenario import Scenario

MARGIN = 1e-4  # between a window's two largest entries; rounding moves them by 1e-7


@once(
    "relu'(0) = 0; the gradient of max_pool2d goes to the first of equals",
    "MS-KINK-1",
    numeric=False,
    naming=hyphenated(),
)
def blocks_at_kinks(at: LawContext) -> Iterator[Claim]:
    for kink in KINKS:
        if kink.declared is not None:
            f = partial(_summed, at, kink)
            x, ones = at.array((np.array(kink.at), np.ones(len(kink.at))))
            first, second = (np.array(order) for order in kink.declared)
            yield Same(f"{kink.name}, first order", at.B.grad(f)(x) + 0.0, at.array(first))
            yield Same(f"{kink.name}, second order", at.B.hvp(f)(x, ones) + 0.0, at.array(second))


def _summed(at: LawContext, kink: Kink, x: object) -> object:
    return at.B.xp.sum(kink.f(at.B, x))


@law(
    "in no window are the two largest entries closer than rounding could exchange, at phi and at theta_K",
    "MS-KINK-1",
    on=scenarios("pooled-conv-net/maml"),
    applies=nowhere,
    subject=PROTOCOL,
    numeric=False,
    dtypes=("float64",),
)
def away_from_kinks(at: LawContext) -> Iterator[Claim]:
    for where, gap in _gaps(at.scenario):
        yield Holds(where, gap > MARGIN, f"two entries of a window differ by {gap:.1e}")


def _gaps(scenario: Scenario) -> list[tuple[str, float]]:
    """Return the distances of the data from kinks, by place; computed on NumPy, whatever backend is certified."""
    numpy_backend = get_backend("numpy")
    on, found = LawContext(numpy_backend, "float64", scenario), []
    with backend_context(numpy_backend):
        for i, task in enumerate(on.tasks):
            for point, params in (("phi", on.params), ("theta_K", on.adapt(support=task.support))):
                for batch in (task.support, task.query):
                    x = batch["x"]
                    for kernel in params["kernels"]:
                        x = nn.conv2d(x, kernel)
                        found.append((f"task {i} at {point}", _smallest_gap(np.asarray(x))))
                        x = nn.tanh(nn.max_pool2d(x))
    return found


def _smallest_gap(x: np.ndarray) -> float:
    """Over all 2 x 2 windows, between the largest entry and the next."""
    n, height, width, channels = x.shape
    windows = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4).reshape(-1, 4)
    ordered = np.sort(windows, axis=1)
    return float(np.min(ordered[:, -1] - ordered[:, -2]))
