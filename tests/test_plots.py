"""The plots draw the right numbers, and need no other files."""

import dataclasses
import math
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.errors import ConfigError
from charloom.gradient_check import GradientCheck, gradcheck
from charloom.report.gradient_plot import curve_figure
from charloom.report.loss_plot import loss_figure
from charloom.report.plot_files import inline_svg, png_of, save_figure, svg_of
from charloom.report.plot_style import DARK, LIGHT, NARROW, SENTINELS, WIDE
from charloom.report.records import MOST_CROSSES, Record, Records, gather
from charloom.report.thinning import decimate

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}"


def record(update: int, loss: float = 100.0, per_epoch: int = 100) -> Record:
    """Return the record of an update."""
    return Record(update, update / per_epoch, 25 * update, update / 1000, loss, loss / 25)


def records(
    count: int = 300, per_epoch: int = 100, every: int = 10, spike: int | None = None
) -> Records:
    """Return records as training writes them: at update 1, at every `every` updates and at each epoch's end."""
    updates = sorted({1, *range(every, count + 1, every), *range(per_epoch, count + 1, per_epoch)})
    losses = {u: 300.0 if u == spike else 40 + 60 * math.exp(-u / 80) for u in updates}
    found = gather(record(u, loss, per_epoch) for u, loss in losses.items())
    assert found is not None
    return found


def group(svg: str, gid: str) -> ET.Element:
    """Return the group with the id `gid` of an SVG document."""
    found = [g for g in ET.fromstring(svg).iter(f"{SVG}g") if g.get("id") == gid]
    assert len(found) == 1
    return found[0]


def crosses(svg: str) -> list[tuple[float, float]]:
    """Return the positions of the red crosses in units of the picture."""
    return [
        (float(use.get("x", "nan")), float(use.get("y", "nan")))
        for use in group(svg, "epoch-ends").iter(f"{SVG}use")
    ]


def small_check(**settings: Any) -> GradientCheck:
    return gradcheck(**{"hidden_size": 4, "seq_length": 3, "vocabulary_size": 6, **settings})


@pytest.mark.parametrize("size", [WIDE, NARROW])
def test_the_line_has_a_red_cross_at_the_end_of_each_epoch(size: tuple[int, int]) -> None:
    svg = svg_of(loss_figure(records(), 25, size=size))
    found = crosses(svg)
    assert len(found) == 3
    line = group(svg, "smooth-loss").find(f"{SVG}path")
    assert line is not None
    points = re.findall(r"[ML] ([\d.]+) ([\d.]+)", line.get("d", ""))
    for cross in found:
        assert any(math.dist(cross, (float(x), float(y))) < 0.01 for x, y in points)
    assert LIGHT["cross"] in ET.tostring(group(svg, "epoch-ends"), "unicode")


def test_an_unfinished_epoch_has_no_cross() -> None:
    svg = svg_of(loss_figure(records(99), 25))
    assert crosses(svg) == []
    assert "end of an epoch" not in svg


@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_records_are_drawn(count: int) -> None:
    few = gather(record(u + 1) for u in range(count))
    assert few is not None
    assert group(svg_of(loss_figure(few, 25)), "smooth-loss") is not None


def test_the_plot_has_an_axis_in_nats_and_one_in_bits() -> None:
    figure = loss_figure(records(), 25)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    (bits,) = axes.child_axes
    assert bits.get_ylim() == pytest.approx([y / 25 / math.log(2) for y in axes.get_ylim()])


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize(
    ("least", "most"),
    [
        (2, 4),
        (40, 100),
        (4e3, 9e3),
        (3e5, 8e5),
        (1e6, 1e9),
        (2e11, 9e14),
        (416.01, 416.02),
        (1e4, 1e4 + 0.01),
    ],
)
def test_no_axis_has_a_common_factor_or_labels_beyond_the_plot(
    size: tuple[int, int], least: float, most: float
) -> None:
    """Matplotlib writes a common factor such as 1e6 where the plot has the name of the axis."""
    found = gather([record(1, most), record(50, least), record(60, (least + most) / 2)])
    assert found is not None
    figure = loss_figure(found, 25, size=size)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    ((left, right),) = [(axes.yaxis, child.yaxis) for child in axes.child_axes]
    for axis in (left, right):
        assert axis.get_offset_text().get_text() == ""
        low, high = axis.get_view_interval()
        labels = [
            label for label in axis.get_ticklabels() if low <= label.get_position()[1] <= high
        ]
        assert len({label.get_text() for label in labels}) == len(labels) > 2
        boxes = [label.get_window_extent() for label in labels]
        assert all(box.x0 >= 0 and box.x1 <= size[0] for box in boxes), labels


def test_a_long_run_gives_a_small_picture_that_loses_no_cross_and_no_extreme() -> None:
    many = records(443_010, per_epoch=44_301, every=100, spike=221_500)
    svg = svg_of(loss_figure(many, 25))
    assert len(crosses(svg)) == 10
    assert len(svg) < 150_000
    assert len(many.updates) < 4_400
    assert (221_500, 300.0) in set(zip(many.updates, many.losses, strict=True))


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("epochs", [50, 61, 500, 3_000])
def test_many_epochs_leave_the_curve_visible(epochs: int, size: tuple[int, int]) -> None:
    found = gather(
        record(u, per_epoch=40)._replace(validation_nats=2.0 + u)
        for u in range(40, 40 * epochs + 1, 40)
    )
    assert found is not None
    figure = loss_figure(found, 25, size=size)
    figure.draw_without_rendering()
    # The first panel, and the one of the run after its first epoch
    for axes, prefix in zip(figure.axes, ("", "zoom-"), strict=True):
        lines = {line.get_gid().removeprefix(prefix): line for line in axes.lines}
        for name in ("epoch-ends", "validation"):
            line = lines[name]
            places = axes.transData.transform(line.get_xydata())[:, 0]
            if line.get_marker():
                # The last gap may be smaller, because the last epoch always has a mark.
                assert np.diff(places)[:-1].min() > line.get_markersize()
        assert lines["epoch-ends"].get_xdata()[-1] == 40 * epochs
        crosses = len(lines["epoch-ends"].get_xdata())
        assert (
            crosses == epochs
            if epochs <= MOST_CROSSES
            else MOST_CROSSES / 2 < crosses <= MOST_CROSSES
        )
        assert bool(lines["validation"].get_marker()) == (epochs < 100)


@pytest.mark.parametrize("size", [WIDE, NARROW])
@pytest.mark.parametrize("factor", [0.1, 1.0, 1e4])
def test_the_panel_after_the_first_epoch_has_readable_labels(
    factor: float, size: tuple[int, int]
) -> None:
    found = gather(record(u, factor * (40 + 60 / u), per_epoch=40) for u in range(1, 401))
    assert found is not None
    figure = loss_figure(found, 25, size=size)
    figure.draw_without_rendering()
    _, zoom = figure.axes
    assert zoom.get_xlim() == (40, 400)
    for axis in (zoom.yaxis, *(child.yaxis for child in zoom.child_axes)):
        low, high = axis.get_view_interval()
        labels = [one for one in axis.get_ticklabels() if low <= one.get_position()[1] <= high]
        assert axis.get_offset_text().get_text() == ""
        assert len({label.get_text() for label in labels}) == len(labels) > 2
        boxes = [label.get_window_extent() for label in labels]
        assert all(box.x0 >= 0 and box.x1 <= size[0] for box in boxes), labels


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=200), st.integers(1, 50))
def test_decimation_keeps_first_last_lowest_and_highest(values: list[float], columns: int) -> None:
    y = np.array(values)
    x = np.arange(len(y), dtype=float)
    kept = decimate(x, y, columns)
    assert kept[0]
    assert kept[-1]
    assert y[kept].min() == y.min()
    assert y[kept].max() == y.max()
    assert kept.sum() <= 4 * (columns + 1)


@pytest.mark.parametrize(
    ("epoch", "end"), [(0.0, False), (0.5, False), (1.0, True), (2.999, False), (10, True)]
)
def test_only_finished_epochs_have_an_end(epoch: float, end: bool) -> None:
    assert record(1)._replace(epoch=epoch).ends_epoch is end


def test_each_parameter_of_each_check_has_its_curve() -> None:
    checks = [small_check(), small_check(dtype="float32"), small_check(sigma=0.1)]
    svg = svg_of(curve_figure(checks))
    for place in range(3):
        for name in ("b", "c", "U", "W", "V"):
            assert len(list(group(svg, f"problem-{place}-{name}").iter(f"{SVG}use"))) == 8
    assert svg.count("complex step") >= 1
    assert "rounding" in svg


def test_engines_checked_on_one_problem_share_a_panel() -> None:
    check, other = small_check(), small_check(sigma=0.1)
    twin = dataclasses.replace(check, settings=dataclasses.replace(check.settings, engine="twin"))
    svg = svg_of(curve_figure([check, twin, other]))
    assert 'id="problem-1-W"' in svg
    assert 'id="problem-2-W"' not in svg


def test_a_check_that_is_not_a_number_is_drawn_at_the_edge() -> None:
    check = small_check()
    rows = [
        dataclasses.replace(row, norm_relative=math.nan, curve=(math.nan,) * 8)
        for row in check.rows
    ]
    svg = svg_of(curve_figure([dataclasses.replace(check, rows=tuple(rows))]))
    assert group(svg, "problem-0-W") is not None


def test_a_name_with_dollars_is_drawn_as_text() -> None:
    check = small_check()
    named = dataclasses.replace(check.settings, state=r"$\frac$")
    assert r"$\frac$" in svg_of(curve_figure([dataclasses.replace(check, settings=named)]))


def test_the_same_numbers_give_the_same_bytes() -> None:
    first, second = (svg_of(loss_figure(records(), 25)) for _ in range(2))
    assert first == second
    assert png_of(loss_figure(records(), 25)) == png_of(loss_figure(records(), 25))


def test_an_inline_picture_follows_the_pages_colours_and_shares_no_id() -> None:
    svg = svg_of(loss_figure(records(), 25, palette=SENTINELS))
    one, two = (inline_svg(svg, prefix, 'a "loss"') for prefix in ("one", "two"))
    assert "http" not in one
    assert "<style" not in one
    assert not re.search(r"#[0-9a-f]{6}\b", one)
    assert "var(--cross)" in one
    assert 'aria-label="a &#34;loss&#34;"' in one
    assert not set(re.findall(r'id="([^"]*)"', one)) & set(re.findall(r'id="([^"]*)"', two))
    for target in re.findall(r'href="#([^"]*)"|url\(#([^)]*)\)', one):
        assert f'id="{"".join(target)}"' in one


def test_palettes_have_the_same_names_and_readable_text() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    assert list(LIGHT) == list(DARK) == list(SENTINELS)
    for palette in (LIGHT, DARK):
        paper = luminance(palette["paper"])
        for name in set(palette) - {"paper", "rule"}:
            high, low = sorted((luminance(palette[name]), paper), reverse=True)
            assert (high + 0.05) / (low + 0.05) >= 4.5, name  # WCAG 2.2, level AA


@pytest.mark.parametrize(("name", "start"), [("v.png", b"\x89PNG"), ("v.svg", b"<?xml")])
def test_the_file_name_decides_the_format_of_a_figure(
    tmp_path: Path, name: str, start: bytes
) -> None:
    save_figure(curve_figure([small_check()]), tmp_path / name)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_a_figure_with_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\.png or \.svg"):
        save_figure(curve_figure([small_check()]), tmp_path / "v.doc")
