"""The layout in which CarbonFluxBench is published, written by the tests."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.testing.tower_layouts import write_carbonfluxbench
from upscale.testing.towers import write_towers
from upscale.towers.table import (
    Tower,
    TowerWarning,
    layout_of,
    read_sites,
    read_towers,
    tower_files,
)
from upscale.variables import KOPPEN

pytestmark = pytest.mark.filterwarnings("ignore::upscale.towers.tower.TowerWarning")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_carbonfluxbench(tmp_path / "bench", count=3)


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> tuple[Tower, ...]:
    return read_towers(write_towers(tmp_path_factory.mktemp("made"), 3))


def small(folder: Path, targets: pd.DataFrame, weather: pd.DataFrame) -> Path:
    targets.to_parquet(folder / "target_fluxes.parquet")
    weather.to_parquet(folder / "ERA5.parquet")
    return folder


def target(
    site: str, day: str = "20040101", nee: float = -1.0, qc: float = 1.0
) -> dict[str, object]:
    return {
        "TIMESTAMP": int(day), "GPP_NT_VUT_USTAR50": 3.0, "RECO_NT_VUT_USTAR50": 2.0,
        "NEE_VUT_USTAR50": nee, "NEE_VUT_USTAR50_QC": qc, "site": site,
        "lat": 47.0, "lon": 11.0, "IGBP": "ENF",
    }  # fmt: skip


def weather(site: str, day: dt.date = dt.date(2004, 1, 1)) -> dict[str, object]:
    return {
        "date": day, "site": site, "temperature_2m": 293.15, "dewpoint_temperature_2m": 283.15,
        "surface_solar_radiation_downwards_sum": 17_280_000.0, "total_precipitation_sum": 0.004,
    }  # fmt: skip


def test_towers_come_back_in_our_units(folder: Path, truth: tuple[Tower, ...]) -> None:
    assert layout_of(folder) == "carbonfluxbench"
    for tower, true in zip(read_towers(folder), truth, strict=True):
        assert (tower.site, tower.lat, tower.lon) == (true.site, true.lat, true.lon)
        assert (tower.igbp, tower.koppen) == (true.igbp, true.koppen)
        np.testing.assert_array_equal(tower.days, true.days)
        np.testing.assert_allclose(tower.drivers, true.drivers, rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(tower.fluxes, true.fluxes)
        np.testing.assert_array_equal(tower.good, true.good)


def test_units_of_era5_land_are_converted(tmp_path: Path) -> None:
    """20 degC with a dew point of 10: saturation pressures of 23.37 and 12.27 hPa (WMO)."""
    place = small(
        tmp_path, pd.DataFrame([target("FLX_AA-Bbb")]), pd.DataFrame([weather("FLX_AA-Bbb")])
    )
    (tower,) = read_towers(place)
    np.testing.assert_allclose(tower.drivers[0], [20, 200, 23.37 - 12.27, 4], rtol=3e-3)
    assert tower.fluxes.tolist() == [[3, 2, -1]]
    assert "ERA5-Land, UTC days" in tower.origin


def test_weather_before_and_after_the_fluxes_is_kept(tmp_path: Path) -> None:
    days = [dt.date(2003, 12, 30), dt.date(2003, 12, 31), dt.date(2004, 1, 1), dt.date(2004, 1, 3)]
    rows = pd.DataFrame([weather("FLX_AA-Bbb", day) for day in days])
    (tower,) = read_towers(small(tmp_path, pd.DataFrame([target("FLX_AA-Bbb")]), rows))
    assert np.isfinite(tower.driver("ta")).tolist() == [True, True, True, False, True]
    assert tower.good.tolist() == [False, False, True, False, False]


def test_bands_and_angles_of_modis_become_satellite_series(folder: Path) -> None:
    modis = pd.read_parquet(folder / "MOD09GA.parquet")
    (tower,) = read_towers(folder, ["XX-T01"])
    mine = modis[modis["site"] == "FLX_XX-T01"]
    names = ["clouds", "solar_zenith", "sur_refl_b01", "sur_refl_b02", "sur_refl_b03"]
    assert sorted(tower.satellite) == names
    np.testing.assert_array_equal(
        tower.satellite["sur_refl_b02"], mine["sur_refl_b02"].astype("f4")
    )
    np.testing.assert_array_equal(tower.satellite["solar_zenith"], mine["SolarZenith"].astype("f4"))
    (folder / "MOD09GA.parquet").unlink()
    assert read_towers(folder, ["XX-T01"])[0].satellite == {}


def test_classes_come_from_the_file_with_three_letters(folder: Path) -> None:
    (folder / "koppen_sites_short.json").unlink()  # main groups alone are left
    assert {tower.koppen for tower in read_towers(folder)} == {0}
    labels = {"FLX_XX-T00": "Dfb", "XX-T01": "Csa", "FLX_XX-T02": "?"}
    (folder / "koppen_sites.json").write_text(json.dumps(labels))
    found = [KOPPEN[t.koppen - 1] if t.koppen else None for t in read_towers(folder)]
    assert found == ["Dfb", "Csa", None]


def test_a_table_of_sites_beside_the_data_goes_first(folder: Path) -> None:
    text = "site,lat,lon,koppen,suspect\nXX-T02,-10,20,Aw,true\n"
    (folder / "sites.csv").write_text(text)
    towers = {tower.site: tower for tower in read_towers(folder)}
    assert (towers["XX-T02"].lat, towers["XX-T02"].suspect) == (-10, True)
    assert KOPPEN[towers["XX-T02"].koppen - 1] == "Aw"
    assert towers["XX-T00"].lat == 47.012
    assert read_sites(folder)["site"].tolist() == ["XX-T00", "XX-T01", "XX-T02"]


def test_of_several_networks_the_one_with_most_good_days_is_taken(tmp_path: Path) -> None:
    rows = [
        target("FLX_AA-Bbb", "20040101", nee=-1),
        target("AMF_AA-Bbb", "20040101", nee=-2),
        target("AMF_AA-Bbb", "20040102", nee=-2),
        *[target("JPX_AA-Bbb", f"2004010{day}", qc=0.0) for day in (3, 4, 5)],
    ]
    era = [weather(f"{net}_AA-Bbb") for net in ("FLX", "AMF", "JPX")]
    (tower,) = read_towers(small(tmp_path, pd.DataFrame(rows), pd.DataFrame(era)))
    assert tower.fluxes[:, 2].tolist() == [-2, -2]
    assert "AMF_AA-Bbb" in tower.origin


def test_rows_that_say_the_same_count_once_and_others_are_refused(tmp_path: Path) -> None:
    era = pd.DataFrame([weather("FLX_AA-Bbb")] * 2)
    same = small(tmp_path, pd.DataFrame([target("FLX_AA-Bbb")] * 2), era)
    assert len(read_towers(same)[0].days) == 1
    rows = pd.DataFrame([target("FLX_AA-Bbb"), target("FLX_AA-Bbb", nee=-2)])
    with pytest.raises(ValueError, match=r"target_fluxes.parquet: FLX_AA-Bbb.*on 2004-01-01"):
        read_towers(small(tmp_path, rows, era))


def test_days_may_be_dates(tmp_path: Path) -> None:
    rows = pd.DataFrame([target("FLX_AA-Bbb")]).assign(TIMESTAMP=[dt.date(2004, 1, 1)])
    (tower,) = read_towers(small(tmp_path, rows, pd.DataFrame([weather("FLX_AA-Bbb")])))
    assert tower.good.tolist() == [True]


def test_a_site_without_weather_is_left_out_by_name(tmp_path: Path) -> None:
    rows = pd.DataFrame([target("FLX_AA-Bbb"), target("FLX_CC-Ddd")])
    place = small(tmp_path, rows, pd.DataFrame([weather("FLX_AA-Bbb")]))
    with pytest.warns(TowerWarning, match=r"not in ERA5\.parquet: FLX_CC-Ddd"):
        assert [tower.site for tower in read_towers(place)] == ["AA-Bbb"]


def test_the_minimal_weather_is_enough(tmp_path: Path) -> None:
    era = pd.DataFrame([weather("FLX_AA-Bbb")]).drop(
        columns=["dewpoint_temperature_2m", "total_precipitation_sum"]
    )
    (tower,) = read_towers(small(tmp_path, pd.DataFrame([target("FLX_AA-Bbb")]), era))
    assert np.isfinite(tower.drivers[0]).tolist() == [True, True, False, False]


def test_what_is_missing_is_named(tmp_path: Path, folder: Path) -> None:
    rows, era = pd.DataFrame([target("FLX_AA-Bbb")]), pd.DataFrame([weather("FLX_AA-Bbb")])
    with pytest.raises(ValueError, match=r"target_fluxes.parquet: NEE_VUT_USTAR50_QC"):
        read_towers(small(tmp_path, rows.drop(columns=["NEE_VUT_USTAR50_QC"]), era))
    with pytest.raises(ValueError, match=r"ERA5.parquet: temperature_2m"):
        read_towers(small(tmp_path, rows, era.drop(columns=["temperature_2m"])))
    with pytest.raises(ValueError, match="ZZ-Zzz"):
        read_towers(folder, ["ZZ-Zzz"])
    (folder / "ERA5.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"expected .*ERA5\.parquet"):
        read_towers(folder)


def test_every_file_that_counts_is_listed(folder: Path) -> None:
    assert [path.name for path in tower_files(folder)] == [
        "target_fluxes.parquet", "ERA5.parquet", "MOD09GA.parquet",
        "koppen_sites.json", "koppen_sites_short.json",
    ]  # fmt: skip
