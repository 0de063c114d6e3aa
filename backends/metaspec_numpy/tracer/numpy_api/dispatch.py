"""NumPy's hooks: `np.tanh(x)`, `np.sum(x, axis=0)`, `x.sum(0)` on boxes go to the rules of this folder."""

from typing import Any

import numpy

from metaspec.errors import UnsupportedError
from metaspec_numpy.tracer.core import Box
from metaspec_numpy.tracer.numpy_api import (
    choosing,
    joining,
    matrices,
    ordering,
    picking,
    products,
    reshaping,
    statistics,
    ufuncs,
    without_nan,
    writes,
)
from metaspec_numpy.tracer.numpy_api.refusals import instead_of
from metaspec_numpy.tracer.numpy_api.result_types import in_numpys_dtype
from metaspec_numpy.tracer.numpy_api.rule import RULES, NumpyRule

TABLES = (joining, matrices, ordering, picking, products, choosing, reshaping, statistics, without_nan, writes)

PLAIN = (numpy.zeros, numpy.ones, numpy.empty, numpy.eye, numpy.identity, numpy.arange, numpy.tri)
"""Functions that get a box by `like=` alone."""


def array_ufunc(self: Box, ufunc: numpy.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
    """NumPy's hook for its elementwise functions, and SciPy's."""

    def call(*inputs: Any, **options: Any) -> Any:
        return ufuncs.array_ufunc(self, ufunc, method, *inputs, **options)

    return in_numpys_dtype(getattr(ufunc, method), call, inputs, options)


def array_function(self: Box, f: Any, types: Any, args: Any, options: Any) -> Any:
    """NumPy's hook for all of its functions that are not elementwise."""
    rule = RULES.get(f)
    if rule is not None:
        return in_numpys_dtype(f, lambda *args, **options: rule(args, options), args, options)
    if f in PLAIN:
        return f(*args, **options)
    raise UnsupportedError(f"{f.__module__}.{f.__name__} has no rule for traced arrays; {instead_of(f.__name__)}")


def method(name: str) -> Any:
    """The method of that name, by the rule of NumPy's function."""
    function = getattr(numpy, name)
    rule: NumpyRule = RULES[function]
    label = f"numpy.ndarray.{name}"

    def call(*args: Any, **options: Any) -> Any:
        return rule(args, options, label)

    return lambda x, *args, **options: in_numpys_dtype(function, call, (x, *args), options)


METHODS = """
    all any argmax argmin argsort choose compress cumprod cumsum diagonal dot max mean min prod ptp ravel repeat round
    searchsorted squeeze std sum swapaxes take trace var
"""
