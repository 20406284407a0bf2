"""The report: Markdown whose pictures exist, HTML that is well-formed and needs nothing else."""

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from upscale.evaluation.report.document import (
    Bullets,
    Heading,
    TableBlock,
    Text,
    write_html,
    write_markdown,
)
from upscale.evaluation.report.write import write_report
from upscale.evaluation.results import (
    Evaluation,
    choose_reference,
    comparable,
    evidence,
    order_models,
)
from upscale.figures.numbers import number, percent

VOID = {"meta", "img", "link", "br"}


class Page(HTMLParser):
    """Tags that are open, what is linked, what is loaded."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.links, self.loaded = [], set(), set(), []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids |= {found["id"]} if "id" in found else set()
        self.links |= {found["href"]} if "href" in found else set()
        self.loaded += [found["src"]] if "src" in found else []
        assert tag not in ("link", "script")
        if tag == "img":
            assert found["alt"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def evaluation(cases, **fields):
    made = {
        "release": "mine", "source": "Made for a test.", "main": "ours",
        "models": ("ours", "baseline"), "reference": "baseline", "cases": tuple(cases),
        "skipped": (), "calibration": None,
    }  # fmt: skip
    return Evaluation(**(made | fields))


@pytest.fixture(scope="module")
def report(many_cases, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    write_report(evaluation(many_cases), "good", folder)
    return folder


def test_the_html_is_well_formed_and_needs_no_other_file(report):
    page = Page((report / "report.html").read_text())
    assert page.open == []
    assert len(page.loaded) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.loaded)
    assert len(page.links) > 8
    assert {link[1:] for link in page.links} <= page.ids


def test_the_markdown_shows_figures_that_are_there(report):
    text = (report / "report.md").read_text()
    for name in ("classes", "seasons", "relative_rmse", "towers"):
        assert f"](figures/{name}.png)" in text
        assert (report / "figures" / f"{name}.png").stat().st_size > 20_000


def test_the_report_tells_differences_and_small_numbers(report):
    text = (report / "report.md").read_text()
    assert "ours at 30 towers of 30 clusters" in text
    assert "better" in text
    assert "classes have fewer than 5 towers" in text
    assert "spread must not be read as an error" in text
    assert "nan" not in text.lower().replace("finance", "")


def test_the_tables_behind_it_are_kept(report):
    table = pd.read_csv(report / "tables" / "scores.csv")
    assert len(table) == 30 * 2 * 3
    assert {p.stem for p in (report / "tables").iterdir()} >= {"seasons", "interannual", "closure"}


def test_a_release_alone_has_a_report_without_a_baseline(many_cases, tmp_path):
    alone = [
        type(c)(c.tower, "train", {"ours": c.estimates["ours"]}) for c in many_cases[:6]
    ]  # fmt: skip
    write_report(evaluation(alone, models=("ours",), reference=None), "best", tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "name one with --baseline" in text
    assert "nothing about places without a tower" in text
    assert Page((tmp_path / "report.html").read_text()).open == []


def test_evidence_is_what_was_never_seen(cases):
    assert evidence(evaluation(cases)) == ("test",)
    seen = [type(c)(c.tower, "train", c.estimates) for c in cases]
    assert evidence(evaluation(seen)) == ("train",)


def short(cases, days: int, quality: float = 1.0):
    """The same towers with a record of which only some days are good."""
    made = []
    for case in cases:
        good = np.zeros(len(case.tower.days), bool)
        good[np.flatnonzero(case.tower.good)[:days]] = True
        of = np.where(good, np.float32(quality), np.float32(0))
        made.append(type(case)(replace(case.tower, good=good, quality=of), "test", case.estimates))
    return made


@pytest.mark.parametrize("days", [1, 20])
@pytest.mark.parametrize("count", [1, 6])
def test_short_records_have_a_report_that_says_what_is_missing(many_cases, tmp_path, days, count):
    write_report(evaluation(short(many_cases[:count], days)), "good", tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "none of these towers has 30 compared days in one season" in text
    assert "none of these towers has 3 years" in text
    assert not (tmp_path / "figures" / "seasons.png").exists()
    assert Page((tmp_path / "report.html").read_text()).open == []


def test_no_day_of_best_quality_is_refused_and_told_in_the_report_of_good_days(
    many_cases, tmp_path
):
    found = evaluation(short(many_cases[:2], 60, quality=0.8))
    with pytest.raises(ValueError, match="expected towers with best days"):
        write_report(found, "best", tmp_path)
    assert list(tmp_path.iterdir()) == []
    write_report(found, "good", tmp_path)
    assert "none of these towers has best days" in (tmp_path / "report.md").read_text()


def test_a_tower_without_a_day_to_compare_is_named(many_cases):
    mixed = evaluation([*short(many_cases[:1], 60, quality=0.8), *many_cases[1:3]])
    kept = comparable(mixed, "best")
    assert len(kept.cases) == 2
    assert [one.site for one in kept.skipped] == [many_cases[0].tower.site]


def test_suspect_towers_make_a_headline_only_where_there_is_nothing_else(cases, tmp_path):
    seen = [c if c.split == "suspect" else type(c)(c.tower, "train", c.estimates) for c in cases]
    assert {case.split for case in seen} == {"train", "suspect"}
    assert evidence(evaluation(seen)) == ("train",)
    write_report(evaluation(seen), "good", tmp_path)
    text = (tmp_path / "report.md").read_text()
    assert "remembers them" in text
    assert "--cross-validate" in text
    alone = [case for case in seen if case.split == "suspect"]
    assert evidence(evaluation(alone)) == ("suspect",)


def test_the_baseline_of_choice():
    names = order_models(["seasonal-cycle", "mine", "lightgbm", "xgboost"], "mine")
    assert names == ("mine", "lightgbm", "xgboost", "seasonal-cycle")
    assert choose_reference(names, None) == "xgboost"
    assert choose_reference(names, "lightgbm") == "lightgbm"
    assert choose_reference(("mine",), None) is None
    with pytest.raises(ValueError, match="lightgbm, xgboost, seasonal-cycle"):
        choose_reference(names, "fluxcom")


def test_text_is_escaped_and_numbers_have_a_minus(tmp_path):
    table = pd.DataFrame({"name": ["a|b <c>"], "value": [-0.001], "share": [np.nan]})
    grid = TableBlock(table, "A table.", {"value": number(2), "share": percent})
    blocks = [Heading("T & t", 1), Text("1 < 2"), Bullets(("x",)), grid]
    html = write_html(blocks, tmp_path / "a.html").read_text()
    assert "1 &lt; 2" in html
    assert "<td>a|b &lt;c&gt;</td>" in html
    assert "| a\\|b <c> | 0.00 | – |" in write_markdown(blocks, tmp_path / "a.md").read_text()
    assert number(1)(-2.34) == "−2.3"
