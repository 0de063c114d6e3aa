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
    models={
        "equinox": "metaspec.backends.jax.models.equinox:from_module",
        "flax.linen": "metaspec.backends.jax.models.linen:from_module",
        "flax.nnx": "metaspec.backends.jax.models.nnx:from_module",
    },
    optimizers={"optax": "metaspec.backends.jax.optimizers:OptaxOptimizer"},
    shared_compilations={
        "JAX_COMPILATION_CACHE_DIR": "{folder}",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    },
)
