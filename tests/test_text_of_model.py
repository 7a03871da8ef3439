"""A model knows the text it was trained on, and each figure names its text and part."""

import json
import pickle
import shutil

import pytest
from typer.testing import CliRunner

import charloom
from charloom.cli import app
from charloom.errors import ConfigError, TextError

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 12
OTHER = "a hat sat on a mat.\n" * 8
SMALL = {
    "recipe": "classic", "hidden_size": 4, "seq_length": 5, "updates": 12, "validation": 0.25,
    "engine": "reference",
}  # fmt: skip
END = (len(TEXT) * 3 // 4, len(TEXT))


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """Write a text to a file, and return its path."""
    path = tmp_path_factory.mktemp("texts") / "book.txt"
    path.write_text(TEXT)
    return path


@pytest.fixture(scope="module", params=["memory", "run", "loaded", "pickled"])
def model(request, tmp_path_factory, book):
    """Return a trained model. The parameters are all ways in which its text can be known."""
    run = None if request.param in ("memory", "pickled") else tmp_path_factory.mktemp("r") / "run"
    trained = charloom.train(book, run, **SMALL)
    if request.param == "pickled":
        return pickle.loads(pickle.dumps(trained))
    return charloom.load(run, engine="reference") if request.param == "loaded" else trained


def test_without_a_text_the_models_own_validation_part_is_evaluated(model):
    found = model.evaluate()
    assert (found.text, found.own, found.split) == ("book.txt", True, "validation")
    assert (found.segments, found.length) == ((END,), len(TEXT))
    assert str(found).startswith(
        f"book.txt (the model's own text), validation: characters {END[0] + 1:,} to {len(TEXT):,} of "
        f"{len(TEXT):,}: {found.nats:.4f} nats or {found.bits:.4f} bits per character"
    )


def test_the_models_own_text_is_recognised_when_it_is_given(model, book):
    wanted = model.evaluate()
    assert model.evaluate(book) == wanted
    found = model.evaluate(string=TEXT)
    assert (found.own, found.split, found.nats) == (True, "validation", wanted.nats)
    whole = model.evaluate(string=TEXT, split="all")
    assert (whole.split, whole.segments) == ("all", ((0, len(TEXT)),))
    assert "all of it, including the training part" in str(whole)


def test_another_text_is_evaluated_completely(model):
    found = model.evaluate(string=OTHER)
    assert (found.own, found.split, found.characters) == (False, "all", len(OTHER) - 1)
    assert "own text" not in str(found)
    assert ", all of it: " in str(found)
    assert model.evaluate(string=TEXT + OTHER).own is False


def test_baselines_and_neurons_read_the_same_part(model):
    found = model.baselines()
    assert found.judged == END[1] - END[0] - 1
    with pytest.raises(ConfigError, match="cannot be evaluated on it"):
        model.baselines(string=TEXT, split="all")
    neurons = charloom.neurons(model, string=TEXT, properties=["in-word"])
    assert (neurons.split, neurons.characters) == ("validation", END[1] - END[0])


def test_without_a_validation_part_the_training_part_is_named():
    model = charloom.train(string=TEXT, **(SMALL | {"validation": 0.0}))
    assert (model.evaluate().split, model.evaluate(string=TEXT).split) == ("train", "train")


def test_a_model_file_does_not_have_its_text(model, tmp_path):
    alone = charloom.load(model.save(tmp_path / "m.safetensors"), engine="reference")
    with pytest.raises(TextError, match="the text that it was trained on is not known"):
        alone.evaluate()
    assert alone.evaluate(string=TEXT).split == "all"


def test_a_kept_checkpoint_of_a_run_has_the_text_of_the_run(tmp_path, book, monkeypatch):
    charloom.train(book, tmp_path / "run", save_every=4, **SMALL)
    kept = charloom.load(tmp_path / "run" / "checkpoints" / "8", engine="reference")
    found = kept.evaluate()
    assert (found.text, found.own, found.split) == ("book.txt", True, "validation")
    assert (kept.run, kept.which, kept.stage) == (tmp_path / "run", None, "update 8 of 12")
    assert charloom.neurons(kept, properties=["vowel"]).text == "book.txt"
    assert charloom.ablate(kept).text == charloom.fixed_points(kept, starts=1).text == "book.txt"
    monkeypatch.chdir(tmp_path / "run" / "checkpoints")
    assert charloom.load("8", engine="reference").evaluate().nats == found.nats


def test_a_checkpoint_outside_a_run_does_not_have_its_text(tmp_path, book):
    charloom.train(book, tmp_path / "run", save_every=4, **SMALL)
    (tmp_path / "checkpoints").mkdir()
    shutil.copytree(tmp_path / "run" / "checkpoints" / "8", tmp_path / "checkpoints" / "8")
    for path in (tmp_path / "checkpoints" / "8", tmp_path / "run" / "8"):
        if not path.exists():
            shutil.copytree(tmp_path / "run" / "checkpoints" / "8", path)
        with pytest.raises(TextError, match="the text that it was trained on is not known"):
            charloom.load(path).evaluate()


def test_a_comparison_of_checkpoints_says_how_to_compare_them(tmp_path, book):
    charloom.train(book, tmp_path / "run", save_every=4, **SMALL)
    kept = tmp_path / "run" / "checkpoints" / "8"
    done = CliRunner().invoke(app, ["compare", str(kept), str(tmp_path / "run")])
    assert done.exit_code == 2
    assert "is a checkpoint of the run" in " ".join(done.stderr.split())
    assert "evaluate each of them" in " ".join(done.stderr.split())


def test_the_command_recognises_the_text_and_says_the_part(tmp_path, book):
    charloom.train(book, tmp_path / "run", **SMALL)

    def evaluate(*words):
        done = CliRunner().invoke(app, ["evaluate", str(tmp_path / "run"), *map(str, words)])
        assert done.exit_code == 0, done.output
        return done.stdout

    assert f"book.txt, validation: characters {END[0] + 1:,} to" in evaluate(book)
    result = json.loads(evaluate(book, "--json"))
    assert (result["own"], result["split"], result["segments"]) == (True, "validation", [list(END)])
    other = tmp_path / "other.txt"
    other.write_text(OTHER)
    assert "other.txt, all of it\n" in evaluate(other)
    assert json.loads(evaluate(other, "--json"))["own"] is False


def test_a_run_whose_text_was_moved_asks_for_it_and_reads_no_other_text(tmp_path):
    book = tmp_path / "book.txt"
    book.write_text(TEXT)
    charloom.train(book, tmp_path / "run", **SMALL)
    moved = book.rename(tmp_path / "moved.txt")
    model = charloom.load(tmp_path / "run", engine="reference")
    for read in (model.evaluate, lambda: charloom.neurons(model)):
        with pytest.raises(
            TextError, match=r"If it was moved, give its new path as the text to read\.$"
        ):
            read()
    for command in ("evaluate", "neurons"):
        done = CliRunner().invoke(app, [command, str(tmp_path / "run")])
        assert done.exit_code == 2
        assert "give its new path as the text to read" in " ".join(done.stderr.split())
        assert "--text" not in done.stderr
    assert model.evaluate(moved).own
