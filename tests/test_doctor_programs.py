"""The doctor runs a whole program, watches it train, and judges the gradients that it sees."""

import builtins
import importlib.util

import numpy as np
import pytest

from charloom.diagnosis import adapt, doctor
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.forms.file_contents import read_contents
from charloom.diagnosis.trials import PLANS, Fixed, make_trial
from charloom.diagnosis.watching.found_loop import find_loop
from charloom.diagnosis.watching.program import Program
from charloom.diagnosis.watching.program_search import observed
from charloom.diagnosis.watching.random_texts import random_text
from charloom.diagnosis.watching.watched_program import NotObserved
from training_programs import AUTOGRAD, CHARACTERS, LAYERS, RIGHT, SCRIPT, WRONG

NUMPY = {"script": SCRIPT, "layers": LAYERS, "characters": CHARACTERS}
WRONG_TANH = {"characters": ("(1 - new ** 2)", "(1 - new)")}
FLOAT64 = 1e-9  # largest relative error of right gradients
needs_torch = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None, reason="PyTorch is not installed"
)


def written(folder, source):
    """Write a program into a folder, and return its path."""
    path = folder / "program.py"
    path.write_text(source, encoding="utf-8")
    return path


def with_mistake(name):
    """Return a program whose derivative of tanh is wrong."""
    right, wrong = WRONG_TANH.get(name, (RIGHT, WRONG))
    assert right in NUMPY[name]
    return NUMPY[name].replace(right, wrong)


def errors(found, plan):
    """Return the relative error of each gradient of a program that is watched, and of its loss."""
    takes_state = bool(found.states) or found.roles.has("h")
    fixed = Fixed(found.sizes.H, found.sizes.K, True, not takes_state)
    problem = make_trial(found.roles.cell, 0, 0, plan, fixed).problem
    loss, gradients = found.run(problem)
    right = answer(problem)
    return {
        "loss": abs(loss - right.loss) / right.loss,
        **{
            name: np.linalg.norm(gradients[name] - array) / np.linalg.norm(array)
            for name, array in right.gradients.items()
        },
    }


@pytest.mark.parametrize("name", NUMPY)
@pytest.mark.parametrize("plan", [PLANS[0], PLANS[2], PLANS[9]], ids=lambda plan: plan.name)
def test_a_right_program_has_the_loss_and_the_gradients_of_our_network(tmp_path, name, plan):
    found = observed(written(tmp_path, NUMPY[name]))
    assert found.exact
    assert max(errors(found, plan).values()) < FLOAT64


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("script", {"U", "W", "b"}), ("layers", {"U", "W", "b"}), ("characters", {"U", "W", "b"})],
)
def test_a_planted_mistake_shows_in_exactly_the_gradients_that_it_touches(tmp_path, name, wrong):
    found = observed(written(tmp_path, with_mistake(name)))
    measured = errors(found, PLANS[0])
    assert {block for block, error in measured.items() if error > FLOAT64} == wrong
    assert min(measured[block] for block in wrong) > 1e-3


def test_an_initial_state_that_the_program_carries_is_set(tmp_path):
    found = observed(written(tmp_path, SCRIPT))
    assert found.roles.has("h") or "h" in found.states.values()


@pytest.mark.parametrize("name", ["script", "characters"])
def test_the_doctor_says_that_a_right_program_is_right(tmp_path, name):
    result = doctor(str(written(tmp_path, NUMPY[name])), plans=PLANS[:2])
    assert result.verdict in ("right", "right for its own network")
    assert any("run as a whole" in note for note in result.notes)


@pytest.mark.parametrize("name", ["script", "layers"])
def test_the_doctor_names_the_mistake_of_a_program(tmp_path, name):
    result = doctor(str(written(tmp_path, with_mistake(name))), plans=PLANS[:2])
    assert result.verdict == "wrong"
    assert result.mistakes[0] == "tanh-derivative"


@needs_torch
def test_a_state_that_is_detached_at_each_step_shows_in_a_program_of_pytorch(tmp_path):
    for state, verdicts in (
        ("state", {"right", "right for its own network"}),
        ("state.detach()", {"wrong"}),
    ):
        path = written(tmp_path, AUTOGRAD.replace("STATE", state))
        assert doctor(str(path), plans=PLANS[:2]).verdict in verdicts


def test_the_wrapper_of_a_program_says_what_was_found(tmp_path):
    path = written(tmp_path, SCRIPT)
    text = adapt(str(path), tmp_path / "wrapper.py").text
    assert "observed(" in text
    assert "# second: gates a; gradient: " in text


def test_the_loop_that_trains_is_found_and_not_a_loop_inside_it(tmp_path):
    path = written(tmp_path, SCRIPT)
    program = Program(path, read_contents(path).tree)
    loop, error = find_loop(program, random_text(0), {})
    assert error is None
    # A loop `while True` is marked by its first statement.
    assert SCRIPT.splitlines()[loop.line - 2].strip() == "while True:"
    assert {place[0] for place in loop.changed} >= {"global first", "global second", "global third"}


def test_a_program_without_training_is_not_watched(tmp_path):
    with pytest.raises(NotObserved, match="no training loop"):
        observed(written(tmp_path, "print(sum(range(9)))\n"))


def test_the_stand_ins_are_gone_after_a_run_even_if_the_program_fails(tmp_path):
    before = (builtins.open, builtins.input, np.random.randint, np.random.default_rng)
    path = written(tmp_path, "open('x').read()\nraise ValueError('no')\n")
    program = Program(path, read_contents(path).tree)
    loop, error = find_loop(program, random_text(0), {})
    assert loop is None
    assert isinstance(error, ValueError)
    assert (builtins.open, builtins.input, np.random.randint, np.random.default_rng) == before


def test_a_program_writes_no_file(tmp_path):
    source = SCRIPT.replace("while True:", "open('out.txt', 'w').write('x')\nwhile True:")
    observed(written(tmp_path, source))
    assert [path.name for path in tmp_path.iterdir()] == ["program.py"]


def test_a_program_that_never_trains_is_given_up(tmp_path):
    with pytest.raises(NotObserved):
        observed(written(tmp_path, "count = 0\nwhile True:\n    count += 1\n"))


# The function fails on a window of one step, which the training never has.
FUNCTION = """
import numpy as np
data = open("no such text.txt").read()
chars = sorted(set(data))
ix = {ch: i for i, ch in enumerate(chars)}
hidden_size, seq_length, rate = 100, 25, 0.1
Wxh = np.random.randn(hidden_size, len(chars)) * 0.01
Whh = np.random.randn(hidden_size, hidden_size) * 0.01
Why = np.random.randn(len(chars), hidden_size) * 0.01
bh, by = np.zeros((hidden_size, 1)), np.zeros((len(chars), 1))

def lossFun(inputs, targets, hprev):
    xs, hs, ps, loss = {}, {-1: hprev}, {}, 0
    inputs[1], targets[1]
    for t in range(len(inputs)):
        xs[t] = np.zeros((len(by), 1))
        xs[t][inputs[t]] = 1
        hs[t] = np.tanh(Wxh @ xs[t] + Whh @ hs[t - 1] + bh)
        ys = Why @ hs[t] + by
        ps[t] = np.exp(ys) / np.sum(np.exp(ys))
        loss += -np.log(ps[t][targets[t], 0])
    dWxh, dWhh, dWhy = np.zeros_like(Wxh), np.zeros_like(Whh), np.zeros_like(Why)
    dbh, dby, dhnext = np.zeros_like(bh), np.zeros_like(by), np.zeros_like(hprev)
    for t in reversed(range(len(inputs))):
        dy = np.copy(ps[t])
        dy[targets[t]] -= 1
        dWhy += dy @ hs[t].T
        dby += dy
        draw = (1 - hs[t] ** 2) * (Why.T @ dy + dhnext)
        dbh += draw
        dWxh += draw @ xs[t].T
        dWhh += draw @ hs[t - 1].T
        dhnext = Whh.T @ draw
    return loss, dWxh, dWhh, dWhy, dbh, dby, hs[len(inputs) - 1]

p, hprev = 0, np.zeros((hidden_size, 1))
while True:
    if p + seq_length + 1 >= len(data):
        p, hprev = 0, np.zeros((hidden_size, 1))
    inputs = [ix[ch] for ch in data[p:p + seq_length]]
    targets = [ix[ch] for ch in data[p + 1:p + seq_length + 1]]
    loss, dWxh, dWhh, dWhy, dbh, dby, hprev = lossFun(inputs, targets, hprev)
    for param, dparam in zip([Wxh, Whh, Why, bh, by], [dWxh, dWhh, dWhy, dbh, dby]):
        param -= rate * dparam
    p += seq_length
"""


@pytest.mark.parametrize(
    ("derivative", "verdict", "mistakes"),
    [("(1 - hs[t] ** 2)", "right", ()), ("(1 - hs[t])", "wrong", ("tanh-derivative",))],
    ids=["right", "wrong"],
)
def test_a_program_is_watched_if_its_function_fails_in_a_later_call(
    tmp_path, derivative, verdict, mistakes
):
    source = FUNCTION.replace("(1 - hs[t] ** 2)", derivative)
    found = doctor(str(written(tmp_path, source)))
    assert (found.verdict, found.mistakes) == (verdict, mistakes)
    assert found.notes[0].startswith("recognised: the training in line ")
