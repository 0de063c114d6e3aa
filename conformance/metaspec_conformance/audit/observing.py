"""One call of the audited function: what it is given, what it gives back, and what it changed."""

import copy
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from metaspec.backend.arrays import asarray
from metaspec.backend.protocol import Backend
from metaspec.task import Task
from metaspec_conformance.audit.calling import Signature
from metaspec_conformance.audit.native import NativeModels
from metaspec_conformance.audit.problem import REFERENCE
from metaspec_conformance.judging.numpy_trees import leaves
from metaspec_conformance.workers.user_errors import describe_user_error

Leaves = tuple[Any, ...]


@dataclass(frozen=True)
class Failure:
    """Why a call gave nothing that can be held against anything; `code` is one of the findings'."""

    code: str
    text: str


@dataclass(frozen=True)
class Observed:
    """What a call gave, leaf by leaf in the order of the landscape.

    Attributes:
        failure: Why there is no result.
        result: The result as it was returned, or left in `.grad` or in the attribute of an estimator.
        moved: The parameters after the call, of a model that moved, or as the result where parameters were returned.
        reading: "meta_gradient", "params", or "auto" where it may be either.
        changed: The inputs that were changed.
        buffers: The buffers that were changed.
        settings: Process-wide settings that were changed.
        drew: Whether a global random generator was drawn from.
        dtypes: The formats of the result's leaves.
        missing: Leaves for which None came back.
        seconds: What the call took.
    """

    failure: Failure | None = None
    result: Leaves | None = None
    moved: Leaves | None = None
    reading: str = "auto"
    changed: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()
    drew: bool = False
    dtypes: tuple[str, ...] = ()
    missing: tuple[int, ...] = ()
    seconds: float = 0.0


@dataclass
class Given:
    """What the problem puts in, before it is made native.

    Attributes:
        params: The tree of NumPy arrays, or a user's own tree.
        tasks: The tasks, likewise.
        settings: The numbers by name.
        loss: `loss(params, batch)`; `model_loss`: `loss(model, batch)`.
        criterion: `loss_fn`.
        make: Makes the model.
        order: From the names of the model's parameters to the landscape's leaves: (leaf, transposed).
    """

    params: Any
    tasks: Sequence[Task]
    settings: Mapping[str, float]
    loss: Any = None
    model_loss: Any = None
    criterion: Any = None
    make: Callable[[], Any] | None = None
    order: Sequence[tuple[int, bool]] = field(default_factory=tuple)


class WrongResultError(Exception):
    """The result is none that can be read."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


def observe(
    f: Callable[..., Any],
    signature: Signature,
    given: Given,
    B: Backend,
    models: NativeModels | None,
    shapes: Sequence[tuple[int, ...]],
    dtype: str,
    reading: str,
) -> Observed:
    """Call f once, with inputs of its own."""
    with B.precision(dtype):
        values = _arguments(signature, given, B, models, dtype)
        model = values.get("model")
        before = _state(values, model, models, B)
        settings, randomness = dict(B.guard.settings()), _randomness(models)
        start = time.perf_counter()
        try:
            returned, made = _called(f, signature, values)
        except (Exception, SystemExit) as error:
            return Observed(Failure("raises", describe_user_error(error)), seconds=time.perf_counter() - start)
        seconds = time.perf_counter() - start
        after = _state(values, model, models, B)
        try:
            found = _read(returned, made, model, models, before, after, given, B, shapes, reading)
        except WrongResultError as error:
            found = Observed(Failure(error.code, str(error)))
        changed = tuple(name for name in ("params", "tasks") if _differ(before.get(name), after.get(name)))
        touched = [k for k, v in before.get("buffers", {}).items() if _differ([v], [after["buffers"].get(k)])]
        set_anew = tuple(name for name, value in B.guard.settings().items() if settings.get(name) != value)
        return Observed(
            found.failure,
            found.result,
            found.moved,
            found.reading,
            changed,
            tuple(touched),
            set_anew,
            _randomness(models) != randomness,
            found.dtypes,
            found.missing,
            seconds,
        )


def _arguments(
    signature: Signature, given: Given, B: Backend, models: NativeModels | None, dtype: str
) -> dict[str, Any]:
    def native(tree: Any) -> Any:
        return asarray(copy.deepcopy(tree) if B.name == REFERENCE else tree, dtype=dtype, backend=B)

    names = signature.names
    values: dict[str, Any] = {name: given.settings[name] for name in given.settings if name in names}
    tasks = [Task(*(_with_targets(native(part), models) for part in task)) for task in given.tasks]
    values["tasks"] = tasks
    if "stacked" in names:
        rows = [B.tree_flatten(task)[0] for task in tasks]
        stacked = [B.xp.stack(list(column)) for column in zip(*rows, strict=True)]
        values["stacked"] = B.tree_unflatten(B.tree_flatten(tasks[0])[1], stacked)
    values |= {"task": tasks[0], "support": tasks[0].support, "query": tasks[0].query}
    if "model" in names:
        assert given.make is not None
        values["model"] = given.make()
        values["loss"] = given.model_loss
    if "params" in names or "model" not in names:
        values["params"], values["loss"] = native(given.params), given.loss
    values["loss_fn"] = given.criterion
    if "optimizer" in names and models is not None and "model" in names:
        values["optimizer"] = models.optimizer(values["model"], given.settings["outer_lr"])
    return values


def _with_targets(batch: Any, models: NativeModels | None) -> Any:
    if models is None or not hasattr(batch, "_replace") or not hasattr(batch, "y") or "int" not in str(batch.y.dtype):
        return batch
    return batch._replace(y=models.targets(batch.y))


def _called(f: Callable[..., Any], signature: Signature, values: Mapping[str, Any]) -> tuple[Any, Any]:
    made = f(**{name: values[name] for name in signature.makes})
    if signature.style != "estimator":
        return made, None
    made.fit(**{name: values[name] for name in signature.fits})
    return None, made


def _read(
    returned: Any,
    made: Any,
    model: Any,
    models: NativeModels | None,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    given: Given,
    B: Backend,
    shapes: Sequence[tuple[int, ...]],
    reading: str,
) -> Observed:
    if made is not None:
        for name, kind in (("delta_", "meta_gradient"), ("params_", "params")):
            if getattr(made, name, None) is not None:
                return _leaves(getattr(made, name), kind, given, B, shapes)
        raise WrongResultError("none", "after `fit` the estimator has neither `params_` nor `delta_`")
    if model is None or models is None:
        if returned is None:
            if _differ(before.get("params"), after.get("params")):
                params = tuple(after["params"])
                return Observed(None, params, params, "params", dtypes=_dtypes(params))
            raise WrongResultError("none", "it returned None, and changed nothing in place")
        return _leaves(getattr(returned, "delta", returned), reading, given, B, shapes)
    was, now = list(before["model"].values()), list(after["model"].values())
    moved = _placed(now, given.order) if _differ(was, now) else None
    left = models.gradients(model)
    if returned is not None and not _is_scalar(returned):
        try:
            found = _leaves(
                list(returned.values()) if isinstance(returned, dict) else returned, reading, given, B, shapes
            )
        except WrongResultError:
            if moved is None and left is None:
                raise
        else:
            return Observed(None, found.result, moved, found.reading, dtypes=found.dtypes, missing=found.missing)
    if left is not None:
        filled = [np.zeros_like(w) if g is None else g for g, w in zip(left.values(), was, strict=True)]
        absent = [i for i, g in enumerate(left.values()) if g is None]
        missing = tuple(given.order[i][0] if given.order else i for i in absent)
        return Observed(
            None, _placed(filled, given.order), moved, "meta_gradient", dtypes=_dtypes(filled), missing=missing
        )
    if moved is not None:
        return Observed(None, moved, moved, "params", dtypes=_dtypes(now))
    raise WrongResultError("none", "it returned nothing, left no gradients on the model, and moved no parameter")


def _leaves(x: Any, reading: str, given: Given, B: Backend, shapes: Sequence[tuple[int, ...]]) -> Observed:
    """The result's leaves as NumPy arrays, in the landscape's order."""
    kind = "meta_gradient" if hasattr(x, "delta") else reading
    native = [None if leaf is None else _plain(leaf, B) for leaf in _flat(getattr(x, "delta", x), B)]
    wanted = [tuple(shapes[i][::-1] if flip else shapes[i]) for i, flip in given.order] or [tuple(s) for s in shapes]
    total = sum(int(np.prod(shape)) for shape in wanted)
    if len(native) == 1 and len(wanted) > 1 and native[0] is not None and native[0].shape == (total,):
        ends = np.cumsum([int(np.prod(shape)) for shape in wanted])[:-1]
        native = [part.reshape(shape) for part, shape in zip(np.split(native[0], ends), wanted, strict=True)]
    if len(native) != len(wanted):
        text = f"the result has {len(native)} arrays, the parameters are {len(wanted)}: {_listed(wanted)}"
        raise WrongResultError("wrong-tree", text)
    if all(leaf is None for leaf in native):
        raise WrongResultError("none", "every leaf of the result is None")
    for i, (leaf, shape) in enumerate(zip(native, wanted, strict=True)):
        if leaf is not None and tuple(leaf.shape) != shape:
            text = f"array {i} of the result has shape {tuple(leaf.shape)}, its parameter {shape}"
            raise WrongResultError("wrong-shape", text)
        if leaf is not None and leaf.dtype.kind != "f" and "float" not in leaf.dtype.name:
            raise WrongResultError(
                "dtype", f"array {i} of the result has dtype {leaf.dtype.name}, which is not floating"
            )
    filled = [np.zeros(shape) if leaf is None else leaf for leaf, shape in zip(native, wanted, strict=True)]
    missing = tuple(given.order[i][0] if given.order else i for i, leaf in enumerate(native) if leaf is None)
    dtypes = _dtypes([leaf for leaf in native if leaf is not None])
    return Observed(None, _placed(filled, given.order), None, kind, dtypes=dtypes, missing=missing)


def _flat(x: Any, B: Backend) -> list[Any]:
    if isinstance(x, dict):
        return (
            [leaf for key in sorted(x, key=str) for leaf in _flat(x[key], B)] if _all_text(x) else B.tree_flatten(x)[0]
        )
    if isinstance(x, list | tuple):
        return [leaf for child in x for leaf in _flat(child, B)]
    if x is None:
        return [None]
    if hasattr(x, "shape"):
        return [x]
    if callable(getattr(x, "__iter__", None)) and not isinstance(x, str):
        return [leaf for child in x for leaf in _flat(child, B)]
    flat = B.tree_flatten(x)[0]
    if len(flat) == 1 and flat[0] is x and not isinstance(x, float | int):
        raise WrongResultError("wrong-tree", f"the result is of type {type(x).__name__}, which holds no arrays")
    return list(flat)


def _all_text(x: Mapping[Any, Any]) -> bool:
    return all(isinstance(key, str) for key in x)


def _plain(leaf: Any, B: Backend) -> Any:
    try:
        return np.array(B.to_numpy(leaf) if B.is_array(leaf) else leaf)
    except Exception as error:
        raise WrongResultError(
            "wrong-tree", f"a leaf of type {type(leaf).__name__} is no array: {describe_user_error(error)}"
        ) from None


def _placed(values: Sequence[Any], order: Sequence[tuple[int, bool]]) -> Leaves:
    """From the model's order to the landscape's."""
    if not order:
        return tuple(values)
    found: dict[int, Any] = {}
    for value, (leaf, transposed) in zip(values, order, strict=True):
        found[leaf] = value.T if transposed else value
    return tuple(found[i] for i in range(len(order)))


def _state(values: Mapping[str, Any], model: Any, models: NativeModels | None, B: Backend) -> dict[str, Any]:
    """Copies of all that the function might change."""
    found: dict[str, Any] = {"tasks": [_copy(leaf, B) for leaf in B.tree_flatten(values["tasks"])[0]]}
    if "params" in values:
        found["params"] = [_copy(leaf, B) for leaf in B.tree_flatten(values["params"])[0]]
    if model is not None and models is not None:
        found |= {"model": models.parameters(model), "buffers": models.buffers(model)}
    return found


def _copy(leaf: Any, B: Backend) -> Any:
    try:
        return np.array(B.to_numpy(leaf)) if B.is_array(leaf) else np.array(leaf)
    except Exception:
        return np.array(repr(leaf))


def _differ(a: Any, b: Any) -> bool:
    if a is None or b is None:
        return a is not b
    x, y = list(a), list(b)
    return len(x) != len(y) or any(p.shape != q.shape or p.tobytes() != q.tobytes() for p, q in zip(x, y, strict=True))


def _dtypes(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(sorted({np.asarray(leaf).dtype.name for leaf in leaves(list(values))}))


def _is_scalar(x: Any) -> bool:
    return isinstance(x, bool | int | float | str) or getattr(x, "shape", None) == ()


def _listed(shapes: Sequence[tuple[int, ...]]) -> str:
    return ", ".join(str(shape) for shape in shapes)


def _randomness(models: NativeModels | None) -> tuple[Any, ...]:
    state: Any = np.random.get_state()  # noqa: NPY002  # whether code under audit drew from it
    own = b"" if models is None else models.random_state()
    return random.getstate(), state[1].tobytes(), state[2:], own
