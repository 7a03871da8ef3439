"""A long text shows how much of it was read and how long the rest may take; a short one shows nothing."""

import io
import re
import sys
import threading

import pytest

import charloom
import charloom.cli.reading_line
from charloom.cli.reading_line import ReadingLine, reading_display
from charloom.reading_progress import reading_of, reading_shown_by
from charloom.text import Corpus
from command_line import SMALL, charloom_

MEGABYTE = 1_000_000


def clock_of(*times):
    """Return a clock that shows these times, one per call."""
    return iter(times).__next__


class Terminal(io.StringIO):
    """A stream that claims to be a terminal."""

    def isatty(self):
        return True


def test_lines_are_printed_now_and_then_where_there_is_no_terminal(capsys):
    line = ReadingLine(100 * MEGABYTE, clock_of(0.0, 4.9, 5.0, 6.0, 10.0, 20.0, 30.0))
    for _ in range(5):
        line(10 * MEGABYTE)
    line.say_end()
    line.close()
    assert capsys.readouterr().err.splitlines() == [
        "charloom: reading the text: 20 %, about 20 s left",
        "charloom: reading the text: 40 %, about 15 s left",
        "charloom: reading the text: 50 %, about 20 s left",
        "charloom: the text was read in 30 s.",
    ]


def test_a_text_that_is_read_more_often_than_planned_is_at_most_complete(capsys):
    line = ReadingLine(10, clock_of(0.0, 1.0, 8.0))
    line(10)
    line(5)
    assert capsys.readouterr().err == "charloom: reading the text: 100 %, about 0.0 s left\n"


def test_a_terminal_shows_one_line_and_removes_it(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    line = ReadingLine(100, clock_of(0.0, 1.9, 2.0, 2.1, 60.0))
    line(10)
    assert screen.getvalue() == ""
    line(10)
    line(10)
    line(10)
    line.say_end()
    line.close()
    shown = re.findall(
        r"charloom: reading the text: \d+ %, about [^\x1b\n]+ left", screen.getvalue()
    )
    assert list(dict.fromkeys(shown)) == [
        "charloom: reading the text: 20 %, about 8.0 s left",
        "charloom: reading the text: 40 %, about 1 min 30 s left",
    ]
    assert screen.getvalue().endswith("\x1b[2K")


def test_an_error_removes_the_line_and_does_not_say_that_the_text_was_read(capsys, monkeypatch):
    monkeypatch.setattr(charloom.cli.reading_line, "LINE_SECONDS", 0.0)

    def read():
        with reading_display(100) as listener:
            listener(50)
            raise OSError("planted")

    with pytest.raises(OSError, match="planted"):
        read()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("charloom: reading the text: 50 %")


def test_a_command_shows_nothing_for_a_short_text(tmp_path, book):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL)
    assert done.exit_code == 0
    assert "reading the text" not in done.stderr


def test_a_command_shows_how_far_it_has_read(tmp_path, book, monkeypatch):
    monkeypatch.setattr(charloom.cli.reading_line, "LINE_SECONDS", 0.0)
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL)
    assert done.exit_code == 0
    shares = re.findall(r"reading the text: (\d+) %, about \S+ s left", done.stderr)
    assert shares == ["50", "100"]
    assert "charloom: the text was read in " in done.stderr


def test_python_shows_nothing(book, capsys, monkeypatch):
    monkeypatch.setattr(charloom.cli.reading_line, "LINE_SECONDS", 0.0)
    Corpus.open([book])
    assert capsys.readouterr().err == ""


def test_a_display_is_used_in_its_block_only(book):
    sizes = []

    class Display:
        def __init__(self, size):
            sizes.append(size)

        def __enter__(self):
            return sizes.append

        def __exit__(self, *error):
            sizes.append("end")

    size = book.stat().st_size
    with reading_shown_by(Display):
        Corpus.open([book])
        with reading_shown_by(None):
            Corpus.open([book])
        other = threading.Thread(target=Corpus.open, args=([book],))
        other.start()
        other.join()
    with reading_of(5) as listener:
        listener(5)
    assert sizes == [2 * size, size, size, "end"]
