"""A small interrupted run, which the tests of the run directory share."""

import pytest

from small_runs import after, train


@pytest.fixture
def halted(tmp_path):
    """Return a run that was interrupted in its first epoch."""
    train(tmp_path / "run", halt=after(8))
    return tmp_path / "run"
