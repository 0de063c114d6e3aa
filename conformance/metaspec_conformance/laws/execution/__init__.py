"""Laws of how a result is computed: in batches, chunks, ranks, with checkpoints, compiled. None changes the result."""

from metaspec_conformance.laws.execution import (
    batch_laws,  # noqa: F401
    checkpoint_laws,  # noqa: F401
    chunk_laws,  # noqa: F401
    compile_laws,  # noqa: F401
    rank_laws,  # noqa: F401
)
