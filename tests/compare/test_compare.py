"""Across frameworks, from the command line and from Python; what is given wrongly."""

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import metaspec as ms
from metaspec.backend.registry import Registration
from metaspec.errors import InvalidArgumentError, InvalidTypeError
from metaspec_conformance.commands import compare as command_line
from metaspec_conformance.compare import ComparisonError, Leaf, SideReport, compare
from metaspec_conformance.compare.comparison_page import page_of
from tests.compare import models

ROOT = Path(__file__).parents[2]
TORCH, JAX = "tests.compare.torch_port:", "tests.compare.jax_port:"
MODELS = "tests.compare.models:"
STEP = ms.MAML(ms.GradientDescent(0.1, 1))
LOSSES = {"torch": f"{TORCH}loss", "jax": f"{JAX}loss"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from metaspec.cli import main; main()", "compare", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "160", "NO_COLOR": "1"},
    )


def command(*arguments: str) -> Any:
    """The command alone, in this process."""
    app = typer.Typer()
    command_line.register(app)
    return CliRunner().invoke(app, arguments)


@pytest.mark.usefixtures("here")
def test_a_port_to_another_framework_agrees():
    found = compare(LOSSES, mapping=f"{JAX}mapping", algorithm=STEP)
    assert found.agreed, found.summary
    assert found.against == "torch"
    assert found.leaves == ("fc.bias", "fc.weight", "out.weight")
    assert found.sides[1].fewest > 13


@pytest.mark.usefixtures("here")
def test_a_flattening_in_another_order_is_found():
    found = compare(LOSSES, mapping=f"{JAX}unflattened", algorithm=STEP)
    assert [explanation.kind for explanation in found.sides[1].explanations] == ["axes"]
    assert "fc.weight's axis 0 flattened from 2 x 2 in the order (1, 0)" in found.sides[1].sentence


@pytest.mark.usefixtures("here")
def test_each_side_with_parameters_of_its_own():
    own = "tests.compare.jax_port_of_its_own:"
    found = compare({"torch": LOSSES["torch"], "jax": f"{own}loss"}, mapping=f"{own}mapping", algorithm=STEP)
    assert [explanation.kind for explanation in found.sides[1].explanations] == ["initialisation"]
    assert found.sides[1].explained


@pytest.mark.usefixtures("here")
def test_a_convention_of_a_framework_is_a_kink():
    found = compare(
        f"{MODELS}abs_of_biases", ["torch", "jax"], params=f"{MODELS}zeros", task=f"{MODELS}task", algorithm=STEP
    )
    assert found.against == "extended precision"
    assert found.side("torch").agrees
    assert found.side("jax").parting == ("gradient", "b")
    assert [explanation.kind for explanation in found.side("jax").explanations] == ["kink"]


class Checked(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.cells: list[dict[str, str | None]] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br", "hr"):
            self.open.append(tag)
        if tag == "td" and dict(attrs).get("title"):
            self.cells.append(dict(attrs))

    def handle_startendtag(self, tag, attrs): ...

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.mark.usefixtures("here")
def test_the_command_says_json_and_html(tmp_path):
    files = tmp_path / "c.json", tmp_path / "c.html"
    places = [f"--loss=one@numpy={MODELS}base", f"--loss=two@numpy={MODELS}decayed"]
    done = command(*places, "--inner-steps", "2", "--json", str(files[0]), "--html", str(files[1]))
    assert done.exit_code == 1
    assert "+ weight decay" in done.output
    said = done.output.strip().splitlines()[-1]
    assert said.startswith("two@numpy parts at support loss: ")
    plain = json.loads(files[0].read_text())
    assert plain["summary"] == said
    assert not plain["agreed"]
    assert plain["sides"][1]["parts_at"] == {"stage": "support loss", "leaf": "loss"}
    assert plain["sides"][1]["explanations"][0]["confirmed"]
    assert plain["stages"][4:6] == ["step 1", "step 2"]
    page = Checked()
    page.feed(files[1].read_text())
    marked = [cell for cell in page.cells if "mark" in str(cell["class"])]
    assert [str(cell["title"]).partition(":")[0] for cell in marked] == ["loss at support loss"]
    assert len(page.cells) == 2 + 6 * (len(plain["stages"]) - 2)


def test_the_command_in_processes_of_its_own():
    done = run(f"{ROOT}/tests/compare/models.py:base", "--backends", "numpy", "--algorithm", "imaml")
    assert done.returncode == 0, done.stderr
    assert "numpy agrees at every stage" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "no loss is given"),
        ([f"{MODELS}base", "--loss", f"numpy={MODELS}base"], "is a portable loss"),
        (["--loss", "numpy"], "one native loss has nothing to be held against"),
        (["--loss", f"numpy={MODELS}base", "--loss", f"numpy={MODELS}base"], "given twice"),
        ([f"{MODELS}base", "--backends", "theano"], "'theano' is not registered"),
        ([f"{MODELS}base", "--algorithm", "sgd"], "'sgd' is not one of maml"),
        ([f"{MODELS}base", "--html", "/nowhere/x.html"], "there is no folder /nowhere"),
        ([f"{MODELS}base", "--html", str(ROOT)], f"--html: {ROOT} is a folder, expected a file"),
        ([f"{MODELS}base", "--json", "x" * 999], "xxx cannot be written: File name too long"),
        ([f"{MODELS}base", "--dtype", "float16"], "dtype must be one of float32, float64"),
    ],
)
def test_wrong_options(arguments, words):
    done = command(*arguments)
    assert isinstance(done.exception, ms.MetaspecError)
    assert words in str(done.exception)


def test_what_is_refused_leaves_files_as_they_were(tmp_path):
    old, new = tmp_path / "old.json", tmp_path / "new.html"
    old.write_text("old")
    done = command(f"{MODELS}base", "--dtype", "float16", "--json", str(old), "--html", str(new))
    assert isinstance(done.exception, InvalidArgumentError)
    assert [file.name for file in tmp_path.iterdir()] == ["old.json"]
    assert old.read_text() == "old"


@pytest.mark.usefixtures("here")
def test_the_result_is_printed_even_if_its_file_cannot_be_written_any_more(tmp_path, monkeypatch):
    folder = tmp_path / "folder"
    folder.mkdir()

    def without_the_folder(*given, **options):
        folder.rmdir()
        return compare(*given, **options)

    monkeypatch.setattr(command_line, "compare", without_the_folder)
    done = command(f"{MODELS}base", "--backends", "numpy", "--inner-steps", "1", "--html", str(folder / "x.html"))
    assert isinstance(done.exception, FileNotFoundError)
    assert "numpy agrees at every stage" in done.output


def test_a_loss_that_ends_its_process():
    with pytest.raises(ComparisonError, match=r"two@numpy: the worker process ended with status 3"):
        compare({"one@numpy": f"{MODELS}base", "two@numpy": f"{MODELS}ending"})


def test_a_loss_that_takes_too_long():
    with pytest.raises(ComparisonError, match=r"two@numpy: the worker process did not answer within") as caught:
        compare({"one@numpy": f"{MODELS}base", "two@numpy": f"{MODELS}slow"}, timeout=1.0)
    assert "mapping" not in str(caught.value)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ("forgetful", "it forgets fc.bias"),
        ("misshapen", "Dense_1/kernel: Leaf(name='out.weight'"),
        (
            "misnamed",
            "it refers to unknown leaves out.wieght; the common leaves: fc.bias (5,), fc.weight (5, 4)",
        ),
        ("nothing", "has no 'nothing'"),
        ("stringly", "mapping of jax: Dense_1/kernel: axes must be a tuple of integers or None, got '10'"),
        ("numbered", "mapping of jax: Dense_1/kernel: expected a leaf's name, a string, got Leaf(name=1"),
        ("mixed", "mapping of jax: Dense_0: expected a dictionary with keys of one type that can be sorted, got 'kern"),
    ],
)
def test_a_mapping_that_does_not_fit(mapping, words):
    with pytest.raises((InvalidArgumentError, ComparisonError)) as caught:
        compare(LOSSES, mapping=f"{JAX}{mapping}")
    assert words in str(caught.value)


@pytest.mark.usefixtures("here")
def test_a_missing_mapping_is_asked_for_and_suggested():
    with pytest.raises(InvalidArgumentError) as caught:
        compare({"torch": LOSSES["torch"], "jax": "tests.compare.jax_port_of_its_own:loss"})
    assert "mapping: jax's parameters have other names or shapes" in str(caught.value)
    assert "'Dense_0/kernel': Leaf('fc.weight', axes=(1, 0))" in str(caught.value)


@pytest.mark.usefixtures("here")
def test_a_missing_mapping_to_a_side_without_parameters_says_what_it_was_given():
    with pytest.raises(ComparisonError, match=r"jax: KeyError: 'Dense_0' \(jax_port.py, line \d+\)") as caught:
        compare(LOSSES, algorithm=STEP)
    assert "neither parameters of its own nor a mapping" in str(caught.value)
    assert "first side's tree: fc.bias (5,), fc.weight (5, 4), out.weight (3, 5)." in str(caught.value)


@pytest.mark.usefixtures("here")
def test_a_mapping_of_the_first_side_is_refused():
    with pytest.raises(
        InvalidArgumentError, match="mapping of torch: torch is the first side.* expected a mapping of jax"
    ):
        compare(LOSSES, mapping={"torch": f"{JAX}mapping"}, algorithm=STEP)


@pytest.mark.usefixtures("here")
def test_shapes_of_a_side_that_the_mapping_does_not_give():
    mapping = {"layers": [{"w": Leaf("layers/0/w", axes=(1, 0)), "b": "layers/0/b"}, *_same(1), *_same(2)]}
    params = {"one@numpy": f"{MODELS}params", "two@numpy": f"{MODELS}params"}
    with pytest.raises(InvalidArgumentError, match=r"layers/0/w has shape \(3, 4\), but layers/0/w of sha"):
        compare({"one@numpy": f"{MODELS}base", "two@numpy": f"{MODELS}base"}, mapping=mapping, params=params)


def _same(*layers: int) -> list[dict[str, str]]:
    return [{name: f"layers/{i}/{name}" for name in ("w", "b")} for i in layers]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ("raising", r"two@numpy: ValueError: these shapes do not go together \(models.py, line \d+\)"),
        ("vector", r"two@numpy: loss: it returned shape \(6,\)"),
        ("task", r"two@numpy: loss: tests.compare.models:task is a Task, expected a function"),
        ("nowhere", r"two@numpy: tests.compare.models:nowhere: tests.compare.models has no 'nowhere'"),
    ],
)
def test_losses_that_are_none(loss, words):
    with pytest.raises(ComparisonError, match=words):
        compare({"one@numpy": f"{MODELS}base", "two@numpy": f"{MODELS}{loss}"})


@pytest.mark.usefixtures("here")
def test_nan_is_where_they_part_and_not_an_error():
    found = compare({"one@numpy": f"{MODELS}base", "two@numpy": f"{MODELS}nan"}, algorithm=STEP)
    assert found.sides[1].parting == ("support loss", "loss")
    assert "NaN or infinity" in found.summary
    both = compare({"one@numpy": f"{MODELS}nan", "two@numpy": f"{MODELS}nan"}, algorithm=STEP)
    assert not both.agreed


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"loss": "base"}, InvalidArgumentError, "expected module:attribute"),
        ({"loss": lambda params, batch: 0}, InvalidArgumentError, "define it at the top level"),
        ({"loss": {}}, InvalidArgumentError, "no loss is given"),
        ({"task": (1.0, 2.0)}, InvalidArgumentError, "one side alone, numpy, and no reference"),
        ({"backends": ["numpy", "numpy"]}, InvalidArgumentError, "given twice"),
        ({"dtype": "float16"}, InvalidArgumentError, "float32, float64"),
        ({"params": {"w": "x"}}, ComparisonError, "expected numbers and arrays"),
        ({"params": f"{MODELS}HIDDEN"}, InvalidTypeError, "must be real and floating"),
        ({"task": {"numpy": 3}}, ComparisonError, "expected metaspec.Task"),
        ({"task": models.params()}, ComparisonError, "expected metaspec.Task"),
        ({"algorithm": ms.MAML(ms.GradientDescent([0.1], 1))}, InvalidArgumentError, "one rate for all leaves"),
        ({"timeout": -1}, InvalidArgumentError, "seconds > 0"),
    ],
)
def test_arguments_that_do_not_fit(options, kind, words):
    options = {"loss": f"{MODELS}base", "backends": ["numpy"]} | options
    if isinstance(options["loss"], dict):
        del options["backends"]
    with pytest.raises(kind, match=words):
        compare(**options)


@pytest.mark.usefixtures("here")
def test_there_are_no_parameters_and_no_task():
    with pytest.raises(InvalidArgumentError, match="define `params` in tests.compare.data"):
        compare("tests.compare.data:batch", ["numpy"])
    with pytest.raises(InvalidArgumentError, match="define `task` in tests.compare.data"):
        compare("tests.compare.data:batch", ["numpy"], params=models.params())


def test_a_framework_that_is_not_installed(monkeypatch):
    monkeypatch.setattr(Registration, "installed", property(lambda registration: registration.name == "numpy"))
    with pytest.raises(ms.errors.BackendNotInstalledError, match="jax"):
        compare(f"{MODELS}base", ["jax"])


@pytest.mark.usefixtures("here")
def test_a_page_of_what_agrees():
    found = ms.compare(f"{MODELS}base", ["numpy"])
    text = page_of(found)
    Checked().feed(text)
    assert "✓" in text
    assert "What was tested" not in text
    assert found.side("numpy") == found.sides[0]
    assert isinstance(found.sides[0], SideReport)
    with pytest.raises(KeyError, match="there are numpy"):
        found.side("torch")
