"""Obviously wrong forms of the command are answered with the form that was meant."""

import re

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
