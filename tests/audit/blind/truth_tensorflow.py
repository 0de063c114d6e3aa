"""What is known of code/tensorflow_tapes.py and code/keras_models.py."""

from tests.audit.blind import plain
from tests.audit.blind.plain import Asked, Batch, Program, Tasks, Vector, only
from tests.audit.blind.truth import OUTSIDE, ROUNDED, Truth, some

TAPES, KERAS = "tensorflow_tapes", "keras_models"


def half_of_sum(batch: Batch) -> float:
    return batch[1].size / 2


def one_long_step(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    return Program("maml")(phi, tasks, Asked(lr=asked.steps * asked.lr, steps=1))


def last(queries: list[Batch]) -> list[float]:
    return [0.0] * (len(queries) - 1) + [1.0]


def from_the_last(phi: Vector, tasks: Tasks, asked: Asked) -> Vector:
    end = plain.path(phi, tasks[-1][0], asked)[-1]
    return Program("fomaml")(phi, tasks, asked) + (phi - end) / asked.outer_lr


TRUTHS = [
    Truth(TAPES, "maml", "MAML by tapes", "maml", Program("maml"), "maml"),
    Truth(TAPES, "maml_graph", "MAML by tf.function", "maml", Program("maml"), "maml"),
    Truth(TAPES, "stops", "first order", "maml", Program("fomaml"), "fomaml", ("algorithm",)),
    Truth(
        TAPES,
        "outside_the_tape",
        "the last step differentiated",
        "maml",
        Program("maml", factors=lambda k, count: k == count - 1),
        "maml",
        ("partial-second-order",),
        {"differentiated": [False, False, True]},
    ),
    Truth(
        TAPES,
        "summed_and_swapped",
        "support and query exchanged, sum over tasks",
        "maml",
        Program("maml", inner="query", outer="support", weights=plain.total),
        "maml",
        ("inner-data", "outer-data", "task-sum"),
    ),
    Truth(
        TAPES,
        "single_precision",
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
        TAPES,
        "summed_loss",
        "half of summed losses",
        "maml",
        Program("maml", inner_factor=half_of_sum, outer_factor=half_of_sum),
        "maml",
        ("inner-sum", "outer-sum", "inner-rate?", "scale?"),
    ),
    Truth(
        TAPES,
        "once",
        "one gradient for all steps: one step of K times the rate",
        "maml",
        one_long_step,
        "maml",
        ("steps", "inner-rate"),
        {"steps": 1},
    ),
    Truth(
        TAPES,
        "hidden_layer_forgotten",
        "the hidden layer neither adapts nor learns",
        "maml",
        Program("maml", adapted=only("b2", "w2"), returned=only("b2", "w2")),
        "maml",
        ("leaf-frozen", "leaf-ignored"),
        {"frozen": some("b1", "w1"), "ignored": some("b1", "w1")},
    ),
    Truth(KERAS, "fomaml", "first order on a model", "fomaml", Program("fomaml"), "fomaml"),
    Truth(
        KERAS,
        "fomaml_from_where_it_is",
        "the model runs on from task to task",
        "fomaml",
        Program("fomaml", carried=True),
        "fomaml",
        ("task-state",),
        {"carried": "parameters"},
    ),
    Truth(
        KERAS,
        "fomaml_forgets",
        "the outer step starts where the last task ended",
        "fomaml",
        from_the_last,
        ("fomaml", "reptile", None),
        ("task-state|unexplained", "unexplained?"),
        verdicts=OUTSIDE,
    ),
    Truth(
        KERAS,
        "fomaml",
        "first order on a model, of cross-entropy",
        "fomaml",
        Program("fomaml"),
        "fomaml",
        options={"problem": "classification"},
    ),
    Truth(KERAS, "maml", "MAML by stateless_call", "maml", Program("maml"), "maml"),
    Truth(
        KERAS,
        "maml_assigned",
        "first order by assign, sum over tasks",
        "maml",
        Program("fomaml", weights=plain.total),
        "fomaml",
        ("algorithm", "task-sum"),
    ),
    Truth(
        KERAS,
        "reptile",
        "Reptile; keras.optimizers.SGD keeps its rate in float32",
        "reptile",
        Program("reptile", inner="both"),
        "reptile",
        ("precision?",),
        verdicts=ROUNDED,
        digits=7,
    ),
    Truth(
        KERAS,
        "reptile_last_task",
        "Reptile of the last task",
        "reptile",
        Program("reptile", inner="both", weights=last),
        "reptile",
        ("task-weights|task-sum",),
        {"task_reduction": "last"},
    ),
    Truth(
        KERAS,
        "cloned",
        "clones with weights of their own",
        "maml",
        None,
        ("maml", "fomaml", None),
        ("random", "unexplained?", "call-state?", "globals-changed?"),
        verdicts=OUTSIDE,
    ),
]
