"""The adapter for NumPy, which brings its own derivatives."""

from metaspec.capabilities import NATIVE
from metaspec.registry import Registration

registration = Registration(
    name="numpy",
    adapter="metaspec.backends.numpy.adapter:NumpyBackend",
    requires=("numpy",),
    arrays=("numpy", "metaspec.backends.numpy"),
    install="pip install numpy",
    dtypes=("float32", "float64", "longdouble"),
    capabilities=dict.fromkeys(("jvp", "vmap", "scan", "compile"), NATIVE),
)
