"""`ms.compile` with wishes: native code, and arguments whose memory may be used."""

import numpy as np
import pytest

import metaspec as ms
from tests.core.problems import mlp, mlp_loss


def descent(params, task):
    algo = ms.MAML(ms.GradientDescent(0.1, 1))
    r = ms.meta_gradient(algo, mlp_loss, params, task)
    return {name: leaf - 0.1 * r.delta[name] for name, leaf in params.items()}


def on_torch():
    pytest.importorskip("torch")
    return ms.asarray(mlp(), backend="torch")


@pytest.mark.parametrize("backend", ["numpy", "jax", "tensorflow"])
def test_wishes_that_a_backend_has_no_use_for_change_nothing(backend):
    if backend != "numpy":
        pytest.importorskip(backend)
    B = ms.get_backend(backend)
    with B.precision("float64"):
        params, task = ms.asarray(mlp(), dtype="float64", backend=backend)
        plain = ms.compile(descent)(params, task)
        wished = ms.compile(descent, tier="native", donate=(1,))(params, task)
    for name, leaf in plain.items():
        assert np.array_equal(B.to_numpy(wished[name]), B.to_numpy(leaf))


def test_native_code_of_torch_computes_the_same_and_says_that_it_takes_long(caplog):
    params, task = on_torch()
    wanted = descent(params, task)
    native = ms.compile(descent, tier="native")
    found = native(params, task)
    said = [record.message for record in caplog.records if record.name == "metaspec"]
    if len(said) == 1 and "C++ compiler" in said[0]:
        pytest.skip("no C++ compiler")
    assert "PyTorch compiles" in said[0]
    assert "done in" in said[1]
    for name, leaf in wanted.items():
        assert float((found[name] - leaf).norm() / leaf.norm()) < 1e-13
    native(params, task)
    assert len([record for record in caplog.records if record.name == "metaspec"]) == 2  # compiled once


def test_native_code_of_torch_for_other_strides_is_compiled_anew():
    params, _ = on_torch()
    doubled = ms.compile(lambda params: {name: leaf + leaf for name, leaf in params.items()}, tier="native")
    moved = {name: leaf.T.contiguous().T if leaf.ndim == 2 else leaf for name, leaf in params.items()}
    for given in (params, moved):
        for name, leaf in doubled(given).items():
            assert bool((leaf == 2 * params[name]).all())


def test_native_results_do_not_share_memory_that_is_used_again():
    """PyTorch 2.13's Inductor puts z into the part of `joined` that holds `part`, and later results over both."""
    torch = pytest.importorskip("torch")

    def f(a, b):
        part = b * 2
        joined = torch.cat([a * 2, part])
        s = (joined[:, None] * joined[None, :]).sum(1)
        z = part - s[3:]
        sums = s.cumsum(0)
        return z, sums, sums + 1, sums * s

    arrays = torch.linspace(1, 2, 3, dtype=torch.float64), torch.linspace(2, 3, 4, dtype=torch.float64)
    for found, wanted in zip(ms.compile(f, tier="native")(*arrays), f(*arrays), strict=True):
        assert bool(torch.allclose(found, wanted, rtol=1e-13))


def test_nothing_times_nan_is_nan_in_native_code():
    """Inductor takes an integer 0 times NaN for 0; `finite` of the diagnostics is such a product."""
    torch = pytest.importorskip("torch")

    def f(x):
        return x * 0, 0 / x, x * False, -(2 * x * 0), torch.nn.functional.leaky_relu(x, 0), x**0, (x > 0) * 0

    x = torch.tensor([1.0, float("nan"), float("inf"), -2.0], dtype=torch.float64)
    for found, wanted in zip(ms.compile(f, tier="native")(x), f(x), strict=True):
        assert found.dtype == wanted.dtype
        assert np.array_equal(found.numpy(), wanted.numpy(), equal_nan=True)


def test_native_sums_of_a_product_keep_their_factor():
    """PyTorch 2.13's Inductor computes a @ b + x for torch.add(a @ b, x, alpha=c)."""
    torch = pytest.importorskip("torch")

    def f(a, b, x):
        sums = torch.add(a @ b, x, alpha=-0.1), torch.add(x, a @ b, alpha=3), torch.add(a @ b, x[0], alpha=2)
        return *sums, torch.sub(x, a @ b, alpha=2), torch.addmm(x, a, b, alpha=2, beta=3)

    a, b, x = (torch.linspace(-1, k, 9, dtype=torch.float64).reshape(3, 3).sin() for k in (1, 2, 3))
    for found, wanted in zip(ms.compile(f, tier="native")(a, b, x), f(a, b, x), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-13, atol=1e-14)


def test_without_a_compiler_torch_replays_and_says_so(monkeypatch, caplog):
    params, task = on_torch()
    from metaspec_torch import compiling

    monkeypatch.setattr(compiling, "has_cpp_compiler", lambda: False)
    found = ms.compile(descent, tier="native")(params, task)
    (said,) = [record.message for record in caplog.records if record.name == "metaspec"]
    assert "needs a C++ compiler" in said
    for name, leaf in ms.compile(descent)(params, task).items():
        assert bool((found[name] == leaf).all())


def test_donated_arguments_give_their_memory_to_results():
    pytest.importorskip("jax")
    B = ms.get_backend("jax")
    params, task = ms.asarray(mlp(), dtype="float32", backend="jax")
    wanted = ms.compile(descent)(params, task)
    found = ms.compile(descent, donate=(0,))(params, task)
    for name, leaf in wanted.items():
        assert np.array_equal(B.to_numpy(found[name]), B.to_numpy(leaf))
    assert all(leaf.is_deleted() for leaf in params.values())
    assert not any(leaf.is_deleted() for leaf in task.support.values())


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"tier": "fastest"}, "compile: tier must be one of 'default', 'native', got 'fastest'"),
        ({"donate": (-1,)}, "compile: donate must be >= 0, got -1"),
        ({"donate": ("x",)}, "compile: donate must be an integer >= 0, got 'x'"),
    ],
)
def test_wishes_are_checked(wish, message):
    with pytest.raises(ms.errors.MetaspecError, match=message):
        ms.compile(descent, **wish)


def test_donating_an_argument_that_is_none():
    f = ms.compile(lambda a, b: a + b, donate=(2,))
    with pytest.raises(ms.errors.InvalidArgumentError, match=r"donate=\(2,\) names argument 2.*there are 2"):
        f(np.ones(2), np.ones(2))
