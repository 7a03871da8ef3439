"""Resuming is exact; the checker catches a bit that is not kept, and silence about another engine."""

import pytest

from charloom.store import checkpoint
from reliability import resuming


def test_a_run_that_was_stopped_anywhere_ends_with_the_same_bytes():
    # Some seconds: nine ways, five runs each that are stopped and go on.
    figures = resuming.check("short")
    assert figures["differing_bytes"] == 0
    assert figures["resumed_runs"] >= 5 * 5


def test_a_state_that_is_not_kept_is_caught(monkeypatch):
    load = checkpoint.read_training

    def forgetful(data, learner, what):
        load(data, learner, what)
        for array in learner.state.values():
            array[...] = 0

    monkeypatch.setattr(checkpoint, "read_training", forgetful)
    with pytest.raises(AssertionError, match="differ"):
        resuming.check("short")
