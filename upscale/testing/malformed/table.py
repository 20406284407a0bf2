"""Every parser of the package, and one case of each: a valid input, a change, and what came of it.

`benchmarks/fuzz.py` runs many cases of each; the tests run some, and every fault that was found.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from upscale.testing.malformed.cubes import CUBES
from upscale.testing.malformed.documents import DOCUMENTS
from upscale.testing.malformed.files import FILES
from upscale.testing.malformed.verdicts import FuzzedParser, MalformedCase, fresh, verdict_of

PARSERS: dict[str, FuzzedParser] = {parser.name: parser for parser in (*DOCUMENTS, *CUBES, *FILES)}


def make_valid(parser: FuzzedParser, folder: Path) -> Path:
    """Write the valid input of a parser; AssertionError where it is not read as it is."""
    folder.mkdir(parents=True)
    parser.make(folder)
    parser.sign(folder)
    copy = fresh(folder, folder.with_name(f"{folder.name}-read"))
    found = verdict_of(lambda: parser.read(copy), parser.refuses)
    assert found.verdict == "read", f"{parser.name}: {found.text}"
    return folder


def change_of(parser: FuzzedParser, folder: Path, random: Random) -> str:
    """Change one file below a folder of valid input; the path of that file."""
    there = [
        (sorted(filter(Path.is_file, folder.glob(pattern))), change)
        for pattern, change in parser.files
    ]
    paths, change = random.choice([pair for pair in there if pair[0]])
    path = random.choice(paths)
    change(path, random)
    parser.sign(folder)
    return str(path.relative_to(folder))


def try_once(
    parser: FuzzedParser, valid: Path, place: Path, random: Random
) -> tuple[str, MalformedCase]:
    """One case: the file that was changed, and what the parser made of it."""
    folder = fresh(valid, place)
    changed = change_of(parser, folder, random)
    return changed, verdict_of(lambda: parser.read(folder), parser.refuses)
