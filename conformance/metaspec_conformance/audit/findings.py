"""From what was found out to a report: findings, fields, the sentence."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from metaspec_conformance.audit.audit_report import Finding, Report, Row
from metaspec_conformance.audit.deviating import optimizer, worded
from metaspec_conformance.audit.expectation import Expectation, deviations, name_of
from metaspec_conformance.audit.fitting import Fit
from metaspec_conformance.audit.harness import Bench
from metaspec_conformance.audit.hypothesis import Hypothesis, steps_kept
from metaspec_conformance.audit.observing import Failure
from metaspec_conformance.audit.state import HOME, Claims, Examined, expectation
from metaspec_conformance.audit.wording import CAUSES, FAILED, TITLES, joined
from metaspec_conformance.judging import error_model

NOTES = ("unequal-sizes",)
ROWS = 5
CLOSE = 1e-6


def failure(reason: Failure, claims: Claims, calls: int) -> Report:
    """The report where there is nothing to explain."""
    sentence = f"the code {FAILED[reason.code]}: {reason.text}"
    matches = None if claims.algorithm is None else False
    finding = Finding(reason.code, "fault", reason.text)
    return Report("failed", sentence, None, claims.algorithm, matches, (finding,), calls=calls)


def concluded(bench: Bench, claims: Claims, done: Examined) -> Report:
    """The report of an audit that came to its end."""
    conclusion = _Conclusion(bench, claims, done)
    return conclusion.report()


class _Conclusion:
    """Gathers findings and fields."""

    def __init__(self, bench: Bench, claims: Claims, done: Examined) -> None:
        self.bench, self.claims, self.done = bench, claims, done
        self.expected = expectation(bench, claims, HOME, done.reading)
        self.land = bench.land(done.seen[0].setup)
        self.findings: list[Finding] = []
        self.found: dict[str, Any] = {"result": done.reading}

    def report(self) -> Report:
        done = self.done
        self._of_calls()
        h = done.explanation.ruled.hypothesis if done.explanation else None
        algorithm = name_of(h) if h is not None else None
        if h is not None:
            self._of_hypothesis(h)
            self._of_factor(h)
            self._of_precision()
        self._of_silence()
        self._of_tasks()
        verdict = self._verdict(algorithm)
        if verdict == "none":
            self._add("unexplained", self._unexplained())
        alternatives = tuple(
            self._phrase(o.ruled.hypothesis, deviations(o.ruled.hypothesis, self.expected)) for o in done.others
        )
        if done.twins:
            alternatives += tuple(f"{TITLES[name]}: this problem cannot tell it apart" for name in done.twins)
        findings = tuple({(f.code, f.text): f for f in self.findings}.values())
        matches = None
        if self.claims.algorithm is not None:
            matches = algorithm == self.claims.algorithm and not any(f.severity == "fault" for f in findings)
            matches = matches and verdict in ("identified", "consistent") and not done.twins
        return Report(
            verdict,
            self._sentence(verdict, algorithm, h, findings),
            algorithm,
            self.claims.algorithm,
            matches,
            findings,
            self.found,
            self._rows(),
            alternatives,
            min((j.digits for j in done.judgements), default=None),
            done.calls,
        )

    # --- findings -----------------------------------------------------------------------------------------------------

    def _add(self, code: str, text: str, note: bool = False) -> None:
        severity: Literal["fault", "note"] = "note" if note or code in NOTES else "fault"
        self.findings.append(Finding(code, severity, text, CAUSES.get(code, "")))

    def _of_calls(self) -> None:
        done, first = self.done, self.done.seen[0].observed
        if done.state == "random":
            self._add("random", "two equal calls give different results, and so do calls that begin afresh")
        if done.state == "call-state":
            self._add("call-state", "a second, equal call gives a different result")
        for name in first.changed:
            if name == "tasks" or done.reading == "meta_gradient" or first.result is not first.moved:
                self._add("input-changed", f"{name} are not what they were before the call")
        if first.moved is not None and done.reading == "meta_gradient":
            self._of_move()
        if first.buffers:
            self._add("buffers-changed", f"the call changed {', '.join(first.buffers)}")
        settings = [name for name in first.settings if "random" not in name]  # a draw is no setting
        if settings:
            self._add("globals-changed", f"the call changed {', '.join(settings)}")
        if done.unequal:
            self._add("unequal-sizes", "tasks of unequal sizes raise an error; tasks of equal sizes were used")
        missing = [i for i in first.missing if i not in done.ignored]
        if missing:
            self._add("wrong-tree", f"None in place of {self._names(missing)}")

    def _of_move(self) -> None:
        """A model that moved although its gradients are the result: was it the outer step?"""
        seen = self.done.seen[0]
        move, delta = seen.delta(self.bench, "params"), seen.delta(self.bench, "meta_gradient")
        assert move is not None
        assert delta is not None
        rate = float(np.dot(move, delta) / max(float(np.dot(delta, delta)), 1e-300))
        off = float(np.linalg.norm(move - rate * delta) / np.linalg.norm(move))
        if off < 1e-6:
            self.found["outer_lr"] = rate
            claimed = HOME["outer_lr"] if self.bench.signature.names & {"outer_lr", "optimizer"} else None
            if claimed is not None and abs(rate / claimed - 1) > CLOSE:
                self._add("scale", f"the model moved by {rate:.4g} times the gradient; the outer rate is {claimed:g}")
            return
        sizes = np.abs(move)
        if float(np.max(sizes)) < 1.01 * float(np.min(sizes)) and np.all(np.sign(move) == np.sign(delta)):
            self.found["outer_optimizer"] = "each entry divided by its size, as in Adam's first step"
            return
        self._add("input-changed", "the model's parameters after the call are no outer step along the gradient")

    def _of_hypothesis(self, h: Hypothesis) -> None:
        done, e = self.done, self.expected
        rules = done.explanation.ruled if done.explanation else None
        codes = deviations(h, e, self.land.entries(0))
        steps_rule = "found" if e.steps is None else "as given" if h.steps == e.steps else f"always {h.steps}"
        if rules is not None and e.steps is not None and "steps" in self.bench.signature.names:
            rule = rules.rule("steps")
            steps_rule = "as given" if rule == "given" else rule
            if rule.startswith("always") and "steps" not in codes and name_of(h) != "gradient":
                codes += ("steps",)
        if rules is not None and "lr" in self.bench.signature.names and h.steps:
            codes += ("inner-rate",) * (rules.rule("rate") != "lr" and "inner-rate" not in codes)
        lr = h.rate
        multiple = ""
        if h.inner_sum:
            multiple = "sum over examples"
            for n in self.land.entries(0):
                if e.rate is not None and abs(h.rate / (e.rate * n) - 1) < CLOSE:
                    lr, multiple = h.rate / n, "sum over entries"
        self.found |= {
            "steps": h.steps,
            "steps_rule": steps_rule,
            "lr": lr,
            "lr_factor": None if e.rate is None else lr / e.rate,
            "inner_data": h.inner_data,
            "outer_data": h.outer_data if h.algorithm != "reptile" else None,
            "inner_reduction": multiple or "mean",
            "inner_optimizer": optimizer(h),
            "inner_constants": list(h.rule.constants),
            "ignored": [self.land.names[i] for i in done.ignored],
            "frozen": [self.land.names[i] for i in h.frozen],
            "exchanged": sorted(
                self.land.names[i] for pair in (*h.swaps, *([h.inner_swap] if h.inner_swap else [])) for i in pair
            ),
            "transposed": [self.land.names[i] for i in h.transposed],
        }
        if h.algorithm in ("maml", "fomaml"):
            kept = steps_kept(h.mask, h.steps) if h.algorithm == "maml" else (False,) * h.steps
            self.found |= {"differentiated": list(kept), "hessian_factor": h.hessian_factor}
        if h.algorithm == "imaml":
            solver_steps = h.solver_steps if h.solver != "exact" else None
            self.found |= {
                "regularization": h.strength,
                "proximal": h.proximal,
                "operator": list(h.operator),
                "blocks": h.blocks,
                "solver": h.solver,
                "solver_steps": solver_steps,
            }
        for code in dict.fromkeys(codes):
            self._add(
                code,
                worded(code, h, self.expected, self.found, self.land.names),
                note=code == "inner-data" and h.algorithm == "reptile" and _support(h),
            )

    def _of_silence(self) -> None:
        """Leaves that are always exactly zero, although what explains or comes closest has them otherwise."""
        search = self.done.search
        nearest = search.nearest(1) if search is not None else []
        if search is None or not nearest or not self.done.ignored:
            return
        said = search.sightings[0].predictor.update(nearest[0].hypothesis, search.sightings[0].tasks[0])
        real = [i for i in self.done.ignored if said[self.land.slices[i]].any()]
        if real:
            self._add("leaf-ignored", f"the meta-gradient of {self._names(real)} is exactly zero, and should not be")

    def _of_factor(self, h: Hypothesis | None) -> None:
        """The factor that remains: the outer loss's reduction, the outer rate, the sign, or nothing that is known."""
        explanation = self.done.explanation
        assert explanation is not None
        assert h is not None
        scale, expected, rule = explanation.scale, self.expected.factor, explanation.scale_rule
        reduction = "mean"
        if explanation.outer_sum:
            reduction, goal = "sum over examples", 1.0 if expected is None else expected
            for n in self.land.entries(0):
                if abs(abs(scale) / (goal * n) - 1) < self._close():
                    reduction, scale = "sum over entries", scale / n
            self._add("outer-sum", f"the outer loss is a {reduction}; the factor grows with their number")
        self.found["outer_reduction"] = reduction if h.algorithm != "reptile" else None
        if scale < 0:
            self._add("sign", "the result points the other way")
        if expected is None:
            self.found["outer_lr"], self.found["scale"] = abs(scale), 1.0 if scale > 0 else -1.0
            return
        factor = abs(scale) / expected
        follows = self.done.reading == "params" and self.bench.signature.names & {"outer_lr", "optimizer"}
        right = "outer_lr" if follows else "constant"
        if h.algorithm == "imaml" and rule in ("1/regularization", "regularization") and scale > 0:
            a, b = h.operator
            self.found["operator"], self.found["scale"] = [a / factor, b / factor], 1.0
            self._add("operator", f"the operator is {a / factor:.4g} I + {b / factor:.4g} H/lambda")
            return
        self.found["scale"] = scale / expected
        if h.every and rule == "1/steps" and abs(factor * h.steps - 1) < self._close():
            return  # the mean over the steps
        if abs(factor - 1) > self._close() or rule != right:
            follow = (
                "" if rule in (right, "constant") else f", which follows {rule.replace('outer_lr', 'the outer rate')}"
            )
            self._add("scale", f"the result is {scale / expected:.6g} times what it should be{follow}")

    def _close(self) -> float:
        return max(CLOSE, 20 * self.done.fits[0].residual)

    def _of_tasks(self) -> None:
        done, how = self.done, self.done.combined
        carried = how.carried if how is not None else None
        self.found["carried"] = "parameters" if carried == "path" else carried
        self.found["task_reduction"] = how.rule if how is not None else None
        if how is None:
            return
        if (how.carried or (how.rule is None and done.order)) and done.state != "random":
            left = {
                "parameters": "each task begins at the adapted parameters of the one before it",
                "path": "each task begins at the adapted parameters of the one before it",
                "updates": "each task begins after an outer update by the one before it",
                "state": "the inner optimiser's state goes on from task to task",
            }.get(how.carried or "", "the order of the tasks changes the result")
            self._add("task-state", left)
        elif how.rule is None and done.state != "random":
            self._add("task-weights", "the result is no weighted sum of what the tasks give one by one: a median, say")
        wanted = "sum" if self.expected.sums else "mean"
        if how.rule in (None, wanted):
            return
        if how.rule in ("sum", "mean"):
            self._add("task-sum", f"the result is the {how.rule} over the tasks; the {wanted} was meant")
        elif done.explanation is not None or how.rule != "weights":  # what is not explained may weigh nothing alike
            largest = max(abs(w) for w in how.weights)
            shown = ", ".join(f"{w if abs(w) > CLOSE * largest else 0:.4g}" for w in how.weights)
            by = "their place in the list" if done.order and how.rule == "weights" else how.rule
            self._add("task-weights", f"the tasks weigh {shown} ({by})")

    def _of_precision(self) -> None:
        judgements, done = self.done.judgements, self.done
        formats = [j.format for j in judgements]
        narrow = [
            n
            for n in done.seen[0].observed.dtypes
            if error_model.ROUNDOFF.get(n, 0) > error_model.ROUNDOFF[self.bench.dtype]
        ]
        known = [f for f in formats if f is not None]
        widest = max(known, key=lambda f: error_model.ROUNDOFF[f], default=self.bench.dtype)
        format_ = None if None in formats or not (self.done.narrow or widest == self.bench.dtype) else widest
        self.found["precision"] = narrow[0] if narrow else format_
        lost = None in formats or widest != self.bench.dtype
        if lost or narrow:
            digits = min(j.digits for j in judgements)
            what = f"the result is in {', '.join(narrow)}; " if narrow else ""
            text = f"{what}{digits:.1f} digits are right, of what {self.bench.dtype} holds"
            smooth = not (narrow or done.narrow)
            text += "; the error is smooth, as of difference quotients or an inexact solve" if smooth else ""
            self._add("precision", text, note=smooth)

    # --- words --------------------------------------------------------------------------------------------------------

    def _verdict(self, algorithm: str | None) -> Literal["identified", "consistent", "none"]:
        done = self.done
        if algorithm is None:
            return "none"
        if done.twins or done.others or (done.combined is not None and done.combined.rule is None and not done.order):
            return "consistent"
        narrow = done.narrow or any(name != self.bench.dtype for name in done.seen[0].observed.dtypes)
        if any(j.format is None or (j.format != self.bench.dtype and not narrow) for j in done.judgements):
            return "consistent"
        return "identified"

    def _unexplained(self) -> str:
        done = self.done
        if not done.fits:
            stopped = " (the search ended with its time)" if done.search is not None and done.search.stopped else ""
            return f"no hypothesis explains the result{stopped}"
        return "what explains one problem does not explain fresh ones with other settings"

    def _sentence(self, verdict: str, algorithm: str | None, h: Hypothesis | None, findings: Sequence[Finding]) -> str:
        claim = self.claims.algorithm
        ending = f"; claimed {TITLES[claim]}" if claim is not None else ""
        if verdict == "none" or algorithm is None:
            nearest = self._rows()[:1]
            near = f"; nearest is {nearest[0].hypothesis}, {nearest[0].digits:.1f} digits" if nearest else ""
            near += " on one problem, but not on others" if near and self.done.fits else ""
            if self.done.search is None:
                return f"the result is exactly zero{ending}"
            return f"computes none of these{near}{ending}"
        codes = tuple(dict.fromkeys(f.code for f in findings if f.severity == "fault" and f.code != "unexplained"))
        verb = "computes" if verdict == "identified" else "is consistent with"
        extra = joined(codes)
        body = f"{verb} {TITLES[algorithm]}" + (f" with {extra}" if extra else "")
        if verdict == "consistent" and self.done.judgements:
            body += f", to {min(j.digits for j in self.done.judgements):.1f} digits"
        if self.done.twins:
            others = " and ".join(TITLES[name] for name in self.done.twins)
            body += f"; this problem cannot tell it from {others}"
        return body + ending

    def _rows(self) -> tuple[Row, ...]:
        search = self.done.search
        if search is None:
            return ()
        rows: dict[str, Row] = {}
        best = [self.done.explanation.ruled.hypothesis] if self.done.explanation else []
        fits = [search.tried[h] for h in best if h in search.tried]
        plain = [fit for fit in search.tried.values() if not deviations(fit.hypothesis, Expectation())]
        named: dict[str, Fit] = {}
        for fit in sorted(plain, key=lambda fit: fit.residual):
            named.setdefault(name_of(fit.hypothesis), fit)
        for fit in [*fits, *search.nearest(2), *named.values()]:
            phrase = self._phrase(fit.hypothesis, deviations(fit.hypothesis, self.expected, self.land.entries(0)))
            if fit.residual < float("inf") and phrase not in rows and len(rows) < ROWS + 2:
                digits = error_model.digits(fit.residual)
                rows[phrase] = Row(phrase, fit.scale, fit.cosine, fit.residual, min(digits, 16.0))
        return tuple(sorted(rows.values(), key=lambda row: row.residual))

    def _phrase(self, h: Hypothesis, codes: Sequence[str]) -> str:
        words = [c for c in codes if c != "algorithm"]
        return TITLES[name_of(h)] + (f" + {', '.join(words)}" if words else "")

    def _names(self, leaves: Sequence[int]) -> str:
        return ", ".join(self.land.names[i] for i in leaves)


def _support(h: Hypothesis) -> bool:
    return h.inner_data == "support"
