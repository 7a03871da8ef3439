"""Tests of resuming a run after an interruption, and of rolling it back."""

import errno
import json
import os
import shutil
import time

import pytest

from charloom.api import training as api_training
from charloom.api.run_changes import RunChanges
from charloom.canonical_form import canonical_json
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, DamagedError, MissingPartError, NotAModelError
from charloom.store import load_model, read_run
from charloom.store.checkpoint_directory import FILES, manifest_of
from charloom.store.control_files import read_status
from charloom.store.lost_checkpoints import trained_update
from charloom.store.run_checkpoints import load_at
from charloom.training import train_run
from file_contents import temporaries, tree
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from run_files import checkpoints, reopened
from small_runs import after, create, resume, train

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
    writer, learner, corpus = reopen(run, allow_older=True)
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
        reopen(tmp_path / "robbed")
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
    writer, learner, corpus = reopen(halted, allow_older=True)
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        while writer.metrics.length == len(first):
            next(items)
        writer.roll_back()
        assert writer.metrics.length == len(first)
        writer.flush()
        assert (halted / "metrics.jsonl").read_bytes() == first
    assert [record["update"] for record in read_run(halted).metrics] == [1]


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl"])
def test_resuming_that_fails_changes_nothing(halted, name):
    data = (halted / name).read_bytes()
    (halted / name).write_bytes(data[:-1])
    latest = (halted / "checkpoints" / "latest").read_text().split()[0]
    shutil.copytree(halted / "checkpoints" / latest, halted / "checkpoints" / "9000")
    before = tree(halted)
    with pytest.raises(DamagedError, match=name):
        reopen(halted, updates=500)
    assert tree(halted) == before


def test_a_missing_engine_is_found_before_any_change(halted, monkeypatch):
    def missing(config):
        raise MissingPartError(f"there is no engine {config.engine}")

    monkeypatch.setattr(api_training, "engine_for", missing)
    before = tree(halted)
    with pytest.raises(MissingPartError, match="no engine native"):
        api_training.reopen(halted, RunChanges(updates=500, engine="native"))
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
            reopen(halted, **changes)
    assert reopened(halted, updates=update + 1)[1].config.updates == update + 1


def test_a_path_that_is_not_a_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(NotAModelError, match="is not a run"):
            reopen(path)
        with pytest.raises(NotAModelError, match="is not a run"):
            read_run(path)


# Journals


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
    assert trained_update(halted, read_status(halted)) >= int(latest.name)
    reopened(halted)
    assert (halted / "metrics.jsonl").stat().st_size == state["lengths"]["metrics.jsonl"]


def test_an_error_while_the_end_is_measured_is_not_a_read_error(tmp_path, monkeypatch):
    train(tmp_path / "run", updates=6)
    before = tree(tmp_path / "run")

    def measure(*arguments, **more):
        raise BlockingIOError(errno.EAGAIN, "not as many threads")

    monkeypatch.setattr(api_training, "end_after", measure)
    with pytest.raises(BlockingIOError, match="not as many threads"):
        api_training.reopen(tmp_path / "run", RunChanges(minutes=1))
    assert tree(tmp_path / "run") == before
    reopen(tmp_path / "run", updates=9)[0].close()  # it holds no lock
