"""The table of variables: names, units, CF standard names, signs and valid ranges.

Units are written here and nowhere else in the package. Fluxes are grams *of carbon*; the unit is
written `g m-2 d-1` because parsers (UDUNITS-2) do not know `gC`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["meteo", "derived", "satellite", "static", "flux", "spread"]

#: IGBP classes by code 1..17, as in MCD12Q1 (LC_Type1); code 0 is unknown.
IGBP = (
    "ENF", "EBF", "DNF", "DBF", "MF", "CSH", "OSH", "WSA", "SAV",
    "GRA", "WET", "CRO", "URB", "CVM", "SNO", "BSV", "WAT",
)  # fmt: skip

#: IGBP codes of cells without fluxes: water, and permanent snow and ice.
WATER_CLASS, ICE_CLASS = IGBP.index("WAT") + 1, IGBP.index("SNO") + 1

#: Koeppen-Geiger classes by code 1..30, in the order of Beck et al. (2018); code 0 is unknown.
KOPPEN = (
    "Af", "Am", "Aw", "BWh", "BWk", "BSh", "BSk", "Csa", "Csb", "Csc", "Cwa", "Cwb", "Cwc",
    "Cfa", "Cfb", "Cfc", "Dsa", "Dsb", "Dsc", "Dsd", "Dwa", "Dwb", "Dwc", "Dwd", "Dfa", "Dfb",
    "Dfc", "Dfd", "ET", "EF",
)  # fmt: skip

#: The fluxes, in the order in which networks and arrays hold them.
FLUXES = ("gpp", "reco", "nee")


@dataclass(frozen=True)
class Variable:
    """One row of the table.

    `valid_min` and `valid_max` (in `units`) bound what is physically possible, not what is likely:
    a value outside means a wrong unit or a damaged file.
    """

    name: str
    long_name: str
    units: str
    kind: Kind
    standard_name: str | None
    valid_min: float
    valid_max: float
    comment: str = ""

    @property
    def attributes(self) -> dict[str, str]:
        """CF attributes of an array of this variable."""
        pairs = {
            "long_name": self.long_name,
            "standard_name": self.standard_name,
            "units": self.units,
            "comment": self.comment or None,
        }
        return {key: text for key, text in pairs.items() if text}


_GPP_NAME = "gross_primary_productivity_of_biomass_expressed_as_carbon"
_CARBON = "Mass of carbon per area of land."
_NEE_SIGN = (
    "Predicted by itself; positive = release of carbon to the atmosphere. RECO - GPP differs from "
    "it by a small residual."
)
_EDDY = "As eddy covariance measures it: without fire, harvest and lateral transport."


def _band(number: int, low: int, high: int) -> Variable:
    return Variable(
        f"sur_refl_b{number:02d}", f"surface reflectance, MODIS band {number} ({low}-{high} nm)",
        "1", "satellite", "surface_bidirectional_reflectance", -0.01, 1.6,
    )  # fmt: skip


def _angle(name: str, title: str, low: float, high: float) -> Variable:
    return Variable(name, f"{title}, MOD09GA", "degree", "satellite", f"{name}_angle", low, high)


_TABLE: tuple[Variable, ...] = (
    Variable("ta", "air temperature, daily mean", "degC", "meteo", "air_temperature", -95, 65),
    Variable("sw_in", "incoming shortwave radiation, daily mean", "W m-2", "meteo",
             "surface_downwelling_shortwave_flux_in_air", 0, 700),
    Variable("vpd", "vapour pressure deficit, daily mean", "hPa", "meteo",
             "water_vapor_saturation_deficit_in_air", 0, 150),
    Variable("p", "precipitation, daily sum", "mm d-1", "meteo",
             "lwe_precipitation_rate", 0, 2000),
    Variable("lw_in", "incoming longwave radiation, daily mean", "W m-2", "meteo",
             "surface_downwelling_longwave_flux_in_air", 30, 700),
    Variable("ws", "wind speed, daily mean", "m s-1", "meteo", "wind_speed", 0, 100),
    Variable("pa", "air pressure, daily mean", "kPa", "meteo", "surface_air_pressure", 30, 110),
    Variable("sw_pot", "potential shortwave radiation at the top of the atmosphere, daily mean",
             "W m-2", "derived", "toa_incoming_shortwave_flux", 0, 700),
    Variable("day_length", "time from sunrise to sunset", "h", "derived", None, 0, 24),
    Variable("lat", "latitude", "degrees_north", "derived", "latitude", -90, 90),
    Variable("lon", "longitude", "degrees_east", "derived", "longitude", -180, 180),
    Variable("ndvi", "normalised difference vegetation index", "1", "satellite",
             "normalized_difference_vegetation_index", -1, 1),
    Variable("evi", "enhanced vegetation index", "1", "satellite", None, -1, 1),
    Variable("nirv", "near-infrared reflectance of vegetation (NDVI x NIR)", "1", "satellite",
             None, -1, 1),
    Variable("fapar", "fraction of absorbed photosynthetically active radiation", "1", "satellite",
             "fraction_of_surface_downwelling_photosynthetic_radiative_flux_absorbed_by_vegetation",
             0, 1),
    Variable("ndwi", "normalised difference water index, bands 2 and 7", "1", "satellite", None,
             -1, 1),
    Variable("lswi", "land surface water index, bands 2 and 6", "1", "satellite", None, -1, 1),
    Variable("lst_day", "land surface temperature by day, clear sky", "K", "satellite",
             "surface_temperature", 150, 400),
    Variable("lst_night", "land surface temperature by night, clear sky", "K", "satellite",
             "surface_temperature", 150, 400),
    _band(1, 620, 670), _band(2, 841, 876), _band(3, 459, 479), _band(4, 545, 565),
    _band(5, 1230, 1250), _band(6, 1628, 1652), _band(7, 2105, 2155),
    _angle("sensor_zenith", "zenith angle of the sensor", 0, 90),
    _angle("sensor_azimuth", "azimuth angle of the sensor", -180, 180),
    _angle("solar_zenith", "zenith angle of the sun at the overpass", 0, 180),
    _angle("solar_azimuth", "azimuth angle of the sun at the overpass", -180, 180),
    Variable("clouds", "share of MODIS pixels with bit 0, 1 or 2 of state_1km set", "1",
             "satellite", None, 0, 1, "The bits as they are, whatever their meaning: a mixed or "
             "cloudy sky and cloud shadow set them."),
    Variable("igbp", "IGBP land cover class", "1", "static", None, 0, 17),
    Variable("koppen", "Koeppen-Geiger climate class", "1", "static", None, 0, 30),
    Variable("sftlf", "share of the cell that is land", "%", "static", "land_area_fraction",
             0, 100),
    Variable("elevation", "height of the land surface above the geoid", "m", "static",
             "surface_altitude", -500, 9000),
    Variable("areacella", "area of the cell", "m2", "static", "cell_area", 0, 1e12),
    Variable("gpp", "gross primary productivity", "g m-2 d-1", "flux", _GPP_NAME, -100, 100,
             f"{_CARBON} Uptake by photosynthesis, positive."),
    Variable("reco", "ecosystem respiration", "g m-2 d-1", "flux", None, -100, 100,
             f"{_CARBON} Autotrophic plus heterotrophic respiration, positive = release."),
    Variable("nee", "net ecosystem exchange of carbon", "g m-2 d-1", "flux", None, -100, 100,
             f"{_CARBON} {_NEE_SIGN} {_EDDY}"),
    *(
        Variable(f"{name}_sd", f"ensemble standard deviation of {title}", "g m-2 d-1", "spread",
                 None, 0, 100, "Sample standard deviation over the members of the ensemble.")
        for name, title in (("gpp", "gross primary productivity"),
                            ("reco", "ecosystem respiration"),
                            ("nee", "net ecosystem exchange of carbon"))
    ),
)  # fmt: skip

VARIABLES = {row.name: row for row in _TABLE}


def variable(name: str) -> Variable:
    """The row of `name`; KeyError names the known variables."""
    try:
        return VARIABLES[name]
    except KeyError:
        raise KeyError(f"unknown variable {name!r}; known: {', '.join(VARIABLES)}") from None


def class_attributes(name: Literal["igbp", "koppen"]) -> dict[str, Any]:
    """CF attributes of a layer of class codes, with its legend as flags; 0 is unknown."""
    legend = IGBP if name == "igbp" else KOPPEN
    return variable(name).attributes | {
        "flag_values": list(range(len(legend) + 1)),
        "flag_meanings": " ".join(("unknown", *legend)),
    }


def of_kind(*kinds: Kind) -> tuple[str, ...]:
    """Names of all variables of the given kinds, in the order of the table."""
    return tuple(row.name for row in _TABLE if row.kind in kinds)


def class_code(legend: Iterable[str], label: str | None) -> int:
    """Code of a class label in a legend (1 for the first), 0 where it is unknown.

    Blanks around a label and its case do not matter.
    """
    codes = {name.casefold(): code for code, name in enumerate(legend, start=1)}
    return codes.get(str(label or "").strip().casefold(), 0)
