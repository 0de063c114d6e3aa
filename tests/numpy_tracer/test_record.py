"""A recorded program: right for all inputs, lean, and honest about what it cannot do."""

from typing import Any

import array_api_strict
import numpy as np
import pytest

from metaspec.backends.numpy import tracer
from metaspec.backends.numpy.tracer.recording import computed_anew, recording

from .checks import close, difference

XP = tracer.namespace(np)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 3))


def names(program: tracer.Program) -> list[str]:
    return [step.primitive.name for step in program.instructions]


def test_no_value_of_the_example_gets_in() -> None:
    """Examples of nothing but NaN, and still the right results."""

    def f(x: Any, w: Any) -> Any:
        h = XP.maximum(x @ w, 0.0)
        g = XP.where(h > 1.0, h, h * XP.max(x)) + XP.sort(x, axis=0) + x[XP.argmax(x, axis=1)]
        return XP.sum(g), XP.logsumexp(g, axis=1), tracer.vjp(lambda x: XP.sum(XP.abs(x) ** 2.5), x)[1](XP.ones(()))[0]

    w = RNG.normal(size=(3, 3))
    with np.errstate(invalid="ignore"):
        program = tracer.record(f, (X * np.nan, w * np.nan))
    for a, b in zip(program(X, w), f(X, w), strict=True):
        close(a, b, 1e-14)


def test_dead_code_common_parts_and_constants() -> None:
    def f(x: Any) -> Any:
        XP.exp(x)  # dead
        table = XP.tanh(XP.ones((3, 3)) * 0.5)  # constant
        return XP.sin(x) @ table + XP.sin(x) @ table

    program = tracer.record(f, (X,))
    assert names(program) == ["sin", "matmul", "add"]
    close(program(X), 2 * np.sin(X) @ np.tanh(np.full((3, 3), 0.5)), 1e-15)


def test_simplifications() -> None:
    def f(x: Any) -> Any:
        y = XP.permute_dims(XP.permute_dims(x, (1, 0)), (1, 0)) * 1.0 / 1.0 - 0.0
        z = XP.broadcast_to(XP.sum(y, axis=1, keepdims=True), (4, 3))
        return XP.reshape(XP.reshape(y * z * XP.ones((4, 3)), (12,)), (4, 3)) * XP.full((4, 3), 0.1)

    program = tracer.record(f, (X,))
    assert names(program) == ["sum", "multiply", "multiply"]
    close(program(X), f(X), 0)


@pytest.mark.parametrize(
    ("f", "left"),
    [
        (lambda x: x * 1.0, []), (lambda x: 1.0 * x, []), (lambda x: x / 1.0, []), (lambda x: x - 0.0, []),
        (lambda x: x + -0.0, []), (lambda x: -0.0 + x, []), (lambda x: +x, []), (lambda x: XP.negative(-x), []),
        (lambda x: XP.stop_gradient(x), []), (lambda x: x * XP.ones((4, 3)), []), (lambda x: x[:], []),
        (lambda x: 1.0 / x, ["divide"]), (lambda x: 0.0 - x, ["subtract"]), (lambda x: x + 0.0, ["add"]),
        (lambda x: x + -1.0, ["add"]), (lambda x: x - 1.0, ["subtract"]), (lambda x: x / 2.0, ["divide"]),
        (lambda x: x - -0.0, ["subtract"]), (lambda x: x * -1.0, ["multiply"]), (lambda x: x * 2.0, ["multiply"]),
        (lambda x: XP.broadcast_to(x[0], (4, 3)) * x, ["slice", "reshape", "multiply"]),
        (lambda x: XP.sum(XP.sum(x[None], axis=0)), ["sum"]), (lambda x: XP.permute_dims(x, (1, 0)).T, []),
    ],
)  # fmt: skip
def test_neutral_operations_are_left_out_and_no_others(f: Any, left: list[str]) -> None:
    program = tracer.record(f, (X,))
    assert [name for name in names(program) if name != "reshape"] == [name for name in left if name != "reshape"]
    np.testing.assert_array_equal(program(X), f(X))


@pytest.mark.parametrize("value", [0.0, -0.0])
def test_signed_zeros_survive(value: float) -> None:
    x = np.asarray([0.0, -0.0, 1.0])
    for f in (
        lambda x: x + value,
        lambda x: x - value,
        lambda x: value + x,
        lambda x: x * 1.0,
        lambda x: XP.negative(-x),
    ):
        assert np.array_equal(np.signbit(tracer.record(f, (x,))(x)), np.signbit(f(x)))


def test_scalars_that_compare_equal_are_kept_apart() -> None:
    x = np.asarray([3, 4])
    out = tracer.record(lambda x: (x + 1, x + 1.0, x + True, x * 0.0, x * -0.0), (x,))(x)
    assert [y.dtype for y in out] == [np.int64, np.float64, np.int64, np.float64, np.float64]
    assert not np.signbit(out[3]).any()
    assert np.signbit(out[4]).all()


def test_arguments_and_earlier_results_are_left_alone() -> None:
    def f(x: Any) -> Any:
        y = XP.exp(x) * 2.0
        z = XP.tanh(y + 1.0)
        return y, z, XP.reshape(y, (12,)) + 1.0, XP.matrix_transpose(z)

    program = tracer.record(f, (X,))
    kept = X.copy()
    first = program(X)
    copies = [y.copy() for y in first]
    program(X + 1.0)
    close(X, kept, 0)
    for a, b, c in zip(first, copies, f(X), strict=True):
        close(a, b, 0)
        close(a, c, 0)


def test_views_of_a_buffer_are_not_overwritten() -> None:
    def f(x: Any) -> Any:
        y = x * 2.0
        v = XP.matrix_transpose(y)  # shares y's memory beyond y's last use
        z = XP.exp(x) + 1.0
        u = XP.sin(z) * z
        return v + XP.matrix_transpose(u), y[0] + XP.flip(y, axis=0)[0], XP.matrix_transpose(u) @ u

    program = tracer.record(f, (X,))
    for a, b in zip(program(X), f(X), strict=True):
        close(a, b, 1e-14)


def test_buffers_are_used_again() -> None:
    def f(x: Any) -> Any:
        for _ in range(20):
            x = XP.tanh(x) * 1.5
        return x

    source = tracer.record(f, (X,)).source
    assert len({line.split(" = ")[0].strip() for line in source.splitlines()[1:-1]}) == 1


def test_products_share_their_buffers() -> None:
    """A product cannot be written over its operands, but over what died before."""

    def f(x: Any) -> Any:
        for _ in range(20):
            x = x @ XP.full((3, 3), 0.5)
        return x

    source = tracer.record(f, (X,)).source
    assert len({line.split(" = ")[0].strip() for line in source.splitlines()[1:-1]}) == 2
    close(tracer.record(f, (X,))(X), f(X), 1e-14)


def test_constants_are_those_of_the_time_of_recording() -> None:
    w = np.ones(3)
    program = tracer.record(lambda x: x * w, (X,))
    w[:] = 7.0
    close(program(X), X, 0)
    constant = tracer.record(lambda x: XP.ones(2) * 3.0, (X,))
    constant(X)[0] = 5.0
    close(constant(X), [3.0, 3.0], 0)


def test_control_flow_on_values_is_refused() -> None:
    for f in (
        lambda x: x if x.sum() > 0 else -x,
        lambda x: float(x[0, 0]) * x,
        lambda x: int(XP.argmax(x)) * x,
        lambda x: np.asarray(x),
        lambda x: tracer.vjp(lambda y: y if y.sum() > 0 else -y, x)[0],
    ):
        with pytest.raises(TypeError, match=r"xp\.where"):
            tracer.record(f, (X,))
        with pytest.raises(TypeError, match=r"xp\.where"):
            tracer.vmap(f)(X[None])
    with pytest.raises(TypeError, match=r"xp\.where"):
        tracer.record(lambda x: x[x > 0], (X,))


def test_other_shapes_and_dtypes_are_refused() -> None:
    program = tracer.record(lambda x: x * 2.0, (X,))
    with pytest.raises(ValueError, match="argument 0 has shape"):
        program(X[:2])
    with pytest.raises(ValueError, match="argument 0 has shape"):
        program(X.astype(np.float32))
    with pytest.raises(ValueError, match="takes 1 arrays; 2"):
        program(X, X)


def test_is_concrete() -> None:
    seen = []

    def f(x: Any) -> Any:
        seen.append(tracer.is_concrete(x))
        return x

    f(X)
    tracer.record(f, (X,))
    tracer.vmap(f)(X)
    tracer.vjp(f, X)
    tracer.jvp(f, [X], [X])
    assert seen == [True, False, False, False, False]


def test_a_program_can_be_traced_and_recorded_again() -> None:
    program = tracer.record(lambda x, y: XP.tanh(x @ y), (X, X.T))
    g = lambda x: XP.sum(program(x, X.T) ** 2)  # noqa: E731
    expected = tracer.vjp(lambda x: XP.sum(XP.tanh(x @ X.T) ** 2), X)[1](np.ones(()))[0]
    gradient = lambda x: tracer.vjp(g, x)[1](np.ones(()))[0]  # noqa: E731
    close(gradient(X), expected, 1e-14)
    close(tracer.record(gradient, (X,))(X), expected, 1e-14)


def test_recording_under_a_batch() -> None:
    """The constants are traced arrays then, and the program runs by way of the primitives."""

    def row(x: Any) -> Any:
        return tracer.record(lambda u: u * x, (np.ones(3),))(x)

    close(tracer.vmap(row)(X), X * X, 0)


@pytest.mark.parametrize("dtype", [np.float32, np.longdouble])
def test_other_dtypes(dtype: Any) -> None:
    def f(x: Any) -> Any:
        gradient = lambda x: tracer.vjp(lambda x: XP.mean(XP.tanh(x @ x.T / 3) ** 2), x)[1](XP.ones((), dtype=dtype))[0]  # noqa: E731
        return gradient(x - 0.1 * gradient(x))

    x = X.astype(dtype)
    out = tracer.record(f, (x,))(x)
    assert out.dtype == dtype
    close(out, f(x), 20 * float(np.finfo(dtype).eps))


def test_linear_work_per_step() -> None:
    """Each further step of a long loop adds the same number of instructions: nothing is recorded twice."""

    def steps(n: int) -> int:
        def f(x: Any) -> Any:
            for _ in range(n):
                x = x - 0.1 * tracer.vjp(lambda x: XP.sum(XP.tanh(x @ X.T) ** 2), x)[1](np.ones(()))[0]
            return x

        return len(tracer.record(f, (X,)).instructions)

    assert steps(4) - steps(3) == steps(3) - steps(2) <= 9


def test_strict_namespace() -> None:
    strict = tracer.namespace(array_api_strict)
    x = array_api_strict.asarray(X)

    def f(xp: Any) -> Any:
        loss = lambda x: xp.sum(xp.tanh(x @ x.T) ** 2)  # noqa: E731
        return lambda x: tracer.jvp(lambda x: tracer.vjp(loss, x)[1](xp.ones_like(loss(x)))[0], [x], [x])[1]

    program = tracer.record(f(strict), (x,))
    out = program(x)
    assert type(out) is type(x)
    close(out, f(XP)(X), 1e-13)


def pooled_net(params: Any, x: Any) -> Any:
    """Convolution as slices and one product, pooling as reshape and max: images (n, 6, 6) to scores (n, 3)."""
    kernel, weights = params
    n = x.shape[0]
    patches = XP.stack([x[:, i : i + 5, j : j + 5][:, :4, :4] for i in range(3) for j in range(3)], axis=-1)
    maps = XP.tanh(patches @ kernel)
    pooled = XP.max(XP.reshape(maps, (n, 2, 2, 2, 2, 4)), axis=(2, 4))
    return XP.reshape(pooled, (n, 16)) @ weights


def test_pooled_convolutions_batched_over_tasks() -> None:
    """Compiled, batched, two inner steps and second order: where a compiler of derivatives has gone wrong before."""
    rng = np.random.default_rng(3)
    params = (rng.normal(size=(9, 4)) / 3, rng.normal(size=(16, 3)) / 4)
    images, labels = rng.normal(size=(5, 2, 4, 8, 8))[..., :6, :6], rng.integers(0, 3, size=(5, 2, 4))

    def loss(params: Any, x: Any, y: Any) -> Any:
        hot = XP.astype(y[:, None] == XP.arange(3), x.dtype)
        return -XP.mean(XP.sum(XP.log_softmax(pooled_net(params, x)) * hot, axis=1))

    def adapted(kernel: Any, weights: Any, x: Any, y: Any) -> Any:
        theta = (kernel, weights)
        for _ in range(2):
            value, pullback = tracer.vjp(lambda *p: loss(p, x[0], y[0]), *theta)
            theta = tuple(p - 0.3 * g for p, g in zip(theta, pullback(XP.ones_like(value)), strict=True))
        return loss(theta, x[1], y[1])

    def meta(kernel: Any, weights: Any, x: Any, y: Any) -> Any:
        def row(x: Any, y: Any) -> Any:
            value, pullback = tracer.vjp(lambda *p: adapted(*p, x, y), kernel, weights)
            return (value, *pullback(XP.ones_like(value)))

        return tuple(XP.mean(z, axis=0) for z in tracer.vmap(row)(x, y))

    program = tracer.record(meta, (*params, images, labels))
    value, *gradient = program(*params, images, labels)
    each = [adapted(*params, x, y) for x, y in zip(images, labels, strict=True)]
    close(value, np.mean(each), 1e-14)

    def mean(*p: Any) -> Any:
        return np.mean([adapted(*p, x, y) for x, y in zip(images, labels, strict=True)])

    direction = [rng.normal(size=p.shape) for p in params]
    (expected,) = difference(mean, params, direction, 1e-4)
    close(sum(np.sum(g * t) for g, t in zip(gradient, direction, strict=True)), expected, 1e-9)


def test_permutations_of_permutations() -> None:
    x = RNG.normal(size=(2, 3, 4))
    f = lambda x: XP.permute_dims(XP.permute_dims(x, (1, 2, 0)), (0, 2, 1)) * 2.0  # noqa: E731
    program = tracer.record(f, (x,))
    assert names(program) == ["permute", "multiply"]
    close(program(x), f(x), 0)
    there_and_back = lambda x: XP.permute_dims(XP.permute_dims(x, (1, 2, 0)), (2, 0, 1)) * 2.0  # noqa: E731
    assert names(tracer.record(there_and_back, (x,))) == ["multiply"]


def test_scalars_of_every_kind_in_a_program_that_is_traced() -> None:
    def f(x: Any) -> Any:
        bounded = XP.minimum(XP.maximum(x, float("-inf")), float("inf"))
        return XP.where(x > 0, True, False), x + 1, bounded * 0.5, XP.where(x > 0, x, float("nan"))

    program = tracer.record(f, (X[0],))
    for run in (lambda x: [program(row) for row in x], lambda x: list(zip(*tracer.vmap(program)(x), strict=True))):
        for row, outs in zip(X, run(X), strict=True):
            for a, b in zip(outs, f(row), strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_array_equal(a, b)


def test_sums_over_axes_of_length_one() -> None:
    for keepdims in (False, True):
        for axis in (1, (1, 3), (0, 1)):
            f = lambda x, a=axis, k=keepdims: XP.sum(x, axis=a, keepdims=k)  # noqa: E731
            for x in (X[:, None, :, None], X[:, None, :, None].astype(np.int32)):
                program = tracer.record(f, (x,))
                np.testing.assert_array_equal(program(x), f(x))
                assert program(x).dtype == f(x).dtype
                summed = 0 in np.atleast_1d(axis) or x.dtype == np.int32
                assert names(program) == (["sum"] if summed else [] if f(x).shape == x.shape else ["reshape"])


def test_only_what_changes_nothing_is_left_out() -> None:
    row, narrow = X[0], X[0].astype(np.float32)
    one, grid = np.float64(1.0), np.ones((4, 3))
    for f, x in (
        (lambda x: x * grid, row),
        (lambda x: grid * x, row),
        (lambda x: x / grid, row),
        (lambda x: x - 0.0 * grid, row),
        (lambda x: -0.0 * grid + x, row),
        (lambda x: x * XP.asarray(one), narrow),
        (lambda x: XP.asarray(one) * x, narrow),
        (lambda x: 1.0 / x, row),
        (lambda x: 0.0 - x, row),
        (lambda x: x - -0.0, np.asarray([0.0, -0.0])),
        (lambda x: x * -1.0, row),
        (lambda x: XP.asarray(1.0) / XP.asarray(2.0) * x, row),
        (lambda x: XP.negative(XP.reciprocal(x)), row),
        (lambda x: XP.broadcast_to(XP.broadcast_to(x, (2, 3)), (4, 2, 3)), row),
        (lambda x: XP.reshape(XP.broadcast_to(x, (2, 3)), (6,)) * 2.0, row),
        (lambda x: XP.broadcast_to(x, (4, 3)) * np.full((4, 1), 2.0), row),
        (lambda x: XP.broadcast_to(x[:1], (3,)) * XP.broadcast_to(x[1:2], (3,)), row),
        (lambda x: x * np.asarray([0.0, -0.0, 0.0]), row),
        (lambda x: x * np.broadcast_to(np.float64(2.0), (4, 3)), row),
        (lambda x: XP.permute_dims(x[None, :, None], (1, 0, 2)) + XP.permute_dims(x[None, :, None], (2, 1, 0)), row),
    ):
        out = tracer.record(f, (x,))(x)
        assert (out.shape, out.dtype) == (f(x).shape, f(x).dtype)
        np.testing.assert_array_equal(out, f(x))
        np.testing.assert_array_equal(np.signbit(out), np.signbit(f(x)))


def test_recording_is_known_while_it_lasts() -> None:
    seen: list[bool] = []

    def f(x: Any) -> Any:
        seen.append(recording())
        return x

    tracer.record(f, (X,))
    with pytest.raises(ZeroDivisionError):
        tracer.record(lambda x: 1 // 0, (X,))
    assert (seen, recording()) == ([True], False)


def test_what_is_computed_anew_is_recorded_twice() -> None:
    def f(x: Any) -> Any:
        first = XP.sin(x)
        with computed_anew():
            second = XP.sin(x) + XP.cos(x)
        return first + second + XP.sin(x) + XP.cos(x)

    recorded = names(tracer.record(f, (X,)))
    assert (recorded.count("sin"), recorded.count("cos")) == (2, 2)
    close(f(X), 2 * (np.sin(X) + np.cos(X)) + np.sin(X), 1e-15)


def test_equal_constants_are_one() -> None:
    def f(x: Any) -> Any:
        return x * np.asarray([1.0, 2.0, 3.0]) + XP.exp(x * np.asarray([1.0, 2.0, 3.0])) - np.asarray([1.0, 2.0, 4.0])

    source = tracer.record(f, (X,)).source
    assert "c1" in source
    assert "c2" not in source
    close(tracer.record(f, (X,))(X), f(X), 0)


def test_borders_are_zero_in_buffers_that_held_other_numbers() -> None:
    def f(x: Any) -> Any:
        out = XP.pad(x, 1)
        for _ in range(3):
            rows = XP.sum(XP.exp(out), axis=0)
            out = XP.pad(XP.sin(out[1:-1, 1:-1]), 1) * rows * 1e-2
        return out

    program = tracer.record(f, (X,))
    for _ in range(2):
        close(program(X), f(X), 1e-13)


def test_nothing_outlives_its_last_use() -> None:
    """Every variable of a program is returned or deleted, views of others too."""

    def f(x: Any) -> Any:
        y = XP.exp(x)
        v = XP.matrix_transpose(y)[1:]
        z = v @ x * 3.0
        w = XP.sum(z) + XP.sum(XP.reshape(XP.sin(z), (-1,))[::2])
        for _ in range(3):
            z = XP.tanh(z * w)
        return z

    program = tracer.record(f, (X,))
    lines = [line.strip() for line in program.source.splitlines()[1:]]
    alive: set[str] = set()
    for line in lines[:-1]:
        assignment, *deletions = line.split("; del ")
        alive.add(assignment.split(" = ")[0])
        for names_of in deletions:
            alive -= set(names_of.split(", "))
    assert lines[-1] == f"return [{', '.join(alive)}]", program.source
    close(program(X), f(X), 1e-14)


def test_constants_that_differ_in_kind_are_several() -> None:
    wide, narrow = np.asarray([1.0, 2.0, 3.0]), np.asarray([1.0, 2.0, 3.0], dtype=np.float32)
    f = lambda x: (x * wide, x * narrow, x + wide[:, None].T, x + wide.astype(np.longdouble))  # noqa: E731
    x = X.astype(np.float32)
    for a, b in zip(tracer.record(f, (x,))(x), f(x), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_array_equal(a, b)
