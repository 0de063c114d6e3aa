"""Rules for NumPy's own functions: each takes NumPy's parameters by NumPy's names, and one place checks a call.

`@rule(numpy.sum)` registers a function whose required parameters come by position and whose options come by name. An
option that is given, is not NumPy's default, and is not a parameter of the rule is refused by name. `out=` is dealt
with here, for all, and `copy=` where a result may share memory.
"""

import inspect
from collections.abc import Callable
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError, InvalidTypeError, MetaspecError, UnsupportedError
from metaspec_numpy.tracer.aliasing import fresh, zero_dim
from metaspec_numpy.tracer.core import Array, Box
from metaspec_numpy.tracer.functions.writing import assign

IGNORED = frozenset({"subok", "overwrite_input", "optimize", "device", "casting"})
"""Options that change no value of a real array (`casting` where a rule does not take it itself)."""

RULES: dict[Any, "NumpyRule"] = {}


class NumpyRule:
    """A function of NumPy's as it acts on boxes.

    Attributes:
        label: the name that messages say.
        view: whether the result may share memory with the argument.
        array: whether NumPy gives arrays of rank 0 where others give scalars.
    """

    def __init__(self, function: Any, f: Callable[..., Any], *, view: bool, array: bool) -> None:
        self.label = f"{function.__module__}.{function.__name__}"
        self.f, self.view, self.array = f, view, array
        given = inspect.signature(function).parameters.values()
        self.variadic = any(p.kind is p.VAR_POSITIONAL for p in given)
        self.names = [p.name for p in given if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        self.defaults = {p.name: p.default for p in given if p.default is not p.empty}
        self.required = [] if self.variadic else [name for name in self.names if name not in self.defaults]
        own = inspect.signature(f).parameters.values()
        self.accepted = {p.name for p in own}
        self.open = any(p.kind is p.VAR_KEYWORD for p in own)

    def __call__(self, args: tuple[Any, ...], options: dict[str, Any], label: str | None = None) -> Any:
        label = label or self.label
        if not self.variadic:
            if len(args) > len(self.names):
                raise InvalidTypeError(f"{label} takes {len(self.names)} arguments by position; {len(args)} were given")
            options = dict(zip(self.names, args, strict=False)) | options
            missing = [name for name in self.required if name not in options]
            if missing:
                raise InvalidTypeError(f"{label}: the argument {missing[0]!r} is missing")
            args = tuple(options.pop(name) for name in self.required)
        options = {k: v for k, v in options.items() if not self._is_default(k, v)}
        out = options.pop("out", None)
        copy = options.pop("copy", None) if self.view and "copy" not in self.accepted else None
        unknown = options.keys() - self.accepted
        if unknown - IGNORED and not self.open:
            refuse_options(label, sorted(unknown - IGNORED))
        options = {k: v for k, v in options.items() if k in self.accepted or self.open}
        result = guarded(label, self.f, *args, **options)
        if out is not None:
            return write_out(label, out, result)
        result = result if self.view and not copy else fresh(result)
        return zero_dim(result) if self.array else result

    def _is_default(self, name: str, value: Any) -> bool:
        default = self.defaults.get(name, inspect.Parameter.empty)
        return (
            value is default
            or (value is None and name in self.defaults and default is numpy._NoValue)
            or (isinstance(value, bool | int | float | str) and type(value) is type(default) and bool(value == default))
        )


def rule(
    *functions: Any, view: bool = False, array: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Registers the decorated function as the rule of NumPy's `functions`."""

    def register(f: Callable[..., Any]) -> Callable[..., Any]:
        for function in functions:
            RULES[function] = NumpyRule(function, f, view=view, array=array)
        return f

    return register


def guarded(label: str, f: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The result of f; an error that does not say whose it is gets the function's name."""
    try:
        return f(*args, **options)
    except (MetaspecError, numpy.linalg.LinAlgError, IndexError):
        raise
    except ValueError as error:
        raise InvalidArgumentError(f"{label} on a traced array: {error}") from error
    except (TypeError, AttributeError) as error:
        raise InvalidTypeError(f"{label} on a traced array: {error}") from error


def refuse_options(label: str, names: list[str]) -> None:
    given = ", ".join(f"{name}=" for name in names)
    raise UnsupportedError(
        f"{label}: the option {given} has no rule for traced arrays. Leave it out, and write what it does with other "
        "functions (np.where(mask, x, 0) for where=, x.astype(...) for dtype=, np.transpose for order=)."
    )


def write_out(label: str, out: Any, result: Any, where: Any = True) -> Box:
    """`out=`: writes to a traced array; one of NumPy's own cannot hold a traced value."""
    if isinstance(result, tuple):
        raise UnsupportedError(f"{label}: out= of a function with several results has no rule; bind them anew")
    (target,) = out if isinstance(out, tuple) else (out,)
    if not isinstance(target, Box):
        raise InvalidTypeError(
            f"{label}: the result is traced, and out= (or the left side of +=, -=, *=, /=) is an array of NumPy's, "
            "which holds plain numbers only. Bind a new array: y = y + x in place of y += x, y = np.exp(x) in place of "
            "np.exp(x, out=y)."
        )
    return assign(target, result, where_=where)


def array(x: Any) -> Array:
    """Arrays and boxes as they are; numbers, lists and lists of boxes as arrays."""
    if isinstance(x, Box | numpy.ndarray):
        return x
    from metaspec_numpy.tracer.namespace import namespace  # which is made of these functions' parts

    result: Array = namespace(numpy).asarray(x)
    return result
