"""Reverse mode: a box holds a value and a node of the tape; what does not depend on the inputs leaves no node."""

import itertools
from collections.abc import Callable
from typing import Any

from metaspec.errors import InvalidArgumentError
from metaspec_numpy.tracer.aliasing import protected, snapshot
from metaspec_numpy.tracer.complex_values import refuse_complex
from metaspec_numpy.tracer.core import Array, Box, Params, Primitive, Trace, is_float
from metaspec_numpy.tracer.outputs import as_array, as_arrays, as_result, is_zero, map_outputs, run, zeros_like
from metaspec_numpy.tracer.rules.elementwise_rules import add

_indices = itertools.count()


class Node:
    """One application of a primitive, with what its vjp rule will ask for; an input has no primitive."""

    __slots__ = ("args", "index", "out", "params", "parents", "primitive")

    def __init__(
        self,
        primitive: Primitive | None = None,
        out: Array = None,
        args: list[Any] | None = None,
        params: Params | None = None,
        parents: list[tuple[int, "Node"]] | None = None,
    ) -> None:
        self.index = next(_indices)
        self.primitive, self.out, self.args = primitive, out, args or []
        self.params, self.parents = params or {}, parents or []


class ReverseBox(Box):
    """A value and the node that made it."""

    def __init__(self, trace: Trace, value: Array, node: Node) -> None:
        self.owner = trace
        self.value = value
        self.node = node


class ReverseTrace(Trace):
    """Keeps what the vjp rules will need."""

    __slots__ = ()

    def process(self, primitive: Primitive, args: tuple[Any, ...], params: Params) -> Any:
        values: list[Any] = []
        parents: list[tuple[int, Node]] = []
        for argnum, arg in enumerate(args):
            if isinstance(arg, ReverseBox) and arg.owner is self:
                values.append(arg.value)
                parents.append((argnum, arg.node))
            else:
                values.append(snapshot(arg))
        out = primitive(*values, **params)
        if primitive.vjp is None:
            return out
        refuse_complex(primitive, out)
        return self.box(self, out, Node(primitive, out, values, params, parents))


def vjp(f: Callable[..., Any], *primals: Array) -> tuple[Any, Callable[[Any], tuple[Array, ...]]]:
    """The value f(x) and its pull-back, the transpose of f'(x).

    Args:
        f: takes `len(primals)` arrays; returns an array or a tuple of arrays.
        primals: where to evaluate.

    Returns:
        `(value, pullback)`. `pullback(cotangent)`, with a cotangent structured like the value, gives a tuple of arrays
        shaped like primals; an input that the value does not depend on gets zeros. It may be called any number of
        times, and be differentiated with respect to its cotangent and to all that primals were made of.
    """
    arrays = as_arrays(primals)
    trace = ReverseTrace(ReverseBox, arrays)
    inputs = [Node() for _ in arrays]
    boxes = [protected(trace.box(trace, x, node)) if is_float(x) else x for x, node in zip(arrays, inputs, strict=True)]
    out = run(trace, f, boxes)
    single = not isinstance(out, tuple)
    outputs = [out] if single else out
    nodes = [y.node if isinstance(y, ReverseBox) and y.owner is trace else None for y in outputs]
    tape = _reachable([node for node in nodes if node is not None])

    def pullback(cotangent: Any) -> tuple[Array, ...]:
        given = [cotangent] if single else list(cotangent)
        if len(given) != len(nodes):
            raise InvalidArgumentError(
                f"pullback: {len(nodes)} outputs but {len(given)} cotangents; give one for each output"
            )
        cotangents: dict[Node, Array] = {}
        for node, g in zip(nodes, given, strict=True):
            if node is not None and not is_zero(g):
                _accumulate(cotangents, node, as_array(g))
        for node in tape:
            g = cotangents.pop(node, None)
            if g is None:
                continue
            rule = node.primitive.vjp  # type: ignore[union-attr]
            for argnum, parent in node.parents:
                share = rule(argnum, g, node.out, *node.args, **node.params)  # type: ignore[misc]
                if share is not None:
                    _accumulate(cotangents, parent, share)
        return tuple(
            as_result(cotangents[node]) if node in cotangents else zeros_like(x)
            for node, x in zip(inputs, arrays, strict=True)
        )

    def unbox(y: Any) -> Any:
        return y.value if isinstance(y, ReverseBox) and y.owner is trace else y

    return map_outputs(unbox, out), pullback


def _accumulate(cotangents: dict[Node, Array], node: Node, g: Array) -> None:
    cotangents[node] = add(cotangents[node], g) if node in cotangents else g


def _reachable(nodes: list[Node]) -> list[Node]:
    """The applications that `nodes` rest on, the latest first; the inputs themselves are not among them."""
    seen: set[Node] = set()
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if node.primitive is not None and node not in seen:
            seen.add(node)
            todo.extend(parent for _, parent in node.parents)
    return sorted(seen, key=lambda node: -node.index)
