"""Fixtures of the tests of training."""

import pytest

from charloom.training import command_reader


@pytest.fixture
def commands_after_each_call(monkeypatch):
    """Let training read commands after every call."""
    monkeypatch.setattr(command_reader, "LOOK_SECONDS", 0.0)
