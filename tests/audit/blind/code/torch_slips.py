"""Functional PyTorch: rates, resets, leaves, objectives, formats."""

import torch
from torch.autograd import grad

from tests.audit.blind.code.torch_functional import leafs, maml, meta_gradient, update


def rate_forgotten(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            grads = grad(loss(fast, support), list(fast.values()), create_graph=True)
            fast = {k: w - g for (k, w), g in zip(fast.items(), grads, strict=True)}
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def rate_twice(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            grads = grad(lr * loss(fast, support), list(fast.values()), create_graph=True)
            fast = update(fast, grads, lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def never_reset(params, tasks, loss, lr, steps):
    """The fast weights are made once, before the loop over tasks."""
    weights = leafs(params)
    outer = 0.0
    fast = weights
    for support, query in tasks:
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def biases_first_order(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            grads = dict(zip(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), strict=True))
            grads = {k: g.detach() if k.startswith("b") else g for k, g in grads.items()}
            fast = {k: w - lr * grads[k] for k, w in fast.items()}
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def unused_allowed(params, tasks, loss, lr, steps):
    """The query loss sees the output's bias detached; allow_unused and zeros do the rest."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        outer += loss(fast | {"b2": fast["b2"].detach()}, query) / len(tasks)
    names = ["b1", "w1", "w2"]
    found = dict(zip(names, grad(outer, [weights[k] for k in names]), strict=True))
    return {k: found.get(k, torch.zeros_like(v)) for k, v in params.items()}


def bias_is_a_buffer(params, tasks, loss, lr, steps):
    """The output's bias has no requires_grad: it is neither adapted nor learned."""
    weights = {k: v.clone() if k == "b2" else v.clone().requires_grad_() for k, v in params.items()}
    trained = ["b1", "w1", "w2"]
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            g = grad(loss(fast, support), [fast[k] for k in trained], create_graph=True)
            fast = fast | {k: fast[k] - lr * gk for k, gk in zip(trained, g, strict=True)}
        outer += loss(fast, query) / len(tasks)
    outer.backward()
    return {k: torch.zeros_like(w) if w.grad is None else w.grad for k, w in weights.items()}


def bias_not_collected(params, tasks, loss, lr, steps):
    """MAML, but the hidden bias's gradient is never written into the result."""
    found = {k: torch.zeros_like(v) for k, v in params.items()}
    for k, g in maml(params, tasks, lr, steps).items():
        if k != "b1":
            found[k] += g
    return found


def head_only(params, tasks, loss, lr, steps):
    """Almost no inner loop: the body stays as it is, the head adapts; all of them are meta-learned."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        head = {k: weights[k] for k in ("w2", "b2")}
        for _ in range(steps):
            g = grad(loss(weights | head, support), list(head.values()), create_graph=True)
            head = update(head, g, lr)
        outer += loss(weights | head, query) / len(tasks)
    return meta_gradient(outer, weights)


def every_step_counts(params, tasks, loss, lr, steps):
    """The query loss after each step, all with the same weight."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
            outer += loss(fast, query) / (steps * len(tasks))
    return meta_gradient(outer, weights)


def before_and_after(params, tasks, loss, lr, steps):
    """What is learned is the query loss before adaptation and after it, half and half."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        outer += 0.5 * (loss(weights, query) + loss(fast, query)) / len(tasks)
    return meta_gradient(outer, weights)


def noisy(params, tasks, loss, lr, steps):
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            grads = grad(loss(fast, support), list(fast.values()), create_graph=True)
            fast = update(fast, [g + 1e-3 * torch.randn_like(g) for g in grads], lr)
        outer += loss(fast, query) / len(tasks)
    return meta_gradient(outer, weights)


def one_of_the_tasks(params, tasks, loss, lr, steps):
    """Stochastic: one task is drawn at each call."""
    return maml(params, [tasks[torch.randint(len(tasks), ()).item()]], lr, steps)


def bfloat16(params, tasks, loss, lr, steps):
    half = {k: v.bfloat16() for k, v in params.items()}
    data = [[[a.bfloat16() for a in part] for part in task] for task in tasks]
    return {k: g.double() for k, g in maml(half, data, lr, steps).items()}


def never_adapts(params, tasks, loss, lr, steps):
    """The adapted weights are computed, and then the initial ones are evaluated."""
    weights = leafs(params)
    outer = 0.0
    for support, query in tasks:
        fast = weights
        for _ in range(steps):
            fast = update(fast, grad(loss(fast, support), list(fast.values()), create_graph=True), lr)
        outer += loss(weights, query) / len(tasks)
    return meta_gradient(outer, weights)


def hvp(loss, weights, batch, v):
    g = grad(loss(weights, batch), list(weights.values()), create_graph=True)
    return grad(sum((a * b).sum() for a, b in zip(g, v, strict=True)), list(weights.values()))


def backward_through_steps(params, tasks, loss, lr, steps, factor=1.0):
    """The adjoint recursion by hand."""
    found = [torch.zeros_like(v) for v in params.values()]
    for support, query in tasks:
        path = [leafs(params)]
        for _ in range(steps):
            here = path[-1]
            path.append(leafs(update(here, grad(loss(here, support), list(here.values())), lr)))
        v = grad(loss(path[-1], query), list(path[-1].values()))
        for here in path[-2::-1]:
            v = [a - factor * lr * b for a, b in zip(v, hvp(loss, here, support, v), strict=True)]
        found = [f + a / len(tasks) for f, a in zip(found, v, strict=True)]
    return found


def backward_doubled(params, tasks, loss, lr, steps):
    return backward_through_steps(params, tasks, loss, lr, steps, 2.0)


def backward_wrong_sign(params, tasks, loss, lr, steps):
    return backward_through_steps(params, tasks, loss, lr, steps, -1.0)


def ascends(params, tasks, loss, lr, steps):
    """-1 times MAML: the objective is a reward's."""
    return {k: -g for k, g in maml(params, tasks, lr, steps).items()}
