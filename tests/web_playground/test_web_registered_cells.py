"""The server lists, samples and explores a run whose cell a user registered, and offers the cell for new runs."""

import base64
import json

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")
pytest.importorskip("torch", reason="PyTorch is not installed")

from starlette.testclient import TestClient

import small_runs
from charloom.registered_cells import CELL_FILES, remove_cell
from charloom.web.server import make_app
from playground_requests import complete_events
from registered_test_cells import mingru
from web_servers import HERE, app_state


@pytest.fixture(scope="module")
def mingru_folder(tmp_path_factory):
    """Return a folder with a run of minGRU, which is registered until the end of the module."""
    path = tmp_path_factory.mktemp("own")
    with mingru():
        small_runs.train(path / "own", engine="torch", cell="mingru", layers=2, validation=0.2)
        yield path


@pytest.fixture
def own_client(mingru_folder):
    with TestClient(make_app(app_state(mingru_folder)), base_url=HERE) as client:
        yield client


def test_the_run_is_listed_with_its_cell(own_client):
    (run,) = own_client.get("/api/runs").json()["runs"]
    assert (run["key"], run["cell"], run["state"]) == ("own", "mingru", "finished")
    model = own_client.get("/api/models/own").json()
    assert (model["cell"], model["whats"]) == ("mingru", ["h", "z", "n"])


def test_the_model_writes(own_client):
    body = {"model": "own", "prompt": "the ", "length": 30, "seed": 1}
    answer = own_client.post("/api/generate", json=body)
    assert complete_events(answer)[-1][0] == "end", answer.text


def test_states_and_gates_of_a_unit_are_shown(own_client):
    body = {"model": "own", "text": small_runs.TEXT[:60], "layer": 1}
    for what in ("h", "z", "n"):
        unit = own_client.post("/api/inside/unit", json={**body, "unit": 3, "what": what}).json()
        packed = own_client.post("/api/inside/map", json={**body, "what": what}).json()
        shown = np.frombuffer(base64.b64decode(packed["values"]), np.uint8).reshape(8, 60)[3]
        values = packed["low"] + shown / 255 * (packed["high"] - packed["low"])
        np.testing.assert_allclose(values, unit["values"], atol=packed["high"] / 200 + 1e-4)
        assert unit["low"] == -unit["high"], "no bounds are known for a value of a registered cell"


def test_units_are_ranked(own_client):
    body = {"model": "own", "text": small_runs.TEXT[:300], "top": 2}
    found = own_client.post("/api/inside/ranking", json=body).json()
    assert found["properties"]


@pytest.mark.parametrize("what", ["cell", "f", "zz"])
def test_a_value_that_the_cell_does_not_have_is_refused(own_client, what):
    answer = own_client.post("/api/inside/unit", json={"model": "own", "text": "the", "what": what})
    assert answer.status_code == 422
    assert "only h, z, n" in json.dumps(answer.json())


def test_the_form_for_a_new_run_offers_the_cell(own_client):
    settings = {s["name"]: s for s in own_client.get("/api/about").json()["settings"]}
    assert settings["cell"]["choices"] == ["rnn", "lstm", "gru", "mingru"]


def test_without_the_cell_the_run_says_what_is_missing(mingru_folder, monkeypatch):
    monkeypatch.delenv(CELL_FILES, raising=False)
    remove_cell("mingru")
    try:
        with TestClient(make_app(app_state(mingru_folder)), base_url=HERE) as client:
            (run,) = client.get("/api/runs").json()["runs"]
            assert run["state"] == "unreadable"
            assert 'names the cell "mingru", which is not registered' in run["reason"]
            assert "with --cell-file FILE.py" in run["reason"]
            answer = client.post(
                "/api/generate", json={"model": "own", "prompt": "the ", "length": 5}
            )
            assert answer.status_code in (404, 409, 422)
    finally:
        with mingru():
            pass
