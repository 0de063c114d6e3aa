"""What is known of code/jax_*.py."""

import numpy as np

from tests.audit.blind import plain
from tests.audit.blind.plain import SIZE, Asked, Batch, Program, Tasks, Vector, gradient, hessian
from tests.audit.blind.truth import ANY, FAILED, ROUNDED, Truth

HAND, IMPLICIT, LIBRARIES = "jax_by_hand", "jax_implicit", "jax_libraries"


def at_middle(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    return np.mean([gradient((phi + plain.path(phi, s, asked)[-1]) / 2, q) for s, q in tasks], axis=0)


def proximal_path(phi: Vector, support: Batch, asked: Asked) -> Vector:
    theta = phi
    for _ in range(asked.steps):
        theta = theta - asked.lr * (gradient(theta, support) + asked.regularization * (theta - phi))
    return theta


def hessian_at_start(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    def one(support: Batch, query: Batch) -> Vector:
        matrix = np.eye(SIZE) + hessian(phi, support) / asked.regularization
        return np.linalg.solve(matrix, gradient(proximal_path(phi, support, asked), query))

    return np.mean([one(*task) for task in tasks], axis=0)


def old_residual(matrix: np.ndarray, b: Vector, asked: Asked) -> Vector:
    x, r, p = np.zeros(SIZE), b, b
    for _ in range(asked.cg_steps):
        alpha = (r @ r) / (p @ matrix @ p)
        x, new = x + alpha * p, r - alpha * matrix @ p
        r, p = new, r + (new @ new) / (r @ r) * p
    return x


def unrolled_proximal(theta: Vector, support: Batch, query: Batch, asked: Asked) -> float:
    return plain.loss(proximal_path(theta, support, asked), query)


def implicit(name: str, does: str, faults: tuple[str, ...] = (), cg: object = None, **fields: object) -> Truth:
    """iMAML with faults; what `Program` takes goes there, `cg` counts the solver's steps."""
    truth = {k: fields.pop(k) for k in ("found", "verdicts", "oracle", "algorithm") if k in fields}
    if cg is not None:
        fields["solve"] = plain.conjugate_gradients(cg)
    rest = {"oracle": Program("imaml", **fields), "algorithm": "imaml"} | truth
    return Truth(IMPLICIT, name, does, "imaml", faults=faults, **rest)


def asked_steps(asked: Asked) -> int:
    return asked.cg_steps


CLIPPED = {"inner_optimizer": lambda name: name in {"clipped", "normalised"}}
TRUTHS = [
    Truth(HAND, "maml", "MAML by scan and vmap", "maml", Program("maml"), "maml"),
    Truth(HAND, "maml_ragged", "MAML by loops", "maml", Program("maml"), "maml"),
    Truth(HAND, "maml_sgd", "MAML's updated parameters", "maml", Program("maml"), "maml", found={"result": "params"}),
    Truth(
        HAND,
        "maml_ragged",
        "MAML of cross-entropy",
        "maml",
        Program("maml"),
        "maml",
        options={"problem": "classification"},
    ),
    Truth(HAND, "maml_ragged", "MAML, given float32", "maml", Program("maml"), "maml", options={"dtype": "float32"}),
    Truth(HAND, "stopped", "first order", "maml", Program("fomaml"), "fomaml", ("algorithm",)),
    Truth(
        HAND,
        "stopped_parameters",
        "first order, sum over tasks",
        "maml",
        Program("fomaml", weights=plain.total),
        "fomaml",
        ("algorithm", "task-sum"),
    ),
    Truth(
        HAND,
        "stopped_from_second",
        "the first step differentiated",
        "maml",
        Program("maml", factors=lambda k, count: k == 0),
        "maml",
        ("partial-second-order",),
        {"differentiated": [True, False, False]},
    ),
    Truth(
        HAND,
        "wrong_leaves",
        "MAML, two pairs of leaves exchanged",
        "maml",
        Program("maml", exchanged=(("b1", "b2"), ("w1", "w2"))),
        "maml",
        ("leaf-exchanged",),
        {"exchanged": lambda names: {"b1", "b2", "w1", "w2"} == set(np.ravel(names))},
    ),
    Truth(
        HAND,
        "half",
        "MAML in float32",
        "maml",
        Program("maml"),
        "maml",
        ("precision",),
        {"precision": "float32"},
        ROUNDED,
        digits=5,
    ),
    Truth(HAND, "reptile", "Reptile", "reptile", Program("reptile", inner="both"), "reptile"),
    Truth(
        HAND,
        "reptile_summed",
        "Reptile, sum over tasks",
        "reptile",
        Program("reptile", inner="both", weights=plain.total),
        "reptile",
        ("task-sum",),
        {"result": "params"},
    ),
    Truth(
        HAND,
        "fomaml_without_last_update",
        "first order, judged a step too early",
        "fomaml",
        Program("fomaml", steps=lambda k: k - 1),
        "fomaml",
        ("steps|outer-point",),
    ),
    Truth(
        HAND,
        "query_at_middle",
        "first order, judged half way",
        "fomaml",
        at_middle,
        ("fomaml", "maml", "gradient", None),
        ("outer-point|unexplained",),
        verdicts=ANY,
    ),
    Truth(
        HAND,
        "reward",
        "first order, sum over tasks, the wrong sign",
        "maml",
        Program("fomaml", weights=plain.total, scale=lambda asked: -1.0),
        "fomaml",
        ("algorithm", "sign", "task-sum"),
    ),
    Truth(HAND, "nothing", "returns None", "maml", None, None, ("none",), verdicts=FAILED),
    Truth(HAND, "infinite", "divides by zero", "maml", None, None, ("not-finite",), verdicts=FAILED),
    Truth(
        HAND,
        "warmed_up",
        "a scale that grows with every call",
        "maml",
        None,
        ("maml", None),
        ("call-state|random", "scale?", "unexplained?", "globals-changed?"),
        verdicts=ANY,
    ),
    implicit("imaml", "iMAML with conjugate gradients", cg=asked_steps, found={"solver": "conjugate gradients"}),
    implicit(
        "half_the_steps",
        "half of the solver's steps",
        ("solver",),
        found={"solver_steps": 1},
        cg=lambda asked: asked.cg_steps // 2,
    ),
    implicit(
        "strength_inverted",
        "lambda for 1/lambda",
        ("operator|regularization",),
        cg=asked_steps,
        operator=lambda h, lam: np.eye(SIZE) + lam * h,
    ),
    implicit(
        "identity_twice",
        "the identity twice",
        ("operator|regularization", "scale?"),
        cg=asked_steps,
        operator=lambda h, lam: 2 * np.eye(SIZE) + h / lam,
    ),
    implicit(
        "not_divided",
        "1/lambda of iMAML",
        ("operator|scale", "scale?"),
        cg=asked_steps,
        operator=lambda h, lam: lam * np.eye(SIZE) + h,
    ),
    implicit(
        "no_identity",
        "a tenth of the identity",
        ("operator|regularization", "scale?"),
        cg=asked_steps,
        operator=lambda h, lam: 0.1 * np.eye(SIZE) + h / lam,
    ),
    implicit(
        "leaf_by_leaf",
        "leaf by leaf",
        ("block-diagonal",),
        operator=lambda h, lam: np.eye(SIZE) + plain.by_leaf(h) / lam,
        found={"blocks": "leaf"},
    ),
    implicit(
        "neumann_series",
        "a truncated series",
        ("solver",),
        solve=plain.neumann(lambda asked: 3),
        found={"solver": "neumann"},
    ),
    implicit(
        "no_solve",
        "proximal adaptation and no solve",
        ("solver|algorithm|operator", "algorithm?"),
        solve=lambda a, g, asked: g,
        algorithm=("imaml", "fomaml"),
    ),
    implicit(
        "plain_descent",
        "no proximal term, sum over tasks",
        ("proximal-missing", "task-sum"),
        cg=asked_steps,
        proximal=False,
        weights=plain.total,
    ),
    implicit(
        "hessian_at_start",
        "the Hessian of the meta-parameters",
        ("hessian-point|unexplained|operator",),
        oracle=hessian_at_start,
        algorithm=("imaml", None),
        verdicts=ANY,
    ),
    implicit(
        "old_residual",
        "conjugate gradients with the old residual",
        ("solver",),
        solve=old_residual,
        found={"solver": "old residual"},
    ),
    Truth(LIBRARIES, "optax_maml", "MAML with optax", "maml", Program("maml"), "maml", found={"result": "params"}),
    Truth(
        LIBRARIES,
        "optax_reptile_adam",
        "Reptile, Adam inside",
        "reptile",
        Program("reptile", inner="both", direction=plain.adam),
        "reptile",
        ("inner-optimizer",),
        {"inner_optimizer": "adam", "carried": None},
    ),
    Truth(
        LIBRARIES,
        "optax_clipped",
        "first order, clipping inside",
        "fomaml",
        Program("fomaml", direction=plain.clipped(0.05)),
        "fomaml",
        ("inner-optimizer",),
        CLIPPED,
    ),
    Truth(
        LIBRARIES,
        "optax_momentum_shared",
        "first order, momentum that goes on from task to task",
        "fomaml",
        Program("fomaml", direction=plain.momentum(0.8), optimizer_outlives_task=True),
        "fomaml",
        ("inner-optimizer", "task-state"),
        {"inner_optimizer": "momentum", "carried": "state"},
    ),
    Truth(LIBRARIES, "jaxopt_implicit", "iMAML with jaxopt", "imaml", Program("imaml"), "imaml"),
    Truth(
        LIBRARIES,
        "jaxopt_unrolled",
        "MAML on the proximal objective",
        "imaml",
        plain.of_objective(unrolled_proximal),
        "maml",
        ("algorithm", "inner-optimizer"),
        {"inner_optimizer": "proximal"},
    ),
]
