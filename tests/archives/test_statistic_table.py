"""For each variable, every statistic, spacing and naming: the right statistic or a refusal.

`TRUTHS` are what numbers may really be, each with stamps; `NAMINGS` are ways in which a file may
say so. No file here lies. What nothing says must not be guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import xarray as xr
from numpy.typing import NDArray

from upscale.archives.reanalysis.era5 import RULES, daily, read_era5
from upscale.archives.reanalysis.evidence import evidence_of
from upscale.archives.reanalysis.fields import FIELDS
from upscale.archives.reanalysis.netcdf import in_one_shape
from upscale.archives.reanalysis.statistic import (
    ACCEPTED,
    MEANING,
    Evidence,
    Stated,
    Statistic,
    settle,
    takers,
    usable,
    weigh,
)
from upscale.remote.errors import ArchiveError

Hours = NDArray[np.int64]

#: Hours since 1970 of 1 June 2023, 00 UTC.
JUNE = int(np.datetime64("2023-06-01T00", "h").astype(int))
MONTHS = (np.datetime64("2023-01") + np.arange(6)).astype("datetime64[h]").astype(int)
STAMPS: dict[str, Hours] = {
    "hourly": JUNE + np.arange(24 * 4 + 1),
    "three-hourly": JUNE + 3 * np.arange(33),
    "daily at 00": JUNE + 24 * np.arange(5),
    "daily at 12": JUNE + 12 + 24 * np.arange(5),
    "monthly": MONTHS,
    "hours of months": np.concatenate([month + np.arange(24) for month in MONTHS]),
    "hours of one month": JUNE + np.arange(24),
    "one stamp": np.array([JUNE + 24]),
}
DAILY_STAMPS = ("daily at 00", "daily at 12")


@dataclass(frozen=True)
class Truth:
    """What numbers are: method, span, the stamps they may have, and the statistic of that."""

    method: str
    span: str
    stamps: tuple[str, ...]
    statistic: Statistic


INSTANTS = (
    Truth("point", "hour", ("hourly",), "instant"),
    Truth("point", "snapshot", ("three-hourly", *DAILY_STAMPS, "one stamp"), "snapshot"),
    Truth("mean", "hour", ("hourly",), "hourly-mean"),
    Truth("mean", "day", DAILY_STAMPS, "daily-mean"),
    *(Truth(extreme, span, stamps, "maximum" if extreme == "maximum" else "minimum")
      for extreme in ("maximum", "minimum")
      for span, stamps in (("hour", ("hourly",)), ("day", (*DAILY_STAMPS, "one stamp")))),
    Truth("mean", "month", ("monthly", "one stamp"), "monthly"),
    Truth("mean", "by hour", ("hours of months", "hours of one month"), "monthly-by-hour"),
)  # fmt: skip
AMOUNTS = (
    Truth("sum", "hour", ("hourly",), "hourly-amount"),
    Truth("sum", "since midnight", ("hourly",), "running-total"),
    Truth("sum", "day", DAILY_STAMPS, "daily-total"),
    Truth("mean", "day", DAILY_STAMPS, "unknown"),
    Truth("mean", "month", ("monthly", "one stamp"), "monthly"),
    Truth("mean", "by hour", ("hours of months", "hours of one month"), "monthly-by-hour"),
)
RATES = (
    Truth("mean", "hour", ("hourly",), "hourly-mean"),
    Truth("mean", "day", DAILY_STAMPS, "daily-mean"),
    Truth("mean", "month", ("monthly", "one stamp"), "monthly"),
    Truth("mean", "by hour", ("hours of months", "hours of one month"), "monthly-by-hour"),
)
TRUTHS = {"instant": INSTANTS, "amount": AMOUNTS, "rate": RATES}
OWN = {"instant": "instant", "amount": "accum", "rate": "avg"}
RULES_OF_PRODUCTS: tuple[Statistic, ...] = ("running-total", "hourly-amount")
SHOWN = ("maximum", "minimum", "monthly", "monthly-by-hour")
SHORT = {"mean": "mean", "maximum": "max", "minimum": "min", "sum": "sum"}


def namings(name: str, truth: Truth, hours: Hours) -> Iterator[tuple[str, dict[str, Any]]]:
    """Ways to say what numbers are: name of the file, attributes, attributes of the variable."""
    kind, short = FIELDS[name].kind, SHORT.get(truth.method, "")
    yield "nothing", {}
    yield "product", {"file": "reanalysis-era5-land.nc"}
    yield "step type of the fields below", {"own": {"GRIB_stepType": OWN[kind]}, "derived": True}
    cells = {"hour": f"time: {truth.method} (interval: 1 hour)", "day": f"time: {truth.method}",
             "month": "time: mean within days time: mean over days",
             "by hour": "time: mean within days time: mean over days"}  # fmt: skip
    yield "cell_methods", {"own": {"cell_methods": cells.get(truth.span, f"time: {truth.method}")}}
    if truth.span == "day":
        within = f"area: mean valid_time: {truth.method} within days"
        yield "cell_methods within days", {"own": {"cell_methods": within}}
        for file in (f"{name}_0_daily-{short}.nc", f"{name}_daily_{truth.method}_2023.nc",
                     f"era5_{name}_day{short}.nc"):  # fmt: skip
            yield f"name {file}", {"file": file}
            below = {"GRIB_stepType": OWN[kind]}
            yield f"name {file} and step type", {"file": file, "own": below, "derived": True}
        yield "history of CDO", {"attrs": {"history": f"Mon Jun 5: cdo day{short} a.nc b.nc"}}
        yield "title", {"attrs": {"title": f"Daily {truth.method} of {name}"}}
        yield "long name", {"own": {"long_name": f"{truth.method} daily {name}"}}
        first = hours // 24 * 24
        yield (
            "bounds",
            {"bounds": (first, first + 24), "own": {"cell_methods": f"time: {truth.method}"}},
        )
        yield "bounds alone", {"bounds": (first, first + 24)}
        yield "bounds of stamps", {"bounds": (first, first + 23)}
    if truth.span in ("month", "by hour"):
        stream = "moda" if truth.span == "month" else "mnth"
        yield "member", {"file": f"data_stream-{stream}_stepType-avgua.nc"}
        told = '{"filter_by_keys": {"stream": ["' + stream + '"]}}'
        yield "history of CDS", {"attrs": {"history": told}}
        yield "step type of months", {"own": {"GRIB_stepType": "avgad"}}
        yield "request", {"file": "reanalysis-era5-land-monthly-means.nc"}
    if truth.span == "hour" and truth.method in ("maximum", "minimum", "mean"):
        yield "step type", {"own": {"GRIB_stepType": {"mean": "avg"}.get(truth.method, short)}}
    if truth.span == "hour" and truth.method in ("maximum", "minimum"):
        yield "name", {"file": f"t2m_{short}_2023.nc"}
    if truth.span == "hour" and kind != "instant":
        yield "bounds of hours", {"bounds": (hours - 1, hours)}
    if truth.span == "since midnight":
        yield "bounds since midnight", {"bounds": ((hours - 1) // 24 * 24, hours)}


def evidence(name: str, hours: Hours, said: dict[str, Any]) -> Evidence:
    """What a file with these stamps and words tells, by the reader of files."""
    unit = "days" if said.get("derived") else said.get("unit", "hours")
    times = xr.Variable("time", hours.astype("datetime64[h]").astype("datetime64[ns]"),
                        encoding={"units": f"{unit} since 1970-01-01"})  # fmt: skip
    axes = {"time": times, "latitude": [50.0, 49.9], "longitude": [10.0, 10.1]}
    own = {"units": FIELDS[name].units} | said.get("own", {})
    held = xr.Dataset({name: (tuple(axes), np.zeros((hours.size, 2, 2), "f4"), own)}, axes)
    held.attrs.update(said.get("attrs", {}))
    if "bounds" in said:
        held["time"].attrs["bounds"] = "time_bnds"
        ends = np.stack(said["bounds"], axis=1).astype("datetime64[h]").astype("datetime64[ns]")
        held["time_bnds"] = (("time", "bnds"), ends)
    return evidence_of(in_one_shape(held, said.get("file", "data.nc"))[name])


@cache
def table(kind: str) -> list[tuple[Truth, str, str, Evidence]]:
    """All truths, stamps and namings of a kind of variable, each with what the file tells."""
    name = next(row.name for row in FIELDS.values() if row.kind == kind)
    return [
        (truth, stamps, naming, evidence(name, STAMPS[stamps], said))
        for truth in TRUTHS[kind]
        for stamps in truth.stamps
        for naming, said in namings(name, truth, STAMPS[stamps])
    ]


def is_a_guess(name: str, truth: Truth, naming: str) -> bool:
    """Where nothing but the definition of the parameter says what hourly numbers are: of the
    archive, `t2m` is no maximum."""
    silent = naming in ("nothing", "product", "step type of the fields below")
    return silent and truth.span == "hour" and FIELDS[name].kind == "instant"


@pytest.mark.parametrize("name", FIELDS)
def test_no_statistic_is_taken_for_another(name: str) -> None:
    wrong, right, count = [], set(), 0
    for truth, stamps, naming, told in table(FIELDS[name].kind):
        if is_a_guess(name, truth, naming):
            continue
        count += 1
        for rule in RULES_OF_PRODUCTS:
            found = weigh(replace(told, name=name), rule).statistic
            # which of the two an hourly sum is, its values say: see the tests of their pattern
            sums = {found, truth.statistic} <= set(RULES_OF_PRODUCTS)
            stated = naming in ("bounds of hours", "bounds since midnight")
            if takers(name, found) and found != truth.statistic and (stated or not sums):
                wrong.append((truth.statistic, stamps, naming, found))
            right |= {found} if found == truth.statistic else set()
    assert wrong == []
    assert count > 20
    accepted = {kind for needs in ACCEPTED.values() for kind in needs.get(name, ())}
    assert accepted <= right | {"instant"}, "each statistic that a driver takes can be proven"


def test_the_page_has_the_table_of_what_drivers_take() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "era5.md").read_text()
    rows = [f"| `{driver}` | `{name}` | {', '.join(kinds)} |"
            for driver, needs in ACCEPTED.items() for name, kinds in needs.items()]  # fmt: skip
    start = page.index("| driver | variable | statistics")
    assert page[start:].splitlines()[2 : 2 + len(rows)] == rows


def test_every_driver_has_a_row_for_each_of_its_variables() -> None:
    assert set(ACCEPTED) == set(RULES)
    for driver, (groups, _) in RULES.items():
        assert set(ACCEPTED[driver]) == {name for group in groups for name in group}
        assert all(set(kinds) <= set(MEANING) for kinds in ACCEPTED[driver].values())


@pytest.mark.parametrize("name", ["t2m", "tp", "avg_tprate"])
def test_a_statement_never_beats_what_the_file_shows(name: str) -> None:
    """Stamps, cell methods, bounds and step types stand; names and silence give way."""
    beaten = []
    for (truth, stamps, naming, told), stated in product(
        table(FIELDS[name].kind), get_args(Stated)
    ):
        found = weigh(told, "hourly-amount", stated).statistic
        if found != stated or not takers(name, found):
            continue
        one_a_day = stated.startswith("daily")
        fit = (*DAILY_STAMPS, "one stamp") if one_a_day else ("hourly", "hours of one month")
        closes = stated == "running-total" and stamps in (
            "three-hourly",
            "daily at 00",
            "one stamp",
        )
        shown = naming.startswith(("cell_methods", "step type of months"))
        if (stamps not in fit and not closes) or (shown and truth.statistic in SHOWN):
            beaten.append((truth.statistic, stamps, naming, stated))
    assert beaten == []


def test_files_of_single_stamps_are_judged_together() -> None:
    def files(hours: Hours, said: dict[str, Any], name: str = "t2m") -> set[str]:
        told = [evidence(name, np.array([hour]), said) for hour in hours]
        return {verdict.statistic for verdict in settle(told, "ERA5")}

    assert files(STAMPS["hourly"], {}) == {"instant"}
    assert files(STAMPS["daily at 12"], {}) == {"snapshot"}
    assert files(STAMPS["daily at 00"], {"file": "t2m_daily_mean.nc"}) == {"daily-mean"}
    assert files(STAMPS["monthly"], {}) == {"monthly"}
    days = [evidence("t2m", month + np.arange(24), {}) for month in MONTHS]
    assert {verdict.statistic for verdict in settle(days, "ERA5")} == {"monthly-by-hour"}


def test_one_day_that_begins_a_month_is_a_day_in_a_file_of_the_archive_alone() -> None:
    own = {"GRIB_stepType": "instant"}
    for unit, expected in (("seconds", "instant"), ("hours", "unknown"), ("days", "unknown")):
        told = evidence("t2m", STAMPS["hours of one month"], {"own": own, "unit": unit})
        assert weigh(told, "hourly-amount").statistic == expected


def test_clues_that_contradict_each_other_prove_nothing() -> None:
    hours = STAMPS["daily at 00"]
    for said in (
        {"file": "t2m_daily_maximum.nc", "own": {"cell_methods": "time: mean"}},
        {"file": "t2m_daily_mean.nc", "own": {"GRIB_stepType": "max"}},
        {"file": "t2m_daily_mean.nc", "attrs": {"history": "cdo daymax a.nc b.nc"}},
        {"file": "t2m_daily_mean_utc+09.nc"},
    ):
        told = evidence("t2m", hours, said)
        assert not usable("t2m", weigh(told, "hourly-amount").statistic), said
    plain = replace(evidence("t2m", hours, {"file": "t2m_daily_mean.nc"}), file="x")
    assert weigh(plain, "hourly-amount").statistic == "daily-mean"


def written(path: Path, value: float, stamps: str, said: dict[str, Any]) -> Path:
    """A real file of air temperature."""
    times = STAMPS[stamps].astype("datetime64[h]").astype("datetime64[ns]")
    axes = {"valid_time": times, "latitude": [50.0, 49.9], "longitude": [10.0, 10.1]}
    values = np.full((times.size, 2, 2), value, "f4")
    held = xr.Dataset({"t2m": (tuple(axes), values, {"units": "K"} | said.get("own", {}))}, axes)
    held.attrs.update(said.get("attrs", {}))
    held.to_netcdf(path / said.get("file", "t2m.nc"))
    return path / said.get("file", "t2m.nc")


@pytest.mark.parametrize(
    ("stamps", "said", "found"),
    [
        ("daily at 00", {"own": {"cell_methods": "valid_time: maximum"}}, "found maximum"),
        ("daily at 00", {"file": "t2m_daily_minimum.nc"}, "found minimum"),
        ("daily at 12", {}, "found snapshot"),
        ("daily at 00", {}, "found snapshot"),
        ("monthly", {}, "found monthly"),
        ("hours of months", {}, "found monthly-by-hour"),
        ("hours of one month", {}, "found unknown"),
    ],
)
def test_a_real_file_is_refused_with_what_was_found_and_what_is_accepted(
    tmp_path: Path, stamps: str, said: dict[str, Any], found: str
) -> None:
    path = written(tmp_path, 303.15, stamps, said)
    with pytest.raises(ArchiveError, match=found) as caught:
        read_era5([path])
    assert "ta: instant, hourly-mean, daily-mean" in str(caught.value)


def test_a_statement_is_used_and_recorded(tmp_path: Path) -> None:
    path = written(tmp_path, 293.15, "daily at 00", {})
    dataset = read_era5([path], stated={"t2m": "daily-mean"})
    assert dataset["t2m"].attrs["statistic"] == "daily-mean"
    assert dataset["t2m"].attrs["evidence"] == "stated; one stamp a day"
    found = daily(dataset)
    assert found.attrs["day_definition"] == "utc"
    np.testing.assert_allclose(found["ta"], 20, rtol=1e-5)
    with pytest.raises(ArchiveError, match="stated as instant, but found one stamp a day"):
        read_era5([path], stated={"t2m": "instant"})
    named = written(tmp_path, 303.15, "daily at 00", {"own": {"cell_methods": "time: maximum"}})
    with pytest.raises(ArchiveError, match="stated as daily-mean, but found cell_methods"):
        read_era5([named], stated={"t2m": "daily-mean"})
