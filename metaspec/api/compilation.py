"""Compilation: a function of trees made fast for repeated calls, by the framework whose arrays it is called with."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal

from metaspec.api.ragged import TaskPrograms, is_ragged
from metaspec.backend.arrays import wide_format
from metaspec.backend.protocol import Backend
from metaspec.backend.selection import active, chosen_backend, resolve
from metaspec.backend.trace_cache import MISS
from metaspec.checks.arguments import check_choice, checked_integer
from metaspec.checks.inputs import check_foreign
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec.task import Tree

Tier = Literal["default", "native"]
TIERS: tuple[Tier, ...] = ("default", "native")


def compile(
    f: Callable[..., Tree],
    *,
    tier: Tier = "default",
    donate: Sequence[int] = (),
    backend: str | Backend | None = None,
) -> Callable[..., Tree]:
    """Compile f for repeated calls with arguments of equal structure, shapes and dtypes.

    Args:
        f: A pure function of trees of arrays, such as a closure over `batch_meta_gradient`. It is traced: it must not
            look at the values of its arguments. Arguments by position; a leaf that is no array (a number, a string,
            an object, told from others by what it pickles to) is a constant of the trace, and each new value of it a
            new trace: pass as an array what changes often. What f closes over must not change either.
        tier: "default": what takes seconds to compile. "native": machine code from the framework's best compiler,
            however long that takes. They differ in PyTorch, whose default replays the recorded operations: native code
            (torch.compile's, with a C++ compiler) is faster, after seconds to minutes of compiling, of which the
            logger "metaspec" tells; PyTorch keeps it on disk for the next process.
        donate: Positions of arguments whose memory the results may use: parameters that a training step replaces, say.
            They must not be read after the call. JAX makes use of it; elsewhere it has no effect.
        backend: Name or instance; by default as chosen at each call, else the framework of the arguments.

    Returns:
        A function of the same arguments. The first call with new shapes traces and compiles; of a sequence of tasks of
        unequal sizes each size is compiled once, for any order and mix (`metaspec.api.ragged`). On all backends but
        JAX, arguments beyond 64 structures, shapes and dtypes run uncompiled, as the logger "metaspec" says once.
        Errors that depend on values (NonFiniteError) are not raised inside of what is compiled: look at
        `diagnostics.finite`.

    Raises:
        InvalidArgumentError, InvalidTypeError: f is no function, an unknown tier, a position that is none; at a call, f
            looks at the values of its arguments (NumPy, PyTorch; JAX and TensorFlow raise errors of their own).

    Example:
        >>> import numpy as np
        >>> import metaspec as ms
        >>> def loss(params, batch):
        ...     return ((params["w"] * batch["x"] - batch["y"]) ** 2).mean()
        >>> def task(y):
        ...     return ms.Task({"x": np.ones(3), "y": np.full(3, y)}, {"x": np.ones(3), "y": np.full(3, y + 1.0)})
        >>> params = {"w": np.array(1.0)}
        >>> algo = ms.MAML(ms.GradientDescent(lr=0.1, steps=1))
        >>> step = ms.compile(lambda params, task: ms.meta_gradient(algo, loss, params, task))
        >>> step(params, task(2.0)).delta["w"].round(6), step(params, task(3.0)).delta["w"].round(6)
        (np.float64(-2.88), np.float64(-4.16))
    """
    if not callable(f):
        raise InvalidTypeError(f"compile: expected a function of trees of arrays, got {type(f).__name__}")
    check_choice(tier, "compile: tier", TIERS)
    donated = tuple(checked_integer(position, "compile: donate", least=0) for position in donate)
    programs: dict[Backend, TaskPrograms] = {}
    compiled: dict[Backend, Callable[..., Tree]] = {}
    seen: dict[Any, tuple[Backend, str | None]] = {}  # kinds of leaves that were looked at -> what was found
    recent: Backend | None = None  # its own flattening is the fastest, and shows whether all leaves are arrays of it
    latest: tuple[Any, Callable[[Sequence[Tree]], Tree]] = (None, lambda args: MISS)
    """What was chosen at the last call that looked at its arguments, and the short way of what it called."""

    def compiler(B: Backend, donate: Sequence[int]) -> Callable[[Callable[..., Tree]], Callable[..., Tree]]:
        if tier == "default" and not donate:
            return B.compile
        return lambda f: B.tuning.compile_with(f, native=tier == "native", donate=donate)

    def look(args: Tree) -> tuple[Backend, str | None]:
        if donated and max(donated) >= len(args):
            raise InvalidArgumentError(
                f"compile: donate={tuple(donate)} names argument {max(donated)}, counted from 0; there are {len(args)}"
            )
        B = resolve(backend, args, "arguments")
        check_foreign(B, args, "arguments")
        if B not in compiled:
            compiled[B] = compiler(B, donated)(f)
            programs[B] = TaskPrograms(compiler(B, ()))
        return B, wide_format(B, args)

    @wraps(f)
    def call(*args: Tree) -> Tree:
        choice, quick = latest
        if choice == chosen_backend():
            result = quick(args)
            if result is not MISS:
                return result
        return slow(args)

    def slow(args: Sequence[Tree]) -> Tree:
        nonlocal recent, latest
        choice = chosen_backend()
        found = None if recent is None else seen.get(_kinds(recent, args))
        if found is None:
            found = look(args)
            if all(map(found[0].is_array, found[0].tree_flatten(args)[0])):  # else a leaf may hold others
                recent = found[0]
                seen[_kinds(recent, args)] = found
        B, wide = found
        token = active.set(B)
        try:
            with B.guard.compute_context(wide):
                given = B.guard.detach(args)
                if programs[B].reusable and is_ragged(B, given):
                    return programs[B].run(f, given)
                result = compiled[B](*given)
        finally:
            active.reset(token)
        if (quick := getattr(compiled[B], "quick", None)) is not None:
            latest = choice, quick
        return result

    return call


def _kinds(B: Backend, args: Tree) -> Any:
    """Return a key of these arguments from which their backend and widest format follow."""
    leaves = B.tree_flatten(args)[0]
    return (chosen_backend(), *map(type, leaves), *[getattr(leaf, "dtype", None) for leaf in leaves])
