"""The doctor watches programs that train on a list of names, whose marks stand for letters."""

import numpy as np
import pytest

from charloom.diagnosis import doctor
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.trials import PLANS, Fixed, make_trial
from charloom.diagnosis.watching.program_search import observed
from charloom.diagnosis.watching.random_texts import list_of_names
from charloom.diagnosis.watching.watched_program import NotObserved
from name_programs import BATCHES, PLAIN

PROGRAMS = {"batches": BATCHES, "plain": PLAIN}
SHORTEST = {"batches": 2, "plain": 1}  # a name of one letter has two steps if both ends have a mark
WRONG = {
    "batches": ("h[t].T @ d", "h[t + 1].T @ d"),
    "plain": ("dB[i][j] += d[i] * old[j]", "dB[i][j] += d[i] * new[j]"),
}
FLOAT64 = 1e-9  # largest relative error of right gradients


def written(folder, source):
    """Write a program into a folder, and return its path."""
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    return path


def errors(found, plan):
    """Return the relative error of each gradient, up to a factor that all of them have."""
    state = bool(found.states) or found.roles.has("h")
    fixed = Fixed(found.sizes.H, found.sizes.K, True, not state, found.shortest)
    problem = make_trial("rnn", 0, 0, plan, fixed).problem
    loss, gradients = found.run(problem)
    right = answer(problem)
    return {
        name: np.linalg.norm(gradients[name] * right.loss / loss - array) / np.linalg.norm(array)
        for name, array in right.gradients.items()
    }


def test_every_name_of_a_list_has_the_same_length():
    for name in ("a", "abcabc", "abcdefgabcdefg"):
        lines = list_of_names(name).splitlines()
        assert {len(line) for line in lines} == {len(name)}
        assert set("".join(lines)) >= set("abcdefg")


@pytest.mark.parametrize("name", PROGRAMS)
def test_any_window_can_be_checked_though_the_program_reads_names(tmp_path, name):
    found = observed(written(tmp_path, PROGRAMS[name]))
    assert found.exact
    assert found.shortest == SHORTEST[name]
    # A window that repeats its last target, and the shortest window, show that the marks are exact.
    for plan in (PLANS[0], PLANS[7], PLANS[9]):
        assert max(errors(found, plan).values()) < FLOAT64


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_planted_mistake_shows_in_its_own_gradient_only(tmp_path, name):
    right, wrong = WRONG[name]
    assert right in PROGRAMS[name]
    found = observed(written(tmp_path, PROGRAMS[name].replace(right, wrong)))
    measured = errors(found, PLANS[0])
    assert {block for block, error in measured.items() if error > FLOAT64} == {"W"}
    assert measured["W"] > 1e-3


def test_a_window_that_no_name_has_is_refused(tmp_path):
    found = observed(written(tmp_path, BATCHES))
    problem = make_trial("rnn", 0, 0, PLANS[7], Fixed(found.sizes.H, found.sizes.K, True, True))
    with pytest.raises(NotObserved, match="at least one letter"):
        found.run(problem.problem)


def test_the_doctor_names_the_mistake_of_a_program_that_reads_names(tmp_path):
    result = doctor(str(written(tmp_path, BATCHES.replace(*WRONG["batches"]))), plans=PLANS[:2])
    assert result.verdict == "wrong"
    assert result.mistakes[0] == "recurrent-gradient-from-current-state"
    assert any("a list of names" in note for note in result.notes)
