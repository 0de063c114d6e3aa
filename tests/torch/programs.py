"""Programs that plain autograd differentiates twice, and the unrolled loop by which their meta-gradients are judged."""

import copy

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import metaspec as ms

nn, F = torch.nn, torch.nn.functional
RATE, STEPS = 0.1, 2


def mse(model, batch):
    return F.mse_loss(model(batch["x"]).reshape(batch["y"].shape), batch["y"])


def unrolled(model, loss, task):
    """delta by backpropagation through the loop, parameters swapped into a copy by hand."""
    with sdpa_kernel(SDPBackend.MATH):
        return _unrolled(copy.deepcopy(model), loss, task)


def _unrolled(model, loss, task):
    start = {name: p.detach().clone().requires_grad_() for name, p in model.named_parameters()}

    def value(params, batch):
        for name, p in params.items():
            path, _, leaf = name.rpartition(".")
            module = model.get_submodule(path)
            module._parameters.pop(leaf, None)
            setattr(module, leaf, p)
        return loss(model, batch)

    params = start
    for _ in range(STEPS):
        found = torch.autograd.grad(value(params, task.support), list(params.values()), create_graph=True)
        params = {name: p - RATE * g for (name, p), g in zip(params.items(), found, strict=True)}
    return dict(zip(start, torch.autograd.grad(value(params, task.query), list(start.values())), strict=True))


class Last(nn.Module):
    """The last output of a sequence model, made one number."""

    def __init__(self, body, width=4):
        super().__init__()
        self.body, self.out = body, nn.Linear(width, 1)

    def forward(self, x):
        y = self.body(x)
        return self.out((y[0] if isinstance(y, tuple) else y)[:, -1])


class Attending(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.attention = nn.Linear(3, 4), nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        h = self.inner(x)
        return self.attention(h, h, h, need_weights=False)[0]


class Half(torch.autograd.Function):
    """A Function of the form before `setup_context`."""

    @staticmethod
    def forward(ctx, x):
        return x * 0.5

    @staticmethod
    def backward(ctx, g):
        return g * 0.5


@torch.jit.script
def swish(x: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(x)


def mlp(middle=None):
    return nn.Sequential(nn.Linear(3, 4), middle or nn.Tanh(), nn.Linear(4, 1))


def through(f):
    return lambda model, batch: F.mse_loss(model[2](f(model, batch["x"])), batch["y"])


def physics(model, batch):
    x = batch["x"].detach().requires_grad_()
    (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return F.mse_loss(model(x), batch["y"]) + slope.square().mean()


def encoder():
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True)
    return Last(nn.Sequential(nn.Linear(3, 4), nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)))


PROGRAMS = {  # name: (model, loss, shape of an example)
    "linear and tanh": (mlp, mse, (3,)),
    "scripted function": (mlp, through(lambda model, x: swish(model[0](x))), (3,)),
    "classic Function": (mlp, through(lambda model, x: Half.apply(model[1](model[0](x)))), (3,)),
    "gradient inside": (mlp, physics, (3,)),
    "if on a value": (mlp, lambda model, batch: mse(model, batch) * (2.0 if mse(model, batch) > 0.1 else 3.0), (3,)),
    "LSTM": (lambda: Last(nn.LSTM(3, 4, batch_first=True)), mse, (4, 3)),
    "GRU": (lambda: Last(nn.GRU(3, 4, batch_first=True)), mse, (4, 3)),
    "attention": (lambda: Last(Attending()), mse, (4, 3)),
    "attention, eval": (lambda: Last(Attending()).eval(), mse, (4, 3)),
    "encoder": (encoder, mse, (4, 3)),
    "encoder, eval": (lambda: encoder().eval(), mse, (4, 3)),
    "distances": (
        mlp,
        lambda model, batch: (
            torch.cdist(model[0](batch["x"]), model[0](-batch["x"]), compute_mode="use_mm_for_euclid_dist").mean()
            + mse(model, batch)
        ),
        (3,),
    ),
    "weight norm": (
        lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.Tanh(), nn.Linear(4, 1)),
        mse,
        (3,),
    ),
    "convolution": (lambda: nn.Sequential(nn.Conv1d(1, 2, 2), nn.Tanh(), nn.Flatten(), nn.Linear(4, 1)), mse, (1, 3)),
}
NOT_RECORDED = {"if on a value"}


def tasks_of(shape, count=2, seed=0):
    draw = torch.Generator().manual_seed(seed)

    def batch():
        return {
            "x": torch.randn(5, *shape, generator=draw, dtype=torch.float64),
            "y": torch.randn(5, 1, generator=draw, dtype=torch.float64),
        }

    return [ms.Task(batch(), batch()) for _ in range(count)]


def made(name):
    """The model, in float64 from a fixed seed, its loss and two tasks."""
    make, loss, shape = PROGRAMS[name]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = make().double()
    return model, loss, tasks_of(shape)


def close(found, expected):
    """Within 2^10 roundoffs of float64 in norm: sums of some hundred terms near one."""
    for name, leaf in expected.items():
        assert (found[name] - leaf).norm() <= 2.0**-43 * max(1.0, float(leaf.norm())), name
