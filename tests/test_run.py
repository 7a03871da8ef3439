"""Tests of the run directory: one writer, resuming after interruptions, reading while it is written."""

import dataclasses
import errno
import hashlib
import itertools
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from charloom.api import training as api_training
from charloom.engines.reference import ReferenceEngine
from charloom.errors import (
    ConfigError,
    DamagedError,
    MissingPartError,
    NotAModelError,
    ReadError,
    RunExistsError,
    RunInUseError,
    TextError,
    WriteError,
)
from charloom.model import new_learner
from charloom.store import (
    RunWriter,
    load_checkpoint,
    load_model,
    read_control,
    read_run,
    read_status,
    run_reader,
    write_control,
)
from charloom.store import run_writer as run_module
from charloom.store.atomic_files import remove_directory, replace_file
from charloom.store.checkpoint import FILES, manifest_of
from charloom.store.journal import Journal, read_lines
from charloom.store.json_format import canonical_json
from charloom.store.opening import update_told
from charloom.store.run_directory import load_at, saved_updates
from charloom.text import Corpus
from charloom.training import train_run
from reliability.calls import Calls
from reliability.runs import lasting
from runs import (
    TEXT,
    FullDisk,
    after,
    create,
    lines_of,
    resume,
    small_config,
    small_corpus,
    temporaries,
    train,
    tree,
)


def open_file(path, text=TEXT):
    """Return the corpus of a text file."""
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    return Corpus.open([path])


def names(run):
    """Return the names in a run directory."""
    return {path.name for path in run.iterdir()}


def checkpoints(run):
    """Return the updates with a checkpoint, and the pointers."""
    return {path.name for path in (run / "checkpoints").iterdir()}


@pytest.fixture
def halted(tmp_path):
    """Return a run that was interrupted in its first epoch."""
    train(tmp_path / "run", halt=after(8))
    return tmp_path / "run"


# Creating a run


def test_a_new_run_can_be_resumed_before_its_first_update(tmp_path):
    run = tmp_path / "deep" / "run"
    writer, learner, corpus = create(run)
    with writer:
        assert writer.saved_update == 0
        assert checkpoints(run) == {"0", "latest"}
        manifest = (run / "checkpoints" / "0" / "MANIFEST").read_bytes()
        seal = hashlib.sha256(b"latest 0\n" + manifest).hexdigest()
        assert (run / "checkpoints" / "latest").read_bytes() == f"0 {seal}\n".encode()
    assert names(run) == {
        "checkpoints",
        "config.json",
        "events.jsonl",
        "lock",
        "metrics.jsonl",
        "samples.jsonl",
        "text.txt",
    }
    about = json.loads((run / "config.json").read_bytes())
    assert about["config"] == learner.config.to_dict()
    assert about["text"] == {
        "name": "cat",
        "sources": [],
        "characters": len(TEXT),
        "fingerprint": corpus.fingerprint,
        "vocabulary_size": len(corpus.vocabulary),
    }
    assert set(about) == {"config", "format", "sha256", "text", "version"}
    resume(run)
    train(tmp_path / "whole")
    assert lasting(run) == lasting(tmp_path / "whole")


def test_model_files_contain_no_path(tmp_path):
    train(tmp_path / "run", open_file(tmp_path / "secret.txt"))
    for name, data in tree(tmp_path / "run" / "checkpoints").items():
        assert b"secret" not in data, name
        assert os.fsencode(tmp_path) not in data, name


def test_existing_files_are_never_overwritten(tmp_path, halted):
    (tmp_path / "file").write_bytes(b"mine")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "diary.txt").write_bytes(b"mine")
    before = tree(tmp_path)
    for name in ("run", "file", "other"):
        with pytest.raises(RunExistsError, match=name):
            create(tmp_path / name)
    assert tree(tmp_path) == before


def test_a_run_can_be_created_in_an_empty_directory_or_after_an_interrupted_creation(tmp_path):
    (tmp_path / "run").mkdir()
    create(tmp_path / "run")[0].close()
    (tmp_path / "run" / "checkpoints" / "latest").unlink()
    with pytest.raises(NotAModelError, match="Train again with the same run"):
        RunWriter.resume(tmp_path / "run")
    with pytest.raises(NotAModelError, match="no checkpoint yet"):
        load_model(tmp_path / "run")
    train(tmp_path / "run")
    train(tmp_path / "whole")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_checkpoints_without_a_config_are_not_overwritten(tmp_path, halted):
    (halted / "config.json").unlink()
    with pytest.raises(RunExistsError):
        create(halted)
    (halted / "checkpoints" / "latest").unlink()
    with pytest.raises(RunExistsError):
        create(halted)


def test_a_users_files_with_a_runs_names_are_not_taken_for_a_run(tmp_path):
    for name, files in {
        "texts": ["text.txt"],
        "journals": ["text.txt", "metrics.jsonl"],
        "locked journals": ["lock", "metrics.jsonl"],
        "models": ["lock", "checkpoints/epoch-1.pt"],
        "other settings": ["lock", "config.json"],
    }.items():
        for file in files:
            (tmp_path / name / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / file).write_bytes(b"" if file == "lock" else b"mine")
        before = tree(tmp_path / name)
        with pytest.raises(RunExistsError, match="contains other files"):
            create(tmp_path / name)
        assert tree(tmp_path / name) == before
    # The files of an interrupted creation before config.json.
    (tmp_path / "run" / "checkpoints").mkdir(parents=True)
    for file in ("lock", "text.txt", ".tmp-config.json-1"):
        (tmp_path / "run" / file).write_bytes(b"")
    create(tmp_path / "run")[0].close()


def test_an_endless_config_json_is_refused_immediately(tmp_path):
    (tmp_path / "pipe").mkdir()
    os.mkfifo(tmp_path / "pipe" / "config.json")
    (tmp_path / "link").mkdir()
    (tmp_path / "link" / "config.json").symlink_to("/dev/zero")
    for name in ("pipe", "link"):
        with pytest.raises(RunExistsError):
            create(tmp_path / name)


def test_links_instead_of_directories_are_not_followed(halted, tmp_path):
    latest = (halted / "checkpoints" / "latest").read_text().split()[0]
    whole, one, empty = (tmp_path / name for name in ("whole", "one", "empty"))
    for run in (whole, one):
        shutil.copytree(halted, run)
    shutil.rmtree(whole / "checkpoints")
    (whole / "checkpoints").symlink_to(halted / "checkpoints")
    shutil.rmtree(one / "checkpoints" / latest)
    (one / "checkpoints" / latest).symlink_to(halted / "checkpoints" / latest)
    empty.mkdir()
    (empty / "checkpoints").symlink_to(tmp_path)
    before = tree(tmp_path)
    for run in (whole, one):
        for look in (
            load_model,
            RunWriter.resume,
            lambda run: load_model(run / "checkpoints" / latest),
        ):
            with pytest.raises(DamagedError, match="is not a plain directory but a link"):
                look(run)
        with pytest.raises(RunExistsError):
            create(run)
    assert saved_updates(whole) == []
    assert int(latest) not in saved_updates(one)
    with pytest.raises(RunExistsError):
        create(empty)
    assert tree(tmp_path) == before


def test_after_a_full_disk_at_any_step_the_run_can_be_created_again(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    run = tmp_path / "run"
    for step in itertools.count(1):
        disk.arm(step)
        with suppress(WriteError):
            create(run)[0].close()
        if not disk.disarm():
            break
        if (run / "checkpoints" / "latest").exists():  # only what comes after was refused
            reopened(run)
            shutil.rmtree(run)
    assert step > 20
    resume(run)


def test_a_too_short_text_creates_no_directory(tmp_path):
    with pytest.raises(TextError, match="seq_length"):
        create(tmp_path / "run", Corpus.from_text("too short"))
    assert not list(tmp_path.iterdir())


# One writer


@pytest.mark.parametrize("second", ["train", "resume"])
def test_a_run_that_is_being_created_is_in_use(tmp_path, monkeypatch, second):
    """Checked at each call that changes a file, from the lock to the first record."""
    run, corpus = tmp_path / "run", small_corpus()
    held, told = [], []
    acquire, other = run_module.acquire, new_learner(small_config(), corpus.vocabulary)
    ways = {
        "train": lambda: RunWriter.create(run, other, corpus),
        "resume": lambda: api_training.reopen(run),
    }

    def acquired(path):
        held.append(acquire(path))
        return held[-1]

    def come(_):
        if not held or (told and told[-1] is None):
            return
        told.append(None)  # while the second one looks, nobody else comes
        with pytest.raises(RunInUseError, match="is in use") as caught:
            ways[second]()
        told[-1] = str(caught.value)

    monkeypatch.setattr(run_module, "GLANCE_SECONDS", 0.0)
    monkeypatch.setattr(run_module, "acquire", acquired)
    with Calls(run, before=come):
        writer, learner, corpus = create(run)
        with writer:
            next(train_run(writer, learner, corpus, ReferenceEngine()))
            held.clear()
    assert len(told) > 30
    assert RunWriter.resume(run)[0].close() is None


def test_a_users_file_named_lock_is_not_changed(tmp_path):
    (tmp_path / "lock").write_text("mine")
    (tmp_path / "key").write_text("mine too")
    with pytest.raises(RunExistsError, match="contains other files"):
        create(tmp_path)
    assert (tmp_path / "lock").read_text() == "mine"


def test_checking_a_lock_does_not_stop_another_process(tmp_path, monkeypatch):
    run = tmp_path / "run"
    create(run)[0].close()
    looking = run_module.acquire(run)
    waited = []

    def sleep(seconds):
        waited.append(seconds)
        looking.release()

    monkeypatch.setattr(time, "sleep", sleep)
    RunWriter.resume(run)[0].close()
    assert len(waited) == 1


def test_a_run_in_use_is_refused_and_names_the_process(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    with writer:
        with pytest.raises(RunInUseError, match="another process"):
            RunWriter.resume(run)
        items = train_run(writer, learner, corpus, ReferenceEngine())
        next(items)
        with pytest.raises(RunInUseError, match=f"process {os.getpid()} trains it"):
            RunWriter.resume(run)
        with pytest.raises(RunInUseError, match=f"process {os.getpid()} trains it"):
            create(run)
        status = read_status(run)
        for stale in ({"heartbeat": time.time() - 60}, {"state": "finished"}, {"pid": "9"}):
            (run / "status.json").write_text(json.dumps(status | stale))
            with pytest.raises(RunInUseError, match="another process"):
                RunWriter.resume(run)
        items.close()
    assert writer.closed
    RunWriter.resume(run)[0].close()


def test_resuming_that_fails_releases_the_lock(halted):
    with pytest.raises(ConfigError):
        RunWriter.resume(halted, updates=1)
    (halted / "checkpoints" / "best").write_bytes(b"../../etc\n")
    for _ in range(2):
        with pytest.raises(DamagedError, match="best"):
            RunWriter.resume(halted)
    (halted / "checkpoints" / "best").unlink()
    resume(halted)


# The text


def test_a_text_is_read_again_from_its_file(tmp_path):
    train(tmp_path / "whole")
    text = tmp_path / "cat.txt"
    train(tmp_path / "run", open_file(text), halt=after(8))
    assert "text.txt" not in names(tmp_path / "run")
    resume(tmp_path / "run")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_a_missing_or_changed_text_is_refused_without_changes(tmp_path):
    run, text = tmp_path / "run", tmp_path / "cat.txt"
    train(run, open_file(text), halt=after(8))
    before = tree(run)
    for change in (TEXT + "!", TEXT.replace("cat", "dog", 1), "Ω" * 900):
        text.write_text(change, encoding="utf-8")
        with pytest.raises(TextError, match="not the text that"):
            RunWriter.resume(run)
    text.rename(tmp_path / "elsewhere.txt")
    with pytest.raises(TextError, match=r"cat\.txt: no such file.*give its new path as text"):
        RunWriter.resume(run)
    assert tree(run) == before


def test_the_new_path_of_a_moved_text_is_used_and_remembered(tmp_path):
    run, text, moved = tmp_path / "run", tmp_path / "cat.txt", tmp_path / "moved.txt"
    train(run, open_file(text), halt=after(8))
    text.rename(moved)
    resume(run, text=[moved], halt=after(3))
    resume(run)
    assert read_run(run).text["sources"] == [str(moved)]
    train(tmp_path / "whole")
    assert lasting(run) == lasting(tmp_path / "whole")


@pytest.mark.parametrize("extra", ["\ufeff", "\ud800", "\0", "\r\n", "\U0001f600", "\u2028"])
def test_a_text_without_a_file_is_kept_exactly_in_the_run(tmp_path, extra):
    corpus = Corpus.from_text(extra + TEXT + extra)
    train(tmp_path / "run", corpus, halt=after(8))
    resume(tmp_path / "run")
    train(tmp_path / "whole", corpus)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")
    assert len(read_run(tmp_path / "run").passage) == 50


def test_a_vocabulary_with_more_characters_than_the_text_is_kept(tmp_path):
    wide = Corpus.from_text(TEXT + "xyz").vocabulary
    corpus = Corpus.from_text(TEXT, vocabulary=wide)
    train(tmp_path / "run", corpus, halt=after(8))
    _, learner, again = reopened(tmp_path / "run")
    assert learner.vocabulary == again.vocabulary == wide
    assert again.ids.tolist() == corpus.ids.tolist()


def reopened(run, **changes):
    """Open a run to resume it, and close it again."""
    opened = RunWriter.resume(run, **changes)
    opened[0].close()
    return opened


def test_a_missing_or_changed_kept_text_is_found(halted):
    data = (halted / "text.txt").read_bytes()
    (halted / "text.txt").write_bytes(data[:-1])
    with pytest.raises(TextError, match="not the text that"):
        RunWriter.resume(halted)
    (halted / "text.txt").write_bytes(b"\xff")
    with pytest.raises(DamagedError, match=r"text\.txt"):
        RunWriter.resume(halted)
    (halted / "text.txt").unlink()
    with pytest.raises(DamagedError, match=r"text\.txt"):
        RunWriter.resume(halted)


# Resuming


def test_lines_after_the_last_save_are_cut_off(halted, tmp_path):
    for name in ("metrics.jsonl", "samples.jsonl"):
        with (halted / name).open("ab") as file:
            file.write(b'{"update":10000}\n{"upd')
    with (halted / "events.jsonl").open("ab") as file:
        file.write(b'{"event":"kept","update":7}\n{"even')
    resume(halted)
    train(tmp_path / "whole")
    assert lasting(halted) == lasting(tmp_path / "whole")
    events = [event["event"] for event in read_run(halted).events]
    assert events == ["created", "started", "interrupted", "kept", "resumed", "finished"]


def test_files_of_an_interrupted_save_are_removed(halted, tmp_path):
    latest = int((halted / "checkpoints" / "latest").read_bytes().split()[0])
    kept = checkpoints(halted)
    for name in (latest + 1, latest + 700, ".tmp-999-1"):
        shutil.copytree(halted / "checkpoints" / str(latest), halted / "checkpoints" / str(name))
    (halted / "checkpoints" / ".tmp-latest-1").write_bytes(b"9")
    (halted / ".tmp-status.json-1").write_bytes(b"{")
    for name, age in {"control.json-1": 2 * 86_400, "report.html-2": 60}.items():
        (halted / f".tmp-{name}").write_bytes(b"")
        os.utime(halted / f".tmp-{name}", (time.time() - age,) * 2)
    reopened(halted)
    assert checkpoints(halted) == kept
    (fresh,) = temporaries(halted)
    assert fresh.name == ".tmp-report.html-2"  # perhaps of a report that is being made
    fresh.unlink()
    resume(halted)
    train(tmp_path / "whole")
    assert lasting(halted) == lasting(tmp_path / "whole")


def test_an_outdated_best_pointer_is_corrected(halted):
    learner = load_model(halted, "latest")
    (halted / "checkpoints" / "best").write_bytes(b"0\n")
    reopened(halted)
    assert read_run(halted).best == learner.best_update


@pytest.mark.parametrize("damage", ["missing", "flipped"])
def test_an_unusable_best_checkpoint_is_reported_and_the_best_determined_again(tmp_path, damage):
    run = tmp_path / "run"
    train(run, smoothing=0.0, halt=after(12))
    learner = load_model(run, "latest")
    best = run / "checkpoints" / str(learner.best_update)
    assert learner.best_update < learner.update
    if damage == "missing":
        shutil.rmtree(best)
    else:
        data = bytearray((best / "model.safetensors").read_bytes())
        data[-1] ^= 1
        (best / "model.safetensors").write_bytes(data)
    items = resume(run)
    assert "the best model is determined again" in items[0].message
    view = read_run(run)
    assert view.best > learner.update
    assert view.best == load_model(run).best_update


def test_a_damaged_latest_names_an_intact_checkpoint_that_can_be_resumed(tmp_path):
    run = tmp_path / "run"
    train(run, save_seconds=1e-9, halt=after(9))
    latest, older = (
        load_model(run, "latest").update,
        sorted(map(int, checkpoints(run) - {"best", "latest"}))[-2],
    )
    state = run / "checkpoints" / str(latest) / "state.json"
    state.write_bytes(state.read_bytes()[:-1])
    with pytest.raises(DamagedError, match=f"update {older} is intact.*allow_older=True"):
        RunWriter.resume(run)
    told = resume(run, allow_older=True)
    assert "continues from the checkpoint of update" in told[0].message
    assert (run / "checkpoints" / f"damaged-{latest}" / "state.json").exists()
    train(tmp_path / "whole", save_seconds=1e-9)
    assert lasting(run) == lasting(tmp_path / "whole")


@pytest.mark.parametrize(
    "data", [b"", b"-1", b"../../etc", b"7.0", b"07", b"9" * 40, b"7 8", b"\xff", b"7\n\n"]
)
@pytest.mark.parametrize("name", ["latest", "best"])
def test_a_pointer_without_an_update_is_damage(halted, name, data):
    (halted / "checkpoints" / name).write_bytes(data)
    with pytest.raises(DamagedError, match=name):
        load_model(halted, name)
    with pytest.raises(DamagedError, match=name):
        RunWriter.resume(halted)
    with pytest.raises(DamagedError, match=name):
        read_run(halted)


def without_checkpoints(run):
    """Remove all checkpoints of a run."""
    shutil.rmtree(run / "checkpoints")
    return load_model, RunWriter.resume


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_without_its_checkpoints_is_reported_and_never_overwritten(tmp_path, finished):
    run = tmp_path / "run"
    train(run, halt=after(10**6 if finished else 8))
    update = load_model(run).update
    told = f"trained up to update {update}, but its checkpoints are missing.*another run"
    for look in without_checkpoints(run):
        with pytest.raises(DamagedError, match=told):
            look(run)
    before = tree(run)
    with pytest.raises(RunExistsError, match=f"up to update {update}.*give another run"):
        create(run)
    assert {name: data for name, data in tree(run).items() if name != "lock"} == {
        name: data for name, data in before.items() if name != "lock"
    }
    train(tmp_path / "another", updates=1)


def test_an_interrupted_creation_with_other_files_needs_another_directory(tmp_path):
    create(tmp_path / "run")[0].close()
    (tmp_path / "run" / "checkpoints" / "latest").unlink()
    (tmp_path / "run" / "report.html").write_bytes(b"")
    with pytest.raises(NotAModelError, match="Train again with another run"):
        RunWriter.resume(tmp_path / "run")
    with pytest.raises(RunExistsError):
        create(tmp_path / "run")


def lose_manifest(run, update):
    (run / "checkpoints" / update / "MANIFEST").unlink()


def cut_manifest(run, update):
    path = run / "checkpoints" / update / "MANIFEST"
    path.write_bytes(path.read_bytes()[:-20])


def lose_checkpoint(run, update):
    shutil.rmtree(run / "checkpoints" / update)


def empty_latest(run, update):
    (run / "checkpoints" / "latest").write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lose_manifest, r"^checkpoint \S+ is damaged: missing MANIFEST\. Use another .*latest names it"),
        (cut_manifest, r"^checkpoint \S+ is damaged: .*MANIFEST disagree\. Use another .*latest names it"),
        (lose_checkpoint, r"^checkpoint \S+ is missing\. \S+latest names it"),
        (empty_latest, r"latest is damaged: it must contain the number of a checkpoint in the same directory\."),
    ],
)  # fmt: skip
def test_a_message_names_the_damaged_file_and_an_intact_checkpoint(tmp_path, harm, told):
    run = tmp_path / "run"
    train(run, save_seconds=1e-9, halt=after(9))
    older, latest = sorted(map(int, checkpoints(run) - {"best", "latest"}))[-2:]
    harm(run, str(latest))
    whole = latest if harm is empty_latest else older
    with pytest.raises(DamagedError, match=told) as refused:
        load_model(run)
    assert f"An intact checkpoint is {run}/checkpoints/{whole}." in str(refused.value)
    with pytest.raises(DamagedError, match=told) as refused:
        RunWriter.resume(run)
    assert f"update {whole} is intact: to continue from it" in str(refused.value)
    assert ("names it" in str(refused.value)) == (harm is not empty_latest)
    (run / "checkpoints" / "best").write_bytes(b"")
    with pytest.raises(DamagedError, match=f"best is damaged.*An intact checkpoint is .*/{whole}"):
        load_model(run, "best")
    assert resume(run, allow_older=True)[-1].state == "finished"


def test_a_pointer_without_a_seal_can_be_read(halted):
    for name in ("latest", "best"):
        path = halted / "checkpoints" / name
        path.write_bytes(path.read_bytes().split()[0] + b"\n")
    resume(halted)


def test_exchanged_pointers_are_damage(tmp_path):
    run = tmp_path / "run"
    train(run, save_seconds=1e-9, smoothing=0.0)
    latest, best = (run / "checkpoints" / name for name in ("latest", "best"))
    assert read_run(run).latest != read_run(run).best
    data = latest.read_bytes(), best.read_bytes()
    latest.write_bytes(data[1])
    best.write_bytes(data[0])
    for which in ("latest", "best"):
        with pytest.raises(DamagedError, match=f"{which} is damaged"):
            load_model(run, which)
    with pytest.raises(DamagedError, match=r"latest is damaged.*allow_older=True"):
        RunWriter.resume(run)


def test_a_shortened_journal_is_damage(halted):
    path = halted / "metrics.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(DamagedError, match=r"metrics\.jsonl has"):
        RunWriter.resume(halted)
    path.write_bytes(data[:-1] + b" \n")
    with pytest.raises(DamagedError, match=r"metrics\.jsonl has"):
        RunWriter.resume(halted)
    path.write_bytes(data)
    resume(halted)


def cut_in_two(data):
    """Return the first half of the data, which ends in the middle of a line."""
    return data[: len(data) // 2 + 1].rstrip(b"\n")


HARM = {
    "missing": lambda data: None,
    "empty": lambda data: b"",
    "shortened": cut_in_two,
    "zeros at the end": lambda data: data[:-30] + bytes(30),
    "a last line that is none": lambda data: data[:-30] + bytes(29) + b"\n",
    "lines of later updates": lambda data: data.replace(b'"update":', b'"update":99'),
}


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl"])
def test_a_run_with_damaged_records_continues_with_those_that_are_left(tmp_path, name, harm):
    run, whole = tmp_path / "run", tmp_path / "whole"
    train(run, save_seconds=1e-9, halt=after(12))
    train(whole, save_seconds=1e-9)
    update, data = load_model(run).update, (run / name).read_bytes()
    harmed = HARM[harm](data)
    (run / name).unlink()
    if harmed is not None:
        (run / name).write_bytes(harmed)
    told = f"{name} is missing" if harmed is None else name
    with pytest.raises(DamagedError, match=told + r'.*charloom\.resume\(".*", allow_older=True\)'):
        RunWriter.resume(run)
    reopened(run, allow_older=True)
    kept = whole_records(harmed or b"", data)
    assert (run / name).read_bytes() == kept
    assert read_run(run).events[-1]["event"] == "records_lost"
    reopened(run)  # nobody needs to allow it again
    items = resume(run)
    assert not [item for item in items if "lost" in getattr(item, "message", "")]
    assert items[-1].state == "finished"
    assert same_parameters(load_model(run), load_model(whole))
    later = [line for line in untimed((whole / name).read_bytes()) if line["update"] > update]
    assert untimed((run / name).read_bytes()) == untimed(kept) + later
    lengths = load_at(run, load_model(run).update).lengths
    assert lengths[name] == len((run / name).read_bytes())


def whole_records(left, data):
    """Return the consecutive intact lines at the beginning of a journal."""
    kept = b""
    for line in data.splitlines(keepends=True):
        if not left.startswith(kept + line):
            break
        kept += line
    return kept


def untimed(data):
    """Return the lines of a journal without their clock times."""
    lines = [json.loads(line) for line in data.splitlines()]
    clock = ("seconds", "characters_per_second")
    return [{key: line[key] for key in line if key not in clock} for line in lines]


def same_parameters(one, two):
    """Return True if two learners have the same parameters, bit for bit."""
    return {name: array.tobytes() for name, array in one.parameters.items()} == {
        name: array.tobytes() for name, array in two.parameters.items()
    }


def test_losses_are_recorded_before_training_continues(halted):
    update, data = load_model(halted).update, (halted / "metrics.jsonl").read_bytes()
    first = data[: data.index(b"\n") + 1]
    (halted / "metrics.jsonl").write_bytes(first + b"{")
    (halted / "samples.jsonl").unlink()
    one, two = resume(halted, allow_older=True)[:2]
    assert f"The records after update 1 and up to update {update} are lost." in one.message
    assert f"The samples up to update {update} are lost." in two.message


def test_a_kill_after_lost_records_duplicates_no_record(tmp_path):
    run = tmp_path / "run"
    train(run, save_seconds=1e-9, halt=after(6))
    update = load_model(run).update
    length = load_at(run, update).lengths["metrics.jsonl"]
    (run / "metrics.jsonl").write_bytes(b"")
    writer, learner, corpus = RunWriter.resume(run, allow_older=True)
    learner.config = learner.config.replace(save_seconds=1e9)
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        while writer.metrics.length <= length:
            next(items)
        writer.flush()
        assert writer.saved_update == update
        for name in ("killed", "robbed"):
            shutil.copytree(run, tmp_path / name)
    resume(tmp_path / "killed")
    (tmp_path / "robbed" / "events.jsonl").unlink()
    with pytest.raises(DamagedError, match=r"metrics\.jsonl.*allow_older=True"):
        RunWriter.resume(tmp_path / "robbed")
    resume(tmp_path / "robbed", allow_older=True)
    for name in ("killed", "robbed"):
        updates = [record["update"] for record in read_run(tmp_path / name).metrics]
        assert updates == sorted(set(updates))
        assert updates[0] > update


def test_restored_records_are_used_again(halted):
    data = (halted / "metrics.jsonl").read_bytes()
    (halted / "metrics.jsonl").unlink()
    reopened(halted, allow_older=True)
    (halted / "metrics.jsonl").write_bytes(data)
    reopened(halted)
    assert (halted / "metrics.jsonl").read_bytes() == data


def test_an_older_checkpoint_with_more_records_does_not_invent_records(halted):
    data = (halted / "metrics.jsonl").read_bytes()
    first = data[: data.index(b"\n") + 1]
    assert first != data
    (halted / "metrics.jsonl").write_bytes(first)
    writer, learner, corpus = RunWriter.resume(halted, allow_older=True)
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        while writer.metrics.length == len(first):
            next(items)
        writer.roll_back()
        assert writer.metrics.length == len(first)
        writer.flush()
        assert (halted / "metrics.jsonl").read_bytes() == first
    assert [record["update"] for record in read_run(halted).metrics] == [1]


def test_repairs_while_opening_with_minutes_are_reported(halted):
    (halted / "metrics.jsonl").unlink()
    with api_training.reopen(halted, minutes=0.01, allow_older=True) as training:
        assert any("metrics.jsonl is missing" in told for told in training.writer.warnings)


def test_a_config_that_contradicts_the_checkpoint_is_damage(halted):
    about = json.loads((halted / "config.json").read_bytes())
    about["config"]["learning_rate"] = 0.2
    (halted / "config.json").write_text(json.dumps(about))
    with pytest.raises(DamagedError, match="changed after it was written"):
        RunWriter.resume(halted)
    unsealed(halted, about)
    with pytest.raises(DamagedError, match="disagree about learning_rate"):
        RunWriter.resume(halted)


def unsealed(run, about, **changes):
    """Write a config.json without a seal, as earlier versions did."""
    about = {**about, "format": 1, **changes}
    del about["sha256"]
    (run / "config.json").write_text(json.dumps(about))


def test_a_config_without_a_seal_is_read_and_its_vocabulary_size_checked(halted):
    about = json.loads((halted / "config.json").read_bytes())
    unsealed(halted, about)
    assert read_run(halted).version == about["version"]
    reopened(halted)
    about["text"]["vocabulary_size"] += 1
    unsealed(halted, about)
    with pytest.raises(DamagedError, match="its vocabulary has"):
        RunWriter.resume(halted)


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
    for look in (read_run, RunWriter.resume):
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
    told = (
        rf'config\.json.* is intact: charloom\.resume\("{run}", allow_older=True{option}\) restores .*'
        rf'charloom\.train\(TEXT, from_model="{run}/checkpoints/{update}"\) starts a new run with its weights'
    )
    looks = [read_run, RunWriter.resume, api_training.reopen]
    if not kept:
        looks.append(lambda run: RunWriter.resume(run, allow_older=True))
    for look in looks:
        with pytest.raises((DamagedError, NotAModelError), match=told):
            look(run)
    assert load_model(run / "checkpoints" / str(update)).update == update
    text = None if kept else [book]
    (tmp_path / "other.txt").write_text(TEXT[1:])
    with pytest.raises(TextError, match="is not the text that"):
        RunWriter.resume(run, text=[tmp_path / "other.txt"], allow_older=True)
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
        {"config": {"cell": "x"}},
        {"format": None},
        {"config": None},
        {"more": 0},
    ],
    ids=str,
)
def test_an_impossible_config_json_is_damage(halted, change):
    about = json.loads((halted / "config.json").read_bytes())
    unsealed(halted, about, **change)
    for look in (read_run, RunWriter.resume):
        with pytest.raises(DamagedError, match=r"config\.json"):
            look(halted)


def test_a_checkpoint_with_the_wrong_number_is_damage(halted):
    latest = (halted / "checkpoints" / "latest").read_text().split()[0]
    (halted / "checkpoints" / latest).rename(halted / "checkpoints" / "1000")
    (halted / "checkpoints" / "latest").write_text("1000\n")
    with pytest.raises(DamagedError, match="it is not the checkpoint of"):
        RunWriter.resume(halted)


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl"])
def test_resuming_that_fails_changes_nothing(halted, name):
    data = (halted / name).read_bytes()
    (halted / name).write_bytes(data[:-1])
    latest = (halted / "checkpoints" / "latest").read_text().split()[0]
    shutil.copytree(halted / "checkpoints" / latest, halted / "checkpoints" / "9000")
    before = tree(halted)
    with pytest.raises(DamagedError, match=name):
        RunWriter.resume(halted, updates=500)
    assert tree(halted) == before


def test_a_missing_engine_is_found_before_any_change(halted, monkeypatch):
    def missing(config):
        raise MissingPartError(f"there is no engine {config.engine}")

    monkeypatch.setattr(api_training, "engine_for", missing)
    before = tree(halted)
    with pytest.raises(MissingPartError, match="no engine native"):
        api_training.reopen(halted, updates=500, engine="native")
    assert tree(halted) == before
    reopened(halted, updates=500)


def test_extending_a_finished_run_removes_its_passage(tmp_path):
    run = tmp_path / "run"
    train(run, updates=20)
    old = read_run(run).passage
    reopened(run)
    assert read_run(run).passage == old  # it is of a finished run still
    reopened(run, updates=40)
    assert read_run(run).passage is None
    resume(run)
    assert read_run(run).passage not in (None, old)


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "events.jsonl", "passage.txt"])
def test_a_directory_instead_of_a_file_is_reported_in_one_sentence(halted, name):
    (halted / name).unlink(missing_ok=True)
    (halted / name).mkdir()
    with pytest.raises(DamagedError, match=f"{name} is not a plain file"):
        read_run(halted)


def test_damaged_events_are_reported_and_do_not_stop_training(halted):
    sound = (halted / "events.jsonl").read_bytes()
    first, *rest = sound.splitlines(keepends=True)
    broken = [first[:9] + bytes(20) + b"\r" + first[20:], b"[1]\n"]
    (halted / "events.jsonl").write_bytes(b"".join([first, *broken, *rest, bytes(40)]))
    with pytest.raises(DamagedError, match="line 2"):
        read_run(halted)
    reopened(halted)
    assert (halted / "events.jsonl").read_bytes() == sound
    assert (halted / "damaged-events.jsonl").read_bytes() == b"".join(broken)
    with (halted / "events.jsonl").open("ab") as file:
        file.write(bytes(3) + b"\n")
    items = resume(halted)
    assert "1 of 4 lines cannot be read" in items[0].message
    assert items[-1].state == "finished"
    assert (halted / "damaged-events.jsonl").read_bytes() == b"".join([*broken, bytes(3), b"\n"])
    assert [event["event"] for event in read_run(halted).events][:2] == ["created", "started"]


@pytest.mark.parametrize("characters", [-1, 2**70, 1.5, True, None])
def test_an_impossible_number_of_characters_is_damage(halted, characters):
    about = json.loads((halted / "config.json").read_bytes())
    about["text"]["characters"] = characters
    unsealed(halted, about)
    for look in (read_run, RunWriter.resume):
        with pytest.raises(DamagedError, match=r"config\.json"):
            look(halted)


def test_a_rollback_cuts_the_journals_and_removes_later_checkpoints(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run, save_seconds=1e9)
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        while writer.metrics.length < 500:
            next(items)
        writer.save(learner)
        saved = learner.update
        writer.flush()
        before = {name: (run / name).read_bytes() for name in ("metrics.jsonl", "samples.jsonl")}
        while learner.update < 60:
            next(items)
        writer.flush()
        shutil.copytree(run / "checkpoints" / str(saved), run / "checkpoints" / "9000")
        assert writer.roll_back().update == saved
        assert {name: (run / name).read_bytes() for name in before} == before
        assert "9000" not in checkpoints(run)
        writer.metrics.append({"n": 1})
        writer.flush()
        assert (run / "metrics.jsonl").read_bytes() == before["metrics.jsonl"] + b'{"n":1}\n'


def test_an_end_before_the_present_update_is_refused(halted):
    update = load_model(halted, "latest").update
    for changes in ({"updates": update}, {"updates": 1}):
        with pytest.raises(ConfigError, match=f"at update {update}"):
            RunWriter.resume(halted, **changes)
    assert reopened(halted, updates=update + 1)[1].config.updates == update + 1


def test_a_path_that_is_not_a_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NotAModelError, match="is not a run"):
            RunWriter.resume(path)
        with pytest.raises(NotAModelError, match="is not a run"):
            read_run(path)


# Saving


def test_the_newest_two_checkpoints_and_the_best_are_kept(tmp_path):
    writer, learner, corpus = create(tmp_path / "run", save_seconds=1e-9, smoothing=0.0)
    seen = set()
    with writer:
        for _ in train_run(writer, learner, corpus, ReferenceEngine()):
            there = checkpoints(tmp_path / "run") - {"latest", "best"}
            view = read_run(tmp_path / "run")
            newest = sorted(map(int, there))[-2:]
            assert {str(view.latest)} <= there
            assert {int(name) for name in there} <= {*newest, view.best}
            seen.add(len(there))
    assert seen == {1, 2, 3}


def test_saving_the_same_update_again_writes_nothing(tmp_path):
    writer, learner, _ = create(tmp_path / "run")
    with writer:
        before = tree(tmp_path / "run")
        assert writer.save(learner) == tmp_path / "run" / "checkpoints" / "0"
        assert tree(tmp_path / "run") == before


def test_a_full_disk_at_any_step_of_a_save_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    disk = FullDisk(monkeypatch)
    writer, learner, corpus = create(tmp_path / "run", smoothing=0.0)
    items = train_run(writer, learner, corpus, ReferenceEngine())
    with writer:
        refused = 0
        for step in itertools.count(1):
            while learner.best_update in (None, learner.update) or writer._best is None:
                next(items)  # on to where the best is another one than this one
            update, before = learner.update, writer.saved_update
            disk.arm(step)
            with suppress(WriteError):
                writer.save(learner)
            if not disk.disarm():
                break
            assert not temporaries(tmp_path)
            latest = read_run(tmp_path / "run").latest
            assert latest in (before, update)
            load_checkpoint(tmp_path / "run" / "checkpoints" / str(latest))
            if step % 4 == 0:  # each would take the time of a whole run
                shutil.copytree(tmp_path / "run", tmp_path / f"copy{step}")
            if latest == before:
                refused += 1
            else:
                # `latest` is replaced: start again from a state where there is much to save
                writer.close()
                shutil.rmtree(tmp_path / "run")
                writer, learner, corpus = create(tmp_path / "run", smoothing=0.0)
                items = train_run(writer, learner, corpus, ReferenceEngine())
        assert refused > 25
        assert list(items)[-1].state == "finished"
        writer.close()
    train(tmp_path / "whole", smoothing=0.0)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")
    for copy in tmp_path.glob("copy*"):
        resume(copy)
        assert lasting(copy) == lasting(tmp_path / "whole"), copy


# Reading


def test_a_run_is_read_while_it_is_written(halted):
    whole = read_run(halted)
    with (halted / "metrics.jsonl").open("ab") as file:
        file.write(b'{"update":99,"lo')
    (halted / "status.json").write_bytes(b"{")
    now = read_run(halted)
    assert now.metrics == whole.metrics
    assert now.status is None
    assert now.passage is None


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl", "events.jsonl"])
def test_a_whole_line_that_is_not_an_object_is_damage(halted, name):
    lines = (halted / name).read_bytes().splitlines(keepends=True)
    (halted / name).write_bytes(b"".join([lines[0], b"[1]\n", *lines[1:]]))
    with pytest.raises(DamagedError, match=f"line 2 of .*{name}"):
        read_run(halted)


def test_the_gradient_check_is_stored_in_the_run(tmp_path):
    writer, *_ = create(tmp_path / "run")
    with writer:
        writer.write_gradcheck([{"rows": [1, 2.5]}])
    kept = json.loads((tmp_path / "run" / "gradcheck.json").read_bytes())
    assert kept == {"format": 2, "checks": [{"rows": [1, 2.5]}]}


def test_a_model_is_opened_from_a_run_a_checkpoint_and_a_file(tmp_path):
    run = tmp_path / "run"
    train(run, smoothing=0.0)
    view = read_run(run)
    assert view.best < view.latest
    best = run / "checkpoints" / str(view.best)
    for path, which in ((run, "best"), (best, "latest"), (best / "model.safetensors", "best")):
        parameters = load_model(path, which).parameters
        assert parameters["V"].tobytes() == load_checkpoint(best).learner.parameters["V"].tobytes()
    assert load_model(run).update == view.latest
    assert load_model(run, "latest").update == view.latest
    with pytest.raises(ConfigError, match="best or latest"):
        load_model(run, "newest")


def test_a_run_without_a_best_is_opened_at_its_latest(tmp_path):
    create(tmp_path / "run")[0].close()
    assert load_model(tmp_path / "run").update == 0


def test_a_checkpoint_may_be_removed_while_it_is_read(halted, monkeypatch):
    other = halted / "checkpoints" / "0"
    latest = read_run(halted).latest
    (halted / "checkpoints" / "latest").write_text("0\n")

    def replaced_meanwhile(run, update):
        if update == 0:
            remove_directory(other)
            replace_file(halted / "checkpoints" / "latest", b"%d\n" % latest)
        return load_at(run, update)

    monkeypatch.setattr(run_reader, "load_at", replaced_meanwhile)
    assert load_model(halted, "latest").update == latest


def test_an_invalid_command_is_not_sent(halted):
    for command, factor in (("halt", None), ("run", 0.0), ("run", float("nan")), ("run", "2")):
        with pytest.raises(ConfigError):
            write_control(halted, command, factor)
    assert write_control(halted, "pause").sequence == 1
    assert write_control(halted, "run", 2.0).sequence == 2


def test_two_writers_of_one_file_do_not_disturb_each_other(tmp_path):
    path, texts = tmp_path / "file", [b"a" * 9_000, b"b" * 9_000]

    def write(data):
        for _ in range(40):
            replace_file(path, (data[i : i + 1_000] for i in range(0, 9_000, 1_000)), durable=False)
            assert path.read_bytes() in texts

    with ThreadPoolExecutor(2) as pool:
        for written in [pool.submit(write, data) for data in texts]:
            written.result()
    assert names(tmp_path) == {"file"}


def test_the_last_of_two_commands_with_the_same_sequence_number_counts(halted, monkeypatch):
    first = write_control(halted, "pause")
    (halted / "control.json").unlink()  # as if the other had read before this one wrote
    second = write_control(halted, "run")
    assert first.sequence == second.sequence
    assert second.is_newer(first)
    assert not second.is_newer(read_control(halted))
    late = dataclasses.replace(second, sequence=0, id="another")
    assert late.is_newer(second)
    assert not dataclasses.replace(second, id="").is_newer(second)


def test_a_status_with_an_unknown_state_counts_as_missing(halted):
    assert read_status(halted)["state"] == "interrupted"
    (halted / "status.json").write_bytes(b'{"state":"<b>"}')
    assert read_status(halted) is None


# Journals


def test_a_journals_length_includes_lines_in_memory(tmp_path):
    with Journal(tmp_path / "j") as journal:
        journal.append({"b": 1, "a": "é"})
        journal.append_line(b'{"c":  2}')
        golden = b'{"a":"\\u00e9","b":1}\n{"c":  2}\n'
        assert journal.length == len(golden)
        assert (tmp_path / "j").read_bytes() == b""
        journal.sync()
        assert (tmp_path / "j").read_bytes() == golden
        assert journal.length == len(golden)
    assert read_lines(tmp_path / "j") == [{"a": "é", "b": 1}, {"c": 2}]
    assert read_lines(tmp_path / "none") == []


def test_a_full_disk_neither_loses_nor_duplicates_lines_of_a_journal(tmp_path, monkeypatch):
    disk, journal = FullDisk(monkeypatch), Journal(tmp_path / "j")
    real_write = os.write
    with journal:
        journal.append({"n": 1})
        journal.flush()
        journal.append({"n": 2})
        # The disk accepts a part of the line and then fails.
        monkeypatch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data)[:3]))
        disk.arm(2, forever=True)
        with pytest.raises(WriteError, match="No space left"):
            journal.flush()
        assert (tmp_path / "j").read_bytes() == b'{"n":1}\n{"n'
        journal.append({"n": 3})
        disk.disarm()
        monkeypatch.setattr(os, "write", real_write)
        journal.flush()
    assert lines_of(tmp_path / "j") == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_a_run_can_start_with_a_learner_that_was_already_trained(tmp_path):
    corpus = small_corpus()
    learner = new_learner(small_config(), corpus.vocabulary)
    learner.parameters["c"][0] = 5
    with RunWriter.create(tmp_path / "run", learner, corpus):
        assert load_model(tmp_path / "run").parameters["c"][0] == 5


def test_resuming_reads_only_the_end_of_long_journals(halted):
    """The journals are sparse files of one terabyte, too large to be read completely."""
    latest = halted / "checkpoints" / (halted / "checkpoints" / "latest").read_text().split()[0]
    state = json.loads((latest / "state.json").read_bytes())
    for name in ("metrics.jsonl", "samples.jsonl"):
        whole = (halted / name).read_bytes()[: state["lengths"][name]]
        with (halted / name).open("wb") as file:
            file.truncate(1 << 40)
            file.seek(0, os.SEEK_END)
            file.write(b"\n" + whole)
            state["lengths"][name] = file.tell()
    (latest / "state.json").write_bytes(canonical_json(state))
    files = {name: (latest / name).read_bytes() for name in FILES}
    (latest / "MANIFEST").write_bytes(manifest_of(files))
    for name in ("latest", "best"):
        (halted / "checkpoints" / name).write_text(f"{latest.name}\n")
    assert update_told(halted) >= int(latest.name)
    reopened(halted)
    assert (halted / "metrics.jsonl").stat().st_size == state["lengths"]["metrics.jsonl"]


def test_an_error_while_the_end_is_measured_is_not_a_read_error(tmp_path):
    train(tmp_path / "run", updates=6)
    before = tree(tmp_path / "run")

    def measure(learner, corpus):
        raise BlockingIOError(errno.EAGAIN, "not as many threads")

    with pytest.raises(BlockingIOError, match="not as many threads"):
        RunWriter.resume(tmp_path / "run", updates=measure)
    assert tree(tmp_path / "run") == before
    writer, *_ = RunWriter.resume(tmp_path / "run", updates=lambda *_: 9)  # it let go of the run
    writer.close()


@pytest.mark.parametrize("call", [1, 2])  # before the lock is held, and after
def test_a_disk_that_cannot_be_read_is_reported_when_a_run_is_created(tmp_path, monkeypatch, call):
    run, calls = tmp_path / "run", []
    run.mkdir()

    def iterdir(path):
        if path == run:
            calls.append(path)
            if len(calls) == call:
                raise OSError(errno.EIO, "Input/output error", str(path))
        return honest(path)

    honest = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(ReadError, match="run cannot be read: Input/output error"):
        create(run)
    assert len(calls) == call
    create(run)[0].close()
