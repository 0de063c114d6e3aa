"""The commands as a user meets them: what they print, their exit status, and no traceback for what a user can mend."""

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from metaspec import list_backends
from metaspec.cli.app import build

FEW = ("--scenario", "least-squares/*/steps-1")


def metaspec(*arguments, **environment):
    command = [sys.executable, "-c", "from metaspec.cli import main; main()", *arguments]
    environment = {**os.environ, "COLUMNS": "160", "NO_COLOR": "1", **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)


def test_verify_prints_a_table_and_writes_json(tmp_path):
    file = tmp_path / "report.json"
    done = metaspec("verify", "numpy", *FEW, "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("numpy", "MAML", "FOMAML", "Reptile", "IMAML", "float32", "float64", "closed form", "all agree"):
        assert word in done.stdout
    figures = json.loads(file.read_text())
    assert figures["passed"] is True
    assert len(figures["rows"]) == 8
    assert all(row["worst"] <= 16 and row["digits"] > 4 for row in figures["rows"])


def test_verify_restricts_formats():
    done = metaspec("verify", "numpy", *FEW, "--dtype", "float64")
    assert done.returncode == 0
    assert "float32" not in done.stdout


def test_verify_compiles_every_scenario(tmp_path):
    """By an adapter whose compiled functions give the result of other parameters."""
    (tmp_path / "wrongly_compiled.py").write_text(
        "import metaspec as ms\n"
        "from metaspec_numpy.adapter import NumpyBackend\n"
        "class Wrong(NumpyBackend):\n"
        "    def compile(self, f):\n"
        "        return lambda params, tasks: f(self.tree_map(lambda x: 2 * x, params), tasks)\n"
    )
    arguments = ("verify", "wrongly_compiled:Wrong", *FEW, "--dtype", "float64")
    assert metaspec(*arguments, PYTHONPATH=str(tmp_path)).returncode == 0, "these scenarios run as they are"
    done = metaspec(*arguments, "--compiled", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "4 failed, of 4" in done.stdout


def test_verify_fails_on_a_broken_backend_and_names_everything(tmp_path):
    faults = os.path.join(os.path.dirname(__file__), "..", "conformance")
    target = "tests.conformance.seeded_faults:worker_imaml_proximal_term_dropped"
    file = tmp_path / "report.json"
    done = metaspec("verify", target, "--scenario", "least-squares/*/steps-3", "--json", str(file), PYTHONPATH=faults)
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert len(lines) == 1, "of one cause"
    for word in (target, "IMAML", "least-squares/imaml/steps-3 float32", "relative error", "tolerance 16"):
        assert word in lines[0]
    assert "and 1 like it: least-squares/imaml/steps-3 float64" in done.stdout
    assert "2 failed" in done.stdout
    failures = json.loads(file.read_text())["failures"]
    assert {f["scenario"] for f in failures} == {"least-squares/imaml/steps-3"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("verify", "nonesuch"), "backend 'nonesuch' is not registered; known backends:"),
        (("verify", "numpy", "numpy"), "'numpy' is given twice"),
        (("verify", "numpy", "--dtype", "float8"), "'float8' is not one of float32, float64"),
        (("verify", "numpy", "--scenario", "zzz"), "no scenario's id contains or matches 'zzz'"),
        (("verify", ":x"), "expected a name or module:attribute"),
        (("verify", "numpy", "--json", "/no/such/folder/x.json"), "/no/such/folder"),
        (("verify", "numpy", "--html", "/proc"), "--html: /proc is a folder, expected a file"),
        (("verify", "no_such_module:Backend", *FEW), "No module named 'no_such_module'"),
        (("verify", "--backend", "nunpy"), "did you mean 'numpy'?"),
        (("verify", "--workers", "two"), "got 'two'"),
        (("bench", "--backend", "nunpy"), "did you mean 'numpy'?"),
        (("audit", "tests.audit.code.recipes_torch:Mta"), "did you mean 'Meta'?"),
        (("audit", "tests.core.problems:__name__"), "is a str; expected a function or class"),
        (("nonesuch",), "No such command"),
    ],
)
def test_user_errors_are_one_message_and_status_2(arguments, message):
    done = metaspec(*arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("metaspec train s", {"sinusoid"}),
        ("metaspec train sinusoid --algorithm fo", {"fomaml"}),
        ("metaspec train sinusoid --backend num", {"numpy"}),
        ("metaspec evaluate run --which l", {"last"}),
        ("metaspec verify num", {"numpy"}),
        ("metaspec bench --backend num", {"numpy"}),
    ],
)
def test_the_shell_completes_values(words, completed):
    asked = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split()) - 1), "_METASPEC_COMPLETE": "complete_bash"}
    program = "import sys; sys.argv[0] = 'metaspec'; from metaspec.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=os.environ | asked)
    assert set(done.stdout.split()) == completed


def test_verify_leaves_no_file_when_it_is_refused(tmp_path):
    done = metaspec("verify", "numpy", "--dtype", "float16", "--html", str(tmp_path / "v.html"))
    assert done.returncode == 2
    assert "'float16' is not one of" in done.stderr
    assert not list(tmp_path.iterdir())


def test_verify_of_a_backend_that_is_not_installed(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from metaspec.backend.registry import Registration\n"
        "Registration.installed = property(lambda self: self.name == 'numpy')\n"
    )
    other = next(status.name for status in list_backends() if status.name != "numpy")
    done = metaspec("verify", other, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert f"backend {other!r} needs {other}, which is not installed; run: pip install" in done.stderr
    done = metaspec("backends", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert f"{other}: pip install" in done.stdout
    done = metaspec("verify", *FEW, PYTHONPATH=str(tmp_path))
    assert done.returncode == 0
    assert other not in done.stdout


def test_backends_lists_what_exists(tmp_path):
    file = tmp_path / "backends.json"
    done = metaspec("backends", "--json", str(file))
    assert done.returncode == 0
    by_name = {entry["name"]: entry for entry in json.loads(file.read_text())}
    assert by_name["numpy"]["installed"]
    assert by_name["numpy"]["versions"]["numpy"]
    for name, entry in by_name.items():
        assert name in done.stdout
        assert entry["install"]
        assert set(entry["dtypes"]) >= {"float32", "float64"}
        assert entry["capabilities"]["compile"]["level"] in ("native", "derived", "unsupported")


def test_backends_breaks_no_word_at_80_columns():
    printed = metaspec("backends", COLUMNS="80").stdout
    assert max(map(len, printed.splitlines()[:-1])) <= 80
    levels = [status.capabilities for status in list_backends()]
    native = {member for members in levels for member, c in members.items() if c.level == "native"}
    for word in {"installed", "longdouble", *native}:
        assert re.search(rf"\b{word}\b", printed), word


def test_doctor_computes_on_numpy_and_says_what_is_wrong(tmp_path):
    (tmp_path / "torch").mkdir()  # installed, and does not import
    (tmp_path / "torch" / "__init__.py").write_text("raise RuntimeError('a broken wheel')")
    for name in ("jax", "tensorflow"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('a broken wheel')")
    done = metaspec("doctor", "--json", str(tmp_path / "doctor.json"), PYTHONPATH=str(tmp_path), COLUMNS="80")
    found = json.loads((tmp_path / "doctor.json").read_text())
    numpy = found["backends"].pop("numpy")
    assert (numpy["problem"], numpy["devices"]) == ("", ["cpu"])
    assert numpy["error"] < 1e-6
    assert all("a broken wheel" in check["problem"] for check in found["backends"].values())
    assert done.returncode == (1 if found["backends"] else 0), done.stdout
    assert "matplotlib [plots]" in found["optional"]


def test_an_interrupt_is_told_by_a_command_that_keeps_nothing():
    program = """
import metaspec.cli.backends as command
from metaspec.cli import main
def interrupted(*given, **named):
    raise KeyboardInterrupt
command.list_backends = interrupted
main()
"""
    done = subprocess.run([sys.executable, "-c", program, "backends"], capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")


def test_an_interrupted_verify_keeps_what_it_has(tmp_path):
    code = "from metaspec.cli import main; main()"
    file = tmp_path / "report.json"
    command = [sys.executable, "-u", "-c", code, "verify", "numpy", "--dtype", "float64", "--json", str(file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "80"})
    try:
        said = process.stdout.readline()  # progress, where there is no terminal
        assert said.startswith("numpy: "), said
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=120)[0]
    finally:
        process.kill()
    assert process.returncode == 130, rest
    assert "interrupted: 0 failed" in rest
    report = json.loads(file.read_text())
    assert report["interrupted"]
    assert not report["passed"]
    assert len(report["outcomes"]) > 0


@pytest.mark.parametrize("command", ["backends", "doctor", "verify"])
def test_help_has_an_example(command):
    done = metaspec(command, "--help")
    assert done.returncode == 0
    assert f"metaspec {command}" in done.stdout.partition("Example")[2]


def test_import_of_metaspec_leaves_the_command_line_out():
    code = "import metaspec, sys; assert not {'typer', 'rich', 'click'} & set(sys.modules), sorted(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_command_loads_its_own_module_alone():
    names = lambda app: {command.name for command in app.registered_commands}  # noqa: E731
    assert names(build("new-adapter")) == {"new-adapter"}
    assert {"train", "verify", "bench"} < names(build("trian"))
