"""What is known of the family's members and the slips in them, each on three frameworks, with mean and sum over tasks.

The loops are those of code/members.py; what they deviate in, and by which numbers, is what an audit has to print.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tests.audit.blind import plain
from tests.audit.blind.code import members
from tests.audit.blind.code.members import BY_LEAF, LISTED, Loop
from tests.audit.blind.plain import Asked, Pair, Tasks, Vector
from tests.audit.blind.truth import Truth, about, some

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
    "outer clipping": MemberTruth(
        Loop(finish=clipped(0.1)), faults=("outer-clipping",), found={"outer_clip": about(0.1)}
    ),
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


class ByComplexSteps:
    """Derivatives without any rule: the imaginary part of a value at an imaginary distance."""

    sqrt = staticmethod(np.sqrt)

    def grad(self, f: Callable[[Any], Any], theta: dict[str, Any]) -> dict[str, Any]:
        return plain.leaves(plain.gradient(_vector(theta), f.__defaults__[0]))  # type: ignore[attr-defined]

    def outer(self, f: Callable[[Any], Any], params: dict[str, Any]) -> dict[str, Any]:
        return plain.leaves(plain.derivative(lambda v: f(plain.leaves(v)), _vector(params)))

    def detach(self, x: Any) -> Any:
        return np.real(x) + 0j

    def rows(self, x: Any, rows: list[int]) -> Any:
        return x[rows]


def _vector(tree: Mapping[str, Any]) -> Vector:
    return np.concatenate([np.asarray(tree[name]).reshape(-1) for name in plain.LEAVES])


@dataclass(frozen=True)
class LoopOracle:
    """What a loop computes, by complex steps."""

    loop: Loop

    def __call__(self, phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
        run = members.implementation(self.loop, ByComplexSteps())
        pairs = [tuple(Pair(*batch) for batch in task) for task in tasks]

        def loss(params: Any, batch: Any) -> Any:
            return plain.loss(_vector(params), batch)

        return _vector(run(plain.leaves(phi), pairs, loss, asked.lr, asked.steps))


def implementation(framework: str, name: str) -> Callable[..., Any]:
    """A loop by the name of its truth, on a framework."""
    loops = {f"{key}{SUMMED * total}": loop_of(key, total) for key in LOOPS for total in (False, True)}
    return members.implementation(loops[name], TOOLS[framework]())


def loop_of(name: str, total: bool) -> Loop:
    """A loop with the mean over tasks, or the sum: a second deviation."""
    return replace(LOOPS[name].loop, total=total)


def _truth(framework: str, name: str, total: bool) -> Truth:
    member = LOOPS[name]
    hidden = "?" * (name == "outer clipping")  # the clipped mean is the clipped sum
    faults, oracle = (*member.faults, *["task-sum" + hidden] * total), LoopOracle(loop_of(name, total))
    options = {"framework": framework}
    named = f"{framework}_members", f"{name}{SUMMED * total}", "in one loop"
    return Truth(*named, member.claim, oracle, member.algorithm, faults, member.found, options=options, digits=9.0)


SUMMED = ", summed"
TRUTHS = [_truth(framework, name, total) for framework in TOOLS for name in LOOPS for total in (False, True)]
