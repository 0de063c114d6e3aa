"""Right code that holds its numbers in another format than it computes in."""

import numpy as np
import torch

import metaspec as ms


def _torch(params, tasks, loss, lr, steps, create_graph, decay=0.0):
    phi = {name: p.detach().clone().requires_grad_() for name, p in params.items()}
    total = 0
    for support, query in tasks:
        theta = dict(phi)
        for _ in range(steps):
            gradients = torch.autograd.grad(loss(theta, support), list(theta.values()), create_graph=create_graph)
            theta = {k: t - lr * (g + decay * t) for (k, t), g in zip(theta.items(), gradients, strict=True)}
        total = total + loss(theta, query) / len(tasks)
    return dict(zip(phi, torch.autograd.grad(total, list(phi.values())), strict=True))


def torch_tensor(params, tasks, loss, lr, steps):
    return _torch(params, tasks, loss, torch.tensor(lr), steps, True)


def torch_hard_coded(params, tasks, loss, steps):
    return _torch(params, tasks, loss, torch.tensor(0.07), steps, True)


def torch_sum(params, tasks, loss, lr, steps):
    found = _torch(params, tasks, loss, torch.tensor(lr), steps, False)
    return {name: len(tasks) * leaf for name, leaf in found.items()}


def torch_one_step_fewer(params, tasks, loss, lr, steps):
    return _torch(params, tasks, loss, torch.tensor(lr), steps - 1, True)


def torch_outer_rate(params, tasks, loss, lr, steps, outer_lr):
    found, rate = _torch(params, tasks, loss, torch.tensor(lr), steps, True), torch.tensor(outer_lr)
    return {name: params[name] - rate * leaf for name, leaf in found.items()}


def torch_mean_in_float32(params, tasks, loss, lr, steps):
    found = _torch(params, tasks, loss, lr, steps, True)
    return {name: leaf * len(tasks) * torch.tensor(1 / len(tasks)) for name, leaf in found.items()}


def another_rate(params, tasks, loss, lr, steps):
    """Off by ten times what counts as equal: no format explains it."""
    return _torch(params, tasks, loss, lr * (1 + 1e-5), steps, True)


def numpy_scalar(params, tasks, loss, lr, steps):
    B = ms.get_backend("numpy")
    rate, total = np.float32(lr), dict.fromkeys(params, 0.0)
    for support, query in tasks:
        theta = params
        for _ in range(steps):
            gradient = B.grad(loss)(theta, support)
            theta = {name: leaf - rate * gradient[name] for name, leaf in theta.items()}
        gradient = B.grad(loss)(theta, query)
        total = {name: leaf + gradient[name] / len(tasks) for name, leaf in total.items()}
    return total


def jax_array(params, tasks, loss, lr, steps):
    import jax
    import jax.numpy as jnp

    rate = jnp.asarray(lr, jnp.float32)

    def outer(phi):
        total = 0
        for support, query in tasks:
            theta = phi
            for _ in range(steps):
                theta = jax.tree.map(lambda t, g: t - rate * g, theta, jax.grad(loss)(theta, support))
            total = total + loss(theta, query) / len(tasks)
        return total

    return jax.grad(outer)(params)


def tensorflow_variable(params, tasks, loss, lr, steps):
    import tensorflow as tf

    rate, total = tf.cast(tf.Variable(lr, dtype=tf.float32), tf.float64), None
    with tf.GradientTape() as outer:
        phi = {name: tf.convert_to_tensor(leaf) for name, leaf in params.items()}
        outer.watch(phi)
        for support, query in tasks:
            theta = phi
            for _ in range(steps):
                with tf.GradientTape() as tape:
                    tape.watch(theta)
                    value = loss(theta, support)
                gradient = tape.gradient(value, theta)
                theta = {name: leaf - rate * gradient[name] for name, leaf in theta.items()}
            added = loss(theta, query) / len(tasks)
            total = added if total is None else total + added
    return outer.gradient(total, phi)


def torch_autocast(params, tasks, loss, lr, steps):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return _torch(params, tasks, loss, lr, steps, True)
