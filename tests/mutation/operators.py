"""Which changes are made: Cosmic Ray's operators without those that hardly any program survives, and three more."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import parso
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator

REPLACED = {
    "Add": "Sub",
    "Sub": "Add",
    "Mul": "Add Div",
    "Div": "Mul FloorDiv",
    "FloorDiv": "Div Mul",
    "Mod": "FloorDiv",
    "Pow": "Mul",
    "BitOr": "BitAnd",
    "BitAnd": "BitOr",
    "BitXor": "BitAnd",
    "RShift": "LShift",
    "LShift": "RShift",
}
COMPARED = {
    "Eq": "NotEq",
    "NotEq": "Eq",
    "Lt": "LtE GtE",
    "LtE": "Lt Gt",
    "Gt": "GtE LtE",
    "GtE": "Gt Lt",
    "Is": "IsNot",
    "IsNot": "Is",
}
OTHERS = (
    "AddNot",
    "ExceptionReplacer",
    "NumberReplacer",
    "RemoveDecorator",
    "ReplaceAndWithOr",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "ReplaceFalseWithTrue",
    "ReplaceOrWithAnd",
    "ReplaceTrueWithFalse",
    "ReplaceUnaryOperator_Delete_Invert",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_USub",
    "ZeroIterationForLoop",
)
Span = tuple[tuple[int, int], tuple[int, int]]


class NegateMembership(Operator):
    """`in` for `not in` and the reverse, which Cosmic Ray leaves alone."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "comparison":
            for sign in node.children[1::2]:
                if _plain(sign) in ("in", "not in"):
                    yield sign.start_pos, sign.end_pos

    def mutate(self, node: Any, index: int) -> Any:
        places = [i for i, child in enumerate(node.children) if i % 2 and _plain(child) in ("in", "not in")]
        other = {"in": " not in", "not in": " in"}[_plain(node.children[places[index]])]
        node.children[places[index]] = parso.parse(other)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return Example("x in y", "x not in y"), Example("x not in y", "x in y")


class ReturnNone(Operator):
    """What a function or a lambda gives becomes None."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type in ("return_stmt", "lambdef") and _plain(node.children[-1]) != "None":
            yield node.children[-1].start_pos, node.children[-1].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[-1] = parso.parse(" None")
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return Example("lambda x: x + 1", "lambda x: None"), Example("return x", "return None")


class RemoveStatement(Operator):
    """A call made for its effect, or a `raise`, is left out."""

    def mutation_positions(self, node: Any) -> Iterator[Span]:
        if node.type == "simple_stmt" and self._goes(node.children[0]):
            yield node.children[0].start_pos, node.children[0].end_pos

    def mutate(self, node: Any, index: int) -> Any:
        node.children[0] = parso.parse(node.children[0].get_first_leaf().prefix + "pass")
        return node

    @staticmethod
    def _goes(statement: Any) -> bool:
        if statement.type == "raise_stmt":
            return True
        return statement.type == "atom_expr" and statement.children[-1].get_first_leaf().value == "("

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return Example("check(x)\n", "pass\n"), Example("raise KeyError(x)\n", "pass\n")


def _plain(node: Any) -> str:
    return " ".join(node.get_code().split())


@cache
def operators() -> dict[str, Operator]:
    """Every operator by its name."""
    names = [f"ReplaceBinaryOperator_{a}_{b}" for a, bs in REPLACED.items() for b in bs.split()]
    names += [f"ReplaceComparisonOperator_{a}_{b}" for a, bs in COMPARED.items() for b in bs.split()]
    found = {name: get_operator(f"core/{name}")() for name in (*names, *OTHERS)}
    return found | {cls.__name__: cls() for cls in (NegateMembership, ReturnNone, RemoveStatement)}
