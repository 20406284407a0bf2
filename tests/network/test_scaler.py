"""The scaler knows its features and refuses all others; classes become one-hots."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from upscale.network.classes import Classes, seen_classes
from upscale.network.scaler import Feature, Scaler, ScalerError, fit_scaler
from upscale.variables import IGBP, KOPPEN

NAMES = ("ta", "sw_in", "vpd", "p")
UNITS = ("degC", "W m-2", "hPa", "mm d-1")


def made_drivers(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    drivers = np.stack(
        [
            rng.normal(10, 9, (20, 200)),
            rng.uniform(0, 350, (20, 200)),
            rng.gamma(2, 3, (20, 200)),
            rng.gamma(0.3, 8, (20, 200)),
        ],
        axis=-1,
    ).astype(np.float32)
    drivers[rng.random(drivers.shape) < 0.05] = np.nan
    return drivers


def made_fluxes() -> np.ndarray:
    fluxes = np.random.default_rng(1).normal([4, 3, -1], [3, 2, 2], (20, 200, 3))
    return fluxes.astype(np.float32)


@pytest.fixture(scope="module")
def scaler() -> Scaler:
    return fit_scaler(NAMES, made_drivers(), made_fluxes())


def test_fitting_leaves_missing_values_out(scaler: Scaler) -> None:
    drivers = made_drivers().astype(float)
    rain = np.log1p(drivers[..., 3])
    assert scaler.features[0].mean == pytest.approx(np.nanmean(drivers[..., 0]))
    assert scaler.features[3].mean == pytest.approx(np.nanmean(rain))
    assert scaler.features[3].std == pytest.approx(np.nanstd(rain))
    assert scaler.features[3].maximum == np.nanmax(made_drivers()[..., 3])
    assert scaler.fluxes[1].std == pytest.approx(made_fluxes()[..., 1].std(), rel=1e-5)
    assert [feature.units for feature in scaler.features] == list(UNITS)
    assert scaler.required == ("ta", "sw_in")


def test_scaled_features_have_mean_0_and_std_1_and_masks_follow_them(scaler: Scaler) -> None:
    drivers = made_drivers()
    scaled = scaler.scale(drivers)
    present = np.isfinite(drivers)
    assert scaled.dtype == np.float32
    assert scaled.shape == (20, 200, scaler.channels) == (20, 200, 6)
    for i in range(4):
        values = scaled[..., i][present[..., i]]
        assert values.mean() == pytest.approx(0, abs=1e-3)
        assert values.std() == pytest.approx(1, abs=1e-3)
        assert (scaled[..., i][~present[..., i]] == 0).all()
    assert np.array_equal(scaled[..., 4:], present[..., 2:].astype(np.float32))


def test_scaling_leaves_the_drivers_as_they_were(scaler: Scaler) -> None:
    drivers = made_drivers()
    scaler.scale(drivers)
    assert np.array_equal(drivers, made_drivers(), equal_nan=True)


def test_fluxes_come_back_from_their_scaled_form(scaler: Scaler) -> None:
    fluxes = made_fluxes()
    assert scaler.unscale(scaler.scale_fluxes(fluxes)) == pytest.approx(fluxes, abs=1e-5)


def test_training_data_never_leave_the_training_range(scaler: Scaler) -> None:
    drivers = made_drivers()
    assert not scaler.outside(drivers).any()
    drivers[3, 4, 0] = 61.0
    assert np.argwhere(scaler.outside(drivers)).tolist() == [[3, 4]]


def test_missing_values_count_against_required_features_alone(scaler: Scaler) -> None:
    drivers = np.ones((1, 3, 4), np.float32)
    drivers[0, 1, 0] = np.nan
    drivers[0, 2, 3] = np.nan
    assert scaler.missing_required(drivers).tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("names", "units", "message"),
    [
        ((*NAMES, "ws"), (*UNITS, "m s-1"), "unknown features ws"),
        (NAMES[:3], UNITS[:3], "missing features p"),
        (("sw_in", "ta", "vpd", "p"), ("W m-2", "degC", "hPa", "mm d-1"), "wrong order"),
        (NAMES, ("K", *UNITS[1:]), "wrong units of ta: expected 'degC', found 'K'"),
    ],
)
def test_other_columns_are_refused(
    scaler: Scaler, names: tuple[str, ...], units: tuple[str, ...], message: str
) -> None:
    scaler.check_columns(NAMES, UNITS)
    with pytest.raises(ScalerError, match=message):
        scaler.check_columns(names, units)


def test_a_source_may_hold_more_and_lack_what_is_not_required(scaler: Scaler) -> None:
    scaler.check_available({"ta": "degC", "sw_in": "W m-2", "pa": "kPa"})
    with pytest.raises(ScalerError, match="missing features sw_in"):
        scaler.check_available({"ta": "degC", "vpd": "hPa"})
    with pytest.raises(ScalerError, match="wrong units of vpd: expected 'hPa', found 'kPa'"):
        scaler.check_available({"ta": "degC", "sw_in": "W m-2", "vpd": "kPa"})


def test_drivers_of_another_width_are_refused(scaler: Scaler) -> None:
    with pytest.raises(ScalerError, match="expected 4 features"):
        scaler.scale(np.zeros((2, 45, 3), np.float32))


def test_features_that_the_table_of_variables_does_not_hold_are_refused() -> None:
    with pytest.raises(ScalerError, match="unknown feature 'soil_colour'"):
        Feature("soil_colour", "1", False, 0, 1, 0, 1)
    with pytest.raises(ScalerError, match="wrong units of feature ta"):
        Feature("ta", "K", True, 280, 10, 200, 330)
    with pytest.raises(ScalerError, match="std > 0"):
        Feature("ta", "degC", True, 10, 0, -40, 40)


def test_a_scaler_needs_the_three_fluxes_in_order(scaler: Scaler) -> None:
    with pytest.raises(ScalerError, match="expected the fluxes gpp, reco, nee"):
        replace(scaler, fluxes=scaler.fluxes[::-1])


def test_a_feature_without_any_value_cannot_be_fitted() -> None:
    drivers = made_drivers()
    drivers[..., 2] = np.nan
    with pytest.raises(ScalerError, match="vpd has no value"):
        fit_scaler(NAMES, drivers, made_fluxes())


CLASSES = Classes(("ENF", "GRA"), ("Cfb", "Dfb", "ET"))


def test_each_class_has_its_column_and_all_others_share_unknown() -> None:
    gra, cfb = IGBP.index("GRA") + 1, KOPPEN.index("Cfb") + 1
    codes = np.array([[gra, cfb], [IGBP.index("URB") + 1, KOPPEN.index("ET") + 1], [0, 0]])
    expected = [[0, 1, 0, 1, 0, 0, 0], [0, 0, 1, 0, 0, 1, 0], [0, 0, 1, 0, 0, 0, 1]]
    assert CLASSES.onehot(codes).tolist() == expected
    assert CLASSES.unknown(codes).tolist() == [False, True, True]


def test_codes_outside_the_legends_are_unknown() -> None:
    assert CLASSES.unknown(np.array([[255, 1], [-1, 99]])).all()


def test_seen_classes_are_listed_in_the_order_of_the_legends() -> None:
    assert seen_classes(np.array([[10, 27], [1, 3], [0, 0], [1, 27]])) == Classes(
        ("ENF", "GRA"), ("Aw", "Dfc")
    )


def test_a_class_outside_the_legend_is_refused() -> None:
    with pytest.raises(ValueError, match="igbp class once"):
        Classes(("FOREST",), ())
