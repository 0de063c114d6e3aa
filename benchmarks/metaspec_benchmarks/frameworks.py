"""Which forms run in which process. A process imports one framework beside NumPy."""

from collections.abc import Callable

from metaspec_benchmarks import ours
from metaspec_benchmarks.timed_forms import TimedForm


def _numpy() -> list[TimedForm]:
    from metaspec_benchmarks.baselines import analytic, hips_autograd

    return [*ours.forms("numpy"), *analytic.forms(), *hips_autograd.forms()]


def _torch() -> list[TimedForm]:
    from metaspec_benchmarks.baselines import torch_baselines, torch_func

    return [*ours.forms("torch", native=True), *torch_func.forms(), *torch_baselines.forms()]


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


def forms(backend: str) -> list[TimedForm]:
    """metaspec's on this backend, and their rivals; a third party's backend has none."""
    return RIVALS.get(backend, lambda: ours.forms(backend))()
