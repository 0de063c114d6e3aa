"""With equal seeds every backend sees the same episodes and takes the same first step."""

from dataclasses import replace

import numpy as np
import pytest

import metaspec as ms
from metaspec.data import LabelledImages
from metaspec.data.fewshot import FewShot
from metaspec.experiments.config import effective
from metaspec.experiments.problems import sinusoid
from metaspec.experiments.setup import algorithm_of
from metaspec.nn import ConvNet, sinusoid_mlp
from metaspec.training import SGD, training_steps
from tests.conftest import INSTALLED, fewer_compiled
from tests.core.problems import error, to_numpy
from tests.helpers import whole

OTHERS = [name for name in INSTALLED if name != "numpy"]


def pictures():
    """Thirty classes of random strokes; what the tasks are made of does not matter here."""
    rng = np.random.default_rng(0)
    images = (rng.uniform(size=(90, 14, 14)) < 0.2).astype("uint8") * 255
    return LabelledImages(images, np.arange(90) % 30)


def first_meta_gradient(algo, loss, params, source, name):
    B = ms.get_backend(name)
    with B.precision("float64"):
        p, t = ms.asarray((params, source.batch(0, 3)), backend=name)
        return B, whole(B, lambda p, t: ms.batch_meta_gradient(algo, loss, p, t, backend=B).delta)(p, t)


@pytest.fixture(scope="module")
def references():
    return {}


@pytest.mark.parametrize(
    ("name", "algorithm"), fewer_compiled(["maml", "fomaml", "reptile", "imaml"], ["maml", "imaml"], OTHERS)
)
def test_first_meta_gradient_on_sinusoids(references, name, algorithm):
    problem = sinusoid(seed=3, dtype="float64")
    # At lambda = 2 the solve amplifies roundoff by 1e4 on this problem, at 100 hardly.
    algo = algorithm_of(replace(effective({"experiment": "sinusoid", "algorithm": algorithm}), regularization=100.0))
    params = {key: leaf * 30 for key, leaf in sinusoid_mlp().init(3, "float64").items()}  # away from the kinks at 0
    call = algo, problem.network.loss, params, problem.train
    if algorithm not in references:
        references[algorithm] = to_numpy(*first_meta_gradient(*call, "numpy"))
    B, delta = first_meta_gradient(*call, name)
    assert error(B, delta, references[algorithm]) < 1e3  # roundoffs; the conformance suite has the sharp bounds


@pytest.mark.parametrize("name", OTHERS)
def test_first_meta_gradient_of_a_conv_net(references, name):
    network, source = ConvNet(5, filters=4, blocks=2), FewShot(pictures(), 5, 1, 2, seed=7, dtype="float64")
    call = algorithm_of(effective({"experiment": "digits"})), network.loss, network.init(7, "float64"), source
    if "conv" not in references:
        references["conv"] = to_numpy(*first_meta_gradient(*call, "numpy"))
    B, delta = first_meta_gradient(*call, name)
    assert error(B, delta, references["conv"]) < 1e5


def test_the_first_training_step_is_the_same_compiled(B):
    problem = sinusoid(seed=3, dtype="float64")
    algo = algorithm_of(effective({"experiment": "sinusoid"}))
    params = problem.network.init(3, "float64")
    steps = training_steps(algo, problem.network.loss, params, problem.train, SGD(0.1), tasks_per_step=3, backend=B)
    moved = to_numpy(B, next(steps).params)
    N, delta = first_meta_gradient(algo, problem.network.loss, params, problem.train, "numpy")
    for key, leaf in to_numpy(N, delta).items():
        np.testing.assert_allclose(moved[key], params[key] - 0.1 * leaf, rtol=1e-11, atol=1e-13)
