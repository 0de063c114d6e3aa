"""`compare`: the same loss, or losses that ought to be the same, on several backends, stage by stage."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from metaspec.algorithms import MAML
from metaspec.algorithms.base import Algorithm, check_algorithm
from metaspec.checks.arguments import checked_number
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.inner.gradient_descent import GradientDescent
from metaspec.task import Task
from metaspec_conformance.compare import stages
from metaspec_conformance.compare.comparison import Comparison, SideReport
from metaspec_conformance.compare.comparison_messages import Side, SideReady, Source, Variant
from metaspec_conformance.compare.comparison_verdicts import Cells, parting
from metaspec_conformance.compare.context import REFERENCE, ComparisonContext
from metaspec_conformance.compare.explaining import describe, explain
from metaspec_conformance.compare.explaining.case import ExplanationCase
from metaspec_conformance.compare.layout import Layout, Leaves, borrowed, mapped, same_names, unmapped
from metaspec_conformance.compare.sources import located
from metaspec_conformance.compare.team import ComparisonError, Team
from metaspec_conformance.judging.numpy_trees import cast, leaves_with_paths
from metaspec_conformance.workers.targets import resolved

DTYPES = ("float32", "float64")
EXTENDED = "extended precision"
DEFAULT = MAML(GradientDescent(lr=0.01, steps=5))


def compare(
    loss: Any,
    backends: Sequence[str] = (),
    *,
    params: Any = None,
    task: Any = None,
    mapping: Any = None,
    algorithm: Algorithm = DEFAULT,
    dtype: str = "float64",
    seed: int = 0,
    timeout: float = 120.0,
    progress: Callable[[str], None] = lambda text: None,
) -> Comparison:
    """Where, and why, the numbers of one loss on several backends part.

    Each backend computes in a process of its own: parameters, loss, gradient, Hessian-vector product, parameters after
    each inner step, query loss and gradient, meta-gradient. A portable loss is held against the same computation in
    extended precision, native ones against the first. Every leaf's difference is judged by the error model
    (docs/error-model.md). Explanations are tested: the cause is taken away and everything is computed again.

    Args:
        loss: A portable loss (params, batch) -> scalar; or native losses by side, {"torch": f, "jax": g}, the side
            being a backend's name or "name@backend". A function of a module or a file, or its place
            ("mymodule:loss", "file.py:loss").
        backends: Of a portable loss: at least one; none are all that are installed.
        params: The first side's parameters, which the others then start from: a tree of numbers and arrays, a function
            without arguments that returns it, or its place. By side, {"torch": ..., "jax": ...}: each its own.
            Default: the attribute `params` of the loss's module.
        task: Task(support, query) likewise; default: the attribute `task` of the loss's module.
        mapping: Which leaf of the side is which of the first side: a tree like its parameters of `Leaf` or of names; or
            such trees by side; or the place of it.
        algorithm: What is computed; one rate for all leaves.
        dtype: "float64" or "float32".
        seed: Of the vector that Hessians are multiplied with.
        timeout: Seconds for one computation.
        progress: Is told what begins, a line at a time.

    Returns:
        Comparison; after a KeyboardInterrupt that of the sides that were done, if there are any.

    Raises:
        InvalidArgumentError, InvalidTypeError: What was given does not fit; the message says what and how to mend it.
        UnknownBackendError, BackendNotInstalledError: As `get_backend`.
        ComparisonError: A side's loss raised, died or took too long.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> import metaspec as ms
        >>> _ = Path("mymodel.py").write_text('def loss(params, batch): return ((params["w"] - batch["y"]) ** 2).sum()')
        >>> batch = {"y": np.array(0.0)}
        >>> task = ms.Task(batch, batch)
        >>> ms.compare("mymodel.py:loss", ["numpy"], params={"w": np.array(1.0)}, task=task).agreed
        True
    """
    check_algorithm(algorithm)
    _check_rates(algorithm)
    if dtype not in DTYPES:
        raise InvalidArgumentError(f"compare: dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    checked_number(timeout, "compare: timeout", "seconds > 0", lambda x: x > 0)
    sides = _sides(loss, backends, {"params": params, "task": task, "mapping": mapping})
    native = len({side.loss for side in sides}) > 1
    portable = not native and mapping is None
    extra = [Side(REFERENCE, "numpy", sides[0].loss)] if portable else []
    with Team([*sides, *extra], timeout) as team:
        progress(f"starting {', '.join(side.name for side in sides)}")
        ready = team.ready()
        for side in sides:
            if ready[side.name].error:
                raise ComparisonError(f"{side.name}: {ready[side.name].error}")
        variants = _variants(sides, ready, algorithm, dtype, seed)
        notes: list[str] = []
        other = variants[sides[0].name]
        if extra:
            other = replace(
                other, layout=replace(same_names(list(other.params)), skeleton=ready[sides[0].name].skeleton)
            )
        extended = bool(extra) and not (problem := _problem(team, ready, other))
        if extra and not extended:
            notes.append(f"no reference in extended precision ({problem}); sides are held against {sides[0].name}")
        context = ComparisonContext(team, sides[0].name, extended, dtype)
        held = sides if extended else sides[1:]
        if not held:
            raise InvalidArgumentError(
                f"compare: one side alone, {sides[0].name}, and {notes[0] if notes else 'nothing to hold it against'}; "
                "name a second backend or a second loss"
            )
        other = other if extended else variants[sides[0].name]
        reports: dict[str, SideReport] = {}
        try:
            for side in held:
                progress(f"comparing {side.name} with {context.compared_with}")
                reports[side.name] = _report(
                    context, side, variants[side.name], other, ready[side.name], native, progress
                )
        except KeyboardInterrupt:
            if not reports:
                raise
        except ComparisonError as error:
            if not portable or len(sides) == 1:
                raise
            raise ComparisonError(f"{error}{_where_it_runs(team, sides, variants)}") from None
        plain = [SideReport(s.name, s.backend, s.loss.place, ready[s.name].versions, {}) for s in sides]
        return Comparison(
            tuple(reports.get(side.name, side) for side in plain),
            EXTENDED if extended else sides[0].name,
            stages.names(algorithm),
            tuple(variants[sides[0].name].params),
            dtype,
            repr(algorithm),
            tuple(notes),
            tuple(side.name for side in held if side.name not in reports),
        )


def _where_it_runs(team: Team, sides: Sequence[Side], variants: Mapping[str, Variant]) -> str:
    """Return what to do about a loss that runs on some of the backends only; "" where it runs on none or on all."""
    answers = team.ask([(side.name, replace(variants[side.name], until="loss")) for side in sides])
    runs = [side for side, answer in zip(sides, answers, strict=True) if not answer.error]
    if not 0 < len(runs) < len(sides):
        return ""
    place = runs[0].loss.place
    return (
        f"\n  {place} runs on {', '.join(side.name for side in runs)} alone. Either write it with "
        f"ms.array_namespace(params), which runs on all; or compare it with a second loss: metaspec compare --loss "
        f"{runs[0].name}={place} --loss BACKEND=module:function"
    )


def _sides(loss: Any, backends: Sequence[str], given: Mapping[str, Any]) -> list[Side]:
    losses = loss if isinstance(loss, Mapping) else None
    if losses is not None and backends:
        raise InvalidArgumentError("compare: losses by side name their backends; leave `backends` out")
    if losses is not None and not losses:
        raise InvalidArgumentError("compare: no loss is given")
    names = list(losses) if losses is not None else resolved(list(backends))
    for name in names:
        resolved([_backend(name)])
    if REFERENCE in names:
        raise InvalidArgumentError(f"compare: a side cannot be called {REFERENCE!r}")
    sides: list[Side] = []
    for name in names:
        place = located(loss if losses is None else losses[name], f"loss of {name}")
        own = {what: _own(what, x, name, names) for what, x in given.items()}
        missing = tuple(what for what in ("params", "task") if own[what] is None)
        elsewhere = not sides or place.module != sides[0].loss.module
        defaults = tuple(what for what in missing if elsewhere and (not sides or given[what] is None))
        sides.append(Side(name, _backend(name), place, own["params"], own["task"], own["mapping"], defaults))
    return sides


def _own(what: str, given: Any, name: str, names: Sequence[str]) -> Source | None:
    """Where the side's own is: what is given by side is its own, else parameters and data are the first side's."""
    by_side = isinstance(given, Mapping) and given and set(given) <= set(names)
    if by_side:
        if what == "mapping" and name == names[0] and given.get(name) is not None:
            raise InvalidArgumentError(
                f"mapping of {name}: {name} is the first side, whose leaves the others' are mapped to; expected a "
                f"mapping of {' or '.join(names[1:]) or 'another side'}, got one of {name}; "
                "give it under that side's name, or put that side's loss first"
            )
        return located(given[name], f"{what} of {name}") if name in given else None
    mine = (name != names[0]) if what == "mapping" else (name == names[0])
    return located(given, what) if given is not None and mine else None


def _backend(name: str) -> str:
    return name.partition("@")[2] or name


def _variants(
    sides: Sequence[Side], ready: Mapping[str, SideReady], algorithm: Algorithm, dtype: str, seed: int
) -> dict[str, Variant]:
    """Each side's computation on the problem as given."""
    first = ready[sides[0].name]
    if first.params is None:
        raise InvalidArgumentError(
            f"compare: there are no parameters; pass params=..., or define `params` in {sides[0].loss.module}"
        )
    if first.task is None:
        raise InvalidArgumentError(
            f"compare: there is no task; pass task=Task(support, query), or define `task` in {sides[0].loss.module}"
        )
    common = {name: _checked(name, x, dtype) for name, x in first.params.items()}
    task = _rounded(first.task, dtype)
    rng = np.random.default_rng(seed)
    direction = {name: np.float64(np.float32(rng.normal(size=np.shape(x)))) for name, x in common.items()}
    found: dict[str, Variant] = {}
    for side in sides:
        layout = _layout(side, ready[side.name], first, common, side is sides[0])
        own = ready[side.name].params
        params = common if own is None or side is sides[0] else _in_common(layout, own, common, dtype)
        data = task if ready[side.name].task is None else _rounded(ready[side.name].task, dtype)
        data = task if _same(data, task) else data
        found[side.name] = Variant(params, data, direction, algorithm, dtype, layout)
    return found


def _layout(side: Side, ready: SideReady, first: SideReady, common: Leaves, is_first: bool) -> Layout:
    own = None if ready.params is None else {name: tuple(np.shape(x)) for name, x in ready.params.items()}
    if ready.mapping is not None and not is_first:
        return mapped(side.name, ready.mapping, own, common)
    if own is not None:
        return same_names(list(own)) if is_first else unmapped(side.name, own, common)
    if first.skeleton is None:
        raise InvalidArgumentError(
            f"compare: {side.name} has no parameters of its own, and those of the first side are no plain tree of "
            "dictionaries, lists and tuples; give a mapping with the structure of its parameters, or its own parameters"
        )
    return replace(same_names(list(common)), skeleton=first.skeleton)


def _problem(team: Team, ready: Mapping[str, SideReady], variant: Variant) -> str:
    """Why there is no reference in extended precision; empty where there is one."""
    if ready[REFERENCE].error or variant.layout.skeleton is None:
        return ready[REFERENCE].error or "the parameters are no plain tree of dictionaries, lists and tuples"
    return team.ask([(REFERENCE, replace(variant, dtype="longdouble"))])[0].error


def _report(
    context: ComparisonContext,
    side: Side,
    own: Variant,
    other: Variant,
    ready: SideReady,
    native: bool,
    progress: Callable[[str], None],
) -> SideReport:
    cells = _cells(context, side, own, other, native and ready.params is None and ready.mapping is None)
    plain = SideReport(side.name, side.backend, side.loss.place, ready.versions, cells)
    found = parting(cells)
    if found is None:
        return plain
    progress(f"{side.name} parts at {found[0]}; looking for the cause")
    case = ExplanationCase(context, side.name, own, other, cells, *found)
    explanations, tried = explain(case)
    remarks = () if explanations else describe(case)
    return replace(plain, explanations=explanations, tried=tried, remarks=remarks)


def _cells(context: ComparisonContext, side: Side, own: Variant, other: Variant, borrows: bool) -> Cells:
    """Return `ComparisonContext.cells`; where the loss raises on a tree borrowed from the first side, say so."""
    try:
        return context.cells(side.name, own, other)
    except ComparisonError as error:
        answer = context.team.ask([(side.name, own)])[0]
        if not borrows or not answer.error or answer.died:
            raise
        raise ComparisonError(f"{error}{borrowed(side.name, own.params)}") from None


def _checked(name: str, x: Any, dtype: str) -> Any:
    if np.asarray(x).dtype.kind != "f":
        raise InvalidTypeError(f"params: {name}: parameters must be real and floating, got {np.asarray(x).dtype.name}")
    if not np.all(np.isfinite(x)):
        raise InvalidArgumentError(f"params: {name}: NaN or infinity among the parameters")
    return np.asarray(x, np.float32).astype(np.float64) if dtype == "float32" else np.asarray(x, np.float64)


def _rounded(task: Any, dtype: str) -> Task:
    """The task with floating leaves in float64, in a comparison of float32 as float32 numbers."""
    for path, leaf in leaves_with_paths(task):
        if np.asarray(leaf).dtype.kind == "f" and not np.all(np.isfinite(leaf)):
            raise InvalidArgumentError(f"task: {path}: NaN or infinity in the data")
    return Task(*cast(cast(task, np.float32) if dtype == "float32" else task, np.float64))


def _in_common(layout: Layout, own: Leaves, common: Leaves, dtype: str) -> Leaves:
    values = {
        leaf.name: leaf.backward(_checked(name, x, dtype), np.shape(common[leaf.name]))
        for leaf, (name, x) in zip(layout.leaves, own.items(), strict=True)
    }
    return {name: values[name] for name in common}


def _same(a: Task, b: Task) -> bool:
    one, other = list(leaves_with_paths(a)), list(leaves_with_paths(b))
    return [path for path, _ in one] == [path for path, _ in other] and all(
        np.array_equal(x, y) for (_, x), (_, y) in zip(one, other, strict=True)
    )


def _check_rates(algorithm: Any) -> None:
    if not isinstance(getattr(algorithm.inner, "lr", 0.0), float):
        raise InvalidArgumentError("compare: algorithm: one rate for all leaves, not a tree of rates or an array")
