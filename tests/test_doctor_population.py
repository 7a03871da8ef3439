"""The second population of the doctor says the truth about its submissions (a sample of them)."""

from dataclasses import replace

import pytest

from benchmarks.doctor_population.second.load import edited, faults, submissions
from benchmarks.doctor_population.second.verify import (
    check,
    measure,
    right_faults,
    wrong_faults,
)

FOUND = list(submissions())
BY_ID = {submission.id: submission for submission in FOUND}
WRONG = [submission for submission in FOUND if submission.truth.wrong]
RIGHT = [submission for submission in FOUND if not submission.truth.wrong]


def sample():
    """Return the ids of a mistake and of a correct submission of each form."""
    chosen = []
    for form in range(1, 13):
        wrong = [submission for submission in WRONG if submission.form == form]
        right = [submission for submission in RIGHT if submission.form == form]
        chosen += [wrong[len(wrong) // 3], right[0]]
    return [submission.id for submission in chosen]


def submission(name):
    """Return the submission with an id; skip the test if it needs PyTorch and there is none."""
    if BY_ID[name].form == 12:
        pytest.importorskip("torch")
    return BY_ID[name]


# The whole population takes about a minute:
# python -m benchmarks.doctor_population.second.verify
@pytest.mark.parametrize("name", sample())
def test_the_numbers_confirm_what_the_table_says(name):
    assert check(submission(name)) == []


def test_the_population_is_large_and_its_tables_keep_the_rules():
    assert faults(FOUND) == []


def test_tables_that_break_a_rule_are_found():
    assert any("2 times" in sentence for sentence in faults([*FOUND, FOUND[0]]))
    odd = FOUND[0]._replace(truth=replace(FOUND[0].truth, steps="some"))
    assert any("unknown steps" in sentence for sentence in faults([odd, *FOUND[1:]]))
    assert any("fewer than 15" in sentence for sentence in faults(FOUND[20:]))


def test_an_edit_must_find_its_text_once():
    for old in ("a text that no program has", "loss"):
        with pytest.raises(ValueError, match="not once"):
            edited("natural_a", [{"old": old, "new": ""}])


def told(truth, found, **changes):
    """Return what is said against a table after some of its fields were changed."""
    judge = wrong_faults if changes.get("wrong", truth.wrong) else right_faults
    return "\n".join(judge(replace(truth, **changes), found))


def test_a_false_table_is_caught():
    gated = next(s for s in WRONG if s.truth.gate not in ((), "all") and s.truth.in_one_step)
    truth, found = gated.truth, measure(gated)
    assert told(truth, found) == ""
    assert "block is" in told(truth, found, block=("U",))
    assert "gate is" in told(truth, found, gate="all")
    assert "made in" in told(truth, found, made_in="all")
    assert "wrong with one step" in told(truth, found, steps="all but the last")
    assert "the loss differs" in told(truth, found, pass_="loss")
    assert "only_in_batch" in told(truth, found, only_in_batch=not truth.only_in_batch)


def test_a_mistake_that_is_called_correct_is_caught():
    found = measure(WRONG[0])
    assert "is wrong" in told(WRONG[0].truth, found, wrong=False)


def test_a_correct_program_that_is_called_wrong_is_caught():
    truth, found = RIGHT[0].truth, measure(RIGHT[0])
    fields = {"steps": "all", "pass_": "backward", "wrong": True}
    assert "block is" in told(truth, found, block=("U",), **fields)
    assert "nothing is wrong" in told(truth, found, consistent=True, **fields)
    assert "the loss is" in told(truth, found, same_loss=False)


def test_an_inaccurate_gradient_is_caught():
    exact = RIGHT[0]
    strict = exact._replace(truth=replace(exact.truth, tolerance=0.0))
    assert "the error of a right block" in "\n".join(check(strict))
