"""A model reports after how many updates its weights were stored, in memory and from its file."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save
from typer.testing import CliRunner

import charloom
from charloom.cli import app
from charloom.engines import Plan
from charloom.errors import DamagedError
from charloom.store import canonical_json, load_model, model_bytes
from charloom.store.model_file import model_seal
from charloom.text import Windows

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 8
SMALL = {
    "recipe": "classic",
    "hidden_size": 4,
    "seq_length": 5,
    "updates": 12,
    "engine": "reference",
}


@pytest.fixture
def model():
    """Return a model after twelve updates. Tests may change it."""
    return charloom.train(string=TEXT, **SMALL)


def about(path):
    """Return the metadata of a model file."""
    with safe_open(path, "np") as file:
        return json.loads(file.metadata()["charloom"])


def test_a_model_file_stores_its_number_of_updates(model, tmp_path):
    assert model.update == 12
    opened = charloom.load(model.save(tmp_path / "m.safetensors"), engine="reference")
    assert (opened.update, opened.stage, opened.learner.update) == (12, "update 12", 0)
    again = charloom.load(opened.save(tmp_path / "again.safetensors"), engine="reference")
    assert again.update == 12
    output = CliRunner().invoke(app, ["sample", str(tmp_path / "m.safetensors"), "--json"]).stdout
    assert json.loads(output)["update"] == 12


def test_updates_made_directly_with_the_engine_are_counted(model, tmp_path):
    corpus = charloom.api.open_text(None, TEXT)
    starts = Windows.of(model.config, len(corpus)).starts(0)
    for wanted in (15, 18):
        model.engine.train(model.learner, corpus.ids, Plan(np.full(3, 0.1), starts))
        assert (model.update, model.stage) == (wanted, f"update {wanted}")
        model = charloom.load(model.save(tmp_path / "m.safetensors"), engine="reference")
        assert model.update == wanted


def test_a_model_changed_in_place_says_so_and_its_file_stores_no_update(model, tmp_path):
    model.parameters["V"][0, 0] += 0.5
    assert model.update is None
    assert model.stage == "changed by hand since the latest model (update 12 of 12)"
    assert model.stage in repr(model)
    path = model.save(tmp_path / "m.safetensors")
    assert "update" not in about(path)
    opened = charloom.load(path, engine="reference")
    assert (opened.update, opened.stage) == (None, "after an unknown number of updates")
    output = CliRunner().invoke(app, ["sample", str(path), "--json"]).stdout
    assert json.loads(output)["update"] is None


def test_a_checkpoint_has_the_same_bytes_as_a_file_without_an_update(tmp_path):
    model = charloom.train(string=TEXT, run=tmp_path / "run", **SMALL)
    data = (tmp_path / "run" / "checkpoints" / "12" / "model.safetensors").read_bytes()
    assert model_bytes(model.learner) == data
    kept = about(tmp_path / "run" / "checkpoints" / "12" / "model.safetensors")
    saved = about(model.save(tmp_path / "m.safetensors"))
    assert {name for name in saved if saved[name] != kept.get(name)} == {"update", "sha256"}


@pytest.mark.parametrize("update", [0, -1, True, 1.0, None, 2**70, "12"])
def test_an_impossible_update_is_damage(model, tmp_path, update):
    path = model.save(tmp_path / "m.safetensors")
    values = about(path)
    del values["sha256"]
    for planted in (13, update):
        values["update"] = planted
        metadata = {**values, "sha256": model_seal(values, model.parameters)}
        header = {"charloom": canonical_json(metadata).decode()}
        path.write_bytes(save(model.parameters, metadata=header))
        if planted == 13:
            assert charloom.load(path, engine="reference").update == 13
    with pytest.raises(DamagedError, match="its update is"):
        load_model(path)
