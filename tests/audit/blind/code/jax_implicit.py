"""Implicit MAML in JAX."""

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree


def proximal_descent(loss, params, batch, lr, steps, lam):
    theta = params
    for _ in range(steps):
        g = jax.grad(loss)(theta, batch)
        theta = jax.tree.map(lambda t, d, p: t - lr * (d + lam * (t - p)), theta, g, params)
    return theta


def add(a, x, y):
    return jax.tree.map(lambda u, v: a * u + v, x, y)


def dot(x, y):
    return sum(jnp.vdot(a, b) for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y), strict=True))


def cg(matvec, b, steps):
    x, r, p = jax.tree.map(jnp.zeros_like, b), b, b
    rs = dot(r, r)
    for _ in range(steps):
        ap = matvec(p)
        alpha = rs / dot(p, ap)
        x, r = add(alpha, p, x), add(-alpha, ap, r)
        rs, old = dot(r, r), rs
        p = add(rs / old, p, r)
    return x


def hvp(loss, theta, batch, v):
    return jax.jvp(lambda t: jax.grad(loss)(t, batch), (theta,), (v,))[1]


def average(trees):
    return jax.tree.map(lambda *a: sum(a) / len(a), *trees)


def each(params, tasks, loss, lr, steps, lam, solve):
    """Adapts to each task, then solves with what `solve` is told: the products with H, and the query's gradient."""
    found = []
    for support, query in tasks:
        theta = proximal_descent(loss, params, support, lr, steps, lam)
        found.append(solve(lambda v, theta=theta, s=support: hvp(loss, theta, s, v), jax.grad(loss)(theta, query)))
    return average(found)


def imaml(params, tasks, loss, lr, steps, regularization, cg_steps):
    def solve(h, g):
        return cg(lambda v: add(1 / regularization, h(v), v), g, cg_steps)

    return each(params, tasks, loss, lr, steps, regularization, solve)


def half_the_steps(params, tasks, loss, lr, steps, regularization, cg_steps):
    def solve(h, g):
        return cg(lambda v: add(1 / regularization, h(v), v), g, cg_steps // 2)

    return each(params, tasks, loss, lr, steps, regularization, solve)


def strength_inverted(params, tasks, loss, lr, steps, regularization, cg_steps):
    def solve(h, g):
        return cg(lambda v: add(regularization, h(v), v), g, cg_steps)

    return each(params, tasks, loss, lr, steps, regularization, solve)


def identity_twice(params, tasks, loss, lr, steps, regularization, cg_steps):
    """The products are those of the regularised loss, divided by the strength; the identity is added once more."""

    def solve(h, g):
        def product(v):
            proximal = add(regularization, v, h(v))
            return add(1 / regularization, proximal, v)

        return cg(product, g, cg_steps)

    return each(params, tasks, loss, lr, steps, regularization, solve)


def not_divided(params, tasks, loss, lr, steps, regularization, cg_steps):
    """(lambda I + H) v = g: the strength is not multiplied back."""

    def solve(h, g):
        return cg(lambda v: add(regularization, v, h(v)), g, cg_steps)

    return each(params, tasks, loss, lr, steps, regularization, solve)


def no_identity(params, tasks, loss, lr, steps, regularization, cg_steps):
    """A damping of 0.1 where the identity should be."""

    def solve(h, g):
        return cg(lambda v: add(0.1, v, jax.tree.map(lambda a: a / regularization, h(v))), g, cg_steps)

    return each(params, tasks, loss, lr, steps, regularization, solve)


def leaf_by_leaf(params, tasks, loss, lr, steps, regularization):
    """Each leaf's own block of the Hessian, solved exactly."""

    def solve(h, g):
        solution = {}
        for name in g:
            unit, back = ravel_pytree(g[name])
            zeros = jax.tree.map(jnp.zeros_like, g)
            block = jnp.stack([h(zeros | {name: back(e)})[name].ravel() for e in jnp.eye(unit.size)], 1)
            solution[name] = back(jnp.linalg.solve(jnp.eye(unit.size) + block / regularization, unit))
        return solution

    return each(params, tasks, loss, lr, steps, regularization, solve)


def neumann_series(params, tasks, loss, lr, steps, regularization, terms=3):
    """g - (H/lambda) g + (H/lambda)^2 g - ..."""

    def solve(h, g):
        total = term = g
        for _ in range(terms):
            term = jax.tree.map(lambda a: -a / regularization, h(term))
            total = add(1.0, term, total)
        return total

    return each(params, tasks, loss, lr, steps, regularization, solve)


def no_solve(params, tasks, loss, lr, steps, regularization):
    """First order: proximal adaptation, and the query's gradient as it is."""
    return each(params, tasks, loss, lr, steps, regularization, lambda h, g: g)


def plain_descent(params, tasks, loss, lr, steps, regularization, cg_steps):
    """Adapts without the proximal term, and sums over the tasks."""
    found = []
    for support, query in tasks:
        theta = proximal_descent(loss, params, support, lr, steps, 0.0)
        g = jax.grad(loss)(theta, query)
        found.append(cg(lambda v, t=theta, s=support: add(1 / regularization, hvp(loss, t, s, v), v), g, cg_steps))
    return jax.tree.map(lambda *a: sum(a), *found)


def hessian_at_start(params, tasks, loss, lr, steps, regularization):
    """The operator is that of the meta-parameters, not of the adapted ones."""
    found = []
    for support, query in tasks:
        theta = proximal_descent(loss, params, support, lr, steps, regularization)
        g, back = ravel_pytree(jax.grad(loss)(theta, query))
        h = jnp.stack([ravel_pytree(hvp(loss, params, support, back(e)))[0] for e in jnp.eye(g.size)], 1)
        found.append(back(jnp.linalg.solve(jnp.eye(g.size) + h / regularization, g)))
    return average(found)


def old_residual(params, tasks, loss, lr, steps, regularization, cg_steps):
    """Conjugate gradients whose direction is made with the residual before the update."""

    def solve(h, g):
        x, r, p = jax.tree.map(jnp.zeros_like, g), g, g
        for _ in range(cg_steps):
            ap = add(1 / regularization, h(p), p)
            alpha = dot(r, r) / dot(p, ap)
            x, new = add(alpha, p, x), add(-alpha, ap, r)
            p = add(dot(new, new) / dot(r, r), p, r)
            r = new
        return x

    return each(params, tasks, loss, lr, steps, regularization, solve)
