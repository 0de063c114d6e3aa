"""The losses of the golden vectors over the array API, for metaspec's backends; formulas in docs/golden-vectors.md."""

from collections.abc import Callable
from types import MappingProxyType

from metaspec.backend.arrays import array_namespace
from metaspec.task import Array, Tree

Loss = Callable[[Tree, Tree], Array]


def quadratic(params: Tree, batch: Tree) -> Array:
    """mean_e (v.H_e v / 2 - c_e.v)."""
    xp = array_namespace(params)
    v = _all_entries(params)
    H, c = xp.mean(batch["H"], axis=0), xp.mean(batch["c"], axis=0)
    return xp.sum(v * xp.matmul(H, v)) / 2 - xp.sum(c * v)


def rosenbrock(params: Tree, batch: Tree) -> Array:
    """mean_e sum_i s_e (v_{i+1} - v_i^2)^2 + (a_e - v_i)^2."""
    xp = array_namespace(params)
    v = _all_entries(params)
    x, y = v[:-1], v[1:]
    valley = batch["s"][:, None] * (y - x * x)[None, :] ** 2
    return xp.mean(xp.sum(valley + (batch["a"][:, None] - x[None, :]) ** 2, axis=1))


def tanh_network(params: Tree, batch: Tree) -> Array:
    """The mean squared error of a network with tanh layers and a linear last one."""
    xp = array_namespace(params)
    depth = sum(name.startswith("w") for name in params)
    x = batch["x"]
    for layer in range(depth):
        x = xp.matmul(x, params[f"w{layer}"]) + params[f"b{layer}"]
        x = x if layer == depth - 1 else xp.tanh(x)
    return xp.mean((x - batch["y"]) ** 2)


def softplus_regression(params: Tree, batch: Tree) -> Array:
    """mean_e (log(1 + exp(w.x_e + b)) - y_e)^2."""
    xp = array_namespace(params)
    z = xp.matmul(batch["x"], params["w"]) + params["b"]
    return xp.mean((xp.logaddexp(z, xp.zeros_like(z)) - batch["y"]) ** 2)


def logistic(params: Tree, batch: Tree) -> Array:
    """mean_e log(1 + exp(z_e)) - y_e z_e."""
    xp = array_namespace(params)
    z = xp.matmul(batch["x"], params["w"]) + params["b"]
    return xp.mean(xp.logaddexp(z, xp.zeros_like(z)) - xp.astype(batch["y"], z.dtype) * z)


def softmax(params: Tree, batch: Tree) -> Array:
    """mean_e log(sum_j exp(z_ej)) - z_e[y_e]."""
    xp = array_namespace(params)
    z = xp.matmul(batch["x"], params["w"]) + params["b"]
    classes = xp.astype(xp.cumulative_sum(xp.ones_like(params["b"])), batch["y"].dtype) - 1
    chosen = xp.astype(batch["y"][:, None] == classes[None, :], z.dtype)
    return xp.mean(xp.log(xp.sum(xp.exp(z), axis=1)) - xp.sum(chosen * z, axis=1))


LOSSES: MappingProxyType[str, Loss] = MappingProxyType(
    {f.__name__: f for f in (quadratic, rosenbrock, tanh_network, softplus_regression, logistic, softmax)}
)


def _all_entries(params: Tree) -> Array:
    xp = array_namespace(params)
    return xp.concat([xp.reshape(params[name], (-1,)) for name in sorted(params)])
