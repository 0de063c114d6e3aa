"""The adapter for NumPy, which brings its own derivatives."""

from metaspec.backend.capabilities import NATIVE
from metaspec.backend.registry import Registration

registration = Registration(
    name="numpy",
    adapter="metaspec_numpy.adapter:NumpyBackend",
    requires=("numpy",),
    arrays=("numpy", "metaspec_numpy"),
    install="pip install numpy",
    dtypes=("float32", "float64", "longdouble"),
    capabilities=dict.fromkeys(("jvp", "vmap", "scan", "compile", "all_reduce"), NATIVE),
)
