"""The family by JAX's backpropagation through inner loops written out plainly, with nothing of metaspec's in them."""

import jax
import jax.numpy as jnp
import numpy as np


def loss(p, batch):
    hidden = jnp.tanh(batch["x"] @ p["body"]["w"] + p["body"]["b"])
    return jnp.mean((hidden @ p["head"]["w"] + p["head"]["b"] + p["context"] @ p["mix"] - batch["y"]) ** 2)


def problem(seed, examples=6):
    """Parameters, support and query as NumPy arrays in float64."""
    rng = np.random.default_rng(seed)
    params = {
        "body": {"w": rng.normal(size=(2, 4)) * 0.7, "b": rng.normal(size=4) * 0.3},
        "head": {"w": rng.normal(size=(4, 3)) * 0.6, "b": rng.normal(size=3) * 0.1},
        "context": rng.normal(size=2) * 0.5,
        "mix": rng.normal(size=(2, 3)) * 0.5,
    }
    sets = [{"x": rng.normal(size=(examples, 2)), "y": rng.normal(size=(examples, 3))} for _ in range(2)]
    return params, *sets


def add(x, c, y):
    return jax.tree.map(lambda a, b: a + c * b, x, y)


def times(rates, g):
    """A number, a scalar or a tree of rates times a gradient."""
    if isinstance(rates, dict):
        return jax.tree.map(lambda r, a: r * a, rates, g)
    return jax.tree.map(lambda a: rates * a, g)


def minus(x, step):
    return jax.tree.map(lambda a, b: a - b, x, step)


# Each rule: (theta, state, gradient, k) -> (theta, state), state None at the start.


def descent(lr):
    return lambda x, s, g, k: (minus(x, times(lr(k) if callable(lr) else lr, g)), None)


def adam(lr, b1, b2=0.999, eps=1e-8):
    """`lr`: k -> the rates of step k."""

    def step(x, s, g, k):
        zero = jax.tree.map(jnp.zeros_like, x)
        m, v = s or (zero, zero)
        m = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, m, g)
        v = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g**2, v, g)
        unit = jax.tree.map(lambda m, v: (m / (1 - b1 ** (k + 1))) / (jnp.sqrt(v / (1 - b2 ** (k + 1))) + eps), m, v)
        return minus(x, times(lr(k), unit)), (m, v)

    return step


def pulled(step, strength, start):
    """On the proximal objective; `strength` a number, scalar or tree."""
    return lambda x, s, g, k: step(x, s, add(g, 1.0, times(strength, minus(x, start))), k)


def path(params, support, step, steps, moves):
    """theta_0 ... theta_K; top-level entries for which `moves` is false stay."""
    theta, state, visited = params, None, [params]
    for k in range(steps):
        moving = {n: t for n, t in theta.items() if moves(n)}
        staying = {n: t for n, t in theta.items() if not moves(n)}
        g = jax.grad(lambda moving: loss({**moving, **staying}, support))(moving)  # noqa: B023
        moving, state = step(moving, state, g, k)
        theta = {**moving, **staying}
        visited.append(theta)
    return visited
