"""Meta-learning as the users of learn2learn write it, on the real package."""

from typing import Any

import learn2learn as l2l
import torch


def by_learn2learn(model: Any, tasks: Any, loss_fn: Any, lr: float, steps: int) -> None:
    maml = l2l.algorithms.MAML(model, lr=lr)
    for (xs, ys), (xq, yq) in tasks:
        learner = maml.clone()
        for _ in range(steps):
            learner.adapt(loss_fn(learner(xs), ys))
        (loss_fn(learner(xq), yq) / len(tasks)).backward()


def by_learn2learn_anil(model: Any, tasks: Any, loss_fn: Any, lr: float, steps: int) -> None:
    features, maml = model[:2], l2l.algorithms.MAML(model[2], lr=lr)
    for (xs, ys), (xq, yq) in tasks:
        head = maml.clone()
        for _ in range(steps):
            head.adapt(loss_fn(head(features(xs)), ys))
        (loss_fn(head(features(xq)), yq) / len(tasks)).backward()


def by_learn2learn_meta_sgd(model: Any, tasks: Any, loss_fn: Any, rates: Any, steps: int) -> Any:
    meta = l2l.algorithms.MetaSGD(model, lr=1.0)
    for held, given in zip(meta.lrs, rates, strict=True):
        held.data.copy_(given)
    for (xs, ys), (xq, yq) in tasks:
        learner = meta.clone()
        for _ in range(steps):
            learner.adapt(loss_fn(learner(xs), ys))
        (loss_fn(learner(xq), yq) / len(tasks)).backward()
    return [p.grad for p in model.parameters()], [torch.clone(r.grad) for r in meta.lrs]
