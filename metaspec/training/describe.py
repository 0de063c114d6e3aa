"""Description of a training's set-up as JSON, by which a resumed training is compared with the saved one."""

import hashlib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from inspect import ismethod
from typing import Any

from metaspec.backend.registry import owner_of
from metaspec.backend.selection import get_backend


def described(x: Any) -> Any:
    """Return x as JSON: dataclasses by their fields, arrays by a digest of their bits, all else by name."""
    if x is None or isinstance(x, bool | int | float | str):
        return x
    if is_dataclass(x) and not isinstance(x, type):
        return {"kind": type(x).__name__, **{f.name: described(getattr(x, f.name)) for f in fields(x) if f.repr}}
    if isinstance(x, Mapping):
        return {str(key): described(value) for key, value in x.items()}
    if isinstance(x, partial):
        return {"kind": "partial", "of": described(x.func), "args": described(x.args), **described(x.keywords)}
    if ismethod(x):
        return {"kind": "method", "name": x.__name__, "of": described(x.__self__)}
    if isinstance(x, list | tuple):
        return [described(value) for value in x]
    owner = owner_of(x)
    if owner is not None and get_backend(owner).is_array(x):
        array = get_backend(owner).to_numpy(x)
        digest = hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).hexdigest()
        return f"array {digest[:16]}"
    named = x if hasattr(x, "__qualname__") else type(x)
    return f"{named.__module__}.{named.__qualname__}"


def differences(saved: Any, now: Any, name: str = "", words: tuple[str, str] = ("was", "and is")) -> list[str]:
    """Return the differences of two descriptions, one line each; `words` stand before the one and the other."""
    was, is_ = words
    if isinstance(saved, dict) and isinstance(now, dict):
        if saved.get("kind") != now.get("kind"):  # their fields have nothing to do with each other
            return [f"{name} {was} {saved.get('kind')!s:.200} {is_} {now.get('kind')}"]
        return [
            line
            for key in sorted(saved.keys() | now.keys())
            for line in differences(saved.get(key), now.get(key), f"{name}.{key}" if name else key, words)
        ]
    return [] if saved == now else [f"{name} {was} {saved!r:.200} {is_} {now!r:.200}"]
