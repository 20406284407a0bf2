"""A ledger says the same whether its entries lie loose or are compacted, and whoever is killed."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from upscale.jobs.compact import LedgerError, LightEntry
from upscale.jobs.ledger import MANY, Ledger, Status
from upscale.testing.servers.s3 import s3_bucket


@dataclass(frozen=True)
class Made:
    """An entry that says which attempt at its item it is of."""

    item: str
    attempt: int = 0
    run: str = "this run"
    status: Status = "done"
    identity: str = "drivers 1"
    totals: dict[str, list[float]] = field(default_factory=dict)


class Killed(BaseException):
    """The process ends here."""


class TalliedFileSystem(MemoryFileSystem):
    """A file system in memory that counts what is asked of it, and may end the process there."""

    protocol: ClassVar[tuple[str, ...]] = ("tallied",)
    cachable = True
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    asked: ClassVar[list[str]] = []
    deadly: ClassVar[int | None] = None
    before: ClassVar[Callable[[str, str], None] | None] = None
    after: ClassVar[Callable[[str, str], None] | None] = None

    def _ask(self, what: str, path: str) -> None:
        cls = type(self)
        if cls.deadly == len(cls.asked):
            raise Killed
        cls.asked.append(what)
        if cls.before is not None:
            cls.before(what, path)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self._ask("ls", path)
        return super().ls(path, detail=detail, **kwargs)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **kwargs: Any) -> Any:
        self._ask("cat", path)
        return super().cat_file(path, start=start, end=end, **kwargs)

    def size(self, path: str) -> Any:
        self._ask("size", path)
        return super().size(path)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self._ask(mode, path)
        super().pipe_file(path, value, mode=mode, **kwargs)
        if type(self).after is not None:
            type(self).after(mode, path)

    def rm_file(self, path: str) -> None:
        self._ask("rm", path)
        super().rm_file(path)


@pytest.fixture
def tallied() -> Iterator[type[TalliedFileSystem]]:
    fsspec.register_implementation("tallied", TalliedFileSystem, clobber=True)
    cls = TalliedFileSystem
    yield cls
    cls.store.clear()
    cls.asked.clear()
    cls.deadly = cls.before = cls.after = None


def fresh(cls: type[TalliedFileSystem]) -> Ledger[Made]:
    """An empty ledger in memory."""
    cls.deadly = cls.before = cls.after = None
    cls.asked.clear()
    return Ledger(f"tallied://{uuid.uuid4().hex}/c.zarr", Made)


Said = tuple[dict[str, Made], dict[str, Made], dict[str, LightEntry]]


def said(ledger: Ledger[Made]) -> Said:
    """All that a reader learns, with a ledger of its own."""
    reader = Ledger(ledger.url.removesuffix(".ledger") + ".zarr", Made)
    done = reader.done("this run")
    assert all(reader.holds(item, "this run") for item in done)
    return reader.entries("this run"), reader.entries("this run", "failed"), done


def live(ledger: Ledger[Made]) -> dict[str, Made]:
    """A life with everything in it; what must be said of it."""
    for name in "abcdefgh":
        ledger.write(Made(name))
    ledger.write(Made("other", run="a former run"))
    ledger.compact()
    ledger.write(Made("b", attempt=1))  # done again
    ledger.forget("c")
    ledger.forget("d")
    ledger.write(Made("d", attempt=1, identity="drivers 2"))
    ledger.write(Made("e", attempt=1))
    ledger.forget("e")
    ledger.write(Made("i"))
    ledger.write(Made("g", status="failed"))
    ledger.write(Made("x", status="failed"))
    again = [Made("b", 1), Made("d", 1, identity="drivers 2")]
    kept = [Made(name) for name in "afghi"]
    return {entry.item: entry for entry in (*again, *kept)}


def lie_there(ledger: Ledger[Made]) -> list[str]:
    """Names of the objects of a ledger."""
    fs, root = fsspec.core.url_to_fs(ledger.url)
    fs.invalidate_cache()
    return sorted(str(path).rsplit("/", 1)[-1] for path in fs.ls(root, detail=False))


def is_compact(names: list[str]) -> bool:
    loose = [name for name in names if not name.startswith("compact-")]
    return len(names) - len(loose) == 2 and all(name.endswith(".failed.json") for name in loose)


def test_loose_or_compacted_a_ledger_says_the_same(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "c.zarr"), Made)
    expected = live(ledger)
    entries, failed, done = said(ledger)
    assert entries == expected
    assert set(failed) == {"g", "x"}
    assert done["d"] == LightEntry("d", "this run", "drivers 2")
    assert done.keys() == expected.keys()
    ledger.compact()
    assert said(ledger) == (entries, failed, done)
    assert is_compact(os.listdir(tmp_path / "c.ledger"))
    assert set(ledger.entries("a former run")) == {"other"}
    ledger.compact()
    assert said(ledger) == (entries, failed, done)
    ledger.forget("a")
    assert not ledger.holds("a", "this run")
    assert "a" not in said(ledger)[0]
    ledger.compact()
    assert "a" not in said(ledger)[0]
    ledger.clear()
    assert os.listdir(tmp_path / "c.ledger") == []


def test_a_compaction_killed_before_any_operation_changes_nothing_that_is_read(
    tallied: type[TalliedFileSystem],
) -> None:
    for deadly in itertools.count():
        ledger = fresh(tallied)
        live(ledger)
        before = said(ledger)
        tallied.asked.clear()
        tallied.deadly, ended = deadly, True
        try:
            ledger.compact()
        except Killed:
            ended = False
        tallied.deadly = None
        assert said(ledger) == before, f"killed before operation {deadly}: {tallied.asked}"
        ledger.compact()
        assert said(ledger) == before
        assert is_compact(lie_there(ledger)), deadly
        if ended:
            break
    assert deadly > 15


@pytest.mark.parametrize("change", ["write", "forget", "forget and write", "clear"])
def test_a_writer_killed_before_any_operation_leaves_the_old_or_the_new(
    tallied: type[TalliedFileSystem], change: str
) -> None:
    """Of an item whose chunks are about to change, never the old entry after the mark."""
    for deadly in itertools.count():
        ledger, ended = fresh(tallied), True
        live(ledger)
        old = said(ledger)[0].get("a")
        tallied.asked.clear()
        tallied.deadly = deadly
        try:
            if change == "clear":
                ledger.clear()
            if "forget" in change:
                ledger.forget("a")
                old = None
            if "write" in change:
                ledger.write(Made("a", attempt=7))
        except Killed:
            ended = False
        tallied.deadly = None
        found = said(ledger)[0].get("a")
        assert found in (old, Made("a", attempt=7)) or (change == "clear" and found is None)
        if ended:
            break
    assert found == (Made("a", attempt=7) if "write" in change else None)


def test_of_two_that_compact_at_once_one_gives_up(tallied: type[TalliedFileSystem]) -> None:
    ledger = fresh(tallied)
    live(ledger)
    before = said(ledger)
    other = Ledger(ledger.url.removesuffix(".ledger") + ".zarr", Made)

    def faster(what: str, path: str) -> None:
        if what == "create":
            tallied.before = None
            other.write(Made("late"))
            other.compact()

    tallied.before = faster
    ledger.compact()
    entries, failed, _ = said(ledger)
    assert entries.pop("late") == Made("late")
    assert (entries, failed) == before[:2]
    assert is_compact(lie_there(ledger))


def test_an_index_whose_creation_was_not_confirmed_counts(
    tallied: type[TalliedFileSystem],
) -> None:
    ledger = fresh(tallied)
    live(ledger)
    before = said(ledger)

    def lost(what: str, path: str) -> None:
        if what == "create":
            raise ConnectionError("the answer was lost")

    tallied.after = lost
    ledger.compact()
    tallied.after = None
    assert said(ledger) == before
    assert is_compact(lie_there(ledger))


def test_a_mark_makes_room_for_itself_on_a_full_disk(tallied: type[TalliedFileSystem]) -> None:
    ledger = fresh(tallied)
    ledger.write(Made("a"))

    def full(what: str, path: str) -> None:
        if what == "overwrite" and any("/a." in name for name in tallied.store):
            raise OSError(28, "No space left on device")

    tallied.before = full
    ledger.forget("a")
    assert not ledger.holds("a", "this run")


def test_what_is_entered_while_others_compact_and_read_is_never_lost(tmp_path: Path) -> None:
    store = str(tmp_path / "c.zarr")
    entered: dict[str, int] = {}
    faults: list[str] = []
    end = time.monotonic() + 1.5

    def write(names: str) -> None:
        ledger, attempts = Ledger(store, Made), itertools.count(1)
        for name in itertools.cycle(names):
            attempt = next(attempts)
            if attempt % 3 == 0:
                entered.pop(name, None)
                ledger.forget(name)
            ledger.write(Made(name, attempt))
            entered[name] = attempt
            if time.monotonic() > end:
                return

    def compact() -> None:
        ledger = Ledger(store, Made)
        while time.monotonic() < end:
            ledger.compact()

    def read() -> None:
        ledger = Ledger(store, Made)
        while time.monotonic() < end:
            least = dict(entered)
            found = ledger.entries("this run")
            late = {name for name, n in least.items() if name in entered and entered[name] == n}
            faults.extend(f"{n} lost" for n in late if n not in found)
            faults.extend(f"{n} old" for n in late & found.keys() if found[n].attempt < least[n])

    work = [lambda: write("abc"), lambda: write("def"), compact, compact, read]
    threads = [threading.Thread(target=each) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert len(entered) == 6
    ledger = Ledger(store, Made)
    ledger.compact()
    assert {name: e.attempt for name, e in ledger.entries("this run").items()} == entered


_WORK = """
import sys
sys.path.insert(0, sys.argv[2])
from test_ledger import Ledger, Made
ledger = Ledger(sys.argv[1], Made)
start = max((entry.attempt for entry in ledger.entries("this run").values()), default=0)
for attempt in range(start + 1, 10**6):
    name = f"n{attempt % 7}"
    if attempt % 5 == 0:
        ledger.forget(name)
    ledger.write(Made(name, attempt))
    print(attempt, flush=True)
    if attempt % 3 == 0:
        ledger.compact()
"""


def test_a_process_that_writes_and_compacts_may_be_killed_at_any_time(tmp_path: Path) -> None:
    """A real SIGKILL on a real disk: what was entered is there, and nothing else is."""
    moments, store = random.Random(5), str(tmp_path / "c.zarr")
    for _ in range(5):
        command = [sys.executable, "-c", _WORK, store, str(Path(__file__).parent)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        time.sleep(moments.uniform(0.01, 0.1))
        writer.kill()
        told = [first, *map(int, writer.stdout.read().split())]
        writer.wait()
        found = {e.attempt for e in Ledger(store, Made).entries("this run").values()}
        # The item after the last one told may be entered, or be between its mark and its entry.
        following = told[-1] + 1
        expected = set(range(max(1, following - 7), following))
        assert expected - {following - 7} <= found <= expected | {following}
        assert following - 7 in found or following in found or following % 5 == 0 or following < 8


def test_entries_of_an_older_ledger_count_until_there_are_newer_ones(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "c.zarr"), Made)
    ledger.write_object("a.done.json", asdict(Made("a")))
    ledger.write_object("b.done.json", asdict(Made("b")))
    assert set(ledger.entries("this run")) == {"a", "b"}
    ledger.write(Made("a", attempt=1))
    ledger.forget("b")
    for _ in range(2):
        assert ledger.entries("this run") == {"a": Made("a", attempt=1)}
        ledger.compact()
    assert is_compact(os.listdir(tmp_path / "c.ledger"))


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    if how == "flipped":
        content[len(content) // 2] ^= 1
    path.write_bytes(content[: len(content) // 2] if how == "cut" else content)
    if how == "gone":
        path.unlink()


@pytest.mark.parametrize("kind", ["index", "entries"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone"])
def test_damage_of_compacted_entries_is_told_with_its_place(
    tmp_path: Path, kind: str, how: str
) -> None:
    ledger = Ledger(str(tmp_path / "c.zarr"), Made)
    ledger.write(Made("a"))
    ledger.compact()
    (path,) = (tmp_path / "c.ledger").glob(f"compact-*.{kind}.jsonl")
    damage(path, how)
    if (kind, how) == ("index", "gone"):
        assert ledger.done("this run") == ledger.entries("this run") == {}
        return
    with pytest.raises(LedgerError, match=rf"{path.name}.*delete all compact-\*"):
        ledger.entries("this run")
    if how != "flipped":
        with pytest.raises(LedgerError, match=path.name):
            ledger.done("this run")


def test_a_damaged_entry_is_not_done_and_does_not_bring_back_an_older_one(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "c.zarr"), Made)
    ledger.write(Made("a"))
    ledger.compact()
    ledger.write(Made("a", attempt=1))
    (path,) = (tmp_path / "c.ledger").glob("a.*.done.json")
    damage(path, "cut")
    for _ in range(2):
        assert ledger.done("this run") == ledger.entries("this run") == {}
        ledger.compact()


def test_few_loose_entries_are_left_and_many_are_compacted(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "c.zarr"), Made)
    folder = tmp_path / "c.ledger"
    folder.mkdir()
    for number in range(MANY + 1):  # not through `write`, which waits for the disk
        (folder / f"n{number}.done.json").write_text(json.dumps(asdict(Made(f"n{number}"))))
    (folder / "n0.done.json").rename(folder / "hidden")
    ledger.tidy()
    assert len(os.listdir(folder)) == MANY + 1
    (folder / "hidden").rename(folder / "n0.done.json")
    ledger.tidy()
    assert len(os.listdir(folder)) == 2
    assert len(ledger.done("this run")) == MANY + 1


def test_however_many_entries_are_compacted_as_few_objects_are_read(
    tallied: type[TalliedFileSystem],
) -> None:
    ledger = fresh(tallied)
    for number in range(50):
        ledger.write(Made(f"n{number}"))
    ledger.compact()
    tallied.asked.clear()
    assert len(ledger.done("this run")) == 50
    assert tallied.asked == ["ls", "cat", "size"]
    tallied.asked.clear()
    assert len(ledger.entries("this run")) == 50
    assert tallied.asked == ["ls", "cat", "size", "cat"]


def test_a_compacted_ledger_on_s3_takes_few_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    s3fs = pytest.importorskip("s3fs")
    asked: list[str] = []
    call = s3fs.S3FileSystem._call_s3

    async def counted(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        asked.append(method)
        return await call(self, method, *args, **kwargs)

    with s3_bucket("ledger") as url:
        ledger = Ledger(f"{url}/c.zarr", Made)
        expected = live(ledger)
        before = said(ledger)
        monkeypatch.setattr(s3fs.S3FileSystem, "_call_s3", counted)
        ledger.compact()
        assert asked.count("delete_objects") == 1
        assert said(ledger) == before
        asked.clear()
        assert ledger.done("this run").keys() == expected.keys()
        assert asked.count("list_objects_v2") == 1
        assert len(asked) <= 3, asked
        with suppress(FileNotFoundError):
            ledger.forget("never written")
        ledger.compact()
        assert said(ledger) == before
