"""An inner loop as an iteration, and the chain rule through one of its steps.

The iteration runs on x_k = (theta_k, s_k, k): the leaves that move, the rule's state and the step's number.

    g_k = grad l(theta_k, psi; batch_k),   (theta_{k+1}, s_{k+1}) = u(theta_k, s_k, g_k, k, eta)

psi are the leaves that stay, eta the rule's learned inputs. A cotangent (a, b) of (theta_{k+1}, s_{k+1}) is pulled back
through u, which acts entry by entry, by the backend's `vjp`, and what comes out on g_k by one product with the Hessian:

    (p, q, w, e) = (a, b) u'(theta_k, s_k, g_k, eta)
    cotangent of theta_k: p + H w,   of s_k: q,   of psi: += (d^2 l / d psi d theta) w,   of eta: += e

Plain gradient descent on all leaves has p = a and w = -lr a, and is pulled back without `vjp`, by a `pull_back` of its
own; so may any rule be whose derivative is known.

Where theta_0 = s(phi; support) and not phi itself (CAVIA's context, a head made of prototypes), the cotangent of
theta_0 is pulled back through s last.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from metaspec.algorithms.adjoint import Step
from metaspec.algorithms.minibatches import Minibatches
from metaspec.backend.loops import repeat
from metaspec.backend.patterns import Partition
from metaspec.backend.protocol import Backend, is_floating
from metaspec.errors import InvalidArgumentError
from metaspec.inner.base import Hyper, InnerRule, check_trees, given_at, learned_inputs, member_of
from metaspec.inner.learned import Learned, meta_parts
from metaspec.task import Loss, Tree
from metaspec.trees import add, zeros_like

Start = Callable[[Tree, Tree], Tree]
"""(phi, support) -> theta_0, trees of one structure."""


@dataclass(frozen=True)
class InnerLoop:
    """The inner loop of one task; `inner_loop` makes it of an algorithm's arguments.

    Attributes:
        B: The backend.
        rule: The inner rule.
        loss: (params, batch) -> (value, aux).
        batch: k -> the examples of step k.
        phi: The meta-parameters, all leaves.
        params: theta_0, all leaves: s(phi), or phi itself.
        learned: The learned inputs' arrays by name.
        partition: Which leaves move.
        start_of: s, or None.
    """

    B: Backend
    rule: InnerRule
    loss: Loss
    batch: Callable[[Any], Tree]
    phi: Tree
    params: Tree
    learned: Mapping[str, Tree]
    partition: Partition
    start_of: Callable[[Tree], Tree] | None = None

    def start(self) -> Tree:
        """Return x_0."""
        return self._theta0, self.rule.init(self.B, self._theta0), 0

    def run(self, steps: int | None = None) -> Tree:
        """Return x_K, or x after so many steps; no path is kept."""
        return repeat(self.B, self.advance, self.start(), self.rule.steps if steps is None else steps)

    def end(self) -> tuple[Tree, Tree]:
        """Return theta_K, the whole tree of parameters, and the rule's state s_K."""
        x = self.run()
        return self.adapted(x), x[1]

    def adapted(self, x: Tree) -> Tree:
        """Return the whole tree of parameters at x."""
        return self.partition.join(x[0], self._staying)

    @property
    def step(self) -> Step:
        """The step and its derivative."""
        return Step(self.advance, self.linearize, self.pull_back)

    def advance(self, x: Tree) -> Tree:
        """Return x_{k+1} of x_k."""
        theta, state, k = x
        gradient = self.B.grad(self._value)(theta, self._staying, self.batch(k))
        return *self.rule.update(self.B, theta, state, gradient, k, self._hyper(self._differentiable, k)), k + 1

    def linearize(self, x: Tree) -> tuple[Tree, Any]:
        """Return x_{k+1}, and what `pull_back` needs."""
        B, (theta, state, k) = self.B, x
        if self.partition.moving is None:
            gradient, products = B.linearize_grad(lambda theta, batch: self._value(theta, [], batch))(
                theta, self.batch(k)
            )
        else:
            gradient, products = B.vjp(
                lambda theta, staying: B.grad(self._value)(theta, staying, self.batch(k)), theta, self._staying
            )
        if self._closed_form is not None:
            hyper = self._hyper(self._differentiable, k)
            return (*self.rule.update(B, theta, state, gradient, k, hyper), k + 1), (products, None, k)
        floating, others = self._divide(state)

        def update(theta: Tree, floating: Tree, gradient: Tree, inputs: Tree) -> tuple[Tree, Tree]:
            state = self._unite(floating, others)
            theta, state = self.rule.update(B, theta, state, gradient, k, self._hyper(inputs, k))
            return theta, self._divide(state)[0]

        (next_theta, next_floating), pull = B.vjp(update, theta, floating, gradient, self._differentiable)
        check = member_of(self.rule, "check_derivative")
        if check is not None and isinstance(k, int) and k == 0:
            check(B, gradient, pull((next_theta, zeros_like(B, next_floating)))[2])
        if any(leaf is not None for leaf in others[0]):  # integers, a count of steps say, have no derivative
            others = self._divide(
                self.rule.update(B, theta, state, gradient, k, self._hyper(self._differentiable, k))[1]
            )[1]
        return (next_theta, self._unite(next_floating, others), k + 1), (products, pull, k)

    def pull_back(self, v: Tree, kept: Any) -> Tree:
        """Return the cotangent of x_k from that of x_{k+1}."""
        B, (a, b, sums), (products, pull, k) = self.B, v, kept
        if self._closed_form is not None:
            return self._closed_form(B, a, products, self._hyper(self._differentiable, k)), b, sums
        p, q, w, e = pull((a, b))
        if self.partition.moving is None:
            return add(B, p, products(w)), q, {**sums, "inputs": add(B, sums["inputs"], e)}
        h, cross = products(w)
        return add(B, p, h), q, {"staying": add(B, sums["staying"], cross), "inputs": add(B, sums["inputs"], e)}

    def cotangent(self, x: Tree, gradient: Tree) -> Tree:
        """Return the cotangent of x that a gradient in the whole tree of parameters gives."""
        moving, staying = self.partition.split(gradient)
        state = [zeros_like(self.B, leaf) for leaf in self._divide(x[1])[0]]
        return moving, state, {"staying": staying, "inputs": zeros_like(self.B, self._differentiable)}

    def meta_update(self, v: Tree) -> tuple[Tree, dict[str, Tree]]:
        """Return the gradients in phi and in the learned inputs, from the cotangent of x_0."""
        moving, _, sums = v
        if "start" in sums["inputs"]:
            moving = add(self.B, moving, sums["inputs"]["start"])
        v = self.partition.join(moving, sums["staying"])
        if self.start_of is not None:
            (v,) = self.B.vjp(self.start_of, self.phi)[1](v)
        return v, sums["inputs"]["learned"]

    @cached_property
    def _parts(self) -> tuple[Tree, list[Any]]:
        return self.partition.split(self.params)

    @property
    def _staying(self) -> list[Any]:
        return self._parts[1]

    @property
    def _theta0(self) -> Tree:
        return self._parts[0]

    @cached_property
    def _closed_form(self) -> Callable[..., Tree] | None:
        """The `pull_back` of the class that has the rule's `update`, where all leaves move and nothing is learned.

        A class that overrides `update` alone has another derivative than the one it inherits.
        """
        owner = next((kind for kind in type(self.rule).__mro__ if "update" in vars(kind)), object)
        plain = "pull_back" in vars(owner) and self.partition.moving is None and not self.learned
        return self.rule.pull_back if plain else None  # type: ignore[attr-defined]

    @cached_property
    def _differentiable(self) -> dict[str, Tree]:
        """The inputs of a step that are differentiated: the learned ones, and theta_0 for a rule that reads it."""
        inputs = {"learned": dict(self.learned)}
        return {**inputs, "start": self._theta0} if member_of(self.rule, "reads_start") else inputs

    def _value(self, theta: Tree, staying: list[Any], batch: Tree) -> Any:
        return self.loss(self.partition.join(theta, staying), batch)[0]

    def _hyper(self, inputs: Mapping[str, Any], k: Any) -> Hyper:
        """Return the rule's inputs at step k for the leaves that move."""
        B, resolved = self.B, {}
        for name, given in self.rule.inputs.items():
            if isinstance(given, Learned):
                value = given.resolve(B, inputs["learned"][name], self.params, k)
            else:
                value = given_at(B, given, k, self.rule.steps, self.params)
            single = isinstance(value, float) or (B.is_array(value) and value.ndim == 0)
            resolved[name] = value if single else self.partition.split(value)[0]
        return {**resolved, "start": inputs["start"]} if "start" in inputs else resolved

    def _divide(self, state: Tree) -> tuple[list[Any], tuple[list[Any], Any]]:
        """Return the state's floating leaves, and all else: the other leaves, None in the floating ones' places."""
        B = self.B
        leaves, structure = B.tree_flatten(state)
        floating = [B.is_array(leaf) and is_floating(B.dtype_name(leaf)) for leaf in leaves]
        others = [None if yes else leaf for leaf, yes in zip(leaves, floating, strict=True)]
        return [leaf for leaf, yes in zip(leaves, floating, strict=True) if yes], (others, structure)

    def _unite(self, floating: list[Any], others: tuple[list[Any], Any]) -> Tree:
        left = iter(floating)
        return self.B.tree_unflatten(others[1], [next(left) if leaf is None else leaf for leaf in others[0]])


def inner_loop(
    B: Backend,
    rule: InnerRule,
    loss: Loss,
    meta: Tree,
    batch: Tree,
    *,
    algorithm: str,
    adapt: str | Sequence[str] | None = None,
    minibatches: Minibatches | None = None,
    start: Start | None = None,
) -> InnerLoop:
    """Return the inner loop of a rule on one batch.

    Args:
        B: The backend.
        rule: The inner rule.
        loss: (params, batch) -> (value, aux).
        meta: The parameters, or a Meta of them and of what the rule learns.
        batch: The inner batch.
        algorithm: The algorithm's name, for errors.
        adapt: Patterns of the names of the leaves that move; None for all.
        minibatches: What of the batch each step sees; None for all of it.
        start: s, of (phi, batch); None starts at phi.

    Raises:
        InvalidArgumentError: `start` returns another structure than that of the parameters.
    """
    params, learned = meta_parts(learned_inputs(rule), meta, algorithm)
    check_trees(B, rule, params)
    for name, given in learned_inputs(rule).items():
        given.check(B, learned[name], params, f"params.learned[{name!r}]")
    phi, start_of = params, None if start is None else lambda phi: start(phi, batch)
    if start_of is not None:
        params = start_of(phi)
        expected, got = (B.tree_flatten(tree)[1] for tree in (phi, params))
        if got != expected:
            raise InvalidArgumentError(
                f"{algorithm}: start must return a tree with the structure of params, {expected}; it returned {got}"
            )
    part = (lambda k: batch) if minibatches is None else lambda k: minibatches.at(B, batch, k)
    return InnerLoop(
        B, rule, loss, part, phi, params, learned, Partition.of(B, params, adapt, f"{algorithm}: adapt"), start_of
    )
