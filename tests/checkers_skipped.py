"""Skips the tests of the checkers in reliability/ on systems that cannot copy a process."""

import os
from pathlib import Path

import pytest


def skip_where_a_process_cannot_be_copied(items):
    """Mark the checkers' tests as skipped if the system has no fork or no /proc."""
    if hasattr(os, "fork") and Path("/proc/self/status").exists():
        return
    for item in items:
        if item.path.name.startswith("test_reliability_"):
            item.add_marker(pytest.mark.skip(reason="the checkers need fork and /proc"))
