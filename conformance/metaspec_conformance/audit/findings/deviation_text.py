"""Each deviation of a hypothesis in words, with the numbers that were found."""

from collections.abc import Mapping, Sequence
from typing import Any

from metaspec_conformance.audit.findings.wording import TITLES
from metaspec_conformance.audit.hypotheses.expectation import Expectation, name_of
from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, steps_kept
from metaspec_conformance.audit.hypotheses.inner_rules import PLAIN


def deviation_text(code: str, h: Hypothesis, e: Expectation, found: Mapping[str, Any], names: Sequence[str]) -> str:
    """The text of a finding.

    Args:
        code: Of the deviation.
        h: What was found.
        e: What was expected.
        found: The report's fields so far.
        names: Of the leaves.
    """
    if code == "algorithm":
        assert e.algorithm is not None
        return f"{TITLES[name_of(h)]}, where {TITLES[e.algorithm]} was claimed"
    texts: Mapping[str, str] = {
        "steps": f"{h.steps} inner steps ({found.get('steps_rule')}), where {e.steps} were asked for",
        "inner-rate": f"the inner rate is {h.rate:.6g}"
        + (f", {h.rate / e.rate:.6g} times the given one" if e.rate else ""),
        "inner-sum": f"the inner rate grows with the number of examples ({found.get('inner_reduction')})",
        "partial-second-order": f"inner steps differentiated: {_marks(h)} (first to last)",
        "hessian-factor": f"the second-order terms are multiplied by {h.hessian_factor:.6g}",
        "hessian-data": f"second derivatives are of the loss on {_set(h.hessian_data)}",
        "hessian-point": f"second derivatives are taken at the {h.hessian_point} of the path",
        "inner-data": f"the inner loop runs on {_set(h.inner_data)}",
        "outer-data": f"the outer gradient is of the loss on {_set(h.outer_data)}",
        "outer-point": f"the outer gradient is taken at the path's point {h.point!r}",
        "multi-step-loss": f"the outer loss is summed over the inner steps ({h.every})",
        "proximal-missing": "the inner loop has no proximal term",
        "regularization": f"lambda is {h.strength:.6g}, where {e.strength} was asked for",
        "operator": f"the operator is {h.operator[0]:.4g} I + {h.operator[1]:.4g} H/lambda",
        "block-diagonal": "H has no entries between leaves" if h.blocks == "leaf" else "H is replaced by its diagonal",
        "solver": f"the system is solved by {h.solver}"
        + (f", {h.solver_steps} steps" if h.solver_steps else "")
        + (f"; {e.cg_steps} steps of conjugate gradients were asked for" if e.cg_steps else ""),
        "leaf-frozen": f"the inner loop does not move {_named(h.frozen, names)}",
        "leaf-exchanged": "exchanged or transposed: "
        + _named(
            [i for p in (*h.swaps, h.inner_swap or ()) for i in (p if isinstance(p, tuple) else (p,))]
            + list(h.transposed),
            names,
        ),
        "inner-optimizer": f"the inner loop is {optimizer(h)} {list(h.rule.constants) or ''}".strip(),
    }
    return texts[code]


def _named(leaves: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(names[i] for i in leaves)


def _set(part: str) -> str:
    return {"support": "the support set", "query": "the query set", "both": "support and query joined"}[part]


def _marks(h: Hypothesis) -> str:
    return " ".join("yes" if kept else "no" for kept in steps_kept(h.mask, h.steps))


def optimizer(h: Hypothesis) -> str:
    """The name of what drives the inner loop."""
    if h.rule != PLAIN:
        return h.rule.kind
    if h.decay:
        return "weight decay"
    return "proximal" if h.proximal and h.algorithm != "imaml" else "gradient descent"
