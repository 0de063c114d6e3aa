"""What a piece of code might compute: an algorithm and every way in which it may deviate, as fields with numbers."""

from dataclasses import dataclass
from typing import Any, Literal

from metaspec_conformance.audit.hypotheses.inner_rules import PLAIN, Rule

Algorithm = Literal["maml", "fomaml", "reptile", "imaml"]
Part = Literal["support", "query", "both"]
ALGORITHMS: tuple[Algorithm, ...] = ("maml", "fomaml", "reptile", "imaml")


@dataclass(frozen=True)
class Hypothesis:
    """One task's meta-update up to a factor, on a objective.

    Attributes:
        algorithm: The formula of SPEC.md. With no step, MAML is FO-MAML, the plain query gradient.
        steps: Inner steps really taken.
        rate: The inner rate, on the mean loss.
        inner_data: What the inner loop runs on.
        outer_data: What the outer gradient is of.
        inner_sum: The rate grows with the number of examples, as it does where the loss is a sum over them.
        rule: The inner optimiser.
        decay: Weight decay in the inner loop.
        strength: lambda of the proximal term and of iMAML's operator.
        proximal: Whether the inner loop has the proximal term.
        frozen: Leaves (by place) that the inner loop does not move.
        inner_swap: Two leaves whose inner updates are exchanged.
        mask: Of MAML, which steps' Hessian terms are there, see `steps_kept`.
        hessian_factor: What the Hessian terms are multiplied by.
        hessian_data: The set that the Hessian is of.
        hessian_point: Where it is taken: "along" the path (of iMAML: at its end), at its "start", "end", or one step
            late ("next").
        point: Where the outer gradient is taken: at the "end" of the path, one step "before" it, at its "start".
        every: The outer loss is summed over the steps: "" (not), "from 0", "from 1".
        operator: (a, b) of iMAML's a I + b H / lambda.
        blocks: H as it is ("full"), or without the blocks between leaves ("leaf"), or its "diagonal".
        solver: Of iMAML's system.
        solver_steps: Of the solver; 0 where it is exact.
        swaps: Pairs of leaves that are exchanged in the result.
        transposed: Leaves that are transposed in the result.
    """

    algorithm: Algorithm
    steps: int
    rate: float
    inner_data: Part = "support"
    outer_data: Part = "query"
    inner_sum: bool = False
    rule: Rule = PLAIN
    decay: float = 0.0
    strength: float = 1.0
    proximal: bool = False
    frozen: tuple[int, ...] = ()
    inner_swap: tuple[int, int] | None = None
    mask: str = "all"
    hessian_factor: float = 1.0
    hessian_data: Part = "support"
    hessian_point: str = "along"
    point: str = "end"
    every: str = ""
    operator: tuple[float, float] = (1.0, 1.0)
    blocks: str = "full"
    solver: Literal["exact", "conjugate gradients", "neumann"] = "exact"
    solver_steps: int = 0
    swaps: tuple[tuple[int, int], ...] = ()
    transposed: tuple[int, ...] = ()

    @property
    def path(self) -> tuple[Any, ...]:
        """What the inner loop's points depend on, but their number."""
        strength = self.strength if self.proximal else 0.0
        return (
            self.rate,
            self.inner_data,
            self.inner_sum,
            self.rule,
            self.decay,
            strength,
            self.frozen,
            self.inner_swap,
        )


def canonical(algorithm: Algorithm, steps: int, rate: float, strength: float = 1.0, cg_steps: int = 0) -> Hypothesis:
    """The algorithm as SPEC.md has it."""
    h = Hypothesis(algorithm, steps, rate, strength=strength)
    if algorithm == "reptile":
        return Hypothesis(algorithm, steps, rate, inner_data="both", strength=strength)
    if algorithm == "imaml":
        solver: Any = "conjugate gradients" if cg_steps else "exact"
        return Hypothesis(
            algorithm, steps, rate, strength=strength, proximal=True, solver=solver, solver_steps=cg_steps
        )
    return h


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
