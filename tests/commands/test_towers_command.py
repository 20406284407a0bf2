"""`upscale towers check`: every finding in a line, JSON, and an exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from upscale.commands import main
from upscale.testing.tower_layouts import write_oneflux
from upscale.testing.towers import write_towers


def said(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        main(list(words))
    shown = capsys.readouterr()
    return int(end.value.code or 0), shown.out, shown.err


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """A folder in which one tower has NEE of the wrong sign and another one odd radiation."""
    folder = write_towers(tmp_path / "towers", count=3, seed=1)
    rows = pd.read_parquet(folder / "towers.parquet")
    rows["NEE"] = rows["NEE"].where(rows["site"] != "XX-T01", -rows["NEE"])
    rows["SW_IN"] = rows["SW_IN"].where(rows["site"] != "XX-T00", rows["SW_IN"] * 1.6)
    rows.to_parquet(folder / "towers.parquet")
    return folder


def test_wrong_and_odd_towers_are_named_and_the_check_fails(
    turned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = said("towers", "check", str(turned), capsys=capsys)
    assert code == 1
    assert "WRONG XX-T01 nee_sign: NEE - (RECO - GPP) is" in out
    assert "odd XX-T00 radiation: SW_IN stays below" in out
    assert "3 towers: 1 findings certain, 1 suspect, 0 accepted" in out


def test_json_has_every_finding_with_its_numbers(
    turned: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(
        "towers", "check", str(turned / "towers.parquet"), "--json", capsys=capsys
    )
    found = json.loads(out)
    assert (code, found["passed"], len(found["sites"])) == (1, False, 3)
    signs = [each for each in found["findings"] if each["verdict"] == "certain"]
    assert [(each["site"], each["variable"]) for each in signs] == [("XX-T01", "nee")]
    assert signs[0]["numbers"]["median_off"] > 1
    assert "3 towers" in err


def test_a_page_of_html_has_every_finding_and_no_markup_of_names(
    turned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("towers.parquet", "sites.parquet"):
        table = pd.read_parquet(turned / name)
        table["site"] = table["site"].replace("XX-T01", "<b>XX-T01")
        table.to_parquet(turned / name)
    code, _, _ = said(
        "towers", "check", str(turned), "--out", str(tmp_path / "s.html"), capsys=capsys
    )
    text = (tmp_path / "s.html").read_text()
    assert code == 1
    assert "1 findings certain, 1 suspect" in text
    assert "nee_sign" in text
    assert "&lt;b&gt;XX-T01" in text
    assert "<b>XX" not in text


def test_what_the_table_of_sites_accepts_does_not_fail_the_check(
    turned: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sites = pd.read_parquet(turned / "sites.parquet")
    sites["accepted"] = "nee_sign: it is; radiation: so it is"
    sites.to_csv(tmp_path / "sites.csv", index=False)
    code, out, _ = said(
        "towers", "check", str(turned), "--sites", str(tmp_path / "sites.csv"), capsys=capsys
    )
    assert code == 0
    assert "accepted XX-T01 nee_sign" in out
    assert "0 findings certain, 0 suspect, 2 accepted" in out


def test_one_daily_file_is_the_tower_that_it_holds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_oneflux(tmp_path, "SUBSET", count=2)
    file = next(folder.glob("FLX_XX-T01*.csv"))
    code, out, _ = said("towers", "check", str(file), capsys=capsys)
    assert (code, out) == (0, "1 towers: 0 findings certain, 0 suspect, 0 accepted\n")
    code, _, err = said("towers", "check", str(folder / "sites.csv"), capsys=capsys)
    assert code == 2
    assert "expected a folder of towers, towers.parquet" in err
