"""A recorded program: straight-line Python over raw arrays, with dead code gone and buffers used again."""

from collections.abc import Sequence
from typing import Any

import numpy

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.core import Array, Box, Shape, is_numpy
from metaspec_numpy.tracer.lowering import Line, Value, lower
from metaspec_numpy.tracer.outputs import as_array, as_result


class Program:
    """What `record` returns: call it with arrays of the recorded shapes and dtypes.

    Attributes:
        source: the generated Python, for reading.
        instructions: the primitives that are left.
    """

    def __init__(
        self,
        raw: Any,
        signature: Sequence[tuple[Shape, Any]],
        instructions: Sequence[Any],
        constants: Sequence[Array],
        outputs: Sequence[Any],
        *,
        single: bool,
    ) -> None:
        self.signature = list(signature)
        self.instructions = _live(instructions, outputs)
        self._constants, self._outputs, self._single = list(constants), list(outputs), single
        writer = _Writer(raw, self.signature, self.instructions, self._constants, outputs)
        self.source = writer.source()
        scope = writer.scope
        exec(compile(self.source, "<recorded program>", "exec"), scope)
        self._run = scope["program"]
        self._closed = not any(isinstance(x, Box) for x in self._constants)

    def __call__(self, *args: Array) -> Any:
        self._check(args)
        boxed = any(isinstance(x, Box) for x in args)
        outs = self._run(*args) if self._closed and not boxed else self._interpret(args)
        return as_result(outs[0]) if self._single else tuple(as_result(y) for y in outs)

    def _check(self, args: Sequence[Array]) -> None:
        if len(args) != len(self.signature):
            raise InvalidArgumentError(f"the program takes {len(self.signature)} arrays; {len(args)} were given")
        for i, (x, (shape, dtype)) in enumerate(zip(args, self.signature, strict=True)):
            if x.shape != shape or x.dtype != dtype:
                raise InvalidArgumentError(
                    f"argument {i} has shape {x.shape} and dtype {x.dtype}; the program was recorded for shape {shape} "
                    f"and dtype {dtype}. Record the function again for other shapes and dtypes."
                )

    def _interpret(self, args: Sequence[Array]) -> list[Any]:
        """Run the program through the primitives, so that it can itself be traced."""
        slots: dict[int, Any] = dict(enumerate(args))

        def value(operand: Any) -> Any:
            if operand.kind == "slot":
                return slots[operand.index]
            return self._constants[operand.index] if operand.kind == "constant" else _scalar(operand)

        for step in self.instructions:
            slots[step.slot] = step.primitive(*[value(x) for x in step.operands], **step.params)
        return [value(y) for y in self._outputs]


def _scalar(operand: Any) -> Any:
    kind, text = operand.index
    return text == "True" if kind is bool else kind(text)


def _live(instructions: Sequence[Any], outputs: Sequence[Any]) -> list[Any]:
    """The instructions that an output rests on."""
    needed = {y.index for y in outputs if y.kind == "slot"}
    live = []
    for step in reversed(instructions):
        if step.slot in needed:
            live.append(step)
            needed.update(x.index for x in step.operands if x.kind == "slot")
    return live[::-1]


class _Writer:
    """Writes the source: one line for each instruction, a local variable for each slot.

    A buffer is free when neither its slot nor a view of it is used later. A line that can write to a given buffer gets
    a free one of its shape and dtype, if there is any, and first of all that of an operand.
    """

    def __init__(
        self,
        raw: Any,
        signature: Sequence[tuple[Shape, Any]],
        instructions: Sequence[Any],
        constants: Sequence[Array],
        outputs: Sequence[Any],
    ) -> None:
        self.raw, self.instructions, self.constants, self.outputs = raw, instructions, constants, outputs
        self.scope: dict[str, Any] = {"__name__": __name__} | {f"c{i}": x for i, x in enumerate(constants)}
        self.bound: dict[int, str] = {}
        self.kinds: dict[int, tuple[Shape, Any]] = dict(enumerate(signature))
        self.kinds |= {step.slot: (step.shape, step.dtype) for step in instructions}
        self.names = {i: f"x{i}" for i in range(len(signature))}
        self.lines = [self._lower(step) for step in instructions]
        self.roots = {i: i for i in range(len(signature))}
        self.owned: set[int] = set()  # slots whose buffer is the program's own
        self._find_roots()

    def bind(self, x: Any) -> str:
        """A global name for an object that the source refers to."""
        name = self.bound.setdefault(id(x), f"k{len(self.bound)}")
        self.scope[name] = x
        return name

    def _value(self, operand: Any) -> Value:
        if operand.kind == "scalar":
            return Value(_literal(operand), (), None)
        if operand.kind == "constant":
            x = self.constants[operand.index]
            return Value(f"c{operand.index}", x.shape, x.dtype)
        return Value(f"<{operand.index}>", *self.kinds[operand.index])

    def _lower(self, step: Any) -> Line:
        return lower(
            self.raw, step.primitive, self.bind, [self._value(x) for x in step.operands], step.params, step.shape
        )

    def _find_roots(self) -> None:
        for step, line in zip(self.instructions, self.lines, strict=True):
            sources = [x.index for x in step.operands if x.kind == "slot"]
            if line.view and sources:
                self.roots[step.slot] = self.roots[sources[0]]
            else:
                self.roots[step.slot] = step.slot
                if step.shape:
                    self.owned.add(step.slot)

    def _last_uses(self) -> dict[int, int]:
        """Root -> the number of the last line that needs its memory."""
        last: dict[int, int] = {}
        for i, step in enumerate(self.instructions):
            last[self.roots[step.slot]] = i
            for x in step.operands:
                if x.kind == "slot":
                    last[self.roots[x.index]] = i
        for y in self.outputs:
            if y.kind == "slot":
                last[self.roots[y.index]] = len(self.instructions)
        return last

    def source(self) -> str:
        """The text of the function `program`."""
        last = self._last_uses()
        dying: dict[int, list[int]] = {}
        for root, i in last.items():
            dying.setdefault(i, []).append(root)
        free: dict[tuple[Shape, Any], list[int]] = {}
        unused: dict[int, int] = {}  # root whose buffer is free -> the line after which it became so
        views: dict[int, list[str]] = {}
        body: list[str] = []
        for i, (step, line) in enumerate(zip(self.instructions, self.lines, strict=True)):
            kind = (step.shape, step.dtype)
            buffer = self._inplace(step, dying.get(i, ())) if line.inplace else None
            if buffer is None and line.out and free.get(kind):
                buffer = free[kind].pop()
                unused.pop(buffer)
            name = f"v{step.slot}" if buffer is None else self.names[buffer]
            self.names[step.slot] = name
            if self.roots[step.slot] != step.slot:
                views.setdefault(self.roots[step.slot], []).append(name)
            body.append(f"{name} = {self._text(line, None if buffer is None else name)}")
            for root in dying.get(i, ()):
                if root in self.owned and root != buffer:
                    free.setdefault(self.kinds[root], []).append(root)
                    unused[root] = i
                elif root != buffer and root in self.roots and self.names[root][0] == "v":
                    unused[root] = i
        for root, i in unused.items():
            body[i] += "; del " + ", ".join({self.names[root], *views.get(root, ())})
        inputs = ", ".join(f"x{i}" for i in range(sum(name[0] == "x" for name in self.names.values())))
        results = ", ".join(self._result(y) for y in self.outputs)
        return "\n    ".join([f"def program({inputs}):", *body, f"return [{results}]"]) + "\n"

    def _inplace(self, step: Any, dying: Sequence[int]) -> int | None:
        """An operand whose buffer ends here and can hold the result; NumPy itself sees to overlapping operands."""
        for x in step.operands:
            slot: int = x.index
            owned = x.kind == "slot" and slot in self.owned and slot in dying
            if owned and self.kinds[slot] == (step.shape, step.dtype):
                return slot
        return None

    def _text(self, line: Line, out: str | None) -> str:
        text = line.text
        if line.out:
            text = text.replace("{out}", str(out))
        while "<" in text:
            before, _, rest = text.partition("<")
            number, _, after = rest.partition(">")
            text = before + self.names[int(number)] + after
        return text

    def _result(self, operand: Any) -> str:
        value = self._value(operand)
        if operand.kind == "slot":
            return self.names[operand.index]
        return f"{self.bind(_copy)}({value.name})"


def _copy(x: Any) -> Array:
    return numpy.array(x) if is_numpy(x) else as_array(x)


def _literal(operand: Any) -> str:
    kind, text = operand.index
    return f"float({text!r})" if kind is float and text.lstrip("-") in ("inf", "nan") else str(text)
