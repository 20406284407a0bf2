"""The figures: every text inside the page, none of the class names over another."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from upscale.evaluation.cases import pairs
from upscale.evaluation.figures.bars import bars_by_class, bars_by_season
from upscale.evaluation.figures.heatmap import heat_map, relative_rmse
from upscale.evaluation.figures.scatter import scatter_by_tower
from upscale.evaluation.figures.style import CLIMATES, classes_in_order, looks
from upscale.evaluation.scores import scores
from upscale.evaluation.seasons import season_scores

MANY = ("tamrl", "tamrl-carbonfluxbench", "tamlstm", "xgboost", "lightgbm", "seasonal-cycle")


@pytest.fixture(scope="module")
def table(many_cases):
    return scores(pairs(many_cases, "good"))


@pytest.fixture(scope="module")
def crowded(table):
    """Six models with long names."""
    ours = table[table.model == "ours"]
    rng = np.random.default_rng(0)
    parts = [ours.assign(model=m, rmse=ours.rmse * rng.uniform(0.5, 2, len(ours))) for m in MANY]
    return ours._constructor(np.concatenate([p.to_numpy() for p in parts]), columns=ours.columns)


def texts(figure):
    """Every text that is drawn, with its box in inches."""
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()
    hidden = {label for axes in figure.axes for label in beyond(axes)}
    for text in figure.findobj(Text):
        if text in hidden:
            continue
        if text.get_visible() and text.get_text().strip():
            yield (
                text,
                text.get_window_extent(renderer).transformed(figure.dpi_scale_trans.inverted()),
            )


def beyond(axes):
    """Labels of ticks outside the limits, which exist and are not drawn."""
    for axis in (axes.xaxis, axes.yaxis):
        low, high = sorted(axis.get_view_interval())
        for tick in axis.get_major_ticks():
            if not low <= tick.get_loc() <= high:
                yield from (tick.label1, tick.label2)


def check(figure):
    width, height = figure.get_size_inches()
    for text, box in texts(figure):
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text.get_text()!r} leaves the page"


def overlapping(figure, wanted):
    """Pairs of the wanted texts on one line that touch each other."""
    boxes = [(t.get_text(), b) for t, b in texts(figure) if wanted(t.get_text())]
    return [
        (one, other)
        for i, (one, a) in enumerate(boxes)
        for other, b in boxes[i + 1 :]
        if a.overlaps(b)
    ]


def test_bars_by_class(table, crowded):
    names = {name for name, *_ in CLIMATES.values()} | set(table.igbp)
    for part, models in ((table, ("ours", "baseline")), (crowded.infer_objects(), MANY)):
        figure = bars_by_class(part, models, "30 made towers")
        check(figure)
        assert overlapping(figure, lambda text: text in names or text.startswith("n = ")) == []


def test_bars_by_season(many_cases):
    table = season_scores(pairs(many_cases, "good"))
    check(bars_by_season(table, ("ours", "baseline"), "30 made towers"))


def test_the_heat_map_shows_the_share_by_which_rmse_is_smaller(table, crowded):
    relative = relative_rmse(table, "baseline")
    part = table[(table.flux == "nee") & (table.climate == "D")]
    means = part.groupby("model").rmse.mean()
    row = relative[
        (relative.section == "climate") & (relative.label == "D") & (relative.flux == "nee")
    ].iloc[0]
    assert row.gain == pytest.approx(100 * (means["baseline"] - means["ours"]) / means["baseline"])
    assert row.towers == part.tower.nunique()
    assert row.days == part[part.model == "baseline"].n.sum()
    assert row.low < row.gain < row.high
    check(heat_map(relative, "baseline", ("ours", "baseline"), "30 made towers"))
    many = relative_rmse(crowded.infer_objects(), "xgboost")
    check(heat_map(many, "xgboost", MANY, "30 made towers"))


def test_the_scatter_counts_the_towers_that_speak_for_the_model(table):
    figure = scatter_by_tower(table, "ours", "baseline", "30 made towers")
    check(figure)
    told = [t.get_text() for t, _ in texts(figure) if t.get_text().startswith("better at")]
    assert len(told) == 6
    assert all(text.startswith("better at 30 of 30 towers") for text in told)


def test_one_tower_of_one_class_is_enough_for_every_figure(cases):
    table = scores(pairs(cases[:1], "good"))
    check(bars_by_class(table, ("ours", "baseline"), "one"))
    check(heat_map(relative_rmse(table, "baseline"), "baseline", ("ours", "baseline"), "one"))
    check(scatter_by_tower(table, "ours", "baseline", "one"))


def test_looks_are_distinct_and_the_cycle_is_grey():
    shown = looks(MANY)
    assert len({look.colour for look in shown.values()}) == len(MANY)
    assert shown["tamrl"].title == "TAM-RL"
    assert classes_in_order("igbp", ["CRO", "?", "ENF"]) == ["ENF", "CRO", "?"]
