"""Random compositions of smooth operations as portable losses: frozen data that says what to compute.

Values are matrices [examples, 2]. The first ones are linear in the leaves, one for each leaf that has entries; each
operation adds one, of values before it; the objective turns the last one into a number. Every operation is smooth
everywhere and takes bounded numbers to bounded numbers, so no argument can meet a kink or a pole.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from metaspec import nn
from metaspec.backend.arrays import array_namespace
from metaspec.errors import InvalidArgumentError
from metaspec_conformance.judging.numpy_trees import leaves

Tree = Any
Array = Any
Operation = Callable[..., Array]

COLUMNS = 2


def _softmax(xp: Any, z: Array) -> Array:
    return xp.exp(nn.log_softmax(z))


def _standardised(xp: Any, z: Array) -> Array:
    return (z - xp.mean(z, axis=0, keepdims=True)) / xp.sqrt(1.0 + xp.var(z, axis=0, keepdims=True))


def _normalised(xp: Any, z: Array) -> Array:
    return z / xp.sqrt(1.0 + xp.sum(z * z, axis=1, keepdims=True))


def _rotated(xp: Any, z: Array) -> Array:
    return xp.concat([z[:, 1:], z[:, :1]], axis=1)


def _crossed(xp: Any, z: Array) -> Array:
    first, second = z[:, 0], z[:, 1]
    return xp.stack([xp.sin(first) * second, first - second], axis=1)


def _gram(xp: Any, z: Array) -> Array:
    t = xp.tanh(z)
    return xp.matmul(t, xp.matmul(xp.matrix_transpose(t), t)) / z.shape[0]


def _attended(xp: Any, a: Array, b: Array) -> Array:
    weights = xp.tanh(xp.matmul(a, xp.matrix_transpose(b)))
    return xp.matmul(weights, b) / b.shape[0]


UNARY: MappingProxyType[str, Operation] = MappingProxyType(
    {
        "tanh": lambda xp, z: xp.tanh(z),
        "sin": lambda xp, z: xp.sin(z),
        "cos": lambda xp, z: xp.cos(z),
        "atan": lambda xp, z: xp.atan(z),
        "asinh": lambda xp, z: xp.asinh(z),
        "sinh_of_sin": lambda xp, z: xp.sinh(xp.sin(z)),
        "cosh_of_cos": lambda xp, z: xp.cosh(xp.cos(z)),
        "expm1_of_tanh": lambda xp, z: xp.expm1(xp.tanh(z)),
        "gaussian": lambda xp, z: xp.exp(-z * z),
        "reciprocal": lambda xp, z: 1.0 / (1.0 + z * z),
        "log1p_of_square": lambda xp, z: xp.log1p(z * z),
        "hyperbola": lambda xp, z: xp.sqrt(1.0 + z * z),
        "power": lambda xp, z: xp.pow(1.0 + z * z, 0.75),
        "sigmoid": lambda xp, z: nn.sigmoid(z),
        "softplus": lambda xp, z: nn.softplus(z),
        "silu": lambda xp, z: nn.silu(z),
        "gelu": lambda xp, z: nn.gelu(z),
        "softmax": _softmax,
        "log_softmax": lambda xp, z: nn.log_softmax(z),
        "standardised": _standardised,
        "normalised": _normalised,
        "rotated": _rotated,
        "flipped": lambda xp, z: xp.flip(z, axis=0),
        "cumulated": lambda xp, z: xp.cumulative_sum(z, axis=1),
        "crossed": _crossed,
        "gram": _gram,
    }
)
"""Operations of one value."""

BINARY: MappingProxyType[str, Operation] = MappingProxyType(
    {
        "add": lambda xp, a, b: a + b,
        "subtract": lambda xp, a, b: a - b,
        "multiply": lambda xp, a, b: a * b,
        "quotient": lambda xp, a, b: a / (1.0 + b * b),
        "logaddexp": lambda xp, a, b: xp.logaddexp(a, b),
        "hypotenuse": lambda xp, a, b: xp.sqrt(1.0 + a * a + b * b),
        "angle": lambda xp, a, b: xp.atan2(a, 1.0 + b * b),
        "attended": _attended,
    }
)
"""Operations of two values."""

OBJECTIVES: MappingProxyType[str, Operation] = MappingProxyType(
    {
        "squares": lambda xp, z, y: 0.5 * xp.mean((z - y) ** 2),
        "log_cosh": lambda xp, z, y: xp.mean(xp.logaddexp(z - y, y - z)),
        "cauchy": lambda xp, z, y: xp.mean(xp.log1p((z - y) * (z - y))),
        "cross_entropy": lambda xp, z, y: xp.mean(nn.softplus(z) - nn.sigmoid(y) * z),
    }
)
"""A number from the last value and the target."""

Instruction = tuple[str, int] | tuple[str, int, int]


@dataclass(frozen=True)
class Composition:
    """objective(program(params, batch["x"]), batch["y"]).

    Attributes:
        program: (operation, positions of its operands among the values). The first values are x_w . w for the leaves w
            that have entries, in the tree's order.
        objective: A name in `OBJECTIVES`.

    A batch is {"x": a tree like params with leaves [examples, 2, *leaf.shape], "y": [examples, 2]}.

    Raises:
        InvalidArgumentError: An operation or an objective that is not known.

    Example:
        >>> from metaspec_conformance.generators.programs import Composition
        >>> Composition((("tanh", 0), ("multiply", 1, 0)), "squares")
        Composition(program=(('tanh', 0), ('multiply', 1, 0)), objective='squares')
    """

    program: tuple[Instruction, ...]
    objective: str = "squares"

    def __post_init__(self) -> None:
        for name, *operands in self.program:
            table = UNARY if len(operands) == 1 else BINARY
            if name not in table:
                raise InvalidArgumentError(
                    f"Composition: program: {name!r} with {len(operands)} operands is not one of {', '.join(table)}"
                )
        if self.objective not in OBJECTIVES:
            raise InvalidArgumentError(
                f"Composition: objective: {self.objective!r} is not one of {', '.join(OBJECTIVES)}"
            )

    def __call__(self, params: Tree, batch: Tree) -> Array:
        """The loss."""
        xp = array_namespace(params)
        pairs = zip(leaves(params), leaves(batch["x"]), strict=True)
        values = [_linear(xp, w, x) for w, x in pairs if 0 not in w.shape]
        for name, *operands in self.program:
            operation = UNARY[name] if len(operands) == 1 else BINARY[name]
            values.append(operation(xp, *(values[i] for i in operands)))
        return OBJECTIVES[self.objective](xp, values[-1], batch["y"])


def _linear(xp: Any, w: Array, x: Array) -> Array:
    n = x.shape[0]
    flat = xp.reshape(w, (-1,))
    return xp.reshape(xp.matmul(xp.reshape(x, (n * COLUMNS, flat.shape[0])), flat), (n, COLUMNS))
