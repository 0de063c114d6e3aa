"""Each way in which a port goes wrong is found and explained, alone and with another; what is right is not accused."""

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

import metaspec as ms
from metaspec_conformance.compare import Comparison, compare
from metaspec_conformance.compare.explaining import describe
from metaspec_conformance.compare.explaining.case import ExplanationCase
from tests.compare import models

pytestmark = pytest.mark.usefixtures("here")

PARAMS, TASK = "tests.compare.models:params", "tests.compare.models:task"


def pair(first: str, second: str, **options: Any) -> Comparison:
    places = {f"{name}@numpy": f"tests.compare.models:{loss}" for name, loss in (("one", first), ("two", second))}
    return compare(places, **{"algorithm": ms.MAML(ms.GradientDescent(0.05, 1))} | options)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    "algorithm",
    [
        ms.MAML(ms.GradientDescent(0.1, 3)),
        ms.Reptile(ms.GradientDescent(0.1, 2)),
        ms.IMAML(ms.GradientDescent(0.1, 2), 2.0, ms.ConjugateGradient(3)),
    ],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_what_differs_by_rounding_alone_agrees(algorithm, dtype):
    found = pair("base", "reordered", algorithm=algorithm, dtype=dtype)
    assert found.agreed, found.summary
    assert found.sides[1].fewest > (12 if dtype == "float64" else 4)
    assert 0 < max(cell.error for leaves in found.sides[1].cells.values() for cell in leaves.values()) < 16


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_is_zero_up_to_rounding_is_not_accused(dtype):
    found = pair("bias_before_norm", "bias_before_norm_reordered", dtype=dtype)
    cell = found.sides[1].cells["gradient"]["layers/0/b"]
    assert found.agreed, found.summary
    assert cell.digits < 3  # nothing but rounding on either side, of which nothing agrees


CASES = [
    ("base", "summed", "reduction", "n times (n examples", "support loss"),
    ("base", "halved", "reduction", "1/2 times", "support loss"),
    ("base", "per_output", "reduction", "2 times (2: so long is axis 1 of the batch's ['y'])", "support loss"),
    ("base", "shifted", "constant", "a constant 0.918939 more", "support loss"),
    ("base", "decayed", "weight decay", "0.005 times the squared norm", "support loss"),
    ("base", "summed_and_decayed", "reduction and weight decay", "0.005 times the squared norm", "support loss"),
    ("base", "detached", "unused leaf", "layers/0/b", "gradient"),
    ("detached", "base", "unused leaf", "layers/0/b", "gradient"),
    ("base", "without_bias", "unused leaf", "does not use layers/2/b", "support loss"),
    ("without_bias", "base", "unused leaf", "uses layers/2/b", "support loss"),
    ("base", "narrow", "dtype", "float32", "support loss"),
    ("base", "random", "randomness", "not deterministic", "support loss"),
    ("base", "transposed", "axes", "layers/1/w with its axes in the order (1, 0)", "support loss"),
    ("base", "exchanged", "axes", "layers/0/b and layers/1/b exchanged", "support loss"),
    ("base", "flattened_otherwise", "axes", "axis 0 flattened from 2 x 2", "support loss"),
    ("batch_norm", "batch_norm_epsilon", "normalisation", "layers/0/w, layers/1/w", "support loss"),
    ("layer_norm", "layer_norm_epsilon", "normalisation", "layers/0/w, layers/1/w", "support loss"),
]


@pytest.mark.parametrize(("first", "second", "kind", "words", "stage"), CASES, ids=[case[1] for case in CASES])
def test_a_fault_is_explained(first, second, kind, words, stage):
    found = pair(first, second)
    side = found.side("two@numpy")
    assert not found.agreed
    assert side.parting is not None
    assert side.parting[0] == stage
    assert [explanation.kind for explanation in side.explanations] == [kind], side.tried
    assert side.explained
    assert words in side.sentence
    assert "explained by" in found.summary


def test_a_kink_at_the_parameters():
    found = pair("abs_net", "abs_by_where", params={"one@numpy": "tests.compare.models:zero_biases"})
    side = found.sides[1]
    assert side.parting == ("gradient", "layers/0/b")
    assert [explanation.kind for explanation in side.explanations] == ["kink"]
    assert "moving layers/0/b alone is enough" in side.sentence
    assert pair("abs_net", "abs_by_where").agreed  # at other parameters there is no kink


def test_a_kink_in_the_data():
    found = pair("rows_by_root", "rows_by_norm", task="tests.compare.models:zeros_task")
    side = found.sides[1]
    assert [explanation.kind for explanation in side.explanations] == ["kink"]
    assert "the data lie where" in side.sentence
    assert "NaN or infinity" in side.sentence


def test_other_parameters():
    found = pair("base", "base", params={"one@numpy": PARAMS, "two@numpy": "tests.compare.models:others"})
    assert found.sides[1].parting == ("parameters", "layers/1/w")
    assert [explanation.kind for explanation in found.sides[1].explanations] == ["initialisation"]
    assert found.sides[1].explained


def test_other_data():
    found = pair("base", "base", task={"one@numpy": TASK, "two@numpy": "tests.compare.models:other_task"})
    assert [explanation.kind for explanation in found.sides[1].explanations] == ["data"]


def test_two_causes_come_one_after_the_other():
    found = pair("base", "summed", params={"one@numpy": PARAMS, "two@numpy": "tests.compare.models:others"})
    side = found.sides[1]
    assert [(e.kind, e.confirmed) for e in side.explanations] == [("initialisation", False), ("reduction", True)]
    assert side.explained


def test_one_of_two_causes_found_is_not_an_explanation():
    params = {"one@numpy": PARAMS, "two@numpy": "tests.compare.models:others"}
    side = pair("base", "other_activation", params=params).sides[1]
    assert [explanation.kind for explanation in side.explanations] == ["initialisation"]
    assert not side.explained
    assert "in part explained by" in side.sentence


def test_what_falls_as_one_over_n_is_consistent_with_it_and_no_more():
    side = pair("batch_norm", "batch_norm_unbiased").sides[1]
    assert [explanation.kind for explanation in side.explanations] == ["one over n"]
    assert not side.explained
    assert "consistent with" in side.sentence


def test_a_constant_that_is_kept_in_float32_is_named_as_that():
    side = pair("leaky", "leaky_in_float32").sides[1]
    assert [(e.kind, e.confirmed) for e in side.explanations] == [("float32's digits", False)]
    assert "consistent with: a function with float32's digits in float64, in two" in side.sentence


def test_what_nothing_explains_is_said_to_be_unexplained():
    side = pair("base", "other_activation").sides[1]
    assert side.explanations == ()
    assert "none of the explanations that were tested explains it" in side.sentence
    assert "it is another function" in side.sentence
    assert {"randomness", "kink", "one over n"} <= {tried.kind for tried in side.tried}


def test_a_gradient_that_is_not_the_values_is_said_to_be_one():
    side = pair("base", "surrogate").sides[1]
    assert side.parting == ("gradient", "layers/0/w")
    assert side.explanations == ()
    assert "the values agree and the gradients do not" in side.sentence


@pytest.mark.parametrize(
    ("ratio", "angle", "words"),
    [
        (1.0, 0.0, "is 1 times as long, cosine 1"),
        (1 + 1e-7, 1e-6, "is 1 + 1e-07 times as long, cosine 1 - 5e-13"),
        (1 - 2e-9, 2e-3, "is 1 - 2e-09 times as long, cosine 1 - 2e-06"),
        (2.5, np.pi / 3, "is 2.5 times as long, cosine 0.500000"),
        (0.5, np.pi, "is 0.5 times as long, cosine -1.000000"),
    ],
)
def test_how_two_gradients_lie_is_said_by_the_difference_from_one(ratio, angle, words):
    def stages(*entries):
        return {stage: {"w": np.array(entries)} for stage in ("gradient", "query gradient", "meta-gradient")}

    own, other = stages(ratio * np.cos(angle), ratio * np.sin(angle)), stages(1.0, 0.0)
    context = SimpleNamespace(values=lambda side, variants: [own], truth=lambda variant: other)
    said = describe(
        cast(ExplanationCase, SimpleNamespace(context=context, side="b", own=None, other=None, stage="gradient"))
    )
    assert said[1:] == (f"its gradient {words}", f"its query gradient {words}", f"its meta-gradient {words}")


def test_a_factor_is_told_from_a_sum_where_support_and_query_are_joined():
    found = pair("base", "summed", algorithm=ms.Reptile(ms.GradientDescent(0.01, 2)), task="tests.compare.models:even")
    assert [explanation.kind for explanation in found.sides[1].explanations] == ["reduction"]
    assert found.sides[1].explained


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_digits_that_cancel_are_explained_by_the_format(dtype):
    side = pair("base", "cancelling", dtype=dtype).sides[1]
    assert [explanation.kind for explanation in side.explanations] == ["dtype"]
    assert "rounding: two@numpy loses more digits" in side.sentence


def test_the_first_side_of_a_portable_loss_is_not_the_measure():
    found = compare("tests.compare.models:base", ["numpy"])
    assert found.against == "extended precision"
    assert found.agreed
    assert found.sides[0].cells["meta-gradient"]["layers/0/w"].tolerance == 16


def test_objects_in_place_of_names():
    found = compare(models.base, ["numpy"], params=models.params(), task=models.task)
    named = compare("tests.compare.models:base", ["numpy"])
    assert found.agreed
    assert found.sides[0].cells == named.sides[0].cells


def test_digits_are_those_of_the_values():
    found = pair("base", "shifted")
    value = np.mean(np.square(np.asarray(models.squares(models.params(), models.task.support)) ** 0.5))
    cell = found.sides[1].cells["support loss"]["loss"]
    assert cell.relative == pytest.approx(0.918938533204673 / value, rel=1e-9)
    assert cell.digits == pytest.approx(max(0.0, -np.log10(0.918938533204673 / value)))
