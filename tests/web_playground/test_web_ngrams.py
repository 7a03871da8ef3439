"""The server writes, scores and shows models with n-grams."""

import math

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import small_runs
from charloom.web import model_cache
from ngram_models import ngram_model
from playground_requests import complete_events
from web_servers import HERE, app_state


@pytest.fixture(scope="module")
def model():
    """Return a GRU with n-grams, in float32."""
    return ngram_model(cell="gru", dtype="float32")


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """Return a folder with a model file, and one of its network alone."""
    path = tmp_path_factory.mktemp("ngrams")
    model.save(path / "mixed.safetensors")
    model.network_alone().save(path / "alone.safetensors")
    return path


@pytest.fixture(scope="module")
def client(folder):
    """Return a client of a server of that folder."""
    from starlette.testclient import TestClient

    from charloom.web.server import make_app

    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        yield client


def test_the_detail_of_a_model_has_the_length_of_its_n_grams(client, model):
    found = client.get("/api/models/mixed.safetensors").json()
    assert found["ngram_order"] == 5
    assert found["parameters"] == sum(array.size for array in model.parameters.values())
    assert found["whats"] == ["h", "r", "z", "n"]
    assert client.get("/api/models/alone.safetensors").json()["ngram_order"] == 0


@pytest.mark.parametrize("predict", [False, True])
def test_the_playground_writes_what_the_model_writes(client, model, predict):
    body = {"model": "mixed.safetensors", "prompt": "the ", "length": 150, "seed": 3}
    events = complete_events(client.post("/api/generate", json={**body, "probabilities": predict}))
    text = "".join(data["text"] for name, data in events if name == "text")
    assert text == model.sample("the ", 150, seed=3)
    if predict:
        nats = [x for name, data in events if name == "text" for x in data["analysis"]["nats"]]
        expected = model.score("the " + text).nats[4:]
        np.testing.assert_allclose(nats, expected, atol=2e-5)


def test_two_models_are_compared(client, model):
    models = ["mixed.safetensors", "alone.safetensors"]
    body = {"models": models, "prompt": "the ", "length": 60, "seed": 3}
    texts = {0: "", 1: ""}
    for name, data in complete_events(client.post("/api/compare", json=body)):
        if name == "text":
            texts[data["side"]] += data["text"]
    for side, each in enumerate((model, model.network_alone())):
        assert texts[side] == each.sample("the ", 60, seed=3)


def test_completions_and_predictions_count_the_n_grams(client, model):
    body = {"model": "mixed.safetensors", "prompt": "the ", "max_tokens": 40, "seed": 3}
    found = client.post("/v1/completions", json=body).json()
    assert found["choices"][0]["text"] == model.sample("the ", 40, seed=3)
    body = {"model": "mixed.safetensors", "text": small_runs.TEXT[:80], "likely": True}
    found = client.post("/api/score", json=body).json()
    nats = model.score(small_runs.TEXT[:80]).nats
    np.testing.assert_allclose(found["nats"][1:], nats[1:], rtol=1e-6)
    for likely, following, loss in zip(
        found["likely"], small_runs.TEXT[1:80], nats[1:], strict=False
    ):
        p = dict(map(tuple, likely)).get(following, math.exp(-loss))
        assert p == pytest.approx(math.exp(-loss), abs=2e-5)


def test_the_explorer_shows_hidden_units_and_the_weights_of_the_n_grams(client, model):
    text = small_runs.TEXT[:300]
    body = {"model": "mixed.safetensors", "text": text}
    unit = client.post("/api/inside/unit", json={**body, "unit": 2, "what": "z"}).json()
    expected = model.activity(text, unit=2, what="z").values[:, 0, 0]
    np.testing.assert_allclose(unit["values"], expected, atol=1e-4)
    assert client.post("/api/inside/map", json=body).json()["units"] == 6
    assert client.post("/api/inside/ranking", json=body).status_code == 200
    found = client.post("/api/inside/ngrams", json=body).json()
    assert found["characters"] == list(text)
    assert found["weights"][0] is None
    np.testing.assert_allclose(found["weights"][1:], model.ngram_use(text).weights[1:], atol=1e-4)
    found = client.post("/api/inside/ngrams", json={**body, "model": "alone.safetensors"}).json()
    assert (found["characters"], found["weights"]) == ([], None)


def test_models_in_memory_count_their_n_grams(model):
    learner = model.learner
    alone = model_cache.size(model.network_alone().learner)
    weight = learner.parameters["ngram.weight"].nbytes + learner.parameters["ngram.bias"].nbytes
    assert model_cache.size(learner) == alone + weight + learner.ngrams.nbytes
    assert learner.ngrams.nbytes > learner.ngrams.shares.nbytes + learner.ngrams.factors.nbytes
