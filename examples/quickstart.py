"""One portable loss, any backend: METASPEC_BACKEND=numpy|torch|jax|tensorflow python examples/quickstart.py."""

import os
from statistics import median
from typing import Any

import metaspec as ms
from metaspec import data, nn

STEPS = 300


def main() -> tuple[float, float]:
    """Meta-trains a sinusoid network; returns the median loss on held-out tasks before and after adaptation."""
    if "METASPEC_BACKEND" not in os.environ:
        ms.set_backend("numpy")
    net = nn.MLP((1, 40, 40, 1), activation=nn.tanh)  # net.loss is a pure function of arrays, of any framework
    algo = ms.MAML(ms.GradientDescent(lr=0.05, steps=2))
    source = data.Sinusoid(shots=10, queries=10)

    @ms.compile
    def step(params: dict[str, Any], tasks: ms.Task) -> tuple[dict[str, Any], Any]:
        r = ms.batch_meta_gradient(algo, net.loss, params, tasks)
        return {name: params[name] - 0.02 * r.delta[name] for name in params}, r.query_loss

    params = ms.asarray(net.init(seed=0))  # NumPy parameters, the same bits whatever the backend
    history = []
    for k in range(STEPS):
        params, query_loss = step(params, ms.asarray(source.batch(step=k, size=25)))
        history.append(float(query_loss))
    first, last = (sum(part) / len(part) for part in (history[:20], history[-20:]))
    print(f"{ms.get_backend().name}: query loss after adaptation, mean of 20 steps, {first:.4f} -> {last:.4f}")

    losses = []
    for i in range(20):
        held_out = ms.asarray(data.Sinusoid(stream="test").task(i))
        adapted = ms.adapt(algo, net.loss, params, held_out.support)
        losses.append([float(net.loss(theta, held_out.query)) for theta in (params, adapted)])
    before, after = map(median, zip(*losses, strict=True))
    print(f"20 held-out tasks: median loss {before:.4f} before, {after:.4f} after adaptation")
    return before, after


if __name__ == "__main__":
    main()
