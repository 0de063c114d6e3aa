"""The program in docs/training.md runs, and goes on when it is run again."""

import json
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_program_runs_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = DOCUMENT.read_text().split("```python\n")[1].split("```")[0]
    first: dict = {}
    exec(compile(program.replace("steps=60", "steps=30"), str(DOCUMENT), "exec"), first)
    second: dict = {}
    exec(compile(program, str(DOCUMENT), "exec"), second)
    assert (first["run"].steps, second["run"].steps) == (30, 60)
    assert second["run"].history[:30] == first["run"].history
    lines = [json.loads(line) for line in (tmp_path / "first" / "metrics.jsonl").read_text().splitlines()]
    assert [line["steps"] for line in lines if "evaluation" in line] == [20, 40, 60]
    assert "±" in capsys.readouterr().out
