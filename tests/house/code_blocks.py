"""The code blocks of the pages: run as a reader would paste them, or held against what would read them.

The blocks of a page run from top to bottom, in an empty folder: Python in one namespace, a Python block that begins
with a comment of a file's name as that file, commands in a shell. Of a command with output below it that output is
looked for, and the exit status may be 1. A block after the comment `<!-- not run: REASON -->` is parsed alone: Python
by the compiler, commands by the command line's own parser. One after `<!-- command: NAME -->` runs in .ci/run.
"""

import ast
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer.main

from metaspec.cli.app import build

from .source_tree import ROOT

PAGES = sorted(
    path.relative_to(ROOT).as_posix() for p in ("*.md", "docs/**/*.md", "examples/*/*.md") for path in ROOT.glob(p)
)
FENCED = re.compile(
    r"^(?: *<!-- (?P<mark>[^\n]*?) -->\n\n?)?(?P<indent> *)```(?P<kind>[^\n]*)\n(?P<code>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
INLINE = re.compile(r"`((?:python -m )?(?:metaspec|metaspec_\w+|tests)[\w.]* [^`]*)`")
LINE = re.compile(r"^ *(python -m (?:metaspec|tests)[\w.]* .*)$", re.MULTILINE)
FILE = re.compile(r"# (\w+\.py)\b")


@dataclass(frozen=True)
class Block:
    """A fenced block: where it stands, its language, its text, and the comment before it."""

    place: str
    kind: str
    code: str
    mark: str

    @property
    def runs(self) -> bool:
        return not self.mark.startswith(("not run: ", "command: "))

    @property
    def file(self) -> str:
        """The name of the file that the block is, if it is one."""
        found = FILE.match(self.code)
        return found[1] if found else ""

    def missing_in(self, folder: Path) -> list[str]:
        """Packages that it imports, and that are neither installed nor files in the folder."""
        roots = {name.partition(".")[0] for name in _imports(self.code)}
        return sorted(root for root in roots if find_spec(root) is None and not (folder / f"{root}.py").exists())

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """Each command, with the lines of output that are shown below it."""
        lines = self.code.replace("\\\n", "").splitlines()
        starts = [i for i, line in enumerate(lines) if self.kind == "bash" or line.lstrip().startswith("$ ")]
        assert starts, f"{self.place}: no line begins with a prompt"
        for i, end in zip(starts, [*starts[1:], len(lines)], strict=True):
            yield lines[i].strip().removeprefix("$ "), [line.strip() for line in lines[i + 1 : end]]


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """The blocks of code of a page."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = []
    for match in FENCED.finditer(text):
        place = f"{page}, line {text[: match.start('kind')].count(chr(10)) + 1}"
        if match["kind"] not in ("", "text"):
            code = re.sub(f"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
            found.append(Block(place, match["kind"], code, match["mark"] or ""))
    return tuple(found)


def run_page(page: str, folder: Path) -> tuple[dict[str, Any], list[str]]:
    """Run a page in this folder; return the names that are there at its end, and the packages that it lacked."""
    names: dict[str, Any] = {"__name__": page}
    lacking: list[str] = []
    absent: list[str] = []
    for part in ("examples", "conformance"):
        (folder / part).symlink_to(ROOT / part)  # a page's reader stands in a clone
    for block in blocks(page):
        assert block.kind in ("python", "console", "bash", "toml"), f"{block.place}: {block.kind}"
        if not block.runs or block.kind == "toml":
            check(block)
        elif block.kind != "python":
            for command, shown in block.commands():
                if not any(module in command for module in absent):
                    _run(block, command, shown, folder)
        elif missing := block.missing_in(folder):
            lacking += missing
            absent += [block.file.removesuffix(".py")] if block.file else []
        elif block.file:
            (folder / block.file).write_text(block.code, encoding="utf-8")
        else:
            exec(compile(block.code, block.place, "exec"), names)
    return names, lacking


def check(block: Block) -> None:
    """Hold a block that does not run against the parsers."""
    for path in re.findall(r"[\w./]+\.py\b", block.mark):
        assert (ROOT / path).is_file(), f"{block.place}: there is no {path}"
    if block.mark.startswith("command: "):
        assert f"readme_command {block.mark.removeprefix('command: ')}" in (ROOT / ".ci" / "run").read_text()
    if block.kind == "python":
        compile(block.code, block.place, "exec")
    elif block.kind == "toml":
        tomllib.loads(block.code)
    else:
        for command, _ in block.commands():
            check_command(command)


def check_command(line: str, whole: bool = True) -> None:
    """Hold a command against the parser of `metaspec`, the modules and options that there are, the package's extras.

    Of one that is not whole, only what is named is looked up.
    """
    words: list[str] = []
    for word in [*shlex.split(line, comments=True), ";"]:
        if word in (";", "&&", "|", ">"):
            _check_words(words, whole)
            words = []
        else:
            words.append(word)


def _check_words(words: list[str], whole: bool) -> None:
    if "install" in words:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        for word in words:
            if found := re.match(r"(?:\.|metaspec)\[(.*)\]", word):
                assert set(found[1].split(",")) <= set(extras) | {"test"}, word
        return
    module = words[words.index("-m") + 1] if "-m" in words[:-1] and "pytest" not in words else ""
    own = next((i for i, word in enumerate(words) if Path(word).name == "metaspec"), None)
    if own is not None and len(words) > own + 1:
        group: Any = typer.main.get_command(build())
        name, *rest = words[own + 1 :]
        command = group if name.startswith("-") else group.commands[name]
        if whole:
            command.make_context(name, rest)
        else:
            known = {option for parameter in command.params for option in parameter.opts + parameter.secondary_opts}
            assert {word for word in words if word.startswith("-")} <= known, words
    elif module.startswith(("metaspec_", "tests.")):
        spec = find_spec(module)
        assert spec is not None, module
        folder = Path(str(spec.origin)).parent
        sources = [Path(str(spec.origin)), *(folder.rglob("*.py") if spec.submodule_search_locations else ())]
        text = "".join(path.read_text(encoding="utf-8") for path in sources)
        for option in (word for word in words if word.startswith("--")):
            name = option.removeprefix("--").replace("-", "_")
            assert re.search(rf'"{option}"|\b{name}\b', text), f"{module} has no {option}"
    elif "pytest" in words:
        text = (ROOT / "conformance/metaspec_conformance/pytest_plugin/plugin.py").read_text(encoding="utf-8")
        assert all(f'"{word}"' in text for word in words if word.startswith("--metaspec-")), words
    elif words[1:] and Path(words[0]).name == "python" and words[1].endswith(".py"):
        assert (ROOT / words[1]).is_file(), words[1]


def inline_commands(page: str) -> list[str]:
    """The commands within a page's sentences and tables, and those on a line of their own."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [" ".join(found.split()) for found in INLINE.findall(FENCED.sub("", text)) + LINE.findall(text)]


def _imports(code: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)


def _run(block: Block, command: str, shown: list[str], folder: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "160", "NO_COLOR": "1"}
    shell = ["bash", "-c", command]
    done = subprocess.run(shell, cwd=folder, env=environment, capture_output=True, text=True, timeout=500)
    said = f"{block.place}: {command}\n{done.stdout}{done.stderr}"
    assert done.returncode in ((0, 1) if shown else (0,)), said
    for line in shown:
        wanted = r".*".join(re.escape(part) for part in line.split("..."))
        assert re.search(re.sub(r"(\\ )+", r"\\s+", wanted), done.stdout), f"{said}\nexpected: {line}"
