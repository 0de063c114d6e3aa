"""Obviously wrong forms of the command are answered with the form that was meant."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from metaspec.cli.app import build


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ([], "metaspec compare mymodel:loss --backends numpy,torch"),
        (["torch=old:loss", "jax=new:loss"], "No such option|unexpected extra argument"),
        (["torch=old:loss"], "native losses are given by --loss torch=old:loss"),
        (["old:loss", "--loss", "jax=new:loss"], "--loss BACKEND=old:loss --loss jax=new:loss"),
        (["--loss", "old:loss", "--backends", "torch,jax"], "--loss torch=old:loss"),
        (["--loss", "torch=old:loss"], "metaspec compare old:loss"),
    ],
)
def test_the_answer_shows_the_form(arguments: list[str], meant: str) -> None:
    run = CliRunner().invoke(build(), ["compare", *arguments])
    text = " ".join(f"{run.output} {run.exception}".split())
    assert run.exit_code != 0
    assert re.search(meant, text), text


def test_a_loss_of_one_framework_is_answered_with_the_form_of_two_losses(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    (tmp_path / "old.py").write_text(
        "import torch\nimport numpy as np\n"
        "params = {'w': np.ones(3)}\ntask = (np.ones((4, 3)), np.ones((4, 3)))\n"
        "def loss(params, batch):\n    return torch.nn.functional.softplus(batch @ params['w']).mean()\n"
    )
    run = CliRunner().invoke(build(), ["compare", f"{tmp_path / 'old.py'}:loss", "--backends", "torch,numpy"])
    text = " ".join(f"{run.output} {run.exception}".split())
    assert run.exit_code != 0
    assert "old.py:loss runs on torch alone" in text, text
    assert f"--loss torch={tmp_path / 'old.py'}:loss --loss BACKEND=module:function" in text
