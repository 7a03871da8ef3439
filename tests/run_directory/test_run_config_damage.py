"""A damaged `config.json` is found, and restored from the checkpoint if the caller allows it."""

import json

import pytest

from charloom.api import training as api_training
from charloom.errors import DamagedError, NotAModelError, TextError
from charloom.store import load_model, read_run
from reliability.run_training import reopen
from run_files import open_file, reopened, same_parameters
from small_runs import TEXT, after, resume, train


def test_a_config_that_contradicts_the_checkpoint_is_damage(halted):
    about = json.loads((halted / "config.json").read_bytes())
    about["config"]["learning_rate"] = 0.2
    (halted / "config.json").write_text(json.dumps(about))
    with pytest.raises(DamagedError, match="changed after it was written"):
        reopen(halted)
    unsealed(halted, about)
    with pytest.raises(DamagedError, match="disagree about learning_rate"):
        reopen(halted)


def unsealed(run, about, **changes):
    """Write a config.json without a seal, as earlier versions did."""
    about = {**about, "format": 1, **changes}
    del about["sha256"]
    (run / "config.json").write_text(json.dumps(about))


def test_a_config_with_other_fields_says_which_it_must_have(halted):
    about = json.loads((halted / "config.json").read_bytes())
    unsealed(halted, about, colour="red")
    wanted = "has the fields colour, config, format, text, version; it must have config, format, text, version"
    with pytest.raises(DamagedError, match=wanted):
        reopen(halted)
    del about["sha256"]
    (halted / "config.json").write_text(json.dumps(about))
    with pytest.raises(DamagedError, match="it must have config, format, sha256, text, version"):
        reopen(halted)


def test_a_config_without_a_seal_is_read_and_its_vocabulary_size_checked(halted):
    about = json.loads((halted / "config.json").read_bytes())
    unsealed(halted, about)
    assert read_run(halted).version == about["version"]
    reopened(halted)
    about["text"]["vocabulary_size"] += 1
    unsealed(halted, about)
    with pytest.raises(DamagedError, match="its vocabulary has"):
        reopen(halted)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"seq_length":10', b'"seq_length":11'),
        (b'"dropout":0.0', b'"dropout":0.1'),
        (b'"epochs":2', b'"epochs":3'),
        (b'"name":"cat"', b'"name":"cap"'),
        (b'"sha256"', b'"sha257"'),
    ],
)
def test_every_reader_finds_a_changed_digit_in_config_json(halted, old, new):
    data = (halted / "config.json").read_bytes()
    assert data.count(old) == 1
    (halted / "config.json").write_bytes(data.replace(old, new))
    for look in (read_run, reopen):
        with pytest.raises(DamagedError, match=r"config\.json"):
            look(halted)


ABOUT_HARM = {
    "flipped": lambda data: data.replace(b'"epochs":3', b'"epochs":4'),
    "empty": lambda data: b"",
    "cut": lambda data: data[:-40],
    "gone": lambda data: None,
}


@pytest.mark.parametrize("kept", [True, False], ids=["kept text", "text in a file"])
@pytest.mark.parametrize("harm", ABOUT_HARM)
def test_a_damaged_config_is_restored_from_the_checkpoint_if_allowed(tmp_path, harm, kept):
    run, book = tmp_path / "run", tmp_path / "cat.txt"
    corpus = None if kept else open_file(book)
    train(run, corpus, halt=after(8), epochs=3)
    train(tmp_path / "whole", corpus, epochs=3)
    update, path = load_model(run).update, run / "config.json"
    before = path.read_bytes()
    data = ABOUT_HARM[harm](before)
    path.unlink()
    if data is not None:
        path.write_bytes(data)
    option = "" if kept else ", text=TEXT"
    warning = (
        rf'config\.json.* is intact: charloom\.resume\("{run}", allow_older=True{option}\) restores .*'
        rf'charloom\.train\(TEXT, from_model="{run}/checkpoints/{update}"\) starts a new run with its weights'
    )
    looks = [read_run, reopen, api_training.reopen]
    if not kept:
        looks.append(lambda run: reopen(run, allow_older=True))
    for look in looks:
        with pytest.raises((DamagedError, NotAModelError), match=warning):
            look(run)
    assert load_model(run / "checkpoints" / str(update)).update == update
    text = None if kept else [book]
    (tmp_path / "other.txt").write_text(TEXT[1:])
    with pytest.raises(TextError, match="is not the text that"):
        reopen(run, text=[tmp_path / "other.txt"], allow_older=True)
    items = resume(run, text=text, allow_older=True)
    assert f"restored from the checkpoint of update {update}" in items[0].message
    made, old = json.loads(path.read_bytes()), json.loads(before)
    assert made["config"] == old["config"]
    made["text"]["name"] = old["text"]["name"] if kept else made["text"]["name"]
    assert made["text"] == old["text"]
    assert same_parameters(load_model(run), load_model(tmp_path / "whole"))
    reopened(run)


@pytest.mark.parametrize(
    "change",
    [
        {"text": None},
        {"text": {}},
        {"config": {"cell": "X"}},
        {"format": None},
        {"config": None},
        {"more": 0},
    ],
    ids=str,
)
def test_an_impossible_config_json_is_damage(halted, change):
    about = json.loads((halted / "config.json").read_bytes())
    unsealed(halted, about, **change)
    for look in (read_run, reopen):
        with pytest.raises(DamagedError, match=r"config\.json"):
            look(halted)


@pytest.mark.parametrize("characters", [-1, 2**70, 1.5, True, None])
def test_an_impossible_number_of_characters_is_damage(halted, characters):
    about = json.loads((halted / "config.json").read_bytes())
    about["text"]["characters"] = characters
    unsealed(halted, about)
    for look in (read_run, reopen):
        with pytest.raises(DamagedError, match=r"config\.json"):
            look(halted)
