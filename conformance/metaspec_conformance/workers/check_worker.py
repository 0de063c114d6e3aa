"""Checks on one backend, as functions for a worker process: `greet` first, then `perform_check` for each check."""

import gc
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.backend.protocol import Backend
from metaspec.backend.registry import registrations
from metaspec.inner.learned import Learned
from metaspec_conformance.judging.evidence import Check
from metaspec_conformance.judging.numpy_trees import leaves, tree_map
from metaspec_conformance.laws.framework.law_check import LawCheck, claims
from metaspec_conformance.scenarios.portable_losses import loss_of
from metaspec_conformance.scenarios.scenario import Scenario
from metaspec_conformance.workers.loading import load
from metaspec_conformance.workers.messages import Hello, Result
from metaspec_conformance.workers.unwritten import unwritten
from metaspec_conformance.workers.user_errors import describe_adapter_error

Compute = Callable[[Any, Any], Any]
"""(params, tasks) -> what the public function returns."""


def perform(
    B: Backend,
    check: Check,
    dtype: str,
    target: str | None = None,
    prepared: Callable[[Scenario], Compute] | None = None,
) -> Result:
    """Compute one scenario, or a law's claims.

    Args:
        B: The backend.
        check: What to compute.
        dtype: In which format.
        target: What names the backend to a worker.
        prepared: scenario -> the function of its parameters and tasks, where it is at hand; else it is made.
    """
    start = time.perf_counter()
    try:
        if isinstance(check, LawCheck):
            made = tuple(claims(B, check, dtype, target))
            return Result({}, time.perf_counter() - start, claims=made)
        with B.precision(dtype):
            trees = _trees(B, check, dtype, prepared)
    except Exception as error:
        message = describe_adapter_error(error, type(B).__module__.split(".")[0])
        return Result({}, time.perf_counter() - start, message)
    return Result(trees, time.perf_counter() - start)


def _trees(
    B: Backend, scenario: Scenario, dtype: str, prepared: Callable[[Scenario], Compute] | None
) -> dict[str, Any]:
    def convert(tree: Any) -> Any:
        return ms.asarray(tree, dtype=dtype, backend=B)

    params = convert(scenario.params)
    before = _plain(B, params)
    tasks = scenario.tasks[0] if scenario.form in ("task", "adapt") else list(scenario.tasks)
    if scenario.form == "stacked":
        tasks = tree_map(lambda *rows: np.stack(rows), *scenario.tasks)
    tasks = [convert(task) for task in tasks] if isinstance(tasks, list) else convert(tasks)
    compute = function(B, scenario, convert) if prepared is None else prepared(scenario)
    returned = (ms.compile(compute, backend=B) if scenario.compiled else compute)(params, tasks)
    if any(a.tobytes() != b.tobytes() for a, b in zip(leaves(before), leaves(_plain(B, params)), strict=True)):
        raise ms.errors.MutationError("the meta-parameters were changed by the computation")
    if scenario.form == "adapt":
        return {"adapted": _plain(B, returned)}
    names = ("delta", "adapted", "query_loss")
    return {name: _plain(B, getattr(returned, name)) for name in names}


def function(B: Backend, scenario: Scenario, convert: Callable[[Any], Any]) -> Compute:
    """The public function that a scenario is about, its loss and algorithm given; `convert` makes arrays of rates."""
    loss = loss_of(scenario.loss)
    algo: Any = scenario.algorithm
    if not isinstance(algo.inner.lr, float | Learned):
        algo = replace(algo, inner=replace(algo.inner, lr=convert(algo.inner.lr)))
    if scenario.form == "adapt":
        return lambda params, task: ms.adapt(algo, loss, params, task.support, backend=B)
    f = ms.meta_gradient if scenario.form == "task" else ms.batch_meta_gradient
    return lambda params, tasks: f(algo, loss, params, tasks, backend=B)


def _plain(B: Backend, tree: Any) -> Any:
    return tree_map(lambda leaf: np.array(B.to_numpy(leaf)) if B.is_array(leaf) else repr(leaf), tree)


def greet(target: str) -> Hello:
    """Load the target in a fresh worker process, and return what it is, or why it cannot be loaded."""
    try:
        backend = _loaded(target)
        registered = registrations().get(backend.name)
        dtypes = registered.dtypes if registered else ("float32", "float64")
        missing = unwritten(backend)
        hello = Hello({} if "versions" in missing else dict(backend.versions()), dtypes, unwritten=missing)
    except Exception as error:
        return Hello({}, (), f"{type(error).__name__}: {error}")
    gc.freeze()  # a framework is a million objects that stay; looking through them again takes TensorFlow's checks 15 %
    return hello


def perform_check(target: str, check: Check, dtype: str) -> Result:
    """Compute one check on the target; see `perform`."""
    return perform(_loaded(target), check, dtype, target)


@cache
def _loaded(target: str) -> Backend:
    return load(target)
