"""Compilation of flat functions by `tf.function`, and a batched map over tasks; each with a way round what it refuses.

| what refuses | what | instead |
| --- | --- | --- |
| `tf.vectorized_map` | derivatives of loops (recurrent layers, `tf.while_loop`) | task after task, in a loop |
| XLA | operations without a kernel; nested lists of tensors in vectorised loops | the loop; then no XLA |
| a trace without AutoGraph | `for i in tf.range(n)`, `if tensor:` in the loss | the loss by AutoGraph |

Each is tried once, when a function is first traced, and told by one line of the logger "metaspec". What draws random
numbers is refused: a gradient and the products that belong to it would see different numbers. Stateless random numbers
are functions of their seed, but other functions under XLA than elsewhere, so what has them is compiled without it.
Eigenvalues and singular values get no XLA either, which iterates and stops early: in float64 derivatives were off by
up to 5e-6.
"""

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from threading import get_ident
from typing import Any

import tensorflow as tf

from metaspec.errors import InvalidArgumentError, MetaspecError
from metaspec.task import Array
from metaspec_tensorflow import _private
from metaspec_tensorflow.impure_losses import explained, refuse_impure

LOG = logging.getLogger("metaspec")
Flat = Callable[..., Sequence[Array]]

STATELESS = re.compile(r"Stateless(Random|Truncated|ParameterizedTruncated|Multinomial|Sample)\w*")
ITERATED = frozenset({"Svd", "SelfAdjointEigV2"})


@dataclass(frozen=True)
class Form:
    """How a function is traced.

    Attributes:
        xla: Whether XLA compiles it.
        vectorised: Whether `tf.vectorized_map` may batch tasks.
        autograph: Whether AutoGraph converts the loss.
    """

    xla: bool = True
    vectorised: bool = True
    autograph: bool = False


FIRST = Form()
form: ContextVar[Form] = ContextVar("metaspec_tensorflow_form", default=FIRST)
"""The form that the trace at work is compiled in."""


def compiled(flat: Flat, arrays: Sequence[Array]) -> Flat:
    """Return `flat` traced for arrays of these shapes and dtypes, and compiled by XLA where it can be.

    Raises:
        LossError, MutationError, UnsupportedError: It is no pure function of tensors.
        InvalidArgumentError: Python decides on values of tensors in a way that AutoGraph does not convert.
    """
    tried = FIRST
    while True:
        token = form.set(tried)
        try:
            concrete = _traced(flat, arrays, tried)
        except tf.errors.OperatorNotAllowedInGraphError as error:
            if tried.autograph:
                raise InvalidArgumentError(
                    "compile: the function decides in Python on the values of tensors (`for i in tf.range(n)`, "
                    "`if tensor`) where AutoGraph does not convert it; write tf.while_loop and tf.cond, or decorate "
                    f"that function or `call` method with @tf.function ({_line(error)})"
                ) from error
            tried = replace(tried, autograph=True)
            continue
        except Exception as error:
            if ours := explained(error):
                raise ours from error
            raise
        finally:
            form.reset(token)
        operations = _operations(concrete)
        refuse_impure(operations)
        if tried.xla and any(map(STATELESS.fullmatch, operations)):
            LOG.warning("TensorFlow: compiled without XLA, whose stateless random numbers are others")
            tried = replace(tried, xla=False)
            continue
        if tried.xla and ITERATED & operations:
            LOG.warning("TensorFlow: compiled without XLA, whose eigenvectors and singular vectors have few digits")
            tried = replace(tried, xla=False)
            continue
        if not tried.xla:
            return lambda *arrays: _private.call(concrete, arrays)
        try:
            _private.call(concrete, arrays)
        except tf.errors.OpError as error:
            if tried.vectorised and "TensorList" in str(error):
                LOG.warning("TensorFlow: XLA does not compile these loops over a batch; tasks one after another")
                tried = replace(tried, vectorised=False)
            else:
                LOG.warning("TensorFlow: compiled without XLA, which refuses it (%s)", _line(error))
                tried = replace(tried, xla=False)
            continue
        return lambda *arrays: _private.call(concrete, arrays)


def _traced(flat: Flat, arrays: Sequence[Array], tried: Form) -> Any:
    specs = [tf.TensorSpec(x.shape, x.dtype) for x in arrays]
    return tf.function(flat, autograph=False, jit_compile=tried.xla or None).get_concrete_function(*specs)


def _operations(concrete: Any) -> set[str]:
    """Return the names of the operations of a traced function and of all that it calls."""
    graph = concrete.graph.as_graph_def()
    return {node.op for nodes in (graph.node, *(f.node_def for f in graph.library.function)) for node in nodes}


def mapped(flat: Flat, rows: Sequence[Array]) -> Sequence[Array]:
    """Return the results of `flat` for each row of axis 0, stacked; within a trace.

    Raises:
        MetaspecError: As `flat` raises it.
    """
    ours: list[MetaspecError] = []

    def row(given: Sequence[Array]) -> tuple[Array, ...]:
        try:
            return tuple(map(tf.identity, flat(*given)))  # it cannot return what does not pass through it
        except MetaspecError as error:
            ours.append(error)  # AutoGraph would wrap it in an error of its own
            raise

    if not form.get().vectorised:
        return _one_by_one(flat, rows)
    try:
        with _without_reports_of_failures():
            return tuple(tf.vectorized_map(row, tuple(rows)))
    except Exception as error:
        if ours:
            raise ours[0] from None
        results = _one_by_one(flat, rows)  # where the function itself is at fault it says so here, in its own words
        LOG.warning("TensorFlow: tf.vectorized_map refuses it (%s); tasks one after another", _line(error))
        return results


def _one_by_one(flat: Flat, rows: Sequence[Array]) -> Sequence[Array]:
    specs = [tf.TensorSpec(x.shape[1:], x.dtype) for x in rows]
    concrete = tf.function(flat, autograph=False).get_concrete_function(*specs)
    signature = [tf.TensorSpec(x.shape, x.dtype) for x in concrete.outputs]
    return tuple(tf.map_fn(lambda row: list(concrete(*row)), list(rows), fn_output_signature=signature))


def by_autograph(loss: Callable[..., Any]) -> Callable[..., Any]:
    """Return the loss as AutoGraph converts it, where the trace at work asks for that; else the loss itself."""
    if not form.get().autograph:
        return loss

    def called(params: Any, batch: Any) -> Any:
        return loss(params, batch)

    return tf.autograph.to_graph(called)


@contextmanager
def _without_reports_of_failures() -> Iterator[None]:
    logger, thread = tf.get_logger(), get_ident()

    def kept(record: logging.LogRecord) -> bool:
        return record.thread != thread or not _private.is_about_vectorising(record)

    logger.addFilter(kept)
    try:
        yield
    finally:
        logger.removeFilter(kept)


def _line(error: Exception) -> str:
    """The error's kind and its first words, on one line, without the numbered names of graphs."""
    words = re.sub(r"(graph|converting) \S*\d\S*", r"\1", " ".join(str(error).split()))
    return f"{type(error).__name__}: {words[:160]}"
