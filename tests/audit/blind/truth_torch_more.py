"""What is known of code/torch_pairs.py, torch_modules.py and torch_libraries.py."""

import numpy as np

from tests.audit.blind import plain
from tests.audit.blind.plain import SIZE, Asked, Batch, Program, Tasks, Vector, gradient, joined, only
from tests.audit.blind.truth import ANY, FAILED, OUTSIDE, ROUNDED, Truth, some

PAIRS, MODULES, LIBRARIES = "torch_pairs", "torch_modules", "torch_libraries"


def entries(batch: Batch) -> float:
    return float(batch[1].size)


def moved(direction: plain.Callable[[], plain.Direction]) -> plain.Oracle:
    """MAML through an inner optimiser, exactly."""
    return plain.of_objective(
        lambda theta, support, query, asked: plain.loss(plain.path(theta, support, asked, direction)[-1], query)
    )


def per_layer(theta: Vector, support: Batch, query: Batch, asked: Asked) -> float:
    rates = only("w1", "b1") + 0.1 * only("w2", "b2")
    return plain.loss(plain.path(theta, support, asked, lambda: lambda g, _: rates * g)[-1], query)


def falling_rate(theta: Vector, support: Batch, query: Batch, asked: Asked) -> float:
    for k in range(asked.steps):
        theta = theta - asked.lr / (k + 1) * gradient(theta, support)
    return plain.loss(theta, query)


def piled_up(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    found = []
    for support, query in tasks:
        theta, pile = phi, np.zeros(SIZE)
        for _ in range(asked.steps):
            pile = pile + gradient(theta, support)
            theta = theta - asked.lr * pile
        found.append(pile + gradient(theta, query))
    return np.mean(found, axis=0)


def one_by_one(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    here = phi
    for task in tasks:
        here = here + asked.outer_lr * (plain.path(here, joined(*task), asked)[-1] - here)
    return (phi - here) / asked.outer_lr


CLIPPED = {"inner_optimizer": lambda name: name in {"clipped", "normalised"}}
TRUTHS = [
    Truth(
        PAIRS,
        "first_order_summed",
        "first order, sum over tasks",
        "maml",
        Program("fomaml", weights=plain.total),
        "fomaml",
        ("algorithm", "task-sum"),
    ),
    Truth(
        PAIRS,
        "swapped_one_fewer",
        "support and query exchanged, a step too few",
        "maml",
        Program("maml", inner="query", outer="support", steps=lambda k: k - 1),
        "maml",
        ("inner-data", "outer-data", "steps"),
        {"steps": 2, "inner_data": "query", "outer_data": "support"},
    ),
    Truth(
        PAIRS,
        "rate_twice_last_graph",
        "the rate squared, the last step differentiated",
        "maml",
        Program("maml", rate=lambda lr: lr**2, factors=lambda k, count: k == count - 1),
        "maml",
        ("inner-rate", "partial-second-order"),
        {"differentiated": [False, False, True]},
    ),
    Truth(
        PAIRS,
        "support_twice_summed",
        "judged on the support set, sum over tasks",
        "maml",
        Program("maml", outer="support", weights=plain.total),
        "maml",
        ("outer-data", "task-sum"),
    ),
    Truth(
        PAIRS,
        "single_precision_first_order",
        "first order in float32",
        "maml",
        Program("fomaml"),
        "fomaml",
        ("algorithm", "precision"),
        {"precision": "float32"},
        ROUNDED,
        digits=5,
    ),
    Truth(
        PAIRS,
        "summed_inner_first_order",
        "first order with a summed inner loss",
        "fomaml",
        Program("fomaml", inner_factor=entries),
        "fomaml",
        ("inner-sum",),
        {"inner_reduction": "sum over entries"},
    ),
    Truth(
        PAIRS,
        "summed_outer_over_tasks",
        "a summed query loss, sum over tasks",
        "maml",
        Program("maml", outer_factor=entries, weights=plain.total),
        "maml",
        ("outer-sum", "task-sum"),
    ),
    Truth(
        PAIRS,
        "two_of_four",
        "ANIL of first order",
        "maml",
        Program("fomaml", adapted=only("b2", "w2")),
        "fomaml",
        ("algorithm", "leaf-frozen"),
        {"frozen": some("b1", "w1")},
    ),
    Truth(
        PAIRS,
        "leaf_lost_first_step_graph",
        "the first step differentiated, a leaf not returned",
        "maml",
        Program("maml", factors=lambda k, count: k == 0, returned=only("b2", "w1", "w2")),
        "maml",
        ("leaf-ignored", "partial-second-order"),
        {"ignored": ["b1"], "differentiated": [True, False, False]},
    ),
    Truth(
        PAIRS,
        "momentum",
        "first order, momentum inside",
        "fomaml",
        Program("fomaml", direction=plain.momentum(0.9)),
        "fomaml",
        ("inner-optimizer",),
        {"inner_optimizer": "momentum"},
    ),
    Truth(
        PAIRS,
        "clipped_second_order",
        "MAML with clipping inside",
        "maml",
        moved(plain.clipped(0.05)),
        "maml",
        ("inner-optimizer",),
        CLIPPED,
    ),
    Truth(
        PAIRS,
        "unit_length",
        "first order, gradients of length 1",
        "fomaml",
        Program("fomaml", direction=plain.normalised),
        "fomaml",
        ("inner-optimizer",),
        {"inner_optimizer": "normalised"},
    ),
    Truth(
        PAIRS,
        "signs",
        "first order, signs of gradients",
        "fomaml",
        Program("fomaml", direction=plain.signs),
        "fomaml",
        ("inner-optimizer",),
        {"inner_optimizer": "sign"},
    ),
    Truth(
        PAIRS,
        "decayed",
        "MAML with weight decay inside",
        "maml",
        moved(plain.decaying(0.05)),
        "maml",
        ("inner-optimizer",),
        {"inner_optimizer": "weight decay"},
    ),
    Truth(
        PAIRS,
        "adam",
        "first order, Adam inside",
        "fomaml",
        Program("fomaml", direction=plain.adam),
        "fomaml",
        ("inner-optimizer",),
        {"inner_optimizer": "adam"},
    ),
    Truth(
        PAIRS,
        "per_layer_rates",
        "MAML, the head at a tenth of the rate",
        "maml",
        plain.of_objective(per_layer),
        "maml",
        ("inner-rate",),
        {"rate_per": "leaf"},
    ),
    Truth(
        PAIRS,
        "decaying_rate",
        "MAML, a rate that falls",
        "maml",
        plain.of_objective(falling_rate),
        "maml",
        ("inner-rate",),
    ),
    Truth(MODULES, "clones", "MAML on clones", "maml", Program("maml"), "maml"),
    Truth(MODULES, "clones_first_order", "first order on clones", "fomaml", Program("fomaml"), "fomaml"),
    Truth(MODULES, "clones_first_order", "the same as MAML", "maml", Program("fomaml"), "fomaml", ("algorithm",)),
    Truth(
        MODULES,
        "clones_summed",
        "MAML on clones, sum over tasks",
        "maml",
        Program("maml", weights=plain.total),
        "maml",
        ("task-sum",),
    ),
    Truth(MODULES, "deep_copies", "first order on deep copies", "fomaml", Program("fomaml"), "fomaml"),
    Truth(MODULES, "deep_copies", "the same, nothing claimed", None, Program("fomaml"), "fomaml"),
    Truth(
        MODULES,
        "never_zeroed",
        "gradients pile up over the steps",
        "fomaml",
        piled_up,
        ("fomaml", "maml", "reptile", None),
        ("unexplained",),
        verdicts=OUTSIDE,
    ),
    Truth(
        MODULES,
        "no_copy",
        "the model runs on from task to task",
        "fomaml",
        Program("fomaml", carried=True),
        "fomaml",
        ("task-state",),
        {"carried": "parameters"},
    ),
    Truth(
        MODULES,
        "reptile",
        "Reptile",
        "reptile",
        Program("reptile", inner="both"),
        "reptile",
        found={"result": "params"},
    ),
    Truth(
        MODULES,
        "reptile_adam",
        "Reptile, one Adam for all tasks",
        "reptile",
        Program("reptile", inner="both", direction=plain.adam, optimizer_outlives_task=True),
        "reptile",
        ("inner-optimizer", "task-state"),
        {"inner_optimizer": "adam", "carried": "state"},
    ),
    Truth(
        MODULES,
        "reptile_one_by_one",
        "serial Reptile",
        "reptile",
        one_by_one,
        ("reptile", None),
        ("task-state", "task-sum?", "unexplained?"),
        verdicts=ANY,
    ),
    Truth(MODULES, "functional_call", "MAML by torch.func", "maml", Program("maml"), "maml"),
    Truth(
        MODULES,
        "functional_call_detached",
        "first order by torch.func, sum over tasks",
        "maml",
        Program("fomaml", weights=plain.total),
        "fomaml",
        ("algorithm", "task-sum"),
    ),
    Truth(
        MODULES,
        "implicit",
        "iMAML with conjugate gradients",
        "imaml",
        Program("imaml", solve=plain.conjugate_gradients(lambda asked: asked.cg_steps)),
        "imaml",
        found={"solver": "conjugate gradients"},
    ),
    Truth(
        MODULES,
        "implicit_not_proximal",
        "iMAML without the proximal term",
        "imaml",
        Program("imaml", proximal=False, solve=plain.conjugate_gradients(lambda asked: asked.cg_steps)),
        "imaml",
        ("proximal-missing",),
    ),
    Truth(
        MODULES,
        "parameters_put_back",
        "first order that leaves batch-norm's statistics changed",
        "fomaml",
        None,
        "fomaml",
        ("buffers-changed",),
        options={"problem": "batch_norm"},
    ),
    Truth(
        MODULES,
        "copies_in_training_mode",
        "first order with dropout",
        "fomaml",
        None,
        ("fomaml", None),
        ("random", "unexplained?", "globals-changed?"),
        verdicts=OUTSIDE,
        options={"problem": "dropout"},
    ),
    Truth(LIBRARIES, "higher_loop", "MAML with higher", "maml", Program("maml"), "maml"),
    Truth(LIBRARIES, "higher_untracked", "first order with higher", "fomaml", Program("fomaml"), "fomaml"),
    Truth(LIBRARIES, "higher_untracked", "the same as MAML", "maml", Program("fomaml"), "fomaml", ("algorithm",)),
    Truth(LIBRARIES, "higher_copies", "gradients to a copy", "maml", None, None, ("none",), verdicts=FAILED),
    Truth(
        LIBRARIES,
        "higher_detached",
        "higher with detached gradients, sum over tasks",
        "maml",
        Program("fomaml", weights=plain.total),
        "fomaml",
        ("algorithm", "task-sum"),
    ),
    Truth(LIBRARIES, "meta_sgd", "MAML with torchopt", "maml", Program("maml"), "maml"),
    Truth(LIBRARIES, "meta_sgd_stopped", "first order with torchopt", "fomaml", Program("fomaml"), "fomaml"),
]
