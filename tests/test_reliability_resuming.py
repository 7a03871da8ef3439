"""Resuming is exact. The checker catches a lost state and a missing warning about threads."""

import pytest

from charloom.engines import native_problem
from charloom.store import checkpoint
from charloom.training import Progress
from charloom.training.run_saving import RunSaver
from reliability import resuming


def test_a_run_stopped_at_any_update_ends_with_the_same_bytes():
    # Some seconds: three ways, five runs each that are stopped and go on.
    figures = resuming.check("short")
    assert figures["differing_bytes"] == 0
    assert figures["resumed_runs"] >= 2 * 5


def test_a_hidden_state_that_is_not_saved_is_caught(monkeypatch):
    load = checkpoint.read_training

    def forgetful(data, learner, what):
        load(data, learner, what)
        for array in learner.state.values():
            array[...] = 0

    monkeypatch.setattr(checkpoint, "read_training", forgetful)
    with pytest.raises(AssertionError, match="differ"):
        resuming.check("short")


@pytest.mark.skipif(native_problem() is not None, reason="one engine alone has no other threads")
def test_a_missing_warning_about_another_number_of_threads_is_caught(monkeypatch, tmp_path):
    monkeypatch.setattr(RunSaver, "warn", lambda self, message: Progress(0, 1))
    with pytest.raises(AssertionError, match="it said"):
        resuming.go_on_elsewhere(tmp_path)
