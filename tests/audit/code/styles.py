"""Right code in the styles that docs/audit.md shows; what the audit says of it is in test_styles.py."""

from typing import Any

import numpy as np

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


def middle_of_the_tasks(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """The median over tasks of MAML's meta-gradients, entry by entry."""
    maml = ms.MAML(ms.GradientDescent(lr, steps))
    each = [ms.meta_gradient(maml, loss, params, task).delta for task in tasks]
    return {name: np.median([delta[name] for delta in each], axis=0) for name in params}


def divided_on_the_way(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """The division by the number of tasks is inside of the loop."""
    maml = ms.MAML(ms.GradientDescent(lr, steps))
    total = {name: 0 * leaf for name, leaf in params.items()}
    for task in tasks:
        delta = ms.meta_gradient(maml, loss, params, task).delta
        total = {name: (leaf + delta[name]) / len(tasks) for name, leaf in total.items()}
    return total


def clipped(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    """The meta-gradient, never longer than a tenth."""
    delta = as_function(params, tasks, loss, lr, steps)
    norm = np.sqrt(sum(np.sum(leaf * leaf) for leaf in delta.values()))
    return {name: leaf * min(1, 0.1 / norm) for name, leaf in delta.items()}


def in_place(params: Any, tasks: Any, loss: Any, lr: float, steps: int, outer_lr: float) -> None:
    """The outer step is taken in the parameters that are given."""
    delta = as_function(params, tasks, loss, lr, steps)
    for name in params:
        params[name] -= outer_lr * delta[name]
