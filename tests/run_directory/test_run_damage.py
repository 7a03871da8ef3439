"""Damaged pointers, checkpoints, records and events of a run are found and reported."""

import json
import shutil

import pytest

from charloom.api import training as api_training
from charloom.api.run_changes import RunChanges
from charloom.errors import DamagedError, NotAModelError, RunExistsError
from charloom.store import load_model, read_run
from charloom.store.run_checkpoints import load_at
from file_contents import tree
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from run_files import checkpoints, reopened, same_parameters
from small_runs import after, create, resume, train


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
        reopen(run)
    events = resume(run, allow_older=True)
    assert "continues from the checkpoint of update" in events[0].message
    assert "Use another checkpoint" not in events[0].message
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
        reopen(halted)
    with pytest.raises(DamagedError, match=name):
        read_run(halted)


def without_checkpoints(run):
    """Remove all checkpoints of a run."""
    shutil.rmtree(run / "checkpoints")
    return load_model, reopen


@pytest.mark.parametrize("finished", [True, False])
def test_a_run_without_its_checkpoints_is_reported_and_never_overwritten(tmp_path, finished):
    run = tmp_path / "run"
    train(run, halt=after(10**6 if finished else 8))
    update = load_model(run).update
    message = f"trained up to update {update}, but its checkpoints are missing.*another run"
    for look in without_checkpoints(run):
        with pytest.raises(DamagedError, match=message):
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
        reopen(tmp_path / "run")
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
    ("harm", "message"),
    [
        (lose_manifest, r"^checkpoint \S+ is damaged: missing MANIFEST\. Use another .*latest refers to it"),
        (cut_manifest, r"^checkpoint \S+ is damaged: .*MANIFEST disagree\. Use another .*latest refers to it"),
        (lose_checkpoint, r"^checkpoint \S+ is missing\. \S+latest refers to it"),
        (empty_latest, r"latest is damaged: it must contain the number of a checkpoint in the same directory\."),
    ],
)  # fmt: skip
def test_a_message_names_the_damaged_file_and_an_intact_checkpoint(tmp_path, harm, message):
    run = tmp_path / "run"
    train(run, save_seconds=1e-9, halt=after(9))
    older, latest = sorted(map(int, checkpoints(run) - {"best", "latest"}))[-2:]
    harm(run, str(latest))
    whole = latest if harm is empty_latest else older
    with pytest.raises(DamagedError, match=message) as refused:
        load_model(run)
    assert f"An intact checkpoint is {run}/checkpoints/{whole}." in str(refused.value)
    with pytest.raises(DamagedError, match=message) as refused:
        reopen(run)
    assert f"update {whole} is intact: to continue from it" in str(refused.value)
    assert ("refers to it" in str(refused.value)) == (harm is not empty_latest)
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
        reopen(run)


def test_a_shortened_journal_is_damage(halted):
    path = halted / "metrics.jsonl"
    data = path.read_bytes()
    path.write_bytes(data[:-1])
    with pytest.raises(DamagedError, match=r"metrics\.jsonl was changed: it has"):
        reopen(halted)
    path.write_bytes(data[:-1] + b" \n")
    with pytest.raises(DamagedError, match=r"metrics\.jsonl was changed: it has"):
        reopen(halted)
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
    message = f"{name} is missing" if harmed is None else name
    with pytest.raises(
        DamagedError, match=message + r'.*charloom\.resume\(".*", allow_older=True\)'
    ):
        reopen(run)
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


def test_repairs_while_opening_with_minutes_are_reported(halted):
    (halted / "metrics.jsonl").unlink()
    with api_training.reopen(halted, RunChanges(minutes=0.01, allow_older=True)) as training:
        assert any("metrics.jsonl is missing" in warning for warning in training.writer.warnings)


def test_a_checkpoint_with_the_wrong_number_is_damage(halted):
    latest = (halted / "checkpoints" / "latest").read_text().split()[0]
    (halted / "checkpoints" / latest).rename(halted / "checkpoints" / "1000")
    (halted / "checkpoints" / "latest").write_text("1000\n")
    with pytest.raises(DamagedError, match="it is not the checkpoint of"):
        reopen(halted)


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
