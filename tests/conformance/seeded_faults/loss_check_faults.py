"""A `check_loss` that is blind, or sees what is not there, or is not asked."""

from typing import Any

import numpy

from metaspec.losses import check, difference_quotients, finding_messages, points, state
from metaspec.training import loss_watch
from tests.conformance.seeded_faults.fault import Patch, fault, method

loss_check = "loss check"


@fault(loss_check)
def second_derivatives_taken_on_trust(patch: Patch) -> None:
    """Hessian-vector products are held against nothing."""
    patch(check, "against_differences", lambda at, line: [])


@fault(loss_check)
def differences_halved(patch: Patch) -> None:
    """Differences of gradients are divided by twice the step: every second derivative is called wrong."""

    def sample(original: Any, self: Any, x: Any) -> Any:
        found = original(self, x)
        return found._replace(gradient=[leaf / 2 for leaf in found.gradient])

    method(patch, points.Evaluator, "sample", sample)
    patch(difference_quotients, "ALIKE", 10.0)


@fault(loss_check)
def draws_overlooked(patch: Patch) -> None:
    """The second evaluation is not compared with the first."""
    patch(check, "_differs", lambda at, first, again: 0.0)


@fault(loss_check)
def use_not_asked_for(patch: Patch) -> None:
    """Leaves with a zero gradient are let through."""
    patch(check, "unused", lambda *arguments: iter(()))


@fault(loss_check)
def directions_from_the_global_generator(patch: Patch) -> None:
    """The check draws its directions from NumPy's global generator."""
    patch(
        check,
        "direction",
        lambda x, sizes, seed: [s * numpy.random.randn(*leaf.shape) for s, leaf in zip(sizes, x, strict=True)],
    )


@fault(loss_check)
def state_looked_at_once(patch: Patch) -> None:
    """What the loss can reach is digested, and never compared."""
    patch(state, "reachable_arrays", lambda B, loss: {})


@fault(loss_check)
def unused_leaves_are_errors(patch: Patch) -> None:
    """Whatever is said of a loss is an error, and something is said of every loss."""
    patch(check, "against_differences", lambda at, line: [finding_messages.unused_leaf(["params"])])


@fault(loss_check)
def training_does_not_look(patch: Patch) -> None:
    """A training begins without a look at its loss."""
    patch(loss_watch.LossWatch, "before", lambda self, params, tasks: None)
