"""The blind set: implementations as users write them, and what is known of each."""

from tests.audit.blind import truth_jax, truth_numpy, truth_tensorflow, truth_torch, truth_torch_more
from tests.audit.blind.truth import Truth

ALL: list[Truth] = [
    *truth_numpy.TRUTHS,
    *truth_torch.TRUTHS,
    *truth_torch_more.TRUTHS,
    *truth_jax.TRUTHS,
    *truth_tensorflow.TRUTHS,
]


def identity(truth: Truth) -> str:
    """The name of a test of it."""
    return f"{truth.module}.{truth.name}: {truth.does}"
