"""Rules of derivatives broken on purpose: single rows of the NumPy tracer's tables."""

from typing import Any

from metaspec import nn
from metaspec_numpy.tracer import PRIMITIVES
from metaspec_numpy.tracer.rules.structure import matrix_transpose
from tests.conformance.seeded_faults.fault import Patch, fault, rebind

adapter = "adapter"


@fault(adapter, margin=True)
def matmul_rule_transposed(patch: Patch) -> None:
    """The cotangent of a product's second factor without the transposition, where shapes let it pass."""
    primitive = PRIMITIVES["matmul"]
    original = primitive.vjp

    def rule(argnum: int, g: Any, out: Any, a: Any, b: Any) -> Any:
        share = original(argnum, g, out, a, b)
        square = argnum == 1 and len(share.shape) == 2 and share.shape[0] == share.shape[1]
        return matrix_transpose(share) if square else share

    patch(primitive, "vjp", rule)


@fault(adapter, margin=True)
def tanh_rule_wrong(patch: Patch) -> None:
    """d tanh = 1 - tanh for 1 - tanh^2."""
    patch(PRIMITIVES["tanh"], "vjp", lambda argnum, g, out, x: g * (1.0 - out))


@fault(adapter)
def tanh_forward_rule_wrong(patch: Patch) -> None:
    """The rule of tanh is wrong in forward mode alone."""
    patch(PRIMITIVES["tanh"], "jvp", lambda tangents, out, x: tangents[0] * (1.0 - out))


@fault(adapter)
def broadcast_rule_averages(patch: Patch) -> None:
    """The cotangent of what was broadcast is averaged where it must be summed."""
    primitive = PRIMITIVES["broadcast_to"]
    original = primitive.vjp

    def rule(argnum: int, g: Any, out: Any, x: Any, *, shape: Any) -> Any:
        share = original(argnum, g, out, x, shape=shape)
        return share * (max(1, x.size) / max(1, g.size))

    patch(primitive, "vjp", rule)


@fault(adapter, 18)
def slices_put_at_the_start(patch: Patch) -> None:
    """The cotangent of a vector's slice goes to the vector's first entries."""
    primitive = PRIMITIVES["slice"]
    original = primitive.vjp

    def rule(argnum: int, g: Any, out: Any, x: Any, *, spans: Any) -> Any:
        if x.ndim != 1 or g.ndim != 1:
            return original(argnum, g, out, x, spans=spans)
        return PRIMITIVES["place"](g, spans=((0, g.shape[0], None),), shape=x.shape)

    patch(primitive, "vjp", rule)


@fault(adapter)
def division_rule_wrong(patch: Patch) -> None:
    """d(x / y)/dy = -x / y for -x / y^2."""
    primitive = PRIMITIVES["divide"]
    original = primitive.vjp

    def rule(argnum: int, g: Any, out: Any, x: Any, y: Any) -> Any:
        share = original(argnum, g, out, x, y)
        return share * y if argnum == 1 and getattr(share, "shape", None) == getattr(y, "shape", ()) else share

    patch(primitive, "vjp", rule)


@fault(adapter, margin=True)
def where_rule_swapped(patch: Patch) -> None:
    """The cotangent of `where` goes to the branch that was not taken."""
    primitive = PRIMITIVES["where"]
    original = primitive.vjp

    def rule(argnum: int, g: Any, out: Any, c: Any, x: Any, y: Any) -> Any:
        taken = 3 - argnum if argnum else 0
        other = (x, y)[taken - 1] if taken else None
        same = taken and getattr(other, "shape", None) == getattr((x, y)[argnum - 1], "shape", None)
        return original(taken if same else argnum, g, out, c, x, y)

    patch(primitive, "vjp", rule)


@fault(adapter)
def logarithm_of_a_sum_one_sided(patch: Patch) -> None:
    """logaddexp's cotangent goes to the larger argument alone."""
    balance = PRIMITIVES["balance"]
    original = PRIMITIVES["logaddexp"].vjp

    def rule(argnum: int, g: Any, out: Any, x: Any, y: Any) -> Any:
        if getattr(x, "shape", ()) != getattr(y, "shape", ()):
            return original(argnum, g, out, x, y)
        return g * (balance(x, y) if argnum == 0 else balance(y, x))

    patch(PRIMITIVES["logaddexp"], "vjp", rule)


@fault(adapter)
def relu_half_at_zero(patch: Patch) -> None:
    """relu is maximum(x, 0), with the derivative 1/2 at 0."""
    rebind(patch, nn.relu, lambda x: PRIMITIVES["maximum"](x, 0.0))


@fault(adapter)
def ties_shared_in_pooling(patch: Patch) -> None:
    """max_pool2d shares the gradient between equal entries."""
    original = nn.max_pool2d

    def pooled(x: Any, window: Any = 2, *, stride: Any = None) -> Any:
        if window != 2 or stride is not None:
            return original(x, window, stride=stride)
        maximum, height, width = PRIMITIVES["maximum"], x.shape[1] // 2 * 2, x.shape[2] // 2 * 2
        rows = maximum(x[:, 0:height:2, :, :], x[:, 1:height:2, :, :])
        return maximum(rows[:, :, 0:width:2, :], rows[:, :, 1:width:2, :])

    rebind(patch, original, pooled)


@fault(adapter, 21)
def sine_with_float32_digits(patch: Patch) -> None:
    """The sine and cosine of float64 arrays are computed in float32; nothing else is."""
    for name in ("sin", "cos"):
        original = PRIMITIVES[name].impl

        def narrow(xp: Any, x: Any, original: Any = original) -> Any:
            return xp.astype(original(xp, xp.astype(x, xp.float32)), x.dtype)

        patch(PRIMITIVES[name], "impl", narrow)


@fault(adapter)
def hyperbolic_sine_by_exponentials(patch: Patch) -> None:
    """sinh x = (e^x - e^-x) / 2, which has no digits near 0."""
    patch(PRIMITIVES["sinh"], "impl", lambda xp, x: (xp.exp(x) - xp.exp(-x)) / 2)


@fault(adapter)
def root_rule_wrong_at_second_order(patch: Patch) -> None:
    """The derivative of a square root is right and does not depend on x, which its own derivative shows."""
    primitive, constant = PRIMITIVES["sqrt"], PRIMITIVES["stop_gradient"]
    patch(primitive, "vjp", lambda argnum, g, out, x: g / (2.0 * constant(out)))
