"""Values that are not finite are caught before the next save, and the checker catches a missing check."""

import numpy as np
import pytest

from charloom.engines.reference import categorical
from charloom.store import checkpoint, run_writer
from charloom.training import in_memory, loop
from reliability import SHORT, finite


def test_values_that_are_not_finite_are_caught_and_never_saved():
    assert finite.check(SHORT)["planted_values"] > 40


def test_a_save_that_does_not_check_for_finite_values_is_noticed(monkeypatch):
    for module in (checkpoint, run_writer, in_memory):
        monkeypatch.setattr(module, "require_finite", lambda learner: None)
    with pytest.raises(AssertionError, match=r"saved at|saved in|was written|came out"):
        finite.check(SHORT)


def test_training_that_does_not_check_the_losses_of_the_engine_is_noticed(monkeypatch):
    monkeypatch.setattr(loop, "require_finite_trace", lambda learner, trace: None)
    with pytest.raises(AssertionError, match=r"that is told|pending_loss|smooth_loss"):
        finite.check(SHORT)


class Careless:
    """NumPy with an isfinite that accepts every number."""

    def __getattr__(self, name):
        return getattr(np, name)

    def isfinite(self, array):
        return np.ones_like(array, bool)


def test_a_sampler_that_does_not_check_for_finite_values_is_noticed(monkeypatch):
    monkeypatch.setattr(categorical, "np", Careless())
    with (
        np.errstate(all="ignore"),
        pytest.raises(AssertionError, match=r"on reference (wrote|broke)"),
    ):
        finite.refuses_to_sample(["reference"])
