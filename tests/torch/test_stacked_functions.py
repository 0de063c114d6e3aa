"""Rules for stacked tensors beside the functions themselves, task after task, to the second derivative."""

import operator

import pytest

torch = pytest.importorskip("torch")

from torch.nn import functional as F  # noqa: E402, N812
from torch.utils.checkpoint import checkpoint  # noqa: E402

import metaspec as ms  # noqa: E402
from metaspec.errors import MutationError, UnsupportedError  # noqa: E402
from metaspec_torch import stacked_functions, stacked_tensor, task_losses  # noqa: E402
from metaspec_torch.stacked_functions import NoRuleError  # noqa: E402
from metaspec_torch.stacked_tensor import StackedTensor, rules_at_work  # noqa: E402

from .programs import Half, close, mlp, mse, swish, tasks_of  # noqa: E402

TASKS = 3
LABELS = torch.tensor([[0, 3], [1, 1], [2, 0]])
MATRIX, VECTOR, CUBE = (2, 4), (4,), (2, 3, 4)


def labels_of(k):
    return StackedTensor.of(LABELS) if k is None else LABELS[k]


UNARY = [
    "abs",
    "clone",
    "contiguous",
    "cos",
    "erf",
    "exp",
    "expm1",
    "neg",
    "relu",
    "sigmoid",
    "sin",
    "square",
    "tanh",
    "zeros_like",
    "ones_like",
    "detach",
    "sign",
    "double",
]
POSITIVE = ["log", "log1p", "reciprocal", "rsqrt", "sqrt"]
PREDICATES = ["isfinite", "isnan", "logical_not", "bool", "long", "float"]
BINARY = [
    "add",
    "sub",
    "subtract",
    "mul",
    "multiply",
    "div",
    "divide",
    "maximum",
    "minimum",
    "eq",
    "ne",
    "not_equal",
    "lt",
    "less",
    "le",
    "less_equal",
    "gt",
    "greater",
    "ge",
    "greater_equal",
    "logical_and",
    "logical_or",
]
ACTIVATIONS = stacked_functions.ACTIVATIONS.split()
PAIRED = ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits"]

PROGRAMS = {
    **{
        f"Tensor.{name}": (lambda x, _, name=name: getattr(x, name)(), [MATRIX])
        for name in UNARY
        if name[-4:] != "like"
    },
    **{
        f"torch.{name}": (lambda x, _, name=name: getattr(torch, name)(x), [MATRIX])
        for name in UNARY
        if callable(getattr(torch, name, None))
    },
    **{
        f"{name} of positive": (lambda x, _, name=name: getattr(torch, name)(x * x + 0.5), [MATRIX])
        for name in POSITIVE
    },
    **{
        f"Tensor.{name} of positive": (lambda x, _, name=name: getattr(x * x + 0.5, name)(), [MATRIX])
        for name in POSITIVE
    },
    **{f"{name} by values": (lambda x, _, name=name: getattr(x, name)() * 1.0, [MATRIX]) for name in PREDICATES},
    **{
        f"torch.{name}, {form}": (lambda x, y, _, name=name: getattr(torch, name)(x, y) * 1.0, shapes)
        for name in BINARY
        for form, shapes in {"one shape": [MATRIX, MATRIX], "a row": [MATRIX, VECTOR], "a number": [(), CUBE]}.items()
    },
    **{f"Tensor.{name}": (lambda x, y, _, name=name: getattr(x, name)(y) * 1.0, [MATRIX, MATRIX]) for name in BINARY},
    **{f"F.{name}": (lambda x, _, name=name: getattr(F, name)(x), [MATRIX]) for name in ACTIVATIONS},
    **{
        f"F.{name}, {how}": (
            lambda x, y, _, name=name, how=how: getattr(F, name)(x, y, reduction=how),
            [MATRIX, MATRIX],
        )
        for name in PAIRED
        for how in ("mean", "sum")
    },
    "powers": (lambda x, y, _: (x * x + 0.5) ** y + 2**x + torch.pow(x, 3) + x.pow(2), [MATRIX, VECTOR]),
    "operators": (
        lambda x, y, _: 1 - x + 2 * y / (3 + x * x) - (-x) + 1 / (2 + y * y) + abs(x) + y * 2,
        [MATRIX, VECTOR],
    ),
    "comparisons": (
        lambda x, y, _: (((x < y) & (x > 0)) | ~(x <= 1) | ((x == y) ^ (x != y)) | (x >= 2)) * 1.0,
        [MATRIX, VECTOR],
    ),
    "clamp": (lambda x, _: x.clamp(-1, 1) + torch.clamp(x, min=-0.5) + x.clamp(max=0.2), [MATRIX]),
    "to": (
        lambda x, _: x.to(torch.float64) + x.to("cpu") * x.to(x[0]) + x.to(torch.ones(3, dtype=torch.float64)),
        [MATRIX],
    ),
    "where": (lambda x, y, _: torch.where(x > 0, y, 0.0) + torch.where(y > x, x, y), [MATRIX, VECTOR]),
    **{
        f"{name} over {dim}": (lambda x, _, name=name, dim=dim: getattr(x * x + 0.5, name)(dim=dim), [CUBE])
        for name in ("amax", "amin", "logsumexp", "mean", "std", "sum", "var")
        for dim in (0, -1, (1, 2), (-1, 0))
    },
    **{
        f"{name} of all": (lambda x, _, name=name: getattr(torch, name)(x) * 1.0, [shape])
        for name in ("all", "amax", "amin", "any", "mean", "std", "sum", "var")
        for shape in (MATRIX, *([()] if name not in ("std", "var") else []))
    },
    "sums with their axes": (lambda x, _: x.sum(1, keepdim=True) + x.mean(dim=(0, 1), keepdim=True), [MATRIX]),
    "unbiased": (lambda x, _: x.var(dim=1, unbiased=False) + x.std(0, correction=0).sum(), [MATRIX]),
    **{
        f"{name} along {dim}": (lambda x, _, name=name, dim=dim: getattr(torch, name)(x, dim), [CUBE])
        for name in ("cumsum", "log_softmax", "softmax")
        for dim in (0, 1, -1)
    },
    "F.softmax": (lambda x, _: F.softmax(x, dim=0) + F.log_softmax(x, dim=-1), [MATRIX]),
    "matrix by matrix": (lambda x, y, _: x @ y.T + torch.mm(x, y.mT) + x.matmul(y.T), [MATRIX, MATRIX]),
    "matrix by vector": (lambda x, y, _: x @ y + torch.mv(x, y), [MATRIX, VECTOR]),
    "vector by matrix": (lambda x, y, _: y @ x.T, [MATRIX, VECTOR]),
    "vector by vector": (lambda x, y, _: x @ y + torch.matmul(y, x), [VECTOR, VECTOR]),
    "stack by matrix": (lambda x, y, _: x @ y.mT, [CUBE, MATRIX]),
    "matrix by stack": (lambda x, y, _: y @ x.transpose(1, 2), [CUBE, MATRIX]),
    "linear": (lambda x, w, b, _: F.linear(x, w, b) + F.linear(x, w), [MATRIX, (5, 4), (5,)]),
    "linear of more axes": (lambda x, w, b, _: F.linear(x, w, b), [CUBE, (5, 4), (5,)]),
    "cross-entropy": (lambda x, k: F.cross_entropy(x, labels_of(k)), [MATRIX]),
    "cross-entropy, smooth": (lambda x, k: F.cross_entropy(x, labels_of(k), label_smoothing=0.1), [MATRIX]),
    "cross-entropy, a label ignored": (lambda x, k: F.cross_entropy(x, labels_of(k), ignore_index=3), [MATRIX]),
    "cross-entropy, sum": (lambda x, k: F.cross_entropy(x, labels_of(k), reduction="sum"), [MATRIX]),
    "negative log-likelihood": (lambda x, k: F.nll_loss(F.log_softmax(x, dim=1), labels_of(k)), [MATRIX]),
    "gather": (lambda x, k: torch.gather(x, -1, labels_of(k).unsqueeze(-1)), [MATRIX]),
    "reshape": (lambda x, _: x.reshape(4, -1) + x.view(4, 6) + torch.reshape(x, (4, 6)) + x.view((-1, 6)), [CUBE]),
    "flatten": (lambda x, _: x.flatten(1).sum(0) + torch.flatten(x, 1, 2).mean(0) + x.flatten()[:12], [CUBE]),
    "unsqueeze and squeeze": (lambda x, _: x.unsqueeze(-1).squeeze(2) + torch.unsqueeze(x, 0).squeeze(0), [MATRIX]),
    "transposes": (
        lambda x, _: x.transpose(0, -1).permute(1, 2, 0) + torch.swapaxes(x, 0, 1).permute((2, 1, 0)).mT,
        [(3, 3, 3)],
    ),
    "expand": (lambda x, _: x.expand(3, 2, 4) + torch.broadcast_to(x, (3, 2, 4)) + x.expand((3, -1, -1)), [MATRIX]),
    "cat": (
        lambda x, y, _: torch.cat([x, y], 1).sum() * torch.concat((y, x), dim=-2) + torch.concatenate([y, x]),
        [MATRIX, MATRIX],
    ),
    "stack": (lambda x, y, _: torch.stack([x, y, x]) + torch.stack([x, y, y], dim=-3), [MATRIX, MATRIX]),
    "indices": (lambda x, _: x[0, ..., 1:] + x[None, :, 1, :3][0, 0] + x[-1][:, :3], [CUBE]),
    "shapes": (lambda x, _: x * x.size(0) + x.shape[1] * x.ndim + len(x) * x.numel() + x.dim(), [MATRIX]),
    "dropout in evaluation": (lambda x, _: F.dropout(x, 0.5, training=False) * 2, [MATRIX]),
    "checkpoint": (
        lambda x, y, _: checkpoint(lambda a, b: torch.tanh(a) * b, x, y, use_reentrant=False),
        [MATRIX, VECTOR],
    ),
    "a function of both": (lambda x, y, _: F.relu(x @ y.T, inplace=True).square().mean(), [MATRIX, MATRIX]),
}


def derivatives(value, x):
    """The gradient of the sum of c value for fixed numbers c, and its derivative along cos(x)."""
    weights = torch.linspace(0.5, 1.5, value.numel(), dtype=torch.float64).reshape(value.shape)
    if not value.requires_grad:
        return []
    gradient = pulled((weights * value).sum(), x)
    along = sum((g * torch.cos(a)).sum() for a, g in zip(x, gradient, strict=True))
    return [*gradient, *(pulled(along, x) if along.requires_grad else [])]


def pulled(value, x):
    found = torch.autograd.grad(value, x, create_graph=True, allow_unused=True)
    return [torch.zeros_like(a) if g is None else g for a, g in zip(x, found, strict=True)]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_rule_is_the_function_of_every_task(name):
    """With every argument stacked, and with each alone the same for all tasks."""
    f, shapes = PROGRAMS[name]
    torch.manual_seed(0)
    drawn = [torch.randn(TASKS, *shape, dtype=torch.float64) for shape in shapes]
    for same in range(-1, len(shapes) if len(shapes) > 1 else 0):
        x = [(a[0] if k == same else a).clone().requires_grad_() for k, a in enumerate(drawn)]
        rows = [f(*(a if k == same else a[task] for k, a in enumerate(x)), task) for task in range(TASKS)]
        with rules_at_work():
            found = f(*(a if k == same else StackedTensor.of(a) for k, a in enumerate(x)), None)
            assert found.requires_grad == any(row.requires_grad for row in rows)
        assert isinstance(found, StackedTensor)
        assert (found.shape, found.dtype) == (rows[0].shape, rows[0].dtype)
        expected = torch.stack(rows)
        torch.testing.assert_close(found.stacked, expected, rtol=1e-13, atol=1e-13)
        torch.testing.assert_close(derivatives(found.stacked, x), derivatives(expected, x), rtol=1e-11, atol=1e-11)


def test_every_rule_is_in_a_program(monkeypatch):
    used = set()

    def watched(f, args, options):
        used.add(f)
        return stacked_functions.on_stacks(f, args, options)

    monkeypatch.setattr(stacked_tensor, "on_stacks", watched)
    with rules_at_work():
        for f, shapes in PROGRAMS.values():
            f(*(StackedTensor.of(torch.ones(TASKS, *shape, dtype=torch.float64)) for shape in shapes), None)
    names = {f.__name__ for f in stacked_functions._RULES} - {f.__name__ for f in used}
    assert sorted(names - {f"__{name}__" for name in stacked_functions.OPERATORS.split()}) == []  # a TaskStack's own


class AsItIs(torch.autograd.Function):
    """A Function whose pull-back turns gradients around, and which returns its argument."""

    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return -g


def without_recording(x):
    with torch.no_grad():
        return x * 2


REFUSED = {
    "a custom Function": Half.apply,
    "one that returns its argument": AsItIs.apply,
    "without recording": without_recording,
    "a scripted function": swish,
    "a truth": bool,
    "a number": float,
    "item": lambda x: x.sum().item(),
    "numpy": lambda x: x.numpy(),
    "data": lambda x: x.data,
    "in place": lambda x: x.add_(1),
    "in place by an operator": lambda x: operator.iadd(x, 1),
    "set": lambda x: operator.setitem(x, 0, 1.0),
    "out": lambda x: torch.add(x, 1, out=torch.empty(2, 4)),
    "a hook": lambda x: x.register_hook(torch.neg),
    "a gradient": lambda x: torch.autograd.grad(x.sum(), x),
    "a gradient by torch.func": torch.func.grad(lambda x: x.sum()),
    "dropout": lambda x: F.dropout(x, 0.5),
    "another function": torch.linalg.svd,
    "a function of lists": lambda x: torch._foreach_add([x], 1.0),
    "a parameter": torch.nn.Parameter,
    "an index by entries": lambda x: x[:, torch.tensor([0])],
    "a boolean index": lambda x: x[x > 0],
    "a tensor in an option": lambda x: x.clamp(min=torch.zeros(TASKS, 1, 1)),
    "T of more axes": lambda x: x[None].T,
    "the dtype of a stack": lambda x: torch.ones(TASKS, dtype=torch.float32).to(x),
    "squeeze of all axes": lambda x: x.squeeze(),
    "no axes": lambda x: x.sum([]),
    "a loss of old": lambda x: F.mse_loss(x, x, reduce=False),
    "a loss of another old": lambda x: F.l1_loss(x, x, size_average=False),
    "mv of matrices": lambda x: torch.mv(x, x.T),
    "mm of more axes": lambda x: torch.mm(x[None], x.T),
    "linear by a vector": lambda x: F.linear(x, x[0]),
    "linear with a number": lambda x: F.linear(x, x, x[0, 0]),
    "a new axis of no size": lambda x: x.expand(-1, 2, 4),
    "products of two dtypes": lambda x: x[0] @ x[1].float(),
    "an axis too many": lambda x: x.sum(2),
    "other formats": lambda x: x + torch.ones(4, dtype=torch.float32),
    "a loss that broadcasts": lambda x: F.mse_loss(x, torch.ones(4, dtype=torch.float64)),
    "a loss of no reduction": lambda x: F.mse_loss(x, x, reduction="none"),
    "labels of other kinds": lambda x: F.cross_entropy(x, x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_rule_is_never_computed_of_one_task_alone(name):
    x = StackedTensor.of(torch.ones(TASKS, 2, 4, dtype=torch.float64, requires_grad=True))
    with rules_at_work(), pytest.raises((NoRuleError, RuntimeError)):
        REFUSED[name](x)


NET = ms.nn.MLP((3, 4, 1))
MODEL = ms.from_model(mlp().double(), mse)
HAND = {"w": torch.ones(3, 4, dtype=torch.float64), "v": torch.ones(4, 1, dtype=torch.float64)}


def by_hand(params, batch):
    return F.mse_loss(torch.tanh(batch["x"] @ params["w"]) @ params["v"], batch["y"])


def called(params, batch):
    return mse(lambda x: torch.func.functional_call(MODULE, params, (x,)), batch)


MODULE = mlp().double()
LOSSES = {
    "our network": (NET.loss, ms.asarray(NET.init(seed=0, dtype="float64"), backend="torch")),
    "a module": (MODEL.loss, MODEL.params),
    "functional_call": (called, {name: p.detach() for name, p in MODULE.named_parameters()}),
    "by hand": (by_hand, HAND),
}
ALGO = ms.MAML(ms.GradientDescent(0.1, 2))


def forms_of(monkeypatch):
    """The forms of the losses, as they are computed."""
    seen = []

    def noted(form):
        def run(*args):
            found = form(*args)
            seen.append(form.__name__)
            return found

        return run

    monkeypatch.setattr(task_losses, "FORMS", tuple(map(noted, task_losses.FORMS)))
    return seen


def mean_of_tasks(loss, params, tasks):
    alone = [ms.meta_gradient(ALGO, loss, params, task).delta for task in tasks]
    return {name: sum(delta[name] for delta in alone) / len(tasks) for name in params}


@pytest.mark.parametrize("name", LOSSES)
def test_usual_losses_are_computed_by_rules(name, monkeypatch):
    seen = forms_of(monkeypatch)
    loss, params = LOSSES[name]
    of_its_own = lambda params, batch: loss(params, batch)  # noqa: E731 (nothing is known of it)
    found = ms.batch_meta_gradient(ALGO, of_its_own, params, tasks_of((3,)))
    close(found.delta, mean_of_tasks(loss, params, tasks_of((3,))))
    assert set(seen) == {"by_rules"}


@pytest.mark.parametrize("compiled", [False, True])
def test_a_function_without_a_rule_in_a_later_call_goes_to_vmap(compiled, caplog):
    def loss(params, batch):
        return by_hand(params, batch) + (params["w"].norm() if len(batch["x"]) > 5 else 0.0)

    step = lambda p, t: ms.batch_meta_gradient(ALGO, loss, p, t).delta  # noqa: E731
    step = ms.compile(step) if compiled else step
    with caplog.at_level("WARNING", "metaspec"):
        for examples in (5, 6, 5):
            tasks = [examples_of(examples) for _ in range(3)]
            close(step(HAND, tasks), mean_of_tasks(loss, HAND, tasks))
    assert not [r for r in caplog.records if "task by task" in r.getMessage()]


def examples_of(count):
    def one():
        return {k: torch.randn(count, n, dtype=torch.float64) for k, n in (("x", 3), ("y", 1))}

    return ms.Task(one(), one())


def test_draws_of_a_loss_are_not_shared_by_the_tasks(monkeypatch):
    """Rules do not see a draw that no task's tensor goes into."""
    seen = forms_of(monkeypatch)

    def loss(params, batch):
        return by_hand(params, batch) + 0.0 * torch.randn((), dtype=torch.float64)

    ms.batch_meta_gradient(ALGO, loss, HAND, tasks_of((3,)))
    assert "by_rules" not in seen


def test_a_loss_that_asks_for_types_has_the_value_of_a_task_alone():
    def loss(params, batch):
        return by_hand(params, batch) + (0.0 if type(params["w"]) is torch.Tensor else 1.0)

    tasks = tasks_of((3,))
    found = ms.batch_meta_gradient(ALGO, loss, HAND, tasks)
    expected = sum(ms.meta_gradient(ALGO, by_hand, HAND, task).query_loss for task in tasks) / len(tasks)
    close({"loss": found.query_loss}, {"loss": expected})


LATER = {
    "squeeze of a remainder of one task": (
        lambda p, b: F.mse_loss((torch.tanh(b["x"] @ p["w"]) @ p["v"]).squeeze(), b["y"].squeeze()),
        {"chunk_size": 3},
    ),
    "an old option": (lambda p, b: (F.mse_loss(b["x"] @ p["w"] @ p["v"], b["y"], reduce=False) * mask(b)).mean(), {}),
    "a hook on the query set": (lambda p, b: by_hand(p, {**b, "x": reversed_there(b["x"] * p["w"].sum())}), {}),
}


def mask(batch):
    return torch.where(batch["x"][:, :1] > 0, 1.0 if len(batch["x"]) == 5 else 0.0, 1.0)


def reversed_there(x):
    if len(x) > 5:
        x.register_hook(torch.neg)
    return x


@pytest.mark.parametrize("name", LATER)
def test_what_a_later_evaluation_does_otherwise_counts(name):
    loss, options = LATER[name]
    torch.manual_seed(0)
    tasks = [ms.Task(examples_of(5).support, examples_of(6).query) for _ in range(4)]
    found = ms.batch_meta_gradient(ALGO, loss, HAND, tasks, **options)
    close(found.delta, mean_of_tasks(loss, HAND, tasks))


def test_draws_in_the_query_set_are_not_shared_by_the_tasks():
    def loss(params, batch):
        noise = torch.randn(6, 1, dtype=torch.float64) if len(batch["x"]) == 6 else 0.0
        return by_hand(params, {**batch, "y": batch["y"] + noise})

    task = ms.Task(examples_of(5).support, examples_of(6).query)
    found = ms.batch_meta_gradient(ALGO, loss, HAND, [task] * 4)
    assert len(set(found.diagnostics.query_loss.tolist())) == 4


def test_a_write_to_the_batch_is_refused_in_a_later_evaluation_too():
    def loss(params, batch):
        if len(batch["x"]) == 6:
            F.leaky_relu(batch["x"], 0.5, inplace=True)
        return by_hand(params, batch)

    with pytest.raises(MutationError):
        ms.batch_meta_gradient(ALGO, loss, HAND, [ms.Task(examples_of(5).support, examples_of(6).query)] * 3)


def test_a_tensor_that_a_loss_keeps_says_what_it_is():
    kept = []

    def loss(params, batch):
        kept.append(params["w"] * 2)
        return by_hand(params, batch)

    ms.batch_meta_gradient(ALGO, loss, HAND, tasks_of((3,)))
    stacked = next(x for x in kept if isinstance(x, StackedTensor))
    assert "StackedTensor" in repr(stacked)
    for use in (lambda: stacked + 1, lambda: stacked.sum().backward(), lambda: torch.ones(3, 4) * stacked):
        with pytest.raises(UnsupportedError, match="kept a tensor beyond its evaluation"):
            use()
