"""Laws of how a result is computed: in batches, chunks and ranks, with checkpoints, compiled; none changes it."""
