"""Private names of TensorFlow, each with what it is used for; test_tensorflow_private_names.py tries each one."""

from collections.abc import Sequence
from operator import methodcaller
from typing import Any

import tensorflow as tf

EAGER = tf.__internal__.EagerTensor
SHAPE, DATATYPE = methodcaller("_shape_tuple"), methodcaller("_datatype_enum")
PFOR_FILE = "parallel_for/pfor.py"


def kind(x: Any) -> Any:
    """Return shape and dtype of an array as plain numbers.

    `Tensor._shape_tuple`, `Tensor._datatype_enum`: hashing them takes a quarter of the time of the public `shape` and
    `dtype`, 35 us less for a call with ten arrays.
    """
    try:
        return x._shape_tuple(), x._datatype_enum()
    except AttributeError:  # a variable
        return tuple(x.shape), x.dtype.as_datatype_enum


def kinds(leaves: Sequence[Any]) -> Any:
    """Return `kind` of all leaves where they are eager tensors and variables; else None.

    `tf.__internal__.EagerTensor`: the type of those tensors.
    """
    types = set(map(type, leaves))
    if types == {EAGER}:
        return tuple(map(SHAPE, leaves)), tuple(map(DATATYPE, leaves))
    if all(issubclass(own, EAGER | tf.Variable) for own in types):
        return tuple(zip(*map(kind, leaves), strict=True))
    return None


def call(concrete: Any, arrays: Sequence[Any]) -> Any:
    """Call a concrete function with arrays whose shapes and dtypes are known to be right.

    `ConcreteFunction._call_flat`: the public call checks every argument again, which takes 3 (4 arrays) to 7 times (20
    arrays) as long as the call itself.
    """
    given = [x if isinstance(x, tf.Tensor) else tf.convert_to_tensor(x) for x in arrays]
    return concrete._call_flat(given, concrete.captured_inputs)


def is_about_vectorising(record: Any) -> bool:
    """Whether a log record is one of `tf.vectorized_map`'s own, which tells of a failure over a hundred lines.

    The file that writes it, `tensorflow/python/ops/parallel_for/pfor.py`, is private.
    """
    return str(record.pathname).replace("\\", "/").endswith(PFOR_FILE)
