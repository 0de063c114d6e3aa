"""Which forms run in which process. A process imports one framework beside NumPy."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from metaspec_benchmarks import ours
from metaspec_benchmarks.timed_forms import TimedForm


def _numpy() -> list[TimedForm]:
    from metaspec_benchmarks.baselines import analytic, hips_autograd

    return [*ours.forms("numpy"), *analytic.forms(), *hips_autograd.forms()]


def _torch() -> list[TimedForm]:
    from metaspec_benchmarks.baselines import torch_autograd, torch_baselines, torch_func

    ours_here = ours.forms("torch", native=True)
    return [*ours_here, *torch_func.forms(), *torch_autograd.forms(), *torch_baselines.forms()]


def _jax() -> list[TimedForm]:
    from metaspec_benchmarks.baselines import jax_native

    return [*ours.forms("jax", waiting("jax")), *jax_native.forms()]


def _tensorflow() -> list[TimedForm]:
    from metaspec_benchmarks.baselines import tensorflow_native

    return [*ours.forms("tensorflow", waiting("tensorflow")), *tensorflow_native.forms()]


RIVALS: dict[str, Callable[[], list[TimedForm]]] = {
    "numpy": _numpy,
    "torch": _torch,
    "jax": _jax,
    "tensorflow": _tensorflow,
}


def waiting(backend: str) -> ours.Wait:
    """What makes sure that a computation of this framework is done."""
    if backend == "jax":
        import jax

        return jax.block_until_ready
    if backend == "tensorflow":
        from metaspec_benchmarks.baselines import tensorflow_native

        return tensorflow_native.finished
    return lambda found: found


def accelerator(backend: str) -> tuple[Any, Callable[[], AbstractContextManager[Any]]]:
    """The framework's first accelerator, or its CPU, and a context in which it multiplies float32 in TF32."""
    if backend == "torch":
        import torch

        return "cuda" if torch.cuda.is_available() else "cpu", _torch_tf32
    if backend == "jax":
        import jax

        return jax.devices()[0], lambda: jax.default_matmul_precision("tensorfloat32")
    if backend == "tensorflow":
        import tensorflow as tf

        found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        return found[0].name, nullcontext  # TensorFlow has TF32 unless it is told otherwise
    return None, nullcontext


@contextmanager
def _torch_tf32() -> Iterator[None]:
    import torch

    flags = torch.backends.cuda.matmul, torch.backends.cudnn
    before = [flag.allow_tf32 for flag in flags]
    for flag in flags:
        flag.allow_tf32 = True
    try:
        yield
    finally:
        for flag, value in zip(flags, before, strict=True):
            flag.allow_tf32 = value


def forms(backend: str) -> list[TimedForm]:
    """metaspec's on this backend, and their rivals; a third party's backend has none."""
    return RIVALS.get(backend, lambda: ours.forms(backend))()
