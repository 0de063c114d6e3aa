"""Members of the family by the names of their papers: each is a choice of arguments of MAML or IMAML."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from metaspec.algorithms.adjoint import Checkpoint
from metaspec.algorithms.imaml import IMAML
from metaspec.algorithms.maml import MAML
from metaspec.backend.patterns import matching
from metaspec.backend.selection import resolve
from metaspec.checks.arguments import POSITIVE, checked_integer, checked_number
from metaspec.errors import InvalidArgumentError
from metaspec.inner.base import InnerRule
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.inner.learned import Learned
from metaspec.inner.proximal import Proximal, Sigma
from metaspec.solvers.base import Solver
from metaspec.solvers.conjugate_gradient import ConjugateGradient
from metaspec.task import Tree


def ANIL(inner: InnerRule, head: str | Sequence[str], checkpoint: Checkpoint = "none") -> MAML:
    """Return MAML whose inner loop moves the head alone.

    theta_{k+1} = theta_k - lr grad l_support on the leaves of `head`; the body is meta-learned through the losses.

    Source: Raghu, Raghu, Bengio, Vinyals 2020, "Rapid Learning or Feature Reuse?".

    Args:
        inner: The inner rule.
        head: Patterns of the names of the head's leaves.
        checkpoint: As for `MAML`.

    Example:
        >>> import metaspec as ms
        >>> ms.ANIL(ms.GradientDescent(0.1, steps=5), "head/**").adapt
        'head/**'
    """
    return MAML(inner, checkpoint, adapt=head)


def BOIL(inner: InnerRule, head: str | Sequence[str], checkpoint: Checkpoint = "none") -> MAML:
    """Return MAML whose inner loop moves all but the head.

    Source: Oh, Yoo, Kim, Yun 2021, "BOIL: Towards Representation Change for Few-shot Learning".

    Args:
        inner: The inner rule.
        head: Patterns of the names of the head's leaves.
        checkpoint: As for `MAML`.

    Example:
        >>> import metaspec as ms
        >>> ms.BOIL(ms.GradientDescent(0.1, steps=5), "head/**").adapt
        ['!head/**']
    """
    patterns = [head] if isinstance(head, str) else list(head)
    if not patterns or not all(isinstance(p, str) and not p.startswith("!") for p in patterns):
        raise InvalidArgumentError(f"BOIL: head must be a pattern without '!', or several, got {head!r}")
    return MAML(inner, checkpoint, adapt=[f"!{p}" for p in patterns])


def CAVIA(inner: InnerRule, context: str | Sequence[str], checkpoint: Checkpoint = "none") -> MAML:
    """Return MAML whose inner loop moves a context that each task starts at zero.

    c_0 = 0, c_{k+1} = c_k - lr grad_c l_support(c_k, psi); delta = d l_query(c_K(psi), psi) / d psi, and zero for c.

    Source: Zintgraf, Shiarlis, Kurin, Hofmann, Whiteson 2019, "Fast Context Adaptation via Meta-Learning".

    Args:
        inner: The inner rule of the context.
        context: Patterns of the names of the context's leaves, "context" or "context/**".
        checkpoint: As for `MAML`.

    Example:
        >>> import numpy as np, metaspec as ms
        >>> loss = lambda p, batch: ((p["w"] * batch["x"] + p["context"] - batch["y"]) ** 2).mean()
        >>> task = ms.Task(*({"x": np.ones(3), "y": np.full(3, y)} for y in (2.0, 3.0)))
        >>> algo = ms.CAVIA(ms.GradientDescent(lr=0.1, steps=2), context="context")
        >>> r = ms.meta_gradient(algo, loss, {"w": np.array(1.0), "context": np.array(5.0)}, task)
        >>> float(r.delta["context"]), float(np.round(r.adapted["context"], 6))
        (0.0, 0.36)
    """
    return MAML(inner, checkpoint, adapt=context, start=FromZero(context))


@dataclass(frozen=True)
class FromZero:
    """The start (phi, support) -> phi with zeros in the leaves that match; the support set is not looked at.

    Attributes:
        leaves: Patterns of names.
    """

    leaves: str | Sequence[str]

    def __call__(self, params: Tree, support: Tree) -> Tree:
        B = resolve(None, params)
        entries, structure = B.tree_flatten(params)
        zeroed = matching(B, params, self.leaves, "CAVIA: context")
        return B.tree_unflatten(structure, [B.xp.zeros_like(x) if i in zeroed else x for i, x in enumerate(entries)])


def MetaSGD(lr: float, steps: int = 1, checkpoint: Checkpoint = "none", positive: bool = False) -> MAML:
    """Return MAML with a learned rate for each entry (Li, Zhou, Chen, Li 2017, "Meta-SGD").

    theta_{k+1} = theta_k - alpha * grad l(theta_k), entry by entry; d l_query / d alpha = -sum_k g_k v_{k+1}.

    Args:
        lr: Where the rates start.
        steps: K; the paper has 1.
        checkpoint: As for `MAML`.
        positive: Keep the rates positive; the paper lets them change sign.

    Example:
        >>> import numpy as np, metaspec as ms
        >>> ms.MetaSGD(0.1).init({"w": np.ones(2)}).learned
        {'lr': {'w': array([0.1, 0.1])}}
    """
    return MAML(GradientDescent(Learned(lr, per="entry", positive=positive), steps), checkpoint)


def MAMLPlusPlus(
    lr: float, steps: int = 5, query_weights: Sequence[float] | None = None, checkpoint: Checkpoint = "none"
) -> MAML:
    """Return MAML with a learned rate for each leaf and step, and a loss on every step.

    Source: Antoniou, Edwards, Storkey 2019, "How to train your MAML".

    Args:
        lr: Where the rates start.
        steps: K.
        query_weights: The weights of the query losses at theta_1 ... theta_K, from `multi_step_weights`; None for the
            paper's after their annealing, the last step alone.
        checkpoint: As for `MAML`.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.MAMLPlusPlus(0.1, steps=5, query_weights=ms.multi_step_weights(epoch=0, steps=5))
    """
    return MAML(GradientDescent(Learned(lr, per="leaf", per_step=True), steps), checkpoint, query_weights=query_weights)


def multi_step_weights(epoch: int, steps: int, annealing_epochs: int = 15) -> tuple[float, ...]:
    """Return MAML++'s weights of the query losses after each inner step, at one epoch.

    All start at 1/K. Those before the last fall by epoch / (K E) each epoch, down to 0.03 / K; the last has the rest.

    Args:
        epoch: The number of the epoch, from 0.
        steps: K.
        annealing_epochs: E; the authors' code has 15 for mini-ImageNet and 10 for Omniglot.

    Example:
        >>> import metaspec as ms
        >>> [round(w, 3) for w in ms.multi_step_weights(epoch=6, steps=5)]
        [0.12, 0.12, 0.12, 0.12, 0.52]
    """
    epoch = checked_integer(epoch, "multi_step_weights: epoch", least=0)
    steps = checked_integer(steps, "multi_step_weights: steps", least=1)
    annealing_epochs = checked_integer(annealing_epochs, "multi_step_weights: annealing_epochs", least=1)
    early = max(1 / steps - epoch / (steps * annealing_epochs), 0.03 / steps)
    return (early,) * (steps - 1) + (1 - early * (steps - 1),)


def SigmaMAML(inner: InnerRule, sigma: Any = None, checkpoint: Checkpoint = "none") -> MAML:
    """Return MAML on the proximal objective of width sigma, learned through the inner loop (Chen et al. 2020).

    theta_{k+1} = u(theta_k, grad l(theta_k) + (theta_k - phi) / sigma^2), differentiated through all steps.

    Args:
        inner: The inner rule.
        sigma: `Learned`; None for `Learned(1.0, per="leaf")`. A dictionary of patterns as its `per` names modules.
        checkpoint: As for `MAML`.

    Example:
        >>> import metaspec as ms
        >>> modules = {"body": "body/**", "head": "head/**"}
        >>> algo = ms.SigmaMAML(ms.GradientDescent(0.1, steps=5), ms.Learned(1.0, per=modules))
    """
    return MAML(Proximal(inner, Sigma(_width(sigma))), checkpoint)


def SigmaIMAML(inner: InnerRule, sigma: Any = None, solver: Solver | None = None) -> IMAML:
    """Return iMAML of width sigma, learned by the implicit gradient (Chen et al. 2020).

    Args:
        inner: The inner rule; it minimises the proximal objective.
        sigma: As for `SigmaMAML`.
        solver: As for `IMAML`.

    Example:
        >>> import metaspec as ms
        >>> algo = ms.SigmaIMAML(ms.GradientDescent(0.1, steps=20))
    """
    return IMAML(inner, Sigma(_width(sigma)), ConjugateGradient() if solver is None else solver)


def _width(sigma: Any) -> Any:
    if sigma is None:
        return Learned(1.0, per="leaf")
    return sigma if isinstance(sigma, Learned) else checked_number(sigma, "sigma", *POSITIVE)
