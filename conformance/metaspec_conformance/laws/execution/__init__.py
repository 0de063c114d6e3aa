"""Laws of how a result is computed: in batches, chunks and ranks, with checkpoints, compiled; none changes it."""

from metaspec_conformance.laws.execution import (
    batch_laws,  # noqa: F401
    checkpoint_laws,  # noqa: F401
    chunk_laws,  # noqa: F401
    compile_laws,  # noqa: F401
    rank_laws,  # noqa: F401
)
