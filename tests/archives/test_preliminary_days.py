"""Which days are preliminary follows from what files say of their hours."""

import numpy as np
import pytest
import xarray as xr

from upscale.archives.reanalysis.preliminary import told_days
from upscale.calendar import first_hour

DAYS = np.arange(7000, 7004)
LON = np.array([0.0, 16.0])


def part(name, first, last, early=None):
    """Hours `first` to `last`, counted from the first day; early: those that are preliminary."""
    start = int(first_hour(DAYS[0]))
    stamps = np.arange(start + first, start + last + 1).astype("datetime64[h]")
    made = xr.Dataset({name: ("time", np.zeros(stamps.size))}, {"time": stamps.astype("M8[ns]")})
    return made if early is None else made.assign_attrs(preliminary=start + np.array(early, int))


@pytest.mark.parametrize(
    ("parts", "early", "known"),
    [
        ([part("t2m", -24, 120, [])], "0000", "1111"),
        ([part("t2m", -24, 120, [71])], "0010", "1111"),
        ([part("tp", -24, 120, [72])], "0010", "1111"),  # the hour that ends at midnight
        ([part("t2m", -24, 120)], "0000", "0000"),
        ([part("t2m", -24, 47, []), part("t2m", 48, 120)], "0000", "1100"),
        ([part("t2m", -24, 120, []), part("t2m", 48, 120, range(48, 120))], "0000", "1111"),
        ([part("t2m", -24, 120, []), part("tp", -24, 120)], "0000", "0000"),
        ([part("t2m", -24, 47, [])], "0000", "1100"),  # what is not there is not final
    ],
)
def test_a_day_is_preliminary_with_any_hour_and_known_with_all(parts, early, known):
    found = told_days(parts, DAYS, LON, "utc")
    assert "".join(map(str, found.early.astype(int))) == early
    assert "".join(map(str, found.known.astype(int))) == known


def test_a_day_of_local_time_takes_the_hours_of_all_its_nodes():
    late = [part("t2m", -24, 120, [23])]
    found = told_days(late, DAYS, LON, "local-standard")
    assert found.early.tolist() == [True, True, False, False]
