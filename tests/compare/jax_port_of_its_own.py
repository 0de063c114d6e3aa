"""A port to JAX with parameters of its own, where `jax_port` is given the original's."""

import numpy as np

from tests.compare.jax_port import loss, mapping, task, unflattened

__all__ = ["loss", "mapping", "params", "task", "unflattened"]


def params():
    rng = np.random.default_rng(3)
    shapes = {"Dense_0": {"kernel": (4, 5), "bias": (5,)}, "Dense_1": {"kernel": (5, 3)}}
    return {name: {key: 0.5 * rng.normal(size=shape) for key, shape in part.items()} for name, part in shapes.items()}
