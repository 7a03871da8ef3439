"""Failed runs and warnings are named with their settings, and equal messages of one row are one note."""

import pytest

from charloom.store.journal import Journal
from charloom.studies import summarize
from charloom.studies.results import FAILED, FINISHED, RunResult
from charloom.studies.run_notes import failure_notes, numbers_text, warning_notes
from charloom.studies.study_page import render_study
from small_studies import planned_study


@pytest.fixture(scope="module")
def failed(tmp_path_factory):
    """Return a study whose runs of the first cell have all failed, and one of the second cell for another reason."""
    made = planned_study(tmp_path_factory.mktemp("study"), seeds=3)
    with Journal(made.files.new_journal(0)) as journal:
        for run in made.plan[:3]:
            journal.append(RunResult(run.key, FAILED, reason="it is too large").to_dict())
        journal.append(RunResult(made.plan[3].key, FAILED, reason="update 3: nan").to_dict())
        for run in made.plan[4:]:
            result = RunResult(run.key, FINISHED, validation_nats=2.0, warnings=("it went back.",))
            journal.append(result.to_dict())
        journal.sync()
    return made


def test_equal_reasons_of_runs_that_differ_in_their_seeds_are_one_note(failed):
    notes = failure_notes(summarize(failed))
    assert [(note.name, note.message) for note in notes] == [
        ("runs 0 to 2 (cell rnn, seeds 0 to 2)", "it is too large"),
        ("run 3 (cell gru, seed 0)", "update 3: nan"),
    ]
    (warned,) = warning_notes(summarize(failed))
    assert (warned.name, warned.message) == (
        "runs 4 and 5 (cell gru, seeds 1 and 2)",
        "it went back.",
    )


def test_the_report_has_the_notes_and_links_to_them(failed):
    page = render_study(failed)
    assert page.count("it is too large") == 1
    assert "runs 0 to 2 (cell rnn, seeds 0 to 2): it is too large" in page
    for section in ("failures", "warnings"):
        assert page.count(f'<a href="#{section}">') == page.count(f'<section id="{section}">') == 1


def test_a_report_without_failures_has_no_link_to_them(tmp_path):
    made = planned_study(tmp_path, grid={}, seeds=1)
    with Journal(made.files.new_journal(0)) as journal:
        journal.append(RunResult(made.plan[0].key, FINISHED, validation_nats=2.0).to_dict())
        journal.sync()
    assert 'href="#failures"' not in render_study(made)
    assert 'href="#warnings"' not in render_study(made)


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ([3], "3"),
        ([3, 4], "3 and 4"),
        ([3, 4, 5], "3 to 5"),
        ([1, 5, 9], "1, 5 and 9"),
        (range(0, 40, 2), "0, 2, 4, 6, 8, 10, 12, 14 and 12 more"),
    ],
)
def test_numbers_are_short(numbers, text):
    assert numbers_text(numbers) == text
