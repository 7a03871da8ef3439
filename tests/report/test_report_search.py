"""The report shows the search for the learning rate of a run, and leaves out a damaged one."""

import json

import pytest

import charloom
import file_contents
import small_runs
from charloom.api import learning_rate as api_learning_rate
from charloom.formatting import counted
from charloom.report import write_report
from charloom.report.learning_rate_plot import search_figure
from charloom.report.plot_style import NARROW
from charloom.run_file_names import LEARNING_RATES, LEARNING_RATES_PNG, LEARNING_RATES_SVG
from charloom.store import canonical_json
from charloom.training.learning_rate_search import LEAST_UPDATES, LearningRateSearch, SearchRound
from charloom.training.stored_search import read_search
from report_runs import TITLES, make_run, report

TITLE = "Search for the learning rate"
SEARCH = LearningRateSearch(
    0.01,
    (
        SearchRound(6, (0.001, 0.01, 0.1, 1.0), (4.0, 3.5, 90.0, None)),
        SearchRound(24, (0.0056, 0.01, 0.018), (3.1, 3.0, 3.2)),
    ),
)


@pytest.fixture
def run(tmp_path):
    """Return a run with a search."""
    path = make_run(tmp_path / "run", learning_rate=0.01)
    (path / LEARNING_RATES).write_bytes(canonical_json({"format": 1, **SEARCH.to_dict()}))
    return path


def changed(run, **changes):
    """Change fields of a run's learning_rates.json."""
    path = run / LEARNING_RATES
    path.write_bytes(canonical_json({**json.loads(path.read_bytes()), **changes}))


def test_the_report_shows_the_search_and_makes_its_picture(run, tmp_path):
    html, page = report(run)
    assert page.titles == [TITLES[0], TITLE, *TITLES[1:]]
    assert "at four rates from 0.001 to 1, and the best" in page.words
    assert (
        "At the chosen rate, 0.01, the training loss after 24 updates was the lowest" in page.words
    )
    assert "the lowest, 3.000 nats per character." in page.words
    assert "The plot ends before 0.1: from there on, the loss grew or was not finite." in page.words
    assert 'id="rates-wide-chosen-rate"' in html
    assert "The run itself has the learning rate" not in page.words
    assert (run / LEARNING_RATES_PNG).exists()
    before = file_contents.tree(run)
    write_report(run, tmp_path / "page.html")
    assert file_contents.tree(run) == before


def test_the_report_makes_the_same_picture_as_training(tmp_path, monkeypatch):
    monkeypatch.setattr(api_learning_rate, "MOST_UPDATES", LEAST_UPDATES)
    run = tmp_path / "run"
    charloom.train(
        string=small_runs.TEXT, run=run, find_learning_rate=True, updates=20, recipe="classic", hidden_size=4,
        engine="reference",
    )  # fmt: skip
    before = (run / LEARNING_RATES_SVG).read_bytes()
    (run / LEARNING_RATES_SVG).unlink()
    write_report(run)
    assert (run / LEARNING_RATES_SVG).read_bytes() == before


def test_a_report_of_a_run_without_a_search_has_no_such_section(tmp_path):
    html, page = report(make_run(tmp_path / "run"))
    assert page.titles == TITLES
    assert "#learning-rate" not in html
    assert not list((tmp_path / "run").glob("learning_rates.*"))


def test_the_report_says_if_the_run_has_another_rate_than_the_search(run):
    changed(run, learning_rate=0.018)
    assert "The run itself has the learning rate 0.01." in report(run)[1].words


@pytest.mark.parametrize("size", [NARROW, (832, 400)])
def test_the_picture_has_a_curve_for_each_round_and_a_line_at_the_chosen_rate(size):
    (axes,) = search_figure(SEARCH, size=size).axes
    names = [f"after {counted(one.updates, 'update')}" for one in SEARCH.rounds]
    assert [line.get_label() for line in axes.lines] == [*names, "chosen: 0.01"]
    assert list(axes.lines[2].get_xdata()) == [0.01, 0.01]
    assert axes.get_ylim()[1] < 5  # a loss of 90 does not flatten the others
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize("size", [NARROW, (832, 400)])
def test_the_picture_ends_where_the_curve_leaves_it_and_names_the_other_rates(size):
    figure = search_figure(SEARCH, size=size)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.get_xlim()[1] == 0.1  # 0.1 and 1 have no loss in the picture
    label = axes.xaxis.label
    assert label.get_text() == "learning rate (0.1 to 1: loss too large for the plot)"
    box = label.get_window_extent()
    assert 0 <= box.x0 < box.x1 <= size[0]


@pytest.mark.parametrize("size", [NARROW, (832, 400)])
def test_the_legend_of_the_picture_hides_no_loss(size):
    figure = search_figure(SEARCH, size=size)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    legend, plot = axes.get_legend().get_window_extent(), axes.get_window_extent()
    for line in axes.lines[:-1]:
        for place in axes.transData.transform(line.get_xydata()):
            assert not plot.contains(*place) or not legend.contains(*place)


def one_round(**changes):
    """Return the data of a search whose only round has changes."""
    whole = {"updates": 3, "learning_rates": [0.1, 0.2], "losses": [1.0, None]}
    return {"rounds": [{**whole, **changes}]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": "fast"}, {"learning_rate": 0}, {"learning_rate": 1e300}, {"learning_rate": True},
        {"rounds": []}, {"rounds": 17 * one_round()["rounds"]}, {"rounds": {}}, {"rounds": [3]}, {"rounds": None},
        one_round(updates=0), one_round(updates=1.5), one_round(updates=10**17), one_round(losses=[1.0]),
        one_round(losses=[1.0, "<script>"]), one_round(losses=[-1.0, 1.0]), one_round(losses=[1e300, 1.0]),
        one_round(learning_rates=[0.2, 0.1]), one_round(learning_rates=[0.1, 0.1]), one_round(learning_rates=3),
        one_round(learning_rates=[], losses=[]), one_round(learning_rates=[-0.1, 0.1]),
    ],
)  # fmt: skip
def test_a_search_with_impossible_values_is_left_out_as_damaged(run, wrong):
    changed(run, **wrong)
    assert read_search(run).search is None
    sentences = []
    html = write_report(run, on_message=sentences.append).read_text(encoding="utf-8")
    (sentence,) = (one for one in sentences if LEARNING_RATES in one)
    assert sentence == f"{run / LEARNING_RATES} is damaged: it has no search for a learning rate."
    assert "learning_rates.json is damaged" in html
    assert TITLE not in html


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"{}", b" " * (1 << 17)])
def test_bytes_that_are_no_search_are_left_out_as_damaged(run, data):
    (run / LEARNING_RATES).write_bytes(data)
    assert read_search(run).search is None
    assert "learning_rates.json" in read_search(run).damage


def test_the_planted_data_is_valid_without_the_planted_fault(run):
    changed(run, **one_round())
    assert read_search(run).search is not None
    changed(run, rounds=16 * one_round()["rounds"])
    assert len(read_search(run).search.rounds) == 16
