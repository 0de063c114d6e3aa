"""Losses that ask in Python for the values of arrays (`if x > 0`, `float(x)`, `np.sum(x)`, `x[mask]`, `jnp.unique`).

JAX has no values while it batches or compiles. A batch outside of jit is computed task after task in that case, which
one line of the logger "metaspec" says; under jit, and of parameters, such a loss is refused.
"""

import logging
from collections.abc import Callable

import jax
import jax.numpy as jnp

from metaspec.errors import LossError, MetaspecError
from metaspec.task import Tree

LOG = logging.getLogger("metaspec")
ASKED = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def mapped(f: Callable[..., Tree]) -> Callable[..., Tree]:
    """Return f over axis 0 of all leaves, by jax.vmap or, where that refuses f and values are known, row after row.

    jax.vmap also refuses derivatives of loops whose number of steps is data, and callbacks without a batched form.
    """

    def over_rows(*args: Tree) -> Tree:
        try:
            return jax.vmap(f)(*args)
        except MetaspecError:
            raise
        except (*ASKED, NotImplementedError, ValueError) as error:
            leaves = jax.tree.leaves(args)
            if any(isinstance(leaf, jax.core.Tracer) for leaf in leaves):
                raise
            try:
                rows = [f(*jax.tree.map(lambda leaf, i=i: leaf[i], args)) for i in range(len(leaves[0]))]
            except Exception:
                raise error from None  # f itself is at fault
            LOG.warning("JAX: jax.vmap refuses it (%s); tasks one after another", _line(error))
            return jax.tree.map(lambda *parts: jnp.stack(parts), *rows)

    return over_rows


def explain(error: BaseException) -> None:
    """Raise LossError, with what to write, in place of an error of JAX's about values that it does not have."""
    if isinstance(error, ASKED):
        raise LossError(
            f"loss: it asks in Python for a value of a traced array: {_line(error)}. Write jnp.where or jax.lax.cond "
            "for `if`, jnp's functions for NumPy's, sums of jnp.where(mask, x, 0) for x[mask]; what depends on data "
            "alone (sizes, masks, branches), compute beforehand and pass in with the batch"
        ) from error


def _line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
