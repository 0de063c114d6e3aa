"""Audit somebody's code

A reviewer's page: a training step that says it is MAML, and is not. The audit knows nothing of the code but what it
returns. Needs `metaspec[torch]`, and `metaspec[plots]` for the picture.
"""

# %%
# The step, as it is found in many a repository. It takes what it names: `params`, `tasks`, `loss`, `lr`, `steps`.

import torch

import metaspec as ms
from metaspec.plots.figures import INK, panels, save, style


def step(params, tasks, loss, lr, steps):
    total = [0.0 for _ in params]
    for support, query in tasks:
        theta = [p.clone().requires_grad_() for p in params.values()]
        for _ in range(steps):
            gradient = torch.autograd.grad(loss(theta, support), theta)
            theta = [(t - lr * g).detach().requires_grad_() for t, g in zip(theta, gradient, strict=True)]
        share = torch.autograd.grad(loss(theta, query), theta)
        total = [a + b for a, b in zip(total, share, strict=True)]
    return total


report = ms.audit(step, claim="maml", framework="torch")
print(report.sentence)  # computes FO-MAML with the sum over tasks; claimed MAML
assert "algorithm" in report.codes
assert "task-sum" in report.codes
for finding in report.findings:
    print(f"- {finding}")

# %%
# Two things were found: the second-order terms are missing (`.detach()` cuts the graph at every step), and tasks are
# summed, not averaged. Mended, it passes; `ms.assert_computes` is the same as one line in a test:


def mended(params, tasks, loss, lr, steps):
    total = [0.0 for _ in params]
    start = [p.clone().requires_grad_() for p in params.values()]
    for support, query in tasks:
        theta = start
        for _ in range(steps):
            gradient = torch.autograd.grad(loss(theta, support), theta, create_graph=True)
            theta = [t - lr * g for t, g in zip(theta, gradient, strict=True)]
        share = torch.autograd.grad(loss(theta, query), start)
        total = [a + b / len(tasks) for a, b in zip(total, share, strict=True)]
    return total


ms.assert_computes("maml", mended, framework="torch")

# %%
# How much does it matter? The entries of both results against the exact meta-gradient, on one problem:

generator = torch.Generator().manual_seed(0)
draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
params = {"w": draw(3, 8), "v": draw(8, 1)}
tasks = [ms.Task(*({"x": draw(10, 3), "y": draw(10, 1)} for _ in range(2))) for _ in range(4)]


def loss(theta, batch):
    w, v = theta.values() if isinstance(theta, dict) else theta
    return torch.mean((torch.tanh(batch["x"] @ w) @ v - batch["y"]) ** 2)


exact = ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(0.1, 5)), loss, params, tasks).delta
flat = lambda leaves: torch.cat([leaf.detach().ravel() for leaf in leaves])  # noqa: E731
figure, (axes,) = panels(1, 1, 4.8, 4.0)
for number, (name, code, scale) in enumerate([("as found, over 4", step, 0.25), ("mended", mended, 1.0)]):
    found = scale * flat(code(params, tasks, loss, 0.1, 5))
    axes.plot(flat(exact.values()), found, "ox"[number], color=style(number)["color"], label=name)
ends = [float(flat(exact.values()).min()), float(flat(exact.values()).max())]
axes.plot(ends, ends, color=INK, linewidth=0.8)
axes.set(xlabel="exact meta-gradient", ylabel="the code's")
axes.legend(frameon=False)
save(figure, "audited.svg")

# %%
# ![Entries of the meta-gradient, as found and mended](pictures/audited.svg)
#
# From a terminal, in a process of its own with limits of time and memory: `metaspec audit train.py:step --claim maml`.
# Modules with optimisers, Keras models and classes with `fit` are taken too: [how](../audit.md).
