"""Settings for all tests: NumPy has one thread, Hypothesis has no deadline, temporary files are in memory.

Python's garbage collector rarely looks at old objects. The tests of the checkers in reliability/ are skipped on systems without fork or /proc.
"""

from charloom.cpu_limits import keep_numpy_to_one_thread

keep_numpy_to_one_thread()

import gc  # noqa: E402

import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from book_text import TEXT  # noqa: E402
from checkers_skipped import skip_where_a_process_cannot_be_copied  # noqa: E402
from memory_folder import keep_temporary_files_in_memory  # noqa: E402

settings.register_profile("charloom", deadline=None)
settings.load_profile("charloom")
keep_temporary_files_in_memory()
# A worker has 350,000 objects that live as long as it does, and a full collection visits them all.
# Younger garbage is collected as often as elsewhere.
gc.set_threshold(*gc.get_threshold()[:2], 100)


def pytest_collection_modifyitems(items):
    """Mark the tests that cannot run on this system as skipped, with the reason."""
    skip_where_a_process_cannot_be_copied(items)


def pytest_collection_finish(session):
    """Let the garbage collector ignore the collected tests and imported modules, which stay until the end."""
    gc.freeze()


@pytest.fixture
def book(tmp_path):
    """Write a small text to a file, and return its path."""
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture
def kept_plots(monkeypatch):
    """Draw equal plots of reports only once, for tests that make many reports and check their text."""
    from reliability.drawn_plots import keep_plots

    keep_plots(monkeypatch)


@pytest.fixture
def kept_predictions(monkeypatch):
    """Let the doctor predict equal results only once, for tests that check many functions."""
    from kept_predictions import keep_predictions

    keep_predictions(monkeypatch)
