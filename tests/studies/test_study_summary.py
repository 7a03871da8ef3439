"""The table of a study has the mean, the deviation and the interval over seeds."""

import csv
from dataclasses import replace
from statistics import mean, stdev

import pytest

import charloom
from charloom.cli.study_output import study_lines
from charloom.errors import ConfigError, StudyError
from charloom.formatting import bits_per_character
from charloom.store.journal import Journal
from charloom.studies import begin_study, open_study, summarize
from charloom.studies.best_runs import best_of
from charloom.studies.results import FINISHED, RunResult
from charloom.studies.student_t import inside, mean_interval, t_quantile
from charloom.studies.study_page import render_study
from charloom.studies.summary import grouped, text_of
from charloom.studies.table_files import write_table
from charloom.web.runs_folder import Location
from charloom.web.study_figures import StudyFigures
from charloom.web.watched_study import WatchedStudy
from small_studies import planned_study, small_spec, train_here


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = planned_study(tmp_path_factory.mktemp("study"), seeds=3)
    train_here(made)
    return made


# From tables of Student's t distribution, two-sided 95 %.
@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [
        (1, 12.7062047),
        (2, 4.30265273),
        (3, 3.18244631),
        (4, 2.77644511),
        (9, 2.26215716),
        (30, 2.04227246),
        (100, 1.98397152),
    ],
)
def test_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, rel=1e-8)
    assert inside(quantile, freedom) == pytest.approx(0.95, abs=1e-8)


def test_the_interval_is_the_usual_one():
    values = [2.0, 2.1, 2.3]
    low, high = mean_interval(values)
    half = 4.30265273 * stdev(values) / 3**0.5
    assert (low, high) == pytest.approx((mean(values) - half, mean(values) + half))
    assert mean_interval([2.0]) is None


def test_runs_that_differ_only_in_their_seed_are_one_row(trained):
    summary = summarize(trained)
    assert summary.varied == ("cell",)
    assert {group.settings["cell"] for group in summary.groups} == {"rnn", "gru"}
    for group in summary.groups:
        results = [trained.results()[run.key] for run in group.runs]
        bits = [bits_per_character(result.validation_nats) for result in results]
        assert group.bits == bits
        assert group.mean == pytest.approx(mean(bits), rel=1e-15)
        assert group.deviation == stdev(bits)
    assert summary.groups[0].mean <= summary.groups[1].mean
    assert summary.best is summary.groups[0]


def test_streams_that_move_the_validation_part_have_a_caution(tmp_path, trained):
    # With the split "streams", the validation part depends on the size of the batch.
    settings = {"hidden_size": 4, "updates": 30, "validation": 0.2, "split": "streams"}
    made = planned_study(tmp_path, settings=settings, grid={"batch_size": [1, 2]})
    train_here(made)
    assert not summarize(made).comparable
    caution = "different validation parts, so their bits cannot be compared"
    assert caution in " ".join(study_lines(made, summarize(made), 9))
    assert caution in " ".join(best_of(made)[0].lines())
    assert caution in render_study(made)
    assert summarize(trained).comparable
    assert caution not in render_study(trained)


def test_without_a_validation_part_the_table_says_which_mean_it_has(tmp_path):
    made = planned_study(tmp_path, settings={"hidden_size": 4, "updates": 30})
    lines = study_lines(made, summarize(made), 9)
    assert "of the training text, the mean over the updates of the last record;" in lines[-1]


def test_a_lucky_run_with_a_higher_mean_is_named_beside_the_best_settings(tmp_path):
    made = planned_study(tmp_path)  # two seeds of rnn, then two of gru
    with Journal(made.files.new_journal(0)) as journal:
        for run, nats in zip(made.plan, (2.0, 2.1, 1.9, 3.0), strict=True):
            result = RunResult(run.key, FINISHED, validation_nats=nats)
            journal.append(result.to_dict())
        journal.sync()
    (found,) = best_of(made)
    assert found.group.settings == {"cell": "rnn"}
    assert found.result.validation_nats == 2.0
    fewest = f"{bits_per_character(1.9):.4f}"
    lines = " ".join(found.lines())
    assert f"the fewest bits of all runs: {fewest}, a run with cell gru, whose mean is" in lines
    assert found.to_dict()["fewest_bits"] == bits_per_character(1.9)
    page = render_study(made)
    for label, nats in (("Its best run", 2.0), ("Lowest of all runs", 1.9)):
        assert f"<dt>{label}</dt><dd>{bits_per_character(nats):.4f}<" in page
    figures = StudyFigures(Location("study", made.path, "study"), WatchedStudy(made.path))
    figures.watched.follow(10**6)
    assert figures.about(0.0).best_bits == bits_per_character(1.9)


def test_an_earlier_study_with_different_validation_parts_has_a_caution(tmp_path):
    # Earlier versions accepted a grid over the validation part.
    made = planned_study(tmp_path)
    runs = [replace(run, settings={**run.settings, "validation": 0.1}) for run in made.plan[:2]]
    made.files.write_plan([*runs, *made.plan[2:]])
    summary = summarize(open_study(made.path))
    assert not summary.comparable
    assert summarize(made).comparable
    figures = StudyFigures(Location("study", made.path, "study"), WatchedStudy(made.path))
    figures.watched.follow(10**6)
    assert figures.detail(0.0, 9).caution == summary.caution != ""


def test_groups_without_a_finished_run_come_last(tmp_path):
    made = planned_study(tmp_path)
    train_here(made, [2])
    summary = summarize(made)
    assert [len(group.bits) for group in summary.groups] == [1, 0]
    assert summary.groups[0].interval is None
    assert summary.groups[1].mean is None


def test_the_best_run_has_a_command_that_trains_it_again(trained):
    (found,) = best_of(trained)
    bits = {key: result.bits for key, result in trained.results().items()}
    assert found.result.bits == min(bits[run.key] for run in found.group.runs)
    command = found.to_dict()["command"]
    assert f"--seed {found.run.settings['seed']}" in command
    assert "--threads 1" in command
    assert f"--cell {found.group.settings['cell']}" in command


def test_without_results_there_is_no_best_run(tmp_path):
    with pytest.raises(StudyError, match=r"no run of .* has finished yet"):
        best_of(planned_study(tmp_path))


def test_a_table_has_a_row_for_each_run_also_without_a_result(tmp_path):
    made = planned_study(tmp_path)
    train_here(made, [0, 1])
    assert write_table(made, tmp_path / "runs.csv") == 4
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert [row["state"] for row in rows] == ["finished", "finished", "planned", "planned"]
    result = made.results()[made.plan[1].key]
    assert float(rows[1]["validation_nats"]) == result.validation_nats
    assert (rows[1]["seed"], rows[1]["cell"], rows[1]["hidden_size"]) == ("1", "rnn", "4")


@pytest.mark.parametrize("keep", [{"weights": True}, {"directories": "all"}])
def test_a_table_has_the_path_of_each_model_that_was_kept(tmp_path, keep):
    made = planned_study(tmp_path, seeds=1, keep=keep)
    train_here(made, [1])
    write_table(made, tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert rows[0]["model"] == ""
    config = charloom.load(rows[1]["model"]).config
    assert (config.cell, config.seed) == (rows[1]["cell"], int(rows[1]["seed"]))


def test_a_table_of_curves_has_a_row_for_each_record(trained, tmp_path):
    count = write_table(trained, tmp_path / "curves.csv", curves=True)
    rows = list(csv.DictReader((tmp_path / "curves.csv").read_text().splitlines()))
    assert len(rows) == count
    result = trained.results()[trained.plan[0].key]
    first = [row for row in rows if row["run"] == "0"]
    assert [int(row["update"]) for row in first] == result.curve["update"]
    assert [float(row["train_nats"]) for row in first] == result.curve["train_nats"]


def test_a_table_with_another_ending_is_refused(trained, tmp_path):
    with pytest.raises(ConfigError, match=r"must end in \.csv or \.parquet"):
        write_table(trained, tmp_path / "runs.txt")


def test_a_parquet_file_has_the_same_rows(trained, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    write_table(trained, tmp_path / "runs.parquet")
    write_table(trained, tmp_path / "runs.csv")
    table = parquet.read_table(tmp_path / "runs.parquet")
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert table.column_names == list(rows[0])
    assert table["validation_nats"].to_pylist() == [float(row["validation_nats"]) for row in rows]


def test_each_text_has_its_own_best_settings(tmp_path):
    spec = small_spec(tmp_path, grid={"cell": ["rnn", "gru"]}, seeds=1)
    (tmp_path / "easy.txt").write_text("ab" * 2000)
    del spec["text"]
    spec["texts"] = [str(tmp_path / "book.txt"), str(tmp_path / "easy.txt")]
    made = begin_study(spec, tmp_path / "study")
    train_here(made)
    found = best_of(made)
    assert [best.to_dict()["text"] for best in found] == ["book.txt", "easy.txt"]
    assert [best.group.text for best in found] == [0, 1]
    assert found[0].lines()[0] == "text: book.txt"
    assert "(1 seed)" in found[0].lines()[2]


def test_settings_with_all_seeds_come_before_those_with_some(tmp_path):
    made = planned_study(tmp_path, seeds=2)
    train_here(made, [0, 1, 2])
    cells = [(group.settings["cell"], len(group.bits)) for group in summarize(made).groups]
    assert cells == [("rnn", 2), ("gru", 1)]
    (best,) = best_of(made)
    assert best.lines()[-1] == "without a result yet: 1 of 4 runs."
    assert "(1 of 2 seeds)" in " ".join(best.lines())


def test_the_bits_of_bytes_are_per_byte(tmp_path):
    settings = {"hidden_size": 4, "updates": 10, "validation": 0.2, "tokens": "bytes"}
    made = planned_study(tmp_path, settings=settings)
    assert summarize(made).validated
    train_here(made)
    assert "bits per byte on the validation part" in best_of(made)[0].lines()[1]


def test_warnings_are_in_the_table_the_page_and_the_file(tmp_path):
    made = planned_study(tmp_path)
    with Journal(made.files.new_journal(0)) as journal:
        for run in made.plan:
            told = ("the loss grew", "twice") if run.number == 1 else ()
            result = RunResult(
                run.key, FINISHED, train_nats=1.0, validation_nats=1.0, warnings=told
            )
            journal.append(result.to_dict())
        journal.flush()
    summary = summarize(made)
    assert [run.number for run, _ in summary.warned] == [1]
    (row,) = [line for line in text_of(summary, 9) if line.startswith("rnn")]
    assert "2, 1 warned" in row
    html = render_study(made)
    assert "run 1 (cell rnn, seed 1): the loss grew twice" in html
    assert "1 with warnings" in html
    write_table(made, tmp_path / "runs.csv")
    rows = list(csv.DictReader((tmp_path / "runs.csv").read_text().splitlines()))
    assert [row["warnings"] for row in rows] == ["", "the loss grew twice", "", ""]


def test_the_page_of_a_running_study_says_how_many_runs_of_a_row_are_done(tmp_path):
    made = planned_study(tmp_path)
    train_here(made, [0])
    assert "<td>1 of 2</td>" in render_study(made)


def test_a_listed_run_that_does_not_set_a_setting_has_its_usual_value(tmp_path):
    runs = [{"cell": "lstm", "layers": 2}, {"cell": "gru"}, {"clip": 5.0, "cell": "rnn"}]
    summary = summarize(planned_study(tmp_path, runs=runs, grid={}))
    assert summary.varied == ("cell", "layers")  # clip is 5 in every run
    layers = {group.settings["cell"]: group.settings["layers"] for group in summary.groups}
    assert layers == {"lstm": 2, "gru": 1, "rnn": 1}
    (row,) = [line for line in text_of(summary, 9) if line.startswith("gru")]
    assert row.split()[:2] == ["gru", "1"]


def test_runs_of_a_group_need_not_follow_each_other(tmp_path):
    plan = planned_study(tmp_path).plan
    order = [plan[0], plan[2], plan[1], plan[3]]
    assert [[run.number for run in group] for group in grouped(order)] == [[0, 1], [2, 3]]
