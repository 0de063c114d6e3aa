"""The blind set: implementations as users write them, and what is known of each."""

from tests.audit.blind import truth_jax, truth_numpy, truth_tensorflow, truth_torch, truth_torch_more
from tests.audit.blind.truth import FAILED, IDENTIFIED, Truth

ALL: list[Truth] = [
    *truth_numpy.TRUTHS,
    *truth_torch.TRUTHS,
    *truth_torch_more.TRUTHS,
    *truth_jax.TRUTHS,
    *truth_tensorflow.TRUTHS,
]

# Audited at every run, beside those of NumPy that an audit identifies at once and that are the first of their kind. The
# others take minutes (-m soak): an audit computes for three to ten seconds, and says of them what it says of these.
EVERY_RUN = {
    "torch_functional": "no_graph",
    "torch_slips": "head_only never_adapts",
    "torch_pairs": "first_order_summed single_precision_first_order",
    "torch_modules": "clones",
    "jax_implicit": "imaml",
    "jax_libraries": "optax_clipped",
    "tensorflow_tapes": "stops",
    "keras_models": "fomaml",
}


def in_every_run(truth: Truth) -> bool:
    """The audit of it is quick, and says what those of others in every run do not."""
    if truth.module.startswith("numpy"):
        alike = (t for t in truth_numpy.TRUTHS if _identified_at_once(t) and _kind(t) == _kind(truth))
        return truth is next(alike, None)
    named = EVERY_RUN.get(truth.module, "").split()
    return truth.name in named and not truth.options.keys() & {"problem", "dtype"}


def _identified_at_once(truth: Truth) -> bool:
    return truth.verdicts in (IDENTIFIED, FAILED) and truth.claim is not None


def _kind(truth: Truth) -> tuple[object, ...]:
    return truth.algorithms, truth.faults


def identity(truth: Truth) -> str:
    """The name of a test of it."""
    return f"{truth.module}.{truth.name}: {truth.does}"
