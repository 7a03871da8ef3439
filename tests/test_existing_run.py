"""`train` with exist="resume" trains a new run or continues it, and names the settings that differ."""

import json

import pytest

import charloom
from charloom import Callback
from charloom.errors import ConfigError, RunExistsError, TextError
from charloom.recipes import RECIPES
from reliability.run_comparison import lasting
from small_runs import TEXT

USUAL = {
    "recipe": "classic", "hidden_size": 8, "seq_length": 10, "updates": 60, "validation": 0.2, "report_every": 7,
    "exist": "resume",
}  # fmt: skip


def stopped_at(update):
    return [Callback(lambda learner: "enough for now", at=(update,))]


@pytest.fixture
def halted(tmp_path):
    """Return a run that was stopped after 22 of 60 updates."""
    charloom.train(string=TEXT, run=tmp_path / "run", callbacks=stopped_at(22), **USUAL)
    return tmp_path / "run"


def refusal(run, **changes):
    """Return the message with which a call that differs from the run is refused."""
    before = (run / "config.json").read_bytes()
    arguments = {"string": TEXT, **USUAL, **changes}
    with pytest.raises(ConfigError) as caught:
        charloom.train(run=run, **arguments)
    assert (run / "config.json").read_bytes() == before
    return str(caught.value)


def test_the_same_call_trains_a_run_continues_it_and_returns_its_model(halted, tmp_path):
    charloom.train(string=TEXT, run=tmp_path / "whole", **USUAL)
    continued = charloom.train(string=TEXT, run=halted, **USUAL)
    assert lasting(halted) == lasting(tmp_path / "whole")
    events = []
    again = charloom.train(string=TEXT, run=halted, listener=events.append, **USUAL)
    assert events == []
    assert again.update == continued.update
    assert again.sample(length=50, seed=1) == continued.sample(length=50, seed=1)


def test_without_the_argument_an_existing_run_is_refused(halted):
    with pytest.raises(RunExistsError):
        charloom.train(string=TEXT, run=halted, **{**USUAL, "exist": "refuse"})


def test_each_difference_is_named_with_both_values(halted):
    message = refusal(halted, hidden_size=9, cell="gru", seed=1_234)
    assert "cell is 'rnn' in the run and 'gru' now" in message
    assert "hidden_size is 8 in the run and 9 now" in message
    assert "seed is 0 in the run and 1,234 now" in message
    assert message.count(" in the run and ") == 3


def test_a_setting_that_is_left_out_has_its_usual_value(halted):
    others = {name: value for name, value in USUAL.items() if name != "hidden_size"}
    with pytest.raises(ConfigError, match="hidden_size is 8 in the run and 100 now"):
        charloom.train(string=TEXT, run=halted, **others)


def test_a_setting_without_effect_is_no_difference(halted):
    model = charloom.train(string=TEXT, run=halted, beta1=0.5, **USUAL)  # AdaGrad has no beta1
    assert model.config.updates == 60


def test_an_earlier_end_is_a_difference_and_a_later_one_continues(halted):
    message = refusal(halted, updates=40)
    assert "the end is update 60 in the run and update 40 now (updates=40)" in message
    model = charloom.train(string=TEXT, run=halted, **{**USUAL, "updates": 80})
    assert json.loads((halted / "status.json").read_bytes())["update"] == 80
    assert model.config.updates == 80
    refusal(halted)
    by_epochs = {**USUAL, "updates": None, "epochs": 3}
    assert charloom.train(string=TEXT, run=halted, **by_epochs).config.epochs == 3


def test_settings_of_the_machine_may_differ(halted):
    machine = {"engine": "reference", "threads": 1, "save_seconds": 7.0}
    charloom.train(string=TEXT, run=halted, **USUAL, **machine)
    assert json.loads((halted / "status.json").read_bytes())["state"] == "finished"
    assert charloom.load(halted).config.save_seconds != 7.0


def test_another_text_is_refused(halted, tmp_path):
    assert f"the text is one of length {len(TEXT):,} and SHA-256 " in refusal(
        halted, string=TEXT[::-1]
    )
    (tmp_path / "same.txt").write_text(TEXT)
    (tmp_path / "other.txt").write_text(TEXT[::-1])
    with pytest.raises(TextError, match=r"is not the text.*give its path as text;"):
        charloom.train(tmp_path / "other.txt", run=halted, **USUAL)
    charloom.train(tmp_path / "same.txt", run=halted, **USUAL)
    assert json.loads((halted / "status.json").read_bytes())["state"] == "finished"


def test_minutes_and_a_search_planned_the_run_and_are_not_repeated(halted):
    planned = {**USUAL, "updates": None, "minutes": 5}
    model = charloom.train(string=TEXT, run=halted, find_learning_rate=True, **planned)
    assert model.config.updates == 60
    assert json.loads((halted / "status.json").read_bytes())["update"] == 60


def test_a_run_whose_creation_was_interrupted_is_trained_from_the_start(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "lock").touch()
    charloom.train(string=TEXT, run=run, **USUAL)
    assert json.loads((run / "status.json").read_bytes())["state"] == "finished"


def test_callbacks_and_the_choice_of_the_model_also_count_for_a_run_that_continues(halted):
    updates = []
    callback = Callback(lambda learner: updates.append(learner.update), every=20)
    model = charloom.train(string=TEXT, run=halted, which="latest", callbacks=[callback], **USUAL)
    assert (updates, model.update) == ([40, 60], 60)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ({"run": None}, "exist is 'resume', but no run is named"),
        ({"exist": "replace"}, "exist is 'replace'; it must be one of refuse, resume"),
        ({"which": "first"}, "which is 'first'"),
        ({"string": None}, "give either text"),
        ({"epochs": 1}, "epochs and updates each set the end"),
    ],
)
def test_a_wrong_call_is_refused(halted, arguments, part):
    with pytest.raises(ConfigError) as caught:
        charloom.train(**{"string": TEXT, "run": halted, **USUAL, **arguments})
    assert part in str(caught.value)


def test_the_settings_of_every_recipe_agree_with_themselves(tmp_path):
    """A call that names only a recipe finds no difference, also if the recipe trains for minutes."""
    for name in RECIPES:
        run = tmp_path / name
        small = {"hidden_size": 4, "layers": 1, "seq_length": 5, "batch_size": 2, "recipe": name, "ngram_order": 0,
                 "exist": "resume"}  # fmt: skip
        charloom.train(string=TEXT * 3, run=run, updates=2, **small)
        if RECIPES[name].minutes is not None:
            assert charloom.train(string=TEXT * 3, run=run, **small).config.updates == 2
        assert charloom.train(string=TEXT * 3, run=run, updates=2, **small).config.updates == 2
