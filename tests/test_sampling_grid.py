"""A table of texts by temperature and top-p has the texts that single samples have."""

import html
import json

import numpy as np
import pytest

import charloom
import small_runs
from charloom.engines import open_engine
from charloom.errors import ConfigError, UnknownCharacterError
from charloom.sampling import SampleOptions
from charloom.sampling_grid import GridAxes, write_grid
from pages import Page
from planted_starts import BAD_ZERO, measured_as


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("grid") / "run"
    small_runs.train(path, hidden_size=16)
    return charloom.load(path)


def test_each_text_is_that_of_sample_with_its_temperature_and_top_p(model):
    options = {"seed": 7, "top_k": 12, "min_p": 0.01, "stop": "dog", "start": "zero"}
    grid = model.sample_grid("the ", 60, [0.3, 1.0, 4.0], [0.5, 1], **options)
    for temperature in (0.3, 1.0, 4.0):
        for top_p in (0.5, 1):
            alone = model.sample("the ", 60, temperature, top_p=top_p, **options)
            assert grid[temperature, top_p] == alone
    assert len({text for row in grid.texts for text in row}) > 3


def test_all_texts_use_the_same_random_numbers(model):
    # Equal temperatures give equal probabilities, so texts that differ would have other random numbers.
    grid = model.sample_grid("", 40, [1.0, 1.0], [1.0, 1.0], seed=3)
    assert len({text for row in grid.texts for text in row}) == 1


def test_at_temperature_0_top_p_changes_nothing(model):
    grid = model.sample_grid("the ", 40, [0], [0.2, 0.9, 1])
    assert len(set(grid.texts[0])) == 1


def test_the_table_is_shown_in_a_terminal_and_in_a_notebook(model):
    grid = model.sample_grid("the ", 30, [0.5, 1.5], [0.9, 1])
    shown = str(grid)
    assert "--- temperature 1.5 ---" in shown
    assert shown.splitlines()[0].split("|")[1].strip() == "top-p 1"
    page = Page(grid._repr_html_())
    assert "4 texts from seed 0, after the prompt 'the '" in page.words
    for row in grid.texts:
        for text in row:
            assert html.escape(text.split("\n")[0]) in grid._repr_html_()


def test_the_table_as_plain_data_names_the_place_of_each_text(model):
    grid = model.sample_grid("", 20, [0.5, 1.5], [0.9, 1], stop=["a"])
    data = json.loads(json.dumps(grid.to_dict()))
    assert [(text["temperature"], text["top_p"]) for text in data["texts"]] == [
        (0.5, 0.9), (0.5, 1.0), (1.5, 0.9), (1.5, 1.0),
    ]  # fmt: skip
    for text in data["texts"]:
        assert text["text"] == grid[text["temperature"], text["top_p"]]
        assert text["ended"] in ("stop", "length")
        assert (text["ended"] == "stop") == (len(text["text"]) < 20)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"temperatures": []}, "temperatures is []; it must be a list of 1 to 20 numbers"),
        ({"temperatures": "0.5"}, "temperatures is '0.5'"),
        ({"temperatures": 0.5}, "temperatures is 0.5"),
        ({"temperatures": [-1]}, "temperatures is -1; it must be a finite number at least 0"),
        ({"temperatures": ["warm"]}, "temperatures is 'warm'"),
        ({"top_ps": [0]}, "top_ps is 0; it must be a finite number above 0 and at most 1"),
        ({"top_ps": [1.2]}, "top_ps is 1.2"),
        ({"top_ps": [1] * 21}, "a list of 1 to 20 numbers"),
    ],
)
def test_wrong_values_are_named(model, values, sentence):
    with pytest.raises(ConfigError) as caught:
        model.sample_grid(length=5, **values)
    assert sentence in str(caught.value)


def test_a_temperature_outside_the_table_is_named(model):
    grid = model.sample_grid("", 5, [0.5], [1])
    with pytest.raises(ConfigError, match=r"temperature is 0.7; the table has 0.5"):
        grid[0.7, 1]


def test_numbers_of_any_type_and_iterables_are_accepted(model):
    grid = model.sample_grid("", 5, np.array([0.5, 1.0]), (value for value in (0.9, 1)))
    assert grid.axes == GridAxes((0.5, 1.0), (0.9, 1.0))


def test_an_unknown_character_of_the_prompt_is_an_error_before_anything_is_written(model):
    with pytest.raises(UnknownCharacterError):
        model.sample_grid("€")
    skipped = model.sample_grid("€the ", 20, unknown="skip")
    assert skipped.texts == model.sample_grid("the ", 20).texts
    assert skipped.unknowns.total == 1


def test_a_model_that_writes_badly_from_a_start_warns_once(tmp_path):
    with measured_as(BAD_ZERO):
        small_runs.train(tmp_path / "run")
    with pytest.warns(UserWarning, match="zero") as caught:
        charloom.load(tmp_path / "run").sample_grid("", 5, start="zero")
    assert len(caught) == 1


def test_the_engines_write_the_same_table(model):
    engines = [open_engine(name) for name in small_runs.ENGINES]
    options = SampleOptions(length=15)
    tables = [write_grid(model.learner, engine, "the ", options).texts for engine in engines]
    assert all(table == tables[0] for table in tables)
