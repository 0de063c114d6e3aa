"""The table of docs/family.md names what is there."""

from pathlib import Path

import metaspec as ms

TEXT = (Path(__file__).parents[2] / "docs" / "family.md").read_text(encoding="utf-8")


def test_every_member_has_a_row():
    table = TEXT.partition("## What is learned")[0]
    family = (
        "Momentum Adam RMSProp AdaGrad Adadelta clip_by_norm clip_by_value decay_weights MetaSGD MAMLPlusPlus ANIL BOIL"
    )
    family += " CAVIA Minibatches IMAML SigmaMAML SigmaIMAML SigmaReptile FromTransformation MetaCurvature"
    for name in family.split():
        assert f"{name}(" in table or f"`{name}`" in table, name
        assert name in ms.__all__
