"""Every installed backend computes on the same bits."""

import metaspec as ms
from metaspec.data import FewShot, Sinusoid
from metaspec.task import Task
from tests.data.helpers import assert_same_bits, numbered_images


def test_batches_reach_every_backend_bit_for_bit(B):
    for source in (Sinusoid(), FewShot(numbered_images([6, 7, 8]), 3, 1, 2)):
        batch = source.batch(0, 4)
        there = ms.asarray(batch, backend=B)
        back = Task(*({name: B.to_numpy(leaf) for name, leaf in part.items()} for part in there))
        assert_same_bits(batch, back)


def test_float64_and_int64_batches_reach_every_backend(B):
    batch = FewShot(numbered_images([6, 7, 8]), 3, 1, 2, dtype="float64", label_dtype="int64").batch(0, 4)
    with B.precision("float64"):
        there = ms.asarray(batch, backend=B)
        back = Task(*({name: B.to_numpy(leaf) for name, leaf in part.items()} for part in there))
    assert_same_bits(batch, back)
