"""The inner loop of a member of the family written out, for backpropagation through all of it."""

from collections.abc import Callable
from typing import Any

from metaspec.backend.patterns import leaf_names
from metaspec.inner.learned import Learned, Meta
from metaspec.task import Tree
from metaspec_conformance.judging.numpy_trees import leaves, tree_map
from metaspec_conformance.oracles.entrywise_rules import RULES

Slope = Callable[[Tree], Tree]


def is_member(algo: Any) -> bool:
    """Whether an algorithm is MAML with another rule, learned inputs, leaves that stay, weights or truncation."""
    rule = algo.inner
    plain = type(rule).__name__ == "GradientDescent" and not isinstance(rule.lr, Learned)
    extras = (getattr(algo, name, None) for name in ("adapt", "query_weights", "backprop_steps"))
    return not plain or any(extra is not None for extra in extras)


def path(B: Any, algo: Any, meta: Tree, gradient: Slope, rounding: Callable[[Tree], Tree]) -> list[Tree]:
    """Return theta_0 ... theta_K. Truncated, derivatives go back to theta_{K-j}, for which phi then stands.

    Args:
        B: The NumPy backend.
        algo: MAML; its `adapt`, where it has one, lists names of leaves in full.
        meta: The parameters, or a Meta.
        gradient: theta -> the gradient of the inner loss.
        rounding: Of every step.
    """
    phi, learned = (meta.params, meta.learned) if isinstance(meta, Meta) else (meta, {})
    names = leaf_names(B, phi)
    moves = [algo.adapt is None or name in algo.adapt for name in names]
    kind = "Nesterov" if getattr(algo.inner, "nesterov", False) else type(algo.inner).__name__
    rule, steps = RULES[kind], algo.inner.steps
    since = 0 if algo.backprop_steps is None else steps - algo.backprop_steps
    theta, state, visited = phi, [(0 * x,) * rule.state for x in leaves(phi)], [phi]
    for k in range(steps):
        g = leaves(gradient(theta))
        moved = [
            rule.move(x, state[i], g[i], k, _hyper(algo.inner, learned, i, k), _root(B)) if moves[i] else (x, state[i])
            for i, x in enumerate(leaves(theta))
        ]
        state, following = [s for _, s in moved], iter([x for x, _ in moved])
        theta = rounding(tree_map(lambda leaf, following=following: next(following), phi))
        if k + 1 == since:  # theta_{K-j} is reached, theta_K where j = 0
            theta = tree_map(lambda x, p: B.stop_gradient(x) + (p - B.stop_gradient(p)), theta, phi)
            state = B.stop_gradient(state)
        visited.append(theta)
    return visited


def _hyper(rule: Any, learned: dict[str, Tree], i: int, k: int) -> dict[str, Any]:
    """The rule's inputs for leaf i at step k."""
    found = {}
    for name, given in rule.inputs.items():
        if not isinstance(given, Learned):
            found[name] = given
            continue
        array = learned[name] if given.per == "all" else leaves(learned[name])[i]
        found[name] = array[k, ...] if given.per_step else array
    return found


def _root(B: Any) -> Callable[[Any], Any]:
    """The root whose derivative at zero is taken as zero (MS-RULE-7)."""

    def root(x: Any) -> Any:
        positive = x > 0
        return B.xp.where(positive, B.xp.sqrt(B.xp.where(positive, x, B.xp.ones_like(x))), B.xp.zeros_like(x))

    return root
