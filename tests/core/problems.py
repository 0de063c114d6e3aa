"""Small problems with known answers, in NumPy, and conversion to a backend."""

from contextlib import contextmanager

import numpy as np

import metaspec as ms

ROUNDOFF = {"float32": 2.0**-24, "float64": 2.0**-53}


def mlp(seed: int = 0):
    """A tanh network 2-6-1 on eight support and six query points."""
    rng = np.random.default_rng(seed)
    params = {
        "w1": rng.standard_normal((2, 6)) * 0.5,
        "b1": rng.standard_normal(6) * 0.1,
        "w2": rng.standard_normal((6, 1)) * 0.4,
    }

    def part(n):
        x = rng.standard_normal((n, 2))
        return {"x": x, "y": np.sin(x[:, :1])}

    return params, ms.Task(part(8), part(6))


def mlp_loss(params, batch):
    xp = ms.array_namespace(params)
    hidden = xp.tanh(batch["x"] @ params["w1"] + params["b1"])
    return xp.mean((hidden @ params["w2"] - batch["y"]) ** 2)


def to_numpy(B, tree):
    leaves, structure = B.tree_flatten(tree)
    return B.tree_unflatten(structure, [B.to_numpy(leaf) for leaf in leaves])


def error(B, tree, expected) -> float:
    """Largest norm-wise relative error of a leaf, in units of the leaf's roundoff."""
    worst = 0.0
    for key, truth in expected.items():
        got = B.to_numpy(tree[key])
        worst = max(worst, np.linalg.norm(got - truth) / (np.linalg.norm(truth) * ROUNDOFF[got.dtype.name]))
    return worst


@contextmanager
def on(B, tree, dtype="float64"):
    """The tree as arrays of B, within the precision that the dtype needs."""
    with B.precision(dtype), B.guard.compute_context(dtype):
        yield ms.asarray(tree, dtype=dtype, backend=B)
