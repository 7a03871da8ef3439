"""The picture of a comparison shows the curves of all runs, and can be read in black and white."""

import math
import re
from itertools import pairwise
from pathlib import Path

import pytest

from charloom.report.comparison_curves import COMPARISON_AXES, ComparedCurve, later, range_of_bits
from charloom.report.comparison_plot import comparison_figure, line_style, short_count
from charloom.report.plot_files import svg_of
from charloom.report.plot_style import LIGHT
from charloom.report.records import Record

T = 10


def curve(label: str, floor: float, updates: int = 1_000, judged: bool = True) -> ComparedCurve:
    """Return a curve that falls from 8 bits to `floor` bits per character."""
    records = [
        Record(
            update=update,
            epoch=update / 400,
            characters=update * T,
            seconds=update / 1e3,
            smooth_loss=T * math.log(2) * (floor + (8 - floor) * math.exp(-update / 100)),
            train_nats=1.0,
            validation_nats=math.log(2) * (floor + 0.1) if update % 200 == 0 else None,
        )
        for update in range(1, updates + 1, 1)
    ]
    evaluated = [record for record in records if record.validation_nats is not None]
    return ComparedCurve(label, T, records, evaluated if judged else [])


def test_each_run_has_a_curve_of_each_loss_and_a_line_of_the_legend() -> None:
    svg = svg_of(comparison_figure([curve("cell rnn", 2.0), curve("cell <lstm>", 1.5)]))
    for gid in ("smooth-1", "smooth-2", "validation-1", "validation-2"):
        assert f'id="{gid}"' in svg
    assert "cell rnn" in svg
    assert "cell &lt;lstm&gt;" in svg
    assert "smooth training loss without the loss of the first update, bits per character" in svg
    assert "validation loss, bits per character" in svg


def test_without_a_validation_loss_there_is_one_panel() -> None:
    figure = comparison_figure([curve("a", 2.0, judged=False), curve("b", 1.0, judged=False)])
    assert len(figure.axes) == 1
    assert len(comparison_figure([curve("a", 2.0), curve("b", 1.0, judged=False)]).axes) == 2


def test_all_runs_have_other_dashes_or_other_markers() -> None:
    styles = [line_style(n, LIGHT) for n in range(49)]
    without_colours = {(str(style["linestyle"]), style["marker"]) for style in styles}
    assert len(without_colours) == 49
    assert len({(style["color"], str(style["linestyle"])) for style in styles}) == 49
    # Neighbours in the legend differ in both.
    for one, other in pairwise(styles):
        assert one["linestyle"] != other["linestyle"]
        assert one["marker"] != other["marker"]


@pytest.mark.parametrize(
    ("over", "last", "title"),
    [
        ("characters", 10_000, "characters read"),
        ("updates", 1_000, "updates"),
        ("epochs", 2.5, "epochs"),
        ("seconds", 1.0, "seconds of training"),
    ],
)
def test_the_horizontal_axis_can_be_chosen(over: str, last: float, title: str) -> None:
    figure = comparison_figure([curve("a", 2.0), curve("b", 1.0, 500)], over)
    for axes in figure.axes:
        left, right = axes.get_xlim()
        # A marker at the last point is not cut in half.
        assert left < 0 < last < right < 1.05 * last
        assert axes.get_xlabel() == title
    assert set(COMPARISON_AXES) == {"characters", "updates", "epochs", "seconds"}


def test_losses_are_in_bits_per_character_whatever_the_sequence_length() -> None:
    one = curve("a", 2.0)
    long = ComparedCurve(
        "b", 10 * T, [r._replace(smooth_loss=10 * r.smooth_loss) for r in one.smooth], one.judged
    )
    assert [y for _, y in long.smooth_points("updates")] == pytest.approx(
        [y for _, y in one.smooth_points("updates")]
    )
    assert one.smooth_points("updates")[-1][1] == pytest.approx(2.0, abs=0.01)


def test_the_range_leaves_out_beginnings_and_runs_that_diverged() -> None:
    good, worse = curve("a", 2.0).smooth_points("updates"), curve("b", 2.5).smooth_points("updates")
    bad = [(float(n), 1e6) for n in range(1_000)]
    shown = range_of_bits([good, worse, bad])
    assert shown is not None
    assert shown == range_of_bits([good, worse])
    low, high = shown
    assert low < 2.0 < 2.5 < high < 8
    figure = comparison_figure([curve("a", 2.0), curve("bad", 1e5)])
    assert "far higher losses, may be above the plot" in svg_of(figure)
    few = [(1_000.0, 4.0), (2_000.0, 2.0), (30_000.0, 1.9), (60_000.0, 1.8)]
    assert range_of_bits([few])[1] > 4.0  # type: ignore[index]
    plain = [(0.0, 2.0), (10.0, 1.9)]
    assert range_of_bits([plain]) == pytest.approx((1.895, 1.905), abs=1.0)
    assert range_of_bits([[], []]) is None


def test_the_first_loss_has_no_weight_in_the_curve() -> None:
    losses = [100.0, *[20.0] * 499]
    smooth, records = losses[0], []
    for update, loss in enumerate(losses, 1):
        smooth = smooth if update == 1 else 0.999 * smooth + 0.001 * loss
        records.append(curve("a", 2.0, 1).smooth[0]._replace(update=update, smooth_loss=smooth))
    shown = ComparedCurve("a", 1, records, [], 0.999).smooth_points("updates")
    assert shown[0][1] == pytest.approx(100 / math.log(2))
    assert [y for _, y in shown[1:]] == pytest.approx([20 / math.log(2)] * 499)
    assert records[-1].smooth_loss > 60  # the smooth loss itself


def test_a_run_with_one_record_is_a_point() -> None:
    figure = comparison_figure([curve("a", 2.0), curve("b", 1.0, 1)])
    assert figure.axes[0].get_ylim()[0] < 2.0
    assert later([(5.0, 1.0)]) == [(5.0, 1.0)]


def test_the_same_comparison_gives_the_same_bytes(tmp_path: Path) -> None:
    pictures = {svg_of(comparison_figure([curve("a", 2.0), curve("b", 1.0)])) for _ in range(2)}
    assert len(pictures) == 1
    assert not re.search(r"\bnan\b", pictures.pop())


def test_numbers_on_the_axis_are_short() -> None:
    assert [short_count(x, 9_000) for x in (0, 0.5, 2_000)] == ["0", "0.5", "2,000"]
    assert [short_count(x, 16_000) for x in (0, 8_000, 16_000)] == ["0", "8k", "16k"]
    assert [short_count(x, 2e6) for x in (0, 500_000, 1_500_000)] == ["0", "0.5M", "1.5M"]
