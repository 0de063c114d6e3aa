"""Calls of a compiled function after the first: what of an argument makes another program, and what a call keeps to."""

import numpy as np
import pytest

import metaspec as ms
from metaspec.backend.trace_cache import TraceCache
from metaspec.data import Sinusoid
from metaspec_conformance.judging.error_model import relative_error


def doubled(x, y):
    return {"sum": x["a"] + x["a"], "kept": y, "count": 2.0 * y.shape[0] + 0.0 * y}


def test_other_shapes_formats_and_structures_are_told_apart(B):
    """Each of two kinds of arguments in turn, again and again: after the first time nothing looks at them closely."""
    compiled = ms.compile(doubled)
    with B.precision("float64"):
        for _ in range(3):
            for shape, dtype in (((2,), "float32"), ((3,), "float32"), ((2,), "float64"), ((2, 1), "float32")):
                x, y = ms.asarray(({"a": np.ones(shape)}, np.ones(shape)), dtype=dtype, backend=B)
                found = compiled(x, y)
                assert [B.dtype_name(leaf) for leaf in found.values()] == [dtype] * 3
                assert [tuple(leaf.shape) for leaf in found.values()] == [shape] * 3
                assert np.array_equal(B.to_numpy(found["count"]), np.full(shape, 2.0 * shape[0], dtype))
        nested = ms.asarray({"a": np.ones(2), "b": np.ones(2)}, backend=B)
        assert np.array_equal(B.to_numpy(compiled(nested, nested["b"])["sum"]), [2.0, 2.0])


def test_a_number_in_the_place_of_an_array_is_a_constant(B):
    scaled = ms.compile(lambda c, x: x * c)
    x = ms.asarray(np.ones(2, "float32"), backend=B)
    array = ms.asarray(np.full(2, 3.0, "float32"), backend=B)
    found = [float(B.to_numpy(scaled(c, x))[0]) for c in (array, 5.0, array, 7.0, array, 5.0)]
    assert found == [3.0, 5.0, 3.0, 7.0, 3.0, 5.0]


def test_another_choice_of_a_backend_is_seen_at_every_call(B):
    """Arrays of one framework, and a context that chooses another: told at the first call and after many."""
    other = "numpy" if B.name != "numpy" else "torch"
    if other == "torch":
        pytest.importorskip("torch")
    compiled = ms.compile(lambda x: x + x)
    x = ms.asarray(np.ones(2), dtype="float32", backend=B)
    for _ in range(3):
        compiled(x)
        with ms.backend_context(other), pytest.raises(ms.errors.BackendMismatchError):
            compiled(x)
    with pytest.raises(ms.errors.BackendMismatchError):
        compiled({"a": x, "b": ms.asarray(np.ones(2), dtype="float32", backend=other)})


def test_tasks_of_unequal_sizes_after_tasks_of_one(B):
    net, algo = ms.nn.MLP((1, 4, 1), activation=ms.nn.tanh), ms.FOMAML(ms.GradientDescent(0.1, 1))
    params = ms.asarray(net.init(0), backend=B)

    def mean(params, tasks):
        return ms.batch_meta_gradient(algo, net.loss, params, tasks).delta

    compiled = ms.compile(mean)
    tasks = {shots: ms.asarray(Sinusoid(shots=shots, queries=3).task(shots), backend=B) for shots in (3, 5)}
    for sizes in ((3, 3), (5, 5), (3, 5), (5, 3), (3, 3)):
        given = [tasks[size] for size in sizes]
        found, wanted = compiled(params, given), mean(params, given)
        for name, leaf in wanted.items():
            assert relative_error(B.to_numpy(found[name]), B.to_numpy(leaf)) < 2**6 * 2.0**-23


def test_each_size_of_tasks_is_compiled_once_in_any_order_and_mix(B):
    """Also after a call with tasks of one size, whose arguments later calls do not look at closely."""
    net, algo, traced = ms.nn.MLP((1, 4, 1), activation=ms.nn.tanh), ms.FOMAML(ms.GradientDescent(0.1, 1)), []

    def loss(params, batch):
        traced.append(batch["x"].shape)
        return net.loss(params, batch)

    params = ms.asarray(net.init(0), backend=B)
    tasks = {shots: ms.asarray(Sinusoid(shots=shots, queries=3).task(shots), backend=B) for shots in (3, 5)}
    compiled = ms.compile(lambda params, tasks: ms.batch_meta_gradient(algo, loss, params, tasks).query_loss)

    def call(*sizes, kind=list):
        return float(B.to_numpy(compiled(params, kind(tasks[size] for size in sizes))).mean())

    alone = {size: call(size, size) for size in (3, 5)}
    call(3, 5)
    traces = len(traced)
    for sizes, kind in (((3, 3), list), ((5, 3), list), ((3, 5), tuple), ((3, 5, 5), list), ((5, 5), list)):
        expected = np.mean([alone[size] for size in sizes])
        assert call(*sizes, kind=kind) == pytest.approx(expected, rel=2**6 * 2.0**-23)
        assert len(traced) == traces, sizes


def test_numbers_are_constants_where_a_backend_tells_leaves_by_their_types():
    """`kinds` may know a number by what is the same for all numbers: its value is in the trace all the same."""
    B = ms.get_backend("numpy")

    def trace(flat, arrays):
        flat(*arrays)
        return flat

    scaled = TraceCache(B, lambda c, x: x * c, trace, np.shape, kinds=lambda leaves: tuple(map(type, leaves)))
    x = np.ones(2)
    for c in (5.0, 7.0, np.asarray(3.0), 5.0, np.asarray(4.0)):
        assert scaled(c, x).tolist() == [c, c]
    assert scaled.quick((np.asarray(2.0), x)).tolist() == [2.0, 2.0]


def test_numpy_keeps_its_warnings_to_itself():
    compiled = ms.compile(lambda x: 1.0 / x)
    with np.errstate(all="raise"):
        for _ in range(3):
            assert np.isinf(compiled(np.zeros(2))).all()


def test_jax_float64_without_x64_after_float32():
    jax = pytest.importorskip("jax")
    with jax.enable_x64(True):
        wide = jax.numpy.full(2, 1 / 3, "float64")
    compiled = ms.compile(lambda x: x * 3)
    for _ in range(3):
        assert str(compiled(wide).dtype) == "float64"
        assert str(compiled(wide.astype("float32")).dtype) == "float32"


def test_errors_of_jax_say_what_to_do_at_any_call():
    jax = pytest.importorskip("jax")
    compiled = ms.compile(lambda x: x if x.shape[0] == 2 or x[0] > 0 else -x)
    for _ in range(2):
        compiled(jax.numpy.ones(2))
        with pytest.raises(ms.errors.LossError, match="jnp.where or jax.lax.cond"):
            compiled(jax.numpy.ones(3))


def test_torch_results_are_outside_of_recordings_and_arguments_may_be_within():
    torch = pytest.importorskip("torch")
    compiled = ms.compile(lambda x: (x, x * 2, x.reshape(2, 1)))
    plain, recorded = torch.ones(2), torch.nn.Parameter(torch.ones(2))
    for x in (plain, recorded, plain, recorded, recorded * 1, plain):
        assert not any(y.requires_grad for y in compiled(x))
        with torch.no_grad():
            assert not any(y.requires_grad for y in compiled(x))
        assert torch.is_grad_enabled()
        with torch.inference_mode():
            within = torch.ones(2)
            assert torch.equal(compiled(within)[1], torch.full((2,), 2.0))
    y = torch.func.grad(lambda x: compiled(x)[1].sum())(plain)  # the function itself, under a transform
    assert torch.equal(y, torch.full((2,), 2.0))
    with torch.autocast("cpu", torch.bfloat16):
        assert ms.compile(lambda x: x[:, None] @ x[None])(plain).dtype == torch.bfloat16


def test_torch_tells_strides_devices_and_autocast_apart():
    torch = pytest.importorskip("torch")
    product = ms.compile(lambda x: x.reshape(-1) @ (x @ x).reshape(-1)[:, None])  # a view, and a copy where it must be
    x = torch.arange(9.0).reshape(3, 3)
    for _ in range(2):
        for given in (x, x.T):
            assert torch.equal(product(given), given.reshape(-1) @ (given @ given).reshape(-1)[:, None])
        assert product(x.to("meta")).device.type == "meta"
        with torch.autocast("cpu", torch.bfloat16):
            assert product(x).dtype == torch.bfloat16


def test_tensorflow_variables_are_read_at_every_call():
    tf = pytest.importorskip("tensorflow")
    compiled = ms.compile(lambda x, y: x * 2 + y)
    x, y = tf.Variable([1.0, 2.0]), tf.constant([0.0, 1.0])
    for value in (1.0, 2.0, 3.0):
        x.assign([value, value])
        assert compiled(x, y).numpy().tolist() == [2 * value, 2 * value + 1]
        assert compiled(y, x).numpy().tolist() == [value, value + 2]

    @tf.function
    def within(z):
        return compiled(y, y) + z

    assert within(y).numpy().tolist() == [0.0, 4.0]
