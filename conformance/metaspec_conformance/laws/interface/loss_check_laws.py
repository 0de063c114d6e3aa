"""Laws of `check_loss`: a right loss is not accused, one broken in a known way is, and nothing is altered."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.errors import LossCheckError
from metaspec.losses.findings import LossCheck
from metaspec.losses.state import changed, generators, settings
from metaspec.task import Task
from metaspec_conformance.laws.framework.claims import Claim, Holds, raises
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import law
from metaspec_conformance.laws.framework.law_context import LawContext, Tree

check_law = partial(law, on=small, applies=alone, numeric=False, dtypes=("float64",))


@check_law(
    "a pure, differentiable loss whose derivatives are right: check_loss finds nothing, alters nothing, draws nothing",
    "MS-LOSS-1",
    "MS-LOSS-4",
)
def right_loss_is_not_accused(at: LawContext) -> Iterator[Claim]:
    B, calls = at.B, list[Tree]()
    before = generators(B), settings(B), [B.to_numpy(leaf).copy() for leaf in B.tree_flatten((at.params, at.task))[0]]

    def counted(params: Tree, batch: Tree) -> Any:
        calls.append(None)
        return at.loss(params, batch)

    found = ms.check_loss(counted, at.params, at.task.support, compiled=False, backend=B)
    yield Holds("nothing is found", found == LossCheck(True), str(found))
    yield Holds("at most ten evaluations", len(calls) <= 10, f"{len(calls)}")
    moved = changed(before[0], generators(B)) + changed(before[1], settings(B))
    yield Holds("no generator and no setting has moved", not moved, ", ".join(moved))
    now = [B.to_numpy(leaf) for leaf in B.tree_flatten((at.params, at.task))[0]]
    same = all(a.tobytes() == b.tobytes() for a, b in zip(before[2], now, strict=True))
    yield Holds("parameters and batch are as they were", same)


@check_law(
    "a variance that stops the gradient of its mean has the right gradient and a wrong Hessian: an error of order 2",
    "MS-LOSS-2",
)
def lost_second_derivative_is_found(at: LawContext) -> Iterator[Claim]:
    B, xp = at.B, at.B.xp

    def variance(params: Tree, batch: Tree) -> Any:
        z = params["a"] * batch["x"] + params["b"]
        centred = z - B.stop_gradient(xp.mean(z))
        return xp.mean(centred * centred)

    found = ms.check_loss(variance, at.params, at.task.support, compiled=False, backend=B)
    kinds = {(finding.kind, finding.severity, finding.order) for finding in found.findings}
    yield Holds("it is an error of order 2", ("second-derivative", "error", 2) in kinds, str(found))
    yield Holds("the loss is not ok", not found.ok)


@check_law(
    "draws, parameters without use, arrays altered or kept from call to call, a derivative taken out: each is found",
    "MS-LOSS-3",
)
def broken_losses_are_found(at: LawContext) -> Iterator[Claim]:
    B, xp = at.B, at.B.xp
    kept, draws, remembered = {"mean": np.zeros(3)}, count(1.0), list[Any]()

    def altering(params: Tree, batch: Tree) -> Any:
        kept["mean"] = kept["mean"] + 1
        return at.loss(params, batch)

    def remembering(params: Tree, batch: Tree) -> Any:
        remembered.append(params["a"] * 1.5)
        return at.loss({**params, "a": params["a"] * remembered[0]}, batch)

    losses: dict[str, Callable[[Tree, Tree], Any]] = {
        "random": lambda p, b: at.loss(p, b) * next(draws),
        "ignores-params": lambda p, b: xp.mean(b["x"] * b["x"]),
        "state": altering,
        "detached": lambda p, b: at.loss(B.stop_gradient(p), b),
    }
    for kind, loss in losses.items():
        found = ms.check_loss(loss, at.params, at.task.support, compiled=False, backend=B)
        wanted = (kind, "error") in {(finding.kind, finding.severity) for finding in found.findings}
        yield Holds(f"{kind} is an error", wanted and not found.ok, str(found))
    found = ms.check_loss(remembering, at.params, at.task.support, compiled=False, backend=B)
    yield Holds("an array kept from an earlier call is an error", not found.ok, str(found))


class _OneTask:
    """A source of one task."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def task(self, index: int) -> Task:
        return self._task

    def batch(self, step: int, size: int) -> Task:
        return Task(*({name: np.stack([x] * size) for name, x in part.items()} for part in self._task))


@check_law("meta_train raises what check_loss calls an error, before the first step; check=False trains", "MS-LOSS-5")
def training_looks_first(at: LawContext) -> Iterator[Claim]:
    xp, source = at.B.xp, _OneTask(at.scenario.tasks[0])

    def ignores(params: Tree, batch: Tree) -> Any:
        return xp.mean(batch["x"] * batch["x"])

    def train(**options: Any) -> Any:
        algo = ms.FOMAML(ms.GradientDescent(0.03125, 1))
        return ms.meta_train(
            algo, ignores, at.params, source, steps=1, tasks_per_step=1, prefetch=0, backend=at.B, **options
        )

    yield raises("a loss that ignores its parameters", LossCheckError, train, "params", "check=False")
    yield Holds("with check=False it trains", train(check=False).steps == 1)
