"""Pages of the site that are no files of docs/: tutorials, examples, the reference, the texts at the repository's root.

MkDocs calls the `on_` functions. A link in a page may name any file of the repository; one that the site does not have,
or that does not exist, is a warning, which a strict build takes as an error.
"""

import logging
import posixpath
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import Any

import typer.main
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

import metaspec
from metaspec.cli.app import build

LOG = logging.getLogger("mkdocs.plugins.metaspec")
ROOT = Path(__file__).resolve().parents[2]
TEXTS = ("ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "SPEC.md")
API = {
    "core": ("metaspec", "What `import metaspec as ms` has"),
    "training": ("metaspec.training", "`ms.training`: optimisers, schedules, checkpoints, callbacks"),
    "data": ("metaspec.data", "`ms.data`: sources of tasks"),
    "nn": ("metaspec.nn", "`ms.nn`: portable networks"),
    "plots": ("metaspec.plots", "`metaspec.plots`: pictures"),
    "errors": ("metaspec.errors", "`ms.errors`: what is raised"),
    "audit": ("metaspec_conformance.audit", "`ms.audit` and its report"),
    "compare": ("metaspec_conformance.compare", "`ms.compare` and its report"),
    "pytest": ("metaspec_conformance.pytest_plugin", "Conformance in your own tests"),
    "strategies": ("metaspec_conformance.strategies", "Scenarios to draw from with Hypothesis"),
}
LINK = re.compile(r"(?<=\]\()([^)\s:#]+)(?=[)#])")
SEARCH = 'data-md-component="search" role="dialog"'
OUTLINE: list[tuple[str, str]] = []


def on_config(config: Any) -> Any:
    """Put the version into the title, and the files that there are in place of patterns of the navigation."""
    config["site_name"] = f"metaspec {metaspec.__version__}"
    OUTLINE.clear()
    _made.cache_clear()
    there = [*_made(), *(p.relative_to(ROOT / "docs").as_posix() for p in sorted((ROOT / "docs").rglob("*.md")))]
    config["nav"] = _expanded(config["nav"], there)
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that are made; tutorials are no downloads."""
    for file in [f for f in files if f.src_uri.startswith("tutorials/") and f.src_uri.endswith(".py")]:
        files.remove(file)
    for place, text in _made().items():
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: Any, files: Files) -> str:
    """Turn links to files of the repository into links to their pages."""
    here = page.file.src_uri
    source = here.removeprefix("project/") if here.startswith("project/") else f"docs/{here}"

    def page_of(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), found[1]))
        place = _site_place(target)
        if place is None:
            LOG.warning("%s: the link %s is to %s, which is no page of the site", here, found[1], target)
            return found[1]
        return posixpath.relpath(place, posixpath.dirname(here) or ".")

    return LINK.sub(page_of, markdown)


def on_page_content(html: str, page: Page, config: Any, files: Files) -> str:
    """Keep what llms.txt says of the page: its address, its title, its first sentence; an empty cell is no heading."""
    first = re.search(r"<p>(.*?)</p>", html, re.DOTALL)
    words = " ".join(re.sub(r"<[^>]+>", "", first[1]).split()) if first else ""
    said = shorten(words.partition(". ")[0], 200)
    OUTLINE.append((page.file.dest_uri, f"[{page.title}]({page.file.dest_uri}): {said}"))
    return re.sub(r"<th( [^>]*)?></th>", r"<td\1></td>", html)


def on_post_page(output: str, page: Page, config: Any) -> str:
    """Name the search dialog, which the theme leaves nameless, for screen readers."""
    return output.replace(SEARCH, f'{SEARCH} aria-label="Search"')


def on_post_build(config: Any) -> None:
    """Write llms.txt, the outline of the site for programs that read it."""
    head = f"# metaspec {metaspec.__version__}\n\n> {config['site_description']}\n\n## Pages\n\n"
    lines = "".join(f"- {line}\n" for _, line in OUTLINE)
    Path(config["site_dir"], "llms.txt").write_text(head + lines, encoding="utf-8")


def _expanded(entries: list[Any], there: list[str]) -> list[Any]:
    found: list[Any] = []
    for entry in entries:
        if isinstance(entry, str) and "*" in entry:
            start, _, end = entry.partition("*")
            found += [p for p in there if p.startswith(start) and p.endswith(end) and not p.endswith("/index.md")]
        elif isinstance(entry, dict):
            found.append({k: _expanded(v, there) if isinstance(v, list) else v for k, v in entry.items()})
        else:
            found.append(entry)
    return found


def _site_place(target: str) -> str | None:
    """Return the page or file of the site that shows a file of the repository; None where there is none."""
    if target.startswith("docs/tutorials/") and target.endswith(".py"):
        return target.removeprefix("docs/").removesuffix(".py") + ".md"
    if target.startswith("docs/"):
        return target.removeprefix("docs/")
    if target in TEXTS:
        return f"project/{target}"
    paths = [Path(target.removesuffix(".py")), *Path(target).parents] if (ROOT / target).exists() else []
    return next((place for path in paths if (place := f"{path.as_posix()}.md") in _made()), None)


@cache
def _made() -> dict[str, str]:
    """Return the text of every page that is made, by its place."""
    made = {f"project/{name}": (ROOT / name).read_text(encoding="utf-8") for name in TEXTS}
    for path in sorted((ROOT / "docs" / "tutorials").glob("*.py")):
        made[f"tutorials/{path.stem}.md"] = _tutorial(path.read_text(encoding="utf-8"))
    examples = ROOT / "examples"
    for path in sorted(examples.glob("*.py")):
        made[f"examples/{path.stem}.md"] = f"# {path.name}\n\n{_fenced(path)}"
    for folder in sorted(path.parent for path in examples.glob("*/pyproject.toml")):
        sources = sorted(folder.glob("src/**/*.py"))
        made[f"examples/{folder.name}.md"] = f"# {folder.name}\n\n" + "\n".join(
            f"## {path.relative_to(folder).as_posix()}\n\n{_fenced(path)}" for path in sources
        )
    made["reference/index.md"] = "# Reference\n\nEvery public name, by where it is imported from.\n\n" + "".join(
        f"- [{title}]({name}.md)\n" for name, (_, title) in API.items()
    )
    for name, (module, title) in API.items():
        made[f"reference/{name}.md"] = f"# {title}\n\n" + "\n".join(
            f"::: {module}.{public}\n" for public in _public(module)
        )
    return made | {"reference/command-line.md": "# The command line\n\n" + "".join(_commands())}


def _public(module: str) -> list[str]:
    """Return the names of a module that have a page of their own."""
    found = import_module(module)
    own = [name for name, value in vars(found).items() if isinstance(value, type) and value.__module__ == module]
    names = getattr(found, "__all__", own)
    return [name for name in names if f"{module}.{name}" not in [*(m for m, _ in API.values()), "metaspec.errors"]]


def _fenced(path: Path) -> str:
    return f"```python\n{path.read_text(encoding='utf-8').rstrip()}\n```\n"


def _tutorial(text: str) -> str:
    """Return a script as a page: docstring and comments of `# %%` cells as text, code as blocks."""
    docstring, _, body = text.removeprefix('"""').partition('"""\n')
    title, _, lead = docstring.partition("\n")
    parts = [f"# {title.rstrip('.')}\n\n{lead.strip()}\n"]
    for cell in body.split("# %%\n")[1:]:
        words, _, code = cell.partition("\n\n") if cell.startswith("# ") else ("", "", cell)
        parts.append("\n".join(line.removeprefix("#").removeprefix(" ") for line in words.splitlines()))
        if code.strip():
            parts.append(f"```python\n{code.strip()}\n```")
    return "\n\n".join(parts) + "\n"


def _commands() -> Iterator[str]:
    """Yield a section for each command: what it does, arguments, options, an example."""
    group = typer.main.get_command(build())
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        yield f"## metaspec {name}\n\n{command.help}\n\n"
        if command.epilog:
            yield f"```console\n{_examples(command.epilog)}\n```\n\n"
        yield "| option | meaning | default |\n| --- | --- | --- |\n"
        for option in command.params:
            shown = ", ".join(option.opts) if option.param_type_name == "option" else str(option.name)
            usual = "" if option.default in (None, (), []) or callable(option.default) else f"`{option.default}`"
            described = (getattr(option, "help", "") or "").replace("|", "\\|")
            yield f"| `{shown}` | {described} | {usual} |\n"
        yield "\n"


def _examples(epilog: str) -> str:
    return "\n".join(f"$ {part.strip()}" for part in re.sub(r"^Examples?:", "", epilog).split("  |  "))
