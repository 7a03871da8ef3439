"""A model is exported to a directory for a hub, and every command that takes a model opens the directory."""

import json
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import charloom
from charloom.cli import app
from charloom.errors import CharloomError, ConfigError, DamagedError, DivergedError, WriteError
from charloom.store.atomic_files import replace_directory
from charloom.store.run_directory import is_run
from full_disk import FullDisk

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 20
FILES = ["README.md", "config.json", "model.safetensors"]
SMALL = {
    "cell": "gru", "hidden_size": 6, "seq_length": 8, "batch_size": 2, "updates": 30, "engine": "reference",
    "ngram_order": 4, "input_pairs": 20, "validation": 0.1, "judge_every": 10,
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a text, and with a run of a model that has n-grams and pairs."""
    folder = tmp_path_factory.mktemp("hub")
    (folder / "secret-diary.txt").write_text(TEXT)
    charloom.train(folder / "secret-diary.txt", run=folder / "secret-run", **SMALL)
    return folder


@pytest.fixture(scope="module")
def model(folder):
    """Return the model of the run."""
    return charloom.load(folder / "secret-run")


@pytest.fixture
def exported(model, tmp_path):
    """Return a directory with the exported model."""
    return model.export(tmp_path / "model", to="hub")


def charloom_(words, code=0):
    """Run a command in this process, and return its result. Assert its exit code."""
    done = CliRunner().invoke(app, shlex.split(words), prog_name="charloom")
    assert done.exit_code == code, done.output
    return done


def contents(folder):
    """Return the bytes of each file below a folder, by path."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# The files


def test_the_model_file_has_the_bytes_that_save_writes(model, exported, tmp_path):
    assert sorted(path.name for path in exported.iterdir()) == FILES
    saved = model.save(tmp_path / "m.safetensors").read_bytes()
    assert (exported / "model.safetensors").read_bytes() == saved
    loaded = charloom.load(exported)
    assert (loaded.update, loaded.run) == (model.update, None)
    assert loaded.sample("the ", 50, seed=3) == model.sample("the ", 50, seed=3)
    assert loaded.save(tmp_path / "again.safetensors").read_bytes() == saved


def test_the_same_model_has_the_same_bytes(model, exported, tmp_path):
    again = charloom.export(model, tmp_path / "again", to="hub")
    for name in FILES:
        assert (again / name).read_bytes() == (exported / name).read_bytes()


def test_config_json_has_the_settings(model, exported):
    about = json.loads((exported / "config.json").read_text())
    assert (about.pop("model_type"), about.pop("vocab_size")) == ("charloom", len(model.vocabulary))
    assert about == model.config.to_dict()


def test_no_file_names_the_text_or_the_run(folder, tmp_path):
    charloom_(f"export {folder / 'secret-run'} --to hub --output {tmp_path / 'model'}")
    found = contents(tmp_path / "model")
    assert len(found) == 3
    assert [path for path, data in found.items() if b"secret" in data] == []


# The model card


def card_of(directory):
    """Return the rows of the table of figures in a model card, by name."""
    lines = (directory / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    return {row[0]: row[1] for row in rows if len(row) == 2}


def test_the_card_has_the_figures(model, exported):
    weights = sum(array.size for array in model.parameters.values())
    nats = model.evaluate().nats
    assert card_of(exported) == {
        "cell": "gru", "layers": "1", "hidden units per layer": "6",
        "vocabulary": f"{len(model.vocabulary)} characters",
        "weights": f"{weights:,} of type float32",
        "n-grams": "up to 4 characters", "inputs for pairs": "20",
        "updates": str(model.update),
        "validation loss": f"{nats:.3f} nats or {nats / np.log(2):.3f} bits per character",
    }  # fmt: skip
    card = (exported / "README.md").read_text(encoding="utf-8")
    assert "It is a GRU with 1 layer of 6 hidden units, trained with charloom.\n" in card
    assert "\ncharloom sample DIRECTORY --length 500\n" in card
    assert "shows which\nstrings of up to 4 characters the text contains" in card


def test_the_card_has_only_a_loss_of_the_exported_weights(model, folder, tmp_path):
    """Other weights are: those of another checkpoint, of the network alone, and changed ones."""
    alone = model.export(tmp_path / "alone", to="hub", network_alone=True)
    assert not {"validation loss", "n-grams"} & set(card_of(alone))
    assert "n-grams" not in (alone / "README.md").read_text()
    file = model.save(tmp_path / "m.safetensors")
    assert "validation loss" not in card_of(charloom.export(file, tmp_path / "of-file", to="hub"))
    changed = charloom.load(folder / "secret-run")
    changed.parameters["c"][0] += 1
    figures = card_of(changed.export(tmp_path / "changed", to="hub"))
    assert not {"validation loss", "updates"} & set(figures)


def test_the_card_has_no_loss_if_the_best_model_is_another_one(model, tmp_path):
    latest = replace(model.learner, best_update=model.update - 10)
    other = replace(model, learner=latest)
    assert "validation loss" not in card_of(other.export(tmp_path / "latest", to="hub"))


def test_the_user_says_what_the_text_was_and_names_a_license(model, exported, tmp_path):
    plain = (exported / "README.md").read_text(encoding="utf-8")
    assert "\nlicense: unknown\n" in plain
    words = {"about": "  tales of cats.  ", "license": "cc-by-4.0"}
    card = model.export(tmp_path / "described", to="hub", **words) / "README.md"
    described = plain.replace("unknown", "cc-by-4.0").replace(
        "trained with charloom.", "trained with charloom. It was trained on tales of cats."
    )
    comment = "\n<!-- charloom "  # the last line has a checksum of the rest
    assert card.read_text(encoding="utf-8").partition(comment)[0] == described.partition(comment)[0]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ({"license": "MIT License"}, "license is 'MIT License'; it must be an identifier"),
        ({"license": "mit\nlibrary_name: other"}, "it must be an identifier"),
        ({"license": ""}, "it must be an identifier"),
        ({"license": 3}, "license is 3; it must be a str"),
        ({"about": " "}, "about is empty; say what the model was trained on"),
        ({"about": 3}, "about is 3; it must be a str"),
        ({"to": "torch", "about": "cats"}, 'about is only for to="hub" and to="html"; leave it out'),
        ({"to": "html", "license": "mit"}, 'license is only for to="hub"; leave it out'),
    ],
)  # fmt: skip
def test_wrong_words_are_refused(words, sentence, model, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        model.export(tmp_path / "x", **{"to": "hub", **words})
    assert not (tmp_path / "x").exists()


def test_a_model_that_is_not_finite_is_refused(folder, tmp_path):
    broken = charloom.load(folder / "secret-run")
    broken.parameters["V"][0, 0] = np.nan
    with pytest.raises(DivergedError, match="V is no longer finite"):
        broken.export(tmp_path / "x", to="hub")
    assert not (tmp_path / "x").exists()


# Opening


@pytest.mark.parametrize(
    "command",
    [
        "sample model --length 20 --engine reference",
        "evaluate model text.txt --engine reference",
        "score model text.txt --engine reference",
        "neurons model text.txt --engine reference",
        "export model --to torch --network-alone --output x.safetensors",
        "train text.txt --from model --updates 2 --run runs/further --engine reference",
    ],
)
def test_every_command_that_takes_a_model_opens_the_directory(
    command, exported, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    if command.startswith("export"):
        charloom_(command, code=2)  # it opens the model and then refuses its pairs
        command = command.replace("torch", "onnx")
    charloom_(command)


def test_the_cache_of_a_hub_is_opened_though_its_files_are_links(exported, model, tmp_path):
    snapshot = tmp_path / "snapshots" / "0a1b"
    snapshot.mkdir(parents=True)
    for number, name in enumerate(FILES):
        (exported / name).rename(tmp_path / f"blob{number}")
        (snapshot / name).symlink_to(Path("..", "..", f"blob{number}"))
    (snapshot / ".gitattributes").write_text("")
    assert charloom.load(snapshot).sample("the ", 20) == model.sample("the ", 20)


def test_a_run_with_a_model_file_in_it_remains_a_run(folder, tmp_path):
    run = tmp_path / "run"
    charloom.train(string=TEXT, run=run, **SMALL)
    charloom.load(run).save(run / "model.safetensors")
    assert is_run(run)
    assert charloom.load(run).run == run


def test_a_model_directory_is_not_a_run(exported):
    assert not is_run(exported)
    before = contents(exported)
    for command in ("resume", "report"):
        done = charloom_(f"{command} {exported}", code=2)
        assert "model is not a run: it has a model that was exported to a hub" in done.stderr
    assert "is not a run directory" in charloom_(f"control {exported} pause", code=2).stderr
    assert contents(exported) == before


@pytest.mark.parametrize(
    "about",
    ["{", "[]", '{"model_type": "gpt2"}', "{}", '{"model_type": "charloom"' + " " * 65536 + "}"],
)
def test_a_directory_with_another_config_json_is_not_a_model_directory(about, exported):
    (exported / "config.json").write_text(about)
    assert is_run(exported)
    with pytest.raises(CharloomError, match=r"config\.json|is not a run"):
        charloom.load(exported)


def test_a_damaged_model_file_in_a_directory_is_named(exported):
    file = exported / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(DamagedError, match=r"model/model\.safetensors is damaged"):
        charloom.load(exported)


# Replacing


def test_the_command_refuses_an_existing_directory_unless_forced(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = shlex.quote(str(folder / "secret-run"))
    done = charloom_(f"export {run} --to hub")
    assert done.stdout.startswith("import charloom\n\nmodel = charloom.load('secret-run-hub')\n")
    assert "show which strings of up to 4 characters its training text contains" in done.stderr
    before = contents(tmp_path)
    done = charloom_(f"export {run} --to hub --license mit", code=2)
    assert (
        "secret-run-hub exists; name another directory with --output, or give --force"
        in done.stderr
    )
    assert contents(tmp_path) == before
    charloom_(f"export {run} --to hub --license mit --force")
    assert "license: mit" in Path("secret-run-hub/README.md").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret-run-hub"]


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        ("x", "x is a file; give the path of a directory"),
        ("x/notes.txt", r"x contains 'notes\.txt', so it is not a directory that an export"),
        ("x/README.md", r"x contains 'README\.md'"),
    ],
)
def test_other_files_are_not_replaced(made, sentence, model, tmp_path):
    (tmp_path / made).parent.mkdir(exist_ok=True)
    (tmp_path / made).write_text("mine")
    with pytest.raises(ConfigError, match=sentence):
        model.export(tmp_path / "x", to="hub")
    assert contents(tmp_path) == {tmp_path / made: b"mine"}


def test_a_file_that_was_added_to_an_export_is_not_removed(model, exported):
    (exported / ".gitattributes").write_text("mine")
    with pytest.raises(ConfigError, match=r"contains '\.gitattributes'"):
        model.export(exported, to="hub")
    assert (exported / ".gitattributes").read_text() == "mine"


def test_a_run_is_not_replaced_by_its_own_export(folder):
    done = charloom_(
        f"export {folder / 'secret-run'} --to hub --output {folder / 'secret-run'} --force", code=2
    )
    assert "secret-run contains" in done.stderr


@pytest.mark.parametrize("before", [False, True], ids=["new", "replaced"])
@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupt_after_a_rename_leaves_the_old_or_the_new_directory(
    before, step, tmp_path, monkeypatch
):
    path = tmp_path / "directory"
    if before:
        replace_directory(path, {"a": b"old"})
    steps, rename = 0, Path.rename

    def interrupted(self, target):
        nonlocal steps
        rename(self, target)
        steps += 1
        if steps == step:
            raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", interrupted)
    if before or step == 1:
        with pytest.raises(KeyboardInterrupt):
            replace_directory(path, {"a": b"new"})
    else:
        replace_directory(path, {"a": b"new"})
    assert (path / "a").read_bytes() == (b"old" if before and step == 1 else b"new")
    assert [found.name for found in tmp_path.iterdir()] == ["directory"]


def test_the_model_file_of_a_directory_is_not_overwritten_by_its_own_export(exported, model):
    inside = exported / "model.safetensors"
    before = inside.read_bytes()
    with pytest.raises(ConfigError, match="is the model itself"):
        charloom.export(exported, inside, to="html")
    done = charloom_(f"export {exported} --to html --output {inside} --force", code=2)
    assert "is the model itself" in done.stderr
    assert inside.read_bytes() == before


def test_a_card_that_a_user_edited_is_kept_and_one_that_charloom_wrote_is_replaced(
    exported, model, folder, tmp_path
):
    card = exported / "README.md"
    written = card.read_bytes()
    model.export(exported, to="hub", about="other words")  # no warning, which would be an error
    assert b"other words" in card.read_bytes()
    model.export(exported, to="hub")
    assert card.read_bytes() == written
    card.write_bytes(written.replace(b"\n", b"\r\n"))  # as an editor or git may leave it on Windows
    model.export(exported, to="hub")
    assert card.read_bytes() == written
    for edited in (written + b"mine\n", written.replace(b"# ", b"# My ", 1), b"mine", b""):
        card.write_bytes(edited)
        with pytest.warns(
            UserWarning, match=r"README\.md was edited, so it is kept; delete it"
        ) as found:
            charloom.export(model, exported, to="hub", about="other words")
        assert found[0].filename == __file__
        assert card.read_bytes() == edited
    charloom_(f"export {folder / 'secret-run'} --to hub --output {exported} --force")
    assert b"mine" not in card.read_bytes()
    card.unlink()
    model.export(exported, to="hub")
    assert card.read_bytes() == written


def test_a_directory_is_replaced_whole_or_not_at_all_on_a_full_disk(tmp_path, monkeypatch):
    path, old, new = tmp_path / "x", {"a": b"old", "b": b"old"}, {"a": b"new", "c": [b"new", b"er"]}
    disk, failed, failing = FullDisk(monkeypatch), 0, True
    while failing:
        replace_directory(path, old)
        disk.arm(failed + 1)
        try:
            replace_directory(path, new)
        except WriteError:
            failed += 1
        failing = disk.disarm()
        assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
        assert contents(path) in (
            {path / "a": b"old", path / "b": b"old"},
            {path / "a": b"new", path / "c": b"newer"},
        )
    assert failed > 10


def test_a_link_to_a_directory_remains_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    replace_directory(tmp_path / "link", {"a": b"new"})
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_bytes() == b"new"
