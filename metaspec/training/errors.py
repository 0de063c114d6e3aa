"""What can go wrong with a training."""

from typing import Any

from metaspec.errors import MetaspecError, NonFiniteError


class CheckpointError(MetaspecError, ValueError):
    """A checkpoint is damaged, foreign, or of something else; the message names the file and says why."""


class DivergedError(NonFiniteError):
    """NaN or infinity arose in a training.

    Attributes:
        run: The Run up to the last good step.
    """

    def __init__(self, message: str, run: Any) -> None:
        super().__init__(message)
        self.run = run
