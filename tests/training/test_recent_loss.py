"""The mean of the last updates is told as long as the smooth loss still contains its first value."""

import math

import pytest

from charloom.training.recent_loss import RecentLoss
from report_runs import make_run, records, report


def after(updates, smoothing=0.999, every=100, nats=lambda update: 2.0):
    """Return the recent loss of a run with a record every `every` updates and after the first one."""
    recent = RecentLoss(smoothing)
    for update in [1, *range(every, updates + 1, every)]:
        recent.add(update, nats(update))
    return recent


def test_the_share_of_the_first_loss_is_that_in_the_smooth_loss():
    smooth = 1.0
    for _ in range(299):
        smooth = 0.99 * smooth + 0.01 * 0.0
    assert after(300, 0.99).first_weight == pytest.approx(smooth)


def test_the_mean_is_over_the_memory_of_the_smooth_loss_or_half_of_the_run():
    recent = after(5_000, nats=lambda update: update / 1_000)
    assert recent.mean == pytest.approx((1_000, sum(range(41, 51)) / 10 / 10))
    assert after(600).mean.updates == 300
    assert after(100).mean.updates == 99
    assert after(1).mean.updates == 1
    assert RecentLoss(0.999).mean is None


def test_only_a_short_run_is_told():
    short = after(1_000)
    assert short.sentence("byte") == (
        "The first loss still has a weight of 37% in the smooth loss. The mean loss of the last 500 updates is "
        f"{2 / math.log(2):.3f} bits per byte."
    )
    assert after(5_000).sentence("character") is None
    assert RecentLoss(0.999).sentence("character") is None
    assert after(1_000, 0.9).sentence("character") is None


def test_the_report_tells_it_for_a_short_run_only(tmp_path):
    _, short = report(make_run(tmp_path / "short", metrics=records(1_000)))
    assert "The first loss still has a weight of" in short.words
    _, long = report(make_run(tmp_path / "long", metrics=records(20_000)))
    assert "The first loss still has a weight" not in long.words
