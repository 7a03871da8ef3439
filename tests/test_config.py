"""Settings have the defaults of the classic experiment; a wrong value is refused in one sentence."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.cell_table import CELL_NAMES
from charloom.config import DTYPES, ENGINES, OTHER_UNIT, Config, default_of, help_of
from charloom.errors import ConfigError
from charloom.recipes import CLASSIC, RECIPES, configure

NAMES = [field.name for field in dataclasses.fields(Config)]


def test_the_defaults_are_the_classic_experiment():
    config = Config()
    assert (config.cell, config.hidden_size, config.seq_length, config.epochs) == (
        "rnn", 100, 25, 10,
    )  # fmt: skip
    assert (config.learning_rate, config.epsilon, config.clip, config.sigma) == (
        0.1, 1e-8, 5.0, 0.01,
    )  # fmt: skip
    assert (config.report_every, config.sample_first, config.sample_every) == (100, 1_000, 10_000)
    assert (config.sample_until, config.sample_length, config.passage_length) == (
        100_000, 200, 2_000,
    )  # fmt: skip
    assert config.smoothing == 0.999
    assert config.updates is None


def test_every_setting_has_a_help_and_a_default():
    for name in NAMES:
        assert help_of(name)
        assert default_of(name) == getattr(Config(), name)


def test_settings_survive_json():
    config = Config(hidden_size=7, updates=3, learning_rate=0.02, seed=2**64 - 1)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert list(config.to_dict()) == NAMES


def test_a_missing_setting_takes_its_default():
    assert Config.from_dict({"seed": 4}) == Config(seed=4)


def test_an_unknown_setting_is_named():
    with pytest.raises(
        ConfigError,
        match=r"^'colour': no such setting; the settings are averaging, batch_size,",
    ):
        Config.from_dict({"colour": 3})


def test_a_misspelt_setting_is_named_with_what_it_may_mean():
    with pytest.raises(
        ConfigError, match=r"^'hiden_size': no such setting; did you mean hidden_size\?$"
    ):
        Config.from_dict({"hiden_size": 3})
    with pytest.raises(ConfigError, match=r"did you mean hidden_size\? did you mean updates"):
        Config.from_dict({"hiddensize": 3, "update": 3})
    with pytest.raises(ConfigError, match="'colour', 'update': no such setting; the settings are"):
        Config.from_dict({"update": 3, "colour": 3})


def test_replace_does_not_change_settings_given_as_none():
    config = Config(seed=3).replace(seed=None, hidden_size=9)
    assert (config.seed, config.hidden_size) == (3, 9)


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1


WHOLE = "hidden_size layers seq_length batch_size epochs step_every report_every sample_first sample_every"
WRONG = [
    *((name, 0) for name in WHOLE.split()),
    ("hidden_size", 2.0),
    ("hidden_size", True),
    ("hidden_size", "100"),
    ("updates", 0),
    ("sample_until", -1),
    ("seed", -1),
    ("seed", 2**64),
    ("learning_rate", 0),
    ("learning_rate", float("nan")),
    ("learning_rate", 10**400),
    ("epsilon", float("inf")),
    ("clip", -5.0),
    ("threads", -1),
    ("batch_size", 2**31),
    ("warmup", -1),
    ("warmup_epochs", -0.5),
    ("warmup_epochs", float("inf")),
    ("step_after_updates", -1),
    ("step_after_updates", 1.5),
    ("step_every_updates", 0),
    ("order", "shuffled"),
    ("chunks", 0),
    ("judged_characters", -1),
    ("judged_characters", 0.5),
    ("step_factor", 0.0),
    ("cosine_end", 1.1),
    ("dropout", 1.0),
    ("momentum", 1.0),
    ("beta2", 1.5),
    ("weight_decay", -0.1),
    ("validation", 1.0),
    ("test", -0.1),
    ("optimizer", "lion"),
    ("schedule", "linear"),
    ("clip_by", "length"),
    ("split", "random"),
    ("replacement", "ab"),
    ("sigma", "0.1"),
    ("smoothing", 1.0),
    ("smoothing", -0.1),
    ("save_seconds", 0),
    ("cell", "rrn"),
    ("engine", "numpy"),
    ("dtype", "float16"),
    ("recipe", 3),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=lambda part: str(part)[:30])
def test_a_wrong_value_is_refused_with_its_name_and_the_range(name, value):
    with pytest.raises(ConfigError, match=rf"^{name} is .*; it must be .*\.$") as caught:
        Config(**{name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "other"), OTHER_UNIT.items())
def test_a_time_of_the_schedule_is_given_in_one_unit_only(name, other):
    with pytest.raises(ConfigError, match=f"^{name} and {other} give the same time in two units"):
        Config().replace(**{name: 3, other: 5})
    in_other = Config().replace(**{other: 5})
    assert getattr(in_other, other) == 5
    # The unit that is given last replaces the other one.
    again = in_other.replace(**{name: 3})
    assert (getattr(again, name), getattr(again, other)) == (3, None)
    assert getattr(in_other.replace(hidden_size=7), other) == 5


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"validation": 0.6, "test": 0.4}, "must leave a part of the text to train on"),
        ({"patience": 3}, "validation"),
        ({"unknown": "replace"}, "set replacement to one known character"),
    ],
    ids=str,
)
def test_settings_that_contradict_each_other_are_refused(settings, word):
    with pytest.raises(ConfigError, match=word):
        Config(**settings)


def test_bounds_are_named():
    with pytest.raises(ConfigError, match=r"smoothing is 2; .* at least 0 and below 1"):
        Config(smoothing=2)
    with pytest.raises(ConfigError, match="cell is 'x'; it must be one of rnn"):
        Config(cell="x")


@given(st.sampled_from(NAMES), st.one_of(st.none(), st.integers(), st.floats(), st.text()))
def test_any_value_is_either_accepted_or_refused_with_a_config_error(name, value):
    try:
        config = Config(**{name: value})
    except ConfigError:
        return
    assert Config.from_dict(config.to_dict()) == config


def test_options_hold_the_defaults():
    assert (Config().cell in CELL_NAMES, Config().engine in ENGINES, Config().dtype in DTYPES) == (
        True, True, True,
    )  # fmt: skip


def test_every_recipe_carries_its_name():
    for name, recipe in RECIPES.items():
        assert recipe.name == name == recipe.config.recipe
        assert recipe.purpose


def test_configure_starts_from_the_recipe():
    assert configure() == RECIPES[CLASSIC].config == Config()
    assert configure("classic", seed=2, updates=None) == Config(seed=2)
    with pytest.raises(ConfigError, match="recipe is 'modern'; it must be one of classic"):
        configure("modern")
    with pytest.raises(ConfigError, match="no such setting"):
        configure(size=3)


def test_patience_ends_with_the_validation_part_unless_it_is_given():
    patient = Config(validation=0.1, patience=3)
    assert patient.replace(validation=0).patience == 0
    assert patient.replace(validation=0.2).patience == 3
    with pytest.raises(ConfigError, match="patience is 3, but there is no validation part"):
        patient.replace(validation=0, patience=3)
