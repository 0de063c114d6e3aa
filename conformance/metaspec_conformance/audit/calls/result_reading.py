"""Results as leaves in the objective's order, read from what a function returned or left on a model or estimator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec_conformance.audit.calls.native_models import NativeModels
from metaspec_conformance.audit.calls.observation import Leaves, Observed
from metaspec_conformance.audit.calls.side_effects import Snapshot, differ
from metaspec_conformance.judging.numpy_trees import leaves
from metaspec_conformance.workers.user_errors import describe_user_error


class WrongResultError(Exception):
    """The result cannot be read; `code` is that of the finding."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class ResultReader:
    """Reads results of one function on one problem.

    Attributes:
        B: The function's backend.
        models: Its framework's models, where it names `model`.
        order: From the model's parameters to the objective's leaves: (leaf, transposed); empty where they are the same.
        shapes: Of the objective's leaves.
        reading: "meta_gradient", "params" or "auto".
        learned: The names of the learned inputs that went in.
    """

    B: Backend
    models: NativeModels | None
    order: Sequence[tuple[int, bool]]
    shapes: Sequence[tuple[int, ...]]
    reading: str
    learned: tuple[str, ...] = ()

    def read(self, returned: Any, made: Any, model: Any, before: Snapshot, after: Snapshot) -> Observed:
        """Read what a call gave, wherever it left it.

        Args:
            returned: What the function returned.
            made: The fitted estimator; None of a function.
            model: The model that went in; None where none did.
            before: What the function might change, before the call.
            after: The same after it.

        Raises:
            WrongResultError: There is no result, or none that can be read.
        """
        returned = getattr(returned, "delta", returned)
        if self.learned and isinstance(returned, tuple) and len(returned) == 2:
            found = self.read(returned[0], made, model, before, after)
            return replace(found, learned=self._learned(returned[1]))
        if made is not None:
            return self._of_estimator(made)
        if model is not None and self.models is not None:
            return self._of_model(returned, model, before, after)
        if returned is not None:
            return self._of_tree(returned, self.reading)
        if differ(before.get("params"), after.get("params")):
            params = tuple(after["params"])
            return Observed(None, params, params, "params", dtypes=_dtypes(params))
        raise WrongResultError("none", "it returned None, and changed nothing in place")

    def _learned(self, x: Any) -> dict[str, Any]:
        """Read the learned inputs' gradients: by name, or that of the only one."""
        by_name = isinstance(x, dict) and set(x) & {*self.learned, "lr"}
        trees = {self.learned[0] if name == "lr" else name: x[name] for name in x} if by_name else {self.learned[0]: x}
        found = {}
        for name, tree in trees.items():
            leaves = [None if leaf is None else _plain(leaf, self.B) for leaf in _flat(tree, self.B)]
            if len(leaves) != len(self.shapes) or any(leaf is None for leaf in leaves):
                raise WrongResultError("wrong-tree", f"the gradient of {name} is not one array per parameter")
            order = self.order if name == "rates" else [(i, False) for i, _ in self.order]
            ordered = _in_order(leaves, order)
            found[name] = np.concatenate([np.reshape(leaf, -1) for leaf in ordered])
        return found

    def _of_estimator(self, made: Any) -> Observed:
        for name, kind in (("delta_", "meta_gradient"), ("params_", "params")):
            if getattr(made, name, None) is not None:
                return self._of_tree(getattr(made, name), kind)
        raise WrongResultError("none", "after `fit` the estimator has neither `params_` nor `delta_`")

    def _of_model(self, returned: Any, model: Any, before: Snapshot, after: Snapshot) -> Observed:
        """Read what was returned, else the gradients on the parameters, else the parameters themselves."""
        assert self.models is not None
        was, now = list(before["model"].values()), list(after["model"].values())
        moved = _in_order(now, self.order) if differ(was, now) else None
        left = self.models.gradients(model)
        if returned is not None and not _is_scalar(returned):
            try:
                tree = list(returned.values()) if isinstance(returned, dict) else returned
                found = self._of_tree(tree, self.reading)
            except WrongResultError:
                if moved is None and left is None:
                    raise
            else:
                return Observed(None, found.result, moved, found.reading, dtypes=found.dtypes, missing=found.missing)
        if left is not None:
            filled = [np.zeros_like(w) if g is None else g for g, w in zip(left.values(), was, strict=True)]
            missing = self._leaf_numbers([i for i, g in enumerate(left.values()) if g is None])
            result = _in_order(filled, self.order)
            return Observed(None, result, moved, "meta_gradient", dtypes=_dtypes(filled), missing=missing)
        if moved is not None:
            return Observed(None, moved, moved, "params", dtypes=_dtypes(now))
        raise WrongResultError("none", "it returned nothing, left no gradients on the model, and moved no parameter")

    def _of_tree(self, x: Any, reading: str) -> Observed:
        """Read a tree, a list in the parameters' order, or one flat vector."""
        kind = "meta_gradient" if hasattr(x, "delta") else reading
        B = self.B
        native = [None if leaf is None else _plain(leaf, B) for leaf in _flat(getattr(x, "delta", x), B)]
        wanted = [tuple(self.shapes[i][::-1] if flip else self.shapes[i]) for i, flip in self.order]
        wanted = wanted or [tuple(shape) for shape in self.shapes]
        native = _split(native, wanted)
        _check(native, wanted)
        filled = [np.zeros(shape) if leaf is None else leaf for leaf, shape in zip(native, wanted, strict=True)]
        missing = self._leaf_numbers([i for i, leaf in enumerate(native) if leaf is None])
        dtypes = _dtypes([leaf for leaf in native if leaf is not None])
        return Observed(None, _in_order(filled, self.order), None, kind, dtypes=dtypes, missing=missing)

    def _leaf_numbers(self, places: Sequence[int]) -> tuple[int, ...]:
        return tuple(self.order[i][0] if self.order else i for i in places)


def _split(native: list[Any], wanted: Sequence[tuple[int, ...]]) -> list[Any]:
    """Return the leaves of one flat vector of all parameters; anything else as it is."""
    sizes = [int(np.prod(shape)) for shape in wanted]
    if len(native) != 1 or len(wanted) < 2 or native[0] is None or native[0].shape != (sum(sizes),):
        return native
    parts = np.split(native[0], np.cumsum(sizes)[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, wanted, strict=True)]


def _check(native: Sequence[Any], wanted: Sequence[tuple[int, ...]]) -> None:
    """Raise WrongResultError unless there is one floating array of the right shape per parameter; None is allowed."""
    if len(native) != len(wanted):
        shapes = ", ".join(str(shape) for shape in wanted)
        text = f"the result has {len(native)} arrays, the parameters are {len(wanted)}: {shapes}"
        raise WrongResultError("wrong-tree", text)
    if all(leaf is None for leaf in native):
        raise WrongResultError("none", "every leaf of the result is None")
    for i, (leaf, shape) in enumerate(zip(native, wanted, strict=True)):
        if leaf is None:
            continue
        if tuple(leaf.shape) != shape:
            text = f"array {i} of the result has shape {tuple(leaf.shape)}, its parameter {shape}"
            raise WrongResultError("wrong-shape", text)
        if leaf.dtype.kind != "f" and "float" not in leaf.dtype.name:
            text = f"array {i} of the result has dtype {leaf.dtype.name}, which is not floating"
            raise WrongResultError("dtype", text)


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


def _in_order(values: Sequence[Any], order: Sequence[tuple[int, bool]]) -> Leaves:
    """Return the values in the order of the objective's leaves."""
    if not order:
        return tuple(values)
    found: dict[int, Any] = {}
    for value, (leaf, transposed) in zip(values, order, strict=True):
        found[leaf] = value.T if transposed else value
    return tuple(found[i] for i in range(len(order)))


def _dtypes(values: Sequence[Any]) -> tuple[str, ...]:
    return tuple(sorted({np.asarray(leaf).dtype.name for leaf in leaves(list(values))}))


def _is_scalar(x: Any) -> bool:
    return isinstance(x, bool | int | float | str) or getattr(x, "shape", None) == ()
