"""A list of runs shows the state, the damage, the loss, the size and the age of each run in a folder."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest

import charloom
from charloom.errors import NotAModelError, ReadError
from charloom.store import list_runs, run_list, run_lock, run_summary
from charloom.store.run_directory import is_run
from charloom.store.run_inspection import inspect_run
from charloom.store.run_lock import acquire
from charloom.store.run_summary import state_of, summarize_run
from charloom.web.best_loss import BestLoss
from small_runs import after, create, train


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a finished run with a validation part. Tests only read it."""
    path = tmp_path_factory.mktemp("finished") / "run"
    train(path, validation=0.2, judge_every=20)
    return path


def change_status(run, **changes):
    """Replace fields in the status.json of a run."""
    path = run / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_summary_has_what_the_files_of_the_run_say(finished):
    run = summarize_run(finished)
    records = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    inspection = inspect_run(finished)
    (best,) = [r["validation_nats"] for r in records if r["update"] == inspection.best]
    assert (run.state, run.problems, run.best_on) == ("finished", (), "validation")
    assert (run.update, run.updates) == (inspection.latest, inspection.updates)
    assert run.best_nats == best
    assert run.best_bits == pytest.approx(best / 0.6931471805599453)
    assert run.network == "rnn 1x8"
    files = [path for path in finished.rglob("*") if path.is_file()]
    assert run.bytes == sum(path.stat().st_size for path in files)
    assert run.changed == max(
        inspection.status.heartbeat, (finished / "config.json").stat().st_mtime
    )


def test_the_loss_of_a_run_with_a_validation_part_is_that_of_the_page(finished):
    best, page = inspect_run(finished).best, BestLoss()
    for line in (finished / "metrics.jsonl").read_text().splitlines():
        page.add(json.loads(line), best)
    assert summarize_run(finished).best_nats == page.of(best) is not None


def test_the_lock_shows_whether_a_run_is_trained(halted):
    assert summarize_run(halted).state == "interrupted"
    change_status(halted, state="training", heartbeat=time.time())
    assert summarize_run(halted).state == "interrupted"  # its process was killed
    lock = acquire(halted)
    assert summarize_run(halted).state == "training"
    change_status(halted, state="paused")
    assert summarize_run(halted).state == "paused"
    (halted / "status.json").unlink()
    assert summarize_run(halted).state == "starting"
    lock.release()
    assert summarize_run(halted).state == "interrupted"  # from the last event


def test_a_lock_that_another_user_owns_does_not_hide_that_the_run_is_trained(halted, monkeypatch):
    monkeypatch.setattr(run_summary, "can_lock", lambda path: False)
    monkeypatch.setattr(run_lock, "FRESH_SECONDS", 100_000.0)  # however slow this test is
    change_status(halted, state="training", heartbeat=time.time())
    inspection = inspect_run(halted)
    assert state_of(inspection) == "training"
    old = replace(inspection.status, heartbeat=time.time() - 200_000)
    assert state_of(replace(inspection, status=old)) == "interrupted"


def test_a_list_creates_no_file(halted):
    (halted / "lock").unlink()
    before = sorted(halted.rglob("*"))
    list_runs(halted.parent)
    assert sorted(halted.rglob("*")) == before


@pytest.mark.parametrize(
    ("file", "state", "words"),
    [
        ("config.json", "damaged", "config.json"),
        ("status.json", "interrupted", "status.json is damaged"),
        ("metrics.jsonl", "interrupted", "metrics.jsonl"),
        ("samples.jsonl", "interrupted", "samples.jsonl"),
        ("events.jsonl", "interrupted", "events.jsonl"),
        ("checkpoints/latest", "interrupted", "latest"),
    ],
)
def test_damage_is_named_and_the_run_stays_in_the_list(halted, file, state, words):
    assert summarize_run(halted).problems == ()
    (halted / file).write_text('{"format": 1}\n' if file.endswith("json") else "damage\n")
    (run,) = list_runs(halted.parent).runs
    assert run.state == state
    assert words in " ".join(run.problems)


def test_a_damaged_checkpoint_is_named(halted):
    (name,) = (halted / "checkpoints" / "latest").read_text().split()[:1]
    model = halted / "checkpoints" / name / "model.safetensors"
    data = bytearray(model.read_bytes())
    data[-1] ^= 1
    model.write_bytes(data)
    assert str(model.parent) in " ".join(summarize_run(halted).problems)


def test_a_run_of_a_later_version_stays_in_the_list(halted):
    change_status(halted, format=999)
    run = summarize_run(halted)
    assert run.state == "newer"
    assert run.bytes > 0
    assert "later version" in run.problems[0]


def test_a_run_that_cannot_be_read_stays_in_the_list(halted, monkeypatch):
    def refuse(path):
        raise ReadError("no permission")

    monkeypatch.setattr(run_summary, "inspect_run", refuse)
    monkeypatch.setattr(run_summary, "contents_of", refuse)
    (run,) = list_runs(halted.parent).runs
    assert (run.state, run.problems, run.bytes) == ("unreadable", ("no permission",), None)


def test_a_folder_that_cannot_be_read_is_reported_and_the_others_are_listed(halted, monkeypatch):
    (halted.parent / "closed").mkdir()

    def open_to_us(path):
        if path.name == "closed":
            raise ReadError(f"{path} cannot be read")
        return is_run(path)

    monkeypatch.setattr(run_list, "is_run", open_to_us)
    found = list_runs(halted.parent)
    assert [run.path for run in found.runs] == [halted]
    assert found.unread == (f"{halted.parent / 'closed'} cannot be read",)


def test_a_link_that_the_system_refuses_to_follow_is_reported(halted, monkeypatch):
    """It leads into a folder of another user."""
    (halted.parent / "closed").symlink_to(halted)
    stat, scandir = Path.stat, os.scandir

    def refuse(path):
        if "closed" in Path(path).parts:
            raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", lambda path, **kw: refuse(path) or stat(path, **kw))
    monkeypatch.setattr(os, "scandir", lambda path: refuse(path) or scandir(path))
    found = list_runs(halted.parent)
    assert [run.path for run in found.runs] == [halted]
    (message,) = found.unread
    assert f"{halted.parent / 'closed'}" in message
    assert "cannot be read: Permission denied" in message
    with pytest.raises(ReadError, match="cannot be read: Permission denied"):
        list_runs(halted.parent / "closed" / "inner")


def test_runs_are_searched_as_the_page_searches_them(halted):
    folder = halted.parent
    for name in ("a/b", ".hidden", "a/b/c/too-deep", "empty"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        create(folder / name)[0].close() if name != "empty" else (folder / name).mkdir()
    (folder / "linked").symlink_to(folder / ".hidden")
    (folder / "empty" / "loop").symlink_to(folder)
    from charloom.web.runs_folder import RunsFolder

    shown = sorted(place.path for place in RunsFolder(folder).scan().runs.values())
    listed = [run.path for run in list_runs(folder).runs]
    assert sorted(listed) == shown
    assert {folder / "a/b", folder / "linked", halted} <= set(listed)
    assert not any("too-deep" in str(path) or ".hidden" in str(path) for path in listed)


def test_a_run_alone_is_a_list_of_one(halted):
    assert [run.path for run in list_runs(halted).runs] == [halted]


@pytest.mark.parametrize("name", ["nowhere", "book.txt"])
def test_a_folder_that_is_none_is_refused(tmp_path, name):
    (tmp_path / "book.txt").write_text("")
    with pytest.raises(NotAModelError, match="give the folder that holds your runs"):
        list_runs(tmp_path / name)


def test_python_lists_the_latest_run_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert charloom.runs() == []
    for number, name in enumerate(("b", "a", "c")):
        train(tmp_path / "runs" / name, halt=after(2))
        change_status(tmp_path / "runs" / name, heartbeat=2e9 + number)
    assert [run.path.name for run in charloom.runs()] == ["c", "a", "b"]
    head, headings, *rows = repr(charloom.runs()).splitlines()
    assert head == "3 runs"
    assert headings.split()[:2] == ["run", "state"]
    assert [row.split()[0] for row in rows] == ["runs/c", "runs/a", "runs/b"]
    assert charloom.runs("runs/a")[0].config.hidden_size == 8


def test_a_list_of_many_runs_is_short_in_a_terminal(finished):
    (run,) = charloom.runs(finished)
    many = type(charloom.runs(finished))([run] * 50)
    *_, last = lines = repr(many).splitlines()
    assert lines[0] == "50 runs"
    assert len(lines) == 1 + 1 + 20 + 1
    assert last == "… and 30 more"


def test_a_run_with_control_characters_in_its_name_has_one_line(tmp_path):
    train(tmp_path / "a\x1b[31m\nb", halt=after(2))
    found = charloom.runs(tmp_path)
    assert len(repr(found).splitlines()) == 3
    assert "\x1b" not in repr(found)
