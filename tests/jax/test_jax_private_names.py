"""A canary for each private name of JAX that the adapter uses: it fails by name when JAX moves it."""

import pytest

jax = pytest.importorskip("jax")

from metaspec_jax import _private  # noqa: E402


def test_config_values():
    assert {"jax_enable_x64", "jax_default_matmul_precision"} <= set(jax.config.values)
    with jax.enable_x64(True):
        assert _private.configuration()["jax_enable_x64"] is True


def test_aval():
    x = jax.numpy.ones((2, 3))
    assert _private.kind(x) == _private.kind(x + 1)
    assert hash(_private.kind(x)) == hash(_private.kind(x + 1))
    assert len({_private.kind(x), _private.kind(x[0]), _private.kind(x.astype("int32"))}) == 3


def test_manual_axis_type():
    mesh = jax.sharding.Mesh(jax.devices()[:1], ("t",))
    spec = jax.sharding.PartitionSpec
    seen = []

    def f(p, x):
        seen.extend([_private.varying(p), _private.varying(x), _private.varying(jax.grad(lambda x: (p * x).sum())(x))])
        return p * x

    jax.shard_map(f, mesh=mesh, in_specs=(spec(), spec("t")), out_specs=spec("t"))(jax.numpy.ones(1), jax.numpy.ones(1))
    assert seen == [set(), {"t"}, {"t"}]
    assert _private.varying(1.0) == _private.varying(jax.numpy.ones(1)) == set()
