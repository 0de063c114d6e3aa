"""The adapter for TensorFlow."""

from metaspec.backend.capabilities import NATIVE
from metaspec.backend.registry import Registration

registration = Registration(
    name="tensorflow",
    adapter="metaspec_tensorflow.adapter:TensorFlowBackend",
    requires=("tensorflow",),
    arrays=("tensorflow",),
    install="pip install 'metaspec[tensorflow-cpu]', or 'metaspec[tensorflow]' for a GPU",
    dtypes=("float32", "float64"),
    capabilities=dict.fromkeys(("vmap", "scan", "compile", "all_reduce"), NATIVE),
    models={"keras.src.backend.tensorflow": "metaspec_tensorflow.models:from_model"},
    optimizers={"keras": "metaspec_tensorflow.optimizers:KerasOptimizer"},
    auditing="metaspec_tensorflow.auditing:KerasModels",
)
