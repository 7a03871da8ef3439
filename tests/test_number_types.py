"""Public functions accept numbers of any type, such as NumPy's."""

import dataclasses
import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

import charloom
from charloom import api
from charloom.config import Config, as_number, as_whole, require_number, require_whole
from charloom.errors import ConfigError

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 8
SMALL = {"recipe": "classic", "hidden_size": 4, "seq_length": 5, "engine": "reference"}


class Whole:
    """A number that has only the method `__index__`."""

    def __index__(self):
        return 16


@pytest.mark.parametrize("kind", [np.int8, np.uint64, np.int64, lambda n: np.array(n)])
def test_a_whole_number_is_any_value_with_index(kind):
    found = require_whole("hidden_size", kind(16), least=1)
    assert (found, type(found)) == (16, int)
    assert require_whole("hidden_size", Whole(), least=1) == 16


@pytest.mark.parametrize("kind", [np.float32, np.float64, Decimal, Fraction, lambda x: np.array(x)])
def test_a_number_is_any_value_with_float(kind):
    found = require_number("clip", kind(0.25), least=0.0)
    assert (found, type(found)) == (0.25, float)
    assert require_number("clip", Whole(), least=0.0) == 16.0


@pytest.mark.parametrize(
    "value", [True, np.True_, np.array(True), 16.0, np.float64(16), "16", b"16", None, [16], np.array([16])]
)  # fmt: skip
def test_a_value_that_is_not_a_whole_number_is_refused(value):
    assert as_whole(value) is None
    with pytest.raises(ConfigError, match=r"seed is .*; it must be a whole number from 0 to"):
        require_whole("seed", value, least=0)


@pytest.mark.parametrize(
    "value", [True, np.False_, "0.5", b"0.5", None, 1j, np.complex128(1), [0.5], np.array([0.5]), float("nan"), 10**400]
)  # fmt: skip
def test_a_value_that_is_not_a_number_is_refused(value):
    assert not np.isfinite(as_number(value))
    with pytest.raises(ConfigError, match=r"clip is .*; it must be a finite number at least 0"):
        require_number("clip", value, least=0.0)


def of_numpy(value):
    """Return a Python number as a NumPy number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return value
    return np.int64(value) if isinstance(value, int) else np.float64(value)


def test_all_settings_accept_numpys_numbers_and_store_plain_ones():
    plain = Config(updates=7, **{"hidden_size": 16, "learning_rate": 0.01})
    config = Config(**{name: of_numpy(value) for name, value in plain.to_dict().items()})
    assert config == plain
    assert json.dumps(config.to_dict()) == json.dumps(plain.to_dict())
    for field in dataclasses.fields(Config):
        assert type(getattr(config, field.name)) is type(getattr(plain, field.name))
    assert Config(learning_rate=np.float32(0.01)).learning_rate == float(np.float32(0.01))


def test_a_whole_number_given_for_a_fraction_is_stored_as_the_fraction(tmp_path):
    for name, clip in (("whole", 5), ("share", 5.0)):
        charloom.train(string=TEXT, run=tmp_path / name, updates=1, clip=clip, **SMALL)
    whole, share = ((tmp_path / name / "config.json").read_bytes() for name in ("whole", "share"))
    assert whole == share
    assert b'"clip":5.0' in whole


@pytest.fixture(scope="module")
def model():
    """Return a small model."""
    return charloom.train(string=TEXT, updates=6, **SMALL)


def test_training_and_resuming_accept_numpys_numbers(tmp_path):
    settings = {name: of_numpy(value) for name, value in SMALL.items()}
    made = charloom.train(string=TEXT, run=tmp_path / "run", updates=np.int32(4), **settings)
    assert made.learner.update == 4
    assert charloom.resume(tmp_path / "run", updates=np.int64(6)).learner.update == 6
    assert type(charloom.load(tmp_path / "run").config.updates) is int
    end = api.training_plan.end_after(np.float32(1e-6), api.open_text(None, TEXT), made.config)
    assert type(end.update) is int


def test_sampling_accepts_numpys_numbers(model):
    drawing = {
        "length": 20, "temperature": 0.5, "seed": 3, "top_k": 4, "top_p": 0.75, "min_p": 0.125,
        "repetition_penalty": 1.5, "repetition_window": 8, "number": 2,
    }  # fmt: skip
    text = model.sample("the ", **{name: of_numpy(value) for name, value in drawing.items()})
    assert text == model.sample("the ", **drawing)
    with pytest.raises(
        ConfigError, match=r"top_p is 2; it must be a finite number above 0 and at most 1"
    ):
        model.sample(top_p=2)


def test_evaluating_and_finding_units_accept_numpys_numbers(model):
    plain = model.evaluate(string=TEXT, streams=2, seed=1)
    assert model.evaluate(string=TEXT, streams=np.int64(2), seed=np.uint8(1)) == plain
    found = charloom.neurons(
        model, string=TEXT, layer=np.int64(0), unit=np.int64(1), top=np.int64(1), limit=np.int64(300),
        spans=np.array([[0, 5], [20, 30]]),
    )  # fmt: skip
    assert (found.characters, found.findings[0].units[0].unit) == (300, 1)
    json.dumps(found.to_json())
    json.dumps(model.activity("the", layer=np.int64(0), unit=np.int64(1)).to_json())


def test_gradient_checks_and_the_doctor_accept_numpys_numbers():
    options = {
        "hidden_size": 3, "seq_length": 2, "batch_size": 1, "vocabulary_size": 4, "entries": 2,
        "seed": 1, "sigma": 0.5,
    }  # fmt: skip
    check = charloom.gradcheck(**{name: of_numpy(value) for name, value in options.items()})
    assert json.dumps(check.to_dict()) == json.dumps(charloom.gradcheck(**options).to_dict())
    for wrong in ({"seed": -1}, {"time_limit": "3"}):
        with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is "):
            charloom.doctor(lambda *_: None, **wrong)


def test_steering_accepts_numpys_numbers(tmp_path):
    from charloom.store import write_control

    sent = write_control(tmp_path, "run", np.float32(0.5))
    assert (sent.learning_rate_factor, type(sent.learning_rate_factor)) == (0.5, float)
