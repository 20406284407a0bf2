"""Water vapour in air: the same formula for towers, reanalysis and synthetic weather."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]


def saturation_pressure(ta: Floats) -> Floats:
    """Saturation vapour pressure over water, hPa, at air temperature `ta`, degC (any shape).

    Magnus form with the constants of Alduchov and Eskridge (1996), eq. 21.
    """
    return 6.1094 * np.exp(17.625 * ta / (ta + 243.04))
