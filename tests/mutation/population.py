"""All mutants of the modules in scope, and a seeded uniform sample of them."""

import random
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code

from .operators import operators

ROOT = Path(__file__).parents[2]
ROOMS = {  # the first that fits a module's path
    "algorithms": "metaspec/algorithms",
    "blocks and networks": "metaspec/nn",
    "core": "metaspec",
    "tracer: rules": "backends/numpy/tracer/rules",
    "tracer: functions": "backends/numpy/tracer/functions",
    "tracer: machinery": "backends/numpy",
}
OUT_OF_SCOPE = ("metaspec/cli", "metaspec/data", "metaspec/training", "metaspec/files.py")  # they compute no derivative
ARITHMETIC = ("arith_expr", "term", "power", "expr", "and_expr", "xor_expr", "shift_expr")


@dataclass(frozen=True)
class Mutant:
    """One change of one place.

    Attributes:
        path: The module, from the repository's root.
        function: Dotted name of the innermost function or class around the place; "" at the module's top.
        operator: What was done, see `operators`.
        occurrence: The operator's how manieth place in the module.
        line: The line of the place, from 1.
        statement: First and last line of the statement that the place is in.
        scope: First and last line of the innermost function or class around it, or of the module.
    """

    path: str
    function: str
    operator: str
    occurrence: int
    line: int
    statement: tuple[int, int]
    scope: tuple[int, int]

    @property
    def room(self) -> str:
        return next(room for room, prefix in ROOMS.items() if self.path.startswith(prefix))

    def first_line(self) -> str:
        """The line of the place, as `change` writes it."""
        return _joined([text(self.path).splitlines()[self.line - 1]])

    def source(self) -> str:
        """The module with the change in it."""
        return _mutated(self)

    def change(self) -> tuple[str, str]:
        """The lines that differ, before and after: what names the mutant wherever its line moves to."""
        before, after = text(self.path).splitlines(), self.source().splitlines()
        while before and after and before[0] == after[0]:
            before, after = before[1:], after[1:]
        while before and after and before[-1] == after[-1]:
            before, after = before[:-1], after[:-1]
        return _joined(before), _joined(after)


def modules() -> list[str]:
    """The modules in scope."""
    files = [
        path.relative_to(ROOT).as_posix()
        for room in ("metaspec", "backends/numpy")
        for path in (ROOT / room).rglob("*.py")
    ]
    return sorted(path for path in files if not path.startswith(OUT_OF_SCOPE))


def population() -> list[Mutant]:
    """Every mutant, in a fixed order."""
    return [mutant for path in modules() for mutant in _of_module(path)]


def sample(mutants: list[Mutant], size: int, seed: int) -> list[Mutant]:
    """`size` of them, drawn uniformly without replacement; all of them where there are no more."""
    return mutants if size >= len(mutants) else random.Random(seed).sample(mutants, size)


@cache
def text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


@lru_cache(maxsize=64)
def _mutated(mutant: Mutant) -> str:
    mutated = mutate_code(text(mutant.path), operators()[mutant.operator], mutant.occurrence)
    if mutated is None:
        raise ValueError(f"{mutant} is not to be had")
    return str(mutated)


def _of_module(path: str) -> list[Mutant]:
    nodes = list(ast_nodes(get_ast(text(path))))
    found = []
    for name, operator in operators().items():
        places = ((node, span) for node in nodes for span in operator.mutation_positions(node))
        for occurrence, (node, (start, _)) in enumerate(places):
            if not _left_out(name, node):
                found.append(Mutant(path, _function(node), name, occurrence, start[0], _statement(node), _scope(node)))
    return found


def _left_out(operator: str, node: Any) -> bool:
    """What has no behaviour to change: annotations, messages, imports for type checkers, zip's `strict`, signatures."""
    if operator.startswith("ReplaceBinaryOperator") and node.parent.type not in ARITHMETIC:
        return True  # the signs in signatures
    while (parent := node.parent) is not None:
        if node.type == "fstring" or _annotates(node, parent):
            return True
        if node.type == "argument" and node.children[0].get_code().strip() == "strict":
            return True
        if node.type == "if_stmt" and node.children[1].get_code().strip() == "TYPE_CHECKING":
            return True
        node = parent
    return False


def _annotates(node: Any, parent: Any) -> bool:
    if parent.type == "funcdef":
        return bool(node.get_previous_sibling() == "->")
    return (parent.type, parent.children.index(node)) in (("tfpdef", 2), ("annassign", 1))


def _function(node: Any) -> str:
    names = []
    while node is not None:
        if node.type in ("funcdef", "classdef"):
            names.append(node.name.value)
        node = node.parent
    return ".".join(reversed(names))


def _scope(node: Any) -> tuple[int, int]:
    while node.parent is not None and node.type not in ("funcdef", "classdef", "decorated"):
        node = node.parent
    return node.start_pos[0], node.end_pos[0]


def _statement(node: Any) -> tuple[int, int]:
    while node.parent is not None and node.parent.type not in ("simple_stmt", "suite", "file_input"):
        if node.parent.type.endswith("_stmt") and node.type == "suite":
            break
        node = node.parent
    first = node.start_pos[0]
    if node.type in ("funcdef", "classdef", "if_stmt", "for_stmt", "while_stmt", "with_stmt", "try_stmt", "decorated"):
        suite = next((child for child in node.children if child.type == "suite"), node)
        return first, max(first, suite.start_pos[0] - (suite is not node))
    return first, node.end_pos[0]


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
