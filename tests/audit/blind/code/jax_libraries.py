"""optax and jaxopt."""

import jax
import jax.numpy as jnp
import jaxopt
import optax


def optax_maml(params, tasks, loss, lr, steps, outer_lr):
    inner, outer = optax.sgd(lr), optax.sgd(outer_lr)

    def adapted_loss(p, task):
        state = inner.init(p)
        for _ in range(steps):
            updates, state = inner.update(jax.grad(loss)(p, task.support), state, p)
            p = optax.apply_updates(p, updates)
        return loss(p, task.query)

    def batch_loss(p):
        return jnp.stack([adapted_loss(p, t) for t in tasks]).mean()

    updates, _ = outer.update(jax.grad(batch_loss)(params), outer.init(params), params)
    return optax.apply_updates(params, updates)


def optax_reptile_adam(params, tasks, loss, lr, steps, outer_lr):
    """The inner optimiser is Adam, made anew for each task."""
    inner, moved = optax.adam(lr), []
    for task in tasks:
        p, state = params, inner.init(params)
        both = tuple(jnp.concatenate(pair) for pair in zip(*task, strict=True))
        for _ in range(steps):
            updates, state = inner.update(jax.grad(loss)(p, both), state, p)
            p = optax.apply_updates(p, updates)
        moved.append(p)
    return jax.tree.map(lambda a, *b: a + outer_lr * (sum(b) / len(b) - a), params, *moved)


def optax_clipped(params, tasks, loss, lr, steps):
    """clip_by_global_norm in the inner chain, left there from another project."""
    inner = optax.chain(optax.clip_by_global_norm(0.05), optax.sgd(lr))

    def adapted_loss(p, task):
        state = inner.init(p)
        for _ in range(steps):
            updates, state = inner.update(jax.lax.stop_gradient(jax.grad(loss)(p, task.support)), state, p)
            p = optax.apply_updates(p, updates)
        return loss(p, task.query)

    return jax.grad(lambda p: jnp.stack([adapted_loss(p, t) for t in tasks]).mean())(params)


def optax_momentum_shared(params, tasks, loss, lr, steps):
    """Momentum whose trace goes on from task to task; first order."""
    inner = optax.sgd(lr, momentum=0.8)
    state = inner.init(params)
    total = jax.tree.map(jnp.zeros_like, params)
    for task in tasks:
        p = params
        for _ in range(steps):
            updates, state = inner.update(jax.grad(loss)(p, task.support), state, p)
            p = optax.apply_updates(p, updates)
        total = jax.tree.map(lambda a, g: a + g / len(tasks), total, jax.grad(loss)(p, task.query))
    return total


def solver(loss, lr, steps):
    def objective(theta, prior, batch, strength):
        return loss(theta, batch) + 0.5 * strength * sum(
            jnp.sum((a - b) ** 2) for a, b in zip(jax.tree.leaves(theta), jax.tree.leaves(prior), strict=True)
        )

    def solve(matvec, b, **_):
        return jaxopt.linear_solve.solve_cg(matvec, b, tol=1e-15, maxiter=100)

    return jaxopt.GradientDescent(
        objective,
        stepsize=lr,
        maxiter=steps,
        tol=0.0,
        acceleration=False,
        implicit_diff=True,
        implicit_diff_solve=solve,
    )


def jaxopt_implicit(params, tasks, loss, lr, steps, regularization):
    """Gradient descent whose derivative is that of the optimality condition."""
    gd = solver(loss, lr, steps)

    def outer(prior):
        return sum(
            loss(gd.run(prior_start(prior), prior, tuple(t.support), regularization).params, t.query) for t in tasks
        ) / len(tasks)

    return jax.grad(outer)(params)


def prior_start(prior):
    """Where descent begins is no function of the prior, as far as the optimum is concerned."""
    return jax.lax.stop_gradient(prior)


def jaxopt_unrolled(params, tasks, loss, lr, steps, regularization):
    """iMAML's inner loop with implicit_diff=False: MAML on the proximal objective."""

    def objective(theta, prior, batch):
        distance = sum(jnp.sum((theta[k] - prior[k]) ** 2) for k in prior)
        return loss(theta, batch) + 0.5 * regularization * distance

    gd = jaxopt.GradientDescent(
        objective, stepsize=lr, maxiter=steps, tol=0.0, acceleration=False, implicit_diff=False, unroll=True
    )

    def outer(prior):
        return sum(loss(gd.run(prior, prior, tuple(t.support)).params, t.query) for t in tasks) / len(tasks)

    return jax.grad(outer)(params)
