"""docs/training.md runs; its first program goes on when it is run again."""

import json

from tests.house.code_blocks import blocks, run_page


def test_the_page_runs_and_its_program_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    program = blocks("docs/training.md")[0].code
    first: dict = {}
    exec(program.replace("steps=60", "steps=30"), first)
    run_page("docs/training.md", tmp_path)
    again: dict = {}
    exec(program, again)
    assert (first["run"].steps, again["run"].steps) == (30, 60)
    assert again["run"].history[:30] == first["run"].history
    lines = [json.loads(line) for line in (tmp_path / "first" / "metrics.jsonl").read_text().splitlines()]
    assert [line["steps"] for line in lines if "evaluation" in line] == [20, 40, 60]
    assert "±" in capsys.readouterr().out
