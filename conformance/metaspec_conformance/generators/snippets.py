"""A failing scenario as a Python program to paste: the public functions, data as literals, what is expected.

It ends with an AssertionError as long as the fault is there, and needs nothing of the run that found it.
"""

from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from metaspec.inner.learned import Meta
from metaspec.task import Task
from metaspec_conformance.judging.numpy_trees import is_floating
from metaspec_conformance.scenarios.portable_losses import LOSSES
from metaspec_conformance.scenarios.reference import Reference
from metaspec_conformance.scenarios.scenario import Scenario


def snippet(scenario: Scenario, target: str, dtype: str, reference: Reference, found: str) -> str:
    """The program.

    Args:
        scenario: What fails.
        target: The backend as a worker names it: a name, or module:attribute.
        dtype: The format in which it fails.
        reference: The scenario's.
        found: What the run said of it.
    """
    _, _, attribute = target.partition(":")
    backend = f"ms.get_backend({target!r})" if not attribute else f"load({target!r})"
    loading = "\nfrom metaspec_conformance.workers.loading import load" if attribute else ""
    form = {
        "task": "ms.meta_gradient(algo, loss, params, tasks[0], backend=B)",
        "stacked": "ms.batch_meta_gradient(algo, loss, params, B.tree_stack(tasks), backend=B)",
        "sequence": "ms.batch_meta_gradient(algo, loss, params, tasks, backend=B)",
        "adapt": "ms.adapt(algo, loss, params, tasks[0].support, backend=B)",
    }[scenario.form]
    run = f"(lambda params, tasks: {form})"
    if scenario.compiled:
        run = f"ms.compile{run[:-1]}, backend=B)"
    trees = '{"adapted": r}' if scenario.form == "adapt" else "r._asdict()"
    expected = ",\n".join(
        f"    {path!r}: ({_literal(leaf.value)}, {leaf.amplification:.3g})" for path, leaf in reference.leaves.items()
    )
    return f"""\
# {scenario.id} on {target}, {dtype}: {found}
import numpy as np
import metaspec as ms
from metaspec_conformance.judging import error_model, numpy_trees{loading}
{_loss_import(scenario)}
from numpy import array

loss = {scenario.loss if isinstance(scenario.loss, str) else repr(scenario.loss)}
params = {_literal(scenario.params)}
tasks = [
{_indented(scenario.tasks)}
]
expected = {{  # leaf: (value, amplification)
{expected}
}}

B = {backend}
with B.precision({dtype!r}):
    convert = lambda tree: ms.asarray(tree, dtype={dtype!r}, backend=B)
    algo = {_algorithm(scenario.algorithm)}
    params, tasks = convert(params), [convert(task) for task in tasks]
    r = {run}(params, tasks)
    found = {{
        name + path: B.to_numpy(leaf)
        for name, tree in {trees}.items()
        if name in ("delta", "adapted", "query_loss")
        for path, leaf in numpy_trees.leaves_with_paths(tree)
    }}
worst = 0.0
for path, (value, amplification) in expected.items():
    relative = error_model.relative_error(found[path], np.asarray(value, np.longdouble))
    error = error_model.measure(path, relative, amplification, {dtype!r}).error / error_model.tolerance({dtype!r})
    worst = max(worst, error)
    print(f"{{path}}: found {{found[path]}}, expected {{value}}: {{error:.3g}} tolerances")
assert worst <= 1, f"{{worst:.3g}} tolerances"
"""


def _loss_import(scenario: Scenario) -> str:
    if isinstance(scenario.loss, str):
        return f"from {LOSSES[scenario.loss].__module__} import {scenario.loss}"
    kind = type(scenario.loss)
    return f"from {kind.__module__} import {kind.__qualname__}"


def _indented(tasks: tuple[Task, ...]) -> str:
    return ",\n".join(
        f"    ms.Task(\n        {_literal(task.support)},\n        {_literal(task.query)},\n    )" for task in tasks
    )


def _algorithm(algorithm: Any) -> str:
    """An algorithm's repr with its rates converted and its names those of the package."""
    arguments = []
    for field in fields(algorithm):
        value = getattr(algorithm, field.name)
        if is_dataclass(value):
            arguments.append(f"{field.name}={_algorithm(value)}")
        elif field.name == "lr" and not isinstance(value, float):
            arguments.append(f"lr=convert({_literal(value)})")
        else:
            arguments.append(f"{field.name}={value!r}")
    return f"ms.{type(algorithm).__name__}({', '.join(arguments)})"


def _literal(tree: Any) -> str:
    """A tree of arrays as Python; float32 numbers are written with as many digits as they need."""
    if tree is None:
        return "None"
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{key!r}: {_literal(child)}" for key, child in tree.items()) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(_literal(child) for child in tree) + "]"
    if isinstance(tree, Meta):
        return f"ms.Meta({_literal(tree.params)}, {_literal(tree.learned)})"
    if isinstance(tree, tuple):
        return "(" + "".join(_literal(child) + ", " for child in tree) + ")"
    return _array(np.asarray(tree))


def _array(x: Any) -> str:
    if not is_floating(x):
        return f"array({x.tolist()!r}, {x.dtype.name!r})"
    if x.dtype != np.longdouble and np.array_equal(x, x.astype(np.float32)):
        numbers = f"{np.vectorize(lambda e: float(str(np.float32(e))), otypes=[float])(x).tolist()!r}, 'float32'"
        return f"array({numbers})" if 0 not in x.shape else f"np.zeros({x.shape})"
    if 0 in x.shape:
        return f"np.zeros({x.shape})"
    return f"array({np.vectorize(lambda e: format(e, '.20g'), otypes=[object])(x).tolist()!r}, np.longdouble)"
