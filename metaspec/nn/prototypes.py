"""A classifier's affine head made of class means (Triantafillou et al. 2020, "Meta-Dataset": Proto-MAML)."""

from metaspec.errors import InvalidArgumentError
from metaspec.nn._backend import backend_of, check_rank
from metaspec.task import Array

ABSENT = -1e30
"""The bias of a class without examples: its probability is zero to the last bit, and so are its derivatives."""


def prototype_head(features: Array, labels: Array, ways: int) -> tuple[Array, Array]:
    """Return the head whose logits are those of a prototypical network, ||x||^2 apart: w_c = 2 m_c, b_c = -||m_c||^2.

    m_c is the mean of the features of class c; 2 m_c x - ||m_c||^2 = ||x||^2 - ||x - m_c||^2. A class without examples
    gets the probability zero, so that tasks of fewer classes than `ways` need no other network.

    Args:
        features: [N, D].
        labels: [N], integers in 0 ... ways - 1.
        ways: C.

    Returns:
        w [D, C] and b [C].

    Raises:
        InvalidArgumentError: Shapes that do not fit.

    Source: Triantafillou et al. 2020, "Meta-Dataset", section 3; Snell, Swersky, Zemel 2017.

    Example:
        >>> import numpy as np
        >>> from metaspec import nn
        >>> w, b = nn.prototype_head(np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 1.0]]), np.array([0, 0, 1]), ways=2)
        >>> w.tolist(), b.tolist()
        ([[4.0, 0.0], [0.0, 2.0]], [-4.0, -1.0])
    """
    count, _ = check_rank("prototype_head: features", features, 2, "[N, D]")
    if tuple(labels.shape) != (count,):
        raise InvalidArgumentError(f"prototype_head: expected labels of shape ({count},), got {tuple(labels.shape)}")
    xp = backend_of(features).xp
    belongs = xp.astype(labels[:, None] == xp.arange(ways, dtype=labels.dtype)[None, :], features.dtype)
    examples = xp.sum(belongs, axis=0)
    present = examples > 0
    divisor = xp.where(present, examples, xp.ones_like(examples))
    means = xp.matmul(xp.permute_dims(features, (1, 0)), belongs) / divisor
    lengths = xp.sum(means * means, axis=0)
    return 2 * means, xp.where(present, -lengths, xp.full_like(lengths, ABSENT))
