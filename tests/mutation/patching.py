"""A change put into functions that are loaded already, so that nothing has to be imported again."""

import gc
from collections import defaultdict
from collections.abc import Iterator
from enum import Enum
from functools import cache
from types import CodeType, FunctionType
from typing import Any

from .population import ROOT, Mutant, text

OPTIMIZED = 1  # inspect.CO_OPTIMIZED: a function's code, not a module's or a class body's


class Effect(Enum):
    """How much of a change `patch` can bring about."""

    WHOLE = "all of it"
    PART = "what is in functions"
    NONE = "nothing: it is outside of functions, or changes what they share with their surroundings"


def patch(mutant: Mutant, source: str) -> Effect:
    """Gives every living function of the module the changed code."""
    old, new = _compiled(mutant.path, text(mutant.path)), _compiled(mutant.path, source)
    pairs = list(_differing(old, new))
    inside = [(before, after) for before, after in pairs if before.co_flags & OPTIMIZED]
    if not inside or any(before.co_freevars != after.co_freevars for before, after in inside):
        return Effect.NONE
    for before, after in inside:
        for function in living().get(_place(before), ()):
            function.__code__ = after
    outside = [pair for pair in pairs if pair not in inside]
    return Effect.WHOLE if all(_own(before) == _own(after) for before, after in outside) else Effect.PART


def _compiled(path: str, source: str) -> CodeType:
    return compile(source, str(ROOT / path), "exec", dont_inherit=True)


def _differing(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The pairs of codes that differ in themselves or in what they hold, the outermost first."""
    if _everything(old) == _everything(new):
        return
    yield old, new
    inner, changed = _nested(old), _nested(new)
    if [code.co_qualname for code in inner] == [code.co_qualname for code in changed]:
        for a, b in zip(inner, changed, strict=True):
            yield from _differing(a, b)


def _nested(code: CodeType) -> list[CodeType]:
    return [x for x in code.co_consts if isinstance(x, CodeType)]


def _own(code: CodeType) -> tuple[Any, ...]:
    """What the code does, apart from the codes inside it."""
    constants = [(type(x), repr(x)) for x in code.co_consts if not isinstance(x, CodeType)]
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    return code.co_code, constants, names, [x.co_qualname for x in _nested(code)]


def _everything(code: CodeType) -> tuple[Any, ...]:
    return _own(code), [_everything(x) for x in _nested(code)]


def _place(code: CodeType) -> tuple[Any, ...]:
    return code.co_filename, code.co_qualname, code.co_firstlineno, tuple(code.co_positions())


@cache
def living() -> dict[tuple[Any, ...], list[FunctionType]]:
    """All functions, lambdas and closures among them, by their place in the sources."""
    found: dict[tuple[Any, ...], list[FunctionType]] = defaultdict(list)
    for x in gc.get_objects():
        if isinstance(x, FunctionType) and x.__code__.co_filename.startswith(str(ROOT)):
            found[_place(x.__code__)].append(x)
    return found
