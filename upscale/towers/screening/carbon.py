"""Signs, units and balance of GPP, RECO and NEE on good flux days.

NEE = RECO - GPP by definition; products that choose the versions of the three apart keep it nearly
(Pastorello et al. 2020, doi:10.1038/s41597-020-0534-3). In brackets: what the real towers have.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from upscale.towers.screening.finding import (
    LONG,
    Finding,
    Floats,
    correlation,
    judged_days,
    possible,
    series,
)
from upscale.towers.tower import Tower
from upscale.variables import FLUXES

#: Good flux days below which signs are not judged.
_FEW = 60

#: 1 umol m-2 s-1 of carbon for a day, in g.
_UMOL = 86_400 * 12.011e-6

#: How the balance reads when one sign is turned: the variable, and what to do.
_TURNED = {
    "nee": "the sign of NEE is turned, or GPP and RECO are swapped: NEE is positive for a release",
    "gpp": "GPP has the sign of an uptake below zero: turn its sign",
    "reco": "RECO has the sign of NEE below zero, or both NEE and GPP are turned: turn what is",
}


def balance(tower: Tower) -> Iterator[Finding]:
    """NEE against RECO - GPP, and against the same with one sign turned."""
    gpp, reco, nee = _fluxes(tower)
    if nee.size < _FEW:
        return
    misses = {
        "": _middle(nee - reco + gpp),
        "nee": _middle(nee + reco - gpp),
        "gpp": _middle(nee - reco - gpp),
        "reco": _middle(nee + reco + gpp),
    }
    best, size = min(misses, key=lambda name: misses[name]), _middle(nee)
    off, together = misses[""], correlation(nee, reco - gpp)
    numbers = {"median_off": off, "median_nee": size, "correlation": together}
    seen = f"NEE - (RECO - GPP) is {off:.2f} g m-2 d-1 at the median of {nee.size} good days"
    if best and misses[best] < off / 3 and off > 0.02:  # [a fifth at most]
        text = f"{seen}, but {misses[best]:.2f} if {_TURNED[best]}"
        yield Finding(tower.site, best, f"{best}_sign", "certain", text, numbers)
    elif off > max(0.1, 0.75 * size) and not together > 0.5:  # [off: 0.53; r: 0.89]
        text = f"{seen} (NEE itself: {size:.2f}, r {together:.2f}): these are not of one record"
        yield Finding(tower.site, "nee", "balance", "certain", text, numbers)
    elif off > 0.3 or together < 0.93:
        text = f"{seen} (NEE itself: {size:.2f}, r {together:.2f})"
        yield Finding(tower.site, "nee", "balance", "suspect", text, numbers)


def below_zero(tower: Tower) -> Iterator[Finding]:
    """GPP or RECO below zero on most days."""
    for name, values in zip(("gpp", "reco"), _fluxes(tower)[:2], strict=True):
        share = float(np.mean(values < 0)) if values.size >= _FEW else 0.0
        if share <= 0.5:
            continue
        sure = share > 0.9 and values.size >= LONG  # [0.71 for GPP, 0.34 for RECO]
        text = (
            f"{name.upper()} is below zero on {share:.0%} of {values.size} good days "
            f"(mean {values.mean():.2f} g m-2 d-1), expected above"
        )
        numbers = {"share_below_zero": share, "mean": float(values.mean())}
        yield Finding(
            tower.site, name, f"{name}_sign", "certain" if sure else "suspect", text, numbers
        )


def uptake(tower: Tower) -> Iterator[Finding]:
    """NEE that rises with GPP or with light, or falls in deep cold: signs that the balance hides.

    Plants take up more the more light they have, and in the cold there is only respiration.
    """
    days = judged_days(tower)
    nee = possible(tower, "nee")[days]
    for name, doubt, bound, words in (
        ("gpp", 0.0, 0.5, "GPP"),  # [-0.98 to -0.10]
        ("sw_in", 0.4, 0.7, "the light, SW_IN"),  # [-0.87 to 0.30; 0.60 at a tower called suspect]
    ):
        together = correlation(nee, possible(tower, name)[days]) if nee.size >= LONG else np.nan
        if together > doubt:
            text = f"NEE rises with {words} (r {together:.2f} over {nee.size} good days)"
            yield Finding(
                tower.site, "nee", "uptake", "certain" if together > bound else "suspect",
                f"{text}, expected to fall: is its sign turned?", {"correlation": together},
            )  # fmt: skip
    cold = nee[possible(tower, "ta")[days] < -5]
    mean = float(np.nanmean(cold)) if np.isfinite(cold).sum() >= 30 else 0.0
    if mean < -0.2:
        text = f"NEE is {mean:.2f} g m-2 d-1 on {cold.size} days below -5 degC: uptake?"
        yield Finding(tower.site, "nee", "uptake", "suspect", text, {"mean_in_the_cold": mean})


def carbon_unit(tower: Tower) -> Iterator[Finding]:
    """Another unit than g m-2 d-1 of carbon, where the level or the balance tells."""
    days = judged_days(tower)
    for name in FLUXES:
        values = np.abs(series(tower, name).values[days])
        values = values[np.isfinite(values)]
        high = float(np.quantile(values, 0.99)) if values.size >= _FEW else 1.0
        if 0 < high < 0.3 or high > 60:  # [0.43 to 28]
            sure = values.size >= LONG and (high < 0.05 or high > 60)
            unit = "kg m-2 d-1" if high < 1 else "mg m-2 d-1, mmol m-2 d-1, or CO2"
            text = f"{name.upper()} looks like {unit} (most {high:.2g}), expected g m-2 d-1"
            yield Finding(
                tower.site, name, "carbon_unit", "certain" if sure else "suspect",
                f"{text} of carbon", {"q99": high},
            )  # fmt: skip
    yield from _one_in_umol(tower)


def _one_in_umol(tower: Tower) -> Iterator[Finding]:
    """NEE in umol m-2 s-1 beside RECO and GPP in g m-2 d-1, or the reverse: 3.8 % apart."""
    gpp, reco, nee = _fluxes(tower)
    net = reco - gpp
    if nee.size < _FEW or not correlation(nee, net) > 0.9999:
        return
    slope = float(net @ nee / (net @ net))
    for named, factor in (("NEE", 1 / _UMOL), ("RECO and GPP", _UMOL)):
        if abs(slope - factor) < 0.002:  # [1 to six digits wherever r exceeds 0.9999]
            text = (
                f"NEE is {slope:.4f} times RECO - GPP on every day: {named} in umol m-2 s-1, the "
                f"others in g m-2 d-1? multiply by {_UMOL:.5f}"
            )
            yield Finding(tower.site, "nee", "carbon_unit", "certain", text, {"slope": slope})


def _fluxes(tower: Tower) -> tuple[Floats, Floats, Floats]:
    """GPP, RECO and NEE `(good day,)`, without impossible values."""
    days = judged_days(tower)
    table = np.column_stack([possible(tower, name)[days] for name in FLUXES])
    table = table[np.isfinite(table).all(axis=1)]
    return table[:, 0], table[:, 1], table[:, 2]


def _middle(values: Floats) -> float:
    """Median of the sizes."""
    return float(np.median(np.abs(values)))
