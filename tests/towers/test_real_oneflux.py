"""The reader against the published table of the same towers, on original files of the archives."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.calendar import dates_of
from upscale.towers.describe import describe
from upscale.towers.layouts.oneflux import DailyFile, daily_files, read_daily
from upscale.towers.layouts.text_files import sources
from upscale.towers.table import Tower, read_towers
from upscale.variables import FLUXES

DATA = os.environ.get("UPSCALE_TEST_DATA")

pytestmark = pytest.mark.skipif(not DATA, reason="UPSCALE_TEST_DATA is not set: no real files here")

#: Its fluxes in the table are of another product than its file.
OTHER_PRODUCT = "DE-Hai"


@pytest.fixture(scope="module")
def files() -> dict[str, DailyFile]:
    return {file.site: file for file in daily_files(sources(Path(str(DATA)) / "oneflux"))}


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rows = pd.read_parquet(Path(str(DATA)) / "towers" / "towers.parquet")
    return rows.set_index(["site", "date"])


@pytest.fixture(scope="module")
def towers() -> dict[str, Tower]:
    sites = Path(str(DATA)) / "towers" / "sites.parquet"
    return {t.site: t for t in read_towers(Path(str(DATA)) / "oneflux", table=sites)}


def test_every_file_is_a_tower(files: dict[str, DailyFile], towers: dict[str, Tower]) -> None:
    assert len(files) == len(towers) == 26
    assert sum(tower.lat < 0 for tower in towers.values()) == 3


def test_the_reference_version_is_the_one_of_the_table_to_the_bit(
    files: dict[str, DailyFile], table: pd.DataFrame
) -> None:
    compared = 0
    for site, file in files.items():
        if site == OTHER_PRODUCT:
            continue
        days = read_daily(file, versions=("VUT_REF",)).days
        dates = pd.DatetimeIndex(dates_of(days.index.to_numpy()))
        there = table.loc[site].reindex(dates)
        blanked = there["GPP"].isna().to_numpy() & days["gpp"].notna().to_numpy()
        assert blanked.sum() == 0, site
        for name in (*FLUXES, "nee_qc"):
            np.testing.assert_array_equal(
                days[name].to_numpy(np.float32), there[name.upper()].to_numpy(np.float32), site
            )
            compared += int(there[name.upper()].notna().sum())
    assert compared > 200_000


def test_weather_of_the_towers_is_the_one_of_the_table_where_that_is_of_the_towers(
    files: dict[str, DailyFile], table: pd.DataFrame
) -> None:
    """Implausible radiation was blanked in the table; nothing else differs."""
    compared = 0
    for site, file in files.items():
        days = read_daily(file).days
        there = table.loc[site].reindex(pd.DatetimeIndex(dates_of(days.index.to_numpy())))
        own = (there["drivers_origin"] == "tower-gapfilled").to_numpy()
        for name in ("ta", "sw_in", "vpd", "p"):
            known = own & there[name.upper()].notna().to_numpy()
            np.testing.assert_array_equal(
                days[name].to_numpy(np.float32)[known],
                there[name.upper()].to_numpy(np.float32)[known],
                f"{site} {name}",
            )
            compared += int(known.sum())
    assert compared > 100_000


def test_fullset_files_give_the_median_version_which_is_near_the_reference(
    files: dict[str, DailyFile], towers: dict[str, Tower]
) -> None:
    for site, file in files.items():
        origin = towers[site].origin
        assert ("VUT_USTAR50" in origin) == (file.group == "FULLSET"), origin
        if file.group == "FULLSET":
            reference = read_daily(file, versions=("VUT_REF",)).days["gpp"].to_numpy()
            both = np.isfinite(reference) & np.isfinite(towers[site].fluxes[:, 0])
            assert np.corrcoef(reference[both], towers[site].fluxes[both, 0])[0, 1] > 0.98


def test_good_days_are_those_that_the_readme_counts(towers: dict[str, Tower]) -> None:
    sites = pd.read_parquet(Path(str(DATA)) / "towers" / "sites.parquet").set_index("site")
    table = describe(list(towers.values())).set_index("tower")
    same = [s for s in table.index if "VUT_REF" in table["origin"][s] and s != OTHER_PRODUCT]
    assert len(same) == 18
    assert (table["good_days"][same] == sites["n_good_days"][same]).all()
    assert (table["cluster"] == sites["cluster"][table.index]).all()
