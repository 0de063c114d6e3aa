"""Losses in users' style, written at random from NumPy's functions: plain NumPy, differences, and every form agree."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import metaspec as ms
from metaspec_numpy import tracer

N, D, H = 4, 3, 5

# Statements on h, of shape N x H, and losses of h
HIDDEN = """
h = np.tanh(h)
h = np.sin(h) + 0.1 * h
h = np.log1p(np.exp(h))
h = h / (1 + np.abs(h))
h += p['b']
h -= h.mean(axis=0)
h *= 0.7
h = h / np.sqrt(np.var(h, axis=1, keepdims=True) + 0.3)
h = np.arctan(h) * 1.3
h = h - np.max(h, axis=1, keepdims=True)
h = np.exp(-h**2)
h[:, 0] = h[:, 1] * h[:, 2]
h[1:] += 0.3 * h[:-1]
h = np.concatenate([h[:, 2:], h[:, :2]], axis=1)
h = np.stack([row * (i + 1) for i, row in enumerate(h)])
h = np.hstack([h[:, :2], np.cos(h[:, 2:])])
h = np.einsum('ij,kj,kl->il', h, h, h) * 0.05
h = h @ p['s']
h = np.clip(h, -4.0, 4.0)
h = np.where(b['x'][:, :1] > 0, h, 0.3 * h)
h = np.linalg.solve(G + 0.1 * p['s'], h.T).T
h = np.cumsum(h, axis=1) * 0.4
h = h.T.reshape(N, H)
h = h.reshape(2, -1, H).transpose(1, 0, 2).reshape(N, H)
h = np.roll(h, 1, axis=1) * 0.5 + h
h = np.apply_along_axis(lambda r: r * np.linalg.norm(r), 1, h)
g = h[::2]; g *= 1.5; h[0] = g[1]
h = np.logaddexp(h, 0.0)
h = np.hypot(h, 0.5)
h = np.cbrt(h * h + 1)
h = 0.3 * h + 0.7 * np.sin(h)
h = h * np.repeat(p['v'][:1], H)
h = np.kron(h, np.ones((1, 1)))
h = h[[2, 0, 1, 3]]
h = np.take(h, b['i'], axis=0)
h = np.pad(h[:, 1:], ((0, 0), (0, 1)), mode='edge')
h = np.diff(h, axis=1, append=h[:, :1])
c = h; c += 0.2; h = h * c
h = h.copy(); h[h.shape[0] // 2, :] *= -1
h = special.expit(h) - special.erf(0.3 * h)
h = np.interp(h, KNOTS, HEIGHTS) + h
h = np.outer(h[:, 0], h[0]) + h
h = np.add.outer(h[:, 1], h[1]) * 0.3
for row in h: row -= 0.1 * row.sum()
h = np.array_split(h, 2)[0].repeat(2, axis=0)
h = np.multiply(h, 2.0, out=h)
h = np.select([b['x'][:, :1] > 0.5], [h * 2], h)
u, s, vt = np.linalg.svd(h + 2 * np.eye(N, H), full_matrices=False); h = h + 0.1 * s.sum()
h = np.flip(h, 1) + h**3 * 0.01
h = h.astype(np.float64).clip(-5, 5)
h = np.convolve(h.ravel(), p['v'], 'same').reshape(N, H)
h = np.sort(h, axis=1)
h = np.nan_to_num(h) * np.sign(p['v'][0])
h = np.vstack([h[:1] * 2, h[1:]])
h = np.tril(h) + h
h = h % 7.0 + h
""".strip().splitlines()
HEADS = """
np.mean((h @ p['v2'] - b['y']) ** 2)
np.sum(np.abs(h @ p['v2'] - b['y']) ** 1.5)
np.median((h - 0.2) ** 2)
np.log(np.sum(np.exp(h))) - np.mean(h[np.arange(N), b['i']])
np.mean(np.log1p((h @ p['v2'] - b['y']) ** 2))
np.linalg.norm(h - 0.1, 'fro')
np.linalg.slogdet(h @ h.T + np.eye(N))[1]
np.std(h) + 0.1 * np.linalg.norm(p['v'], 1)
np.quantile(h, 0.3) ** 2 + np.mean(h**2)
np.trapezoid(h[0]) ** 2 + np.var(h, ddof=1)
np.mean(np.maximum(h, 0.013) ** 2)
np.average((h**2).mean(axis=1), weights=np.exp(b['y']))
np.nanmean(h**2)
np.prod(1.2 + 0.1 * np.tanh(h))
sum((h @ p['v2'] - b['y']) ** 2) / len(h)
np.dot(h[:, 0], h[:, 1]) + np.ptp(h) ** 2
np.trace(h @ h.T) / h.size
""".strip().splitlines()
NAMES: dict[str, Any] = {
    "np": np, "N": N, "H": H, "special": pytest.importorskip("scipy.special"), "G": 3.0 * np.eye(H),
    "KNOTS": np.array([-2.13, -0.71, 0.37, 1.93]), "HEIGHTS": np.array([0.2, 1.1, -0.4, 0.9]),
}  # fmt: skip


def draw(seed: int) -> tuple[str, Callable[[Any, Any], Any]]:
    rng = random.Random(seed)
    body = ["h = b['x'] @ p['w']", *rng.sample(HIDDEN, rng.randint(2, 6))]
    lines = "\n    ".join([*body, f"return {rng.choice(HEADS)} + 0.01 * np.sum(p['v'] ** 2)"])
    source = f"def loss(p, b):\n    {lines}\n"
    scope = dict(NAMES)
    exec(source, scope)
    return source, scope["loss"]


def data(seed: int) -> tuple[dict[str, Any], list[ms.Task]]:
    rng = np.random.default_rng(seed)

    def batch() -> dict[str, Any]:
        return {"x": rng.normal(size=(N, D)), "y": rng.normal(size=N), "i": rng.permutation(N)}

    params = {
        "w": rng.normal(size=(D, H)) * 0.7, "b": rng.normal(size=H) * 0.3, "v": rng.normal(size=3) * 0.5 + 1.0,
        "v2": rng.normal(size=H) * 0.5, "s": rng.normal(size=(H, H)) * 0.4,
    }  # fmt: skip
    return params, [ms.Task(batch(), batch()) for _ in range(2)]


def check(seed: int) -> None:
    source, loss = draw(seed)
    params, tasks = data(seed)
    names = list(params)
    flat = lambda p: np.concatenate([p[k].ravel() for k in names])  # noqa: E731
    query, direction = tasks[0].query, data(seed + 1)[0]

    def along(h: float) -> Any:
        p = {k: params[k] + h * direction[k] for k in names}
        return loss({k: v.copy() for k, v in p.items()}, {k: v.copy() for k, v in query.items()})

    plain = ms.meta_gradient(ms.MAML(ms.GradientDescent(0.02, 0)), loss, params, tasks[0])
    assert abs(float(plain.query_loss) - along(0.0)) <= 1e-11 * max(1.0, abs(along(0.0))), source
    slope = np.dot(flat(plain.delta), flat(direction))
    tables = [(along(h) - along(-h)) / (2 * h) for h in (4e-5, 2e-5, 1e-5)]
    scale = max(1.0, float(np.linalg.norm(flat(plain.delta))) * float(np.linalg.norm(flat(direction))))
    if abs(tables[0] - tables[1]) < 1e-6 * scale:  # no kink within reach
        assert abs(slope - tables[2]) < 3e-6 * scale, f"{slope} {tables}\n{source}"
    algo = ms.MAML(ms.GradientDescent(0.001, 2))
    singly = [ms.meta_gradient(algo, loss, params, task) for task in tasks]
    compiled = ms.compile(lambda p, t: ms.meta_gradient(algo, loss, p, t))
    batched = ms.batch_meta_gradient(algo, loss, params, tasks)
    large = max(1.0, *(float(np.abs(flat(r.delta)).max()) for r in singly))
    for task, r in zip(tasks, singly, strict=True):
        assert np.abs(flat(compiled(params, task).delta) - flat(r.delta)).max() < 1e-9 * large, source
    mean = (flat(singly[0].delta) + flat(singly[1].delta)) / 2
    assert np.abs(flat(batched.delta) - mean).max() < 1e-9 * large, source

    def gradient(w: Any) -> Any:
        return tracer.vjp(lambda w: loss(params | {"w": w}, query), w)[1](np.ones(()))[0]

    w, t = params["w"], direction["w"]
    forward = tracer.jvp(gradient, [w], [t])[1]
    step = 1e-5
    second = [(gradient(w + h * t) - gradient(w - h * t)) / (2 * h) for h in (2 * step, step)]
    bound = max(1.0, float(np.abs(second[1]).max()))
    if np.abs(second[0] - second[1]).max() < 1e-6 * bound:
        assert np.abs(forward - second[1]).max() < 1e-5 * bound, source


@pytest.mark.parametrize("seeds", range(30))
def test_random_losses(seeds: int) -> None:
    for seed in range(10 * seeds, 10 * seeds + 10):
        check(seed)


@pytest.mark.soak
@pytest.mark.parametrize("seeds", range(30, 130))
def test_more_random_losses(seeds: int) -> None:
    for seed in range(10 * seeds, 10 * seeds + 10):
        check(seed)
