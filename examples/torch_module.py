"""A torch.nn module as it is: its parameters by name, its forward pass by functional_call."""

import torch
from torch.func import functional_call

import metaspec as ms
from metaspec import data

LR, STEPS = 0.05, 3
Tensors = dict[str, torch.Tensor]
model = torch.nn.Sequential(
    torch.nn.Linear(1, 40), torch.nn.Tanh(), torch.nn.Linear(40, 40), torch.nn.Tanh(), torch.nn.Linear(40, 1)
)


def loss(params: Tensors, batch: Tensors) -> torch.Tensor:
    """Mean squared error of the module with these parameters in place of its own."""
    return torch.nn.functional.mse_loss(functional_call(model, params, (batch["x"],)), batch["y"])


def unrolled(params: Tensors, tasks: ms.Task) -> list[torch.Tensor]:
    """The same meta-gradient by PyTorch alone: backpropagation through the inner loop, task by task."""
    start = [p.detach().requires_grad_() for p in params.values()]
    total = torch.zeros(())
    for i in range(len(tasks.support["x"])):
        support, query = ({name: leaf[i] for name, leaf in part.items()} for part in tasks)
        theta = start
        for _ in range(STEPS):
            value = loss(dict(zip(params, theta, strict=True)), support)
            gradient = torch.autograd.grad(value, theta, create_graph=True)
            theta = [p - LR * g for p, g in zip(theta, gradient, strict=True)]
        total = total + loss(dict(zip(params, theta, strict=True)), query)
    return list(torch.autograd.grad(total / len(tasks.support["x"]), start))


def main() -> tuple[dict[str, float], list[float]]:
    """Returns each algorithm's relative distance from the unrolled gradient, and the query loss of each outer step."""
    params = dict(model.named_parameters())
    tasks = ms.asarray(data.Sinusoid().batch(step=0, size=8), backend="torch")
    inner = ms.GradientDescent(LR, STEPS)
    expected, distances = torch.cat([g.ravel() for g in unrolled(params, tasks)]), {}
    for algo in (ms.FOMAML(inner), ms.MAML(inner)):
        delta = ms.batch_meta_gradient(algo, loss, params, tasks).delta
        error = torch.cat([delta[name].ravel() for name in params]) - expected
        distances[type(algo).__name__] = float(error.norm() / expected.norm())
    print(f"distance from backpropagation through the unrolled loop: {distances}")

    optimizer, history = torch.optim.Adam(params.values(), lr=0.005), []
    for _ in range(10):
        r = ms.batch_meta_gradient(algo, loss, params, tasks)
        for name, p in params.items():
            p.grad = r.delta[name]
        optimizer.step()
        history.append(float(r.query_loss))
    print(f"query loss after adaptation: {history[0]:.4f} -> {history[-1]:.4f}")
    return distances, history


if __name__ == "__main__":
    main()
