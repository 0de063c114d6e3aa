"""Members of the family by name, and slips in them by their numbers, on three frameworks."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from tests.audit.blind import calling, plain
from tests.audit.blind.code import members
from tests.audit.blind.truth_members import CASES, LOOPS, TOOLS, truth_of

EVERY_RUN = {
    *(("torch", name, False) for name in ("rates by leaf", "CAVIA", "momentum")),
    ("torch", "head alone", True),
    ("jax", "linear rates", False),
    ("tensorflow", "minibatches", False),
}
CHOSEN = [
    pytest.param(*case, id=" ".join(map(str, case)), marks=() if case in EVERY_RUN else pytest.mark.soak)
    for case in CASES
]


@pytest.mark.parametrize(("framework", "name", "total"), CHOSEN)
def test_a_member_is_named_and_its_numbers_are_told(framework: str, name: str, total: bool) -> None:
    pytest.importorskip(framework)
    truth = truth_of(name, total)
    report = ms.audit(members.implementation(truth.loop, TOOLS[framework]()), claim=truth.claim, framework=framework)
    faults = {finding.code for finding in report.findings if finding.severity == "fault"}
    assert (report.algorithm, faults) == (truth.algorithm, set(truth.faults)), str(report)
    assert report.matches_claim == (not truth.faults), str(report)
    for field, expected in truth.found.items():
        value = report.found[field]
        assert expected(value) if callable(expected) else value == expected, (field, value)


class ByComplexSteps:
    """Derivatives without any rule: the imaginary part of a value at an imaginary distance."""

    sqrt = staticmethod(np.sqrt)

    def grad(self, f: Callable[[Any], Any], theta: dict[str, Any]) -> dict[str, Any]:
        vector = np.concatenate([np.asarray(theta[n]).reshape(-1) for n in plain.LEAVES])
        batch = f.__defaults__[0]  # type: ignore[attr-defined]
        return plain.leaves(plain.gradient(vector, batch))

    def outer(self, f: Callable[[Any], Any], params: dict[str, Any]) -> dict[str, Any]:
        vector = np.concatenate([params[n].reshape(-1) for n in plain.LEAVES])
        return plain.leaves(plain.derivative(lambda v: f(plain.leaves(v)), vector))

    def detach(self, x: Any) -> Any:
        return np.real(x) + 0j

    def rows(self, x: Any, rows: list[int]) -> Any:
        return x[rows]


@pytest.mark.parametrize("name", [name for name in LOOPS if LOOPS[name].loop.finish is members.Loop().finish])
def test_the_loops_compute_what_complex_steps_give(name: str) -> None:
    torch = pytest.importorskip("torch")
    theta, tasks = calling.data(seed=3, equal=False)
    loop = LOOPS[name].loop
    numpy_tasks = [tuple(calling.Pair(*batch) for batch in task) for task in tasks]

    def loss(params: dict[str, Any], batch: Any) -> Any:
        vector = np.concatenate([np.asarray(params[n]).reshape(-1) for n in plain.LEAVES])
        return plain.loss(vector, batch)

    expected = members.implementation(loop, ByComplexSteps())(plain.leaves(theta), numpy_tasks, loss, 0.1, 3)
    with calling.kit("torch") as (make, torch_loss, _):
        params = {n: make(a) for n, a in plain.leaves(theta).items()}
        run = partial(members.implementation(loop, members.Torch()), params, calling.batches(tasks, make), torch_loss)
        found = {n: np.asarray(g) for n, g in run(0.1, 3).items()}
    assert torch is not None
    for n, leaf in expected.items():
        assert np.allclose(found[n], leaf, rtol=1e-9, atol=1e-12), n
