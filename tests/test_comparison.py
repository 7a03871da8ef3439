"""A comparison of runs shows what differs and what can be compared, and says in words what cannot."""

import json
import math
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

import charloom
import overfitting_runs
import small_runs
from charloom.api import compare_runs, compared_run
from charloom.api.comparison_intervals import ValidationBits, difference
from charloom.api.comparison_layout import comparison_lines
from charloom.api.run_comparison import RunComparison, bits_text
from charloom.errors import ConfigError, NotAModelError
from charloom.evaluation import bits_interval, block_sums, interval_of_blocks
from charloom.formatting import UNKNOWN
from charloom.messages import for_command_line
from charloom.model import StartLosses
from charloom.store import inspect_run
from charloom.text import Corpus
from pages import Page
from test_notebook_html import harms

LONG = 120 * small_runs.TEXT  # long enough for intervals


def train(path, corpus=None, **settings):
    """Train a small run with the fastest engine."""
    small_runs.train(path, corpus, small_runs.ENGINES[-1], **settings)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of a long text with a validation part, of another text, without a validation part, and a stopped one."""
    path = tmp_path_factory.mktemp("compared")
    corpus = Corpus.from_text(LONG, "cat")
    common = {"validation": 0.2, "updates": 300, "judge_every": 150, "judged_characters": 2_000}
    train(path / "small", corpus, hidden_size=4, **common)
    train(path / "large", corpus, hidden_size=16, **common)
    train(path / "parts", corpus, **{**common, "validation": 0.1})
    train(path / "whole", corpus, updates=300)
    other = Corpus.from_text(LONG.replace("cat", "owl"), "owl")
    train(path / "other", other, **common)
    train(path / "stopped", corpus, halt=small_runs.after(5), **common)
    return path


def compared(folder, *names, **options):
    return charloom.compare(*(folder / name for name in names), **options)


def words(comparison):
    """Return the notes of a comparison as the terminal shows them."""
    return " ".join(for_command_line(note) for note in comparison.notes)


def cells(comparison, head):
    """Return the column of the table with a heading."""
    return [row[comparison.heads.index(head)] for row in comparison.rows]


# The table


def test_only_the_settings_that_differ_are_shown(folder):
    found = compared(folder, "small", "large")
    assert found.settings == ["hidden_size"]
    assert cells(found, "hidden_size") == ["4", "16"]
    assert found.heads == [
        "run", "hidden_size", "done", "bits", "95 % interval", "above the best", "seconds", "state",
    ]  # fmt: skip
    assert found.labels == ["hidden_size 4", "hidden_size 16"]
    assert cells(found, "run") == ["small", "large"]
    assert "leave out what another" in words(found)
    assert len(found.notes) == 1
    assert compared(folder, "small", "large", intervals=False).notes == []


def test_a_schedule_is_shown_with_its_settings_unless_they_have_columns(tmp_path):
    """Takes a second, because it trains three runs."""
    small_runs.train(tmp_path / "plain", validation=0.2)
    for name, factor in (("half", 0.5), ("slow", 0.8)):
        small_runs.train(
            tmp_path / name, validation=0.2, schedule="step", step_factor=factor, step_after=1
        )
    found = compared(tmp_path, "plain", "half", intervals=False)
    assert cells(found, "schedule") == [
        "constant", "step (×0.5 after 1 epoch and then every epoch)",
    ]  # fmt: skip
    found = compared(tmp_path, "half", "slow", "plain", intervals=False)
    assert cells(found, "schedule") == ["step", "step", "constant"]
    assert cells(found, "step_factor") == ["0.5", "0.8", UNKNOWN]


def test_the_table_names_the_update_of_a_best_model_from_before_the_end(tmp_path):
    overfitting_runs.train(tmp_path / "over")
    small_runs.train(tmp_path / "whole", validation=0.2)
    found = compared(tmp_path, "over", "whole", intervals=False)
    best = inspect_run(tmp_path / "over").best
    assert best < inspect_run(tmp_path / "over").latest
    assert cells(found, "model of update")[0] == f"{best:,}"


def test_bits_and_intervals_are_those_of_evaluate(folder):
    found = compared(folder, "small", "large")
    for n, name in enumerate(("small", "large")):
        alone = charloom.load(folder / name).evaluate(split="validation")
        assert found.bits(n) == pytest.approx(alone.bits)
        assert found.evaluations[n].interval == pytest.approx(alone.interval)
        low, high = alone.interval
        assert cells(found, "95 % interval")[n] == f"{low:.4f} to {high:.4f}"


def test_without_intervals_nothing_is_evaluated_and_the_recorded_bits_are_shown(
    folder, monkeypatch
):
    def refuse(*_):
        raise AssertionError("a model was evaluated")

    monkeypatch.setattr(compare_runs, "evaluate_runs", refuse)
    found = compared(folder, "small", "large", intervals=False)
    summaries = {run.path.name: run for run in charloom.runs(folder)}
    assert [found.bits(n) for n in (0, 1)] == [
        summaries[name].best_bits for name in ("small", "large")
    ]
    assert "95 % interval" not in found.heads
    assert found.difference(0).interval is None


def test_the_best_run_is_that_with_the_fewest_bits_and_the_others_are_above_it(folder):
    found = compared(folder, "small", "large")
    assert found.best == [1]
    assert cells(found, "above the best")[1] == "best"
    above = found.difference(0)
    assert above.bits == pytest.approx(found.bits(0) - found.bits(1))
    low, high = above.interval
    assert 0 < low < above.bits < high


def test_the_interval_of_a_difference_is_that_of_the_differences_of_the_characters():
    # Two models that find the same characters difficult: their difference is far better known than their means.
    rng = np.random.default_rng(1)
    hard = rng.gamma(1.0, 2.0, 30_500)
    first, second = hard + 0.01 + rng.normal(0, 0.01, len(hard)), hard
    part = ("fingerprint", len(hard) + 1, "characters", ((0, len(hard) + 1),))
    models = [
        ValidationBits(part, len(hard), nats.mean() / math.log(2), None, block_sums(nats))
        for nats in (first, second)
    ]
    found = difference(*models)
    assert found.interval == pytest.approx(bits_interval(first - second, 0))
    low, high = found.interval
    assert 0 < low < 0.01 / math.log(2) < high
    alone = bits_interval(first, 0)
    assert high - low < 0.05 * (alone[1] - alone[0])


def test_no_difference_is_computed_between_other_characters():
    sums = np.ones(12)
    one = ValidationBits(("a", 9, "characters", ()), 12_000, 1.0, None, sums)
    other = ValidationBits(("b", 9, "characters", ()), 12_000, 1.0, None, sums)
    assert difference(one, other) is None
    assert difference(one, one).bits == 0.0


def test_too_few_blocks_have_no_interval():
    assert interval_of_blocks(np.ones(9), 9_000, 0) is None
    assert interval_of_blocks(np.ones(10), 9_001, 0) is not None


def test_a_setting_without_effect_does_not_differ(tmp_path):
    train(tmp_path / "a", optimizer="sgd", momentum=0.5, learning_rate=0.01)
    train(tmp_path / "b", optimizer="adam", momentum=0.7, learning_rate=0.01)
    found = compared(tmp_path, "a", "b")
    assert found.settings == ["optimizer"]


def test_runs_that_do_not_differ_are_named_by_their_directories(tmp_path):
    train(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "more" / "a")
    found = charloom.compare(tmp_path / "a", tmp_path / "more" / "a")
    assert "The runs do not differ in any setting." in words(found)
    assert found.names == [f"{tmp_path.name}/a", "more/a"]
    assert found.labels == found.names


def test_labels_distinguish_runs_that_differ_in_many_settings(tmp_path):
    changes = [
        {"hidden_size": 4, "seq_length": 5, "clip": 1.0, "learning_rate": 0.1, "seed": 1},
        {"hidden_size": 6, "seq_length": 10, "clip": 2.0, "learning_rate": 0.1, "seed": 2},
        {"hidden_size": 6, "seq_length": 5, "clip": 2.0, "learning_rate": 0.2, "seed": 3},
    ]
    for n, settings in enumerate(changes):
        train(tmp_path / f"run-{n}", updates=20, **settings)
    found = charloom.compare(tmp_path)
    assert found.settings == ["hidden_size", "seq_length", "learning_rate", "clip", "seed"]
    assert found.labels == ["seed 1", "seed 2", "seed 3"]


def test_a_wide_table_has_a_column_for_each_run(folder):
    found = compared(folder, "small", "large")
    assert max(map(len, found.lines(500))) > 80
    assert found.lines(500)[0].split()[0] == "run"
    lines = found.lines(70)
    assert max(map(len, lines)) <= 70
    assert [line.split()[0] for line in lines[:3]] == ["run", "hidden_size", "done"]
    assert len(lines) == len(found.heads)


def test_the_settings_of_several_runs_are_above_their_figures(folder):
    found = compared(folder, "small", "large", "parts", "stopped")
    lines = found.lines(80)
    assert max(map(len, lines)) <= 80
    settings, figures, *rest = "\n".join(lines).split("\n\n")
    assert "hidden_size" in settings
    assert "validation" in settings
    assert [line.split()[0] for line in settings.splitlines()[-4:]] == found.names
    assert figures.splitlines()[-5].split()[0] == "run"
    assert "interrupted" in "".join([figures, *rest])


def test_the_state_of_many_finished_runs_is_left_out():
    heads = ["run", "seed", "bits", "95 % interval", "seconds", "state"]
    rows = [[f"run-{n}", str(n), "2.0000", "1.9000 to 2.1000", "1.0", "finished"] for n in range(9)]
    lines = comparison_lines(heads, rows, 1, 50)
    assert "state" not in "\n".join(lines)
    rows[3][-1] = "interrupted"
    assert "interrupted" in "\n".join(comparison_lines(heads, rows, 1, 50))


def test_many_settings_are_named_by_what_most_runs_do_not_have():
    settings = [f"a_long_setting_{n}" for n in range(9)]
    heads = ["run", *settings, "bits"]
    rows = [[f"run-{n}", *["1"] * 9, f"{n}.0000"] for n in range(12)]
    for n in range(9):
        rows[n][n + 1] = "2"
    rows[3] = ["run-3", *["3"] * 9, "3.0000"]
    lines = comparison_lines(heads, rows, len(settings), 60)
    assert max(map(len, lines)) <= 60
    text = "\n".join(lines)
    assert "run-0   a_long_setting_0 2\n" in text
    assert "run-11  -\n" in text
    assert all(f"a_long_setting_{n} 3" in text for n in range(9))
    assert text.count("a_long_setting_8 1") == 1  # in the line of most runs
    assert len(lines) < 40


def test_the_legend_names_each_run_and_its_settings(folder):
    found = compared(folder, "small", "large", "parts")
    assert found.titles == [
        "small: hidden_size 4, validation 0.2",
        "large: hidden_size 16, validation 0.2",
        "parts: hidden_size 8, validation 0.1",
    ]
    assert [curve.label for curve in found.curves()] == found.titles


def test_the_legend_of_runs_that_differ_in_much_has_what_most_do_not_have(tmp_path):
    changes = [{}, {}, {"seed": 5}, {"seq_length": 5, "clip": 2.0, "learning_rate": 0.2, "seed": 9}]
    for n, settings in enumerate(changes):
        train(tmp_path / f"run-{n}", updates=20, **settings)
    assert charloom.compare(tmp_path).titles == [
        "run-0", "run-1", "run-2: seed 5", "run-3: seq_length 5, learning_rate 0.2, clip 2 …",
    ]  # fmt: skip


# What cannot be compared


def test_different_texts_are_named_and_have_no_best(folder):
    found = compared(folder, "small", "other")
    assert "The runs learned different texts (cat: small; owl: other)" in words(found)
    assert "charloom evaluate RUN TEXT" in words(found)
    assert found.best == []
    assert "above the best" not in found.heads
    assert found.settings[0] == "text"


def test_texts_of_the_same_name_are_told_apart(folder, tmp_path):
    train(tmp_path / "b", Corpus.from_text(LONG[:5_000], "cat"))
    found = charloom.compare(folder / "small", tmp_path / "b")
    values = cells(found, "text")
    assert values[0] != values[1]
    assert all(value.startswith("cat (") for value in values)


def test_runs_with_the_same_validation_text_are_compared_beside_others(folder):
    found = compared(folder, "small", "large", "other", "parts", "whole")
    assert found.best == [1]
    assert cells(found, "above the best")[2:] == ["-", "-", "-"]


def test_other_parts_of_the_same_text_are_only_roughly_comparable(folder):
    found = compared(folder, "small", "parts")
    assert "different validation parts of the same text" in words(found)
    assert found.best == []


def test_a_run_without_a_validation_part_shows_the_bits_of_its_training_text(folder):
    found = compared(folder, "small", "whole")
    assert cells(found, "bits on") == ["validation", "training"]
    assert "whole has no validation part" in words(found)
    assert found.evaluations[1] is None
    records = [
        json.loads(line) for line in (folder / "whole" / "metrics.jsonl").read_text().splitlines()
    ]
    assert found.bits(1) == pytest.approx(records[-1]["train_nats"] / math.log(2), rel=0.2)


def test_characters_and_bytes_are_not_comparable(folder, tmp_path):
    umlauts = Corpus.from_text(LONG[:5_000].replace("o", "ö"), "cat", tokens="bytes")
    train(tmp_path / "bytes", umlauts, tokens="bytes")
    assert "a character may have several bytes" in words(
        charloom.compare(folder / "small", tmp_path / "bytes")
    )


def test_a_short_validation_part_has_no_interval(tmp_path):
    train(tmp_path / "a", validation=0.2)
    train(tmp_path / "b", validation=0.2, hidden_size=5)
    found = charloom.compare(tmp_path)
    assert cells(found, "95 % interval") == ["-", "-"]
    assert "too few for an interval" in words(found)
    assert found.best != []


def test_an_unfinished_run_is_compared_as_far_as_it_is(folder):
    found = compared(folder, "small", "stopped")
    assert "stopped is not finished (interrupted after" in words(found)
    assert " of 300" in cells(found, "done")[1]
    assert found.evaluations[1] is not None


def test_a_diverged_run_is_named(tmp_path):
    corpus = Corpus.from_text(LONG, "cat")
    common = {"validation": 0.2, "updates": 60, "report_every": 20, "hidden_size": 16}
    train(tmp_path / "good", corpus, **common)
    train(tmp_path / "bad", corpus, optimizer="sgd", learning_rate=50.0, clip=0.0, **common)
    found = charloom.compare(tmp_path / "good", tmp_path / "bad")
    assert "bad diverged: it predicts worse than a uniform guess." in words(found)
    assert found.best == [0]
    found.figure().canvas.draw()


def test_a_model_that_predicts_badly_from_the_zero_state_is_named_without_an_evaluation_too(
    folder, monkeypatch
):
    assert "zero state" not in words(compared(folder, "small", "large", intervals=False))
    bad = StartLosses(context=1.5, text=1.5, zero=5.0, zero_alone=5.0)
    monkeypatch.setattr(compared_run, "read_start_losses", lambda _: bad)
    found = words(compared(folder, "small", "large", "whole", intervals=False))
    assert "small: from the zero state" in found
    assert "whole: from the zero state" not in found  # its bits are those of its training text


def test_damaged_runs_are_rows_and_do_not_end_the_comparison(folder, tmp_path):
    for name in ("no-settings", "torn", "no-model"):
        shutil.copytree(folder / "small", tmp_path / name)
    (tmp_path / "no-settings" / "config.json").write_text("{")
    metrics = tmp_path / "torn" / "metrics.jsonl"
    metrics.write_bytes(metrics.read_bytes()[:900])
    for file in (tmp_path / "no-model").glob("checkpoints/*/model.safetensors"):
        file.write_bytes(b"none")
    found = charloom.compare(folder / "large", tmp_path)
    assert [Path(name).name for name in found.names] == ["large", "no-model", "no-settings", "torn"]
    assert cells(found, "state")[2:] == ["damaged", "finished, damaged"]
    assert "config.json is not valid JSON" in words(found)
    assert "metrics.jsonl is damaged" in words(found)
    assert "no-model: there is no interval, because the run cannot be evaluated." in words(found)
    assert found.evaluations[0] is not None
    found.figure().canvas.draw()
    assert harms(found._repr_html_()) == []


def test_a_run_whose_text_is_gone_is_compared_without_an_interval(tmp_path):
    text = tmp_path / "cat.txt"
    text.write_text(LONG)
    for name, size in (("a", 4), ("b", 6)):
        with warnings.catch_warnings(action="ignore"):
            charloom.train(
                text,
                run=tmp_path / name,
                recipe="classic",
                hidden_size=size,
                updates=50,
                validation=0.2,
            )
    text.unlink()
    found = charloom.compare(tmp_path / "a", tmp_path / "b")
    assert found.evaluations == [None, None]
    assert "a: there is no interval" in words(found)
    assert found.best != []


# What is compared


def test_a_folder_stands_for_its_runs_and_a_run_counts_once(folder):
    found = charloom.compare(folder / "small", folder, intervals=False)
    assert len(found.runs) == 6
    assert found.names[0] == "small"


@pytest.mark.parametrize("given", [["small"], ["small", "small"], []])
def test_fewer_than_two_runs_are_refused(folder, given):
    with pytest.raises(ConfigError, match="at least two runs"):
        compared(folder, *given)


def test_a_path_without_a_run_is_refused(folder, tmp_path):
    with pytest.raises(NotAModelError, match="does not exist"):
        charloom.compare(folder / "small", tmp_path / "none")
    with pytest.raises(NotAModelError, match="is not a run, and holds none"):
        charloom.compare(folder / "small", tmp_path)


# How it is shown


def test_a_comparison_shows_itself_in_a_terminal_and_in_a_notebook(folder):
    found = compared(folder, "small", "large", "other")
    assert repr(found).splitlines()[0].split() == ["run", *found.names]
    assert "The runs learned different texts" in repr(found)
    page = Page(found._repr_html_())
    assert harms(found._repr_html_()) == []
    for text in ("Comparison of 3 runs", "small", "hidden_size", "Validation loss in bits"):
        assert text in page.words
    assert page.tags.count("polyline") == 3


def test_plain_data_has_each_run_with_its_figures(folder):
    found = compared(folder, "small", "large")
    data = json.loads(json.dumps(found.to_dict()))
    small, large = data["runs"]
    assert data["settings"] == ["hidden_size"]
    assert small["settings"] == {"hidden_size": 4}
    assert small["bits"] == found.bits(0)
    assert small["above_best"]["bits"] > 0
    assert large["above_best"] is None
    assert (small["best"], large["best"]) == (False, True)
    assert small["text"]["name"] == "cat"


def test_large_bits_have_no_decimals():
    assert (bits_text(1.23456), bits_text(68942.4), bits_text(-0.5)) == (
        "1.2346",
        "68,942",
        "-0.5000",
    )


def test_an_empty_comparison_of_starting_runs_has_no_picture(tmp_path):
    for name in ("a", "b"):
        small_runs.create(tmp_path / name)[0].close()
    found = charloom.compare(tmp_path)
    assert isinstance(found, RunComparison)
    assert "has no record yet" in words(found)
    with pytest.raises(ConfigError, match="no curve to draw"):
        found.save_picture(tmp_path / "picture.svg")
