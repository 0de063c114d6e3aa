"""higher and torchopt, as their documentation uses them."""

import higher
import torch
import torchopt


def higher_loop(model, tasks, loss_fn, optimizer, lr, steps):
    inner_opt = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer.zero_grad()
    for (xs, ys), (xq, yq) in tasks:
        with higher.innerloop_ctx(model, inner_opt, copy_initial_weights=False) as (fnet, diffopt):
            for _ in range(steps):
                diffopt.step(loss_fn(fnet(xs), ys))
            loss = loss_fn(fnet(xq), yq) / len(tasks)
            loss.backward()
    optimizer.step()


def higher_untracked(model, tasks, loss_fn, lr, steps):
    """track_higher_grads=False: the gradients are those of the last parameters."""
    inner_opt = torch.optim.SGD(model.parameters(), lr=lr)
    total = None
    for (xs, ys), (xq, yq) in tasks:
        with higher.innerloop_ctx(model, inner_opt, track_higher_grads=False) as (fnet, diffopt):
            for _ in range(steps):
                diffopt.step(loss_fn(fnet(xs), ys))
            g = torch.autograd.grad(loss_fn(fnet(xq), yq), fnet.parameters())
        total = g if total is None else [a + b for a, b in zip(total, g, strict=True)]
    return [t / len(tasks) for t in total]


def higher_copies(model, tasks, loss_fn, optimizer, lr, steps):
    """copy_initial_weights is True unless one says otherwise: the gradients go to a copy."""
    inner_opt = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer.zero_grad()
    for (xs, ys), (xq, yq) in tasks:
        with higher.innerloop_ctx(model, inner_opt) as (fnet, diffopt):
            for _ in range(steps):
                diffopt.step(loss_fn(fnet(xs), ys))
            (loss_fn(fnet(xq), yq) / len(tasks)).backward()
    optimizer.step()


def higher_detached(model, tasks, loss_fn, optimizer, lr, steps):
    """A grad_callback that detaches what it hands on."""
    inner_opt = torch.optim.SGD(model.parameters(), lr=lr)
    optimizer.zero_grad()
    for (xs, ys), (xq, yq) in tasks:
        with higher.innerloop_ctx(model, inner_opt, copy_initial_weights=False) as (fnet, diffopt):
            for _ in range(steps):
                diffopt.step(loss_fn(fnet(xs), ys), grad_callback=lambda grads: [g.detach() for g in grads])
            loss_fn(fnet(xq), yq).backward()
    optimizer.step()


def meta_sgd(model, tasks, loss_fn, optimizer, lr, steps):
    inner = torchopt.MetaSGD(model, lr=lr)
    net_state, opt_state = torchopt.extract_state_dict(model), torchopt.extract_state_dict(inner)
    optimizer.zero_grad()
    losses = []
    for (xs, ys), (xq, yq) in tasks:
        for _ in range(steps):
            inner.step(loss_fn(model(xs), ys))
        losses.append(loss_fn(model(xq), yq))
        torchopt.recover_state_dict(model, net_state)
        torchopt.recover_state_dict(inner, opt_state)
    torch.stack(losses).mean().backward()
    optimizer.step()


def meta_sgd_stopped(model, tasks, loss_fn, optimizer, lr, steps):
    """stop_gradient(model) after each inner step: the gradient is that of the adapted parameters."""
    inner = torchopt.MetaSGD(model, lr=lr, moment_requires_grad=False)
    net_state = torchopt.extract_state_dict(model)
    optimizer.zero_grad()
    originals = list(model.parameters())
    for (xs, ys), (xq, yq) in tasks:
        for _ in range(steps):
            inner.step(loss_fn(model(xs), ys))
            torchopt.stop_gradient(model)
        loss = loss_fn(model(xq), yq) / len(tasks)
        grads = torch.autograd.grad(loss, list(model.parameters()))
        for p, g in zip(originals, grads, strict=True):
            p.grad = g if p.grad is None else p.grad + g
        torchopt.recover_state_dict(model, net_state)
    optimizer.step()
