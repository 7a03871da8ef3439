"""A run stops cleanly. The checker catches a stop that does not save or that shows a traceback."""

import pytest

from charloom.cli import error_exit
from charloom.training.run_saving import RunSaver
from reliability import stopping


def test_a_run_that_is_told_to_stop_saves_and_ends():
    # Some seconds: four trainings beside processes that keep the processor busy.
    figures = stopping.check("short")
    assert figures["slowest_stop_seconds"] < 10
    assert figures["closed_pipes"] == 2


def test_an_end_without_a_save_is_caught(monkeypatch):
    monkeypatch.setattr(RunSaver, "save_final_state", lambda self: iter(()))
    with pytest.raises(AssertionError, match=r"was saved, and \d+ was"):
        stopping.check("short")


def test_a_closed_pipe_that_is_reported_as_a_failure_is_caught(monkeypatch, tmp_path):
    monkeypatch.setattr(error_exit, "BrokenPipeError", ZeroDivisionError, raising=False)
    monkeypatch.setattr(stopping, "stop_twice", lambda *arguments: 0.0)
    with pytest.raises(AssertionError, match="a closed pipe: exit code 2"):
        stopping.check("short")
