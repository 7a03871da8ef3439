"""The report of a study has its table, its curves and the effect of its settings; power laws are found."""

import re
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection

from charloom.errors import ConfigError, StudyError
from charloom.report.comparison_plot import line_style
from charloom.report.plot_style import LIGHT
from charloom.report.study_plots import (
    DOTTED,
    BandLine,
    Coordinate,
    band_figure,
    highest_shown,
    tick_texts,
)
from charloom.store.journal import Journal
from charloom.studies import open_study, summarize
from charloom.studies.power_law import PowerLaw, fit_power_law
from charloom.studies.results import FINISHED, RunResult
from charloom.studies.study_page import (
    curve_line,
    law_text,
    parameters_by,
    parameters_of,
    render_study,
    selection,
    write_study,
)
from small_studies import planned_study, train_here

SIZES = {"cell": ["rnn", "gru"], "hidden_size": [2, 3, 4, 5]}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    settings = {"updates": 30, "validation": 0.2, "judge_every": 10}
    made = planned_study(tmp_path_factory.mktemp("study"), settings=settings, grid=SIZES)
    train_here(made)
    return made


@pytest.fixture(scope="module")
def html(trained):
    return render_study(trained)


def test_the_page_has_every_section(html):
    assert re.findall(r'<section id="([^"]*)"', html) == [
        "table",
        "curves",
        "effect-parameters",
        "effect-hidden-size",
        "parallel",
    ]
    assert html.count("<svg") == 8


def test_the_table_of_the_page_has_the_figures_of_the_summary(html, trained):
    rows = re.findall(r"<tr>(.*?)</tr>", html, re.DOTALL)[1:]
    groups = summarize(trained).groups
    assert len(rows) == len(groups) == 8
    for row, group in zip(rows, groups, strict=True):
        cells = re.findall(r"<td[^>]*>([^<]*)</td>", row)
        wanted = [group.settings["cell"], str(group.settings["hidden_size"]), "2"]
        assert cells[:3] == wanted
        assert cells[3:5] == [f"{group.mean:.4f}", f"{group.deviation:.4f}"]


def test_a_curve_has_the_mean_and_the_extremes_of_the_seeds(trained):
    summary = summarize(trained)
    group = summary.groups[0]
    line = curve_line(group, summary, "validation_nats")
    assert line.x == [10, 20, 30]
    curves = [
        [nats / np.log(2) for nats in result.curve["validation_nats"] if nats is not None]
        for result in group.results
    ]
    np.testing.assert_allclose(line.y, np.mean(curves, axis=0))
    np.testing.assert_allclose(line.low, np.min(curves, axis=0))
    np.testing.assert_allclose(line.high, np.max(curves, axis=0))


def test_the_number_of_parameters_is_that_of_the_networks(trained):
    group = next(
        g for g in summarize(trained).groups if g.settings == {"cell": "rnn", "hidden_size": 3}
    )
    symbols, hidden = trained.header.texts[0].symbols, 3
    wanted = hidden * symbols + hidden * hidden + hidden + symbols * hidden + symbols
    assert parameters_of(group, trained) == wanted


def test_the_page_of_random_draws_has_pairs(tmp_path):
    draws = {
        "draws": 9,
        "learning_rate": {"low": 0.01, "high": 1.0, "scale": "log"},
        "clip": {"low": 1.0, "high": 5.0},
    }
    made = planned_study(tmp_path, random=draws, grid={}, seeds=1)
    train_here(made)
    html = render_study(made)
    assert 'id="pairs"' in html
    assert "Each point is one run." in html
    assert "power law" not in html


def test_the_curve_of_one_choice_of_settings_is_not_counted(tmp_path):
    made = planned_study(tmp_path)
    train_here(made, [0, 1])  # those of one of the two cells
    html = render_study(made)
    assert "best 1 settings" not in html
    assert "loss of the best settings: the mean over the seeds" in html


def test_the_page_names_failed_runs_and_escapes_names(tmp_path):
    made = planned_study(tmp_path, runs=[{"learning_rate": 1e38}, {}], grid={}, seeds=[0])
    train_here(made)
    made.path.rename(tmp_path / "a<b")
    html = render_study(open_study(tmp_path / "a<b"))
    assert "Failed runs" in html
    assert "diverges" in html
    assert "a&lt;b" in html


def test_without_results_there_is_no_page(tmp_path):
    with pytest.raises(StudyError, match="has finished yet"):
        render_study(planned_study(tmp_path))


def test_the_page_is_written_only_where_it_can_be(trained, tmp_path):
    assert write_study(trained, tmp_path / "a.html").read_text().startswith("<!DOCTYPE html>")
    for path, words in (
        (tmp_path, "is a directory"),
        (tmp_path / "nowhere" / "a.html", "does not exist"),
    ):
        with pytest.raises(ConfigError, match=words):
            write_study(trained, path)


def test_a_power_law_is_found():
    sizes = [100, 200, 500, 1000, 5000]
    law = fit_power_law(sizes, [1.5 + 20 * size**-0.4 for size in sizes])
    assert law.limit == pytest.approx(1.5, rel=1e-4)
    assert law.factor == pytest.approx(20, rel=1e-3)
    assert law.exponent == pytest.approx(0.4, rel=1e-3)
    assert law.explained == pytest.approx(1)
    np.testing.assert_allclose(law(np.array([100.0])), [1.5 + 20 * 100**-0.4], rtol=1e-5)


def test_a_power_law_needs_four_sizes_and_a_falling_loss():
    assert fit_power_law([1, 2, 3], [3.0, 2.0, 1.5]) is None
    assert fit_power_law([1, 2, 3, 4], [1.0, 2.0, 3.0, 4.0]) is None
    assert fit_power_law([0, 2, 3, 4], [4.0, 3.0, 2.0, 1.0]) is None


def test_a_power_law_beyond_the_searched_exponents_is_no_fit():
    assert fit_power_law([1000, 2000, 3000, 4000, 5000], [3.0, 2.0, 2.0, 2.0, 2.0]) is None


def test_a_diverged_run_does_not_flatten_the_others():
    losses = [2.0, 2.1, 2.2, 2.3, 2.4, 2.5, 90.0]
    top = highest_shown(losses)
    assert 2.5 < top < 3.5
    assert highest_shown(losses[:-1]) is None
    line = BandLine("a", range(7), losses, losses, losses)
    (axes,) = band_figure([line], "x", "bits").axes
    assert axes.get_ylim()[1] == top
    assert "above the plot" in axes.texts[0].get_text()


@pytest.mark.parametrize(("low", "high"), [(2.0, 9.0), (-5.0, 3.0), (-5.0, 9.0)])
def test_a_wide_band_does_not_flatten_the_lines(low, high):
    means = [3.0, 2.5, 2.2, 2.0]
    wide = BandLine("a", range(4), means, [low, 2.4, 2.1, 2.0], [high, 2.6, 2.3, 2.1])
    (axes,) = band_figure([wide], "x", "bits").axes
    bottom, top = axes.get_ylim()
    assert 1.5 - 0.05 <= bottom <= 2.0 < 3.0 <= top <= 3.5 + 0.05
    assert axes.texts[0].get_text() == "bits (wide bands are cut)"
    usual = BandLine("a", range(4), means, [y - 0.4 for y in means], [y + 0.4 for y in means])
    (axes,) = band_figure([usual], "x", "bits").axes
    assert axes.get_ylim()[0] < 1.6
    assert axes.get_ylim()[1] > 3.4
    assert axes.texts[0].get_text() == "bits"


def test_the_legend_shows_each_line_as_it_is_drawn():
    x, y = [1.0, 2.0], [2.0, 1.0]
    joined = BandLine("joined", x, y, y, y)
    points = BandLine("points", x, y, y, y, joined=False)
    fitted = BandLine("fitted", x, y, y, y, law=lambda sizes: 2 / sizes)
    figure = band_figure([joined, points, fitted], "x", "bits")
    shown = {
        line.get_label(): (line.get_linestyle() != "None", line.get_linewidth())
        for line in figure.legends[0].legend_handles
    }
    assert shown["points"][0] is False
    assert shown["joined"] == (True, line_style(0, LIGHT)["linewidth"])
    assert shown["fitted"] == (True, DOTTED["linewidth"])


def test_every_value_of_an_axis_has_a_label_if_there_is_room():
    few = Coordinate("size", [12, 24, 48, 24, 12], log=True)
    assert tick_texts(few) == [(0.0, "12"), (pytest.approx(0.5), "24"), (1.0, "48")]
    close = Coordinate("size", [1.0, 1.01, 3.0])
    assert [text for _, text in tick_texts(close)] == ["1", "2", "3"]
    many = Coordinate("size", list(range(101)))
    assert [text for _, text in tick_texts(many)] == ["0", "50", "100"]


def test_a_power_law_says_to_how_many_sizes_it_was_fitted():
    law = PowerLaw(3.0, 190.0, 0.66, 0.99991)
    expected = "bits = 3.000 + 190 · parameters^(-0.660), fitted to 5 sizes, R² 0.9999"
    assert law_text(law, "parameters", 5) == expected
    assert law_text(replace(law, explained=0.99999), "x", 4).endswith("4 sizes, R² > 0.9999")


def test_a_coordinate_places_numbers_and_names():
    assert Coordinate("cell", ["gru", "rnn", "gru"]).shares().tolist() == [0, 1, 0]
    assert Coordinate("rate", [0.01, 0.1, 1.0], log=True).shares() == pytest.approx([0, 0.5, 1])
    assert Coordinate("same", [3, 3]).shares().tolist() == [0.5, 0.5]


def test_a_large_study_has_the_best_and_an_even_selection_of_the_others_in_its_pictures(
    tmp_path, monkeypatch
):
    draws = {
        "draws": 40,
        "learning_rate": {"low": 0.01, "high": 1.0},
        "clip": {"low": 1.0, "high": 5.0},
    }
    made = planned_study(tmp_path, random=draws, grid={}, seeds=1)
    with Journal(made.files.new_journal(0)) as journal:
        for run in made.plan:
            journal.append(RunResult(run.key, FINISHED, validation_nats=1 + run.number).to_dict())
        journal.flush()
    groups = list(reversed(summarize(made).groups))
    chosen = selection(groups, 8)
    numbers = [group.runs[0].number for group in chosen]
    assert numbers[:2] == [0, 1]
    assert len(set(numbers)) == 8
    assert numbers[2:] == [2, 8, 14, 21, 27, 33]
    assert len(selection(groups, 40)) == 40
    whole = render_study(made)
    assert "are shown: the best ones" not in whole
    monkeypatch.setattr("charloom.studies.study_page.MOST_CHOICES", 10)
    small = render_study(made)
    assert small.count("10 of 40 are shown: the best ones") == 4
    assert len(small) < len(whole)


def test_the_number_of_parameters_is_computed_once_for_each_size(trained, monkeypatch):
    counted = []

    def count(group, study):
        counted.append(group)
        return parameters_of(group, study)

    monkeypatch.setattr("charloom.studies.study_page.parameters_of", count)
    groups = summarize(trained).groups
    parameters = parameters_by(trained)
    for group in (*groups, *groups):
        assert parameters(group) == parameters_of(group, trained)
    assert len(counted) == 8


def test_runs_with_one_validation_loss_have_the_curve_of_training_and_a_point(tmp_path):
    made = planned_study(tmp_path)  # the validation loss is due only at the end
    train_here(made)
    assert all(
        result.curve["validation_nats"][:-1] == [None] * 3 for result in made.results().values()
    )
    html = render_study(made)
    assert 'id="curves"' in html
    assert "The single points are the validation loss" in html
    assert re.search(r'id="[^"]*line-1"', html)
    assert re.search(r'id="[^"]*point-2"', html)


def test_a_line_with_one_point_shows_it_with_its_band():
    point = BandLine("a", [30], [2.0], [1.5], [2.5])
    (axes,) = band_figure([point], "updates", "bits").axes
    (interval,) = [one for one in axes.collections if isinstance(one, LineCollection)]
    assert interval.get_segments()[0].tolist() == [[30, 1.5], [30, 2.5]]
    extra = BandLine("a", [10, 30], [3.0, 2.5], [3.0, 2.5], [3.0, 2.5], extra=point)
    (axes,) = band_figure([extra], "updates", "bits").axes
    assert [line.get_xydata().tolist() for line in axes.lines] == [
        [[10, 3.0], [30, 2.5]],
        [[30, 2.0]],
    ]
