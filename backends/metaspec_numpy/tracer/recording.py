"""Recording: a function, run once on examples, becomes a list of primitives on raw arrays.

The recording trace lies below every jvp, vjp and vmap inside the function, so these are resolved before anything is
recorded. What does not depend on the arguments never reaches it: that is computed once and becomes a constant.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import numpy

from metaspec_numpy.tracer import simplify
from metaspec_numpy.tracer.aliasing import protected, twin
from metaspec_numpy.tracer.core import Array, Box, Params, Primitive, Shape, Trace, is_numpy, raw_namespace, raw_value
from metaspec_numpy.tracer.outputs import as_arrays, run
from metaspec_numpy.tracer.program import Program

SMALL = 4096  # bytes up to which constants are compared by content

_active: ContextVar["RecordTrace | None"] = ContextVar("recording", default=None)


class Operand(NamedTuple):
    """What a recorded primitive acts on: `kind` is "slot", "constant" or "scalar"."""

    kind: str
    index: Any


class Instruction(NamedTuple):
    """slot = primitive(*operands, **params)."""

    primitive: Primitive
    operands: tuple[Operand, ...]
    params: Params
    slot: int
    shape: Shape
    dtype: Any


class RecordBox(Box):
    """A slot of the program; the value that the example has there serves for shapes and dtypes."""

    def __init__(self, trace: "RecordTrace", value: Array, slot: int) -> None:
        self.owner = trace
        self.value = value
        self.slot = slot


class RecordTrace(Trace):
    """Writes down each application of a primitive that is not known already."""

    __slots__ = ("constants", "given", "instructions", "known", "numbers", "origins", "slots")

    def __init__(self, inputs: list[Array]) -> None:
        super().__init__(RecordBox, inputs)
        self.slots = 0
        self.instructions: list[Instruction] = []
        self.constants: list[Array] = []
        self.given: list[Array] = []
        self.known: dict[Any, RecordBox] = {}  # what was recorded already -> its box
        self.numbers: dict[Any, int] = {}  # what is a constant already -> its number
        self.origins: dict[int, tuple[Primitive, tuple[Any, ...], Params]] = {}  # slot -> what made it

    def new(self, value: Array) -> RecordBox:
        self.slots += 1
        box: RecordBox = self.box(self, value, self.slots - 1)
        return box

    def origin(self, x: Any) -> tuple[Primitive | None, tuple[Any, ...], Params]:
        """The primitive that made x, with its arguments; None for inputs and for what is not of this recording."""
        return self.origins.get(x.slot, (None, (), {})) if self.owns(x) else (None, (), {})

    def owns(self, x: Any) -> bool:
        return isinstance(x, RecordBox) and x.owner is self

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
        simpler = simplify.rewrite(self, primitive, args, params)
        if not isinstance(simpler, tuple):
            return twin(simpler)  # whoever called may write to what he gets
        primitive, args, params = simpler
        operands = tuple(self.operand(arg) for arg in args)
        key = (primitive, operands, *((k, str(v)) for k, v in sorted(params.items())))
        if key in self.known:
            return twin(self.known[key])
        out = self.new(primitive(*[arg.value if self.owns(arg) else arg for arg in args], **params))
        self.instructions.append(Instruction(primitive, operands, params, out.slot, out.shape, out.dtype))
        self.origins[out.slot] = primitive, tuple(map(twin, args)), params
        self.known[key] = twin(out)
        return out

    def operand(self, x: Any) -> Operand:
        if isinstance(x, RecordBox) and x.owner is self:
            return Operand("slot", x.slot)
        if isinstance(x, bool | int | float | complex) and not isinstance(x, numpy.generic):
            return Operand("scalar", (type(x), repr(x)))
        return Operand("constant", self._constant(x))

    def _constant(self, x: Array) -> int:
        """The number of a constant; equal small arrays share one, and writable ones are copied."""
        raw = is_numpy(x)
        small = raw and x.nbytes <= SMALL and x.dtype.char != "g"
        key = (x.dtype, x.shape, x.tobytes()) if small else id(x)
        if not small and raw and key in self.numbers and not _same_bits(x, self.constants[self.numbers[key]]):
            del self.numbers[key]  # it was written to since
        if key not in self.numbers:
            self.numbers[key] = len(self.constants)
            self.given.append(x)  # keeps id(x) from being given to another array
            self.constants.append(numpy.array(x) if raw and (x.flags.writeable or not x.ndim) else x)
        return self.numbers[key]


def _same_bits(x: Any, y: Any) -> bool:
    return x is y or bool(numpy.array_equal(x, y, equal_nan=True))


def recording() -> bool:
    """Whether a function is being recorded around this point."""
    return _active.get() is not None


@contextmanager
def computed_anew() -> Iterator[None]:
    """Within it nothing is taken from what was recorded before, and nothing after it from what is recorded within."""
    trace = _active.get()
    if trace is None:
        yield
        return
    before, trace.known = trace.known, {}
    try:
        yield
    finally:
        trace.known = before


def record(f: Callable[..., Any], args: tuple[Array, ...]) -> Program:
    """Runs f once on the examples `args`, as a program for all arguments of the same shapes and dtypes.

    Args:
        f: takes arrays; returns an array or a tuple of arrays. Its control flow in Python must not depend on the values
            of its arguments (they refuse to be read); other arrays that it closes over become constants.
        args: examples. None of their values gets into the program.

    Returns:
        A callable that takes arrays like `args` and returns what f would.
    """
    examples = as_arrays(args)
    trace = RecordTrace(examples)
    boxes = [protected(trace.new(x)) for x in examples]
    token = _active.set(trace)
    try:
        out = run(trace, f, boxes)
    finally:
        _active.reset(token)
    single = not isinstance(out, tuple)
    outputs = [trace.operand(y) for y in ([out] if single else out)]
    raw = raw_namespace([raw_value(x) for x in [*examples, *trace.constants]])
    return Program(
        raw,
        [(tuple(x.shape), x.dtype) for x in examples],
        trace.instructions,
        trace.constants,
        outputs,
        single=single,
    )
