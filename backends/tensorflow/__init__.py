"""The adapter for TensorFlow."""

from metaspec.capabilities import NATIVE
from metaspec.registry import Registration

registration = Registration(
    name="tensorflow",
    adapter="metaspec.backends.tensorflow.adapter:TensorFlowBackend",
    requires=("tensorflow",),
    arrays=("tensorflow",),
    install="pip install 'metaspec[tensorflow-cpu]', or 'metaspec[tensorflow]' for a GPU",
    dtypes=("float32", "float64"),
    capabilities=dict.fromkeys(("vmap", "scan", "compile"), NATIVE),
    models={"keras": "metaspec.backends.tensorflow.models:from_model"},
    optimizers={"keras": "metaspec.backends.tensorflow.optimizers:KerasOptimizer"},
    auditing="metaspec.backends.tensorflow.auditing:KerasModels",
)
