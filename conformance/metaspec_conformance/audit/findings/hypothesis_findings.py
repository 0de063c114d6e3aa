"""Findings on the confirmed hypothesis: each way in which it deviates from the claim."""

from typing import Any

from metaspec_conformance.audit.findings.deviation_text import deviation_text, optimizer
from metaspec_conformance.audit.findings.report_draft import ReportDraft
from metaspec_conformance.audit.hypotheses.expectation import deviations, name_of
from metaspec_conformance.audit.hypotheses.family import FAMILY, excused, is_member, member_of
from metaspec_conformance.audit.hypotheses.hypothesis import Hypothesis, loss_weights, steps_kept
from metaspec_conformance.audit.search.number_formats import is_held_in_float32
from metaspec_conformance.audit.thresholds import SAME_NUMBER


def algorithm_name(draft: ReportDraft, h: Hypothesis) -> str:
    """Return the claim where it holds, else the member of the family where none is claimed, else the algorithm."""
    claim = draft.claims.algorithm
    if claim is not None:
        return claim if claim in FAMILY and is_member(claim, h, draft.parts) else name_of(h)
    codes = frozenset(deviations(h, draft.expected, draft.objective.entries(0)))
    return member_of(h, codes, draft.expected.given, draft.parts) or name_of(h)


def add_hypothesis_findings(draft: ReportDraft, h: Hypothesis) -> None:
    """Add each deviation of the confirmed hypothesis, and its numbers to the fields."""
    state, e = draft.state, draft.expected
    rules = state.explanation.generalised if state.explanation else None
    codes = deviations(h, e, draft.objective.entries(0))
    steps_rule = "found" if e.steps is None else "as given" if h.steps == e.steps else f"always {h.steps}"
    if rules is not None and e.steps is not None and "steps" in draft.harness.signature.names:
        rule = rules.rule("steps")
        steps_rule = "as given" if rule == "given" else rule
        if rule.startswith("always") and "steps" not in codes and name_of(h) != "gradient":
            codes += ("steps",)
    if rules is not None and "lr" in draft.harness.signature.names and h.steps:
        codes += ("inner-rate",) * (rules.rule("rate") != "lr" and "inner-rate" not in codes)
    if rules is not None and "cg_steps" in draft.harness.signature.names and h.solver_steps:
        codes += ("solver",) * (rules.rule("solver_steps") == "constant")
    draft.found |= _fields(draft, h, steps_rule)
    name, own = algorithm_name(draft, h), excused(algorithm_name(draft, h), h, draft.parts)
    if draft.claims.algorithm in FAMILY and name != draft.claims.algorithm and "algorithm" not in codes:
        codes = ("algorithm", *codes)
    for code in dict.fromkeys(codes):
        support = code == "inner-data" and h.algorithm == "reptile" and h.inner_data == "support"
        draft.add(code, deviation_text(draft, code, h), note=support or code in own)
    _add_number_formats(draft, h)


def _add_number_formats(draft: ReportDraft, h: Hypothesis) -> None:
    """Add a note for each number that the code holds in float32, or otherwise not quite as it was given."""
    e, named = draft.expected, draft.harness.signature.names
    held = {"inner rate": (h.rate, e.rate, h.steps > 0)}
    held["regularization"] = (h.strength, e.strength, h.algorithm == "imaml")
    for name, constant in zip(h.rule.names[:1], h.rule.constants, strict=False):
        held[f"{name} of {h.rule.kind}"] = (constant, None, h.steps > 0)
    for name, (number, given, used) in held.items():
        differs = given is not None and 0 < abs(number - given) <= SAME_NUMBER * abs(given)
        if used and draft.harness.dtype == "float64" and (differs or is_held_in_float32(number)):
            where = f", where {given:g} was given" if differs and "lr" in named else ""
            form = "held in float32" if is_held_in_float32(number) else "held in another format"
            draft.add("number-format", f"the {name} is {form}: {number:.12g}{where}", note=True)


def _fields(draft: ReportDraft, h: Hypothesis, steps_rule: str) -> dict[str, Any]:
    """Return the hypothesis as fields of the report."""
    rate = draft.expected.rate
    lr = h.rate
    multiple = ""
    if h.inner_sum:
        multiple = "sum over examples"
        for n in draft.objective.entries(0):
            if rate is not None and abs(h.rate / (rate * n) - 1) < SAME_NUMBER:
                lr, multiple = h.rate / n, "sum over entries"
    found: dict[str, Any] = {
        "steps": h.steps,
        "steps_rule": steps_rule,
        "lr": lr,
        "lr_factor": None if rate is None else lr / rate,
        "inner_data": h.inner_data,
        "outer_data": h.outer_data if h.algorithm != "reptile" else None,
        "inner_reduction": multiple or "mean",
        "inner_optimizer": optimizer(h),
        "inner_constants": dict(zip(h.rule.names, h.rule.constants, strict=True)),
        "rate_per": h.rate_per,
        "rates": [h.rate * r for r in h.rate_ratios],
        "minibatch": h.minibatch,
        "shrink": h.shrink,
        "outer_decay": h.outer_decay,
        "outer_clip": h.outer_clip,
        "ignored": [draft.objective.names[i] for i in draft.state.ignored],
        "frozen": [draft.objective.names[i] for i in h.frozen],
        "exchanged": sorted(
            draft.objective.names[i] for pair in (*h.swaps, *([h.inner_swap] if h.inner_swap else [])) for i in pair
        ),
        "transposed": [draft.objective.names[i] for i in h.transposed],
    }
    if h.algorithm in ("maml", "fomaml"):
        kept = steps_kept(h.mask, h.steps) if h.algorithm == "maml" else (False,) * h.steps
        weights = list(loss_weights(h)[1:])
        found |= {"differentiated": list(kept), "hessian_factor": h.hessian_factor}
        found |= {"loss_weights": weights, "difference": h.difference}
    if h.algorithm == "imaml":
        solver_steps = h.solver_steps if h.solver != "exact" else None
        found |= {
            "regularization": h.strength,
            "proximal": h.proximal,
            "operator": list(h.operator),
            "blocks": h.blocks,
            "solver": h.solver,
            "solver_steps": solver_steps,
            "solver_rate": h.solver_rate,
        }
    return found
