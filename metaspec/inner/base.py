"""What an inner rule is: a pure update of a task's parameters, with its state in the open."""

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from functools import partial
from inspect import isroutine
from numbers import Real
from typing import Any, Protocol

from metaspec.backend.protocol import Backend, is_floating
from metaspec.checks.arguments import NOT_NEGATIVE, Domain, check_members, checked_number, settle
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.inner.learned import Learned
from metaspec.task import Array, Tree
from metaspec.trees import like, row, tree_map

Hyper = Mapping[str, Any]
"""A rule's inputs at one step, by name: each a number, a scalar array, or a tree that broadcasts against theta."""


class InnerRule(Protocol):
    """A rule (theta_{k+1}, s_{k+1}) = u(theta_k, s_k, grad l(theta_k), k, inputs), applied `steps` times.

    A rule is a frozen dataclass with these members. u is pure and, but for zero gradients, differentiable: the chain
    rule through a step is taken from `update` itself, but where a rule has a `pull_back` as `GradientDescent` has it,
    for steps that move all leaves and learn nothing.
    """

    @property
    def steps(self) -> int:
        """Number of inner steps K."""

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The rule's numbers by name, as they were given: each a number, a tree, a schedule k -> number, or Learned."""

    def init(self, B: Backend, theta: Tree) -> Tree:
        """Return the state s_0 of a task, a tree of arrays; None for a rule without state."""

    def update(self, B: Backend, theta: Tree, state: Tree, gradient: Tree, k: Any, hyper: Hyper) -> tuple[Tree, Tree]:
        """Return theta_{k+1} and s_{k+1}; `k` is a Python number, or a scalar integer array within a compiled loop."""


def check_inner(inner: Any, algorithm: str) -> None:
    """Raise InvalidTypeError unless `inner` has the members of an InnerRule."""
    if is_optimiser(inner) and not hasattr(inner, "inputs"):
        raise InvalidTypeError(
            f"{algorithm}: inner: {type(inner).__name__} is an optimiser, which ms.FromTransformation(optimiser, "
            "steps=...) makes a rule of, where it is functional (optax, torchopt)"
        )
    check_members(
        inner, f"{algorithm}: inner", ("steps", "inputs", "init", "update"), "GradientDescent(lr=0.1, steps=5)"
    )


def is_optimiser(value: Any) -> bool:
    """Return whether it has the methods of a functional optimiser, or those of one that steps in place."""
    pairs = ("init", "update"), ("step", "zero_grad")
    return any(all(callable(getattr(value, name, None)) for name in names) for names in pairs)


def learned_inputs(rule: InnerRule) -> dict[str, Learned]:
    """Return the rule's inputs that are learned, by name."""
    return {name: value for name, value in rule.inputs.items() if isinstance(value, Learned)}


def member_of(rule: Any, name: str) -> Any:
    """Return an optional member of a rule, else that of the rule which it is around; None where neither has it."""
    found = getattr(rule, name, None)
    return member_of(rule.rule, name) if found is None and hasattr(rule, "rule") else found


def with_steps(rule: Any, steps: int) -> Any:
    """Return the rule with another number of steps, that of the rule inside where it is around another."""
    if any(field.name == "steps" for field in fields(rule)):
        return replace(rule, steps=steps)
    return replace(rule, rule=with_steps(rule.rule, steps))


def is_schedule(value: Any) -> bool:
    """Return whether an input is a function of the step; a callable module of rates is a tree."""
    return isroutine(value) or isinstance(value, partial)


def given_at(B: Backend, value: Any, k: Any, steps: int, theta: Tree) -> Any:
    """Return a given input (a number, a tree, a schedule) as it is at step k."""
    if not is_schedule(value):
        return value
    if isinstance(k, int):
        return _scheduled(B, value, k)
    first = B.tree_flatten(theta)[0][0]
    table = [B.asarray(_scheduled(B, value, i), dtype=B.dtype_name(first)) for i in range(steps)]
    return row(B, B.xp.stack(table, axis=0), k)


def _scheduled(B: Backend, schedule: Callable[[int], Any], k: int) -> Any:
    """Return a schedule's number at step k; of a framework's scalar, which optax's schedules give, its value."""
    with B.guard.constant_context():
        value = schedule(k)
        return float(value) if B.is_array(value) and B.is_concrete(value) and value.ndim == 0 else value


def coefficients(B: Backend, value: Any, tree: Tree) -> Tree:
    """Return one coefficient for each leaf of `tree`: a number, or an array in the leaf's dtype."""
    if isinstance(value, int | float):
        return tree_map(B, lambda leaf: value, tree)
    if B.is_array(value):
        return tree_map(B, lambda leaf: like(B, value, leaf), tree)
    return tree_map(B, lambda leaf, c: like(B, c, leaf), tree, value)


def complement_of_power(B: Backend, base: Any, exponent: Any, leaf: Array) -> Any:
    """Return 1 - base ** exponent, exponent >= 1, in the leaf's dtype; a Python number where both are.

    Where the exponent is an array it is -expm1(exponent log1p(-(1 - base))): 1 - 0.999 ** k loses three digits.
    """
    if isinstance(exponent, int):
        return 1 - base**exponent
    if isinstance(base, float) and base == 0.0:
        return 1.0
    xp = B.xp
    exponent = xp.astype(exponent, leaf.dtype)
    if B.is_array(base):
        return 1 - xp.pow(base, exponent)
    return -xp.expm1(exponent * xp.log1p(-B.asarray(1.0 - base, dtype=B.dtype_name(leaf))))


def settle_rule(rule: Any, **domains: Domain) -> None:
    """Check a rule's number of steps and its inputs, and bind them as Python's numbers."""
    settle(rule, checked_input, steps=0, **domains)


def checked_input(value: Any, argument: str, expected: str, inside: Callable[[float], bool]) -> Any:
    """Return a rule's input; a number, also where it is learned, is checked, trees and schedules at the first call.

    Raises:
        InvalidArgumentError: A number outside of the range.
        InvalidTypeError: None, a string, a complex number, an optimiser.
    """
    if isinstance(value, Real):
        return checked_number(value, argument, expected, inside)
    if isinstance(value, Learned):
        checked_number(value.value, argument, expected, inside)
    elif is_optimiser(value):
        raise InvalidTypeError(
            f"{argument} is a rate, a number say; got an optimiser, {type(value).__name__}. As the inner rule "
            "itself it is taken by ms.FromTransformation(optimiser, steps=...), as the outer one by "
            "meta_train(optimizer=...)"
        )
    elif value is None or isinstance(value, str | complex):
        raise InvalidTypeError(f"{argument} must be a number, a tree, a schedule or ms.Learned, got {value!r}")
    return value


def check_trees(B: Backend, rule: InnerRule, params: Tree) -> None:
    """Raise where an input that is a tree does not fit `params`, or holds a number that is negative or not finite."""
    kind = type(rule).__name__
    for name, value in rule.inputs.items():
        if is_schedule(value):
            for k in range(rule.steps):
                _checked_entry(_scheduled(B, value, k), f"{kind}: {name}({k})")
        elif not isinstance(value, float | Learned):
            _check_tree(B, f"{kind}: {name}", value, params)


def _check_tree(B: Backend, what: str, value: Any, params: Tree) -> None:
    values, structure = B.tree_flatten(value)
    scalar = B.is_array(value) and value.ndim == 0
    if not scalar and structure != B.tree_flatten(params)[1]:
        raise InvalidArgumentError(
            f"{what} is a tree and must have the structure of params, {B.tree_flatten(params)[1]}; it has {structure}"
        )
    leaves = [None] if scalar else B.tree_flatten(params)[0]
    paths = [path.removeprefix("root") for path in B.tree_paths(value)]
    for path, entry, leaf in zip(paths, values, leaves, strict=True):
        if not B.is_array(entry):
            _checked_entry(entry, what + path)
            continue
        if not is_floating(B.dtype_name(entry)):
            raise InvalidTypeError(f"{what}{path} must be floating, got dtype {B.dtype_name(entry)}")
        if leaf is not None and not _fits(tuple(entry.shape), tuple(leaf.shape)):
            raise InvalidArgumentError(
                f"{what}{path} has shape {tuple(entry.shape)}, which does not broadcast to the shape "
                f"{tuple(leaf.shape)} of its leaf of params"
            )
        if B.is_concrete(entry) and 0 not in entry.shape:
            numbers = B.to_numpy(entry)
            _checked_entry(float(numbers.min()), what + path)
            _checked_entry(float(numbers.max()), what + path)


def _checked_entry(value: Any, what: str) -> None:
    checked_number(value, what, *NOT_NEGATIVE)


def _fits(shape: tuple[int, ...], into: tuple[int, ...]) -> bool:
    """Return whether an array of `shape` broadcasts to the shape `into`, and to no larger one."""
    return len(shape) <= len(into) and all(n in (1, m) for n, m in zip(shape[::-1], into[::-1], strict=False))
