"""Members of the family by name: the algorithm that each is, and the deviations that make it that member."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from metaspec_conformance.audit.hypotheses.hypothesis import ALGORITHMS, Algorithm, Hypothesis, steps_kept


@dataclass(frozen=True)
class Parts:
    """The leaves of a network's head, its last layer, and of its body, by place."""

    head: frozenset[int]
    body: frozenset[int]


def parts_of(names: Sequence[str]) -> Parts:
    """Return the parts of a network by the names of its leaves: its last layer is the one named last or so called."""
    layers = [re.sub(r"[^0-9]", "", name) if "." not in name else name.rpartition(".")[0] for name in names]
    called = [layer for layer, name in zip(layers, names, strict=True) if re.search("head|classif|logit", name)]
    last = called[0] if called else max(layers, key=lambda x: [int(n) for n in re.findall(r"\d+", x)], default="")
    head = frozenset(i for i, layer in enumerate(layers) if layer == last)
    return Parts(head, frozenset(range(len(names))) - head)


@dataclass(frozen=True)
class Member:
    """A member of the family.

    Attributes:
        title: Its name in reports.
        algorithm: The algorithm that it is a form of.
        codes: The deviations from that algorithm that it has, which are no faults of it.
        holds: Whether a hypothesis of that algorithm is the member, in a network of these parts.
    """

    title: str
    algorithm: Algorithm
    codes: frozenset[str]
    holds: Callable[[Hypothesis, Parts], bool]


def _frozen_head(h: Hypothesis, parts: Parts) -> bool:
    return bool(h.frozen) and frozenset(h.frozen) == parts.head


def _moving_head(h: Hypothesis, parts: Parts) -> bool:
    return bool(h.frozen) and frozenset(h.frozen) == parts.body and not h.from_zero


def _truncated(h: Hypothesis, parts: Parts) -> bool:
    kept = steps_kept(h.mask, h.steps)
    return h.mask != "all" and any(kept) and list(kept) == sorted(kept)


def _varying(h: Hypothesis, parts: Parts) -> bool:
    return h.rate_per in ("leaf", "step", "given") or bool(h.every)


RATES = frozenset({"inner-rate"})
PULL = frozenset({"inner-optimizer", "regularization"})
FAMILY: Mapping[str, Member] = {
    "anil": Member("ANIL", "maml", frozenset({"leaf-frozen"}), _moving_head),
    "boil": Member("BOIL", "maml", frozenset({"leaf-frozen"}), _frozen_head),
    "cavia": Member("CAVIA", "maml", frozenset({"context", "leaf-ignored"}), lambda h, parts: h.from_zero),
    "meta-sgd": Member("Meta-SGD", "maml", RATES, lambda h, parts: h.rate_per in ("entry", "given")),
    "maml++": Member("MAML++", "maml", RATES | {"multi-step-loss"}, _varying),
    "truncated-maml": Member("truncated MAML", "maml", frozenset({"partial-second-order"}), _truncated),
    "sigma-maml": Member("sigma-MAML", "maml", PULL, lambda h, parts: h.proximal),
    "sigma-imaml": Member("sigma-iMAML", "imaml", frozenset({"regularization"}), lambda h, parts: True),
    "sigma-reptile": Member("sigma-Reptile", "reptile", PULL | {"inner-data"}, lambda h, parts: h.proximal),
}
"""The members that can be claimed, beside the four algorithms."""

CLAIMS = (*ALGORITHMS, *FAMILY)


def algorithm_of(claim: str | None) -> Algorithm | None:
    """The algorithm that a claim is a form of."""
    member = FAMILY.get(claim or "")
    return member.algorithm if member is not None else claim  # type: ignore[return-value]


def excused(claim: str | None, h: Hypothesis, parts: Parts) -> frozenset[str]:
    """The deviations that are no faults of a claim, as they make it the member."""
    member = FAMILY.get(claim or "")
    return member.codes if member is not None and member.holds(h, parts) else frozenset()


def is_member(claim: str, h: Hypothesis, parts: Parts) -> bool:
    """Whether a hypothesis is what is claimed, but for deviations that are named apart."""
    member = FAMILY.get(claim)
    if member is None:
        return h.algorithm == claim
    return h.algorithm == member.algorithm and member.holds(h, parts)


def member_of(h: Hypothesis, codes: frozenset[str], given: frozenset[str], parts: Parts) -> str | None:
    """The member that a hypothesis with these deviations is exactly; None where it is none."""
    if "rates" in given and not codes and h.algorithm == "maml":
        return "meta-sgd"
    if "step_rates" in given and not codes and h.algorithm == "maml":
        return "maml++"
    if "sigma" in given and not codes:
        return {"maml": "sigma-maml", "imaml": "sigma-imaml", "reptile": "sigma-reptile"}.get(h.algorithm)
    exact = (
        name
        for name, member in FAMILY.items()
        if h.algorithm == member.algorithm and codes and codes <= member.codes and member.holds(h, parts)
    )
    return next(exact, None)
