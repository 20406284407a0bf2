"""What holds for every file of the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from upscale.product.quality import REASONS, Quality

TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".csv", ".json", ".sh", ".cfg", ""}

#: A folder of somebody's machine: a home, or a place where one checkout happened to lie.
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:work|root|Users|home/\w+)/[\w.]")


@pytest.fixture(scope="module")
def texts(root: Path, tracked: list[Path]) -> dict[Path, str]:
    return {path: (root / path).read_text() for path in tracked if path.suffix in TEXT}


def test_no_file_names_a_folder_of_one_machine(texts: dict[Path, str]) -> None:
    found = {str(path): MACHINE_PATH.search(text) for path, text in texts.items()}
    assert {name: match[0] for name, match in found.items() if match} == {}


def test_links_between_documents_lead_somewhere(root: Path, texts: dict[Path, str]) -> None:
    broken = []
    for path, text in texts.items():
        if path.suffix == ".md":
            links = re.findall(r"\]\((?!\w+:|#)([^)#\s]+)", text)
            broken += [(str(path), to) for to in links if not (root / path.parent / to).exists()]
    assert broken == []


def test_source_files_have_one_subject(texts: dict[Path, str]) -> None:
    lengths = {str(path): len(text.splitlines()) for path, text in texts.items()
               if path.parts[0] == "upscale" and path.suffix != ".csv"}  # fmt: skip
    assert {name: count for name, count in lengths.items() if count > 400} == {}


def test_tests_have_names_of_their_own(tracked: list[Path]) -> None:
    names = [path.name for path in tracked if path.name.startswith("test_")]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_the_table_of_quality_bits_is_the_one_of_the_code(root: Path) -> None:
    text = (root / "docs" / "reference" / "quality.md").read_text()
    rows = re.findall(r"^\| (\d+) \| (\d+) \| `(\w+)` \| (value|NaN) \|", text, re.MULTILINE)
    documented = [(int(bit), int(mask), name, kind) for bit, mask, name, kind in rows]
    assert documented == [
        (flag.bit_length() - 1, int(flag), str(flag.name).lower(),
         "NaN" if flag in REASONS else "value")
        for flag in Quality
    ]  # fmt: skip
