"""The code blocks of docs/family.md run as they stand, and its table names what is there."""

import re
from pathlib import Path

import metaspec as ms

TEXT = (Path(__file__).parents[2] / "docs" / "family.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_blocks_run_in_their_order():
    names = {"__name__": "family"}
    for block in BLOCKS:
        exec(compile(block, "docs/family.md", "exec"), names)


def test_every_member_has_a_row():
    table = TEXT.partition("## What is learned")[0]
    family = (
        "Momentum Adam RMSProp AdaGrad Adadelta clip_by_norm clip_by_value decay_weights MetaSGD MAMLPlusPlus ANIL BOIL"
    )
    family += " CAVIA Minibatches IMAML SigmaMAML SigmaIMAML SigmaReptile FromTransformation MetaCurvature"
    for name in family.split():
        assert f"{name}(" in table or f"`{name}`" in table, name
        assert name in ms.__all__
