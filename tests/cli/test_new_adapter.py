"""`metaspec new-adapter`: what it writes installs, runs, is lint and type clean, and says what to write next."""

import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import metaspec
from metaspec.backend.protocol import Backend
from metaspec.errors import BackendConflictError, InvalidArgumentError
from metaspec_conformance.commands.new_adapter import new_adapter
from metaspec_conformance.pytest_plugin.skeleton import Skeleton
from metaspec_conformance.workers.unwritten import REQUIRED, unwritten
from tests.helpers import installed


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A generated project, its package found as if pip had installed it."""
    new_adapter("mine", None, tmp_path)
    return tmp_path / "metaspec-mine"


def test_the_suite_runs_at_once_and_says_what_to_write_in_which_order(project: Path) -> None:
    with installed(project) as environment:
        command = [sys.executable, "-m", "pytest", "-q", "--color=no", "--metaspec-scenarios", "[ml]e*/*"]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1
        head, _, rest = done.stdout.partition("mine: still to be written, in this order")
        assert rest.splitlines()[1] == ", ".join(REQUIRED)
        assert "NotImplementedError: precision is still to be written" in head
        assert "Traceback" not in done.stdout
        command = [sys.executable, "-c", "from metaspec.cli import main; main()", "verify", "mine"]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 1
        assert f"FAILED mine: still to be written, in this order: {', '.join(REQUIRED)}" in done.stdout


def test_members_are_those_of_the_protocol_in_the_order_in_which_to_write_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert set(REQUIRED) == Backend.__abstractmethods__
    monkeypatch.syspath_prepend(project / "src")
    from metaspec_mine.adapter import MineBackend

    assert unwritten(MineBackend()) == REQUIRED
    own = [name for name in vars(MineBackend) if name in REQUIRED]
    assert tuple(own) == REQUIRED
    assert all(getattr(vars(MineBackend)[name], "__doc__", "") for name in own)
    MineBackend.versions = lambda self: {"mine": "1"}
    assert unwritten(MineBackend()) == tuple(name for name in REQUIRED if name != "versions")


@pytest.mark.parametrize("framework", ["", "some_framework_with_a_long_name"])
def test_lint_and_format(framework: str, tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    new_adapter("a_rather_long_name", framework or None, tmp_path)
    for command in ("check", "format --check"):
        subprocess.run([ruff, *command.split(), "."], cwd=tmp_path / "metaspec-a-rather-long-name", check=True)


def test_the_framework_is_asked_for() -> None:
    files = Skeleton("mine", "sklearn", "scikit-learn", "0.1.0").files()
    assert 'dependencies = ["scikit-learn", "metaspec>=0.1.0"]' in files["pyproject.toml"]
    assert 'requires=("sklearn",),\n    arrays=("sklearn",),' in files["src/metaspec_mine/__init__.py"]
    assert "$" not in "".join(content for path, content in files.items() if path != "README.md")


@pytest.mark.parametrize(
    ("owners", "wanted"), [(["mlx-cpu", "mlx"], "mlx"), (["scikit-learn"], "scikit-learn"), ([], "absent")]
)
def test_the_distribution_is_the_one_named_like_the_module(
    owners: list[str], wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = {"mlx": "mlx", "scikit-learn": "sklearn"}.get(wanted, wanted)
    monkeypatch.setattr(metadata, "packages_distributions", lambda: {module: owners} if owners else {})
    new_adapter("mine", module, tmp_path)
    assert f'dependencies = ["{wanted}", ' in (tmp_path / "metaspec-mine" / "pyproject.toml").read_text()


@pytest.mark.parametrize("name", ["Mine", "my-backend", "2d", "_x", "x__y", "a b", "", "../x"])
def test_bad_names(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        InvalidArgumentError, match="expected a name of lower-case letters, digits and single underscores"
    ):
        new_adapter(name, None, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(BackendConflictError, match="'numpy' is registered already"):
        new_adapter("numpy", None, tmp_path)
    with pytest.raises(InvalidArgumentError, match=r"metaspec\.solvers is a module of metaspec's own"):
        new_adapter("solvers", None, tmp_path)
    with pytest.raises(InvalidArgumentError, match="expected the name of a top-level module, got 'a-b'"):
        new_adapter("mine", "a-b", tmp_path)
    with pytest.raises(InvalidArgumentError, match="there is no folder"):
        new_adapter("mine", None, tmp_path / "nowhere")
    (tmp_path / "metaspec-mine").mkdir()
    with pytest.raises(InvalidArgumentError, match="is there already"):
        new_adapter("mine", None, tmp_path)
    assert list((tmp_path / "metaspec-mine").iterdir()) == []


def test_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from metaspec.cli import main; main()", "new-adapter"]
    done = subprocess.run([*command, "mine", "--out", str(tmp_path)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert f"cd {tmp_path / 'metaspec-mine'} && pip install" in done.stdout
    assert metaspec.__version__ in (tmp_path / "metaspec-mine" / "pyproject.toml").read_text()
    environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
    done = subprocess.run([*command, "--help"], env=environment, capture_output=True, text=True, timeout=120)
    assert "metaspec new-adapter mine" in done.stdout.partition("Example")[2]
