"""The table of kinks: measured as the page says, conventions kept, and departures found."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import metaspec as ms
from metaspec_conformance.judging.certification import certification
from metaspec_conformance.judging.numpy_trees import tree_map
from metaspec_conformance.kinks.catalogue import KINKS
from metaspec_conformance.kinks.kink_document import columns, document, heading
from metaspec_conformance.kinks.kink_measurements import Found, as_json, declared, departures, in_words, measure
from metaspec_conformance.laws import LawCheck
from metaspec_conformance.pytest_plugin.plugin_cases import CheckCase
from metaspec_conformance.pytest_plugin.running import Running
from metaspec_numpy.adapter import NumpyBackend

PAGE = (Path(__file__).parents[2] / "docs" / "kinks.md").read_text()
BY_NAME = {kink.name: kink for kink in KINKS}


def test_the_page_is_what_the_installed_versions_do(B: ms.Backend) -> None:
    written = columns(PAGE)
    name = heading(B.name, B.versions())
    if name not in written:
        pytest.skip(f"docs/kinks.md has {', '.join(written)}, here is {name}")
    assert dict(measure(B).cells) == written[name]


def test_the_page_is_the_documents_own() -> None:
    """Every word of it, from what its own table says."""
    found = {}
    for name, cells in columns(PAGE).items():
        target, _, version = name.partition(" ")
        found[target] = Found({target: version}, cells)
    assert document(found) == PAGE


def test_what_is_measured_is_right_where_it_is_known() -> None:
    """By one-sided differences: our own tracer takes their mean."""
    cells = measure(ms.get_backend("numpy")).cells
    for name, left, right in (
        ("maximum(x, 0)", 0, 1),
        ("minimum(x, 0)", 1, 0),
        ("abs(x)", -1, 1),
        ("clip(x, 0, 1), lower edge", 0, 1),
        ("clip(x, 0, 1), upper edge", 1, 0),
        ("x**0", 0, 0),
        ("x**1", 1, 1),
        ("x**2", 0, 0),
    ):
        assert cells[name][0] == f"{(left + right) / 2:g}", name
    assert cells["x**2"] == ("0", "2")


class OtherRelu(NumpyBackend):
    """`where` takes the other branch where the condition is that an entry is above 0."""

    @property
    def xp(self) -> Any:
        sound = super().xp

        class Other:
            def __getattr__(self, name: str) -> Any:
                return getattr(sound, name)

            def where(self, condition: Any, x: Any, y: Any) -> Any:
                return sound.where(sound.logical_or(condition, x == 0), x, y)

            def floor(self, x: Any) -> Any:
                raise OverflowError

        return Other()


def test_departures_and_refusals_are_found() -> None:
    found = measure(OtherRelu())
    assert found.cells["floor(x)"] == ("OverflowError", "OverflowError")
    assert departures({"other": found}) == ["other: nn.relu(x): 1 / 0, declared 0 / 0"]
    plain = json.loads(json.dumps(as_json({"other": found})))
    assert plain["kinks"][0] == {
        "kink": "nn.relu(x)",
        "at": [0.0],
        "declared": ["0", "0"],
        "found": {"other": ["1", "0"]},
    }


def law(backend: ms.Backend, check: LawCheck) -> str:
    return Running(backend).outcome(CheckCase(check, "float64")).message


def test_the_laws_of_kinks_can_fail() -> None:
    checks = {check.law: check for check in certification() if isinstance(check, LawCheck)}
    blocks, away = checks["blocks-at-kinks"], checks["away-from-kinks"]
    assert law(ms.get_backend("numpy"), blocks) == law(ms.get_backend("numpy"), away) == ""
    assert "nn.relu(x), first order" in law(OtherRelu(), blocks)
    blank = tree_map(lambda leaf: leaf * 0 if leaf.ndim == 4 else leaf, away.scenario.tasks)
    found = law(ms.get_backend("numpy"), replace(away, scenario=replace(away.scenario, id="blank", tasks=blank)))
    assert found == "task 0 at phi: two entries of a window differ by 0.0e+00"


def test_words() -> None:
    assert in_words([0.5, -0.0, float("nan"), float("-inf")]) == "0.5, 0, nan, -inf"
    assert declared(BY_NAME["abs(x)"]) is None


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from metaspec.cli import main; main()", "verify", "--kinks", "numpy"]
    done = subprocess.run([*command, "--json", "k.json"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "nn.relu(x)" in done.stdout
    plain = json.loads((tmp_path / "k.json").read_text())
    assert {entry["kink"] for entry in plain["kinks"]} == set(BY_NAME)
    assert all(list(entry["found"]) == ["numpy"] for entry in plain["kinks"])
    done = subprocess.run([*command[:-1], "nowhere:X"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert "kinks: nowhere:X: ModuleNotFoundError" in done.stderr
