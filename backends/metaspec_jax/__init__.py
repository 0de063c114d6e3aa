"""The adapter for JAX."""

from metaspec.backend.capabilities import NATIVE
from metaspec.backend.registry import Registration

registration = Registration(
    name="jax",
    adapter="metaspec_jax.adapter:JaxBackend",
    requires=("jax",),
    arrays=("jax", "jaxlib"),
    containers=("equinox", "flax"),
    install="pip install 'metaspec[jax]'",
    dtypes=("bfloat16", "float16", "float32", "float64"),
    capabilities=dict.fromkeys(
        ("jvp", "linearize_grad", "vmap", "scan", "checkpoint", "compile", "all_reduce"), NATIVE
    ),
    models={
        "equinox": "metaspec_jax.models.equinox:from_module",
        "flax.linen": "metaspec_jax.models.linen:from_module",
        "flax.nnx": "metaspec_jax.models.nnx:from_module",
        "keras.src.backend.jax": "metaspec_jax.models.keras_on_jax:from_model",
    },
    optimizers={"optax": "metaspec_jax.optimizers:OptaxOptimizer"},
    shared_compilations={
        "JAX_COMPILATION_CACHE_DIR": "{folder}",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    },
)
