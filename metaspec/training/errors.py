"""What can go wrong with a training."""

from typing import Any

from metaspec.errors import MetaspecError, NonFiniteError


class CheckpointError(MetaspecError, ValueError):
    """A checkpoint is damaged, foreign, or of something else; the message names the file and says why.

    Example:
        >>> from metaspec import training
        >>> try:
        ...     training.load_checkpoint("no-such-folder", {}, backend="numpy")
        ... except training.CheckpointError as error:
        ...     print("no-such-folder" in str(error))
        True
    """


class DivergedError(NonFiniteError):
    """NaN or infinity arose in a training.

    Attributes:
        run: The Run up to the last good step.

    Example:
        >>> from metaspec import data, nn, training
        >>> import metaspec as ms
        >>> net, source = nn.sinusoid_mlp(), data.Sinusoid()
        >>> algo, params = ms.FOMAML(ms.GradientDescent(lr=0.01, steps=1)), net.init(seed=0)
        >>> try:
        ...     ms.meta_train(algo, net.loss, params, source, steps=9, optimizer=training.SGD(1e30), backend="numpy")
        ... except training.DivergedError as error:
        ...     print(error.run.steps < 9)
        True
    """

    def __init__(self, message: str, run: Any) -> None:
        super().__init__(message)
        self.run = run
