"""The adapter for PyTorch."""

from metaspec.backend.capabilities import NATIVE
from metaspec.backend.registry import Registration

registration = Registration(
    name="torch",
    adapter="metaspec_torch.adapter:TorchBackend",
    requires=("torch",),
    arrays=("torch",),
    install="pip install 'metaspec[torch]'",
    dtypes=("float32", "float64"),
    capabilities=dict.fromkeys(("linearize_grad", "vmap", "scan", "compile", "all_reduce"), NATIVE),
    models={
        "keras.src.backend.torch": "metaspec_torch.keras_on_torch:from_model",
        "torch.nn": "metaspec_torch.models:from_module",
    },
    optimizers={"torch.optim": "metaspec_torch.optimizers:TorchOptimizer"},
    shared_compilations={"TORCHINDUCTOR_CACHE_DIR": "{folder}/inductor"},
    auditing="metaspec_torch.auditing:TorchModels",
)
