"""Tests of reading a run while another process may write it, and of its commands and status."""

import dataclasses
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from charloom.errors import ConfigError, DamagedError
from charloom.store import (
    load_checkpoint,
    load_model,
    read_control,
    read_run,
    read_status,
    run_model,
    write_control,
)
from charloom.store.atomic_files import remove_directory, replace_file
from charloom.store.run_checkpoints import load_at
from run_files import names
from small_runs import create, train


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
    assert kept == {"format": 4, "checks": [{"rows": [1, 2.5]}]}


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

    monkeypatch.setattr(run_model, "load_at", replaced_meanwhile)
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
    assert read_status(halted).state == "interrupted"
    (halted / "status.json").write_bytes(b'{"state":"<b>"}')
    assert read_status(halted) is None
