"""The third population of submissions: its tables keep their rules, and the numbers confirm them.

This tests the population, not the doctor, which it doesn't import.
"""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.doctor_population.third.load import Submission, faults, submissions
from benchmarks.doctor_population.third.verify import check

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def population() -> dict[str, Submission]:
    """All submissions by their ids."""
    return {submission.id: submission for submission in submissions()}


def with_truth(submission: Submission, **changes) -> Submission:
    """Return a submission about which something else is stated."""
    return submission._replace(truth=replace(submission.truth, **changes))


def test_the_tables_keep_their_rules(population):
    assert faults(list(population.values())) == []


def test_a_missing_or_repeated_submission_breaks_a_rule(population):
    found = list(population.values())
    assert "form 1 has 15 mistakes" in faults(found[1:])
    assert f"{found[0].id[:40]!r} is there 2 times" in faults([*found, found[0]])


def test_a_mistake_is_consistent_or_has_wrong_blocks(population):
    first = next(iter(population.values()))
    assert faults([with_truth(first, consistent=True), *population.values()])


def test_the_numbers_confirm_every_fifth_truth():
    """Takes some 20 seconds: it differentiates each submission. The command alone checks all."""
    command = [sys.executable, "-m", "benchmarks.doctor_population.third.verify", "--every", "5"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "0 false statements" in result.stdout


def some(population, **fields) -> Submission:
    """Return the first wrong submission in NumPy whose truth has these fields."""
    for one in population.values():
        stated = all(getattr(one.truth, name) == value for name, value in fields.items())
        if stated and one.truth.wrong and one.form not in (15, 16, 17):
            return one
    raise LookupError(fields)


def test_a_right_truth_passes(population):
    assert check(some(population, cell="lstm", steps="all")) == []


@pytest.mark.parametrize(
    ("fields", "changes", "message"),
    [
        ({"cell": "rnn", "steps": "all"}, {"block": ("by",)}, "block is"),
        ({"made_in": ("f",), "in_one_step": True}, {"made_in": ("i",)}, "made in"),
        ({"made_in": ("f", "g", "i"), "in_one_step": False}, {"made_in": "all"}, "made in"),
        ({"cell": "gru", "made_in": ("z",)}, {"gate": ("z",)}, "gate is"),
        ({"steps": "all but the last"}, {"steps": "all but the last two"}, "the columns of"),
        ({"steps": "all but the last"}, {"steps": "first"}, "the columns of"),
        ({"steps": "all", "in_one_step": True}, {"in_one_step": False}, "in_one_step is"),
        ({"pass_": "backward", "steps": "all"}, {"loss_differs": True}, "loss_differs is"),
        ({"only_in_batch": True}, {"only_in_batch": False}, "only_in_batch is"),
        ({"only_second_call": True}, {"only_second_call": False}, "only_second_call is"),
    ],
)
def test_a_false_truth_is_found(population, fields, changes, message):
    false = check(with_truth(some(population, **fields), **changes))
    assert any(message in sentence for sentence in false), false


def test_a_wrong_submission_is_not_taken_for_a_correct_one(population):
    wrong = some(population, cell="rnn", steps="all", pass_="backward")
    assert any("the error of" in sentence for sentence in check(with_truth(wrong, wrong=False)))


def test_a_correct_submission_is_not_taken_for_a_wrong_one(population):
    wrong = some(population, cell="rnn", steps="all", pass_="backward")
    correct = population[f"ok-{wrong.truth.base}"]
    assert any("block is" in sentence for sentence in check(wrong._replace(source=correct.source)))


def test_a_correct_submission_computes_the_network_that_is_stated(population):
    correct = population["ok-gru_three-after"]
    assert check(correct) == []
    other = replace(correct.truth.network, reset="before")
    assert any(
        "stated network" in sentence for sentence in check(with_truth(correct, network=other))
    )
