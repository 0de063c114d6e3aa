"""The papers' networks: what they start from, what they compute, and that compiling and batching change nothing."""

import hashlib

import numpy as np
import pytest

import metaspec as ms
from metaspec import data, nn
from tests.helpers import whole
from tests.nn.blocks import loops_batch_norm, loops_conv2d, loops_log_softmax, loops_pool
from tests.nn.helpers import EPS, at, close, generator

PICTURES = data.LabelledImages(generator("pictures").random((60, 28, 28)), np.arange(60) % 10)


def digest(params) -> str:
    return hashlib.sha256(b"".join(params[key].tobytes() for key in sorted(params))).hexdigest()[:16]


@pytest.mark.parametrize(
    ("net", "dtype", "expected"),
    [
        (nn.sinusoid_mlp(), "float32", "40435d08a4adab78"),
        (nn.MLP((4, 3, 2)), "float64", "f4bd35a4cd4210ba"),
        (nn.omniglot_convnet(5, filters=4), "float64", "964d2d1ceb3ec803"),
    ],
    ids=["sinusoid", "MLP", "omniglot"],
)
def test_parameters_are_fixed_to_the_bit(net, dtype: str, expected: str) -> None:
    params = net.init(7, dtype)
    assert {str(leaf.dtype) for leaf in params.values()} == {dtype}
    assert digest(params) == expected
    assert digest(net.init(8, dtype)) != expected
    wide = net.init(7, "float64")
    assert all(np.array_equal(wide[key].astype(dtype), leaf) for key, leaf in params.items())


def test_initial_scales() -> None:
    sinusoid = nn.sinusoid_mlp().init(0)
    assert sinusoid["w1"].shape == (40, 40)
    assert np.abs(sinusoid["w1"]).max() <= 0.02
    assert not sinusoid["b0"].any()
    conv = nn.omniglot_convnet(5).init(0)
    assert conv["kernel1"].shape == (3, 3, 64, 64)
    limit = (6 / (9 * 128)) ** 0.5
    assert 0.99 * limit < np.abs(conv["kernel1"]).max() < limit
    assert abs(conv["w"].std() - 1) < 0.1
    assert len({float(leaf.ravel()[0]) for key, leaf in conv.items() if key.startswith("kernel")}) == 4


def test_a_start_of_small_curvature() -> None:
    """Longer kernels change the value by batch normalisation's epsilon alone, and the Hessian by 1 / gain^2."""
    plain, long, longer = (nn.ConvNet(5, filters=4, blocks=2, kernel_gain=gain) for gain in (1.0, 100.0, 800.0))
    start, other = plain.init(1, "float64"), longer.init(1, "float64")
    assert all((other[k] == (800 * leaf if k.startswith("kernel") else leaf)).all() for k, leaf in start.items())
    small = nn.ConvNet(5, filters=4, blocks=2, readout_std=0.5).init(1, "float64")
    assert all((small[k] == (leaf / 2 if k == "w" else leaf)).all() for k, leaf in start.items())

    B, rng = ms.get_backend("numpy"), generator("small curvature")
    batch = {"x": rng.standard_normal((5, 28, 28)), "y": np.arange(5)}
    v = {k: rng.standard_normal(leaf.shape) * k.startswith("kernel") for k, leaf in start.items()}
    values = [net.loss(net.init(1, "float64"), batch) for net in (long, longer)]
    products = [B.hvp(net.loss)(net.init(1, "float64"), v, batch) for net in (long, longer)]
    epsilon = 1e-3 / 100**2  # of variances of about 1
    close(values[1], values[0], 10 * epsilon, "loss")
    for k in ("kernel0", "kernel1"):
        close(64 * products[1][k], products[0][k], 100 * epsilon * np.abs(products[0][k]).max(), k)


@pytest.mark.parametrize("wrong", [0, -1.0, float("nan"), "2", True])
@pytest.mark.parametrize("name", ["kernel_gain", "readout_std"])
def test_a_start_that_is_none(name: str, wrong: object) -> None:
    with pytest.raises(ms.errors.InvalidArgumentError, match=f"ConvNet: {name} must be a finite number > 0"):
        nn.omniglot_convnet(5, **{name: wrong})


def test_sinusoid_network_by_hand(B: ms.Backend) -> None:
    net, batch = nn.sinusoid_mlp(), data.Sinusoid(dtype="float64").task(0).support
    p = {key: leaf.astype(np.longdouble) for key, leaf in net.init(3, "float64").items()}
    hidden = np.maximum(np.maximum(batch["x"] @ p["w0"] + p["b0"], 0) @ p["w1"] + p["b1"], 0)
    expected = np.mean((hidden @ p["w2"] + p["b2"] - batch["y"]) ** 2)
    with at(B, "float64"):
        params, converted = ms.asarray((net.init(3, "float64"), batch))
        close(B.to_numpy(net.loss(params, converted)), expected, 8 * EPS["float64"], "loss")


@pytest.mark.parametrize("pool", [False, True])
def test_omniglot_network_by_hand(B: ms.Backend, pool: bool) -> None:
    net = nn.omniglot_convnet(3, filters=2, pool=pool)
    start, rng = net.init(3, "float64"), generator("affine")
    start |= {key: leaf + rng.normal(size=leaf.shape) / 8 for key, leaf in start.items() if key[0] == "s"}
    batch = {"x": PICTURES.images[:6], "y": np.array([0, 1, 2, 2, 1, 0])}
    x = batch["x"][..., None]
    for i in range(4):
        x = loops_conv2d(x, start[f"kernel{i}"], stride=(1, 1) if pool else (2, 2))
        x = np.maximum(loops_batch_norm(x, start[f"scale{i}"], start[f"shift{i}"]), 0)
        x = loops_pool(x, (2, 2), (2, 2), np.max) if pool else x
    z = x.mean(axis=(1, 2)) @ start["w"] + start["b"]
    expected = -np.mean(loops_log_softmax(z)[np.arange(6), batch["y"]])
    with at(B, "float64"):
        params, converted = ms.asarray((start, batch))
        close(B.to_numpy(whole(B, net.loss)(params, converted)), expected, 1e-12, "loss")
        right = np.mean(np.argmax(z, axis=1) == batch["y"])
        assert B.to_numpy(whole(B, net.accuracy)(params, converted)) == pytest.approx(right, abs=1e-15)
        with_channel = whole(B, net.apply)(params, B.xp.expand_dims(converted["x"], axis=-1))
        close(B.to_numpy(with_channel), z, 1e-11, "pictures with a channel axis")


def test_compiled_and_batched_equals_eager_and_alone(B: ms.Backend) -> None:
    own = [] if B.name == "jax" else [B]  # JAX compiles each operation by itself, for a minute and a half
    check_compiled_and_batched(B, [ms.get_backend("numpy"), *own])


@pytest.mark.soak
def test_compiled_and_batched_equals_eager_and_alone_on_jax() -> None:
    pytest.importorskip("jax")
    check_compiled_and_batched(ms.get_backend("jax"), [ms.get_backend("jax")])


def check_compiled_and_batched(B: ms.Backend, references: list[ms.Backend]) -> None:
    """With pooling, two inner steps and these sizes, pooling by reshape and max is 40 % off under JAX's compiler."""
    small = data.LabelledImages(generator("pictures").random((20, 8, 8)), np.arange(20) % 5)
    source = data.FewShot(small, ways=5, shots=1, queries=1, dtype="float64")
    net, algo = nn.ConvNet(5, filters=4, pool=True, blocks=2), ms.MAML(ms.GradientDescent(lr=0.4, steps=2))
    start = net.init(1, "float64")

    def alone(B: ms.Backend, i: int):
        with at(B, "float64"):
            r = ms.meta_gradient(algo, net.loss, *ms.asarray((start, source.task(i))))
            return {key: B.to_numpy(leaf) for key, leaf in r.delta.items()}

    with at(B, "float64"):
        step = ms.compile(lambda params, tasks: ms.batch_meta_gradient(algo, net.loss, params, tasks).delta)
        together = {key: B.to_numpy(leaf) for key, leaf in step(*ms.asarray((start, source.batch(0, 2)))).items()}
    for eager in references:
        first, second = alone(eager, 0), alone(eager, 1)
        for key in start:
            mean = (first[key] + second[key]) / 2
            error = np.linalg.norm(together[key] - mean) / np.linalg.norm(mean)
            assert error < 1e-11, f"{key}: {error:.1e} from eager {eager.name}"
