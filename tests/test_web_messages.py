"""The page shows errors of requests and of failed starts in its own words."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

import small_runs
from charloom.cli.terminal import say
from charloom.messages import FACE, PAGE, argument
from charloom.web import schemas
from charloom.web.server import make_app
from charloom.web.validation_messages import validation_message
from waiting import until
from web_servers import HERE, app_state


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Return a client of a server with an empty folder; only one test stores something in it."""
    folder = tmp_path_factory.mktemp("messages")
    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        yield client


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("hidden_size", "abc", "“hidden size” must be a whole number, not 'abc'."),
        ("hidden_size", 1.5, "“hidden size” must be a whole number, not 1.5."),
        ("hidden_size", True, "“hidden size” must be a whole number, not True."),
        ("hidden_size", 0, "“hidden size” must be at least 1, not 0."),
        ("hidden_size", 9_999_999, "“hidden size” must be at most 2,048, not 9999999."),
        ("learning_rate", "fast", "“learning rate” must be a number, not 'fast'."),
        ("learning_rate", 0, "“learning rate” must be more than 0, not 0."),
        ("minutes", [1], "“minutes” must be a number, not [1]."),
        ("cell", "mlp", "“cell” must be 'rnn', 'lstm' or 'gru', not 'mlp'."),
        ("hiden_size", 5, "there is no field 'hiden_size' here (did you mean hidden_size?)."),
        ("colour", 5, "there is no field 'colour' here."),
    ],
)
def test_a_wrong_setting_is_refused_with_the_given_and_the_allowed_value(
    client, setting, value, message
):
    answer = client.post("/api/runs", json={"text": "any", "settings": {setting: value}})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["message"], error["param"]) == (message, f"settings.{setting}")


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/api/runs", {}, "“text” is missing."),
        ("/api/runs", [1], "the request must be an object, not [1]."),
        ("/api/runs", {"text": "any", "settings": 3}, "“settings” must be an object, not 3."),
        (
            "/api/runs",
            {"text": "any", "name": "My run!"},
            "“name” cannot be 'My run!'; use letters, digits, _, - and ., without . at the beginning.",
        ),
        (
            "/api/runs",
            {"text": "any", "name": ""},
            "“name” is empty; use letters, digits, _, - and ., without . at the beginning.",
        ),
        ("/api/runs/book/rename", {"name": ""}, "the new name is empty; give the name of a directory."),
        ("/api/runs/book/rename", {"name": " "}, "the new name is empty; give the name of a directory."),
        ("/api/runs/book/rename", {"name": 256 * "x"}, "“name” must have at most 255 characters, not 256."),
        ("/api/runs", {"text": "any", "name": 61 * "x"}, "“name” must have at most 60 characters, not 61."),
        ("/api/generate", {"model": "book", "stop": ["x"] * 9}, "“stop” must have at most 8 items, not 9."),
        ("/api/generate", {"model": "book", "stop": [""]}, "“stop” must have at least 1 character, not 0."),
        ("/api/generate", {"model": "book", "top_k": None}, "“top k” must be a whole number, not None."),
        (
            "/api/generate",
            {"model": 3, "length": "x"},
            "“length” must be a whole number, not 'x' (2 errors in all).",
        ),
        ("/v1/completions", {"model": "book", "stop": 3}, "stop must be a string, not 3 (2 errors in all)."),
    ],
)  # fmt: skip
def test_a_wrong_request_is_refused_with_the_given_and_the_allowed_value(
    client, path, body, message
):
    answer = client.post(path, json=body)
    assert answer.json()["error"]["message"] == message


def test_a_query_that_is_not_a_number_is_refused_in_words(client):
    answer = client.get("/api/runs?limit=abc")
    message = "“limit” must be a whole number, not 'abc'."
    assert answer.json()["error"] | {"type": None} == {
        "message": message, "type": None, "param": "limit", "code": "invalid",
    }  # fmt: skip


def test_a_long_wrong_value_is_not_repeated(client):
    body = {"text": "any", "settings": {"hidden_size": 30_000 * "x"}}
    assert len(client.post("/api/runs", json=body).text) < 500


def test_an_error_without_its_own_message_keeps_that_of_pydantic():
    error = {"type": "url_scheme", "loc": ("body", "link"), "msg": "URL scheme should be one of …"}
    assert validation_message(error) == f"{argument('link')}: URL scheme should be one of …"


def test_every_kind_of_error_of_a_setting_has_a_message(client):
    for name in schemas.Settings.model_fields:
        for value in ("abc", -1, 1e99, [], {}, False):
            body = {"text": "any", "settings": {name: value}}
            error = client.post("/api/runs", json=body).json()["error"]
            if error["code"] == "invalid":
                assert "should" not in error["message"], (name, value)


def test_a_start_that_fails_names_the_fields_of_the_page(client):
    text = {"name": "short", "text": small_runs.TEXT[:100]}
    key = client.post("/api/texts", json=text).json()["key"]
    settings = {"batch_size": 512, "seq_length": 50}
    client.post("/api/runs", json={"text": key, "name": "wide", "settings": settings})

    def failed():
        runs = client.get("/api/runs").json()["runs"]
        return next((run for run in runs if run["state"] == "failed"), None)

    reason = until(failed, 60)["reason"]
    assert "“batch size”" in reason
    assert "--" not in reason


@pytest.mark.parametrize(
    ("face", "shown"),
    [(None, "--hidden-size"), (PAGE, "“hidden size”"), ("another", "--hidden-size")],
)
def test_a_command_spells_messages_for_the_page_if_the_server_started_it(
    monkeypatch, capsys, face, shown
):
    monkeypatch.delenv(FACE, raising=False)
    if face is not None:
        monkeypatch.setenv(FACE, face)
    say(f"use a smaller {argument('hidden_size')}.")
    assert capsys.readouterr().err == f"charloom: use a smaller {shown}.\n"
