"""Meta-learning on the real packages, as their users write it."""

import pytest

import metaspec as ms

LONG = pytest.mark.soak  # compiles for twenty seconds


@pytest.mark.parametrize(
    ("name", "framework", "claim", "algorithm", "codes"),
    [
        ("by_higher", "torch", "maml", "maml", ()),
        ("by_higher_first_order", "torch", "maml", "fomaml", ("algorithm", "task-sum")),
        ("by_torchopt", "torch", "maml", "maml", ()),
        ("by_jaxopt_unrolled", "jax", "maml", "maml", ()),
        pytest.param(
            "by_jaxopt_implicit", "jax", "imaml", "imaml", (), marks=pytest.mark.soak
        ),  # compiles for 20 seconds
    ],
)
def test_what_users_of_a_package_compute(
    name: str, framework: str, claim: str, algorithm: str, codes: tuple[str, ...]
) -> None:
    from tests.audit.code import libraries

    report = ms.audit(getattr(libraries, name), claim=claim, framework=framework)
    assert (report.algorithm, report.codes) == (algorithm, codes), str(report)
    assert report.passed == (not codes)


@pytest.mark.parametrize(
    "name",
    ["solve_cg", *(pytest.param(name, marks=pytest.mark.soak) for name in ("solve_normal_cg", "solve_inv"))],
)
def test_the_solvers_of_torchopt(name: str) -> None:
    import torchopt

    from tests.audit.code import libraries

    codes = ("block-diagonal",) if name == "solve_inv" else ()  # it inverts leaf by leaf, without what couples them
    options = {} if name == "solve_inv" else {"maxiter": 100, "atol": 1e-15, "rtol": 1e-15}
    solve = getattr(torchopt.linear_solve, name)(**options)
    report = ms.audit(libraries.by_torchopt_implicit(solve), claim="imaml", framework="torch")
    assert (report.algorithm, report.codes) == ("imaml", codes), str(report)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("rule", "found"),
    [("sgd", "gradient descent"), ("momentum", "momentum"), ("adam", "adam"), ("rmsprop", "rmsprop")],
)
def test_inner_loops_of_optax(rule: str, found: str) -> None:
    import optax

    from tests.audit.code import libraries

    rules = {
        "sgd": optax.sgd(0.05),
        "momentum": optax.sgd(0.05, momentum=0.9),
        "adam": optax.adam(0.05),
        "rmsprop": optax.rmsprop(0.05, decay=0.9, eps_in_sqrt=False),
    }
    report = ms.audit(libraries.by_optax(rules[rule]), claim="maml", framework="jax", lr=0.05)
    assert (report.algorithm, report.found["inner_optimizer"]) == ("maml", found), str(report)


@pytest.mark.parametrize(
    ("name", "claim"),
    [("by_learn2learn", "maml"), ("by_learn2learn_anil", "anil"), ("by_learn2learn_meta_sgd", "meta-sgd")],
)
def test_learn2learn(name: str, claim: str) -> None:
    pytest.importorskip("learn2learn")
    from tests.audit.code import by_l2l

    report = ms.audit(getattr(by_l2l, name), claim=claim, framework="torch")
    assert report.passed, str(report)


@pytest.mark.parametrize(
    ("estimator", "solver"),
    [
        ("cg", "2 steps of conjugate gradients that take the old residual into the direction"),
        ("neumann", "3 terms of a Neumann series (Richardson steps) with the rate 0.6"),
    ],
)
def test_betty_s_implicit_derivatives(estimator: str, solver: str) -> None:
    pytest.importorskip("betty")
    from tests.audit.code.by_betty import by_betty

    report = ms.audit(by_betty(estimator), claim="imaml", framework="torch")
    assert (report.algorithm, report.codes) == ("imaml", ("solver",)), str(report)
    assert solver in report.findings[0].text


@pytest.mark.parametrize("name", ["Automatic", "ByHand"])
def test_lightning(name: str) -> None:
    pytest.importorskip("lightning")
    from tests.audit.code import by_lightning

    report = ms.audit(getattr(by_lightning, name), claim="maml")
    assert (report.algorithm, report.codes) == ("maml", ()), str(report)
    assert report.passed
