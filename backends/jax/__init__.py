"""The adapter for JAX."""

from metaspec.capabilities import NATIVE
from metaspec.registry import Registration

registration = Registration(
    name="jax",
    adapter="metaspec.backends.jax.adapter:JaxBackend",
    requires=("jax",),
    arrays=("jax", "jaxlib"),
    containers=("equinox", "flax"),
    install="pip install 'metaspec[jax]'",
    dtypes=("bfloat16", "float16", "float32", "float64"),
    capabilities=dict.fromkeys(("jvp", "linearize_grad", "vmap", "scan", "checkpoint", "compile"), NATIVE),
    optimizers={"optax": "metaspec.backends.jax.optimizers:OptaxOptimizer"},
)
