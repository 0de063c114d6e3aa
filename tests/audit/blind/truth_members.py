"""What is known of the family's members and the slips in them, each on three frameworks, with mean and sum over tasks.

The loops are those of code/members.py; what they deviate in, and by which numbers, is what an audit has to print.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.audit.blind.code import members
from tests.audit.blind.code.members import BY_LEAF, LISTED, Loop
from tests.audit.blind.truth import about, some

TOOLS = {"torch": members.Torch, "jax": members.Jax, "tensorflow": members.TensorFlow}
LR = 0.05  # that an audit gives first
HEAD, BODY = ("b2", "w2"), ("b1", "w1")


def near(numbers: list[float]) -> Any:
    """Judges a list of numbers: equal to six digits."""
    return lambda value: len(value) == len(numbers) and all(map(_near, value, numbers))


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-6 * abs(b)


def first(name: str, number: float) -> Any:
    """Judges constants by name: this one."""
    return lambda value: _near(value[name], number)


def clipped(limit: float) -> Callable[..., Any]:
    """Clips the result to a norm."""

    def finish(delta: dict[str, Any], params: dict[str, Any], sqrt: Any) -> dict[str, Any]:
        norm = sqrt(sum((leaf * leaf).sum() if hasattr(leaf, "sum") else _sum(leaf) for leaf in delta.values()))
        return {n: leaf * (limit / norm if float(norm) > limit else 1.0) for n, leaf in delta.items()}

    return finish


def _sum(leaf: Any) -> Any:
    import tensorflow as tf

    return tf.reduce_sum(leaf * leaf)


def decayed(delta: dict[str, Any], params: dict[str, Any], sqrt: Any) -> dict[str, Any]:
    """Adds weight decay to the result."""
    return {n: leaf + 0.02 * params[n] for n, leaf in delta.items()}


@dataclass(frozen=True)
class MemberTruth:
    """A loop, what it is claimed to be, and what an audit has to say of it.

    Attributes:
        loop: Of the mean over tasks.
        claim: What is claimed.
        faults: The codes of the faults.
        found: Fields of the report, with values or functions that judge them.
        algorithm: That is found.
    """

    loop: Loop
    claim: str = "maml"
    faults: tuple[str, ...] = ()
    found: Mapping[str, Any] = field(default_factory=dict)
    algorithm: str = "maml"


def rate(f: Callable[[int, int, str], float]) -> Loop:
    return Loop(rate=lambda lr, k, steps, name: lr * f(k, steps, name))


def optimizer(rule: Any, name: str, faults: tuple[str, ...] = ("inner-optimizer",), **constants: float) -> MemberTruth:
    found: dict[str, Any] = {"inner_optimizer": name}
    for constant, number in constants.items():
        found["inner_constants"] = first(constant, number)
    return MemberTruth(Loop(rule=rule), faults=faults, found=found)


RATE = ("inner-rate",)
LOOPS: Mapping[str, MemberTruth] = {
    "plain": MemberTruth(Loop()),
    "rates by leaf": MemberTruth(
        rate(lambda k, K, n: BY_LEAF[n]), faults=RATE, found={"rates": near([LR * r for r in BY_LEAF.values()])}
    ),
    "geometric rates": MemberTruth(rate(lambda k, K, n: 0.7**k), faults=RATE, found={"rate_per": "geometric"}),
    "harmonic rates": MemberTruth(rate(lambda k, K, n: 1 / (1 + k)), faults=RATE, found={"rate_per": "harmonic"}),
    "linear rates": MemberTruth(rate(lambda k, K, n: 1 - k / K), faults=RATE, found={"rate_per": "linear"}),
    "rates by step": MemberTruth(
        rate(lambda k, K, n: LISTED[k]), faults=RATE, found={"rates": near([LR * r for r in LISTED[:3]])}
    ),
    "rates by leaf, MAML++": MemberTruth(rate(lambda k, K, n: BY_LEAF[n]), "maml++", algorithm="maml++"),
    "annealed weights": MemberTruth(
        Loop(weights=lambda K: [0.1] * (K - 1) + [1 - 0.1 * (K - 1)]),
        faults=("multi-step-loss",),
        found={"loss_weights": near([0.1, 0.1, 0.8])},
    ),
    "mean over steps": MemberTruth(Loop(weights=lambda K: [1 / K] * K), faults=("multi-step-loss",)),
    "annealed weights, MAML++": MemberTruth(
        Loop(weights=lambda K: [0.1] * (K - 1) + [1 - 0.1 * (K - 1)]), "maml++", algorithm="maml++"
    ),
    "shrunk start": MemberTruth(Loop(shrink=0.9), faults=("shrinkage",), found={"shrink": about(0.9)}),
    "minibatches": MemberTruth(Loop(minibatch=2), faults=("minibatches",), found={"minibatch": 2}),
    "first order on minibatches": MemberTruth(
        Loop(minibatch=2, first_order=True), "fomaml", ("minibatches",), algorithm="fomaml"
    ),
    "first order": MemberTruth(Loop(first_order=True), faults=("algorithm",), algorithm="fomaml"),
    "proximal": MemberTruth(Loop(pull=dict.fromkeys(BY_LEAF, 2.0)), faults=("inner-optimizer",)),
    "proximal by leaf": MemberTruth(Loop(pull=BY_LEAF), faults=("inner-optimizer", "regularization")),
    "proximal, sigma-MAML": MemberTruth(Loop(pull=BY_LEAF), "sigma-maml", algorithm="sigma-maml"),
    "outer decay": MemberTruth(Loop(finish=decayed), faults=("outer-decay",), found={"outer_decay": about(0.02)}),
    "outer clipping": MemberTruth(Loop(finish=clipped(0.1)), faults=("outer-clipping",)),
    "last step alone": MemberTruth(
        Loop(detached_before=lambda K: K - 1),
        faults=("partial-second-order",),
        found={"differentiated": [False, False, True]},
    ),
    "truncated": MemberTruth(Loop(detached_before=lambda K: K - 2), "truncated-maml", algorithm="truncated-maml"),
    "momentum": optimizer(members.momentum(0.7), "momentum", momentum=0.7),
    "nesterov": optimizer(members.momentum(0.6, nesterov=True), "nesterov", momentum=0.6),
    "damped momentum": optimizer(members.momentum(0.8, damped=True), "damped momentum", momentum=0.8),
    "adam": optimizer(members.adam(0.9, 0.999), "adam", b1=0.9),
    "adam of other constants": optimizer(members.adam(0.7, 0.95), "adam", b2=0.95),
    "rmsprop": optimizer(members.rmsprop(0.99), "rmsprop", rho=0.99),
    "adagrad": optimizer(members.adagrad, "adagrad"),
    "weight decay": MemberTruth(Loop(decay=0.03), faults=("inner-optimizer",)),
    "head alone": MemberTruth(Loop(moves=HEAD), faults=("leaf-frozen",), found={"frozen": some(*BODY)}),
    "ANIL": MemberTruth(Loop(moves=HEAD), "anil", algorithm="anil"),
    "BOIL": MemberTruth(Loop(moves=BODY), "boil", algorithm="boil"),
    "CAVIA": MemberTruth(Loop(moves=("b1",), from_zero=True), "cavia", algorithm="cavia"),
    "ANIL that is BOIL": MemberTruth(Loop(moves=BODY), "anil", ("algorithm", "leaf-frozen")),
}
"""By name; the tasks' mean."""

CASES = [(framework, name, total) for name in LOOPS for framework in TOOLS for total in (False, True)]
"""Framework, loop, and whether tasks are summed: a second deviation."""


def truth_of(name: str, total: bool) -> MemberTruth:
    """The truth of a loop, with the sum over tasks where `total`."""
    truth = LOOPS[name]
    if not total:
        return truth
    found = {k: v for k, v in truth.found.items() if k not in ("outer_decay",)}
    return replace(truth, loop=replace(truth.loop, total=True), faults=(*truth.faults, "task-sum"), found=found)
