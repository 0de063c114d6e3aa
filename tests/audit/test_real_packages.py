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
