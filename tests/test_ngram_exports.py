"""A model with n-grams cannot be exported to PyTorch; its network alone can."""

import json

import pytest
from safetensors.numpy import load_file, save_file

import charloom
from charloom.canonical_form import canonical_json
from charloom.errors import ConfigError, DamagedError
from charloom.pytorch_format import METADATA_KEY, torch_bytes
from charloom.recipes import recipe_of
from charloom.store.tensor_reader import metadata_of
from ngram_models import ngram_model


@pytest.fixture(scope="module")
def model():
    """Return a GRU with n-grams, in float32."""
    return ngram_model("reference", cell="gru", dtype="float32")


def test_a_model_with_n_grams_is_refused(model, tmp_path):
    path = tmp_path / "x.safetensors"
    for export in (model.export, lambda path: charloom.export(model, path)):
        with pytest.raises(ConfigError, match=r"n-grams.*give network_alone=True.*ngram_order=0"):
            export(path)
    assert not path.exists()


def test_the_network_alone_can_be_exported_and_imported_again(model, tmp_path):
    path = charloom.export(model, tmp_path / "x.safetensors", network_alone=True)
    assert path.read_bytes() == torch_bytes(model.network_alone().learner, path.name)
    assert not any("ngram" in name for name in load_file(path))
    back, alone = charloom.import_model(path, engine="reference"), model.network_alone()
    assert back.learner.ngrams is None
    assert back.config == alone.config
    assert back.sample("the ", 30) == alone.sample("the ", 30)
    assert back.parameters.keys() == alone.parameters.keys()


def test_a_model_without_n_grams_is_exported_whole_with_either_option(model, tmp_path):
    plain = model.network_alone()
    one = plain.export(tmp_path / "x.safetensors").read_bytes()
    assert plain.export(tmp_path / "x.safetensors", network_alone=True).read_bytes() == one


def test_an_imported_network_has_no_n_grams_even_if_the_default_recipe_has(
    model, tmp_path, monkeypatch
):
    path = model.export(tmp_path / "x.safetensors", network_alone=True)
    save_file(load_file(path), path)  # without metadata, as other programs write it
    quick = recipe_of("quick")
    changed = quick.__class__(**{**vars(quick), "config": quick.config.replace(ngram_order=6)})
    monkeypatch.setattr("charloom.pytorch_format.recipe_of", lambda _: changed)
    back = charloom.import_model(path, vocabulary=list(model.vocabulary.characters))
    assert (back.config.recipe, back.config.ngram_order) == ("quick", 0)


def test_a_file_for_pytorch_that_claims_n_grams_is_damaged(model, tmp_path):
    path = model.export(tmp_path / "x.safetensors", network_alone=True)
    about = json.loads(metadata_of(path.read_bytes(), "x")[METADATA_KEY])
    about["config"]["ngram_order"] = 5
    save_file(load_file(path), path, {METADATA_KEY: canonical_json(about).decode("ascii")})
    with pytest.raises(DamagedError, match=r"its metadata says ngram_order 5, its tensors 0"):
        charloom.import_model(path)
