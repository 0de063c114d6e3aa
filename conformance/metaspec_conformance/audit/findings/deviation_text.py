"""Each deviation of a hypothesis in words, with the numbers that were found."""

from collections.abc import Mapping, Sequence

from metaspec_conformance.audit.findings.report_draft import ReportDraft
from metaspec_conformance.audit.findings.wording import TITLES
from metaspec_conformance.audit.hypotheses.expectation import name_of
from metaspec_conformance.audit.hypotheses.hypothesis import RATES, SOLVERS, Hypothesis, loss_weights, steps_kept
from metaspec_conformance.audit.hypotheses.implicit_operators import written
from metaspec_conformance.audit.hypotheses.inner_rules import PLAIN

FORMS = {"around": "around the end", "split": "round by round", "first": "the first ones at every step"}
MANY = 12  # numbers that are printed one by one; of more, the least and the largest


def deviation_text(draft: ReportDraft, code: str, h: Hypothesis) -> str:
    """Return the text of a finding on the hypothesis `h`."""
    e, names = draft.expected, draft.objective.names
    if code == "algorithm":
        assert draft.claims.algorithm is not None
        return f"{TITLES[name_of(h)]}, where {TITLES[draft.claims.algorithm]} was claimed"
    texts: Mapping[str, str] = {
        "steps": f"{h.steps} inner steps ({draft.found.get('steps_rule')}), where {e.steps} were asked for",
        "inner-rate": _rates(draft, h),
        "inner-sum": f"the inner rate grows with the number of examples ({draft.found.get('inner_reduction')})",
        "partial-second-order": f"inner steps differentiated: {_marks(h)} (first to last)",
        "hessian-factor": f"the second-order terms are multiplied by {h.hessian_factor:.6g}"
        + _follows(draft, "hessian_factor"),
        "hessian-data": f"second derivatives are of the loss on {_set(h.hessian_data)}",
        "hessian-point": f"second derivatives are taken at the {h.hessian_point} of the path",
        "difference": f"products with the Hessian are {h.difference_form.partition(' ')[0]} differences with the step "
        f"{h.difference:.4g}{' / |v|' if '/' in h.difference_form else ' v'}",
        "inner-data": f"the inner loop runs on {_set(h.inner_data)}",
        "minibatches": f"inner steps see {h.minibatch} examples each, {FORMS[h.minibatch_form]}",
        "outer-data": f"the outer gradient is of the loss on {_set(h.outer_data)}",
        "outer-point": f"the outer gradient is taken at the path's point {h.point!r}",
        "multi-step-loss": "the outer loss is summed over the points of the path, with the weights "
        + listed(_weights(draft, h)),
        "shrinkage": f"the inner loop starts at {h.shrink:.6g} times the parameters",
        "context": f"{_moved(h, names)} start at zero for every task, and have no meta-gradient",
        "outer-decay": f"{h.outer_decay:.6g} times the parameters are added to the result",
        "outer-clipping": f"the {'norm' if h.outer_clip_by == 'norm' else 'size of an entry'} of the result is at most "
        f"{h.outer_clip:.6g}",
        "proximal-missing": "the inner loop has no proximal term",
        "regularization": _strengths(draft, h),
        "operator": operator_text(draft, h),
        "block-diagonal": "H has no entries between leaves" if h.blocks == "leaf" else "H is replaced by its diagonal",
        "solver": f"the system is solved {_solved(h)}"
        + _follows(draft, "solver_rate")
        + _follows(draft, "solver_steps", " whatever is asked for")
        + (f"; {e.cg_steps} steps of conjugate gradients were asked for" if e.cg_steps else ""),
        "leaf-frozen": f"the inner loop moves {_moved(h, names)} alone, not {_named(h.frozen, names)}",
        "leaf-exchanged": "exchanged or transposed: "
        + _named(
            [i for p in (*h.swaps, h.inner_swap or ()) for i in (p if isinstance(p, tuple) else (p,))]
            + list(h.transposed),
            names,
        ),
        "inner-optimizer": _optimizer_text(h),
    }
    return texts[code]


def _solved(h: Hypothesis) -> str:
    if h.solver == "neumann" and h.solver_steps == 1:
        return "with the identity in place of the inverse, as T1-T2 has it"
    return SOLVERS[h.solver].format(n=h.solver_steps, rate=h.solver_rate).replace("by 1 steps", "by 1 step")


def operator_text(draft: ReportDraft, h: Hypothesis) -> str:
    """Return iMAML's operator in words, with what of the factor on the result is its own."""
    form = draft.state.explanation.generalised.rule("operator") if draft.state.explanation else "constant"
    factor, power = operator_factor(draft, h)
    return f"the operator is {written(h.operator, form, h.strength, factor, power)}"


def operator_factor(draft: ReportDraft, h: Hypothesis) -> tuple[float, int]:
    """Return what of the factor on the result is the operator's: a number, and a power of lambda to multiply it by."""
    explanation = draft.state.explanation
    if explanation is None or h.algorithm != "imaml" or explanation.outer_sum or explanation.scale < 0:
        return 1.0, 0
    factor = explanation.scale / (draft.expected.factor or 1)
    power = {"1/regularization": -1, "regularization": 1}.get(explanation.scale_rule, 0)
    damped = explanation.generalised.factor != 1
    natural = h.operator != (1.0, 1.0) and any(abs(x / factor - 1) <= draft.same_factor for x in h.operator)
    if power or damped or (natural and abs(factor - 1) > draft.same_factor):
        return factor / draft.state.calls[0].inputs.settings["regularization"] ** power, power
    return 1.0, 0


def listed(numbers: Sequence[float]) -> str:
    """Return numbers one by one, or how many there are and between which."""
    if len(numbers) > MANY:
        return f"{min(numbers):.4g} to {max(numbers):.4g} ({len(numbers)} numbers)"
    return ", ".join(f"{x:.6g}" for x in numbers)


def optimizer(h: Hypothesis) -> str:
    """Return the name of what drives the inner loop."""
    if h.rule != PLAIN:
        return h.rule.kind
    if h.decay:
        return "weight decay"
    return "proximal" if h.proximal and h.algorithm != "imaml" else "gradient descent"


def _optimizer_text(h: Hypothesis) -> str:
    constants = ", ".join(f"{name} {x:.6g}" for name, x in zip(h.rule.names, h.rule.constants, strict=True))
    if h.proximal and h.algorithm != "imaml":
        constants += f"lambda {h.strength:.6g}"
    parts = [constants] if constants else []
    parts += [f"{h.decay:.6g} times the parameters"] if h.decay else []
    return f"the inner loop is {optimizer(h)}" + (f" ({', '.join(parts)})" if parts else "")


def _rates(draft: ReportDraft, h: Hypothesis) -> str:
    given = draft.expected.rate
    times = f", {h.rate / given:.6g} times the given one" if given else ""
    if not h.rate_per:
        return f"the inner rate is {h.rate:.6g}{times}{_follows(draft, 'rate', ' whatever is given')}"
    kind = RATES[h.rate_per].format(*(h.rate_ratios or (0,)))
    if h.rate_per in ("leaf", "step", "entry"):
        return f"the inner rates are {kind}: {listed([h.rate * r for r in h.rate_ratios])}"
    return f"the inner rate is {h.rate:.6g}{times}, {kind}" if h.rate_per != "given" else f"the inner rates are {kind}"


def _strengths(draft: ReportDraft, h: Hypothesis) -> str:
    if h.strengths:
        return f"lambda is one for each leaf: {listed([h.strength * s for s in h.strengths])}"
    asked = draft.expected.strength
    return f"lambda is {h.strength:.6g}{_follows(draft, 'strength', ' whatever is given')}, where {asked} was asked for"


def _follows(draft: ReportDraft, name: str, constant: str = "") -> str:
    """Return how a number follows the settings, where they are given and it is not the setting itself."""
    explanation = draft.state.explanation
    rules = dict(explanation.generalised.rules) if explanation is not None else {}
    rule = rules.get(name, "")
    plain = {"rate": "lr", "strength": "regularization", "solver_steps": "cg_steps"}.get(name)
    if rule in ("", plain):
        return ""
    return constant if rule == "constant" else f" (it follows {rule})"


def _weights(draft: ReportDraft, h: Hypothesis) -> list[float]:
    """Return the weights of the points after the first, with the factor that remains; their sum is the code's."""
    explanation = draft.state.explanation
    factor = abs(explanation.scale) / (draft.expected.factor or 1) if explanation and h.every == "weighted" else 1
    start = 0 if h.every == "from 0" else 1
    return [factor * w for w in loss_weights(h)[start:]]


def _named(leaves: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(names[i] for i in leaves)


def _moved(h: Hypothesis, names: Sequence[str]) -> str:
    return _named([i for i in range(len(names)) if i not in h.frozen], names)


def _set(part: str) -> str:
    return {"support": "the support set", "query": "the query set", "both": "support and query joined"}[part]


def _marks(h: Hypothesis) -> str:
    return " ".join("yes" if kept else "no" for kept in steps_kept(h.mask, h.steps))
