"""Serialize plain values and NumPy arrays as data: reading them back runs no code of the sender's.

A message is a length, a JSON document of that length, and the bytes of its arrays one after another. Allowed are None,
booleans, numbers, strings, lists, tuples, dictionaries, NumPy arrays and scalars without objects, named tuples, and
dataclasses of the classes that the reader lists, whose fields must be of their types. Everything else is an error on
either side. Control characters, which could do something to a terminal, are replaced.
"""

import json
import struct
import types
from collections import namedtuple
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

_LENGTH = struct.Struct(">Q")
_KINDS = "biufcUS"  # of NumPy formats; bfloat16 and its like, which come from ml_dtypes, have kind V
CONTROL = dict.fromkeys((*range(9), *range(11, 32), 127, *range(128, 160)), "�")


class MalformedDataError(ValueError):
    """A value that cannot be serialized, or bytes that are no message."""


def encode(value: Any) -> bytes:
    """Return the value as bytes.

    Raises:
        MalformedDataError: The value, or a part of it, is not plain data.

    Example:
        >>> import numpy as np
        >>> from metaspec_conformance.containment.plain_data import decode, encode
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
        classes: The dataclasses that may occur, and the named tuples that are to be of their own class, told apart by
            their names.

    Raises:
        MalformedDataError: The bytes are no message, or the message has a dataclass that is not listed.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        head = json.loads(data[_LENGTH.size : _LENGTH.size + length])
        return _decoded(head, memoryview(data)[_LENGTH.size + length :], {kind.__name__: kind for kind in classes})
    except MalformedDataError:
        raise
    except Exception as error:  # whatever forged bytes make json, struct, NumPy or a class's checks say
        raise MalformedDataError(f"{type(error).__name__}: {error}"[:300].translate(CONTROL)) from None


def named_tuple(name: str, names: Sequence[str], values: Sequence[Any]) -> Any:
    """Return a named tuple of a class made for it, in place of one of the sender's that is not to be imported.

    Raises:
        ValueError: A name is not an identifier, or there are not as many values as names.
    """
    base: Any = namedtuple(name, names)  # type: ignore[misc]
    reduced = {"__slots__": (), "__reduce__": lambda self: (named_tuple, (name, names, tuple(self)))}
    made: Any = type(name, (base,), reduced)
    return made._make(values)


def _encoded(value: Any, arrays: list[bytes]) -> Any:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return _encoded_array(value, arrays)
    for kind in (str, int, float):
        if isinstance(value, kind):  # of a class of its own, such as a version
            return kind(value)
    if isinstance(value, dict):
        return ["dict", [[_encoded(key, arrays), _encoded(child, arrays)] for key, child in value.items()]]
    if is_dataclass(value) and not isinstance(value, type):
        children = [getattr(value, field.name) for field in fields(value)]
        return ["class", type(value).__name__, [_encoded(child, arrays) for child in children]]
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return ["namedtuple", type(value).__name__, list(value._fields), [_encoded(child, arrays) for child in value]]
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
        return node.translate(CONTROL) if isinstance(node, str) else node
    match node:
        case ["dict", items]:
            return {_decoded(key, arrays, classes): _decoded(child, arrays, classes) for key, child in items}
        case ["list", children]:
            return [_decoded(child, arrays, classes) for child in children]
        case ["tuple", children]:
            return tuple(_decoded(child, arrays, classes) for child in children)
        case ["class", name, children]:
            if name not in classes:
                raise MalformedDataError(f"a value of class {name!r:.100}, which is not expected here")
            return _instance(classes[name], [_decoded(child, arrays, classes) for child in children])
        case ["namedtuple", str(name), names, children]:
            values = [_decoded(child, arrays, classes) for child in children]
            return classes[name](*values) if name in classes else named_tuple(name, names, values)
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


def _instance(kind: Any, values: Sequence[Any]) -> Any:
    hints = get_type_hints(kind)
    for field, value in zip(fields(kind), values, strict=True):
        if not _fits(value, hints[field.name]):
            raise MalformedDataError(f"{kind.__name__}.{field.name} of type {type(value).__name__}")
    return kind(*values)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type, as far as the annotations of plain data go."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple and inner[-1:] == (Ellipsis,):
        return isinstance(value, tuple) and all(_fits(child, inner[0]) for child in value)
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if hint is float:
        return isinstance(value, int | float | np.floating)
    return value is None if hint in (None, type(None)) else isinstance(value, origin or hint)
