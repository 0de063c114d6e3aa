"""Golden vectors as JSON: one file for each loss. docs/golden-vectors.md describes the schema."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from metaspec_conformance.golden.vector_records import (
    Array,
    Arrays,
    Inputs,
    Outputs,
    Vector,
    VectorAlgorithm,
    VectorRule,
    VectorSolver,
    VectorTask,
)

SCHEMA = "metaspec golden vectors"
VERSION = 2
ABOUT = "docs/golden-vectors.md of metaspec has the schema, the losses as formulas, and how the 30 digits are known"
PLACE = Path(__file__).parent / "vectors"
WIDTH = 120

Json = Any


def load(place: Path = PLACE) -> tuple[Vector, ...]:
    """Every vector in the files of a folder, by default those that come with metaspec.

    Raises:
        ValueError: A file is of another schema or version.
    """
    return tuple(vector for path in sorted(place.glob("*.json")) for vector in parse(path.read_text("utf-8")))


def parse(text: str) -> tuple[Vector, ...]:
    """The vectors of one file."""
    content = json.loads(text)
    if (content.get("schema"), content.get("version")) != (SCHEMA, VERSION):
        raise ValueError(
            f"expected schema {SCHEMA!r} version {VERSION}, got {content.get('schema')!r} {content.get('version')!r}"
        )
    return tuple(_vector(content["loss"], node) for node in content["vectors"])


def texts(vectors: Iterable[Vector]) -> dict[str, str]:
    """The files' names and texts."""
    by_loss: dict[str, list[Json]] = {}
    for vector in vectors:
        by_loss.setdefault(vector.inputs.loss, []).append(_node(vector))
    header = {"schema": SCHEMA, "version": VERSION, "about": ABOUT}
    return {f"{loss}.json": _text({**header, "loss": loss, "vectors": nodes}) + "\n" for loss, nodes in by_loss.items()}


def _node(vector: Vector) -> Json:
    inputs = vector.inputs
    return {
        "id": inputs.id,
        "algorithm": _algorithm_node(inputs.algorithm),
        "params": _arrays_node(inputs.params),
        "tasks": [
            {"support": _arrays_node(task.support), "query": None if task.query is None else _arrays_node(task.query)}
            for task in inputs.tasks
        ],
        "expected": _outputs_node(vector.expected),
        "amplification": _outputs_node(vector.amplification),
    }


def _algorithm_node(algorithm: VectorAlgorithm) -> Json:
    lr = algorithm.lr if isinstance(algorithm.lr, str) else _arrays_node(algorithm.lr)
    node = {"name": algorithm.name, "steps": algorithm.steps, "lr": lr}
    if algorithm.rule is not None:
        rule = {name: value for name, value in vars(algorithm.rule).items() if value not in (None, (), {})}
        node["rule"] = {**rule, "inputs": {name: _arrays_node(given) for name, given in algorithm.rule.inputs.items()}}
    if algorithm.solver is None:
        return node
    solver = {"name": algorithm.solver.name, "steps": algorithm.solver.steps, "damping": algorithm.solver.damping}
    solver = {key: value for key, value in solver.items() if value is not None}
    return {**node, "regularization": algorithm.regularization, "solver": solver}


def _arrays_node(arrays: Arrays) -> Json:
    return {name: _array_node(arrays[name]) for name in sorted(arrays)}


def _array_node(array: Array) -> Json:
    return {"shape": list(array.shape), "values": list(array.values)}


def _outputs_node(outputs: Outputs) -> Json:
    node = {
        "delta": _arrays_node(outputs.delta),
        "adapted": [_arrays_node(arrays) for arrays in outputs.adapted],
        "query_loss": outputs.query_loss.values[0],
    }
    learned = {name: _arrays_node(arrays) for name, arrays in outputs.learned.items()}
    return {**node, "learned": learned} if learned else node


def _vector(loss: str, node: Json) -> Vector:
    algorithm = node["algorithm"]
    lr, solver = algorithm["lr"], algorithm.get("solver")
    inputs = Inputs(
        node["id"],
        loss,
        VectorAlgorithm(
            algorithm["name"],
            algorithm["steps"],
            lr if isinstance(lr, str) else _arrays(lr),
            algorithm.get("regularization"),
            None if solver is None else VectorSolver(**solver),
            _rule(algorithm.get("rule")),
        ),
        _arrays(node["params"]),
        tuple(
            VectorTask(_arrays(t["support"]), None if t["query"] is None else _arrays(t["query"]))
            for t in node["tasks"]
        ),
    )
    return Vector(inputs, _outputs(node["expected"]), _outputs(node["amplification"]))


def _outputs(node: Json) -> Outputs:
    adapted = tuple(_arrays(arrays) for arrays in node["adapted"])
    learned = {name: _arrays(arrays) for name, arrays in node.get("learned", {}).items()}
    return Outputs(_arrays(node["delta"]), adapted, Array((), (node["query_loss"],)), learned)


def _rule(node: Json) -> VectorRule | None:
    if node is None:
        return None
    given: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in node.items()}
    return VectorRule(**{**given, "inputs": {name: _arrays(arrays) for name, arrays in node["inputs"].items()}})


def _arrays(node: Mapping[str, Json]) -> Arrays:
    return {name: Array(tuple(array["shape"]), tuple(array["values"])) for name, array in node.items()}


def _text(node: Json, indent: str = "") -> str:
    """JSON with whatever fits on a line on one line."""
    line = json.dumps(node, ensure_ascii=False)
    if len(indent) + len(line) <= WIDTH or not isinstance(node, dict | list):
        return line
    deeper = indent + " "
    if isinstance(node, list):
        if not isinstance(node[0], dict):
            return line
        parts = [_text(child, deeper) for child in node]
    else:
        parts = [f"{json.dumps(key)}: {_text(child, deeper)}" for key, child in node.items()]
    opening, closing = "[]" if isinstance(node, list) else "{}"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{closing}"


def _task(node: Any) -> VectorTask:
    return VectorTask(_arrays(node["support"]), None if node["query"] is None else _arrays(node["query"]))
