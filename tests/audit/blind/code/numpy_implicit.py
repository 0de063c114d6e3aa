"""Implicit MAML in NumPy with the Hessian written out."""

import numpy as np

from tests.audit.blind.code.numpy_by_hand import grad, hessian_vector

NAMES = ("w1", "b1", "w2", "b2")


def pack(tree):
    return np.concatenate([np.ravel(tree[k]) for k in NAMES])


def unpack(vector, like):
    out, i = {}, 0
    for k in NAMES:
        out[k] = vector[i : i + like[k].size].reshape(like[k].shape)
        i += like[k].size
    return out


def solve_inner(params, data, lr, steps, lam):
    theta = {k: v.copy() for k, v in params.items()}
    for _ in range(steps):
        g = grad(theta, data)
        for k in theta:
            theta[k] = theta[k] - lr * (g[k] + lam * (theta[k] - params[k]))
    return theta


def full_hessian(theta, data):
    n = sum(v.size for v in theta.values())
    columns = [pack(hessian_vector(theta, data, unpack(e, theta))) for e in np.eye(n)]
    return np.stack(columns, axis=1)


def imaml(params, task, lr, steps, regularization):
    theta = solve_inner(params, task.support, lr, steps, regularization)
    H = full_hessian(theta, task.support)
    return unpack(np.linalg.solve(np.eye(len(H)) + H / regularization, pack(grad(theta, task.query))), params)


def imaml_fixed(params, tasks):
    """Rate 0.05, eight steps, strength 1.5."""
    found = []
    for support, query in tasks:
        theta = solve_inner(params, support, 0.05, 8, 1.5)
        H = full_hessian(theta, support)
        found.append(np.linalg.solve(H + 1.5 * np.eye(len(H)), 1.5 * pack(grad(theta, query))))
    return unpack(np.mean(found, axis=0), params)


def imaml_gauss_newton(params, tasks, lr, steps, regularization):
    """The Hessian without its part of second derivatives of the network."""
    found = []
    for support, query in tasks:
        theta = solve_inner(params, support, lr, steps, regularization)
        x, y = support
        h = np.tanh(x @ theta["w1"] + theta["b1"])
        rows = []
        for i in range(len(x)):
            for j in range(y.shape[1]):
                dpre = theta["w2"][:, j] * (1 - h[i] ** 2)
                one = {
                    "w1": np.outer(x[i], dpre),
                    "b1": dpre,
                    "w2": np.zeros_like(theta["w2"]),
                    "b2": np.eye(len(theta["b2"]))[j],
                }
                one["w2"][:, j] = h[i]
                rows.append(pack(one))
        J = np.stack(rows)
        G = 2 * J.T @ J / y.size
        found.append(np.linalg.solve(np.eye(len(G)) + G / regularization, pack(grad(theta, query))))
    return unpack(np.mean(found, axis=0), params)


def imaml_shared_strength(params, tasks, lr, steps, regularization):
    """Hessian of the regularised objective, and the identity on top of it."""
    found = []
    for support, query in tasks:
        theta = solve_inner(params, support, lr, steps, regularization)
        H = full_hessian(theta, support) + regularization * np.eye(24)
        found.append(np.linalg.solve(np.eye(24) + H / regularization, pack(grad(theta, query))))
    return unpack(np.mean(found, axis=0), params)
