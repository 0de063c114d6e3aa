"""`check_loss`: a look at what the framework really does with a loss, by behaviour alone."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from metaspec.backend.arrays import computing
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import resolve
from metaspec.checks.inputs import check_data, check_params
from metaspec.errors import InvalidTypeError, MetaspecError, MutationError
from metaspec.losses import finding_messages, state
from metaspec.losses.compared_forms import against_rows
from metaspec.losses.difference_quotients import ProbeLine, against_differences
from metaspec.losses.findings import LossCheck, LossFinding
from metaspec.losses.lifting import lift_loss
from metaspec.losses.points import Evaluator, Sample, Vector, direction, finite, moved, scales, sizes_of, total
from metaspec.losses.usage import unused
from metaspec.task import Tree

BESIDE = 2.0**-7  # how far from the parameters derivatives are held against differences: no kink is there by design
DIGITS = 1e-2  # relative error of a gradient in a narrow format that is worth a word
REPEATS = 1000  # roundoffs by which two evaluations may differ where a processor adds in another order


def check_loss(
    loss: Callable[[Tree, Tree], Any],
    params: Tree,
    batch: Tree,
    *,
    has_aux: bool = False,
    compiled: bool = True,
    backend: str | Backend | None = None,
) -> LossCheck:
    """Look at a loss before trusting it: what does the framework really do with it?

    By behaviour, never by the class of a layer: the loss, its gradient and a Hessian-vector product are computed, and
    held against differences, against a second evaluation, and against the batched and the compiled form. It takes
    about ten gradients' time, and compilation where `compiled`.

    | looked at | how |
    | --- | --- |
    | second derivative | H v against differences of gradients, g(θ + h v) - g(θ) |
    | first derivative | <g, v> against differences of values |
    | randomness | two evaluations give the same bits; no process-wide generator has moved |
    | purity | parameters, batch, and every array that the loss can reach, before and after |
    | use | leaves with a zero gradient: does the value depend on them? |
    | batched | `Backend.vmap` over two parameters against one after the other |
    | compiled | `Backend.compile` of that against eager execution |
    | numbers | NaN, infinity, digits lost in a narrow format |

    Args:
        loss: As in `meta_gradient`.
        params: As in `meta_gradient`. Derivatives are held against differences at a point 1 % beside them.
        batch: A support or query set.
        has_aux: As in `meta_gradient`.
        compiled: Compile the loss's derivatives too, which takes seconds in some frameworks.
        backend: As in `meta_gradient`.

    Returns:
        LossCheck. `ok` is false where a finding is an error: what MAML, iMAML, FO-MAML or Reptile (the finding says
        which) compute would be wrong. What the loss itself raises is a finding as well.

    Raises:
        InvalidArgumentError, InvalidTypeError, BackendMismatchError: `loss`, `params` or `batch` is no such thing.

    Example:
        >>> import numpy as np, metaspec as ms
        >>> loss = lambda p, batch: np.mean((p["w"] * batch["x"] - batch["y"]) ** 2)
        >>> batch = {"x": np.ones(3), "y": np.arange(3.0)}
        >>> ms.check_loss(loss, {"w": np.array(1.0)}, batch).ok
        True
        >>> check = ms.check_loss(loss, {"w": np.array(1.0), "b": np.array(0.0)}, batch)
        >>> [(finding.kind, finding.severity) for finding in check.findings]
        [('unused-leaf', 'note')]
    """
    if not callable(loss):
        raise InvalidTypeError(
            f"check_loss: loss must be a function (params, batch) -> scalar, got {type(loss).__name__}"
        )
    B = resolve(backend, params)
    check_params(B, params)
    check_data(B, batch, "batch")
    params, batch = B.guard.detach((params, batch))
    with computing(B, params):
        given = state.array_digests(B, params, "params") | state.array_digests(B, batch, "batch")
        moving, switches = state.generators(B), state.settings(B)
        found = list(_findings(Evaluator(B, lift_loss(B, loss, has_aux), params, batch), loss, compiled))
        now = state.array_digests(B, params, "params") | state.array_digests(B, batch, "batch")
        if altered := state.changed(given, now):
            found.append(finding_messages.mutated(altered))
        if drawn := state.changed(moving, state.generators(B)):
            found.append(finding_messages.generators_moved(drawn, any(finding.kind == "random" for finding in found)))
        if switched := state.changed(switches, state.settings(B)):
            found.append(finding_messages.settings_changed(switched))
    return LossCheck.of(found)


def _findings(at: Evaluator, loss: Callable[..., Any], compiled: bool) -> Iterator[LossFinding]:
    x = at.vector(at.params)
    try:
        try:
            first = at.sample(x)
        except Exception:
            if at.eager:
                raise
            at = replace(at, eager=True)  # what cannot be compiled may do all the same
            first = at.sample(x)
    except Exception as error:
        yield _failed(at, loss, error)
        return
    before = state.reachable_arrays(at.B, loss)  # after the first call: what is made at that time is no change
    try:
        again = at.value(x)
    except Exception as error:
        yield finding_messages.fails_again(error)
        return
    if differs := _differs(at, first.value, again):
        yield _two_values(at, x, first.value, again, differs)
    elif not (np.isfinite(first.value) and finite(first.gradient)):
        yield _not_finite(at, x, first)
    else:
        yield from _derivatives(at, x, first, compiled)
    if altered := state.changed(before, state.reachable_arrays(at.B, loss)):
        yield finding_messages.state_altered(altered)


def _derivatives(at: Evaluator, x: Vector, first: Sample, compiled: bool) -> Iterator[LossFinding]:
    scale, names = scales(x), _names(at)
    v = direction(x, scale, seed=1)
    try:
        y, value = _beside(at, x, scale)
        gradient, product = at.product(y, v)
    except Exception as error:
        yield finding_messages.no_second_derivative(error)
        return
    if not finite(product):
        yield finding_messages.second_not_finite(_first_bad(product, names))
        return
    yield from unused(at, y, Sample(value, gradient), scale, names)
    start, wide = Sample(value, gradient), at
    if at.roundoff > 1e-12:
        start, wide = _widened(at, y, start, scale)
    size = total(sizes_of(start.gradient, scale))
    noise = total(sizes_of(moved(gradient, -1.0, start.gradient), scale))
    lost = noise / size if wide is not at and size else 0.0
    if lost > DIGITS:
        yield finding_messages.digits_lost(lost)
    doubt = 1e-5 if at.roundoff < 1e-12 else max(3e-3, 10 * lost) if wide is not at else 1e-2
    yield from against_differences(wide, ProbeLine(y, v, scale, start, product, doubt, names))
    yield from against_rows(at, [x, y], [first.gradient, gradient], product, v, scale, noise, compiled)


def _beside(at: Evaluator, x: Vector, scale: list[float]) -> tuple[Vector, float]:
    """A point near x at which the loss is finite, rounded to the leaves' formats; x itself where there is none."""
    shift = direction(x, scale, seed=0)
    for y in (moved(x, BESIDE, shift), [a * (1 + BESIDE * np.sign(b)) for a, b in zip(x, shift, strict=True)]):
        y = at.vector(at.tree(y))
        value = at.value(y)
        if np.isfinite(value):
            return y, value
    return x, at.value(x)


def _widened(at: Evaluator, x: Vector, start: Sample, scale: list[float]) -> tuple[Sample, Evaluator]:
    """The loss in float64 with its sample at x, where it is the same function; else what is at hand."""
    try:
        wide = at.in_float64()
        sample = wide.sample(x)
    except Exception:  # a format is fixed within the loss
        return start, at
    miss = total(sizes_of(moved(sample.gradient, -1.0, start.gradient), scale))
    same = abs(sample.value - start.value) <= 1e-2 * abs(sample.value) + 1e-30
    return (sample, wide) if same and miss <= 0.1 * total(sizes_of(sample.gradient, scale)) else (start, at)


def _differs(at: Evaluator, first: float, again: float) -> float:
    """The relative difference of two evaluations, where it is more than rounding; else 0."""
    if not (np.isfinite(first) and np.isfinite(again)):
        return 0.0 if str(first) == str(again) else float("inf")
    relative = abs(first - again) / (max(abs(first), abs(again)) or 1.0)
    return relative if relative > REPEATS * at.roundoff else 0.0


def _two_values(at: Evaluator, x: Vector, differentiated: float, alone: float, relative: float) -> LossFinding:
    """Say whether the loss draws, or is another function where it is differentiated: then each value comes again."""
    eager = replace(at, eager=True)  # compiled, what the host draws comes again
    for value in (eager.value, lambda x: eager.sample(x).value):
        if _differs(at, value(x), value(x)):
            return finding_messages.random(differentiated, alone, relative)
    return finding_messages.another_function(differentiated, alone)


def _failed(at: Evaluator, loss: Callable[..., Any], error: Exception) -> LossFinding:
    if isinstance(error, MutationError):
        before = state.reachable_arrays(at.B, loss)
        with suppress(Exception):
            at.loss(at.params, at.batch)  # outside of a derivative it may do what it does to arrays of its own
        altered = state.changed(before, state.reachable_arrays(at.B, loss))
        return finding_messages.state_altered(altered) if altered else finding_messages.mutated([str(error)])
    try:
        at.loss(at.params, at.batch)
    except MetaspecError as without:
        return finding_messages.broken_contract(without)
    except Exception as without:
        return finding_messages.raises(without)
    return finding_messages.no_gradient(error)


def _not_finite(at: Evaluator, x: Vector, first: Sample) -> LossFinding:
    if not np.isfinite(first.value):
        return finding_messages.value_not_finite(first.value)
    kink = finite(at.sample(_beside(at, x, scales(x))[0]).gradient)
    return finding_messages.gradient_not_finite(_first_bad(first.gradient, _names(at)), kink)


def _first_bad(x: Vector, names: list[str]) -> str:
    return next(name for name, leaf in zip(names, x, strict=True) if not finite([leaf]))


def _names(at: Evaluator) -> list[str]:
    return ["params" + path.removeprefix("root") for path in at.B.tree_paths(at.params)]
