"""Export and import as Python functions, and further training of an imported network."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import charloom
from charloom.cell_table import CELL_NAMES
from charloom.cli import app
from charloom.config import Config
from charloom.errors import ConfigError, TextError
from charloom.finetune import BEGINNING, NETWORK
from charloom.recipes import recipe_of

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 8
SMALL = {"recipe": "classic", "seq_length": 5, "updates": 6, "engine": "reference"}


@pytest.fixture(scope="module", params=CELL_NAMES)
def model(request):
    """Return a model with two layers, for each cell."""
    return charloom.train(string=TEXT, cell=request.param, layers=2, hidden_size=4, **SMALL)


@pytest.fixture
def theirs(model, tmp_path):
    """Return a file of the same network with only a state_dict, as other programs write it."""
    path = tmp_path / "theirs.safetensors"
    save_file(load_file(model.export(tmp_path / "ours.safetensors")), path)
    return path


def same(one, other):
    """Return True if two models have the same weights and vocabulary and sample the same text."""
    return (
        one.vocabulary == other.vocabulary
        and all(np.array_equal(one.parameters[n], other.parameters[n]) for n in one.parameters)
        and one.sample("the ", length=30, seed=1) == other.sample("the ", length=30, seed=1)
    )


def test_an_exported_model_can_be_imported_again(model, tmp_path):
    path = model.export(tmp_path / "book.torch.safetensors")
    assert path == tmp_path / "book.torch.safetensors"
    names = set(load_file(path))
    parts = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    assert names == {"head.weight", "head.bias"} | {f"rnn.{p}_l{n}" for p in parts for n in (0, 1)}
    back = charloom.import_model(path, engine="reference")
    assert same(back, model)
    assert back.config == model.config
    assert (back.run, back.update) == (None, None)


def test_the_command_and_the_functions_write_the_same_bytes(model, tmp_path):
    file = model.save(tmp_path / "m.safetensors")
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    one, two, three = (tmp_path / name / "x.safetensors" for name in ("one", "two", "three"))
    model.export(one)
    charloom.export(file, two)
    done = CliRunner().invoke(app, ["export", str(file), "--output", str(three)])
    assert done.exit_code == 0, done.output
    assert one.read_bytes() == two.read_bytes() == three.read_bytes()


def test_an_unknown_target_is_refused_before_the_output_file_and_the_model(model, tmp_path):
    file, there = model.save(tmp_path / "m.safetensors"), tmp_path / "there.safetensors"
    there.write_bytes(b"")
    for source, output in ((file, there), (file, file), (tmp_path / "missing", there)):
        words = ["export", str(source), "--to", "jax", "--output", str(output)]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2
        assert done.stderr == "charloom: --to is 'jax'; it must be one of torch, onnx, hub, html.\n"


def test_exporting_a_run_exports_its_best_model(tmp_path):
    run = tmp_path / "run"
    settings = SMALL | {"validation": 0.2, "judge_every": 1, "learning_rate": 1.0, "updates": 12}
    charloom.train(string=TEXT, run=run, hidden_size=4, **settings)
    back = charloom.import_model(charloom.export(run, tmp_path / "x.safetensors"))
    best = charloom.load(run, which="best")
    assert np.array_equal(back.parameters["V"], best.parameters["V"])


@pytest.mark.parametrize("kind", ["list", "text", "json"])
def test_a_vocabulary_can_be_given_for_a_file_without_one(model, theirs, tmp_path, kind):
    characters = list(model.vocabulary.characters)
    (tmp_path / "book.txt").write_text(TEXT)
    (tmp_path / "characters.json").write_text(json.dumps(characters))
    vocabulary = {
        "list": characters,
        "text": tmp_path / "book.txt",
        "json": str(tmp_path / "characters.json"),
    }[kind]
    with pytest.raises(TextError):
        charloom.import_model(theirs)
    back = charloom.import_model(theirs, vocabulary=vocabulary, engine="reference")
    assert same(back, model)


def test_wrong_targets_are_refused(model, tmp_path):
    file = model.save(tmp_path / "m.safetensors")
    with pytest.raises(ConfigError, match="is the model itself"):
        charloom.export(file, file)
    with pytest.raises(ConfigError, match="to is 'jax'; it must be one of torch, onnx, hub, html"):
        model.export(tmp_path / "x", to="jax")
    with pytest.raises(ConfigError, match="is a directory"):
        model.export(tmp_path)


def test_an_imported_network_is_trained_further_with_the_recipe_quick(model, theirs):
    back = charloom.import_model(theirs, vocabulary=list(model.vocabulary.characters))
    quick = recipe_of("quick").config.to_dict()
    own = {*NETWORK, *BEGINNING, "dtype"}
    found = back.config.to_dict()
    assert {n: v for n, v in found.items() if n not in own} == {
        n: v for n, v in quick.items() if n not in own
    }
    assert back.config.optimizer != Config().optimizer
    further = charloom.train(string=TEXT, from_model=back, updates=2, seq_length=5, batch_size=2)
    assert (further.config.recipe, further.config.optimizer) == ("quick", "adamw")
    assert further.config.validation > 0
    named = charloom.train(string=TEXT, from_model=back, recipe="classic", updates=2)
    assert named.config.optimizer == "adagrad"


def test_the_commands_name_the_recipe(model, theirs, tmp_path):
    (tmp_path / "book.txt").write_text(TEXT)
    (tmp_path / "c.json").write_text(json.dumps(list(model.vocabulary.characters)))

    def command(*words):
        done = CliRunner().invoke(app, [str(word) for word in words], prog_name="charloom")
        assert done.exit_code == 0, done.output
        return done

    imported, options = tmp_path / "m.safetensors", ("--seq-length", 5, "--batch-size", 2)
    done = command("import", theirs, "--vocabulary", tmp_path / "c.json", "--output", imported)
    assert "keeps its settings, which started from the recipe quick" in done.stderr
    assert f"charloom train TEXT --from {imported}. It" in done.stderr
    train = ("train", tmp_path / "book.txt", "--from", imported, "--updates", 1, *options)
    done = command(*train, "--run", tmp_path / "one")
    assert (
        "its settings, which started from the recipe quick; give --recipe to use another"
        in done.stderr
    )
    done = command(*train, "--run", tmp_path / "two", "--recipe", "classic")
    assert "its own settings" not in done.stderr


def test_importing_charlooms_own_file_does_not_announce_the_recipes_values(tmp_path):
    own = charloom.train(
        string=TEXT, **{**SMALL, "recipe": "quick", "batch_size": 3, "ngram_order": 0}
    )
    own.export(tmp_path / "own.torch.safetensors")
    back = charloom.import_model(tmp_path / "own.torch.safetensors")
    assert (back.config.recipe, back.config.batch_size) == ("quick", 3)
    words = ["import", "own.torch.safetensors", "--output", "m.safetensors"]
    words = [str(tmp_path / word) if word.endswith("safetensors") else word for word in words]
    done = CliRunner().invoke(app, words, prog_name="charloom")
    assert "its settings, which started from the recipe quick" in done.stderr
    assert "by the settings of the recipe" not in done.stderr
