"""Tasks whose loss is not vectorised, compiled: one task's operations are recorded once, and called for every task."""

import pytest

import metaspec as ms

torch = pytest.importorskip("torch")

from .programs import RATE, STEPS, close, mse, nn, unrolled  # noqa: E402

ALGO = ms.MAML(ms.GradientDescent(RATE, STEPS))


def convolutional():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(9, 1)).double()
    return net, ms.from_model(net, mse)


def pictures(count):
    draw = torch.Generator().manual_seed(count)
    shapes = {"x": (2, 5), "y": (1,)}
    parts = [
        {name: torch.randn(count, 4, *shape, dtype=torch.float64, generator=draw) for name, shape in shapes.items()}
        for _ in range(2)
    ]
    return ms.Task(*parts)


def rows(tasks):
    return [ms.Task(*({k: x[i] for k, x in part.items()} for part in tasks)) for i in range(len(tasks.support["x"]))]


def truth(net, tasks):
    found = [unrolled(net, mse, task) for task in rows(tasks)]
    return {name: sum(tree[name] for tree in found) / len(found) for name in found[0]}


@pytest.mark.parametrize("chunk_size", [None, 3])
def test_compiled_convolutions_are_backpropagation(chunk_size):
    net, m = convolutional()
    f = ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, m.loss, p, t, chunk_size=chunk_size))
    for count in (7, 2):
        tasks = pictures(count)
        r = f(m.params, tasks)
        close(r.delta, truth(net, tasks))
        each = [ms.meta_gradient(ALGO, m.loss, m.params, task) for task in rows(tasks)]
        close(r.adapted, {name: torch.stack([one.adapted[name] for one in each]) for name in m.params})


def test_the_loss_is_recorded_once_for_all_tasks():
    m = convolutional()[1]
    calls = []

    def counted(params, batch):
        calls.append(torch.is_tensor(batch["x"]))
        return m.loss(params, batch)

    f = ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, counted, p, t))
    counts = []
    for size in (3, 3, 4, 9):  # the first call finds out that the loss is a convolution's
        calls.clear()
        f(m.params, pictures(size))
        counts.append(len(calls))
    assert counts[1:] == [0, STEPS + 1, STEPS + 1]


def test_what_tasks_share_is_computed_outside_and_may_differ_from_call_to_call():
    m = convolutional()[1]
    tasks, shift = pictures(5), torch.tensor(0.25, dtype=torch.float64)

    def shifted(params, tasks, c):
        start = {name: leaf + c * c for name, leaf in params.items()}
        return ms.batch_meta_gradient(ALGO, lambda p, b: m.loss(p, b) * (1 + c), start, tasks).delta

    f = ms.compile(shifted)
    for c in (shift, 2 * shift):
        moved, loss = convolutional()[0], lambda model, batch, c=c: (1 + c) * mse(model, batch)
        with torch.no_grad():
            for leaf in moved.parameters():
                leaf += c * c
        found = [unrolled(moved, loss, task) for task in rows(tasks)]
        close(f(m.params, tasks, c), {name: sum(tree[name] for tree in found) / 5 for name in m.params})


def test_a_derivative_around_the_tasks_goes_through_each():
    m = convolutional()[1]
    tasks, h = pictures(3), 1e-6

    def value(c, tasks):
        start = {name: c * leaf.detach() for name, leaf in m.params.items()}
        return ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(RATE, 1)), m.loss, start, tasks).query_loss

    def slope(c, tasks):
        return ms.get_backend("torch").grad(value)(c, tasks)

    c = torch.tensor(0.8, dtype=torch.float64)
    expected = (value(c + h, tasks) - value(c - h, tasks)) / (2 * h)
    torch.testing.assert_close(ms.compile(slope)(c, tasks), expected, rtol=1e-8, atol=0.0)


def test_tasks_within_a_task():
    m = convolutional()[1]
    tasks = pictures(3)

    def loss(params, batch):
        inside = ms.Task(*[{name: torch.stack([x, 0.5 * x]) for name, x in batch.items()}] * 2)
        r = ms.batch_meta_gradient(ms.FOMAML(ms.GradientDescent(RATE, 1)), m.loss, params, inside)
        return m.loss(params, batch) + r.query_loss

    def delta(params, tasks):
        return ms.batch_meta_gradient(ALGO, loss, params, tasks).delta

    close(ms.compile(delta)(m.params, tasks), delta(m.params, tasks))


LAYERS = {  # all have backward passes with lists of booleans, which TorchScript's tracing does not take
    "convolution": [nn.Conv1d(2, 3, 3)],
    "transposed": [nn.ConvTranspose1d(2, 3, 3)],
    "batch normalisation": [nn.Conv1d(2, 3, 3, bias=False), nn.BatchNorm1d(3, track_running_stats=False)],
    "group normalisation": [nn.Conv1d(2, 4, 3), nn.GroupNorm(2, 4)],
}


@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS)
def test_torchscript_takes_the_layer(layers, caplog):
    caplog.set_level("INFO", logger="metaspec")
    torch.manual_seed(0)
    net = nn.Sequential(*layers, nn.Tanh(), nn.Flatten(), nn.LazyLinear(1)).double()
    tasks = pictures(2)
    net(tasks.support["x"][0])
    m = ms.from_model(net, mse)
    found = ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, m.loss, p, t))(m.params, tasks)
    close(found.delta, truth(net, tasks))
    assert "TorchScript does not take" not in caplog.text


def test_writing_to_a_task_is_refused():
    def loss(params, batch):
        batch["x"].mul_(2)
        return nn.functional.conv1d(batch["x"], params["w"]).square().mean()

    params = {"w": torch.ones(3, 2, 3, dtype=torch.float64)}
    with pytest.raises(ms.errors.MutationError):
        ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, loss, p, t))(params, pictures(3))


def test_native_code_of_one_task_serves_all():
    net, m = convolutional()
    tasks = pictures(3)
    f = ms.compile(lambda p, t: ms.batch_meta_gradient(ALGO, m.loss, p, t), tier="native")
    close(f(m.params, tasks).delta, truth(net, tasks))


@pytest.mark.parametrize(("features", "chunk"), [(3, 2), (40_000, None)])  # the latter's parameters fill a chunk
def test_a_chunk_of_tasks_is_recorded_once(features, chunk):
    calls = []

    def loss(params, batch):
        calls.append(1)
        return (torch.tanh(batch["x"] @ params["w"]) - batch["y"]).square().mean()

    def step(params, tasks):
        return ms.batch_meta_gradient(ALGO, loss, params, tasks, chunk_size=chunk)

    params = {"w": torch.linspace(-1, 1, 4 * features, dtype=torch.float64).reshape(features, 4).sin() / features}
    counts = []
    for count in (4, 8):
        x = torch.linspace(-1, 1, count * 2 * features, dtype=torch.float64).reshape(count, 2, features).sin()
        tasks = ms.Task({"x": x, "y": x[:, :, :1]}, {"x": x.flip(0), "y": x[:, :, 1:2]})
        wanted = step(params, tasks)
        calls.clear()
        found = ms.compile(step)(params, tasks)
        counts.append(len(calls))
        close(found.delta, wanted.delta)
        close(found.adapted, wanted.adapted)
        torch.testing.assert_close(found.query_loss, wanted.query_loss)
    assert counts[0] == counts[1]
