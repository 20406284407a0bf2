"""The site of the documents: built strictly, complete, and readable without a network."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import upscale
from upscale.commands import COMMANDS


@pytest.fixture(scope="module")
def offline(root: Path) -> Iterator[ModuleType]:
    """The script that looks for what a browser would load from elsewhere."""
    sys.path.insert(0, str(root / "docs"))
    import offline

    yield offline
    sys.path.remove(str(root / "docs"))


@pytest.fixture(scope="module")
def site(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as by `make docs`: every warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_a_browser_loads_nothing_from_elsewhere(site: Path, offline: ModuleType) -> None:
    assert len(list(site.rglob("*.html"))) > 20
    assert list(offline.loaded_from_elsewhere(site)) == []
    assert offline.main(str(site)) == 0


@pytest.mark.slow
def test_every_document_is_a_page(root: Path, site: Path) -> None:
    pages = {path.relative_to(site).with_suffix(".md") for path in site.rglob("*.html")}
    documents = {path.relative_to(root / "docs") for path in (root / "docs").rglob("*.md")}
    assert documents <= pages
    assert {Path("index.md"), Path("contributing.md"), Path("changelog.md")} <= pages
    assert list(site.rglob("*.py")) == [site / "benchmarks" / "regridding.py"]


@pytest.mark.slow
def test_every_command_and_every_public_name_is_explained(site: Path) -> None:
    commands = (site / "reference" / "cli.html").read_text()
    assert [name for name in COMMANDS if f'id="upscale-{name}"' not in commands] == []
    names = (site / "reference" / "python.html").read_text()
    offered = [name for name in getattr(upscale, "__all__", ()) if callable(getattr(upscale, name))]
    assert [name for name in offered if not re.search(rf'id="upscale\.[\w.]*{name}"', names)] == []
    assert 'id="upscale.product.reader.interval"' in names


@pytest.mark.slow
def test_tables_of_keys_are_made(site: Path) -> None:
    for page, key in (("run", "output.region.south"), ("ingest", "meteo.fetch.dataset"),
                      ("train", "joint_stage.epochs")):  # fmt: skip
        text = (site / "reference" / f"{page}-yaml.html").read_text()
        assert f"<code>{key}</code>" in text
        assert "<!-- keys" not in text


@pytest.mark.parametrize(
    "loading",
    [
        '<script src="https://cdn.example/a.js"></script>',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<link rel="preconnect" href="https://fonts.example">',
        '<img src="http://example.org/a.png">',
        '<img srcset="https://example.org/a.png 2x">',
        "<style>@import 'https://example.org/a.css';</style>",
        '<p style="background: url(https://example.org/a.png)">',
        '<iframe src="https://example.org"></iframe>',
        '<pre class="mermaid">graph</pre>',
    ],
)
def test_what_would_be_loaded_is_found(
    offline: ModuleType, tmp_path: Path, loading: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "index.html").write_text(f"<html><body>{loading}</body></html>")
    assert offline.main(str(tmp_path)) == 1
    assert "index.html: loads" in capsys.readouterr().out


def test_links_and_own_files_are_no_matter(offline: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text(
        '<a href="https://example.org">read</a><img src="images/a.png"><code>url(https://a)</code>'
        '<link rel="canonical" href="https://example.org"><script src="assets/a.js"></script>'
    )
    assert offline.main(str(tmp_path)) == 0
    (tmp_path / "a.css").write_text("a { background: url('//example.org/a.png') }")
    assert offline.main(str(tmp_path)) == 1


def test_a_folder_without_a_site_is_named(
    offline: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offline.main(str(tmp_path / "none")) == 1
    assert "make docs" in capsys.readouterr().out
