"""A regular expression is searched in a separate process, which ends after a time or with its request."""

import re
import subprocess

import pytest

from charloom import pattern_matches
from charloom.cooperative import SliceLoop
from charloom.errors import ConfigError
from charloom.pattern_matches import match_spans, match_spans_in_slices, require_regex

TEXT = "aab ab\nb \ud800 a\u2028b"
ENDLESS = ("(a+)+$", 40 * "a" + "b")  # 2^40 ways to divide the text
LONG = 600.0  # seconds, which no test needs


@pytest.fixture
def processes(monkeypatch):
    """Return a list of the processes that are started."""
    started = []
    real = subprocess.Popen

    def popen(*arguments, **options):
        started.append(real(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", popen)
    return started


def result_of(slices):
    """Run a generator to its end, and return its result."""
    loop = SliceLoop(slices)
    for _ in loop:
        pass
    return loop.result


@pytest.mark.parametrize("regex", ["a+b", "^b", "b$", "x*", r"\bab\b", "nothing", "\ud800", "."])
def test_the_process_finds_the_same_matches(regex):
    found = result_of(match_spans_in_slices(regex, TEXT, LONG))
    assert found == match_spans(require_regex(regex), TEXT)
    assert found == [match.span() for match in re.finditer(regex, TEXT, re.MULTILINE)]


def test_a_wrong_expression_is_refused_with_the_same_words():
    with pytest.raises(ConfigError) as here:
        require_regex("(a")
    with pytest.raises(ConfigError) as there:
        result_of(match_spans_in_slices("(a", TEXT, LONG))
    assert there.value.message == here.value.message
    assert "is not a regular expression" in here.value.message


def test_a_search_that_takes_too_long_is_ended(processes):
    assert result_of(match_spans_in_slices(*ENDLESS, 1.0)) is None
    assert processes[0].returncode is not None


def test_a_search_ends_with_its_request(processes):
    slices = match_spans_in_slices(*ENDLESS, LONG)
    for _ in range(3):
        next(slices)
    assert processes[0].poll() is None
    slices.close()
    assert processes[0].returncode is not None


def test_a_process_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(pattern_matches, "COMMAND", ("sh", "-c", "cat > /dev/null; exit 3"))
    with pytest.raises(ConfigError, match="its process ended with the exit code 3"):
        result_of(match_spans_in_slices("a", TEXT, LONG))


def test_a_pattern_with_a_future_meaning_is_searched_without_a_warning():
    assert match_spans(require_regex("[[a]b"), TEXT) == [(1, 3), (4, 6)]
