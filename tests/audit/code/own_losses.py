"""Right code with a loss of its own, which wants class labels in a format of its own, or has no axis of examples."""

import numpy as np
import torch
from torch.nn import functional

import metaspec as ms
from metaspec_conformance.audit import Problem


def _network(theta, x):
    return torch.tanh(x @ theta["w1"] + theta["b1"]) @ theta["w2"] + theta["b2"]


def _maml(params, tasks, criterion, lr, steps):
    phi = {name: p.clone().requires_grad_() for name, p in params.items()}
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        theta = phi
        for _ in range(steps):
            value = criterion(_network(theta, xs), ys)
            gradients = torch.autograd.grad(value, list(theta.values()), create_graph=True)
            theta = {name: theta[name] - lr * g for name, g in zip(theta, gradients, strict=True)}
        total = total + criterion(_network(theta, xq), yq) / len(tasks)
    return dict(zip(phi, torch.autograd.grad(total, list(phi.values())), strict=True))


def cross_entropy(params, tasks, lr, steps):
    return _maml(params, tasks, functional.cross_entropy, lr, steps)


def negative_log_likelihood(params, tasks, lr, steps):
    return _maml(params, tasks, lambda z, y: functional.nll_loss(functional.log_softmax(z, dim=1), y), lr, steps)


def one_hot(params, tasks, lr, steps):
    """Vectors of zeros and ones, as in many ports from other frameworks."""

    def criterion(z, y):
        if y.shape != z.shape:
            raise ValueError(f"labels of shape {tuple(y.shape)}, predictions of shape {tuple(z.shape)}")
        return -(y * functional.log_softmax(z, dim=1)).sum(dim=1).mean()

    return _maml(params, tasks, criterion, lr, steps)


def int32_labels(params, tasks, lr, steps):
    def criterion(z, y):
        if y.dtype != torch.int32:
            raise TypeError(f"int32 expected, got {y.dtype}")
        return functional.cross_entropy(z, y.long())

    return _maml(params, tasks, criterion, lr, steps)


def mean_square(params, tasks, lr, steps):
    return _maml(params, tasks, functional.mse_loss, lr, steps)


def always_raises(params, tasks, lr, steps):
    raise TypeError("in any case")


# --- no axis of examples ----------------------------------------------------------------------------------------------


def target_loss(params, batch):
    """The sum over a vector that is one task's target."""
    return 0.85 * ((params["a"] - batch) ** 2 + 0.3 * (params["a"] - batch) ** 4).sum()


def number_loss(params, batch):
    """A batch of a single number."""
    return ((params["a"] * batch) ** 2).sum() + 0.1 * (params["a"] ** 4).sum() * batch


def matrix_loss(params, batch):
    """A quadratic form: the sets of a task cannot be joined."""
    return params["a"] @ (batch["A"] @ params["a"]) + batch["b"] @ params["a"] + 0.1 * (params["a"] ** 4).sum()


def _target(rng):
    return torch.tensor(rng.normal(size=4))


def _number(rng):
    return torch.tensor(rng.uniform(0.5, 1.5))


def _matrix(rng):
    root = rng.normal(size=(4, 4))
    return {"A": torch.tensor(0.2 * root @ root.T), "b": torch.tensor(rng.normal(size=4))}


def problem(kind: str) -> Problem:
    """A problem without an axis of examples."""
    loss, draw = {
        "target": (target_loss, _target),
        "number": (number_loss, _number),
        "matrix": (matrix_loss, _matrix),
    }[kind]

    def tasks(seed):
        rng = np.random.default_rng(seed)
        return [ms.Task(draw(rng), draw(rng)) for _ in range(3)]

    return Problem(loss, tasks, {"a": torch.tensor([0.3, -1.0, 0.4, 0.8], dtype=torch.float64)})


def of_problem(params, tasks, loss, lr, steps, create_graph=True):
    a = params["a"].clone().requires_grad_()
    total = 0
    for support, query in tasks:
        theta = a
        for _ in range(steps):
            theta = theta - lr * torch.autograd.grad(loss({"a": theta}, support), theta, create_graph=create_graph)[0]
        total = total + loss({"a": theta}, query) / len(tasks)
    return {"a": torch.autograd.grad(total, a)[0]}


def first_order(params, tasks, loss, lr, steps):
    return of_problem(params, tasks, loss, lr, steps, create_graph=False)
