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

# Audited at every run, beside all of NumPy's that an audit identifies at once; the others take minutes (-m soak).
EVERY_RUN = {
    "torch_functional": "maml no_graph graph_at_first one_fewer",
    "torch_slips": "head_only never_adapts",
    "torch_pairs": "first_order_summed single_precision_first_order",
    "torch_modules": "clones reptile",
    "torch_libraries": "higher_loop",
    "jax_by_hand": "stopped",
    "jax_implicit": "imaml",
    "jax_libraries": "optax_clipped",
    "tensorflow_tapes": "stops",
    "keras_models": "fomaml",
}


def in_every_run(truth: Truth) -> bool:
    """The audit of it is quick."""
    if truth.module.startswith("numpy"):
        return truth.verdicts in (IDENTIFIED, FAILED) and truth.claim is not None
    return truth.name in EVERY_RUN[truth.module].split() and not truth.options.keys() & {"problem", "dtype"}


def identity(truth: Truth) -> str:
    """The name of a test of it."""
    return f"{truth.module}.{truth.name}: {truth.does}"
