"""The log begins with the newest entry, and the title of each entry says the result."""

import re
from datetime import date
from pathlib import Path

import pytest

LOG = Path(__file__).parent.parent / "docs" / "LOG.md"
TITLE = re.compile(r"(\d{4}-\d\d-\d\d) · (\S.*)")
TOPICS = re.compile(r"(How|What|Why|Which|Where|When|Whether|Notes|About|On the)\b")
FEWEST_WORDS = 5  # a verdict is a sentence, a topic is not: "The page", "Texts of any size"


def problems_of(markdown):
    """Return the problems of the titles of a log."""
    found, before, titles = [], None, []
    for line in re.findall(r"^##? ?(?!#)(.*)$", markdown, re.MULTILINE)[1:]:
        title = TITLE.fullmatch(line)
        if not title:
            found.append(f"{line!r} is not 'DATE · Verdict'")
            continue
        try:
            day = date.fromisoformat(title[1])
        except ValueError:
            found.append(f"{title[1]} is not a date")
            continue
        if before and day > before:
            found.append(f"{line!r} stands below an entry of {before}")
        words = title[2]
        if len(words.split()) < FEWEST_WORDS or TOPICS.match(words):
            found.append(f"{words!r} names a subject and no verdict")
        if words[0].islower() or words.endswith((".", ":")):
            found.append(f"{words!r} must begin with a capital and end without a full stop")
        if words in titles:
            found.append(f"{words!r} is there twice")
        before, titles = day, [*titles, words]
    return found


def test_the_log_is_newest_first_and_its_titles_are_verdicts():
    log = LOG.read_text(encoding="utf-8")
    assert problems_of(log) == []
    assert len(re.findall("^## ", log, re.MULTILINE)) >= 38


@pytest.mark.parametrize(
    ("titles", "problem"),
    [
        (["2026-11-24 · Caching halves the time of it", "2026-11-25 · Mapping costs as much time"], "below"),
        (["2026-11-24 · The page"], "no verdict"),
        (["2026-11-24 · How charloom is compared with PyTorch"], "no verdict"),
        (["2026-11-24 - Caching halves the time of it"], "is not 'DATE · Verdict'"),
        (["Caching halves the time of it"], "is not 'DATE · Verdict'"),
        (["2026-13-24 · Caching halves the time of it"], "is not a date"),
        (["2026-11-24 · Caching halves the time of it."], "without a full stop"),
        (["2026-11-24 · Caching halves the time of it"] * 2, "twice"),
    ],
)  # fmt: skip
def test_a_planted_title_is_caught(titles, problem):
    markdown = "# The log\n\n" + "".join(f"## {title}\n\nIt was so.\n\n" for title in titles)
    (found,) = problems_of(markdown)
    assert problem in found
