"""What a member of the family is given and cannot use: an error that names the argument and says what to do."""

import numpy as np
import pytest

import metaspec as ms
from metaspec.errors import InvalidArgumentError, InvalidTypeError

optax, torch = (pytest.importorskip(name) for name in ("optax", "torch"))
PARAMS = {"body": {"w": np.ones(2)}, "head": {"w": np.ones(2)}}
TASK = ms.Task(np.ones(2), np.zeros(2))
TORCH_SGD = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], 0.1)


def descent(lr=0.1):
    return ms.GradientDescent(lr, 2)


def widths(**groups):
    return ms.SigmaMAML(descent(), ms.Learned(1.0, per=groups))


def per_leaf(body, head=0.1):
    return descent({"body": {"w": body}, "head": {"w": head}})


def run(algo, learned=None):
    meta = algo.init(PARAMS, backend="numpy") if learned is None else ms.Meta(PARAMS, {"lr": learned})
    ms.meta_gradient(algo, lambda p, b: ((p["body"]["w"] * p["head"]["w"] - b) ** 2).mean(), meta, TASK)


CASES = {
    "a pattern without a leaf": (lambda: run(ms.ANIL(descent(), "heat/**")), "adapt: .*'heat/.*body/w, head/w.*head/w"),
    "a context that is not there": (lambda: run(ms.CAVIA(descent(), "context")), "context: .*matches no leaf"),
    "patterns that leave nothing": (lambda: run(ms.MAML(descent(), adapt="!**")), "adapt: .*leaves no leaf"),
    "a tree of rates with a leaf too few": (lambda: run(ms.MAML(descent({"body": 0.1}))), "lr is a tree and must have"),
    "rates of another shape": (lambda: run(ms.MAML(per_leaf(np.ones(3)))), r"lr\['body'\]\['w'\] has shape \(3,\)"),
    "learned rates of another shape": (
        lambda: run(ms.MetaSGD(0.1, 2), {"body": {"w": np.ones(3)}, "head": {"w": np.ones(2)}}),
        r"params.learned\['lr'\]\['body'\]\['w'\] must be of shape \(2,\), got shape \(3,\)",
    ),
    "a negative rate": (lambda: descent(-0.1), "lr must be a finite number >= 0"),
    "a negative learned rate": (lambda: descent(ms.Learned(-0.1)), "lr must be a finite number >= 0"),
    "a negative rate that is to be positive": (lambda: ms.Learned(-0.1, positive=True), "number > 0, as positive=True"),
    "a negative rate in a tree": (lambda: run(ms.MAML(per_leaf(-0.1))), r"lr\['body'\]\['w'\] must be a finite"),
    "a negative rate of a schedule": (lambda: run(ms.MAML(descent(lambda k: -0.1))), r"lr\(0\) must be a finite"),
    "a module without leaves": (lambda: widths(low="**", no="neck/**").init(PARAMS), "'no'.*'neck/.*matches no leaf"),
    "a leaf in no module": (lambda: widths(low="body/**").init(PARAMS), "'head/w' matches none"),
    "a leaf in two modules": (lambda: widths(a="**", b="head/**").init(PARAMS), r"'head/w' matches \['a', 'b'\]"),
    "a width of zero": (lambda: ms.SigmaMAML(descent(), ms.Learned(0.0)), "sigma must be a finite number > 0"),
    "weights for other steps": (lambda: ms.MAML(descent(), query_weights=[1.0]), "query_weights must be 2 numbers"),
    "more steps back than forth": (lambda: ms.MAML(descent(), backprop_steps=3), "backprop_steps must be 0 to K = 2"),
    "minibatches larger than the batch": (
        lambda: run(ms.MAML(descent(), minibatches=ms.Minibatches(5))),
        r"Minibatches: every leaf .* at least 5; they have \[2\]",
    ),
    "Reptile with a learned rate": (lambda: ms.Reptile(descent(ms.Learned(0.1))), "lr cannot be learned with it"),
}
OPTIMISERS = {
    "torch.optim as a transformation": (lambda: ms.FromTransformation(TORCH_SGD, 2), "SGD steps in place.*torchopt"),
    "torch.optim as the rule": (lambda: ms.MAML(TORCH_SGD), "SGD is an optimiser.*FromTransformation"),
    "optax as the rule": (lambda: ms.FOMAML(optax.sgd(0.1)), "is an optimiser.*FromTransformation"),
    "torch.optim as a rate": (lambda: descent(TORCH_SGD), "lr is a rate, .* got an optimiser, SGD"),
    "optax as a rate": (lambda: descent(optax.sgd(0.1)), "lr is a rate, .* got an optimiser"),
}


@pytest.mark.parametrize("name", CASES)
def test_wrong_arguments_are_named(name):
    call, message = CASES[name]
    with pytest.raises(InvalidArgumentError, match=message):
        call()


@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers_are_told_where_they_belong(name):
    call, message = OPTIMISERS[name]
    with pytest.raises(InvalidTypeError, match=message):
        call()
