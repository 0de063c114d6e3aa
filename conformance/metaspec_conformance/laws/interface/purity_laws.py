"""Laws of purity: nothing given and nothing around is changed, and the same call gives the same bits."""

import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

import metaspec as ms
from metaspec.errors import MutationError
from metaspec.task import MetaGradient
from metaspec.trees import tree_map
from metaspec_conformance.laws.framework.claims import Claim, Holds, Same, raises
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import PROTOCOL, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import scenarios

EACH = scenarios("least-squares/{}/steps-1")
ONE = ("float32",)  # which format it is makes no difference to these laws
PATIENCE = 120.0  # seconds for another process to compute one scenario


def _copied(at: LawContext, tree: Tree) -> Tree:
    return tree_map(at.B, lambda leaf: np.array(at.B.to_numpy(leaf)) if at.B.is_array(leaf) else leaf, tree)


def _parts(r: MetaGradient) -> dict[str, Tree]:
    return {"delta": r.delta, "adapted": r.adapted, "query_loss": r.query_loss}


@law(
    "φ, S and Q are the same to the last bit after meta_gradient, adapt and batch_meta_gradient",
    "MS-PURE-1",
    on=lambda: [*EACH(), *small()],
    numeric=False,
    dtypes=ONE,
)
def arguments_untouched(at: LawContext) -> Iterator[Claim]:
    given: dict[str, Tree] = {"params": at.params, "task": at.task}
    before = {name: _copied(at, tree) for name, tree in given.items()}
    calls: dict[str, Callable[[], Any]] = {"meta_gradient": at.meta_gradient, "adapt": at.adapt}
    if alone(at.scenario):  # few shapes to compile, so a batch too
        calls["batch_meta_gradient"] = lambda: at.batch_meta_gradient(tasks=[at.task])
    for call, function in calls.items():
        function()
        for name, tree in given.items():
            yield Same(f"{name} after {call}", tree, before[name])


@law(
    "writing into a result changes no argument and no other result; K = 0 alone may share memory with φ",
    "MS-PURE-1",
    "MS-EDGE-1",
    on=small,
    applies=alone,
    numeric=False,
    dtypes=ONE,
)
def results_of_their_own(at: LawContext) -> Iterator[Claim]:
    first = at.meta_gradient()
    params, kept = _copied(at, at.params), _copied(at, _parts(first))
    second = at.meta_gradient()
    for leaf in at.B.tree_flatten([second.delta, second.adapted])[0]:
        with suppress(Exception):  # arrays of some frameworks cannot be written to at all
            leaf[...] = 0 * leaf
    yield Same("params", at.params, params)
    yield Same("an earlier result", _parts(first), kept)
    yield Same("a later result", _parts(at.meta_gradient()), kept)


@law(
    "a loss that writes into its parameters or its batch is an error, and changes neither",
    "MS-PURE-1",
    on=small,
    applies=alone,
    numeric=False,
    dtypes=ONE,
)
def writing_loss(at: LawContext) -> Iterator[Claim]:
    params, task = _copied(at, at.params), _copied(at, at.task)
    scratch = at.array(np.array([1.0, 2.0]))
    writable = True
    try:
        scratch[...] = scratch * 2
    except Exception:
        writable = False

    def into(which: int) -> Callable[[Tree, Tree], Array]:
        def loss(*given: Tree) -> Array:
            leaf = at.B.tree_flatten(given[which])[0][0]
            leaf[...] = leaf * 2
            return at.loss(*given)

        return loss

    def binding(params: Tree, batch: Tree) -> Array:
        params["a"] = params["a"] * 1.0
        batch["x"] = batch["x"] * 1.0
        return at.loss(params, batch)

    # TypeError: a tracer that takes no assignment, though the framework's arrays do.
    kinds = (MutationError, TypeError) if writable else Exception
    for which, name in enumerate(("params", "batch")):
        yield raises(f"into {name}", kinds, partial(at.meta_gradient, loss=into(which)))
    yield Same("the caller's params, written into: params", at.params, params)
    yield Same("the caller's task, written into: task", at.task, task)
    if at.scenario.id == "small":
        yield Same(
            "new values in its own containers", at.meta_gradient(loss=binding).adapted, at.meta_gradient().adapted
        )
        yield Same("the caller's containers", (at.params, at.task), (params, task))


@law(
    "the same call gives the same bits, after other calls and on the same data made anew; a batch does too",
    "MS-PURE-2",
    on=lambda: [*EACH(), *small()],
    numeric=False,
    dtypes=ONE,
)
def same_bits(at: LawContext) -> Iterator[Claim]:
    first = at.meta_gradient()
    other = tree_map(at.B, lambda w: w + 1, at.params)
    at.meta_gradient(params=other)
    yield Same("alone", _parts(at.meta_gradient()), _parts(first))
    yield Same("from the same data anew", _parts(replace(at).meta_gradient()), _parts(first))
    if alone(at.scenario):
        of_batch = at.batch_meta_gradient(tasks=[at.task])
        yield Same("batch", _parts(at.batch_meta_gradient(tasks=[at.task])), _parts(of_batch))


@law(
    "another process on the same machine gives the same bits",
    "MS-PURE-2",
    on=scenarios("tanh-network-1/maml/steps-3"),
    applies=alone,
    numeric=False,
    dtypes=("float64",),
)
def same_bits_in_another_process(at: LawContext) -> Iterator[Claim]:
    from metaspec_conformance.workers.work_queue import CHECKS  # checks are made of laws
    from metaspec_conformance.workers.worker import Worker

    here = _parts(at.meta_gradient())
    yield Same("in this process", _parts(at.meta_gradient()), here)
    if at.target is None:
        return
    with Worker(f"{CHECKS}:greet", at.target) as worker:
        result = worker.call(f"{CHECKS}:perform_check", at.target, at.scenario, at.dtype, timeout=PATIENCE)
    yield Holds("it computes", not result.error, result.error)
    yield Same("in another", here, result.trees)


@law(
    "no setting of the framework, of NumPy or of Python is another one after a computation or an error",
    "MS-PURE-1",
    "MS-PURE-3",
    "MS-BACKEND-5",
    on=small,
    applies=alone,
    subject=PROTOCOL,
    numeric=False,
)
def settings_untouched(at: LawContext) -> Iterator[Claim]:
    def computed() -> None:
        at.meta_gradient()
        at.batch_meta_gradient(tasks=[at.task, at.task])
        ms.compile(lambda params: at.meta_gradient(params=params).delta, backend=at.B)(at.params)

    def failed() -> None:
        with suppress(ms.MetaspecError):
            at.meta_gradient(loss=lambda params, batch: at.loss(params, batch) * float("nan"))

    def within(dtype: str) -> None:
        with suppress(ms.MetaspecError), at.B.precision(dtype):
            at.meta_gradient(params=[])

    calls: dict[str, Callable[[], None]] = {"computations": computed, "an error in the inner loop": failed}
    calls |= {f"an error within {dtype}": partial(within, dtype) for dtype in ("float32", "float64")}
    for name, call in calls.items():
        before = _settings(at)
        call()
        after = _settings(at)
        changed = [key for key in before if before[key] != after[key]]
        yield Holds(f"after {name}", not changed, f"changed: {', '.join(changed)}")


def _settings(at: LawContext) -> dict[str, Any]:
    state: Any = np.random.get_state()  # noqa: NPY002  # the global one, which nobody may touch
    return dict(deepcopy(at.B.guard.settings())) | {
        "numpy.geterr": np.geterr(),
        "numpy.random": (state[1].tobytes(), *state[2:]),
        "numpy print options": repr(np.get_printoptions()),
        "random": random.getstate(),
        "environment": dict(os.environ),
        "warnings": list(warnings.filters),
        "recursion limit": sys.getrecursionlimit(),
        "backend": ms.get_backend(),
    }
