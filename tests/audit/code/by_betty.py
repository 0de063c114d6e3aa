"""Meta-learning as the users of Betty write it, on the real package: a problem for each level, and an engine."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from betty.configs import Config, EngineConfig
from betty.engine import Engine
from betty.problems import ImplicitProblem


class Outer(ImplicitProblem):
    """The meta-parameters: the query loss of what the inner problem has found."""

    def training_step(self, batch: Any) -> Any:
        x, y = batch
        return self.score(self.inner(x), y)

    def custom_optimizer_step(self) -> None:
        for total, p in zip(self.totals, self.module.parameters(), strict=True):
            total += p.grad


class Inner(ImplicitProblem):
    """One task: the support loss and the proximal term, from the meta-parameters on."""

    def training_step(self, batch: Any) -> Any:
        x, y = batch
        pairs = zip(self.module.parameters(), self.outer.module.parameters(), strict=True)
        return self.score(self.module(x), y) + self.strength / 2 * sum(torch.sum((t - p) ** 2) for t, p in pairs)

    def on_inner_loop_start(self) -> None:
        self.module.load_state_dict(self.outer.module.state_dict())


def by_betty(estimator: str) -> Callable[..., Any]:
    """A meta-training step with one of Betty's estimators of the implicit derivative: "cg", "neumann" or "darts"."""

    def step(
        model: Any, tasks: Any, loss_fn: Any, lr: float, steps: int, regularization: float, cg_steps: int
    ) -> list[Any]:
        totals = [torch.zeros_like(p) for p in model.parameters()]
        for support, query in tasks:
            theta = copy.deepcopy(model)
            counts = {"cg_iterations": cg_steps, "neumann_iterations": cg_steps, "neumann_alpha": 0.2}
            inner = Inner(
                "inner",
                Config(type=estimator, unroll_steps=steps, **counts),
                theta,
                torch.optim.SGD(theta.parameters(), lr=lr),
                train_data_loader=[tuple(support)],
            )
            outer = Outer("outer", Config(), model, train_data_loader=[tuple(query)])
            inner.score = outer.score = loss_fn
            inner.strength, outer.totals = regularization, totals
            links = {"u2l": {outer: [inner]}, "l2u": {inner: [outer]}}
            Engine([outer, inner], EngineConfig(train_iters=steps), links).run()
        return [total / len(tasks) for total in totals]

    return step
