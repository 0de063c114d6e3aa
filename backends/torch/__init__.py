"""The adapter for PyTorch."""

from metaspec.capabilities import NATIVE
from metaspec.registry import Registration

registration = Registration(
    name="torch",
    adapter="metaspec.backends.torch.adapter:TorchBackend",
    requires=("torch",),
    arrays=("torch",),
    install="pip install 'metaspec[torch]'",
    dtypes=("float32", "float64"),
    capabilities=dict.fromkeys(("jvp", "hvp", "vmap", "compile"), NATIVE),
    models={"torch.nn": "metaspec.backends.torch.models:from_module"},
    optimizers={"torch.optim": "metaspec.backends.torch.optimizers:TorchOptimizer"},
    shared_compilations={"TORCHINDUCTOR_CACHE_DIR": "{folder}/inductor"},
    auditing="metaspec.backends.torch.auditing:TorchModels",
)
