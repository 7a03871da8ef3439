"""Tests of the progress that commands show on stderr."""

import sys

from charloom.cli.progress import Watcher
from charloom.training import Progress, Record, Sample, Warned


def make_record(update, **changes):
    """A record with plausible figures."""
    figures = {
        "update": update, "epoch": 0.5, "characters": 5 * update, "seconds": 1.0, "loss": 9.0,
        "smooth_loss": 10.0, "train_nats": 2.0, "learning_rate": 0.1, "gradient_norm": 1.0,
        "characters_per_second": 500_000.0,
    }  # fmt: skip
    return Record(**figures | changes)


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys):
    with Watcher(100, 0, 5, 10, clock=map(float, range(1000)).__next__) as watch:
        for update in range(1, 21):
            watch(Progress(update, 100, smooth_loss=10.0))
        watch(Sample(20, "a\x1b[0mtext\nwith lines"))
        watch(Warned(20, "the disk is full"))
        watch(Progress(20, 100, "paused"))
    assert capsys.readouterr().err.splitlines() == [
        "charloom: 6 / 100  1 min 34 s left  smooth 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: 11 / 100  1 min 29 s left  smooth 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: 16 / 100  1 min 24 s left  smooth 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: after 20 updates it writes: a␛[0mtext with lines",
        "charloom: warning: the disk is full",
        "charloom: 20 / 100  paused",
    ]


def test_progress_counts_from_the_first_update_and_tells_no_rate_before_there_is_one(capsys):
    """Fifty seconds of gradient checks go before; the first update itself says nothing yet."""
    times = iter([50.0, 50.0, 60.0, 66.0, 72.0])
    with Watcher(100, 0, 5, 10, clock=times.__next__) as watch:
        watch(Sample(0, "xyz"))
        watch(Progress(0, 100))
        watch(Progress(1, 100, smooth_loss=10.0))
        watch(Progress(13, 100, smooth_loss=10.0))
        watch(Progress(25, 100, smooth_loss=10.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == [
        "charloom: 1 / 100  smooth 10.00 (2.89 bits/char)",
        "charloom: 13 / 100  44 s left  smooth 10.00 (2.89 bits/char)  100 chars/s",
        "charloom: 25 / 100  38 s left  smooth 10.00 (2.89 bits/char)  100 chars/s",
    ]


def test_progress_on_a_terminal_is_one_live_line(monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    with Watcher(100, 0, 5, 10) as watch:
        watch(Sample(100, "[bold]text"))
        watch(Progress(100, 100, smooth_loss=10.0))
    assert "after 100 updates it writes: [bold]text" in screen.getvalue()
    assert "smooth 10.00 (2.89 bits/char)" in screen.getvalue()


def test_progress_shows_the_last_judgement_in_nats_and_bits(capsys):
    with Watcher(100, 0, 5, 10, clock=map(float, range(1000)).__next__) as watch:
        watch(Progress(98, 100, smooth_loss=10.0))
        watch(Progress(99, 100, smooth_loss=10.0))
        watch(make_record(1, validation_nats=1.5))
        watch(make_record(2))
        watch(Progress(100, 100, smooth_loss=10.0))
    assert "  validation 1.500 (2.164 bits)  50 chars/s" in capsys.readouterr().err
