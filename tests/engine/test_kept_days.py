"""Which days stand as they were, and what goes on from them: the bits of a block made at once."""

from types import SimpleNamespace

import numpy as np

from upscale.engine.work.kept import Earlier, surface_digest
from upscale.engine.work.reduction import DayCut, KeptDays, reduce_members


def test_days_that_a_shorter_record_may_change_again_do_not_stand():
    """The record of the drivers was cut since: fewer days are settled now than were then."""
    layers = ("sftlf", "igbp", "koppen", "elevation")
    surface = SimpleNamespace(**{name: np.zeros((1, 1), np.float32) for name in layers})
    entry = SimpleNamespace(
        run="r", settled=30, surface=surface_digest(surface), embeddings="e", strides=()
    )
    job = SimpleNamespace(digest="r")

    def stands(settled):
        cut = DayCut(np.zeros(30, np.int64), np.arange(30) // 15, settled)
        return Earlier(job, None, entry, surface, "e", 1, cut, None)._may_stand

    assert stands(30)
    assert not stands(15)


def test_running_sums_of_kept_days_are_not_rounded():
    """All days of a block are kept: the sum goes on in double precision, as it was kept."""
    cut = DayCut(np.zeros(30, np.int64), np.arange(30) // 15, 30)
    days = np.ones((1, 30, 3), np.float32)
    running = np.full((2, 1, 3), 30 + 1e-9)
    before = KeptDays(
        days, days, np.zeros((1, 30), bool), running[:, :, None].astype("f4"), running
    )
    nothing = np.zeros((2, 1, 0, 3), np.float32)
    np.testing.assert_array_equal(reduce_members(nothing, cut, before).running, running)
