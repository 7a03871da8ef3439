"""The specification of a study says which runs it has, and refuses what makes no sense."""

import math
from pathlib import Path

import numpy as np
import pytest

from charloom.canonical_form import canonical_json
from charloom.config import ARGUMENT_HELP, default_of
from charloom.errors import ConfigError, ReadError
from charloom.studies.known_settings import INSTEAD
from charloom.studies.plain_values import plain_section
from charloom.studies.spec import parse_spec, read_spec

TEXT = {"text": "python-docs"}
UPDATES = {"settings": {"updates": 10}}


def runs_of(tmp_path, **values):
    return [settings for _, settings in parse_spec({**TEXT, **values}, tmp_path).combinations()]


def test_a_study_without_sections_has_the_recipe_alone(tmp_path):
    spec = parse_spec(TEXT, tmp_path)
    assert list(spec.combinations()) == [(0, {})]
    assert spec.seeds == (0,)
    assert spec.recipe == "classic"


def test_a_grid_has_every_combination(tmp_path):
    grid = {"cell": ["rnn", "gru"], "hidden_size": [4, 8]}
    assert runs_of(tmp_path, grid=grid, **UPDATES) == [
        {"updates": 10, "cell": cell, "hidden_size": size}
        for cell in ("rnn", "gru")
        for size in (4, 8)
    ]


def test_listed_runs_override_shared_settings(tmp_path):
    runs = [{"updates": 20}, {"cell": "lstm"}]
    assert runs_of(tmp_path, runs=runs, **UPDATES) == [
        {"updates": 20},
        {"updates": 10, "cell": "lstm"},
    ]


def test_listed_runs_and_a_grid_are_combined(tmp_path):
    found = runs_of(tmp_path, runs=[{"cell": "rnn"}, {"cell": "gru"}], grid={"clip": [1.0, 2.0]})
    assert len(found) == 4


def test_draws_are_in_their_range_and_repeat(tmp_path):
    random = {
        "draws": 200,
        "learning_rate": {"low": 1e-4, "high": 1e-1, "scale": "log"},
        "hidden_size": {"low": 2, "high": 5},
        "cell": ["rnn", "gru"],
    }
    found = runs_of(tmp_path, random=random)
    rates = [run["learning_rate"] for run in found]
    assert all(1e-4 <= rate < 1e-1 for rate in rates)
    # Half of the draws on a log scale are below the geometric mean; on a linear scale, 3 % would be.
    assert 70 < sum(rate < math.sqrt(1e-5) for rate in rates) < 130
    assert {run["hidden_size"] for run in found} == {2, 3, 4, 5}
    assert {run["cell"] for run in found} == {"rnn", "gru"}
    assert found == runs_of(tmp_path, random=random)
    assert found != runs_of(tmp_path, random={**random, "seed": 1})


def test_more_draws_begin_with_the_same_ones_also_with_another_setting(tmp_path):
    few = {"draws": 3, "learning_rate": {"low": 0.1, "high": 0.2}}
    more = {"draws": 6, "learning_rate": {"low": 0.1, "high": 0.2}, "clip": [1.0, 2.0]}
    rates = [run["learning_rate"] for run in runs_of(tmp_path, random=more)]
    assert rates[:3] == [run["learning_rate"] for run in runs_of(tmp_path, random=few)]


def test_whole_numbers_are_drawn_equally_often_at_the_limits(tmp_path):
    found = runs_of(tmp_path, random={"draws": 3000, "hidden_size": {"low": 1, "high": 3}})
    for size in (1, 2, 3):
        assert 850 < sum(run["hidden_size"] == size for run in found) < 1150


def test_a_text_beside_the_specification_is_found(tmp_path):
    (tmp_path / "book.txt").write_text("some text")
    (tmp_path / "a.toml").write_text('text = "book.txt"\nseeds = [3, 5]\n')
    spec, data = read_spec(tmp_path / "a.toml")
    assert spec.texts == ((str(tmp_path / "book.txt"),),)
    assert spec.seeds == (3, 5)
    assert data == (tmp_path / "a.toml").read_bytes()


def test_several_texts_are_compared_and_a_list_is_joined(tmp_path):
    spec = parse_spec({"texts": ["kjv-nt", ["python-docs", "kjv"]]}, tmp_path)
    assert spec.texts == (("kjv-nt",), ("python-docs", "kjv"))
    assert [text for text, _ in spec.combinations()] == [0, 1]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "must have either text"),
        ({"text": "a", "texts": ["b"]}, "must have either text"),
        ({"text": 3}, "a text of the study is 3"),
        ({"texts": []}, "must be a list of texts"),
        ({**TEXT, "hidden_size": 4}, "belong in the section settings"),
        ({**TEXT, "recipe": "slow"}, "must be one of classic"),
        ({**TEXT, "recipe": "quick"}, "give updates or epochs"),
        ({**TEXT, "seeds": 0}, "whole number from 1"),
        ({**TEXT, "seeds": [1, 1]}, "has 1 more than once"),
        ({**TEXT, "seeds": "1"}, "their number, or a list"),
        ({**TEXT, "settings": {"seed": 1}}, "give the seeds of all runs"),
        ({**TEXT, "settings": {"threads": 2}}, "itself determines. Leave it out"),
        ({**TEXT, "settings": {"recipe": "quick"}}, "give it once, at the top"),
        ({**TEXT, "settings": 3}, "must be a section"),
        ({**TEXT, "grid": {"cell": "rnn"}}, "must be a list of values"),
        ({**TEXT, "runs": {"cell": "rnn"}}, r"write \[\[runs\]\]"),
        ({**TEXT, "random": {"clip": [1.0]}}, "does not say how often"),
        ({**TEXT, "random": {"draws": 5}}, "random draws no setting"),
        ({**TEXT, "random": {"draws": 5, "seed": 1}}, "random draws no setting"),
        ({**TEXT, "grid": {"engine": ["native", "reference"]}}, "section grid sets engine"),
        ({**TEXT, "runs": [{"engine": "native"}]}, "section runs sets engine"),
        ({**TEXT, "random": {"draws": 2, "clip": 1.0}}, "a list of values, or a range"),
        ({**TEXT, "random": {"draws": 2, "clip": {"low": 2.0, "high": 1.0}}}, "low must be below"),
        (
            {**TEXT, "random": {"draws": 2, "clip": {"low": 0.0, "high": 1.0, "scale": "log"}}},
            "above 0 if the scale is log",
        ),
        (
            {**TEXT, "random": {"draws": 2, "clip": {"low": 1.0, "high": 2.0, "scale": "x"}}},
            "must be one of linear, log",
        ),
        (
            {**TEXT, "random": {"draws": 2, "clip": {"low": "a", "high": 2.0}}},
            "must be a finite number",
        ),
        (
            {**TEXT, "grid": {"clip": [1.0]}, "random": {"draws": 2, "clip": [1.0]}},
            "both set clip",
        ),
        ({**TEXT, "seeds": 2_000, "grid": {"clip": [1.0] * 1_000}}, "at most 1,000,000"),
        ({**TEXT, "grid": {"save_every": [5, 10]}}, "the section grid sets save_every"),
        ({**TEXT, "keep": {"model": True}}, "keep.model is unknown; the section keep has"),
        ({**TEXT, "keep": {"weight": True}}, r"keep.weight is unknown; did you mean weights\?"),
        ({**TEXT, "setings": {}}, r"section 'setings'; did you mean settings\?"),
        ({**TEXT, "grid": {"update": [1]}}, r"grid.update is unknown; did you mean updates\?"),
        ({**TEXT, "settings": {"hiddensize": 4}}, "settings.hiddensize is unknown; did you mean"),
        ({**TEXT, "runs": [{"hiden_size": 4}]}, r"unknown; did you mean hidden_size\?"),
        ({**TEXT, "random": {"drwas": 4}}, r"random.drwas is unknown; did you mean draws\?"),
        ({**TEXT, "settings": {"colour": 4}}, "settings are averaging, batch_size"),
        ({**TEXT, "settings": {"minutes": 4}}, "depend on the speed of the machine. Give updates"),
        ({**TEXT, "grid": {"find_learning_rate": [True]}}, "Give learning_rate instead"),
        ({**TEXT, "settings": {"learning_rate": math.nan}}, "learning_rate is nan; .* a finite"),
        ({**TEXT, "grid": {"clip": [1.0, math.inf]}}, "grid.clip is inf; it must be a finite"),
        ({**TEXT, "settings": {"cell": b"rnn"}}, "settings.cell is b'rnn'; it must be a number"),
        ({**TEXT, "settings": {3: 4}}, "settings has the name 3; it must be a string"),
        ({**TEXT, "keep": {"weights": 1}}, "must be true or false"),
        ({**TEXT, "keep": {"directories": "some"}}, "must be one of auto, all, none"),
    ],
)
def test_what_makes_no_sense_is_refused(tmp_path, values, words):
    with pytest.raises(ConfigError, match=words):
        parse_spec(values, tmp_path)


def test_settings_that_a_study_refuses_are_not_suggested(tmp_path):
    with pytest.raises(ConfigError) as caught:
        parse_spec({**TEXT, "settings": {"colour": 4}}, tmp_path)
    names = caught.value.message.partition("settings are ")[2].removesuffix(".").split(", ")
    assert "engine" in names
    for name in names:
        sections = {} if name in ("updates", "epochs") else {"settings": {"updates": 3}}
        sections.setdefault("settings", {})[name] = default_of(name)
        parse_spec({**TEXT, **sections}, tmp_path)


def test_values_of_numpy_tuples_ranges_and_paths_are_those_of_a_list(tmp_path):
    rates = np.logspace(-3, -1, 3)
    values = {
        "text": Path("a"),
        "seeds": np.arange(3),
        "settings": {"updates": np.int64(5), "learning_rate": np.float64(0.5)},
        "grid": {"hidden_size": tuple(np.array([4, 8])), "layers": range(1, 3), "clip": rates},
    }
    plain = {
        "text": "a",
        "seeds": [0, 1, 2],
        "settings": {"updates": 5, "learning_rate": 0.5},
        "grid": {"hidden_size": [4, 8], "layers": [1, 2], "clip": rates.tolist()},
    }
    assert plain_section(values) == plain
    assert canonical_json(plain_section(values)) == canonical_json(plain)
    assert parse_spec(values, tmp_path) == parse_spec(plain, tmp_path)


def test_each_argument_of_a_training_run_that_is_not_a_setting_has_a_replacement():
    assert set(INSTEAD) == set(ARGUMENT_HELP)


def test_a_file_that_is_not_toml_is_refused(tmp_path):
    (tmp_path / "a.toml").write_text("text = \n")
    with pytest.raises(ConfigError, match="is not valid TOML"):
        read_spec(tmp_path / "a.toml")
    with pytest.raises(ReadError, match="No such file"):
        read_spec(tmp_path / "b.toml")


def test_all_runs_can_share_an_engine(tmp_path):
    assert runs_of(tmp_path, settings={"engine": "reference"}) == [{"engine": "reference"}]


def test_whole_limits_of_a_setting_that_need_not_be_whole_draw_any_number(tmp_path):
    random = {"draws": 50, "clip": {"low": 1, "high": 5}, "layers": {"low": 1, "high": 5}}
    found = runs_of(tmp_path, random=random)
    clips = [run["clip"] for run in found]
    assert all(1 <= clip < 5 for clip in clips)
    assert len(set(clips)) == 50
    assert {run["layers"] for run in found} == {1, 2, 3, 4, 5}
    search = {"trials": 3, "warmup_epochs": {"low": 0, "high": 2}, "layers": {"low": 1, "high": 2}}
    draws = dict(parse_spec({**TEXT, "search": search}, tmp_path).search.draws)
    assert [type(draws[name].low) for name in ("warmup_epochs", "layers")] == [float, int]
