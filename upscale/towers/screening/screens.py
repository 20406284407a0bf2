"""All screens, and what they find at a tower."""

from __future__ import annotations

from collections.abc import Sequence

from upscale.towers.screening import carbon, record, seasons, weather
from upscale.towers.screening.finding import Finding, Screen
from upscale.towers.tower import Tower

#: Every screen, in the order of reports. A screen may name its findings more exactly: see below.
SCREENS = (
    Screen("temperature", "TA in K or degF", weather.temperature),
    Screen("radiation", "SW_IN in MJ, J or photons; above the sun", weather.radiation),
    Screen("humidity", "VPD in kPa or Pa", weather.humidity),
    Screen("rain", "P in m or as a rate", weather.rain),
    Screen("season", "SW_IN and TA against the sun, record and years", seasons.season),
    Screen("latitude", "SW_IN that fits another latitude", seasons.latitude),
    Screen("coordinates", "coordinates of no place", record.coordinates),
    Screen("balance", "NEE that is not RECO - GPP", carbon.balance),
    Screen("below_zero", "GPP or RECO below zero", carbon.below_zero),
    Screen("uptake", "NEE that rises with GPP; uptake in the cold", carbon.uptake),
    Screen("carbon_unit", "fluxes in kg, mg, mmol or partly umol", carbon.carbon_unit),
    Screen("missing_code", "codes for missing values", record.missing_code),
    Screen("impossible", "values beyond what is possible", record.impossible),
    Screen("constant", "one value for many days", record.constant),
    Screen("repeated_year", "two equal years", record.repeated_year),
    Screen("repeated_days", "days that equal the day before", record.repeated_days),
    Screen("leap_day", "no 29 February", record.leap_day),
)  # fmt: skip

#: Findings of `balance` and `below_zero` by what is wrong.
SIGNS = ("nee_sign", "gpp_sign", "reco_sign")

#: Names that a finding may have.
NAMES = (*(screen.name for screen in SCREENS if screen.name != "below_zero"), *SIGNS)

#: Findings that explain why values are impossible.
_UNITS = ("temperature", "radiation", "humidity", "rain", "carbon_unit")


def screen_tower(tower: Tower) -> tuple[Finding, ...]:
    """What all screens find at one tower, certain findings first."""
    found = [finding for screen in SCREENS for finding in screen.look(tower)]
    explained = {f.variable for f in found if f.screen in _UNITS and f.verdict == "certain"}
    found = [f for f in found if not (f.screen == "impossible" and f.variable in explained)]
    turned = {f.variable for f in found if f.screen in SIGNS and f.verdict == "certain"}
    if turned:  # all that is odd about the balance follows from it
        found = [f for f in found if f.screen not in ("balance", "uptake")]
    return tuple(sorted(found, key=lambda finding: finding.verdict != "certain"))


def screen_towers(towers: Sequence[Tower]) -> tuple[Finding, ...]:
    """What all screens find at each tower, in the order of the towers."""
    return tuple(finding for tower in towers for finding in screen_tower(tower))
