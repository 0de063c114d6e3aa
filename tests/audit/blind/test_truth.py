"""What the tables say of the code of the blind set, by plain calculation: no audit is asked."""

from functools import partial

import numpy as np
import pytest

from tests.audit.blind import calling
from tests.audit.blind.blindset import ALL, identity
from tests.audit.blind.plain import Asked, gradient
from tests.audit.blind.truth import Truth
from tests.audit.blind.truth_members import SUMMED

CALCULATED = {(truth.module, truth.name): truth for truth in ALL if truth.oracle is not None}
RANDOM = {
    (truth.module, truth.name): truth for truth in ALL if truth.faults[:1] in {("random",), ("call-state|random",)}
}
LOOPS = ("jax_members", "tensorflow_members")  # those of torch_members on other frameworks
QUICK = [
    truth
    for truth in CALCULATED.values()
    if calling.framework_of(truth.module) != "jax" and truth.module not in LOOPS and not truth.name.endswith(SUMMED)
]  # JAX compiles for seconds
COMPILED = [pytest.param(truth, marks=pytest.mark.soak) for truth in CALCULATED.values() if truth not in QUICK]
OTHER = pytest.param(Asked(0.06, 2, 1.3, 3, 0.7), id="two steps", marks=pytest.mark.soak)


@pytest.mark.parametrize("asked", [pytest.param(Asked(), id="three steps"), OTHER])
@pytest.mark.parametrize("truth", [*QUICK, *COMPILED], ids=identity)
def test_the_code_computes_what_its_truth_says(truth: Truth, asked: Asked) -> None:
    theta, tasks = calling.data(seed=3, equal=calling.wants_equal_sizes(truth.module, truth.name))
    found = calling.computed(truth.module, truth.name, theta, tasks, asked)
    expected = truth.oracle(theta, tasks, asked)
    assert np.linalg.norm(found - expected) <= 10.0**-truth.digits * np.linalg.norm(expected)


@pytest.mark.parametrize(("module", "name"), [key for key, truth in RANDOM.items() if "problem" not in truth.options])
def test_what_is_said_to_differ_from_call_to_call_does(module: str, name: str) -> None:
    theta, tasks = calling.data(seed=3, equal=calling.wants_equal_sizes(module, name))
    first, *others = (partial(calling.computed, module, name, theta, tasks, Asked()) for _ in range(15))
    expected = first()
    assert any((other() != expected).any() for other in others)


@pytest.mark.parametrize("name", ["fomaml_in_place", "fomaml_shallow", "fomaml", "maml_one_more"])
def test_one_of_them_changes_its_input(name: str) -> None:
    function = calling.implementation("numpy_by_hand", name)
    theta, tasks = calling.data(seed=3, equal=False)
    params = {key: np.array(a) for key, a in calling.leaves(theta).items()}
    function(params, calling.batches(tasks, np.array), lr=0.1, steps=2)
    assert (calling.vector(params) == theta).all() == (name != "fomaml_in_place")


def test_the_failures_fail() -> None:
    nothing, infinite = (calling.implementation("jax_by_hand", name) for name in ("nothing", "infinite"))
    theta, tasks = calling.data(seed=3, equal=False)
    with calling.kit("jax") as (make, loss, _):
        arguments = {name: make(a) for name, a in calling.leaves(theta).items()}, calling.batches(tasks, make), loss
        assert nothing(*arguments, 0.1, 2) is None
        assert not np.isfinite(calling.vector(infinite(*arguments, 0.1, 2))).any()


def test_clipping_clips() -> None:
    theta, tasks = calling.data(seed=3, equal=False)
    assert all(np.linalg.norm(gradient(theta, support)) > 0.05 for support, _ in tasks)
