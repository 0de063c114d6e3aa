"""Functional PyTorch with more than one slip at a time, or with another inner optimiser."""

import torch
from torch.autograd import grad
from torch.nn.functional import linear, mse_loss


def predict(w, x):
    w1, b1, w2, b2 = w
    return linear(torch.tanh(linear(x, w1.T, b1)), w2.T, b2)


def unpacked(params):
    return [params[k].clone().requires_grad_() for k in ("w1", "b1", "w2", "b2")]


def packed(grads):
    w1, b1, w2, b2 = grads
    return {"b1": b1, "b2": b2, "w1": w1, "w2": w2}


def first_order_summed(params, tasks, lr, steps):
    w0 = unpacked(params)
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        w = w0
        for _ in range(steps):
            g = grad(mse_loss(predict(w, xs), ys), w)
            w = [a - lr * b for a, b in zip(w, g, strict=True)]
        total = total + mse_loss(predict(w, xq), yq)
    return packed(grad(total, w0))


def swapped_one_fewer(params, tasks, lr, steps):
    w0 = unpacked(params)
    total = 0
    for (xq, yq), (xs, ys) in tasks:
        w = w0
        for _ in range(steps - 1):
            g = grad(mse_loss(predict(w, xs), ys), w, create_graph=True)
            w = [a - lr * b for a, b in zip(w, g, strict=True)]
        total = total + mse_loss(predict(w, xq), yq) / len(tasks)
    return packed(grad(total, w0))


def rate_twice_last_graph(params, tasks, lr, steps):
    w0 = unpacked(params)
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        w = w0
        for k in range(steps):
            g = grad(lr * mse_loss(predict(w, xs), ys), w, create_graph=k == steps - 1)
            w = [a - lr * b for a, b in zip(w, g, strict=True)]
        total = total + mse_loss(predict(w, xq), yq) / len(tasks)
    return packed(grad(total, w0))


def support_twice_summed(params, tasks, lr, steps):
    w0 = unpacked(params)
    total = 0
    for (xs, ys), _ in tasks:
        w = w0
        for _ in range(steps):
            g = grad(mse_loss(predict(w, xs), ys), w, create_graph=True)
            w = [a - lr * b for a, b in zip(w, g, strict=True)]
        total = total + mse_loss(predict(w, xs), ys)
    return packed(grad(total, w0))


def single_precision_first_order(params, tasks, lr, steps):
    w0 = [w.detach().float().requires_grad_() for w in unpacked(params)]
    total = 0
    for support, query in tasks:
        (xs, ys), (xq, yq) = [[a.float() for a in part] for part in (support, query)]
        w = w0
        for _ in range(steps):
            g = grad(mse_loss(predict(w, xs), ys), w)
            w = [a - lr * b for a, b in zip(w, g, strict=True)]
        total = total + mse_loss(predict(w, xq), yq) / len(tasks)
    return packed([g.double() for g in grad(total, w0)])


def summed_inner_first_order(params, tasks, lr, steps):
    w0 = unpacked(params)
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        w = w0
        for _ in range(steps):
            g = grad(mse_loss(predict(w, xs), ys, reduction="sum"), w)
            w = [a - lr * b for a, b in zip(w, g, strict=True)]
        total = total + mse_loss(predict(w, xq), yq) / len(tasks)
    return packed(grad(total, w0))


def summed_outer_over_tasks(params, tasks, lr, steps):
    """reduction="sum" for the queries, and their sum over the tasks."""
    w0 = unpacked(params)
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        w = w0
        for _ in range(steps):
            g = grad(mse_loss(predict(w, xs), ys), w, create_graph=True)
            w = [a - lr * b for a, b in zip(w, g, strict=True)]
        total = total + mse_loss(predict(w, xq), yq, reduction="sum")
    return packed(grad(total, w0))


def two_of_four(params, tasks, lr, steps):
    """The head adapts, with first-order gradients."""
    w0 = unpacked(params)
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        body, head = w0[:2], w0[2:]
        for _ in range(steps):
            g = grad(mse_loss(predict(body + head, xs), ys), head)
            head = [a - lr * b for a, b in zip(head, g, strict=True)]
        total = total + mse_loss(predict(body + head, xq), yq) / len(tasks)
    return packed(grad(total, w0))


def leaf_lost_first_step_graph(params, tasks, lr, steps):
    w0 = unpacked(params)
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        w = w0
        for k in range(steps):
            g = grad(mse_loss(predict(w, xs), ys), w, create_graph=k == 0)
            w = [a - lr * b for a, b in zip(w, g, strict=True)]
        total = total + mse_loss(predict(w, xq), yq) / len(tasks)
    gw1, _, gw2, gb2 = grad(total, w0)
    return packed([gw1, torch.zeros_like(params["b1"]), gw2, gb2])


def adapt(w0, x, y, steps, move, create_graph=False):
    w, state = w0, None
    for _ in range(steps):
        g = grad(mse_loss(predict(w, x), y), w, create_graph=create_graph)
        w, state = move(w, g, state)
    return w


def outer(params, tasks, steps, move, create_graph=False):
    w0 = unpacked(params)
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        total = total + mse_loss(predict(adapt(w0, xs, ys, steps, move, create_graph), xq), yq) / len(tasks)
    return packed(grad(total, w0))


def momentum(params, tasks, lr, steps):
    def move(w, g, velocity):
        velocity = list(g) if velocity is None else [0.9 * v + b for v, b in zip(velocity, g, strict=True)]
        return [a - lr * v for a, v in zip(w, velocity, strict=True)], velocity

    return outer(params, tasks, steps, move)


def clipped_second_order(params, tasks, lr, steps):
    """The gradient of all leaves is brought down to norm 0.05."""

    def move(w, g, _):
        norm = torch.sqrt(sum((b**2).sum() for b in g))
        shrink = torch.clamp(0.05 / norm, max=1.0)
        return [a - lr * shrink * b for a, b in zip(w, g, strict=True)], None

    return outer(params, tasks, steps, move, create_graph=True)


def unit_length(params, tasks, lr, steps):
    def move(w, g, _):
        norm = torch.sqrt(sum((b**2).sum() for b in g))
        return [a - lr * b / norm for a, b in zip(w, g, strict=True)], None

    return outer(params, tasks, steps, move)


def signs(params, tasks, lr, steps):
    return outer(params, tasks, steps, lambda w, g, _: ([a - lr * b.sign() for a, b in zip(w, g, strict=True)], None))


def decayed(params, tasks, lr, steps):
    """Weight decay of 0.05 in the inner loop, differentiated through."""

    def move(w, g, _):
        return [a - lr * (b + 0.05 * a) for a, b in zip(w, g, strict=True)], None

    return outer(params, tasks, steps, move, create_graph=True)


def adam(params, tasks, lr, steps):
    def move(w, g, state):
        m, v, t = state or ([0.0] * len(w), [0.0] * len(w), 0)
        t += 1
        m = [0.9 * a + 0.1 * b for a, b in zip(m, g, strict=True)]
        v = [0.999 * a + 0.001 * b**2 for a, b in zip(v, g, strict=True)]
        return [
            a - lr * (b / (1 - 0.9**t)) / ((c / (1 - 0.999**t)).sqrt() + 1e-8) for a, b, c in zip(w, m, v, strict=True)
        ], (m, v, t)

    return outer(params, tasks, steps, move)


def per_layer_rates(params, tasks, lr, steps):
    """The head learns ten times slower."""

    def move(w, g, _):
        return [a - r * b for a, b, r in zip(w, g, (lr, lr, 0.1 * lr, 0.1 * lr), strict=True)], None

    return outer(params, tasks, steps, move, create_graph=True)


def decaying_rate(params, tasks, lr, steps):
    """lr, lr/2, lr/3, ..."""

    def move(w, g, k):
        k = (k or 0) + 1
        return [a - lr / k * b for a, b in zip(w, g, strict=True)], k

    return outer(params, tasks, steps, move, create_graph=True)
