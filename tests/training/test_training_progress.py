"""What is seen of a training: a table on a terminal, lines elsewhere, curves afterwards."""

from __future__ import annotations

import io
import math
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from upscale.training.config import Stage, TrainConfig
from upscale.training.networks.curve_figure import plot_curves
from upscale.training.networks.curves import COLUMNS, Epoch, curve_csv, curve_table, read_curves
from upscale.training.networks.progress import (
    LineWatcher,
    TableWatcher,
    make_watcher,
    progress_table,
    seconds_left,
)


@pytest.fixture
def config(tiny: TrainConfig) -> TrainConfig:
    stages = {
        "decoder_stage": Stage(epochs=4, patience=9),
        "joint_stage": Stage(epochs=10, patience=3),
    }
    return tiny.model_copy(update={**stages, "members": 3, "workers": 2})


def _epoch(stage: str, number: int, validation: float, best: bool = True) -> Epoch:
    return Epoch(stage, number, 0.5, 0.01, validation, best, 6.0)


def _text(table: Table) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(table)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_time_left_counts_every_epoch_still_allowed(config: TrainConfig) -> None:
    curve = [_epoch("decoder", 0, 0.9), _epoch("decoder", 1, 0.8)]
    assert seconds_left(config, curve, {0: curve}) == 6.0 * (2 + 10)
    assert seconds_left(config, [], {0: curve}) == 6.0 * 14
    assert math.isnan(seconds_left(config, [], {}))


def test_the_table_shows_what_each_member_does(config: TrainConfig) -> None:
    first = [_epoch("decoder", 0, 0.9), _epoch("joint", 0, 0.8), _epoch("joint", 1, 0.85, False)]
    lines = _text(progress_table(config, {0: first, 1: []}, set())).splitlines()
    row = next(line for line in lines if "joint" in line)
    for cell in ("2/10", "0.5000", "0.0100", "0.8500", "0.8000", "1/3", "0.8"):
        assert cell in row
    assert any("begins" in line for line in lines)
    assert any("waits" in line for line in lines)
    assert "0 of 3 members trained" in lines[0]
    # member 0: 8 epochs, members 1 and 2: 14 each; two at a time
    assert f"at most {6 * (8 + 14 + 14) / 2 / 60:.1f} minutes left" in lines[-1]


def test_a_watched_training_ends_with_all_members_trained(config: TrainConfig) -> None:
    shown: list[Table] = []
    watcher = TableWatcher(config, shown.append)
    for number in range(3):
        watcher.begin(number, [_epoch("decoder", 0, 0.9)])
        watcher.epoch(number, _epoch("joint", 0, 0.8))
        watcher.end(number)
    assert len(shown) == 9
    assert "3 of 3 members trained" in _text(shown[-1])
    assert "minutes left" not in _text(shown[-1])


def test_off_a_terminal_each_epoch_is_one_plain_line(config: TrainConfig) -> None:
    stream = io.StringIO()
    with make_watcher(config, Console(file=stream, width=40)) as (watcher, say):
        watcher.begin(2, [])
        watcher.epoch(2, _epoch("joint", 7, 0.8))
        watcher.end(2)
        say("a line that is longer than the forty columns of this console")
    lines = stream.getvalue().splitlines()
    assert lines == [
        "member 2 joint   7  loss 0.5000  balance 0.01000  validation 0.8000  best so far",
        "member 2 is trained",
        "a line that is longer than the forty columns of this console",
    ]


def test_a_member_that_goes_on_is_announced() -> None:
    said: list[str] = []
    LineWatcher(said.append).begin(1, [_epoch("decoder", i, 0.9) for i in range(3)])
    assert said == ["member 1 goes on after 3 epochs"]


def test_on_a_terminal_the_table_is_drawn_and_lines_stand_above(config: TrainConfig) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=120, height=40)
    with make_watcher(config, console) as (watcher, say):
        watcher.begin(0, [])
        say("a line")
        watcher.epoch(0, _epoch("decoder", 0, 0.9))
    text = stream.getvalue()
    assert "a line" in text
    assert "decoder" in text
    assert "\x1b[" in text


def test_curves_are_read_as_they_were_written(tmp_path: Path) -> None:
    curves = [
        [_epoch("decoder", 0, 0.9), _epoch("joint", 0, 0.8, False)],
        [_epoch("decoder", 0, 0.7)],
    ]
    table = curve_table(curves, [5, 6])
    path = tmp_path / "curves.csv"
    path.write_text(curve_csv(table))
    again = read_curves(path)
    assert tuple(again.columns) == COLUMNS
    assert again["step"].tolist() == [0, 1, 0]
    assert again["best"].tolist() == [True, False, True]
    assert again["validation"].tolist() == [0.9, 0.8, 0.7]
    path.write_text("member,loss\n1,2\n")
    with pytest.raises(ValueError, match="expected the columns member, seed"):
        read_curves(path)


@pytest.mark.parametrize("stages", [["joint"], ["pretrain", "decoder", "joint"]])
def test_the_figure_is_drawn_for_models_of_one_stage_and_of_three(
    stages: list[str], tmp_path: Path
) -> None:
    curves = [[_epoch(stage, i, 0.9 - 0.1 * i) for stage in stages for i in range(3)]]
    path = plot_curves(curve_table(curves, [1]), tmp_path / "curves.png", "name")
    assert path.read_bytes().startswith(b"\x89PNG")
