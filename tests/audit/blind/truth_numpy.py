"""What is known of code/numpy_*.py."""

import numpy as np

from tests.audit.blind import plain
from tests.audit.blind.plain import SIZE, Asked, Batch, Program, Tasks, Vector, gradient, hessian, joined
from tests.audit.blind.truth import ANY, CONSISTENT, OUTSIDE, ROUNDED, Truth, about, some


def final_hessian(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    def one(support: Batch, query: Batch) -> Vector:
        end = plain.path(phi, support, asked)[-1]
        factor = np.eye(SIZE) - asked.lr * hessian(end, support)
        return np.linalg.matrix_power(factor, asked.steps) @ gradient(end, query)

    return np.mean([one(*task) for task in tasks], axis=0)


def averaged_iterates(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    return phi - np.mean([plain.path(phi, joined(*task), asked)[1:] for task in tasks], axis=(0, 1))


def gauss_newton(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    def one(support: Batch, query: Batch) -> Vector:
        x, y = support

        def output(theta: Vector) -> np.ndarray:
            p = plain.leaves(theta)
            return (np.tanh(x @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]).ravel()

        end = phi
        for _ in range(asked.steps):
            end = end - asked.lr * (gradient(end, support) + asked.regularization * (end - phi))
        rows = plain.derivative(output, end)
        matrix = np.eye(SIZE) + 2 * rows @ rows.T / y.size / asked.regularization
        return np.linalg.solve(matrix, gradient(end, query))

    return np.mean([one(*task) for task in tasks], axis=0)


def fixed(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    return Program("imaml")(phi, tasks, Asked(lr=0.05, steps=8, regularization=1.5))


def entries(batch: Batch) -> float:
    return float(batch[1].size)


# Differences lose digits, and yet are in no narrower format.
NO_FORMAT = {"precision": lambda name: name not in {"float32", "float16", "bfloat16"}}
HAND, IMPLICIT = "numpy_by_hand", "numpy_implicit"
TRUTHS = [
    Truth(HAND, "maml", "MAML", "maml", Program("maml"), "maml", found={"steps": 3, "task_reduction": "mean"}),
    Truth(HAND, "maml_one_task", "MAML of one task", "maml", Program("maml"), "maml"),
    Truth(HAND, "fomaml", "first-order MAML", "fomaml", Program("fomaml"), "fomaml"),
    Truth(
        HAND, "reptile", "Reptile", "reptile", Program("reptile", inner="both"), "reptile", found={"inner_data": "both"}
    ),
    Truth(
        HAND,
        "reptile_epoch",
        "Reptile",
        "reptile",
        Program("reptile", inner="both"),
        "reptile",
        found={"result": "params"},
    ),
    Truth(
        HAND,
        "reptile_gradient",
        "Reptile divided by the rate",
        "reptile",
        Program("reptile", inner="both", scale=lambda asked: 1 / asked.lr),
        "reptile",
        ("scale",),
    ),
    Truth(
        HAND,
        "reptile_wrong_way",
        "Reptile, away from the adapted parameters",
        "reptile",
        Program("reptile", inner="both", scale=lambda asked: -1),
        "reptile",
        ("sign",),
        {"result": "params"},
    ),
    Truth(
        HAND,
        "reptile_support",
        "Reptile on the support set",
        "reptile",
        Program("reptile", inner="support"),
        "reptile",
        found={"inner_data": "support"},
    ),
    Truth(
        HAND,
        "reptile_running",
        "Reptile whose parameters run on from task to task",
        "reptile",
        Program("reptile", inner="both", carried=True),
        "reptile",
        ("task-state",),
        {"carried": "parameters"},
    ),
    Truth(
        HAND,
        "maml_truncated",
        "MAML, the last step alone differentiated",
        "maml",
        Program("maml", factors=lambda k, count: k == count - 1),
        "maml",
        ("partial-second-order",),
        {"differentiated": [False, False, True]},
    ),
    Truth(
        HAND,
        "maml_final_hessian",
        "MAML with the last Hessian for all steps",
        "maml",
        final_hessian,
        ("maml", "fomaml", None),
        ("hessian-point|unexplained",),
        verdicts=ANY,
    ),
    Truth(
        HAND,
        "maml_one_more",
        "MAML with a step too many",
        "maml",
        Program("maml", steps=lambda k: k + 1),
        "maml",
        ("steps",),
        {"steps": 4},
    ),
    Truth(
        HAND,
        "maml_differences",
        "MAML with Hessian products by differences",
        "maml",
        Program("maml"),
        "maml",
        ("difference",),
        {"difference": about(0.01)} | NO_FORMAT,
        digits=4,
    ),
    Truth(
        HAND,
        "maml_differences_doubled",
        "the same with half the denominator",
        "maml",
        Program("maml", factors=lambda k, count: 2.0),
        "maml",
        ("hessian-factor", "precision?"),
        {"hessian_factor": lambda f: abs(f - 2) < 1e-3} | NO_FORMAT,
        CONSISTENT,
        digits=6,
    ),
    Truth(
        HAND,
        "maml_by_evaluation",
        "MAML by differences of its objective",
        "maml",
        Program("maml"),
        "maml",
        ("precision?",),
        NO_FORMAT,
        CONSISTENT,
        digits=7,
    ),
    Truth(
        HAND,
        "fomaml_in_place",
        "first-order MAML on the caller's own arrays",
        "fomaml",
        Program("fomaml", carried=True),
        "fomaml",
        ("input-changed", "task-state", "call-state?"),
        {"carried": "parameters"},
    ),
    Truth(
        HAND,
        "fomaml_shallow",
        "the same, put back at the end",
        "fomaml",
        Program("fomaml", carried=True),
        "fomaml",
        ("task-state",),
        {"carried": "parameters"},
    ),
    Truth(
        HAND,
        "fomaml_biases_mixed",
        "first-order MAML, two leaves exchanged",
        "fomaml",
        Program("fomaml", exchanged=(("b1", "b2"),)),
        "fomaml",
        ("leaf-exchanged",),
        {"exchanged": some("b1", "b2")},
    ),
    Truth(
        HAND,
        "fomaml_sums",
        "first-order MAML of sums over entries",
        "fomaml",
        Program("fomaml", inner_factor=entries, outer_factor=entries),
        "fomaml",
        ("inner-sum", "outer-sum"),
        {"inner_reduction": "sum over entries", "outer_reduction": "sum over entries"},
    ),
    Truth(
        HAND,
        "maml_single_precision",
        "MAML in float32",
        "maml",
        Program("maml"),
        "maml",
        ("precision",),
        {"precision": "float32"},
        ROUNDED,
        digits=5,
    ),
    Truth(
        HAND,
        "fomaml_weighted",
        "first-order MAML, tasks weighed by their queries",
        "fomaml",
        Program("fomaml", weights=plain.pooled),
        "fomaml",
        ("task-weights",),
        {"task_reduction": "by query size"},
    ),
    Truth(
        HAND,
        "reptile_averaged_iterates",
        "the displacement to the mean iterate",
        "reptile",
        averaged_iterates,
        ("reptile", None),
        ("unexplained",),
        verdicts=OUTSIDE,
    ),
    Truth(
        HAND,
        "FirstOrderLearner",
        "first-order MAML with fit",
        "fomaml",
        Program("fomaml"),
        "fomaml",
        found={"result": "params"},
    ),
    Truth(
        HAND,
        "SecondOrderLearner",
        "MAML with fit, judged on the support set",
        "maml",
        Program("maml", outer="support"),
        "maml",
        ("outer-data",),
        {"outer_data": "support"},
    ),
    Truth(IMPLICIT, "imaml", "iMAML, solved exactly", "imaml", Program("imaml"), "imaml", found={"solver": "exact"}),
    Truth(
        IMPLICIT,
        "imaml_fixed",
        "iMAML with numbers of its own, claimed",
        "imaml",
        fixed,
        "imaml",
        found={"regularization": about(1.5), "lr": about(0.05), "steps": 8},
        options={"lr": 0.05, "steps": 8, "regularization": 1.5},
    ),
    Truth(
        IMPLICIT,
        "imaml_fixed",
        "iMAML with numbers of its own, nothing claimed of them",
        None,
        fixed,
        "imaml",
        found={"regularization": about(1.5), "lr": about(0.05), "steps": 8},
    ),
    Truth(
        IMPLICIT,
        "imaml_gauss_newton",
        "iMAML with the Gauss-Newton matrix",
        "imaml",
        gauss_newton,
        ("imaml", None),
        ("unexplained|operator",),
        verdicts=OUTSIDE,
    ),
    Truth(
        IMPLICIT,
        "imaml_shared_strength",
        "iMAML with the identity twice",
        "imaml",
        Program("imaml", operator=lambda h, lam: 2 * np.eye(SIZE) + h / lam),
        "imaml",
        ("operator|regularization", "scale?"),
    ),
]
