"""What a piece of code might compute: an algorithm and every way in which it may deviate, as fields with numbers."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from metaspec_conformance.audit.hypotheses.inner_rules import PLAIN, TriedRule
from metaspec_conformance.audit.thresholds import SAME_NUMBER

Algorithm = Literal["maml", "fomaml", "reptile", "imaml"]
Part = Literal["support", "query", "both"]
ALGORITHMS: tuple[Algorithm, ...] = ("maml", "fomaml", "reptile", "imaml")

RATES = {
    "leaf": "one for each leaf",
    "step": "one for each step",
    "entry": "one for each entry",
    "geometric": "times {0:.6g} at each step",
    "harmonic": "divided by 1 + {0:.6g} k at step k",
    "linear": "falling linearly to zero",
    "given": "those that were given",
}
"""How inner rates may vary: the kinds of `Hypothesis.rate_per`, in words with their numbers."""

SOLVERS = {
    "exact": "exactly",
    "conjugate gradients": "by {n} steps of conjugate gradients",
    "old residual": "by {n} steps of conjugate gradients that take the old residual into the direction",
    "normal equations": "by {n} steps of conjugate gradients on the normal equations",
    "neumann": "by {n} terms of a Neumann series (Richardson steps) with the rate {rate:.6g} on I + H/lambda",
}
"""The kinds of `Hypothesis.solver`, in words with their numbers."""


@dataclass(frozen=True)
class Hypothesis:
    """One task's meta-update up to a factor, on a objective.

    Attributes:
        algorithm: The formula of SPEC.md. With no step, MAML is FO-MAML, the plain query gradient.
        steps: Inner steps really taken.
        rate: The inner rate, on the mean loss.
        rate_per: How it varies: "" (not), or one of `RATES`.
        rate_ratios: The numbers of `rate_per`; of "leaf", "step" and "entry" what the rate is multiplied by.
        inner_data: What the inner loop runs on.
        minibatch: How many examples a step sees, the next ones at each step; 0 for all.
        minibatch_form: "around": counted around the end; "split": the last batch of a round may be smaller; "first":
            every step sees the first ones.
        outer_data: What the outer gradient is of.
        inner_sum: The rate grows with the number of examples, as it does where the loss is a sum over them.
        rule: The inner optimiser.
        decay: Weight decay in the inner loop.
        strength: lambda of the proximal term and of iMAML's operator.
        strengths: What lambda is multiplied by, leaf by leaf; empty where it is one for all.
        proximal: Whether the inner loop has the proximal term.
        frozen: Leaves (by place) that the inner loop does not move.
        from_zero: The leaves that it moves start at zero and have no meta-gradient (CAVIA's context).
        shrink: The inner loop starts at this times the meta-parameters.
        inner_swap: Two leaves whose inner updates are exchanged.
        mask: Of MAML, which steps' Hessian terms are there, see `steps_kept`.
        hessian_factor: What the Hessian terms are multiplied by.
        hessian_data: The set that the Hessian is of.
        hessian_point: Where it is taken: "along" the path (of iMAML: at its end), at its "start", "end", or one step
            late ("next").
        difference: Step of the difference quotient in place of products with the Hessian; 0: they are exact.
        difference_form: "central" or "forward"; with " / |v|" the step is divided by the vector's norm (DARTS).
        point: Where the outer gradient is taken: at the "end" of the path, one step "before" it, at its "start".
        every: The outer loss is summed over the steps: "" (not), "from 0", "from 1", or "weighted".
        loss_weights: Of "weighted", the weights of the points from 1 to the last but one; that of the last is 1.
        operator: (a, b) of iMAML's a I + b H / lambda.
        blocks: H as it is ("full"), or without the blocks between leaves ("leaf"), or its "diagonal".
        solver: Of iMAML's system, one of `SOLVERS`.
        solver_steps: Of the solver; 0 where it is exact.
        solver_rate: Of a Neumann series.
        swaps: Pairs of leaves that are exchanged in the result.
        transposed: Leaves that are transposed in the result.
        outer_decay: What of the meta-parameters is added to the result.
        outer_clip: The norm, or size of an entry, that the result is clipped to; 0 where it is not.
        outer_clip_by: "norm" or "entry".
    """

    algorithm: Algorithm
    steps: int
    rate: float
    rate_per: str = ""
    rate_ratios: tuple[float, ...] = ()
    inner_data: Part = "support"
    minibatch: int = 0
    minibatch_form: str = "around"
    outer_data: Part = "query"
    inner_sum: bool = False
    rule: TriedRule = PLAIN
    decay: float = 0.0
    strength: float = 1.0
    strengths: tuple[float, ...] = ()
    proximal: bool = False
    frozen: tuple[int, ...] = ()
    from_zero: bool = False
    shrink: float = 1.0
    inner_swap: tuple[int, int] | None = None
    mask: str = "all"
    hessian_factor: float = 1.0
    hessian_data: Part = "support"
    hessian_point: str = "along"
    difference: float = 0.0
    difference_form: str = "central"
    point: str = "end"
    every: str = ""
    loss_weights: tuple[float, ...] = ()
    operator: tuple[float, float] = (1.0, 1.0)
    blocks: str = "full"
    solver: str = "exact"
    solver_steps: int = 0
    solver_rate: float = 1.0
    swaps: tuple[tuple[int, int], ...] = ()
    transposed: tuple[int, ...] = ()
    outer_decay: float = 0.0
    outer_clip: float = 0.0
    outer_clip_by: str = "norm"

    @property
    def path(self) -> tuple[Any, ...]:
        """What the inner loop's points depend on, but their number."""
        pull = (self.strength, self.strengths) if self.proximal else 0.0
        rates = (self.rate, self.rate_per, self.rate_ratios, self.inner_sum, self.steps * (self.rate_per == "linear"))
        data = (self.inner_data, self.minibatch, self.minibatch_form)
        moved = (self.frozen, self.from_zero, self.shrink, self.inner_swap)
        return (*rates, *data, self.rule, self.decay, pull, *moved)

    @property
    def freedom(self) -> int:
        """How many numbers it has that are fitted one by one."""
        return len(self.rate_ratios) + len(self.loss_weights) + len(self.strengths)


def canonical(algorithm: Algorithm, steps: int, rate: float, strength: float = 1.0, cg_steps: int = 0) -> Hypothesis:
    """The algorithm as SPEC.md has it."""
    h = Hypothesis(algorithm, steps, rate, strength=strength)
    if algorithm == "reptile":
        return Hypothesis(algorithm, steps, rate, inner_data="both", strength=strength)
    if algorithm == "imaml":
        solver = "conjugate gradients" if cg_steps else "exact"
        return Hypothesis(
            algorithm, steps, rate, strength=strength, proximal=True, solver=solver, solver_steps=cg_steps
        )
    return h


def with_steps(h: Hypothesis, steps: int) -> Hypothesis:
    """The hypothesis with another number of steps; numbers of single steps go on as they ended."""
    h = replace(h, steps=steps)
    if h.rate_per == "step":
        h = replace(h, rate_ratios=_lengthened(h.rate_ratios, steps))
    return replace(h, loss_weights=_lengthened(h.loss_weights, steps - 1)) if h.loss_weights else h


def without_idle_steps(h: Hypothesis) -> Hypothesis:
    """The hypothesis without the steps whose rates were fitted to nothing; with one rate where one step is left."""
    if h.rate_per != "step" or h.minibatch or h.loss_weights:
        return h
    most = max(map(abs, h.rate_ratios))
    kept = tuple(r for r in h.rate_ratios if abs(r) > SAME_NUMBER * most)
    if len(kept) == len(h.rate_ratios):
        return h
    if len(kept) == 1:
        return replace(h, steps=1, rate=h.rate * kept[0], rate_per="", rate_ratios=())
    return replace(h, steps=len(kept), rate_ratios=kept)


def _lengthened(numbers: tuple[float, ...], count: int) -> tuple[float, ...]:
    return (numbers + numbers[-1:] * count)[: max(count, 0)]


def steps_kept(mask: str, steps: int) -> tuple[bool, ...]:
    """For each step whether its Hessian term is there.

    Args:
        mask: "all", "first m", "last m", "but first m", "but last m", or a 0 or 1 for every step.
        steps: K.
    """
    if mask == "all":
        return (True,) * steps
    if set(mask) <= {"0", "1"}:
        return tuple(c == "1" for c in mask.ljust(steps, "0")[:steps])
    *words, number = mask.split()
    n, but = min(int(number), steps), words[0] == "but"
    marked = [k < n if words[-1] == "first" else k >= steps - n for k in range(steps)]
    return tuple(m != but for m in marked)


def loss_weights(h: Hypothesis) -> tuple[float, ...]:
    """The weights of the outer loss at the path's points from 0 to the last; of "weighted" ones the sum is 1."""
    if h.every == "weighted":
        weights = (0.0, *_lengthened(h.loss_weights, h.steps - 1), 1.0)[-h.steps - 1 :]
        return tuple(w / sum(weights) for w in weights)
    start = {"from 0": 1.0, "from 1": 0.0}.get(h.every, 0.0)
    return (*(start if k == 0 else float(bool(h.every)) for k in range(h.steps)), 1.0)
