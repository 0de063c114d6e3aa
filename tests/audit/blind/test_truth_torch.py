"""What the code of the blind set does to modules, seen without an audit."""

import copy

import numpy as np
import pytest

from tests.audit.blind import calling
from tests.audit.blind.plain import Vector

torch = pytest.importorskip("torch")
torch_modules = pytest.importorskip("tests.audit.blind.code.torch_modules")


def torch_tasks() -> list[object]:
    generator = torch.Generator().manual_seed(1)

    def batch(n: int) -> calling.Pair:
        x = torch.randn(n, 3, generator=generator, dtype=torch.float64)
        return calling.Pair(x, x[:, :2].sin())

    return [(batch(5), batch(4)) for _ in range(2)]


def flat(tensors: object) -> Vector:
    return torch.cat([t.detach().reshape(-1) for t in tensors]).numpy()


def test_statistics_of_batch_norm_change_and_nothing_else_does() -> None:
    model, tasks = torch_modules.batch_norm_net(), torch_tasks()
    parameters, buffers = flat(model.parameters()), flat(b.double() for b in model.buffers())
    expected = np.mean([flat(query_gradient(model, *task, lr=0.1, steps=2)) for task in tasks], axis=0)
    torch_modules.parameters_put_back(model, tasks, torch_modules.mean_square, lr=0.1, steps=2)
    assert (flat(model.parameters()) == parameters).all()
    assert (flat(b.double() for b in model.buffers()) != buffers).any()
    assert np.linalg.norm(flat(p.grad for p in model.parameters()) - expected) <= 1e-12 * np.linalg.norm(expected)


def query_gradient(model: object, support: object, query: object, lr: float, steps: int) -> object:
    """First-order MAML of one task on a copy of the model."""
    twin = copy.deepcopy(model)
    for _ in range(steps):
        grads = torch.autograd.grad(torch_modules.mean_square(twin, support), list(twin.parameters()))
        for p, g in zip(twin.parameters(), grads, strict=True):
            p.data = p.data - lr * g
    return torch.autograd.grad(torch_modules.mean_square(twin, query), list(twin.parameters()))


def test_dropout_is_random() -> None:
    arguments = torch_modules.dropout_net(), torch_tasks(), torch_modules.mean_square, 0.1, 2
    first, second = (flat(torch_modules.copies_in_training_mode(*arguments)) for _ in range(2))
    assert (first != second).any()


def test_higher_gives_the_gradients_to_a_copy() -> None:
    higher_copies = calling.implementation("torch_libraries", "higher_copies")
    theta, tasks = calling.data(seed=3, equal=False)
    model = calling.torch_model(theta)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    pairs = calling.batches(tasks, torch.tensor)
    higher_copies(model, pairs, torch.nn.functional.mse_loss, optimizer, 0.1, 2)
    assert all(p.grad is None for p in model.parameters())
