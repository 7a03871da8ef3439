"""Tests of the progress that commands show on stderr."""

import io
import re
import sys
from pathlib import Path

import pytest

from charloom.cli.progress import ProgressDisplay
from charloom.config import Config
from charloom.training import EndChanged, LearningRateChanged, Progress, Record, Sample, Warned

CONFIG = Config(seq_length=5, batch_size=10)


def make_record(update, **changes):
    """Return a record with plausible figures."""
    figures = {
        "update": update, "epoch": 0.5, "characters": 5 * update, "seconds": 1.0, "loss": 9.0,
        "smooth_loss": 10.0, "train_nats": 2.0, "learning_rate": 0.1, "gradient_norm": 1.0,
        "characters_per_second": 500_000.0,
    }  # fmt: skip
    return Record(**figures | changes)


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys):
    with ProgressDisplay(100, 0, CONFIG, clock=map(float, range(1000)).__next__) as watch:
        for update in range(1, 21):
            watch(Progress(update, 100, smooth_loss=10.0))
        watch(Sample(20, "a\x1b[0mtext\nwith lines"))
        watch(Warned(20, "the disk is full"))
        watch(Progress(20, 100, "paused"))
    assert capsys.readouterr().err.splitlines() == [
        "charloom: 6 / 100  1 min 34 s left  smooth loss 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: 11 / 100  1 min 29 s left  smooth loss 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: 16 / 100  1 min 24 s left  smooth loss 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: after 20 updates it writes: a␛[0mtext with lines",
        "charloom: warning: the disk is full",
        "charloom: paused at update 20 of 100",
    ]


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("on_terminal", [False, True])
def test_progress_reports_pauses_and_a_changed_learning_rate_once_each(
    on_terminal, monkeypatch, capsys
):
    screen = Terminal()
    if on_terminal:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "200")
    clock = map(float, range(0, 100_000, 100)).__next__  # every event is due to be drawn
    with ProgressDisplay(100, 0, CONFIG, clock=clock, run=Path("runs/my book")) as watch:
        for _ in range(3):
            watch(Progress(20, 100, "paused", cause="command"))
        watch(LearningRateChanged(20, 0.5))
        watch(Progress(20, 100, "paused", cause="command"))
        watch(Progress(20, 100, smooth_loss=10.0))
        watch(Progress(30, 100, smooth_loss=10.0))
        for _ in range(3):
            watch(Progress(40, 100, "paused", cause="disk"))
        watch(Progress(40, 100, smooth_loss=10.0))
    shown = screen.getvalue() if on_terminal else capsys.readouterr().err
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", shown)
    # On a terminal, the line of progress is before a line that stays.
    lines = [line[line.find("charloom: ") :].rstrip() for line in shown.splitlines()]
    messages = [line for line in lines if line.startswith("charloom: ") and " / 100" not in line]
    assert messages == [
        "charloom: paused at update 20 of 100 by a command. To continue: charloom control "
        "'runs/my book' run",
        "charloom: a command changed the learning rate: from the next update on it is 0.5 × that of "
        "the settings",
        "charloom: continued at update 20 of 100",
        "charloom: paused at update 40 of 100",
        "charloom: continued at update 40 of 100",
    ]
    assert ("20 / 100  paused" in shown) == on_terminal


@pytest.mark.parametrize("on_terminal", [False, True])
def test_progress_says_that_the_end_moved_and_goes_to_the_new_end(on_terminal, monkeypatch, capsys):
    screen = Terminal()
    if on_terminal:
        monkeypatch.setattr(sys, "stderr", screen)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "200")
    clock = map(float, range(0, 100_000, 100)).__next__  # every event is due to be drawn
    with ProgressDisplay(1_200, 0, CONFIG, clock=clock) as watch:
        watch(Progress(200, 1_200, smooth_loss=10.0))
        watch(Progress(300, 1_200, smooth_loss=10.0))
        watch(EndChanged(300, 1_050, 1_200, 1.0))
        watch(Progress(400, 1_050, smooth_loss=10.0))
    shown = screen.getvalue() if on_terminal else capsys.readouterr().err
    assert (
        "charloom: training is slower than planned: to keep to its minutes, the run now ends at "
        "update 1,050 instead of 1,200"
    ) in shown
    assert "300 / 1,200  15 min 00 s left" in shown
    assert "400 / about 1,050  16 min 15 s left" in shown


def moves_printed(capsys, seconds, *ends):
    """Return the ends of a run that are printed if its end of 1,000 updates moves again and again after some seconds."""
    clock = (seconds * n for n in range(1_000))
    before = 1_000
    with ProgressDisplay(1_000, 0, CONFIG, clock=clock.__next__) as watch:
        for end in ends:
            watch(EndChanged(10, end, before, 1.0))
            before = end
    return re.findall(r"update ([0-9,]+) instead of ([0-9,]+)", capsys.readouterr().err)


def test_the_end_of_a_short_run_is_printed_at_most_once(capsys):
    assert moves_printed(capsys, 1.0, 800, 600, 900, 500) == [("800", "1,000")]
    assert moves_printed(capsys, 1.0, 950, 1_050, 1_099) == []


def test_the_end_at_which_a_run_finished_is_printed(capsys):
    clock = map(float, range(1_000)).__next__
    with ProgressDisplay(1_000, 0, CONFIG, clock=clock) as watch:
        watch(EndChanged(10, 800, 1_000, 1.0))
        watch(EndChanged(20, 500, 800, 1.0))
        watch(Progress(499, 500, smooth_loss=10.0))
        watch(Progress(500, 500, smooth_loss=10.0))
    found = re.findall(r"update ([0-9,]+) instead of ([0-9,]+)", capsys.readouterr().err)
    assert found == [("800", "1,000"), ("500", "800")]


def test_the_end_of_a_long_run_is_printed_if_it_is_far_from_the_one_printed_before(capsys):
    ends = (950, 910, 890, 850, 830, 800, 1_000)
    assert moves_printed(capsys, 100.0, *ends) == [
        ("890", "1,000"), ("800", "890"), ("1,000", "800"),
    ]  # fmt: skip


def test_progress_counts_from_the_first_update_and_tells_no_rate_before_there_is_one(capsys):
    """Fifty seconds of gradient checks come first, and the first update has no rate yet."""
    times = iter([50.0, 50.0, 60.0, 66.0, 72.0])
    with ProgressDisplay(100, 0, CONFIG, clock=times.__next__) as watch:
        watch(Sample(0, "xyz"))
        watch(Progress(0, 100))
        watch(Progress(1, 100, smooth_loss=10.0))
        watch(Progress(13, 100, smooth_loss=10.0))
        watch(Progress(25, 100, smooth_loss=10.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == [
        "charloom: 1 / 100  smooth loss 10.00 (2.89 bits/char)",
        "charloom: 13 / 100  44 s left  smooth loss 10.00 (2.89 bits/char)  100 chars/s",
        "charloom: 25 / 100  38 s left  smooth loss 10.00 (2.89 bits/char)  100 chars/s",
    ]


def test_progress_on_a_terminal_is_one_live_line(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    with ProgressDisplay(100, 0, CONFIG) as watch:
        watch(Sample(100, "[bold]text"))
        watch(Progress(100, 100, smooth_loss=10.0))
    assert "after 100 updates it writes: [bold]text" in screen.getvalue()
    assert "smooth loss 10.00 (2.89 bits/char)" in screen.getvalue()


def test_progress_shows_the_last_judgement_in_nats_and_bits(capsys):
    with ProgressDisplay(100, 0, CONFIG, clock=map(float, range(1000)).__next__) as watch:
        watch(Progress(98, 100, smooth_loss=10.0))
        watch(Progress(99, 100, smooth_loss=10.0))
        watch(make_record(1, validation_nats=1.5))
        watch(make_record(2))
        watch(Progress(100, 100, smooth_loss=10.0))
    assert "  validation 1.500 (2.164 bits)  50 chars/s" in capsys.readouterr().err


def test_a_warning_on_a_terminal_has_no_control_characters_of_a_path(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    with ProgressDisplay(100, 0, CONFIG) as watch:
        watch(Warned(20, "a\x1b]0;title\x07b cannot be written"))
    assert "warning: a␛]0;title␇b cannot be written" in screen.getvalue()


def last_line(monkeypatch, columns, judged):
    """Return the last progress line on a terminal with `columns` columns."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    clock = map(float, range(0, 100_000, 1)).__next__
    with ProgressDisplay(12_000, 0, Config(seq_length=64, batch_size=100), clock=clock) as watch:
        for update in range(8_000, 8_020):
            watch(Progress(update, 12_000, smooth_loss=133.4))
        if judged:
            watch(make_record(8_020, validation_nats=2.085))
        watch(Progress(8_021, 12_000, smooth_loss=133.4))
    lines = re.split(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n", screen.getvalue())
    return [line.strip() for line in lines if "8,021 / " in line][-1]


@pytest.mark.parametrize("judged", [False, True])
@pytest.mark.parametrize("columns", [40, 60, 80, 100, 120])
def test_a_progress_line_leaves_columns_out_instead_of_being_cut(monkeypatch, columns, judged):
    line = last_line(monkeypatch, columns, judged)
    assert len(line) <= columns
    assert "…" not in line
    assert re.search(r"(left|bits\)|bits/char\)|chars/s)$", line)


def test_a_progress_line_of_80_columns_has_the_validation_loss_and_the_speed(monkeypatch):
    line = last_line(monkeypatch, 80, judged=True)
    assert "validation 2.085 (3.008 bits)" in line
    assert line.endswith(" chars/s")
