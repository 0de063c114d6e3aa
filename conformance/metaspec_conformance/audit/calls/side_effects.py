"""What the audited function might change: inputs, models, buffers and random generators, before and after a call."""

import random
from collections.abc import Mapping
from typing import Any

import numpy as np

from metaspec.backend.protocol import Backend
from metaspec_conformance.audit.calls.native_models import NativeModels

Snapshot = dict[str, Any]


def snapshot(values: Mapping[str, Any], model: Any, models: NativeModels | None, B: Backend) -> Snapshot:
    """Return copies of all that the function might change."""
    found: Snapshot = {"tasks": [_copy(leaf, B) for leaf in B.tree_flatten(values["tasks"])[0]]}
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


def differ(a: Any, b: Any) -> bool:
    """Return whether two lists of arrays differ in any bit."""
    if a is None or b is None:
        return a is not b
    x, y = list(a), list(b)
    return len(x) != len(y) or any(p.shape != q.shape or p.tobytes() != q.tobytes() for p, q in zip(x, y, strict=True))


def random_state(models: NativeModels | None) -> tuple[Any, ...]:
    """Return the states of the global random generators of Python, NumPy and the framework."""
    state: Any = np.random.get_state()  # noqa: NPY002  # whether code under audit drew from it
    own = b"" if models is None else models.random_state()
    return random.getstate(), state[1].tobytes(), state[2:], own
