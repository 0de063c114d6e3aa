"""Messages of a process that is not trusted: JSON of plain data and of classes that the reader names.

`encode` writes None, booleans, numbers, text, lists, tuples, dictionaries, NumPy arrays of numbers, and dataclasses
and named tuples; `decode` reads them back. Nothing that is read is executed: an array's format is one of a list and its
bytes must fill its shape, a dataclass must be among those named by the reader, and its fields must be of its types.
"""

import base64
import json
import types
from collections import namedtuple
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np

TAG = "$"
FORMATS = ("bool", *(f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)), "float16", "float32")
FORMATS = (*FORMATS, "float64", np.dtype(np.longdouble).name, "complex64", "complex128")
UNPRINTABLE = dict.fromkeys((*range(9), *range(11, 32), 127, *range(128, 160)), "�")
"""Control characters, which could write to a terminal in another way than as text."""


class InvalidMessageError(Exception):
    """What was read is no message; the text says why."""


def encode(value: Any) -> str:
    """Return a value as one line of JSON.

    Raises:
        TypeError: It holds something else than plain data.
    """
    return json.dumps(_plain(value), separators=(",", ":"))


def decode(text: str | bytes, classes: Sequence[type] = ()) -> Any:
    """Return the value that `encode` wrote.

    Args:
        text: The line.
        classes: The dataclasses that may occur, and the named tuples that are to be of their own class.

    Raises:
        InvalidMessageError: It is not a line that `encode` writes of plain data and these classes.

    Example:
        >>> import numpy as np
        >>> decode(encode({"x": np.arange(2), "y": (1.5, None)}))
        {'x': array([0, 1]), 'y': (1.5, None)}
    """
    try:
        return _value(json.loads(text), {kind.__name__: kind for kind in classes})
    except (ValueError, TypeError, KeyError, RecursionError, MemoryError, OverflowError) as error:
        raise InvalidMessageError(f"{type(error).__name__}: {error}"[:300].translate(UNPRINTABLE)) from None


def _plain(x: Any) -> Any:
    if x is None or isinstance(x, bool | str):
        return x
    if isinstance(x, int | float) and not isinstance(x, np.generic):
        return x
    if isinstance(x, np.generic | np.ndarray):
        if x.dtype.name not in FORMATS:
            raise TypeError(f"an array of {x.dtype} is no plain data")
        if isinstance(x, np.generic) and x.dtype.name != np.dtype(np.longdouble).name:
            return _plain(x.item())
        data = base64.b64encode(np.ascontiguousarray(x).tobytes()).decode()
        return {TAG: "array", "dtype": x.dtype.name, "shape": list(np.shape(x)), "data": data}
    if isinstance(x, list):
        return [_plain(child) for child in x]
    names = getattr(x, "_fields", None) or ([field.name for field in fields(x)] if is_dataclass(x) else None)
    if names is not None:
        tag = "namedtuple" if isinstance(x, tuple) else "dataclass"
        values = {name: _plain(getattr(x, name)) for name in names}
        return {TAG: tag, "class": type(x).__name__, "fields": values}
    if isinstance(x, tuple):
        return {TAG: "tuple", "items": [_plain(child) for child in x]}
    if isinstance(x, Mapping):
        if all(isinstance(key, str) and key != TAG for key in x):
            return {key: _plain(child) for key, child in x.items()}
        return {TAG: "dict", "items": [[_plain(key), _plain(child)] for key, child in x.items()]}
    raise TypeError(f"{type(x).__name__} is no plain data")


def _value(x: Any, classes: Mapping[str, type]) -> Any:
    if isinstance(x, str):
        return x.translate(UNPRINTABLE)
    if isinstance(x, list):
        return [_value(child, classes) for child in x]
    if not isinstance(x, dict):
        return x
    if TAG not in x:
        return {key.translate(UNPRINTABLE): _value(child, classes) for key, child in x.items()}
    kind = x[TAG]
    if kind == "array":
        return _array(x["dtype"], x["shape"], x["data"])
    if kind == "tuple":
        return tuple(_value(child, classes) for child in x["items"])
    if kind == "dict":
        return {_value(key, classes): _value(child, classes) for key, child in x["items"]}
    values = {name: _value(child, classes) for name, child in x["fields"].items()}
    if kind == "namedtuple" and x["class"] not in classes:
        return named_tuple(x["class"], tuple(values), tuple(values.values()))
    return _instance(classes[x["class"]], values)


def named_tuple(name: str, names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    """Return an instance of a named tuple made for it, in place of a class of a user's that is not to be imported.

    Raises:
        ValueError: A name is no identifier.
    """
    base: Any = namedtuple(name, names)  # type: ignore[misc]
    made = type(name, (base,), {"__slots__": (), "__reduce__": lambda self: (named_tuple, (name, names, tuple(self)))})
    return made(*values)


def _array(dtype: str, shape: Sequence[int], data: str) -> Any:
    if dtype not in FORMATS:
        raise ValueError(f"no format of numbers: {dtype!r}")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError(f"no shape: {shape!r}")
    flat = np.frombuffer(base64.b64decode(data, validate=True), dtype=dtype)
    return flat.reshape(shape).copy()  # raises unless the bytes fill the shape


def _instance(kind: type, values: dict[str, Any]) -> Any:
    for name, hint in get_type_hints(kind).items():
        if name in values and not _fits(values[name], hint):
            raise TypeError(f"{kind.__name__}.{name} is a {type(values[name]).__name__}")
    return kind(**values)


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value is of a type as far as annotations of plain data say."""
    origin, inner = get_origin(hint), get_args(hint)
    if hint is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(_fits(value, option) for option in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple and inner[-1:] == (Ellipsis,):
        return isinstance(value, tuple) and all(_fits(child, inner[0]) for child in value)
    if origin is tuple:
        fits = isinstance(value, tuple) and len(value) == len(inner)
        return fits and all(_fits(child, part) for child, part in zip(value, inner, strict=True))
    if origin is dict:
        return isinstance(value, dict) and all(_fits(k, inner[0]) and _fits(v, inner[1]) for k, v in value.items())
    if hint is None or hint is type(None):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, origin or hint)
