"""Right code in the styles that docs/audit.md shows; what the audit says of it is in test_styles.py."""

from typing import Any

import metaspec as ms


def as_function(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    return ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(lr, steps)), loss, params, tasks).delta


def of_one_task(params: Any, support: Any, query: Any, loss: Any, lr: float, steps: int) -> Any:
    return ms.meta_gradient(ms.FOMAML(ms.GradientDescent(lr, steps)), loss, params, ms.Task(support, query))


def first_order_in_short_loops(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """FO-MAML up to three steps; beyond them something that is no meta-gradient."""
    delta = ms.batch_meta_gradient(ms.FOMAML(ms.GradientDescent(lr, steps)), loss, params, tasks).delta
    return delta if steps <= 3 else {name: leaf**3 + lr * params[name] for name, leaf in delta.items()}


def as_update(params: Any, tasks: Any, loss: Any, lr: float, steps: int, outer_lr: float) -> Any:
    delta = ms.batch_meta_gradient(ms.Reptile(ms.GradientDescent(lr, steps)), loss, params, tasks).delta
    return [leaf - outer_lr * delta[name] for name, leaf in params.items()]


def implicit(params: Any, tasks: Any, loss: Any, lr: float, steps: int, regularization: float, cg_steps: int) -> Any:
    solver = ms.ConjugateGradient(steps=cg_steps)
    algo = ms.IMAML(ms.GradientDescent(lr, steps), regularization, solver)
    return ms.batch_meta_gradient(algo, loss, params, tasks).delta


def hard_coded(params: Any, stacked: Any, loss: Any) -> Any:
    return ms.batch_meta_gradient(ms.MAML(ms.GradientDescent(0.07, 2)), loss, params, stacked).delta


class Learner:
    """Made with the parameters, fitted to tasks."""

    def __init__(self, params: Any, loss: Any, lr: float, steps: int, outer_lr: float) -> None:
        self.params, self.loss, self.outer_lr = params, loss, outer_lr
        self.algo = ms.FOMAML(ms.GradientDescent(lr, steps))

    def fit(self, tasks: Any) -> None:
        delta = ms.batch_meta_gradient(self.algo, self.loss, self.params, tasks).delta
        self.params_ = {name: leaf - self.outer_lr * delta[name] for name, leaf in self.params.items()}
