"""The recipes of docs/audit.md: one specimen for each style in which code is written."""

from pathlib import Path
from typing import Any

import pytest

import metaspec as ms
from metaspec_conformance.audit.calls.learners import layout
from metaspec_conformance.audit.calls.native_models import native_models
from metaspec_conformance.audit.calls.signature import SignatureError

SCRIPT = str(Path(__file__).parent / "code" / "recipe_script.py")


@pytest.mark.parametrize(
    ("name", "options", "algorithm", "codes"),
    [
        ("Meta", {"steps": 2}, "maml", ()),
        pytest.param("FirstOrderMeta", {"steps": 2}, "fomaml", ("algorithm",), marks=pytest.mark.soak),
        ("Module", {}, "maml", ()),
        ("by_clone_and_adapt", {}, "maml", ()),
    ],
)
def test_pytorch_styles(name: str, options: dict[str, Any], algorithm: str, codes: tuple[str, ...]) -> None:
    pytest.importorskip("torch")
    from tests.audit.code import recipes_torch

    report = ms.audit(getattr(recipes_torch, name), claim="maml", **options)
    assert (report.algorithm, report.codes) == (algorithm, codes), str(report)


def test_a_script_is_audited_without_its_loop() -> None:
    pytest.importorskip("torch")
    report = ms.audit(SCRIPT, step_function="train_step", claim="maml", steps=2, reduction="sum", isolated=False)
    assert (report.algorithm, report.codes) == ("maml", ()), str(report)
    assert abs(report.found["lr"] - 0.05) < 1e-12
    assert report.snippet.endswith("--step-function train_step --reduction sum")


def test_a_keras_model_with_a_train_step() -> None:
    pytest.importorskip("keras")
    from tests.audit.code.recipes_keras import KerasMeta

    report = ms.audit(KerasMeta, claim="maml")
    assert (report.algorithm, report.codes, report.found["result"]) == ("maml", (), "params"), str(report)
    assert abs(report.found["outer_lr"] - 0.5) < 1e-9


def test_the_layout_of_a_network_is_found_by_values() -> None:
    pytest.importorskip("torch")
    import torch

    from tests.audit.code.recipes_torch import Network

    models = native_models("torch")
    assert layout(Network(), models, "regression") == [(1, False), (2, False), (0, False), (3, True)]
    with pytest.raises(SignatureError, match="is not tanh"):
        layout(torch.nn.Linear(3, 3), models, "regression")
