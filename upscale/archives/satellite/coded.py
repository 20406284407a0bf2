"""Which layers of granules hold codes, packed bits or dates, of which no mean may be taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Names of layers whose numbers are no quantities: quality, classes, dates within a year.
_CODED = re.compile(
    r"(?i)(^|[_ ])(qc|qa|state|gflags|lw|firemask|fire_mask|sci|scf)(\d|_|$| )"
    r"|quality|reliability|_qf\d|flags?\b|internal cm|number mapping|cloud_state|^igbp$"
    r"|^(majority_)?land_cover_type_\d(_secondary)?$|land_cover_type_qc|^lc_(type|prop)\d$"
    r"|snow_extent|eight_day_snow|snow_cover_daily|clear_sky_(days|nights)"
    r"|burn date$|(first|last) day|day of the year|day_of_year|water_?mask|land_water"
)

#: Attributes that list what codes mean.
_LEGENDS = {"flag_values", "flag_meanings", "flag_masks", "legend", "key"}


def is_coded(name: str, attributes: Mapping[str, Any]) -> bool:
    """True for a layer of codes, bits or dates by its name, or because the file lists meanings."""
    listed = any(key.lower() in _LEGENDS for key in attributes)
    return _CODED.search(name) is not None or (listed and "scale_factor" not in attributes)
