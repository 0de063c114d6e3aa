"""Serialize plain values and NumPy arrays as data: reading them back runs no code of the sender's.

A message is a length, a JSON document of that length, and the bytes of its arrays one after another. Allowed are None,
booleans, numbers, strings, lists, tuples, dictionaries with string keys, NumPy arrays and scalars without objects, and
dataclasses and named tuples of the classes that the reader lists. Everything else is an error on either side.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any

import numpy as np

_LENGTH = struct.Struct(">Q")
_KINDS = "biufcUS"  # of NumPy formats; bfloat16 and its like, which come from ml_dtypes, have kind V


class MalformedDataError(ValueError):
    """A value that cannot be serialized, or bytes that are no message."""


def encode(value: Any) -> bytes:
    """Return the value as bytes.

    Raises:
        MalformedDataError: The value, or a part of it, is not plain data.

    Example:
        >>> decode(encode({"a": (1, 2.5), "b": np.zeros(2)}))
        {'a': (1, 2.5), 'b': array([0., 0.])}
    """
    arrays: list[bytes] = []
    try:
        head = json.dumps(_encoded(value, arrays)).encode()
    except RecursionError:
        raise MalformedDataError("the value is nested too deeply") from None
    return b"".join((_LENGTH.pack(len(head)), head, *arrays))


def decode(data: bytes, classes: Sequence[type] = ()) -> Any:
    """Return the value that `encode` made the bytes of.

    Args:
        data: The bytes; they may come from anybody.
        classes: The dataclasses and named tuples that may occur, told apart by their names.

    Raises:
        MalformedDataError: The bytes are no message, or the message has a class that is not listed.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        head = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        return _decoded(head, memoryview(data)[_LENGTH.size + length :], {kind.__name__: kind for kind in classes})
    except MalformedDataError:
        raise
    except Exception as error:  # whatever forged bytes make json, struct, NumPy or a class's checks say
        raise MalformedDataError(f"{type(error).__name__}: {error}") from None


def _encoded(value: Any, arrays: list[bytes]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _encoded_array(value, arrays)
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise MalformedDataError(f"expected string keys, got {list(value)!r:.200}")
        return ["dict", [[key, _encoded(child, arrays)] for key, child in value.items()]]
    if is_dataclass(value) and not isinstance(value, type):
        children = [getattr(value, field.name) for field in fields(value)]
        return ["class", type(value).__name__, [_encoded(child, arrays) for child in children]]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return ["class", type(value).__name__, [_encoded(child, arrays) for child in value]]
    if isinstance(value, list | tuple):
        return ["tuple" if isinstance(value, tuple) else "list", [_encoded(child, arrays) for child in value]]
    raise MalformedDataError(f"{type(value).__name__} is not plain data: {value!r:.200}")


def _encoded_array(x: Any, arrays: list[bytes]) -> Any:
    if x.dtype.hasobject or (x.dtype.kind not in _KINDS and x.dtype.names is not None):
        raise MalformedDataError(f"an array of dtype {x.dtype} is not plain data")
    start = sum(map(len, arrays))
    arrays.append(x.tobytes())
    dtype = x.dtype.str if x.dtype.kind in _KINDS else x.dtype.name
    return ["scalar" if isinstance(x, np.generic) else "array", dtype, list(x.shape), start]


def _decoded(node: Any, arrays: memoryview, classes: dict[str, type]) -> Any:
    if not isinstance(node, list):
        if isinstance(node, dict):
            raise MalformedDataError("a bare dictionary")
        return node
    match node:
        case ["dict", items]:
            return {str(key): _decoded(child, arrays, classes) for key, child in items}
        case ["list", children]:
            return [_decoded(child, arrays, classes) for child in children]
        case ["tuple", children]:
            return tuple(_decoded(child, arrays, classes) for child in children)
        case ["class", name, children]:
            if name not in classes:
                raise MalformedDataError(f"a value of class {name!r}, which is not expected here")
            return classes[name](*(_decoded(child, arrays, classes) for child in children))
        case ["array" | "scalar" as kind, dtype, shape, start]:
            array = _decoded_array(str(dtype), [int(n) for n in shape], int(start), arrays)
            return array if kind == "array" else array[()]
    raise MalformedDataError(f"unknown node {node!r:.100}")


def _decoded_array(name: str, shape: list[int], start: int, arrays: memoryview) -> Any:
    try:
        dtype = np.dtype(name)
    except TypeError:
        dtype = np.dtype(getattr(import_module("ml_dtypes"), name))
    size = int(np.prod(shape, dtype=object)) * dtype.itemsize
    if dtype.hasobject or min(shape, default=0) < 0 or not 0 <= start <= start + size <= len(arrays):
        raise MalformedDataError(f"an array of dtype {dtype} and shape {shape} does not fit its message")
    if dtype.itemsize == 0:
        return np.zeros(shape, dtype)
    return np.frombuffer(arrays[start : start + size], dtype).reshape(shape).copy()
