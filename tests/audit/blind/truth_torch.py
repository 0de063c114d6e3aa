"""What is known of code/torch_functional.py."""

from functools import partial

import numpy as np

from tests.audit.blind import plain
from tests.audit.blind.plain import SIZE, Asked, Batch, Program, Tasks, Vector, gradient, hessian, only
from tests.audit.blind.truth import ANY, OUTSIDE, ROUNDED, Truth, about, some

M, SLIPS = "torch_functional", "torch_slips"


def fixed(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    return Program("maml")(phi, tasks, Asked(lr=0.05, steps=2))


def from_initial(theta: Vector, support: Batch, query: Batch, asked: Asked) -> float:
    fast = theta
    for _ in range(asked.steps):
        fast = theta - asked.lr * gradient(fast, support)
    return plain.loss(fast, query)


def chained(
    phi: Vector, tasks: Tasks, asked: Asked, differentiated: Vector, judged: Vector, returned: Vector
) -> Vector:
    """MAML whose Hessian terms exist on some entries, whose query gradient and whose result are seen on some."""
    found = []
    for support, query in tasks:
        path = plain.path(phi, support, asked)
        v = judged * gradient(path[-1], query)
        for theta in path[-2::-1]:
            v = v - asked.lr * hessian(theta, support) @ (differentiated * v)
        found.append(returned * v)
    return np.mean(found, axis=0)


def biases_first_order(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    return chained(phi, tasks, asked, only("w1", "w2"), np.ones(SIZE), np.ones(SIZE))


def query_without_bias(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    rest = only("b1", "w1", "w2")
    return chained(phi, tasks, asked, np.ones(SIZE), rest, rest)


def every_step(theta: Vector, support: Batch, query: Batch, asked: Asked) -> float:
    return np.mean([plain.loss(t, query) for t in plain.path(theta, support, asked)[1:]])


def before_and_after(theta: Vector, support: Batch, query: Batch, asked: Asked) -> float:
    path = plain.path(theta, support, asked)
    return (plain.loss(path[0], query) + plain.loss(path[-1], query)) / 2


def entries(batch: Batch) -> float:
    return float(batch[1].size)


def examples(batch: Batch) -> float:
    return float(len(batch[1]))


def first(queries: list[Batch]) -> list[float]:
    return [1.0] + [0.0] * (len(queries) - 1)


def maml(
    name: str, does: str, faults: tuple[str, ...] = (), claim: str | None = "maml", module: str = M, **fields: object
) -> Truth:
    """MAML with faults that leave it MAML; what `Program` takes goes there."""
    truth = {k: fields.pop(k) for k in ("found", "verdicts", "options", "digits", "oracle", "algorithm") if k in fields}
    rest = {"oracle": Program("maml", **fields), "algorithm": "maml"} | truth
    return Truth(module, name, does, claim, faults=faults, **rest)


slip = partial(maml, module=SLIPS)


TRUTHS = [
    maml("maml", "MAML"),
    maml("maml_total", "MAML, the sum over tasks, as claimed", weights=plain.total, options={"reduction": "sum"}),
    maml("maml_fixed", "MAML with numbers of its own", oracle=fixed, options={"lr": 0.05, "steps": 2}),
    maml("maml_fixed", "the same, nothing claimed", claim=None, oracle=fixed, found={"lr": about(0.05), "steps": 2}),
    maml(
        "maml_fixed",
        "the same, claimed with another rate",
        ("inner-rate",),
        oracle=fixed,
        options={"lr": 0.1, "steps": 2},
    ),
    maml(
        "maml_fixed", "the same, claimed with another number of steps", ("steps",), oracle=fixed, options={"steps": 3}
    ),
    Truth(M, "no_graph", "first order", "maml", Program("fomaml"), "fomaml", ("algorithm",)),
    Truth(M, "no_graph", "first order, as claimed", "fomaml", Program("fomaml"), "fomaml"),
    Truth(M, "no_graph_hidden", "first order by .data", "maml", Program("fomaml"), "fomaml", ("algorithm",)),
    maml("maml", "MAML that claims to be first order", ("algorithm",), claim="fomaml"),
    maml(
        "graph_at_first",
        "the first step differentiated",
        ("partial-second-order",),
        factors=lambda k, count: k == 0,
        found={"differentiated": [True, False, False]},
    ),
    maml(
        "graph_at_end",
        "the last step differentiated",
        ("partial-second-order",),
        factors=lambda k, count: k == count - 1,
        found={"differentiated": [False, False, True]},
    ),
    maml(
        "graph_but_last",
        "all steps but the last differentiated",
        ("partial-second-order",),
        factors=lambda k, count: k < count - 1,
        found={"differentiated": [True, True, False]},
    ),
    maml(
        "restarts",
        "one step, whatever is asked",
        ("steps",),
        steps=lambda k: 1,
        found={"steps": 1, "steps_rule": "always 1"},
    ),
    maml(
        "from_initial",
        "each step from the initial weights, at the last gradient",
        ("unexplained",),
        oracle=plain.of_objective(from_initial),
        algorithm=("maml", "fomaml", None),
        verdicts=OUTSIDE,
    ),
    maml(
        "one_fewer", "a step too few", ("steps",), steps=lambda k: k - 1, found={"steps": 2, "steps_rule": "given - 1"}
    ),
    maml(
        "support_twice", "judged on the support set", ("outer-data",), outer="support", found={"outer_data": "support"}
    ),
    maml(
        "exchanged",
        "support and query exchanged",
        ("inner-data", "outer-data"),
        inner="query",
        outer="support",
        found={"inner_data": "query", "outer_data": "support"},
    ),
    maml("adapts_on_all", "adapts on support and query", ("inner-data",), inner="both", found={"inner_data": "both"}),
    maml("undivided", "the sum over tasks", ("task-sum",), weights=plain.total, found={"task_reduction": "sum"}),
    maml(
        "returns_early",
        "the first task alone",
        ("task-weights|task-sum",),
        weights=first,
        found={"task_reduction": "first"},
    ),
    maml(
        "summed_inner",
        "a summed inner loss",
        ("inner-sum",),
        inner_factor=entries,
        found={"inner_reduction": "sum over entries", "outer_reduction": "mean"},
    ),
    maml(
        "summed_examples",
        "both losses summed over examples",
        ("inner-sum", "outer-sum"),
        inner_factor=examples,
        outer_factor=examples,
        found={"inner_reduction": "sum over examples", "outer_reduction": "sum over examples"},
    ),
    maml(
        "summed_outer", "a summed query loss", ("outer-sum",), outer_factor=entries, found={"inner_reduction": "mean"}
    ),
    maml(
        "half_square",
        "half of each loss",
        ("inner-rate", "scale"),
        inner_factor=lambda batch: 0.5,
        outer_factor=lambda batch: 0.5,
        found={"lr_factor": about(0.5), "scale": about(0.5)},
    ),
    slip("rate_forgotten", "a rate of 1", ("inner-rate",), rate=lambda lr: 1.0, found={"lr": about(1.0)}),
    slip("rate_twice", "the rate squared", ("inner-rate",), rate=lambda lr: lr**2),
    slip(
        "never_reset",
        "fast weights go on from task to task",
        ("task-state", "unexplained?"),
        carried=True,
        verdicts=ANY,
    ),
    slip(
        "biases_first_order",
        "no Hessian terms in the biases' updates",
        ("unexplained|partial-second-order",),
        oracle=biases_first_order,
        algorithm=("maml", "fomaml", None),
        verdicts=OUTSIDE,
    ),
    slip(
        "unused_allowed",
        "the query loss does not see a bias",
        ("leaf-ignored", "unexplained?"),
        oracle=query_without_bias,
        algorithm=("maml", "fomaml", None),
        verdicts=OUTSIDE,
    ),
    slip(
        "bias_is_a_buffer",
        "a bias neither adapts nor learns",
        ("leaf-ignored", "leaf-frozen"),
        adapted=only("b1", "w1", "w2"),
        returned=only("b1", "w1", "w2"),
        found={"ignored": ["b2"], "frozen": ["b2"]},
    ),
    slip(
        "bias_not_collected",
        "a bias's gradient is not returned",
        ("leaf-ignored",),
        returned=only("b2", "w1", "w2"),
        found={"ignored": ["b1"], "frozen": some()},
    ),
    slip(
        "head_only",
        "ANIL",
        (),
        None,
        algorithm="anil",
        adapted=only("b2", "w2"),
        found={"frozen": some("b1", "w1")},
    ),
    slip("every_step_counts", "a multi-step loss", ("multi-step-loss",), oracle=plain.of_objective(every_step)),
    slip(
        "before_and_after",
        "the query loss before and after",
        ("multi-step-loss|outer-point|unexplained",),
        oracle=plain.of_objective(before_and_after),
        algorithm=("maml", "fomaml", "gradient", None),
        verdicts=ANY,
    ),
    slip(
        "noisy",
        "noise on the inner gradients",
        ("random", "unexplained?", "globals-changed?"),
        oracle=None,
        algorithm=("maml", None),
        verdicts=OUTSIDE,
    ),
    slip(
        "one_of_the_tasks",
        "a task drawn at random",
        ("random", "unexplained?", "task-weights?", "globals-changed?"),
        oracle=None,
        algorithm=("maml", "fomaml", None),
        verdicts=ANY,
    ),
    slip("bfloat16", "in bfloat16", ("precision",), found={"precision": "bfloat16"}, verdicts=ROUNDED, digits=1),
    Truth(
        SLIPS, "never_adapts", "judged at the initial weights", "maml", Program("gradient"), "gradient", ("algorithm",)
    ),
    slip("backward_through_steps", "MAML by the adjoint"),
    slip(
        "backward_doubled",
        "Hessian terms doubled",
        ("hessian-factor",),
        factors=lambda k, count: 2.0,
        found={"hessian_factor": about(2.0)},
    ),
    slip(
        "backward_wrong_sign",
        "Hessian terms with the wrong sign",
        ("hessian-factor",),
        factors=lambda k, count: -1.0,
        found={"hessian_factor": about(-1.0)},
    ),
    slip("ascends", "the wrong sign", ("sign",), scale=lambda asked: -1.0, found={"scale": about(-1.0)}),
    maml(
        "maml_total",
        "MAML of cross-entropy",
        weights=plain.total,
        options={"reduction": "sum", "problem": "classification"},
    ),
    maml(
        "graph_at_end",
        "the last step differentiated, of cross-entropy",
        ("partial-second-order",),
        factors=lambda k, count: k == count - 1,
        found={"differentiated": [False, False, True]},
        options={"problem": "classification"},
    ),
    maml("maml", "MAML, given float32", options={"dtype": "float32"}),
    Truth(
        M,
        "no_graph",
        "first order, given float32",
        "maml",
        Program("fomaml"),
        "fomaml",
        ("algorithm",),
        options={"dtype": "float32"},
    ),
]
