"""`metaspec report` and the pictures of `metaspec train`: what is on the page is what is in the runs."""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from typer.testing import CliRunner

from metaspec.cli.app import build
from metaspec.errors import InvalidArgumentError
from metaspec.experiments.run_record import read
from metaspec.experiments.runs_page import of_runs

METASPEC = [sys.executable, "-c", "from metaspec.cli import main; main()"]


def metaspec(*args, cwd):
    return subprocess.run([*METASPEC, *args], capture_output=True, text=True, cwd=cwd, timeout=300)


class Text(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.cells, self.links, self._text = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.links += [value for name, value in attrs if name in ("src", "href") and not value.startswith("#")]
        if tag in ("td", "th"):
            self._text = ""

    def handle_data(self, text):
        if self._text is not None:
            self._text += text

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cells.append(self._text)
            self._text = None


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    small = ["--steps", "4", "--test-tasks", "25", "--evaluate-every", "2", "--evaluate-tasks", "25"]
    for algorithm in ("maml", "reptile"):
        command = ["train", "sinusoid", *small, "--algorithm", algorithm, "--out", str(folder / algorithm)]
        done = CliRunner().invoke(build(), command)
        assert done.exit_code == 0, done.output
    return folder


def test_training_leaves_pictures(runs):
    pytest.importorskip("matplotlib")
    files = {path.name for path in (runs / "maml" / "pictures").iterdir()}
    assert files == {"adaptation.svg", "learning.svg"}


def test_without_matplotlib_training_says_what_to_install(tmp_path):
    blocked = "import sys; sys.modules['matplotlib'] = None; from metaspec.cli import main; main()"
    args = ["train", "sinusoid", "--steps", "1", "--test-tasks", "25", "--out", "run"]
    done = subprocess.run([sys.executable, "-c", blocked, *args], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "no pictures: needs matplotlib, which is not installed; run: pip install 'metaspec[plots]'" in done.stdout
    assert (tmp_path / "run" / "params.safetensors").exists()


def test_the_page_has_the_runs_figures(runs):
    done = metaspec("report", "maml", "reptile", "--out", "page.html", cwd=runs)
    assert done.returncode == 0, done.stderr
    page = (runs / "page.html").read_text()
    shown = Text(page)
    assert shown.links == []
    for name in ("maml", "reptile"):
        content = json.loads((runs / name / "run.json").read_text())
        assert {name, content["versions"]["numpy"], str(content["config"]["inner_steps"])} <= set(shown.cells)
        for report in read(runs / name).results.values():
            assert str(report.loss_after).replace(" ", "\N{NO-BREAK SPACE}") in shown.cells
    record = read(runs / "maml")
    lines = [json.loads(line) for line in (runs / "maml" / "metrics.jsonl").read_text().splitlines()]
    assert [step.query_loss for step in record.history] == [one["query_loss"] for one in lines if "step" in one]
    assert [judged.steps for judged in record.evaluations] == [2, 4]
    assert "Loss on validation tasks" in page
    assert page.count('class="picture"') == len(list(runs.glob("*/pictures/adaptation.svg")))


def test_an_unfinished_run_and_a_diverged_one_are_shown(runs, tmp_path):
    shutil.copytree(runs / "maml", tmp_path / "maml")
    content = json.loads((runs / "maml" / "run.json").read_text())
    del content["results"]
    (tmp_path / "maml" / "run.json").write_text(json.dumps(content | {"diverged": "outer step 4"}))
    shutil.copytree(runs / "reptile", tmp_path / "other" / "maml")
    half_a_line = '{"step": 0, "query_loss": 1.0}\n{"step": 1, "query_l'  # as a run under way may leave it
    (tmp_path / "other" / "maml" / "metrics.jsonl").write_text(half_a_line)
    assert [step.step for step in read(tmp_path / "other" / "maml").history] == [0]
    page = of_runs([tmp_path / "maml", tmp_path / "other" / "maml"])
    assert "diverged after 4 of 4 steps" in page
    assert "other/maml" in Text(str(page)).cells


def test_refusals(runs, tmp_path):
    with pytest.raises(InvalidArgumentError, match="there is no run in it"):
        of_runs([tmp_path])
    with pytest.raises(InvalidArgumentError, match="named twice"):
        of_runs([runs / "maml", runs / "maml"])
    with pytest.raises(InvalidArgumentError, match="at least one run"):
        of_runs([])
    shutil.copytree(runs / "maml", tmp_path / "torn")
    for content in (b'{"step": 0, "query_loss": 1.0}\n{"step": 1\n', b'{"step": 0, "query_loss": 1.0}\n\xff\xfe\n'):
        (tmp_path / "torn" / "metrics.jsonl").write_bytes(content)
        with pytest.raises(InvalidArgumentError, match=r"metrics.jsonl, line 2: it is no figure of a training"):
            of_runs([tmp_path / "torn"])
    (tmp_path / "torn" / "metrics.jsonl").unlink()
    (tmp_path / "torn" / "pictures" / "odd.svg").parent.mkdir(exist_ok=True)
    (tmp_path / "torn" / "pictures" / "odd.svg").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidArgumentError, match=r"odd.svg: it is no SVG picture"):
        of_runs([tmp_path / "torn"])
    content = json.loads((runs / "maml" / "run.json").read_text())
    (tmp_path / "torn" / "run.json").write_text(json.dumps(content | {"versions": 3}))
    with pytest.raises(InvalidArgumentError, match=r"run.json: its results are no figures of metaspec"):
        of_runs([tmp_path / "torn"])
    done = metaspec("report", "maml", "--out", "nowhere/page.html", cwd=runs)
    assert done.returncode == 2
    assert "--out: there is no folder" in done.stderr
