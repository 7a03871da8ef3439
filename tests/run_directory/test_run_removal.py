"""Removing or renaming a run touches only this run, and an interruption leaves no half of it."""

import os
import shutil
import threading
from pathlib import Path

import pytest

import charloom
from charloom.errors import ConfigError, NotAModelError, RunExistsError, RunInUseError, WriteError
from charloom.store import (
    list_runs,
    plan_removal,
    remove_run,
    rename_run,
    run_lock,
    run_removal,
    run_renaming,
)
from charloom.store.run_directory import is_run
from charloom.store.run_lock import acquire
from charloom.temporary_names import REMOVED
from reliability.calls import Calls
from small_runs import resume, train


def contents(folder):
    """Return the contents of all files below a folder, by path. A lock file, which is empty, is left out."""
    return {
        path.relative_to(folder): path.readlink() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if (path.is_file() or path.is_symlink()) and path.name != "lock"
    }


def names(folder):
    """Return the sorted names in a folder."""
    return sorted(path.name for path in folder.iterdir())


def remove(path):
    """Plan a removal, and remove the run."""
    remove_run(plan_removal(path))


def test_a_run_is_removed_with_all_its_files_and_nothing_else(halted):
    beside = shutil.copytree(halted, halted.parent / "beside")
    before = contents(beside)
    (halted / "notes.txt").write_text("mine")
    (halted / "report.html").write_text("a report")
    removal = plan_removal(halted)
    assert removal.others == ("notes.txt",)
    assert removal.contents.files == len([path for path in halted.rglob("*") if path.is_file()])
    remove_run(removal)
    assert names(halted.parent) == ["beside"]
    assert contents(beside) == before


def test_links_are_deleted_and_never_followed(halted, tmp_path_factory):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "precious.txt").write_text("precious")
    (halted / "folder").symlink_to(outside)
    (halted / "file").symlink_to(outside / "precious.txt")
    (halted / "broken").symlink_to("nowhere")
    shutil.rmtree(halted / "checkpoints")
    (halted / "checkpoints").symlink_to(outside)
    assert plan_removal(halted).contents.directories == (halted,)
    remove(halted)
    assert names(halted.parent) == []
    assert (outside / "precious.txt").read_text() == "precious"


@pytest.mark.parametrize("change", [remove, lambda path: rename_run(path, "new")])
def test_a_link_to_a_run_is_refused(halted, change):
    before = contents(halted)
    (halted.parent / "link").symlink_to(halted)
    with pytest.raises(NotAModelError, match="is a link"):
        change(halted.parent / "link")
    assert contents(halted) == before
    assert names(halted.parent) == ["link", "run"]


def test_a_link_that_takes_the_place_of_a_run_does_not_lead_the_removal_away(halted, monkeypatch):
    """Plants the exchange at the last moment, just before the directory is renamed."""
    target, before = halted.parent / "target", contents(halted)
    rename = Path.rename

    def exchanged(path, new):
        if path == halted:
            rename(halted, target)
            halted.symlink_to(target)
        return rename(path, new)

    removal = plan_removal(halted)
    monkeypatch.setattr(Path, "rename", exchanged)
    with pytest.raises(WriteError, match="it is a link"):
        remove_run(removal)
    assert contents(target) == before


@pytest.mark.parametrize("change", [remove, lambda path: rename_run(path, "new")])
def test_a_run_that_is_trained_is_refused(halted, change):
    before, lock = contents(halted), acquire(halted)
    with pytest.raises(RunInUseError, match=r"Stop it first: charloom\.control\(.*stop"):
        change(halted)
    lock.release()
    assert contents(halted) == before
    change(halted)
    assert not halted.exists()


def test_a_run_that_starts_to_train_after_the_question_is_refused(halted, monkeypatch):
    monkeypatch.setattr(run_lock, "GLANCE_SECONDS", 0.0)
    removal, before = plan_removal(halted), contents(halted)
    lock = acquire(halted)
    with pytest.raises(RunInUseError, match="Stop it first"):
        remove_run(removal)
    # Also if it starts after the last look: the lock itself decides.
    monkeypatch.setattr("charloom.store.whole_run.is_trained", lambda path: False)
    with pytest.raises(RunInUseError, match="Stop it first"):
        remove_run(removal)
    with pytest.raises(RunInUseError, match="Stop it first"):
        rename_run(halted, "new")
    lock.release()
    assert contents(halted) == before
    assert names(halted.parent) == ["run"]


def test_a_run_that_was_trained_after_the_question_is_kept(halted):
    removal = plan_removal(halted)
    resume(halted)
    before = contents(halted)
    with pytest.raises(RunInUseError, match=r"another process changed .*status\.json"):
        remove_run(removal)
    assert contents(halted) == before
    remove(halted)


def test_what_came_into_the_run_after_the_question_is_kept(halted, tmp_path_factory):
    (halted / "old notes").mkdir()
    removal = plan_removal(halted)
    (halted / "new notes").write_text("mine")
    with pytest.raises(RunInUseError, match="changed or added 'new notes'"):
        remove_run(removal)
    assert (halted / "new notes").read_text() == "mine"
    (halted / "new notes").unlink()
    outside = shutil.copytree(halted, tmp_path_factory.mktemp("copy") / "run")
    shutil.copytree(outside, halted / "old notes" / "inner")
    with pytest.raises(NotAModelError, match="contains another run"):
        remove_run(removal)
    shutil.rmtree(halted / "old notes" / "inner")
    remove_run(removal)
    assert names(halted.parent) == []


@pytest.mark.parametrize("change", [remove, lambda path: rename_run(path, "new")])
def test_a_run_that_another_process_removes_meanwhile_does_not_come_back(
    halted, monkeypatch, change
):
    """The locking library makes the directory of a lock, so it would make the removed directory again."""

    def late(path):
        shutil.rmtree(path)
        return acquire(path)

    monkeypatch.setattr("charloom.store.whole_run.is_trained", lambda path: False)
    monkeypatch.setattr(run_lock, "acquire", late)
    with pytest.raises(NotAModelError, match="another process has just removed or renamed it"):
        change(halted)
    assert names(halted.parent) == []


def test_a_run_cannot_be_resumed_while_it_is_removed(halted, monkeypatch):
    """Tries to take the lock just before the directory is renamed."""
    monkeypatch.setattr(run_lock, "GLANCE_SECONDS", 0.0)
    tried = []

    def come(call):
        if call.kind == "rename":
            with pytest.raises(RunInUseError):
                acquire(halted)
            tried.append(call)

    removal = plan_removal(halted)
    with Calls(halted.parent, before=come):
        remove_run(removal)
    assert len(tried) == 1


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_an_interruption_leaves_the_whole_run_or_nothing_that_looks_like_one(
    halted, tmp_path_factory, error
):
    """Interrupts the removal before each call that changes the disk. OSError stands for a disk that refuses."""
    folder, before, whole, gone = tmp_path_factory.mktemp("cut"), contents(halted), 0, 0
    for at in range(200):
        run, calls = shutil.copytree(halted, folder / "run"), []

        def cut(call, calls=calls, at=at):
            calls.append(call)
            if len(calls) > at:
                raise error(5, "cut off")

        with Calls(folder, before=cut):
            try:
                remove(run)
            except (KeyboardInterrupt, WriteError):
                assert len(calls) > at
        if run.exists():
            assert contents(run) == before
            whole += 1
        elif names(folder):
            (left,) = names(folder)
            assert left.startswith(REMOVED)
            assert list_runs(folder).runs == ()
            gone += 1
            if any(call.kind == "unlink" for call in calls[:at]):
                assert not is_run(folder / left)
        if len(calls) <= at:
            break
        # The next removal in the folder cleans up.
        remove(run if run.exists() else shutil.copytree(halted, folder / "other"))
        assert names(folder) == []
    assert len(calls) <= at
    assert whole >= 2
    assert gone >= 10


def test_only_leftovers_are_cleaned_up(halted, tmp_path_factory):
    folder, outside = halted.parent, tmp_path_factory.mktemp("outside")
    (outside / "precious.txt").write_text("precious")
    kept = [".tmp-other-0123456789abcdef", f"{REMOVED}notes", f"{REMOVED}0123456789abcdeg"]
    for name in kept:
        (folder / name).mkdir()
    (folder / f"{REMOVED}{'a' * 16}").symlink_to(outside)
    (folder / f"{REMOVED}{'b' * 16}" / "checkpoints").mkdir(parents=True)
    remove(halted)
    assert names(folder) == sorted([*kept, f"{REMOVED}{'a' * 16}"])
    assert (outside / "precious.txt").read_text() == "precious"


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.mkdir(),
        lambda path: path.write_text("a text"),
        lambda path: None,
        lambda path: (path.mkdir(), (path / "config.json").write_text('{"name": "a web project"}')),
        lambda path: (path.mkdir(), (path / "config.json").write_text("{")),
        lambda path: (path.mkdir(), (path / "config.json").mkdir()),
    ],
)
@pytest.mark.parametrize("change", [remove, lambda path: rename_run(path, "new")])
def test_a_directory_that_is_not_a_run_is_refused(tmp_path, make, change):
    path = tmp_path / "project"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(NotAModelError):
        change(path)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_model_directory_is_refused(halted):
    charloom.load(halted).export(halted.parent / "model", to="hub")
    with pytest.raises(NotAModelError):
        remove(halted.parent / "model")
    assert (halted.parent / "model" / "model.safetensors").exists()


@pytest.mark.parametrize("file", ["config.json", "status.json", "checkpoints/latest"])
def test_a_damaged_run_can_be_removed(halted, file):
    (halted / file).write_text("{")
    remove(halted)
    assert not halted.exists()


def test_a_run_in_another_run_is_not_removed_with_it(halted):
    shutil.copytree(halted, halted / "more" / "inner")
    with pytest.raises(NotAModelError, match="contains another run"):
        remove(halted)
    assert is_run(halted / "more" / "inner")


@pytest.mark.parametrize("name", [".", "..", "run/.."])
def test_a_path_without_the_name_of_a_run_is_refused(halted, monkeypatch, name):
    monkeypatch.chdir(halted)
    with pytest.raises(NotAModelError, match="by its name"):
        charloom.remove_run(name)
    assert is_run(halted)


def test_a_run_that_could_be_removed_only_in_part_is_kept(halted, monkeypatch):
    (halted / "mine").mkdir()
    access = os.access
    monkeypatch.setattr(
        run_removal.os,
        "access",
        lambda path, mode: Path(path).name != "mine" and access(path, mode),
    )
    before = contents(halted)
    with pytest.raises(WriteError, match=r"you may not write in .*mine"):
        remove(halted)
    assert contents(halted) == before


def test_the_message_about_a_part_that_remains_names_it(halted, monkeypatch):
    removal = plan_removal(halted)

    def refuse(call):
        if call.kind == "unlink" and call.path.name == "metrics.jsonl":
            raise PermissionError(13, "Permission denied")

    with (
        Calls(halted.parent, before=refuse),
        pytest.raises(WriteError, match=r"a part of it remains in .*Permission denied"),
    ):
        remove_run(removal)
    assert not halted.exists()
    assert list_runs(halted.parent).runs == ()


def test_a_run_whose_new_name_cannot_be_flushed_keeps_its_files_and_its_name(halted):
    removal, before = plan_removal(halted), contents(halted)

    def refuse(call):
        if call.kind == "fsync" and call.path == halted.parent:
            raise OSError(5, "Input/output error")

    with Calls(halted.parent, before=refuse), pytest.raises(WriteError, match="cannot be written"):
        remove_run(removal)
    assert contents(halted) == before
    assert names(halted.parent) == ["run"]


def test_another_process_may_delete_the_same_leftover(halted):
    """Two processes delete the renamed directory. The other one deletes the rest just before this one does."""
    removal, seen = plan_removal(halted), []

    def meanwhile(call):
        if call.kind == "unlink" and call.path.name == "metrics.jsonl":
            seen.append(call)
            if len(seen) == 1:
                raise OSError(5, "the other process has it open")
            if len(seen) == 2:
                shutil.rmtree(call.path.parent)

    with Calls(halted.parent, before=meanwhile):
        remove_run(removal)
    assert len(seen) == 3
    assert names(halted.parent) == []


# Renaming


def test_a_run_in_which_another_run_is_is_not_renamed(halted):
    """A process may train the inner run, and its directory must not move."""
    inner = shutil.copytree(halted, halted / "more" / "inner")
    lock = acquire(inner)
    before = contents(halted)
    with pytest.raises(NotAModelError, match=r"contains another run, .*inner; move or remove"):
        rename_run(halted, "new")
    lock.release()
    assert names(halted.parent) == ["run"]
    assert contents(halted) == before


def test_another_run_that_appears_while_a_run_is_renamed_stops_the_renaming(halted, monkeypatch):
    outside = shutil.copytree(halted, halted.parent / "outside")
    checked = run_renaming.require_name

    def appear(name):
        shutil.move(outside, halted / "inner")
        return checked(name)

    monkeypatch.setattr(run_renaming, "require_name", appear)
    with pytest.raises(NotAModelError, match="contains another run"):
        rename_run(halted, "new")
    assert names(halted.parent) == ["run"]


def test_a_renamed_run_has_the_same_files_and_continues(halted):
    before = contents(halted)
    new = charloom.rename_run(halted, "a novel")
    assert new == halted.parent / "a novel"
    assert names(halted.parent) == ["a novel"]
    assert contents(new) == before
    assert resume(new)


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", ".hidden", "-x", "a/b", "/tmp/x", "a\\b", "a\nb", "a\x1b[31m", 5]
)
def test_a_name_that_is_not_one_of_a_run_is_refused(halted, name):
    with pytest.raises(ConfigError, match="the new name is"):
        rename_run(halted, name)
    assert names(halted.parent) == ["run"]


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("x")])
def test_a_name_that_exists_is_refused_and_nothing_is_replaced(halted, make):
    make(halted.parent / "taken")
    with pytest.raises(RunExistsError, match=r"taken exists already; give another name\."):
        rename_run(halted, "taken")
    assert names(halted.parent) == ["run", "taken"]
    assert is_run(halted)


def test_of_two_renames_to_one_name_only_one_succeeds(tmp_path):
    """A plain rename would replace the empty directory with which another process begins a run."""
    for name in ("a", "b"):
        train(tmp_path / name, halt=lambda: "SIGINT")
    before = {name: contents(tmp_path / name) for name in ("a", "b")}
    barrier, results = threading.Barrier(2), {}

    def rename(name):
        barrier.wait()
        try:
            results[name] = rename_run(tmp_path / name, "new")
        except RunExistsError:
            results[name] = None

    threads = [threading.Thread(target=rename, args=(name,)) for name in before]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [name for name, found in results.items() if found]
    (loser,) = before.keys() - {winner}
    assert contents(tmp_path / "new") == before[winner]
    assert contents(tmp_path / loser) == before[loser]


def test_a_directory_that_appears_at_the_last_moment_is_not_replaced(halted):
    def appear(call):
        if call.path == halted.parent / "new" and not made:
            made.append(call)
            call.path.mkdir()

    made = []
    with Calls(halted.parent, before=appear), pytest.raises(RunExistsError):
        rename_run(halted, "new")
    assert names(halted.parent) == ["new", "run"]
    assert names(halted.parent / "new") == []


def test_a_directory_that_another_process_fills_at_the_last_moment_is_not_replaced(halted):
    """A command that creates a run accepts the empty directory, and puts its files there."""

    def fill(call):
        if call.kind == "rename":
            (halted.parent / "new" / "checkpoints").mkdir()

    before = contents(halted)
    with (
        Calls(halted.parent, before=fill),
        pytest.raises(RunExistsError, match="new exists already; give another name"),
    ):
        rename_run(halted, "new")
    assert contents(halted) == before
    assert names(halted.parent / "new") == ["checkpoints"]


def test_an_interrupted_rename_leaves_the_old_or_the_new_name(halted, tmp_path_factory):
    folder, before = tmp_path_factory.mktemp("cut"), contents(halted)
    for at in range(20):
        for path in folder.iterdir():
            shutil.rmtree(path)
        shutil.copytree(halted, folder / "run")
        calls = []

        def cut(call, calls=calls, at=at):
            calls.append(call)
            if len(calls) == at + 1:
                raise KeyboardInterrupt

        with Calls(folder, before=cut):
            try:
                rename_run(folder / "run", "new")
            except KeyboardInterrupt:
                assert len(calls) > at
        (run,) = list_runs(folder).runs
        assert contents(run.path) == before
        assert names(folder) == [run.path.name]
        if len(calls) <= at:
            break
    assert run.path.name == "new"
    assert at >= 3
