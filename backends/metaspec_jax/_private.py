"""Private names of JAX, each with what it is used for; tests/jax/test_jax_private_names.py tries each one."""

from collections.abc import Mapping
from typing import Any

import jax


def configuration() -> Mapping[str, Any]:
    """Return JAX's settings by name. `jax.config.values`: the public interface reads a setting whose name is known."""
    return {name: getattr(jax.config, name, value) for name, value in jax.config.values.items()}


def kind(x: Any) -> Any:
    """Return what a compiled program of an array depends on, hashable: `Array.aval`, its abstract value."""
    return x.aval


def varying(x: Any) -> frozenset[Any]:
    """Return the axes of a mesh over which a value within `jax.shard_map` varies: `manual_axis_type` of its type."""
    return jax.typeof(x).manual_axis_type.varying if isinstance(x, jax.Array) else frozenset()
