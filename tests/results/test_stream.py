"""The outer steps that benchmarks time are those of the training that the settings describe."""

from metaspec.experiments.config import effective
from metaspec.experiments.setup import experiment_of
from metaspec_benchmarks.results.stream import outer_steps


def test_algorithms_that_learn_rates_have_steps():
    settled = effective({"experiment": "sinusoid", "algorithm": "mamlpp", "backend": "numpy"})
    stream = outer_steps(settled, experiment_of(settled))
    assert next(stream) is not None
    stream.close()
