"""A torch.nn module as it is: `from_model` makes its loss a function of its parameters, and puts trained ones back."""

from functools import partial

import torch

import metaspec as ms
from metaspec import data

LR, STEPS = 0.05, 3
Tensors = dict[str, torch.Tensor]
net = torch.nn.Sequential(
    torch.nn.Linear(1, 40), torch.nn.Tanh(), torch.nn.Linear(40, 40), torch.nn.Tanh(), torch.nn.Linear(40, 1)
)
model = ms.from_model(net, lambda net, batch: torch.nn.functional.mse_loss(net(batch["x"]), batch["y"]))


def unrolled(params: Tensors, tasks: ms.Task) -> list[torch.Tensor]:
    """Return MAML's meta-gradient by PyTorch alone: backpropagation through the inner loop, task by task."""
    start = [p.detach().requires_grad_() for p in params.values()]
    total = torch.zeros(())
    for i in range(len(tasks.support["x"])):
        support, query = ({name: leaf[i] for name, leaf in part.items()} for part in tasks)
        theta = start
        for _ in range(STEPS):
            value = model.loss(dict(zip(params, theta, strict=True)), support)
            gradient = torch.autograd.grad(value, theta, create_graph=True)
            theta = [p - LR * g for p, g in zip(theta, gradient, strict=True)]
        total = total + model.loss(dict(zip(params, theta, strict=True)), query)
    return list(torch.autograd.grad(total / len(tasks.support["x"]), start))


def main() -> tuple[dict[str, float], list[float]]:
    """Returns each algorithm's relative distance from the unrolled gradient, and query losses, means of 20 steps."""
    tasks = ms.asarray(data.Sinusoid().batch(step=0, size=8), backend="torch")
    inner = ms.GradientDescent(LR, STEPS)
    expected, distances = torch.cat([g.ravel() for g in unrolled(model.params, tasks)]), {}
    for algo in (ms.FOMAML(inner), ms.MAML(inner)):
        step = ms.compile(lambda params, tasks, algo=algo: ms.batch_meta_gradient(algo, model.loss, params, tasks))
        error = torch.cat([step(model.params, tasks).delta[name].ravel() for name in model.params]) - expected
        distances[type(algo).__name__] = float(error.norm() / expected.norm())
    print(f"distance from backpropagation through the unrolled loop: {distances}")

    adam = partial(torch.optim.Adam, lr=0.005)
    run = ms.meta_train(algo, model.loss, model.params, data.Sinusoid(), steps=60, tasks_per_step=8, optimizer=adam)
    losses = [record.query_loss for record in run.history]
    history = [sum(losses[k : k + 20]) / 20 for k in (0, 20, 40)]
    trained = model.restore(run.params)
    print(f"{type(trained).__name__}: query loss after adaptation, {history[0]:.4f} -> {history[-1]:.4f}")
    return distances, history


if __name__ == "__main__":
    main()
