"""What mkdocs does beyond its pages: tables from schemas, commands and names from the code, and
documents that lie outside of docs/. It runs at every build; nothing that it makes is committed."""

from __future__ import annotations

import inspect
import os
import re
from importlib import import_module
from pathlib import Path
from textwrap import dedent
from typing import Any

import typer
from keys import key_tables
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"

#: Documents outside of docs/, by their path from the root, and where they lie in the site.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "docker/README.md": "how-to/containers.md",
    "models/tamrl-v2/CARD.md": "models/tamrl-v2.md",
    "models/tamrl-met-v1/CARD.md": "models/tamrl-met-v1.md",
}
EXAMPLES = "reference/examples.md"
#: Folders of the repository whose files lie in the site anyway.
IN_SITE = ("docs", "examples")
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)\s#]+)")
MARK = re.compile(r"^<!-- (keys|commands|names)(?:: (\S+))? -->$", re.MULTILINE)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents outside of docs/, files that documents show, a page of the examples."""
    for name, uri in OUTSIDE.items():
        front = "---\nhide: [navigation]\n---\n" if uri == "index.md" else ""
        files.append(File.generated(config, uri, content=front + (ROOT / name).read_text()))
    files.append(File.generated(config, EXAMPLES, content=_examples()))
    for target in _shown_files():
        files.append(File.generated(config, _uri(target), abs_src_path=str(target)))
    return files


def _shown_files() -> list[Path]:
    """Files outside of docs/ to which documents lead and which are no pages of the site."""
    found = set()
    for path in (*(ROOT / name for name in OUTSIDE), *DOCS.rglob("*.md")):
        for _, link in LINK.findall(path.read_text()):
            target = Path(os.path.normpath(path.parent / link))
            name = target.relative_to(ROOT).as_posix()
            if target.is_file() and name not in OUTSIDE and name.split("/")[0] not in IN_SITE:
                found.add(target)
    return sorted(found)


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Fill in what is made from the code; lead links to where their documents lie in the site."""
    makers = {"keys": _keys, "commands": _commands, "names": _names}
    markdown = MARK.sub(lambda mark: makers[mark[1]](mark[2]), markdown)
    inverse = {uri: name for name, uri in OUTSIDE.items()}
    here = ROOT / inverse.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def led(link: re.Match[str]) -> str:
        target = Path(os.path.normpath(here.parent / link[2]))
        if not target.exists():
            return link[0]
        return link[1] + os.path.relpath(_uri(target), Path(page.file.src_uri).parent)

    return LINK.sub(led, markdown)


def _uri(target: Path) -> str:
    """Where a file of the repository lies in the site."""
    name = target.relative_to(ROOT).as_posix()
    if name.split("/")[0] == "examples":
        return EXAMPLES
    return OUTSIDE.get(name, name.removeprefix("docs/"))


def _keys(model: str) -> str:
    module, name = model.split(":")
    return key_tables(getattr(import_module(module), name))


def _commands(_: str) -> str:
    """Every command with its arguments and options, as typer itself writes them down."""
    from typer.cli import get_docs_for_click

    from upscale.commands import COMMANDS, make_app

    command = typer.main.get_command(make_app(list(COMMANDS)))
    context = typer.Context(command, info_name="upscale")
    text = get_docs_for_click(obj=command, ctx=context, name="upscale", title="-")
    _, *parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    text = re.sub(r"^```console\n\$ ", "```sh\n", "".join(parts), flags=re.MULTILINE)
    return re.sub(r"^(?:  upscale .*\n)+", _block, text, flags=re.MULTILINE)


def _block(lines: re.Match[str]) -> str:
    return f"\n```sh\n{dedent(lines[0])}```\n"


def _names(_: str) -> str:
    """What `import upscale` offers, each name documented where it is defined."""
    import upscale

    offered = [(name, getattr(upscale, name)) for name in getattr(upscale, "__all__", ())]
    found = [one for _, one in offered if inspect.isclass(one) or inspect.isfunction(one)]
    return "\n\n".join(f"::: {one.__module__}.{one.__qualname__}" for one in found)


def _examples() -> str:
    parts = ["# Examples\n\nFiles of `examples/`, each of which the tests read."]
    for path in sorted((ROOT / "examples").iterdir()):
        language = {".yaml": "yaml", ".py": "python"}.get(path.suffix)
        if language:
            parts.append(f"## {path.name}\n\n```{language}\n{path.read_text().rstrip()}\n```")
    return "\n\n".join(parts) + "\n"
