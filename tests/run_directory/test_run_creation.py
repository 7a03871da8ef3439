"""Tests of the creation of a run directory."""

import errno
import hashlib
import itertools
import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from charloom.errors import (
    DamagedError,
    NotAModelError,
    ReadError,
    RunExistsError,
    TextError,
    WriteError,
)
from charloom.model import new_learner
from charloom.store import RunWriter, load_model
from charloom.store.run_directory import updates_in
from charloom.text import Corpus
from file_contents import tree
from full_disk import FullDisk
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from run_files import checkpoints, names, open_file, reopened
from small_runs import TEXT, create, resume, small_config, small_corpus, train

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
        reopen(tmp_path / "run")
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
            reopen,
            lambda run: load_model(run / "checkpoints" / latest),
        ):
            with pytest.raises(DamagedError, match="is not a plain directory but a link"):
                look(run)
        with pytest.raises(RunExistsError):
            create(run)
    assert updates_in(whole / "checkpoints") == []
    assert int(latest) not in updates_in(one / "checkpoints")
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


# Journals


def test_a_run_can_start_with_a_learner_that_was_already_trained(tmp_path):
    corpus = small_corpus()
    learner = new_learner(small_config(), corpus.vocabulary)
    learner.parameters["c"][0] = 5
    with RunWriter.create(tmp_path / "run", learner, corpus):
        assert load_model(tmp_path / "run").parameters["c"][0] == 5


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
