"""Files of a later version of charloom are reported as such, not as damaged, and are not changed."""

import hashlib
import json

import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import file_contents
import small_runs
from charloom.canonical_form import canonical_json
from charloom.engines import open_engine
from charloom.engines.reference import ReferenceEngine
from charloom.errors import DamagedError, NewerFormatError
from charloom.pytorch_format import read_torch_file, torch_bytes
from charloom.report import write_report as report
from charloom.run_file_names import LATEST
from charloom.store import inspect_run, load_model, model_bytes
from charloom.store.checkpoint_directory import MANIFEST, MODEL, STATE, manifest_of
from charloom.store.control_files import read_control, write_control
from charloom.store.newer_formats import refuse_newer_run
from charloom.store.run_checkpoints import read_pointer
from charloom.store.run_directory import checkpoint_path, updates_in
from charloom.training import Record, Warned, train_run
from reliability.run_training import reopen

LATER = 900
SENTENCE = rf"was written by a later version of charloom \(format {LATER}; this one reads up to \d+\): upgrade"


@pytest.fixture
def run(tmp_path):
    """Return an interrupted run with two checkpoints and all files that have a format."""
    path = tmp_path / "run"
    with small_runs.create(path)[0] as writer:
        writer.write_gradcheck([])
        writer.write_learning_rates({"learning_rate": 0.1, "rounds": []})
    small_runs.resume(path, halt=small_runs.after(4))
    write_control(path, "run")
    assert updates_in(path / "checkpoints")[0] < read_pointer(path, LATEST)
    return path


def renumber(path, **changes):
    """Give a JSON file a later format, and a fitting seal if it has one."""
    values = {**json.loads(path.read_bytes()), "format": LATER, **changes}
    sealed = values.pop("sha256", None)
    if sealed is not None:
        values["sha256"] = hashlib.sha256(canonical_json(values)).hexdigest()
    path.write_bytes(canonical_json(values))


def renumber_model(path, key="charloom"):
    """Give a model or PyTorch file a later format and an unknown tensor."""
    tensors = load_file(path)
    about = json.dumps({"format": LATER, "weights": "averaged"})
    save_file({**tensors, "later": next(iter(tensors.values()))}, path, {key: about})


def manifest_again(directory):
    """Write a MANIFEST that fits the files of a checkpoint."""
    names = (path.name for path in directory.iterdir() if path.name != MANIFEST)
    files = {name: (directory / name).read_bytes() for name in names}
    (directory / MANIFEST).write_bytes(manifest_of(files))


def later_state(run, update=None):
    """Change a run's checkpoint to a later format with a new field and a new file."""
    directory = checkpoint_path(run, read_pointer(run, LATEST) if update is None else update)
    renumber(directory / STATE, checksums={})
    (directory / "average.safetensors").write_bytes(b"later")
    manifest_again(directory)


def later_model(run):
    """Give only the model of a checkpoint a later format."""
    directory = checkpoint_path(run, read_pointer(run, LATEST))
    renumber_model(directory / MODEL)
    manifest_again(directory)
    (run / "checkpoints" / LATEST).write_text(f"{directory.name}\n")


LATER_FILES = {
    "config.json": lambda run: renumber(run / "config.json", weather="fine"),
    "state.json": later_state,
    "an earlier checkpoint's state.json": lambda run: later_state(
        run, updates_in(run / "checkpoints")[0]
    ),
    "the model of a checkpoint": later_model,
    "gradcheck.json": lambda run: renumber(run / "gradcheck.json"),
    "learning_rates.json": lambda run: renumber(run / "learning_rates.json"),
    "control.json": lambda run: renumber(run / "control.json"),
    "status.json": lambda run: renumber(run / "status.json"),
}


@pytest.mark.parametrize("what", LATER_FILES)
def test_a_run_of_a_later_version_is_refused_and_never_changed(run, what):
    LATER_FILES[what](run)
    before = file_contents.tree(run)
    for allow in (False, True):
        with pytest.raises(NewerFormatError, match=SENTENCE):
            reopen(run, allow_older=allow)
    with pytest.raises(NewerFormatError, match=SENTENCE):
        load_model(run)
    with pytest.raises(NewerFormatError, match=SENTENCE):
        report(run)
    assert file_contents.tree(run) == before


@pytest.mark.parametrize("broken", ["latest", "config.json"])
def test_a_damaged_run_never_falls_back_from_a_later_versions_checkpoint(run, broken):
    later_state(run)
    for path in run.rglob(broken):
        path.write_bytes(b"{")
    before = file_contents.tree(run)
    with pytest.raises(NewerFormatError, match=SENTENCE):
        reopen(run, allow_older=True)
    with pytest.raises(NewerFormatError, match=SENTENCE):
        inspect_run(run)
    assert file_contents.tree(run) == before


def test_a_checkpoint_that_only_claims_to_be_later_is_damaged(run):
    state = checkpoint_path(run, read_pointer(run, LATEST)) / STATE
    renumber(state)  # and MANIFEST does not know
    refuse_newer_run(run)
    with pytest.raises(DamagedError, match=STATE):
        reopen(run)


def test_a_changed_format_number_is_damage(run, tmp_path):
    values = json.loads((run / "config.json").read_bytes())
    (run / "config.json").write_bytes(canonical_json({**values, "format": LATER}))
    with pytest.raises(DamagedError, match=f"its format was changed to {LATER}"):
        reopen(run)
    model = tmp_path / "model"
    learner = load_model(checkpoint_path(run, updates_in(run / "checkpoints")[0]))
    model.write_bytes(model_bytes(learner))
    with safe_open(model, "np") as file:
        about = json.loads(file.metadata()["charloom"])
    about["format"] = LATER  # the seal is still that of the number before
    save_file(load_file(model), model, {"charloom": json.dumps(about)})
    with pytest.raises(DamagedError, match=f"its format was changed to {LATER}"):
        load_model(model)


def test_later_model_and_pytorch_files_are_refused(run, tmp_path):
    learner = load_model(run)
    (tmp_path / "model").write_bytes(model_bytes(learner))
    renumber_model(tmp_path / "model")
    with pytest.raises(NewerFormatError, match=SENTENCE):
        load_model(tmp_path / "model")
    (tmp_path / "torch").write_bytes(torch_bytes(learner, "torch"))
    renumber_model(tmp_path / "torch", "charloom.torch")
    with pytest.raises(NewerFormatError, match=SENTENCE):
        read_torch_file(tmp_path / "torch")


def test_a_later_versions_command_is_not_overwritten(run):
    renumber(run / "control.json")
    before = (run / "control.json").read_bytes()
    with pytest.raises(NewerFormatError, match=SENTENCE):
        write_control(run, "stop")
    assert (run / "control.json").read_bytes() == before


def test_training_continues_when_a_later_version_sends_a_command(tmp_path, monkeypatch):
    monkeypatch.setattr("charloom.training.command_reader.LOOK_SECONDS", 0.0)
    writer, learner, corpus = small_runs.create(tmp_path / "run")
    write_control(tmp_path / "run", "stop")
    renumber(tmp_path / "run" / "control.json")
    with writer:
        items = list(train_run(writer, learner, corpus, open_engine("reference")))
    warned = [item.message for item in items if isinstance(item, Warned)]
    reasons = [event["reason"] for event in file_contents.lines_of(tmp_path / "run" / "events.jsonl")
            if event["event"] == "warning"]  # fmt: skip
    assert len(warned) == len(reasons) == 1
    assert "a command was ignored" in reasons[0]
    assert items[-1].state == "finished"


def test_a_command_refused_during_a_validation_is_reported_before_its_record(tmp_path, monkeypatch):
    monkeypatch.setattr("charloom.training.command_reader.LOOK_SECONDS", 0.0)
    writer, learner, corpus = small_runs.create(tmp_path / "run", validation=0.2, judge_every=6)

    class Steered(ReferenceEngine):
        def score(self, learner, tokens, state):
            if learner.update == 6:
                write_control(tmp_path / "run", "stop")
                renumber(tmp_path / "run" / "control.json")
            return super().score(learner, tokens, state)

    with writer:
        items = list(train_run(writer, learner, corpus, Steered()))
    (warned,) = [item for item in items if isinstance(item, Warned)]
    assert "a command was ignored" in warned.message
    # It is yielded during the validation after update 6, so the last complete update is 5.
    assert warned.update == 5
    record = next(item for item in items if isinstance(item, Record) and item.update == 6)
    assert items.index(warned) < items.index(record)


def test_the_page_lists_a_later_versions_run_as_newer(run):
    pytest.importorskip("fastapi", reason="the extra web is not installed")
    from starlette.testclient import TestClient

    from charloom.web.server import make_app
    from web_servers import HERE, app_state

    later_state(run)
    with TestClient(make_app(app_state(run.parent)), base_url=HERE) as client:
        listed = client.get("/api/runs").json()["runs"][0]
        assert client.get("/api/runs/run").status_code == 200
        refused = client.post("/api/next", json={"model": "run", "text": "t"})
    assert listed["state"] == "newer"
    assert "later version of charloom" in listed["reason"]
    assert not listed["resumable"]
    assert refused.status_code >= 400


def test_a_command_without_a_format_number_is_obeyed(tmp_path):
    (tmp_path / "control.json").write_bytes(b'{"command":"stop","sequence":4}')
    assert read_control(tmp_path).command == "stop"
