"""The laws of the protocol and of the public functions' promises hold on NumPy, and fail where they are broken."""

from functools import cache, partial

import interface_faults as interface
import numpy as np
import protocol_faults as faults
import pytest

from metaspec.backends.numpy.adapter import NumpyBackend
from metaspec.conformance.evidence import evidence
from metaspec.conformance.judge import judge
from metaspec.conformance.laws import LAWS, certified_laws
from metaspec.conformance.worker import perform

TOPICS = (
    "batches",
    "choice",
    "derivatives",
    "dtypes",
    "outer",
    "purity",
    "solving",
    "speed",
    "trees",
    "wrong_input",
)
CHECKS = [check for check in certified_laws() if LAWS[check.law].check.__module__.rpartition(".")[2] in TOPICS]

SEEN_BY = {
    interface.aux_of_the_start: ["loss-with-aux"],
    faults.absolute_tolerance: ["solved-by-tolerance"],
    faults.always_converged: ["ends-of-a-solve"],
    interface.arguments_moved: ["arguments-untouched"],
    interface.arrays_before_choice: ["order-of-choice"],
    interface.batches_unchecked: ["wrong-batches"],
    interface.booleans_weighed: ["integer-data", "formats-honoured"],
    faults.checkpoint_forgets: ["checkpoint"],
    interface.choice_of_the_process: ["choice-by-thread"],
    faults.compiled_once_for_all: ["compiled-algorithm", "compiled-closure", "nested-compile"],
    faults.constant_gradient_halved: ["linear-functions"],
    faults.damping_ignored: ["damped-solve"],
    interface.digits_dropped: ["exact-in-every-format"],
    faults.entries_rounded_in_small_scales: ["scale-of-the-right-hand-side"],
    faults.first_row_for_all: ["stacked-tasks", "nested-vmap"],
    interface.foreign_arrays_taken: ["foreign-arrays"],
    interface.formats_replaced: ["formats-honoured"],
    faults.garbage_for_unused: ["unused-leaves", "frozen-leaves"],
    interface.generator_moved: ["settings-untouched"],
    faults.gradient_detached: ["fourth-order", "gradient-of-a-delta"],
    faults.gradients_of_equal_shapes_exchanged: ["one-vector", "scalar-leaves", "two-outer-steps"],
    interface.gradients_widened: ["leaves-of-two-formats", "data-of-another-format"],
    faults.leaves_in_order_of_insertion: ["renamed-leaves", "inserted-in-another-order"],
    interface.loss_unchecked: ["wrong-loss"],
    faults.no_size_limit: ["direct-solve"],
    interface.numbers_unchecked: ["not-a-number"],
    faults.one_step_short: ["krylov-minimiser", "falling-energy", "compiled-solve"],
    interface.parameters_unchecked: ["wrong-parameters"],
    faults.product_not_linear: ["linear-hessian", "symmetric-hessian"],
    faults.product_of_a_constant_point: ["third-order", "delta-is-a-gradient", "gradient-of-the-rate"],
    faults.product_one_sided: ["symmetric-hessian"],
    faults.product_within_leaves: ["derivatives-of-a-quadratic"],
    faults.pullback_used_up: ["duality"],
    faults.push_forward_dropped: ["forms-of-a-product"],
    interface.query_unchecked: ["empty-query"],
    interface.rates_of_float64: ["numbers-do-not-widen"],
    interface.rates_unchecked: ["wrong-hyper-parameters"],
    interface.results_lent: ["results-of-their-own"],
    faults.residual_invented: ["preconditioned-solve"],
    faults.scan_short_of_one: ["scan"],
    interface.settings_changed: ["settings-untouched"],
    faults.start_ignored: ["warm-start"],
    interface.state_kept_between_calls: ["same-bits", "one-task", "permuted-tasks", "empty-leaves", "equal-leaves"],
    faults.stopped_to_first_order: ["stopped-at-every-order", "stopped-in-the-loss"],
    faults.sum_over_tasks: ["duplicated-tasks"],
    faults.tuples_become_lists: ["other-containers"],
    interface.unknown_is_numpy: ["no-backend"],
    faults.weighted_by_examples: ["tasks-of-different-sizes"],
    interface.writing_allowed: ["writing-loss"],
}


@cache
def known(check):
    return evidence(CHECKS[check])


def outcome(B, check, dtype):
    truths, problem = known(CHECKS.index(check))
    assert problem == ""
    return judge("numpy", check, dtype, truths, perform(B, check, dtype))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_law_holds(check):
    assert outcome(NumpyBackend(), check, check.dtypes[-1]).message == ""


def test_every_law_is_seen_to_fail():
    """Two that are not: what they look at lies between processes."""
    between = {"backend-of-the-environment", "same-bits-in-another-process"}
    seen = {law for laws in SEEN_BY.values() for law in laws}
    assert {check.law for check in CHECKS} - seen == between


@pytest.mark.parametrize("fault", SEEN_BY, ids=lambda fault: fault.__name__)
def test_fault_is_seen(fault):
    for law in SEEN_BY[fault]:
        checks = [check for check in CHECKS if check.law == law]
        for check in checks:
            known(CHECKS.index(check))  # before anything is broken
        with pytest.MonkeyPatch.context() as patch, np.errstate(all="ignore"):
            B = fault(partial(patch.setattr, raising=False))
            caught = any(not outcome(B, check, check.dtypes[-1]).passed for check in checks)
        assert caught, f"{law} holds"
