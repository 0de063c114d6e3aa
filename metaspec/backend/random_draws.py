"""Random draws of NumPy and Python inside a function that is traced: the trace would repeat the numbers for ever."""

import random
import threading
import types
from collections import deque
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy

from metaspec.errors import LossError

GENERATORS = (numpy.random.Generator, numpy.random.RandomState, random.Random)
MOST = 2000  # objects looked at
RUNS = 4
OTHER_THREADS = (
    " If it draws none, another thread did at each of its runs: give that thread a generator of its own, "
    "numpy.random.default_rng() or random.Random()."
)


def without_draws(f: Callable[..., Any]) -> Callable[..., Any]:
    """Return f, a function to be traced, with LossError raised where it draws.

    It draws if NumPy's or Python's global generator, or one that f refers to, has another state after it than before.
    No generator says which thread drew. So where there are other threads f is traced again: it is innocent if one of
    its runs leaves the generators as they were. A thread that draws all the time from one of them is told in the error.
    """

    @wraps(f)
    def watched(*args: Any) -> Any:
        generators = _generators(f)
        for _ in range(1 if threading.active_count() == 1 else RUNS):
            before = _states(generators)
            result = f(*args)
            names = [name for (name, old), (_, new) in zip(before, _states(generators), strict=True) if old != new]
            if not names:
                return result
        raise LossError(
            f"compile: the function draws random numbers ({', '.join(names)}); a compiled function would repeat the "
            "draws of its recording for ever. Draw before the call, and pass the numbers in with the batch."
            + (OTHER_THREADS if threading.active_count() > 1 else "")
        )

    return watched


def _states(generators: Sequence[Any]) -> list[tuple[str, str]]:
    """The names and the states of the global generators and of these."""
    of_numpy = repr(_flat(numpy.random.get_state(legacy=False)))  # noqa: NPY002 (it is looked at)
    both = [("numpy.random", of_numpy), ("random", repr(random.getstate()))]
    return both + [(repr(g), _state(g)) for g in generators]


def _state(generator: Any) -> str:
    if isinstance(generator, random.Random):
        return repr(generator.getstate())
    if isinstance(generator, numpy.random.RandomState):
        return repr(_flat(generator.get_state(legacy=False)))
    return repr(_flat(generator.bit_generator.state))


def _flat(state: Any) -> dict[str, Any]:
    """The state with arrays as bytes, as their text is shortened."""
    return {
        k: _flat(v) if isinstance(v, dict) else v.tobytes() if isinstance(v, numpy.ndarray) else v
        for k, v in state.items()
    }


def _generators(f: Any) -> list[Any]:
    """The random generators that a function reaches by its closure, its globals, its defaults or its owner."""
    found: list[Any] = []
    seen: set[int] = set()
    todo = deque([f])
    while todo and len(seen) < MOST:
        x = todo.popleft()
        if id(x) in seen:
            continue
        seen.add(id(x))
        if isinstance(x, GENERATORS):
            found.append(x)
        else:
            todo.extend(_reached(x))
    return found


def _reached(x: Any) -> list[Any]:
    if isinstance(x, types.FunctionType):
        cells = []
        for cell in x.__closure__ or ():
            try:
                cells.append(cell.cell_contents)
            except ValueError:  # not bound yet
                continue
        ours = (x.__module__ or "").startswith("metaspec")
        names = set() if ours else _names(x.__code__)
        used = [x.__globals__[name] for name in names if name in x.__globals__]
        of_modules = [
            y
            for module in used
            if isinstance(module, types.ModuleType)
            for name in names
            if isinstance(y := vars(module).get(name), GENERATORS)
        ]
        return [*cells, *(u for u in used if not isinstance(u, types.ModuleType)), *of_modules, *(x.__defaults__ or ())]
    if isinstance(x, types.MethodType):
        return [x.__func__, x.__self__]
    if isinstance(x, tuple | list):
        return list(x[:MOST])
    if isinstance(x, dict):
        return list(x.values())
    if isinstance(x, type | types.ModuleType | str | bytes | numpy.ndarray) or type(x).__module__ == "builtins":
        return []
    call = vars(type(x)).get("__call__")
    own = vars(x) if hasattr(x, "__dict__") else {}
    return [*own.values(), *([call] if isinstance(call, types.FunctionType) else [])]


def _names(code: types.CodeType) -> set[str]:
    inner = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*(_names(c) for c in inner))
