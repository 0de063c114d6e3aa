"""The golden vectors' digits are right by derivatives that their oracle does not know; and a broken oracle shows."""

from dataclasses import replace
from fractions import Fraction

import pytest
from mpmath import MPContext

from metaspec_conformance.golden import certify, differences, load
from metaspec_conformance.golden import difference_oracle as oracle
from metaspec_conformance.golden.certify import certified
from metaspec_conformance.golden.difference_oracle import Arithmetic, UnfitVectorError, solve_by_steps
from metaspec_conformance.golden.vector_list import catalogue
from tests.conformance import golden_checks, golden_jets
from tests.conformance.golden_checks import as_fraction, is_correct

VECTORS = {vector.inputs.id: vector for vector in load()}
QUADRATICS = [i for i in VECTORS if i.startswith("quadratic/")]
OTHERS = [i for i in VECTORS if not i.startswith("quadratic/")]


def assert_correct(vector, found, fraction=Fraction):
    expected = vector.expected.named()
    assert expected.keys() == found.keys()
    for name, leaf in expected.items():
        for printed, exact in zip(leaf.values, found[name], strict=True):
            assert is_correct(printed, fraction(exact)), (name, printed)


@pytest.mark.parametrize("name", QUADRATICS)
def test_quadratics_are_right_to_the_last_digit(name):
    """Closed forms in rationals: no roundoff and no differences."""
    vector = VECTORS[name]
    assert_correct(vector, golden_checks.compute(vector.inputs, golden_checks.quadratic, Fraction))


@pytest.mark.parametrize("name", OTHERS)
def test_others_are_right_to_the_last_digit(name):
    """Rules of differentiation at 60 digits."""
    assert_correct(VECTORS[name], by_rules(name), as_fraction)


def by_rules(name):
    m = MPContext()
    m.dps = 60
    inputs = VECTORS[name].inputs
    return golden_checks.compute(inputs, golden_jets.by_rules(inputs, m), m.mpf)


def test_a_chain_cut_at_its_end_is_fomaml():
    inputs = VECTORS["rosenbrock/family/truncated"].inputs
    rule = replace(inputs.algorithm.rule, learned=(), backprop_steps=None)
    cut, first = (
        replace(inputs, algorithm=replace(inputs.algorithm, name=name, rule=replace(rule, backprop_steps=steps)))
        for name, steps in (("MAML", 0), ("FOMAML", None))
    )
    m = MPContext()
    m.dps = 60
    known = golden_checks.compute(first, golden_jets.by_rules(first, m), m.mpf)
    assert golden_checks.compute(cut, golden_jets.by_rules(cut, m), m.mpf) == known
    assert_correct(certified(cut)[0], known, as_fraction)


def test_a_wrong_digit_is_seen():
    name = "softmax/maml/steps-3"
    vector = VECTORS[name]
    leaf = vector.expected.delta["w"]
    last = str((int(leaf.values[0][-1]) + 1) % 10)
    altered = leaf._replace(values=(leaf.values[0][:-1] + last, *leaf.values[1:]))
    wrong = replace(vector, expected=replace(vector.expected, delta={**vector.expected.delta, "w": altered}))
    with pytest.raises(AssertionError):
        assert_correct(wrong, by_rules(name), as_fraction)


def by_id(name):
    return next(inputs for inputs in catalogue() if inputs.id == name)


def test_too_few_digits_are_refused(monkeypatch):
    """Forward differences share 25 digits at most, so no vector comes of them."""

    def forward(f, x, h):
        return [(f([*x[:i], x[i] + h, *x[i + 1 :]]) - f(x)) / h for i in range(len(x))]

    monkeypatch.setattr(differences, "gradient", forward)
    with pytest.raises(UnfitVectorError, match=r"two precisions share 2\d\.\d digits"):
        certified(by_id("logistic/fomaml/steps-1"))


def test_too_little_working_precision_is_refused(monkeypatch):
    monkeypatch.setattr(certify, "FINE", (80, 30))
    with pytest.raises(UnfitVectorError, match="digits, 33 are wanted"):
        certified(by_id("logistic/maml/steps-1"))


@pytest.mark.parametrize("fault", ["first-order", "query-for-support", "one-step-fewer", "no-proximal-term"])
def test_a_broken_oracle_gives_other_vectors(fault, monkeypatch):
    name = "logistic/imaml/steps-3" if fault == "no-proximal-term" else "logistic/maml/steps-3"
    inputs, known = by_id(name), by_rules(name)
    assert_correct(certified(inputs)[0], known, as_fraction)
    true, task = oracle._OneTask, inputs.tasks[0]
    if fault == "first-order":
        monkeypatch.setattr(true, "_maml", lambda self, r: self._gradient(self._inner(self.phi, r), self.query, r))
    elif fault == "query-for-support":
        inputs = replace(inputs, tasks=(replace(task, support=task.query),))
    elif fault == "one-step-fewer":
        inputs = replace(inputs, algorithm=replace(inputs.algorithm, steps=2))
    else:
        inner = true._inner

        def without(self, phi, rounding):
            self.algorithm = replace(self.algorithm, regularization="0")
            theta = inner(self, phi, rounding)
            self.algorithm = inputs.algorithm
            return theta

        monkeypatch.setattr(true, "_inner", without)
    vector, _ = certified(inputs)
    with pytest.raises(AssertionError):
        assert_correct(vector, known, as_fraction)


def test_solved_systems_are_no_vectors():
    m = Arithmetic.of(50, 10).m
    identity = [[m.mpf(i == j) for j in range(3)] for i in range(3)]
    b = [m.mpf(x) for x in (1, 2, 3)]
    assert solve_by_steps(m, identity, b, 1) == b
    with pytest.raises(UnfitVectorError, match="solved after 1"):
        solve_by_steps(m, identity, b, 2)
    with pytest.raises(UnfitVectorError, match="not positive definite"):
        solve_by_steps(m, [[-x for x in row] for row in identity], b, 1)


def test_an_exact_zero_agrees_with_nothing_else():
    m = Arithmetic.of(50, 10).m
    outputs = VECTORS["tanh_network/maml/unused-leaf"].expected.map(
        lambda leaf: leaf._replace(values=tuple(m.mpf(x) for x in leaf.values))
    )
    zero = outputs.delta["unused"]
    assert set(zero.values) == {0}
    noisy = replace(
        outputs, delta={**outputs.delta, "unused": zero._replace(values=(m.mpf("1e-40"), *zero.values[1:]))}
    )
    assert certify.shared_digits(m, outputs, outputs) == 50
    assert certify.shared_digits(m, outputs, noisy) < 0 == certify.shared_digits(m, noisy, outputs)
