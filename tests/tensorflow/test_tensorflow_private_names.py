"""A canary for each private name of TensorFlow that the adapter uses: it fails by name when TensorFlow moves it."""

import logging

import pytest

tf = pytest.importorskip("tensorflow")

from metaspec_tensorflow import _private  # noqa: E402


def test_shape_tuple_and_datatype_enum():
    x = tf.zeros((2, 3), tf.float64)
    assert x._shape_tuple() == (2, 3)
    assert x._datatype_enum() == tf.float64.as_datatype_enum
    assert _private.kind(x) == ((2, 3), tf.float64.as_datatype_enum)
    assert _private.kind(tf.Variable(x)) == ((2, 3), tf.float64.as_datatype_enum)
    assert _private.kind(x) != _private.kind(tf.zeros((2, 3), tf.float32))
    assert type(x) is tf.__internal__.EagerTensor
    assert (
        _private.kinds([x, x])
        == _private.kinds([x, tf.Variable(x)])
        == (((2, 3),) * 2, (tf.float64.as_datatype_enum,) * 2)
    )
    assert _private.kinds([x, 1.0]) is None


def test_call_flat():
    held = tf.Variable(3.0)
    concrete = tf.function(lambda x, y: [x * held, x + y], autograph=False).get_concrete_function(
        tf.TensorSpec((), tf.float32), tf.TensorSpec((), tf.float32)
    )
    assert len(concrete.captured_inputs) == 1
    assert [float(x) for x in _private.call(concrete, [tf.constant(2.0), tf.Variable(5.0)])] == [6.0, 7.0]


def test_file_that_reports_failures_of_vectorising():
    seen = []
    logger = tf.get_logger()

    def keep(record):
        seen.append(_private.is_about_vectorising(record))
        return False

    def row(x):
        return tf.while_loop(lambda i, y: i < 2, lambda i, y: (i + 1, tf.tanh(y)), (0, x), maximum_iterations=2)[1]

    def gradient(x):
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = row(x)
            g = tape.gradient(y, x)
        return outer.gradient(g, x)

    logger.addFilter(keep)
    try:
        with pytest.raises(TypeError):
            tf.function(lambda x: tf.vectorized_map(gradient, x), autograph=False)(tf.ones(3))
    finally:
        logger.removeFilter(keep)
    assert seen
    assert all(seen)
    assert not _private.is_about_vectorising(logging.LogRecord("tensorflow", 40, "/other.py", 1, "", (), None))
