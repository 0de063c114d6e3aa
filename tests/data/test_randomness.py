"""The generator: the same bits for ever, disjoint streams, unbiased draws without replacement."""

import subprocess
import sys

import numpy as np
import pytest

from metaspec.data import FewShot, FunctionMixture, Sinusoid
from metaspec.data._random import partial_shuffle, uniforms
from metaspec.errors import InvalidArgumentError
from tests.data.helpers import assert_same_bits, digest, numbered_images

COUNTS = [6, 9, 7, 12, 6, 8]
SOURCES = {
    "sinusoid": lambda **kw: Sinusoid(shots=5, queries=7, **kw),
    "mixture": lambda **kw: FunctionMixture(noise=0.3, shots=5, queries=7, **kw),
    "few-shot": lambda **kw: FewShot(numbered_images(COUNTS), ways=3, shots=2, queries=4, **kw),
}


@pytest.fixture(params=SOURCES)
def make(request):
    return SOURCES[request.param]


@pytest.mark.parametrize("name", ["sinusoid", "mixture"])
def test_many_batches_at_once_are_the_batches(name):
    source = SOURCES[name](seed=4)
    many = source.batches(3, 5, 2)
    assert len(many) == 5
    for step, batch in enumerate(many, start=3):
        assert_same_bits(batch, source.batch(step, 2))
    with pytest.raises(InvalidArgumentError, match="count: expected an integer of at least 1, got 0"):
        source.batches(0, 0, 2)


def test_first_words_are_frozen():
    # Changing any of these changes every published figure.
    assert uniforms(0, "train", (0,), 2).tolist() == [FROZEN[0]]
    assert uniforms(3, "test", (10**12,), 2).tolist() == [FROZEN[1]]


FROZEN = [[0.014067035665647709, 0.2577672456246177], [0.685313193272038, 0.012302632868080199]]


@pytest.mark.parametrize("count", [1, 22, 64])
@pytest.mark.parametrize(("seed", "stream"), [(0, "train"), (2**64 - 1, "test")])
def test_many_rows_at_once_are_numpys_words(seed, stream, count):
    indices = [0, 1, 2**32 - 1, 2**32, 2**63 + 5, *range(2**64 - 400, 2**64)]
    numpys = []
    for index in indices:
        key = np.random.SeedSequence(seed).generate_state(2, np.uint64)
        counter = np.array([0, index, ("train", "validation", "test").index(stream), 0], dtype=np.uint64)
        numpys.append(np.random.Philox(key=key, counter=counter).random_raw(count) >> np.uint64(11))
    assert np.array_equal(uniforms(seed, stream, indices, count), np.array(numpys) * 2.0**-53)


def test_a_longer_row_begins_with_the_shorter():
    assert np.array_equal(uniforms(1, "train", (4, 9), 50)[:, :7], uniforms(1, "train", (4, 9), 7))


@pytest.mark.parametrize(
    "other", [(1, "train", 0), (0, "test", 0), (0, "validation", 0), (0, "train", 1), (2**32, "train", 0)]
)
def test_rows_of_other_keys_share_no_word(other):
    seed, stream, index = other
    one, two = uniforms(0, "train", (0,), 2000), uniforms(seed, stream, (index,), 2000)
    assert not np.intersect1d(one, two).size


def test_uniforms_are_uniform_and_uncorrelated_over_indices():
    u = uniforms(5, "train", range(4000), 4)
    histogram = np.histogram(u, bins=16, range=(0, 1))[0]
    assert ((histogram - 1000) ** 2 / 1000).sum() < 45  # chi-square, 15 degrees of freedom, p = 1e-4
    assert abs(np.corrcoef(u[:-1, 0], u[1:, 0])[0, 1]) < 4 / np.sqrt(4000)
    assert np.abs(np.corrcoef(u.T) - np.eye(4)).max() < 4 / np.sqrt(4000)


def test_partial_shuffle_draws_every_ordered_choice_equally_often():
    u = uniforms(0, "train", range(12000), 2)
    pairs = partial_shuffle(u, np.full(12000, 4))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    frequency = np.bincount(pairs @ [4, 1], minlength=16)[[1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14]]
    assert frequency.sum() == 12000
    assert ((frequency - 1000) ** 2 / 1000).sum() < 37  # chi-square, 11 degrees of freedom, p = 1e-4


def test_partial_shuffle_stays_within_each_rows_size_at_the_edge_of_the_interval():
    sizes = np.arange(3, 400)
    for u in (0.0, 1 - 2.0**-53):
        drawn = partial_shuffle(np.full((len(sizes), 3), u), sizes)
        assert ((drawn >= 0) & (drawn < sizes[:, None])).all()
        assert all(len(set(row)) == 3 for row in drawn.tolist())


def test_another_process_gets_the_same_bits_without_a_framework_or_pillow():
    code = (
        "import sys, numpy as np\n"
        "from tests.data.helpers import digest\n"
        "from tests.data.test_randomness import SOURCES\n"
        "print(*(digest(make(seed=11).batch(3, 4)) for make in SOURCES.values()))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [digest(make(seed=11).batch(3, 4)) for make in SOURCES.values()]


def test_importing_the_sources_imports_neither_a_framework_nor_pillow():
    code = (
        "import sys, metaspec.data\n"
        "assert not {'PIL', 'torch', 'jax', 'tensorflow', 'urllib.request'} & set(sys.modules), sorted(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
