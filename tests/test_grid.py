"""The benchmark of the grid of Karpathy, Johnson and Li trains networks that are matched by parameters."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from charloom.model.schedule import Schedule

PATH = Path(__file__).parent.parent / "benchmarks" / "grid.py"
TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 40


@pytest.fixture(scope="module")
def grid():
    """Return benchmarks/grid.py as a module."""
    spec = importlib.util.spec_from_file_location("grid", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules["grid"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    del sys.modules["grid"]


def row(**changes):
    return {
        "text": "a.txt", "cell": "gru", "layers": 2, "size": 64, "hidden_size": 70, "parameters": 900,
        "epochs": 50, "seed": 0, "nats": 1.0, "test_characters": 9, "seconds": 3600.0, "engine": "x",
        "machine": "y", "version": "z", **changes,
    }  # fmt: skip


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", ["rnn", "gru"])
def test_each_network_has_nearly_as_many_parameters_as_the_lstm_of_its_size(grid, cell, layers):
    lstm = grid.Network("lstm", layers, 64).config(60, 50, 0)
    other = grid.Network(cell, layers, 64).config(60, 50, 0)
    assert lstm.hidden_size == 64
    ratio = grid.parameter_count(other, 60) / grid.parameter_count(lstm, 60)
    assert abs(ratio - 1) < 0.015  # a unit more or less changes the number by up to 3 %
    assert (other.validation, other.test, other.split) == (0.1, 0.1, "end")


def test_the_settings_are_those_of_the_paper(grid):
    config = grid.Network("lstm", 2, 64).config(60, 50, 0)
    schedule = Schedule.of(config, 1_000_000)
    epoch = schedule.windows.per_epoch
    rates = [schedule.learning_rates(n * epoch, 1)[0] for n in (0, 9, 10, 11, 49)]
    assert rates == pytest.approx([2e-3, 2e-3, 2e-3 * 0.95, 2e-3 * 0.95**2, 2e-3 * 0.95**40])
    assert (config.optimizer, config.decay, config.averaging) == ("rmsprop", 0.95, 0.0)
    assert (config.seq_length, config.batch_size, config.epochs) == (50, 100, 50)
    assert (config.dropout, config.clip * config.seq_length) == (0.0, 5.0)


@pytest.mark.filterwarnings("ignore:The run ends after")
def test_a_network_is_trained_and_evaluated_on_the_test_part(grid, tmp_path, monkeypatch):
    text = tmp_path / "book.txt"
    text.write_text(TEXT, encoding="utf-8")
    small = grid.settings
    monkeypatch.setattr(
        grid,
        "settings",
        lambda *args: small(*args).replace(seq_length=5, batch_size=2, engine="reference"),
    )
    found = grid.measure(str(text), grid.Network("gru", 1, 4), epochs=1, seed=0)
    assert found.keys() == row().keys()
    assert (found["test_characters"], 0 < found["nats"] < 4) == (207, True)


@pytest.mark.filterwarnings("ignore:The run ends after")
def test_an_update_is_timed_by_training_runs_of_growing_length(grid, tmp_path, monkeypatch):
    text = tmp_path / "book.txt"
    text.write_text(TEXT, encoding="utf-8")
    ticks = iter([0.0, 0.5, 0.5, 2.5])  # the runs take 0.5 and 2 seconds
    monkeypatch.setattr(grid, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    config = grid.settings("gru", 1, 4, 50, 0).replace(
        seq_length=5, batch_size=2, engine="reference"
    )
    monkeypatch.setattr(grid.charloom, "train", train := Mock(wraps=grid.charloom.train))
    assert grid.seconds_per_update(str(text), config) == 2.0 / 8
    assert [call.kwargs["updates"] for call in train.call_args_list] == [4, 8]


def test_the_table_has_the_mean_over_seeds_and_gaps(grid):
    table = grid.render([row(), row(seed=1, nats=2.0), row(size=512, cell="rnn", nats=0.5)])
    assert "| size | rnn 1 | lstm 1 | gru 1 | rnn 2 | lstm 2 | gru 2 |" in table
    assert "| 64 |  |  |  |  |  | 2.164 |" in table
    assert "| 512 |  |  |  | 0.721 |" in table
    assert "These 3 networks took 3.0 hours" in table


def test_runs_of_different_lengths_are_in_different_tables_and_never_averaged(grid):
    table = grid.render([row(), row(epochs=1, nats=3.0), row(epochs=1, seed=1, nats=5.0)])
    fifty, one = table.split("## ")[1:]
    assert fifty.startswith("a.txt, 50 epochs\n")
    assert "| 64 |  |  |  |  |  | 1.443 |" in fifty
    assert "means" not in fifty
    assert one.startswith("a.txt, 1 epoch\n")
    assert "| 64 |  |  |  |  |  | 5.771 |" in one
    assert "The figures are means over 2 seeds.\n" in one


def test_a_table_says_which_networks_have_fewer_seeds(grid):
    table = grid.render([row(), row(seed=1), row(seed=7), row(size=512, cell="rnn", seed=7)])
    assert "The figures are means over 3 seeds; over fewer for rnn 2 of size 512 (1).\n" in table


def test_a_curve_has_one_point_for_all_seeds_of_a_network(grid):
    rows = [row(nats=1.0), row(seed=1, nats=3.0), row(size=128, parameters=2_000, nats=0.5)]
    points = grid.curve(rows, "gru", 2)
    assert [count for count, _ in points] == [900, 2_000]
    assert [bits * grid.math.log(2) for _, bits in points] == pytest.approx([2.0, 0.5])
    assert grid.curve(rows, "rnn", 2) == []


def test_the_picture_has_a_line_for_each_cell_and_number_of_layers(grid, tmp_path):
    grid.keep([row(), row(size=128, parameters=2_000, nats=0.9)], tmp_path / "grid")
    assert (tmp_path / "grid.svg").read_text(encoding="utf-8").startswith("<?xml")
    assert len(grid.read_rows(tmp_path / "grid.json")) == 2
