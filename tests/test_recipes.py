"""The recipes are presets that a user can override, with the measured figures of docs/RESULTS.md."""

import importlib.util
import json
from pathlib import Path

import pytest

from charloom.config import Config
from charloom.errors import ConfigError
from charloom.recipes import CLASSIC, DEFAULT_RECIPE, RECIPES, configure, recipe_of

ROOT = Path(__file__).parent.parent
ROW = {
    "recipe": "quick", "seed": 0, "nats": 1.6, "judged": "validation", "judged_characters": 100,
    "seconds": 60.2, "updates": 2_000, "characters_per_second": 34_000, "parameters": 200_000,
    "threads": 2, "engine": "native (v4, 2 threads)", "machine": "a processor", "version": "0.1.0",
    "text": "tinyshakespeare.txt",
    "date": "2026-11-24",
}  # fmt: skip


@pytest.fixture(scope="module")
def script():
    """Return benchmarks/recipes.py as a module."""
    spec = importlib.util.spec_from_file_location("script", ROOT / "benchmarks" / "recipes.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_says_what_it_is_for_and_what_it_costs(name):
    recipe = RECIPES[name]
    assert recipe.name == name == recipe.config.recipe
    assert recipe.purpose
    assert recipe.cost
    assert recipe.judged == ("validation" if recipe.config.validation else "smooth loss")


def test_the_classic_recipe_has_the_default_of_every_setting():
    assert RECIPES[CLASSIC].config == Config()
    assert DEFAULT_RECIPE in RECIPES


def test_everything_in_a_recipe_can_be_overridden():
    config = configure("char-rnn", layers=3, dropout=0.5, clip=None)
    assert (config.layers, config.dropout, config.clip) == (3, 0.5, 0.1)
    assert config.recipe == "char-rnn"


def test_an_unknown_recipe_is_refused_with_a_list_of_the_recipes():
    with pytest.raises(ConfigError, match="recipe is 'slow'; it must be one of classic, course"):
        recipe_of("slow")


def test_the_course_recipe_has_the_handouts_settings():
    config = RECIPES["course-2026"].config
    assert (config.init, config.reduction, config.optimizer) == ("course", "mean", "adam")
    assert (config.learning_rate, config.clip) == (1e-3, 0.0)


def test_the_char_rnn_recipe_has_the_originals_settings_but_for_the_learning_rate_and_averages():
    config = RECIPES["char-rnn"].config
    assert (config.schedule, config.learning_rate, config.averaging) == ("constant", 5e-3, 0.1)
    config = configure("char-rnn", learning_rate=2e-3, schedule="step", averaging=0.0)
    assert (config.cell, config.layers, config.hidden_size) == ("lstm", 2, 128)
    assert (config.seq_length, config.batch_size, config.epochs) == (50, 50, 50)
    assert (config.optimizer, config.learning_rate, config.decay) == ("rmsprop", 2e-3, 0.95)
    assert (config.schedule, config.step_after, config.step_factor) == ("step", 10, 0.97)
    assert (config.split, config.validation, config.test) == ("streams", 0.05, 0.0)
    assert config.clip * config.seq_length == 5.0  # the original clips a sum over the steps


# The results


def rows(script):
    return json.loads(script.ROWS.read_text(encoding="utf-8"))


def wrong_figures(script, rows, recipes):
    """Return the recipes whose figure is not the mean of their rows."""
    means = {name: script.mean_nats(rows, name) for name in recipes}
    return [
        name
        for name, recipe in recipes.items()
        if recipe.nats != (None if means[name] is None else round(means[name], 3))
    ]


def test_the_figures_of_the_recipes_equal_the_stored_measurements(script):
    assert wrong_figures(script, rows(script), RECIPES) == []


def test_a_planted_figure_is_caught(script):
    assert "quick" in wrong_figures(script, [{**ROW, "nats": 9.9}], RECIPES)


def test_the_tables_in_the_document_equal_the_scripts_output(script):
    assert script.TABLES.read_text(encoding="utf-8") == script.render(rows(script))


def test_repeating_a_training_run_replaces_only_its_row(script):
    found = script.merged([{**ROW, "seed": 1}, ROW], {**ROW, "nats": 1.5})
    assert [(row["seed"], row["nats"]) for row in found] == [(0, 1.5), (1, 1.6)]
    found = script.merged(found, {**ROW, "recipe": "quick:3"})
    found = script.merged(found, {**ROW, "recipe": "quick,ngram_order=0"})
    found = script.merged(found, {**ROW, "recipe": "classic"})
    assert [row["recipe"] for row in found] == [
        "classic", "quick", "quick", "quick,ngram_order=0", "quick:3",
    ]  # fmt: skip


def test_another_text_or_instruction_set_has_a_row_of_its_own(script):
    found = script.merged([ROW], {**ROW, "text": "a.txt", "nats": 0.9})
    found = script.merged(found, {**ROW, "engine": "native (v3, 2 threads)", "nats": 1.7})
    assert [row["nats"] for row in found] == [1.7, 1.6, 0.9]
    assert script.mean_nats(found, "quick") == 1.6
    assert script.render(found).index("## tinyshakespeare.txt") < script.render(found).index(
        "## a.txt"
    )


def test_the_table_has_mean_and_spread_in_nats_and_bits(script):
    table = script.render([ROW, {**ROW, "seed": 1, "nats": 1.7}])
    assert "| `quick` | v4 | validation | 0, 1 | 1.6500 ± 0.0707 | 2.3804 ± 0.1020 | 60 |" in table
    assert "| tinyshakespeare.txt | `quick` | 1 | 1.7000 | 2.4526 |" in table


def test_the_script_trains_evaluates_and_counts(script, tmp_path, monkeypatch):
    """The recipe is shortened to a second, on the reference engine."""
    text = tmp_path / "book.txt"
    text.write_text("the cat sat on the mat, and the hat sat on the cat.\n" * 20, encoding="utf-8")
    small = {
        "hidden_size": 4,
        "seq_length": 5,
        "batch_size": 2,
        "updates": 10,
        "engine": "reference",
    }
    for name in ("quick", "classic"):
        recipe = RECIPES[name]
        monkeypatch.setitem(
            RECIPES, name, type(recipe)(name, "", "", recipe.config.replace(**small))
        )
    row = script.measure(str(text), "quick", 3)
    assert row.keys() == ROW.keys()
    assert (row["seed"], row["updates"], row["judged"]) == (3, 10, "validation")
    assert row["judged_characters"] == 103
    assert 0 < row["nats"] < 10
    assert script.measure(str(text), "quick,hidden_size=3", 0)["parameters"] < row["parameters"]
    ngrams, unigram = (script.measure_ngrams(str(text), name) for name in ("n-grams", "n-grams:1"))
    assert unigram["nats"] > ngrams["nats"]
    assert ngrams.keys() == ROW.keys()
    assert (ngrams["judged_characters"], ngrams["nats"] < 1) == (103, True)
    row = script.measure(str(text), "classic", 0)
    assert (row["judged"], row["judged_characters"]) == ("smooth loss", 0)


def test_the_script_measures_the_beginning_of_a_text(script, tmp_path):
    (tmp_path / "tea.txt").write_text("tea\r\nfür zwei", encoding="utf-8", newline="")
    with script.opened(f"{tmp_path / 'tea.txt'}:7") as path:
        assert Path(path).read_bytes() == "tea\r\nfü".encode()
        assert Path(path).name == "tea.txt:7"
    with script.opened("kjv-nt") as name:
        assert name == "kjv-nt"
