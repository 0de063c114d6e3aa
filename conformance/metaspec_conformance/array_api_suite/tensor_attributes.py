"""A pytest plugin that gives TensorFlow's tensors, for the run, what the suite reads of an array before its values.

Tensors have no `size`, `T`, `mT` and `__array_namespace__`, and their shape is no tuple, which ndindex asks for. Users
meet that too (docs/portable-losses.md has what to write instead); without it few tests would reach a function's values.
"""

import math
from importlib import import_module
from typing import Any

import pytest

import metaspec as ms


@pytest.hookimpl(tryfirst=True)
def pytest_configure() -> None:
    B = ms.get_backend("tensorflow")
    tensor, shapetools = B.asarray(0.0), import_module("ndindex.shapetools")
    shape_kind, as_shape = type(tensor.shape), shapetools.asshape
    attributes: dict[str, Any] = {
        "size": property(lambda x: math.prod(x.shape)),
        "T": property(lambda x: B.xp.permute_dims(x, (1, 0))),
        "mT": property(B.xp.matrix_transpose),
        "__array_namespace__": lambda x, /, *, api_version=None: B.xp,
    }
    for name, value in attributes.items():
        setattr(type(tensor), name, value)

    def tuple_shape(shape: Any, *args: Any, **options: Any) -> Any:
        return as_shape(tuple(shape) if isinstance(shape, shape_kind) else shape, *args, **options)

    setattr(shapetools, as_shape.__name__, tuple_shape)
