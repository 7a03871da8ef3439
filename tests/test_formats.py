"""A small run of every format is kept in tests/formats, and this version opens them all."""

import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

import charloom
from charloom.model import StartLosses, first_stream_state, stored_state
from charloom.model.clamp import Clamp
from charloom.model.unit_clamps import clamped
from charloom.pytorch_format import read_torch_file
from charloom.report import write_report
from charloom.store import load_checkpoint, load_model, read_run
from charloom.store.format_versions import (
    CONFIG_FORMAT,
    CONTROL_FORMAT,
    GRADCHECK_FORMAT,
    LEARNING_RATES_FORMAT,
    MODEL_FORMAT,
    STATE_FORMAT,
    STATUS_FORMAT,
    TORCH_FORMAT,
)
from charloom.store.ngram_tensors import tensors_of_ngrams

pytestmark = pytest.mark.usefixtures("kept_plots")

FORMATS = Path(__file__).parent / "formats"
KEPT = (
    "first",
    "batches",
    "seals",
    "numbered",
    "updates",
    "judged",
    "start",
    "ngrams",
    "averages",
    "searches",
    "order",
    "kept",
    "held",
    "devices",
    "items",
)
TORCH = "model.torch.safetensors"
JOURNALS = ("metrics.jsonl", "samples.jsonl")  # events may gain fields: readers ignore others
WRITTEN = {
    "config.json": CONFIG_FORMAT,
    "state.json": STATE_FORMAT,
    "model.safetensors": MODEL_FORMAT,
    TORCH: TORCH_FORMAT,
    "gradcheck.json": GRADCHECK_FORMAT,
    "learning_rates.json": LEARNING_RATES_FORMAT,
    "status.json": STATUS_FORMAT,
    "control.json": CONTROL_FORMAT,
}


def newest(directory):
    """Return the newest checkpoint of the run that is stored in a directory."""
    saved = (directory / "run" / "checkpoints").glob("[0-9]*")
    return max(saved, key=lambda path: int(path.name))


def contents(directory):
    """Return the JSON values of each file with a format number, by the file's name."""
    run, found = directory / "run", {}
    for path in (run / "config.json", newest(directory) / "state.json"):
        found[path.name] = json.loads(path.read_bytes())
    for name in ("gradcheck.json", "status.json", "control.json"):
        found[name] = json.loads((run / name).read_bytes())
    if (run / "learning_rates.json").exists():
        found["learning_rates.json"] = json.loads((run / "learning_rates.json").read_bytes())
    for name in ("model.safetensors", TORCH):
        if (directory / name).exists():
            with safe_open(directory / name, "np") as file:
                (metadata,) = file.metadata().values()
                found[name] = json.loads(metadata) | {"tensors": dict.fromkeys(file.keys())}
    return found


def numbers(directory):
    """Return the format number of each file."""
    return {name: values["format"] for name, values in contents(directory).items()}


def fields(value, path=""):
    """Return the path of every field in a value."""
    if isinstance(value, list):
        return set().union(*(fields(inner, path) for inner in value))
    if not isinstance(value, dict):
        return set()
    inner = (fields(inner, f"{path}.{name}") for name, inner in value.items())
    return {f"{path}.{name}" for name in value}.union(*inner)


def described(directory):
    """Return the fields of each file with a format number.

    The fields of the journals are under config.json, whose number covers them.
    """
    found = {name: fields(values) for name, values in contents(directory).items()}
    for name in JOURNALS:
        lines = (directory / "run" / name).read_bytes().splitlines()
        found["config.json"] |= {f"{name}{field}" for field in fields(list(map(json.loads, lines)))}
    return found


@pytest.fixture(scope="module")
def made(make, tmp_path_factory):
    """Return what this version writes instead of the stored files."""
    directory = tmp_path_factory.mktemp("made")
    make.main(directory)
    return directory


@pytest.fixture(scope="module")
def make():
    """Return the module that makes the files of a format."""
    spec = importlib.util.spec_from_file_location("make", FORMATS / "make.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=KEPT)
def kept(request, tmp_path):
    """Return a copy of the stored files of a format."""
    return Path(shutil.copytree(FORMATS / request.param, tmp_path / request.param))


def test_every_stored_format_directory_is_tested_here():
    assert sorted(KEPT) == sorted(path.parent.name for path in FORMATS.glob("*/run"))


def test_written_files_have_the_current_format_numbers(made):
    assert numbers(made) == WRITTEN


def test_every_format_number_has_a_stored_run():
    found = [(name, number) for kept in KEPT for name, number in numbers(FORMATS / kept).items()]
    wanted = {(name, n) for name, newest in WRITTEN.items() for n in range(1, newest + 1)}
    assert set(found) == wanted, "make one with tests/formats/make.py, and add its name to KEPT"


def unnumbered(now, before):
    """Return the files that have the same number but other fields in two directories."""
    one, two = numbers(now), numbers(before)
    fields_now, fields_before = described(now), described(before)
    return {name: fields_now[name] ^ fields_before[name] for name in one
            if one[name] == two.get(name) and fields_now[name] != fields_before[name]}  # fmt: skip


def test_changed_fields_need_a_new_format_number(made):
    assert unnumbered(made, FORMATS / KEPT[-1]) == {}, (
        "give the file a later number in store/format_versions.py and docs/spec/formats.md, and keep a run of it"
    )


def test_a_planted_field_without_a_number_is_caught(made, tmp_path):
    planted = Path(shutil.copytree(made, tmp_path / "planted"))
    about = json.loads((planted / "run" / "config.json").read_bytes())
    about["config"]["tilt"] = 1.0
    (planted / "run" / "config.json").write_text(json.dumps(about))
    assert unnumbered(planted, FORMATS / KEPT[-1]) == {"config.json": {".config.tilt"}}


def assert_same_arrays(found, wanted):
    """Assert that two dicts have equal arrays with the same names."""
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        np.testing.assert_array_equal(found[name], array)


def test_a_stored_model_has_ngrams_if_its_settings_say_so(kept):
    learner = load_model(kept / "run")
    assert (learner.ngrams is not None) == (learner.config.ngram_order > 0)
    assert learner.ngrams is None or len(learner.ngrams.child_ids) > 20
    assert (learner.config.ngram_order > 0) == (
        kept.name in ("ngrams", "averages", "searches", "order", "kept", "held", "devices", "items")
    )


def test_a_stored_model_has_averaged_weights_if_its_settings_say_so(kept):
    trained, model = load_checkpoint(newest(kept)).learner, load_model(kept / "run", "latest")
    different = {
        name
        for name, array in trained.parameters.items()
        if array.tobytes() != model.parameters[name].tobytes()
    }
    averaged = kept.name in ("averages", "searches", "order", "kept", "held", "devices", "items")
    assert different == (set(trained.parameters) if averaged else set())


def test_a_stored_model_has_pairs_if_its_settings_say_so(kept):
    learner = load_model(kept / "run")
    assert (learner.pairs is not None) == (learner.config.input_pairs > 0)
    assert (learner.config.input_pairs > 0) == (
        kept.name in ("averages", "searches", "order", "kept", "held", "devices", "items")
    )
    if learner.pairs:
        text = (FORMATS / kept.name / "run" / "text.txt").read_text(encoding="utf-8")
        used = 16 if learner.config.has_items else 17
        pairs = [learner.vocabulary.decode(pair) for pair in learner.pairs.ids[:used]]
        assert learner.pairs.used == used
        assert all(pair in text for pair in pairs)


def test_a_stored_model_is_opened_from_every_path(make, kept):
    saved = exported = load_model(kept / "run")
    if kept.name in ("held", "devices", "items"):
        exported = clamped(saved, Clamp(0, 1, 0.25))
    pairs = [(load_model(newest(kept)), saved), (load_model(kept / "model.safetensors"), exported)]
    if (kept / TORCH).exists():
        pairs.append((read_torch_file(kept / TORCH), make.without_counts(exported)))
    for found, wanted in pairs:
        assert found.config == wanted.config
        assert found.vocabulary == wanted.vocabulary
        assert found.clamps == wanted.clamps
        assert_same_arrays(found.parameters, wanted.parameters)
        assert (found.ngrams is None) == (wanted.ngrams is None)
        if wanted.ngrams:
            assert_same_arrays(*(tensors_of_ngrams(one.ngrams) for one in (found, wanted)))
        assert (found.pairs is None) == (wanted.pairs is None)
        if wanted.pairs:
            np.testing.assert_array_equal(found.pairs.ids, wanted.pairs.ids)
    assert load_checkpoint(newest(kept)).learner.update == int(newest(kept).name)


def test_a_stored_model_samples_the_same_text_as_when_it_was_made(kept):
    view, model = read_run(kept / "run"), charloom.load(kept / "run", which="best")
    assert len(model.sample(length=5, seed=1)) == 5
    assert 0 < model.evaluate(string="tea at ten").bits < 10
    assert view.samples[-1]["update"] == view.latest
    if view.config.has_items:  # boundaries count, and the separator is written between two items
        assert "\n. \n" in view.passage
    else:
        assert len(view.passage) == view.config.passage_length


@pytest.mark.parametrize("name", KEPT[: KEPT.index("start")])
def test_a_model_file_of_an_earlier_format_begins_in_the_zero_state(name):
    learner = load_model(FORMATS / name / "model.safetensors")
    assert stored_state(learner) is None
    assert learner.start_losses is None
    assert (
        stored_state(load_model(FORMATS / name / "run")) is not None
    )  # a checkpoint has its state


def test_a_model_file_of_format_5_has_the_state_of_its_checkpoint_and_its_losses():
    learner = load_model(FORMATS / "start" / "model.safetensors")
    trained = load_checkpoint(newest(FORMATS / "start")).learner
    stored = stored_state(learner)["h"]
    assert stored.tobytes() == first_stream_state(trained.state)["h"].tobytes()
    assert learner.start_losses == trained.start_losses
    assert learner.start_losses == StartLosses(1.5163, 1.5163, 1.5162, 1.5163)


def test_a_stored_run_has_a_report(kept):
    messages = []
    page = write_report(kept / "run", on_message=messages.append)
    assert messages == []
    assert "Generated long text passage" in page.read_text(encoding="utf-8")


def test_a_stored_run_resumes_and_then_has_the_current_format(kept):
    before = read_run(kept / "run")
    charloom.resume(kept / "run", epochs=3)
    after = read_run(kept / "run")
    assert after.metrics[: len(before.metrics)] == before.metrics
    assert after.latest == after.updates > before.latest
    now = numbers(kept)
    assert {name: now[name] for name in ("config.json", "state.json", "status.json")} == {
        name: WRITTEN[name] for name in ("config.json", "state.json", "status.json")
    }
    assert after.version == before.version  # the charloom that made the run
