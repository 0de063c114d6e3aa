"""tf.data.Dataset as a source of tasks: the tasks that it holds, in their order, resumed and trained on."""

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

import metaspec as ms  # noqa: E402
from metaspec.data.source import TaskSource  # noqa: E402
from metaspec.errors import InvalidArgumentError, InvalidTypeError  # noqa: E402
from metaspec_tensorflow.dataset_source import DatasetTasks  # noqa: E402

RNG = np.random.default_rng(0)
PARTS = [{"x": RNG.normal(size=(5, 4, 2)), "y": RNG.normal(size=(5, 4))} for _ in range(2)]


def tasks():
    return DatasetTasks(tf.data.Dataset.from_tensor_slices(tuple(PARTS)))


def expected(indices):
    return ms.Task(*({name: leaf[[i % 5 for i in indices]] for name, leaf in part.items()} for part in PARTS))


def same(found, wanted):
    assert isinstance(found, ms.Task)
    for a, b in zip(found, wanted, strict=True):
        assert sorted(a) == sorted(b)
        for name in a:
            assert isinstance(a[name], np.ndarray)
            np.testing.assert_array_equal(a[name], b[name])


def test_batches_are_the_elements_in_their_order_again_and_again():
    source = tasks()
    assert isinstance(source, TaskSource)
    for step in (0, 1, 2, 3, 0, 2, 1):
        same(source.batch(step, 3), expected(range(3 * step, 3 * step + 3)))
    one = source.task(7)
    np.testing.assert_array_equal(one.support["x"], PARTS[0]["x"][2])
    same(source.batch(2, 3), expected(range(6, 9)))


def test_training_is_that_of_the_same_tasks_by_hand():
    def loss(params, batch):
        return tf.reduce_mean((tf.linalg.matvec(batch["x"], params["w"]) - batch["y"]) ** 2)

    params = {"w": np.zeros(2)}
    algo, sgd = ms.FOMAML(ms.GradientDescent(0.1, 1)), ms.training.SGD(lr=0.1)
    run = ms.meta_train(algo, loss, params, tasks(), steps=3, tasks_per_step=2, optimizer=sgd, backend="tensorflow")
    w = {"w": tf.zeros(2, tf.float64)}
    for step in range(3):
        given = ms.asarray(expected(range(2 * step, 2 * step + 2)), backend="tensorflow")
        w = {"w": w["w"] - 0.1 * ms.batch_meta_gradient(algo, loss, w, given).delta["w"]}
    np.testing.assert_allclose(run.params["w"], w["w"], rtol=1e-12)


def test_refusals():
    with pytest.raises(InvalidTypeError, match="expected a tf.data.Dataset, got list"):
        DatasetTasks([])
    with pytest.raises(InvalidArgumentError, match=r"expected elements \(support, query\)"):
        DatasetTasks(tf.data.Dataset.range(3))
    with pytest.raises(InvalidArgumentError, match="no elements"):
        DatasetTasks(tf.data.Dataset.from_tensor_slices(tuple(PARTS)).take(0))
    with pytest.raises(InvalidArgumentError, match="no elements"):
        DatasetTasks(tf.data.Dataset.from_tensor_slices(tuple(PARTS)).filter(lambda s, q: False)).batch(0, 1)
    ragged = tf.data.Dataset.from_generator(
        lambda: ((np.ones(n), np.ones(n)) for n in (2, 3)),
        output_signature=(tf.TensorSpec([None]), tf.TensorSpec([None])),
    )
    with pytest.raises(InvalidArgumentError, match=r"need equal shapes to be stacked, got \[\(2,\), \(3,\)\]"):
        DatasetTasks(ragged).batch(0, 2)
