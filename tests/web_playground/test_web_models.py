"""The server lists and opens models, and scores texts with them."""

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

import charloom
import small_runs
from charloom.web import model_cache
from charloom.web.server import make_app
from playground_requests import complete_events
from waiting import until
from web_servers import HERE, app_state, text_and_last_event


def test_models_are_listed_and_opened(client):
    listed = [model["id"] for model in client.get("/api/models").json()["models"]]
    assert {"book", "book@latest", "bytes", "kept.safetensors"} <= set(listed)
    for model in listed:
        about = client.get(f"/api/models/{model}").json()
        assert about["id"] == model
    book = client.get("/api/models/book").json()
    assert book["whats"] == ["h", "cell", "i", "f", "g", "o"]
    assert book["vocabulary"] == "".join(sorted(set(small_runs.TEXT)))


def test_a_retrained_run_of_the_same_name_uses_the_new_model(tmp_path):
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        texts = []
        for seed in (1, 2):
            shutil.rmtree(tmp_path / "book", ignore_errors=True)
            small_runs.train(tmp_path / "book", epochs=1, seed=seed)
            text, _ = text_and_last_event(
                complete_events(client.post("/api/generate", json={"model": "book"}))
            )
            assert text == charloom.load(tmp_path / "book").sample()
            texts.append(text)
        assert texts[0] != texts[1]


def test_simultaneous_requests_read_a_model_once_and_do_not_block_others(folder, monkeypatch):
    found = model_cache.ModelCache(app_state(folder).run_index)
    real, reading, gate = model_cache.learner_of, [], threading.Event()

    def slow(checkpoint):
        reading.append(checkpoint)
        assert "book" not in str(checkpoint) or gate.wait(10)
        return real(checkpoint)

    monkeypatch.setattr(model_cache, "learner_of", slow)
    with ThreadPoolExecutor(4) as pool:
        same = [pool.submit(found.open, "book") for _ in range(3)]
        until(lambda: reading)
        assert found.open("bytes").learner.config.cell == "gru"
        gate.set()
        assert len({id(opened.result(10).learner) for opened in same}) == 1
    assert len(reading) == 2


def test_the_server_gives_the_same_surprisal_as_score(client, folder):
    text = "the red cat sat"
    score = charloom.load(folder / "book").score(text)
    body = {"model": "book", "text": text, "likely": True}
    answer = client.post("/api/score", json=body).json()
    assert answer["characters"] == list(text)
    assert answer["nats"][0] is None
    np.testing.assert_allclose(answer["nats"][1:], score.nats[1:])
    assert answer["mean_bits"] == pytest.approx(score.mean_bits)
    assert [len(row) for row in answer["likely"]] == [5] * len(text)
    following = client.post("/api/next", json={"model": "book", "text": text, "count": 3}).json()
    np.testing.assert_allclose(
        [p for _, p in following["likely"]], [p for _, p in answer["likely"][-1][:3]], atol=1e-5
    )
    for path in ("score", "next"):
        wrong = client.post(f"/api/{path}", json={"model": "book", "text": "a Ω b"})
        assert (wrong.status_code, wrong.json()["error"]["characters"]) == (422, ["Ω"])
