"""A saved checkpoint, which the tests of checkpoints share."""

import pytest

from charloom.store import save_checkpoint
from checkpoint_learners import FINGERPRINT, LENGTHS, make_learner


@pytest.fixture
def saved(tmp_path):
    """Return a checkpoint directory."""
    directory = tmp_path / "52"
    save_checkpoint(directory, make_learner(), LENGTHS, FINGERPRINT)
    return directory
