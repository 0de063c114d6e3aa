"""What the namespace says of itself."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from metaspec_tensorflow.namespace._dtypes import (
    DEFAULT_COMPLEX,
    DEFAULT_FLOAT,
    DEFAULT_INT,
    KINDS,
    STANDARD_KINDS,
    DType,
    isdtype,
)


class _Info:
    def capabilities(self) -> dict[str, Any]:
        """Whether shapes may depend on values, and how many dimensions an array may have."""
        return {"boolean indexing": False, "data-dependent shapes": False, "max dimensions": 8}

    def default_device(self) -> None:
        """None: TensorFlow places each operation."""

    def default_dtypes(self, *, device: str | None = None) -> dict[str, DType]:
        """The types that are taken where none is given."""
        return {
            "real floating": DEFAULT_FLOAT,
            "complex floating": DEFAULT_COMPLEX,
            "integral": DEFAULT_INT,
            "indexing": DEFAULT_INT,
        }

    def devices(self) -> list[str]:
        """The names of the devices that TensorFlow sees."""
        return [d.name for d in tf.config.list_logical_devices()]

    def dtypes(self, *, device: str | None = None, kind: Any = None) -> dict[str, DType]:
        """The standard's types, or those of a kind, by name."""
        chosen = STANDARD_KINDS if kind is None else kind
        standard = [d for d in KINDS["any"] if d.name not in ("bfloat16", "float16")]
        return {d.name: d for d in sorted(standard, key=lambda d: d.name) if isdtype(d, chosen)}


def __array_namespace_info__() -> _Info:  # noqa: N807
    """The inspection interface of the standard."""
    return _Info()
