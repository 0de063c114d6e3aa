"""Functional PyTorch: parameters in lists and dictionaries, torch.autograd.grad in the inner loop."""

import torch
from torch.autograd import grad
from torch.nn.functional import mse_loss


def net(p, x):
    return torch.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]


def leafs(params):
    return {k: v.detach().clone().requires_grad_(True) for k, v in params.items()}


def update(weights, grads, lr):
    return {k: w - lr * g for (k, w), g in zip(weights.items(), grads, strict=True)}


def meta_gradient(loss_sum, weights):
    return dict(zip(weights, grad(loss_sum, list(weights.values())), strict=True))


def maml(params, tasks, lr, steps):
    weights = leafs(params)
    losses = []
    for (xs, ys), (xq, yq) in tasks:
        fast = weights
        for _ in range(steps):
            inner = mse_loss(net(fast, xs), ys)
            fast = update(fast, grad(inner, list(fast.values()), create_graph=True), lr)
        losses.append(mse_loss(net(fast, xq), yq))
    return meta_gradient(torch.stack(losses).mean(), weights)


def maml_total(params, tasks, loss, lr, steps):
    """Gradients of the tasks add up, as in the paper's sum over the batch of tasks."""
    weights = leafs(params)
    for task in tasks:
        fast = {k: w.clone() for k, w in weights.items()}
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, task.support), list(fast.values()), create_graph=True), lr)
        loss(fast, task.query).backward()
    return {k: w.grad for k, w in weights.items()}


def maml_fixed(params, tasks, loss):
    """Two steps at 0.05."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(2):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), 0.05)
        outer = outer + loss(fast, query)
    return meta_gradient(outer / len(tasks), weights)


def no_graph(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            grads = grad(loss(fast, support), list(fast.values()))
            fast = update(fast, grads, lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def no_graph_hidden(params, tasks, loss, lr, steps):
    """Second order by its arguments, yet the step is taken on .data."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            grads = grad(loss(fast, support), list(fast.values()), create_graph=True)
            fast = update(fast, [g.data for g in grads], lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def graph_at_first(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for k in range(steps):
            grads = grad(loss(fast, support), list(fast.values()), create_graph=(k == 0))
            fast = update(fast, grads, lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def graph_at_end(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for k in range(steps):
            grads = grad(loss(fast, support), list(fast.values()), create_graph=(k == steps - 1))
            fast = update(fast, grads, lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def graph_but_last(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for k in range(steps):
            grads = grad(loss(fast, support), list(fast.values()), create_graph=k + 1 < steps)
            fast = update(fast, grads, lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def restarts(params, tasks, loss, lr, steps):
    """Every step starts over from the initial weights, at their gradient."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        for _ in range(steps):
            grads = grad(loss(weights, support), list(weights.values()), create_graph=True)
            fast = update(weights, grads, lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def from_initial(params, tasks, loss, lr, steps):
    """The gradient is taken at the fast weights, and subtracted from the initial ones."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            grads = grad(loss(fast, support), list(fast.values()), create_graph=True)
            fast = update(weights, grads, lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def one_fewer(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(1, steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def support_twice(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, _query in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        outer += loss(fast, support) / len(tasks)
    return meta_gradient(outer, weights)


def exchanged(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for query, support in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def adapts_on_all(params, tasks, loss, lr, steps):
    """The query examples leak into the adaptation."""
    weights = leafs(params)
    outer = 0.0
    for (xs, ys), (xq, yq) in tasks:
        fast = weights
        everything = (torch.cat([xs, xq]), torch.cat([ys, yq]))
        for _ in range(steps):
            g = grad(mse_loss(net(fast, everything[0]), everything[1]), list(fast.values()), create_graph=True)
            fast = update(fast, g, lr)
        outer += mse_loss(net(fast, xq), yq) / len(tasks)
    return meta_gradient(outer, weights)


def undivided(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        outer += loss(fast, query)
    return meta_gradient(outer, weights)


def returns_early(params, tasks, loss, lr, steps):
    weights = leafs(params)
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        return meta_gradient(loss(fast, query), weights)
    raise ValueError("no tasks")


def summed_inner(params, tasks, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for (xs, ys), (xq, yq) in tasks:
        fast = weights
        for _ in range(steps):
            inner = mse_loss(net(fast, xs), ys, reduction="sum")
            fast = update(fast, grad(inner, list(fast.values()), create_graph=True), lr)
        outer += mse_loss(net(fast, xq), yq) / len(tasks)
    return meta_gradient(outer, weights)


def summed_examples(params, tasks, lr, steps):
    """Inner and outer: a mean over the outputs, a sum over the examples."""

    def loss(p, x, y):
        return ((net(p, x) - y) ** 2).mean(dim=1).sum()

    weights = leafs(params)
    outer = 0.0
    for (xs, ys), (xq, yq) in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, xs, ys), list(fast.values()), create_graph=True), lr)
        outer += loss(fast, xq, yq) / len(tasks)
    return meta_gradient(outer, weights)


def summed_outer(params, tasks, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for (xs, ys), (xq, yq) in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(mse_loss(net(fast, xs), ys), list(fast.values()), create_graph=True), lr)
        outer += mse_loss(net(fast, xq), yq, reduction="sum") / len(tasks)
    return meta_gradient(outer, weights)


def half_square(params, tasks, lr, steps):
    """One half of the mean square, in both loops."""
    weights = leafs(params)
    outer = 0.0
    for (xs, ys), (xq, yq) in tasks:
        fast = weights
        for _ in range(steps):
            inner = 0.5 * mse_loss(net(fast, xs), ys)
            fast = update(fast, grad(inner, list(fast.values()), create_graph=True), lr)
        outer += 0.5 * mse_loss(net(fast, xq), yq) / len(tasks)
    return meta_gradient(outer, weights)
