"""Scenarios in groups of one structure, so that a framework prepares its operations once for many data sets.

Everything here runs in worker processes and depends on (seed, index) alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from metaspec import compile as compile_function
from metaspec.backend.selection import backend_context, get_backend
from metaspec.errors import InvalidArgumentError
from metaspec.task import Task
from metaspec_conformance.generators.choices import at_random
from metaspec_conformance.generators.rates import explorer
from metaspec_conformance.generators.structures import draw_structure
from metaspec_conformance.judging import error_model
from metaspec_conformance.judging.numpy_trees import leaves
from metaspec_conformance.oracles import extended_precision as extended
from metaspec_conformance.oracles.checked import reference_error
from metaspec_conformance.scenarios.portable_losses import loss_of
from metaspec_conformance.scenarios.reference import Reference, Unrolled, reference
from metaspec_conformance.scenarios.scenario import Scenario
from metaspec_conformance.workers.check_worker import Compute, function, perform
from metaspec_conformance.workers.loading import load
from metaspec_conformance.workers.messages import Result

DTYPES = ("float32", "float64")
EAGER_EVERY, EAGER = 8, 40  # a structure in eight runs eagerly, on fewer data sets
COMPILED = 240
CHECKED = 16  # data sets of a structure on which the tracer's rules are held against differences of values
SAME = 2.0**10  # in the reference's roundoffs: how far its compiled form may be from the other


@dataclass(frozen=True)
class Plan:
    """One group: which structure, how many data sets, in which format, eagerly or through one compiled function."""

    seed: int
    index: int
    count: int
    dtype: str
    eager: bool


@dataclass(frozen=True)
class Made:
    """A group's scenarios with their references, and what is wrong with these."""

    plan: Plan
    scenarios: tuple[Scenario, ...]
    references: tuple[Reference, ...]
    problems: tuple[str, ...]


def plan(seed: int, index: int, most: int) -> Plan:
    """The group of that index; formats alternate among the compiled and among the eager ones."""
    eager = index % EAGER_EVERY == 0
    turn = index // EAGER_EVERY if eager else index - index // EAGER_EVERY
    return Plan(seed, index, min(most, EAGER if eager else COMPILED), DTYPES[turn % 2], eager)


def one(name: str) -> tuple[Plan, Scenario]:
    """The scenario "soak-SEED-INDEX-ITEM" and its group's plan.

    Raises:
        InvalidArgumentError: The name has another form.
    """
    match = re.match(r"soak-(\d+)-(\d+)-(\d+)", name)
    if match is None:
        raise InvalidArgumentError(f"scenario: expected soak-SEED-INDEX-ITEM, got {name!r}")
    seed, index, item = map(int, match.groups())
    group = plan(seed, index, item + 1)
    scenario = draw_structure(at_random(seed, index)).scenario(at_random(seed, index, item), match.group())
    return group, replace(scenario, compiled=not group.eager)


def make(plan: Plan) -> Made:
    """The scenarios and references of a group."""
    structure = draw_structure(at_random(plan.seed, plan.index))
    explore = explorer(loss_of(structure.problem.loss), compiled=True)
    scenarios, references, problems = [], [], []
    unrolled = None
    for i in range(plan.count):
        name = f"soak-{plan.seed}-{plan.index}-{i}"
        scenario = replace(structure.scenario(at_random(plan.seed, plan.index, i), name, explore), compiled=False)
        if unrolled is None:
            unrolled = _compiled(scenario)
            problems += _differing(scenario, unrolled)
        scenarios.append(scenario)
        references.append(reference(scenario, unrolled))
        problem = reference_error(scenario) if scenario.oracle == "extended" and i < CHECKED else ""
        problems += [problem] if problem else []
    return Made(plan, tuple(scenarios), tuple(references), tuple(problems))


def compute(target: str, plan: Plan, scenarios: tuple[Scenario, ...]) -> list[Result]:
    """The group's results on one backend."""
    B = _loaded(target)
    if plan.eager:
        return [perform(B, scenario, plan.dtype) for scenario in scenarios]
    programs: dict[str, Any] = {}

    def prepared(scenario: Scenario) -> Compute:
        algo: Any = scenario.algorithm
        constant = repr(replace(algo, inner=replace(algo.inner, lr=0.0)))  # a program takes rates, and no other number

        def compute(params: Any, tasks: Any, lr: Any) -> Any:
            given = replace(algo, inner=replace(algo.inner, lr=lr))
            return function(B, replace(scenario, algorithm=given), lambda rates: rates)(params, tasks)

        if constant not in programs:
            programs[constant] = compile_function(compute, backend=B)
        rates = B.tree_flatten(algo.inner.lr)
        lr = B.tree_unflatten(rates[1], [B.asarray(np.asarray(rate), dtype=plan.dtype) for rate in rates[0]])
        return lambda params, tasks: programs[constant](params, tasks, lr)

    return [perform(B, scenario, plan.dtype, prepared=prepared) for scenario in scenarios]


@cache
def _loaded(target: str) -> Any:
    return load(target)


def _compiled(first: Scenario) -> Unrolled:
    """The unrolled reference as one program for each seed, for all scenarios of one structure."""
    B: Any = get_backend("numpy")
    roundings: dict[int | None, extended.Rounding] = {None: extended.EXACT}
    roundings |= {seed: extended.perturbation(error_model.PERTURBATION, seed) for seed in error_model.SEEDS}
    programs: dict[int | None, Callable[..., Any]] = {
        seed: B.compile_with_draws(rounding.everywhere(B, extended.unrolled(B, first, rounding)))
        for seed, rounding in roundings.items()
    }

    def unrolled(scenario: Scenario, task: Task, seed: int | None) -> dict[str, Any]:
        algo: Any = scenario.algorithm
        with backend_context("numpy"):
            found: dict[str, Any] = programs[seed](*extended.arguments(scenario, task))
        if "rhs" not in found:
            return found
        return found | {"delta": extended.solution(algo.solver, found, scenario.params, roundings[seed])}

    return unrolled


def _differing(scenario: Scenario, unrolled: Unrolled) -> list[str]:
    """Whether the compiled reference is the reference."""
    for i, task in enumerate(scenario.tasks):
        ours, plain = unrolled(scenario, task, None), extended.compute(scenario, task)
        for a, b in zip(leaves(ours), leaves(plain), strict=True):
            if error_model.relative_error(a, b) > SAME * error_model.EXTENDED_ROUNDOFF:
                return [f"{scenario.id}: task {i}: the compiled reference is another one"]
    return []
