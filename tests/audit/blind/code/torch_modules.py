"""nn.Module and optimizers: gradients end in .grad, the model moves in place."""

import copy

import torch
from torch import nn


def clone_module(module):
    """A copy whose parameters are tensors in the graph of the original's."""
    clone = module.__new__(type(module))
    clone.__dict__ = module.__dict__.copy()
    clone._parameters = {k: p if p is None else p.clone() for k, p in module._parameters.items()}
    clone._buffers = {k: b if b is None else b.clone() for k, b in module._buffers.items()}
    clone._modules = {k: clone_module(m) for k, m in module._modules.items()}
    return clone


def parameters(module):
    for m in module.modules():
        yield from ((m, k, p) for k, p in m._parameters.items() if p is not None)


def take_step(module, loss, lr, first_order):
    named = list(parameters(module))
    grads = torch.autograd.grad(loss, [p for _, _, p in named], create_graph=not first_order)
    for (owner, name, p), g in zip(named, grads, strict=True):
        owner._parameters[name] = p - lr * g


def clones(model, tasks, loss_fn, optimizer, lr, steps, first_order=False):
    optimizer.zero_grad()
    meta_loss = 0.0
    for (xs, ys), (xq, yq) in tasks:
        learner = clone_module(model)
        for _ in range(steps):
            take_step(learner, loss_fn(learner(xs), ys), lr, first_order)
        meta_loss = meta_loss + loss_fn(learner(xq), yq)
    (meta_loss / len(tasks)).backward()
    optimizer.step()


def clones_first_order(model, tasks, loss_fn, optimizer, lr, steps, first_order=True):
    clones(model, tasks, loss_fn, optimizer, lr, steps, first_order)


def clones_summed(model, tasks, loss_fn, optimizer, lr, steps):
    optimizer.zero_grad()
    for (xs, ys), (xq, yq) in tasks:
        learner = clone_module(model)
        for _ in range(steps):
            take_step(learner, loss_fn(learner(xs), ys), lr, first_order=False)
        loss_fn(learner(xq), yq).backward()
    optimizer.step()


def deep_copies(model, tasks, loss_fn, optimizer, lr, steps):
    """First-order MAML: gradients of the copies are written back to the model."""
    optimizer.zero_grad()
    for (xs, ys), (xq, yq) in tasks:
        learner = copy.deepcopy(model)
        inner = torch.optim.SGD(learner.parameters(), lr=lr)
        for _ in range(steps):
            inner.zero_grad()
            loss_fn(learner(xs), ys).backward()
            inner.step()
        grads = torch.autograd.grad(loss_fn(learner(xq), yq), list(learner.parameters()))
        for p, g in zip(model.parameters(), grads, strict=True):
            p.grad = g / len(tasks) if p.grad is None else p.grad + g / len(tasks)
    optimizer.step()


def never_zeroed(model, tasks, loss_fn, optimizer, lr, steps):
    """The copies' gradients pile up over the inner steps and into the query's."""
    optimizer.zero_grad()
    total = [torch.zeros_like(p) for p in model.parameters()]
    for (xs, ys), (xq, yq) in tasks:
        learner = copy.deepcopy(model)
        inner = torch.optim.SGD(learner.parameters(), lr=lr)
        for _ in range(steps):
            loss_fn(learner(xs), ys).backward()
            inner.step()
        loss_fn(learner(xq), yq).backward()
        total = [t + p.grad / len(tasks) for t, p in zip(total, learner.parameters(), strict=True)]
    for p, t in zip(model.parameters(), total, strict=True):
        p.grad = t
    optimizer.step()


def no_copy(model, tasks, loss_fn, lr, steps):
    """The model itself is trained on the tasks, one after the other; it keeps the mean of the query gradients."""
    total = [torch.zeros_like(p) for p in model.parameters()]
    inner = torch.optim.SGD(model.parameters(), lr=lr)
    start = [p.detach().clone() for p in model.parameters()]
    for (xs, ys), (xq, yq) in tasks:
        for _ in range(steps):
            inner.zero_grad()
            loss_fn(model(xs), ys).backward()
            inner.step()
        g = torch.autograd.grad(loss_fn(model(xq), yq), list(model.parameters()))
        total = [t + gi / len(tasks) for t, gi in zip(total, g, strict=True)]
    with torch.no_grad():
        for p, s, t in zip(model.parameters(), start, total, strict=True):
            p.copy_(s)
            p.grad = t


def reptile(model, tasks, loss_fn, lr, steps, outer_lr):
    before = copy.deepcopy(model.state_dict())
    after = []
    for (xs, ys), (xq, yq) in tasks:
        model.load_state_dict(before)
        inner = torch.optim.SGD(model.parameters(), lr=lr)
        x, y = torch.cat([xs, xq]), torch.cat([ys, yq])
        for _ in range(steps):
            inner.zero_grad()
            loss_fn(model(x), y).backward()
            inner.step()
        after.append(copy.deepcopy(model.state_dict()))
    model.load_state_dict(
        {k: v + outer_lr * (sum(a[k] for a in after) / len(after) - v) for k, v in before.items()},
    )


def reptile_adam(model, tasks, loss_fn, lr, steps, outer_lr):
    """One Adam serves all tasks: its moments go along."""
    before = copy.deepcopy(model.state_dict())
    inner = torch.optim.Adam(model.parameters(), lr=lr)
    after = []
    for (xs, ys), (xq, yq) in tasks:
        model.load_state_dict(before)
        x, y = torch.cat([xs, xq]), torch.cat([ys, yq])
        for _ in range(steps):
            inner.zero_grad()
            loss_fn(model(x), y).backward()
            inner.step()
        after.append(copy.deepcopy(model.state_dict()))
    model.load_state_dict({k: v + outer_lr * (sum(a[k] for a in after) / len(after) - v) for k, v in before.items()})


def reptile_one_by_one(model, tasks, loss_fn, lr, steps, outer_lr):
    """Serial Reptile: the model moves after every task, and the next task starts there."""
    for (xs, ys), (xq, yq) in tasks:
        before = copy.deepcopy(model.state_dict())
        inner = torch.optim.SGD(model.parameters(), lr=lr)
        x, y = torch.cat([xs, xq]), torch.cat([ys, yq])
        for _ in range(steps):
            inner.zero_grad()
            loss_fn(model(x), y).backward()
            inner.step()
        after = model.state_dict()
        model.load_state_dict({k: before[k] + outer_lr * (after[k] - before[k]) for k in before})


def functional_call(model, stacked, loss_fn, lr, steps):
    """torch.func: vmap over the tasks, grad of grad."""
    params = {k: v.detach() for k, v in model.named_parameters()}

    def loss(p, batch):
        return loss_fn(torch.func.functional_call(model, p, (batch[0],)), batch[1])

    def objective(p, support, query):
        for _ in range(steps):
            g = torch.func.grad(loss)(p, support)
            p = {k: p[k] - lr * g[k] for k in p}
        return loss(p, query)

    grads = torch.func.vmap(torch.func.grad(objective), in_dims=(None, 0, 0))(params, *stacked)
    for name, p in model.named_parameters():
        p.grad = grads[name].mean(0)


def functional_call_detached(model, stacked, loss_fn, lr, steps):
    params = {k: v.detach() for k, v in model.named_parameters()}

    def loss(p, batch):
        return loss_fn(torch.func.functional_call(model, p, (batch[0],)), batch[1])

    def objective(p, support, query):
        for _ in range(steps):
            g = torch.func.grad(loss)(p, support)
            p = {k: p[k] - lr * g[k].detach() for k in p}
        return loss(p, query)

    grads = torch.func.vmap(torch.func.grad(objective), in_dims=(None, 0, 0))(params, *stacked)
    return [g.sum(0) for g in grads.values()]


def flat(tensors):
    return torch.cat([t.reshape(-1) for t in tensors])


def conjugate_gradient(product, b, steps):
    x, r = torch.zeros_like(b), b.clone()
    p, rr = r.clone(), r @ r
    for _ in range(steps):
        ap = product(p)
        a = rr / (p @ ap)
        x, r = x + a * p, r - a * ap
        new = r @ r
        p, rr = r + new / rr * p, new
    return x


def implicit(model, tasks, loss_fn, optimizer, lr, steps, regularization, cg_steps, proximal=True):
    start = [p.detach().clone() for p in model.parameters()]
    result = torch.zeros_like(flat(start))
    for (xs, ys), (xq, yq) in tasks:
        learner = copy.deepcopy(model)
        inner = torch.optim.SGD(learner.parameters(), lr=lr)
        for _ in range(steps):
            inner.zero_grad()
            objective = loss_fn(learner(xs), ys)
            if proximal:
                distance = sum(((p - s) ** 2).sum() for p, s in zip(learner.parameters(), start, strict=True))
                objective = objective + 0.5 * regularization * distance
            objective.backward()
            inner.step()
        w = list(learner.parameters())
        g = flat(torch.autograd.grad(loss_fn(learner(xs), ys), w, create_graph=True))

        def product(v, g=g, w=w):
            return v + flat(torch.autograd.grad(g @ v, w, retain_graph=True)) / regularization

        b = flat(torch.autograd.grad(loss_fn(learner(xq), yq), w))
        result += conjugate_gradient(product, b, cg_steps) / len(tasks)
    offset = 0
    for p in model.parameters():
        p.grad = result[offset : offset + p.numel()].view_as(p)
        offset += p.numel()
    optimizer.step()


def implicit_not_proximal(model, tasks, loss_fn, optimizer, lr, steps, regularization, cg_steps):
    implicit(model, tasks, loss_fn, optimizer, lr, steps, regularization, cg_steps, proximal=False)


def parameters_put_back(model, tasks, loss, lr, steps):
    """The model adapts itself and gets its parameters back; batch-norm's running statistics stay as they came out."""
    start = [p.detach().clone() for p in model.parameters()]
    total = [torch.zeros_like(p) for p in start]
    for support, query in tasks:
        inner = torch.optim.SGD(model.parameters(), lr=lr)
        for _ in range(steps):
            inner.zero_grad()
            loss(model, support).backward()
            inner.step()
        grads = torch.autograd.grad(loss(model, query), list(model.parameters()))
        total = [t + g / len(tasks) for t, g in zip(total, grads, strict=True)]
        with torch.no_grad():
            for p, s in zip(model.parameters(), start, strict=True):
                p.copy_(s)
    for p, t in zip(model.parameters(), total, strict=True):
        p.grad = t


def copies_in_training_mode(model, tasks, loss, lr, steps):
    """Deep copies, never put into evaluation mode."""
    total = [torch.zeros_like(p) for p in model.parameters()]
    for support, query in tasks:
        learner = copy.deepcopy(model)
        inner = torch.optim.SGD(learner.parameters(), lr=lr)
        for _ in range(steps):
            inner.zero_grad()
            loss(learner, support).backward()
            inner.step()
        grads = torch.autograd.grad(loss(learner, query), list(learner.parameters()))
        total = [t + g / len(tasks) for t, g in zip(total, grads, strict=True)]
    return total


def batch_norm_net():
    """What `parameters_put_back` is tried on."""
    generator = torch.Generator().manual_seed(5)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2)
    return net


def dropout_net():
    """A net that is random in training mode."""
    generator = torch.Generator().manual_seed(6)
    net = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 2)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64) / 2)
    return net


def mean_square(model, batch):
    x, y = batch
    return ((model(x) - y) ** 2).mean()
