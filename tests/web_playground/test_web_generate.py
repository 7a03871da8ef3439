"""The server generates the same text as `charloom sample`, and refuses invalid requests."""

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app
from charloom.engines import Sampler
from charloom.model import start_id, stored_state
from charloom.sampling import SampleOptions, Writing
from charloom.surprisal import Reader
from charloom.web.server import make_app
from planted_starts import BAD_ZERO, measured_as
from playground_requests import complete_events
from web_servers import HERE, app_state, text_and_last_event

HOT = {"temperature": 1.3, "top_k": 12, "top_p": 0.95, "seed": 7, "length": 300}


# Writing


@pytest.mark.parametrize("model", ["book", "book@best", "bytes", "kept.safetensors"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"start": "zero"},
        {"start": "zero", "prompt": "the cat"},
        HOT,
        {"prompt": "the cat", "stop": ["mat", "a"], **HOT},
    ],
)
def test_the_server_writes_the_same_text_as_charloom_sample(client, folder, model, settings):
    text, (name, last) = text_and_last_event(
        complete_events(client.post("/api/generate", json={"model": model, **settings}))
    )
    key, _, which = model.partition("@")
    options = [str(folder / key), *(["--which", which] if which else [])]
    for option, value in settings.items():
        for one in value if isinstance(value, list) else [value]:
            options += [f"--{option.replace('_', '-')}", str(one)]
    done = CliRunner().invoke(app, ["sample", *options])
    assert settings.get("prompt", "") + text + "\n" == done.stdout
    assert name == "end"
    assert last["characters"] == len(text)
    assert last["ended"] in ("length", "stop" if "stop" in settings else "length")
    if model != "bytes":
        assert (last["ended"] == "length") == (len(text) == settings.get("length", 200))


@pytest.mark.parametrize("models", [["book"], ["book", "bytes"]])
def test_several_texts_are_those_of_charloom_sample(client, folder, models):
    route, key = (
        ("generate", {"model": "book"}) if len(models) == 1 else ("compare", {"models": models})
    )
    body = {**key, "length": 40, "seed": 3, "samples": 3, "probabilities": True}
    events = complete_events(client.post(f"/api/{route}", json=body))
    texts = {}
    for name, data in events:
        assert ("side" in data) == (route == "compare")
        place = (data.get("side", 0), data["number"])
        texts[place] = texts.get(place, "") + data.get("text", "")
        assert name != "text" or "".join(data["analysis"]["characters"]) == data["text"]
    assert sorted(texts) == [(side, n) for side in range(len(models)) for n in range(3)]
    for side, model in enumerate(models):
        loaded = charloom.load(folder / model)
        written = [loaded.sample("", 40, seed=3, number=n) for n in range(3)]
        assert [texts[side, n] for n in range(3)] == written
    assert [name for name, _ in events].count("end") == 3 * len(models)
    assert client.post(f"/api/{route}", json={**body, "samples": 5}).status_code == 422


def test_another_seed_gives_another_text(client):
    texts = {
        text_and_last_event(
            complete_events(client.post("/api/generate", json={"model": "book", "seed": seed}))
        )[0]
        for seed in range(3)
    }
    assert len(texts) == 3


@pytest.mark.parametrize("model", ["book", "bytes"])
def test_each_character_comes_with_the_likeliest_next_ones_and_its_surprise(client, folder, model):
    body = {"model": model, "prompt": "the cat ", "length": 60, "probabilities": True, "seed": 3}
    body["start"] = "zero"
    events = complete_events(client.post("/api/generate", json=body))
    parts = [events[0][1]["read"], *(data["analysis"] for name, data in events if name == "text")]
    whole = {key: [x for part in parts for x in part[key]] for key in parts[0]}
    text = "the cat " + "".join(data["text"] for name, data in events if name == "text")
    assert "".join(whole["characters"]) == text
    assert whole["nats"][0] is None
    if model == "book":  # of bytes, the text need not tell what was drawn
        score = charloom.load(folder / model).score(text)
        np.testing.assert_allclose(whole["nats"][1:], score.nats[1:], atol=2e-5)
    for row in whole["likely"]:
        chances = [p for _, p in row]
        assert len(row) == 5
        assert chances == sorted(chances, reverse=True)
        assert 0 < sum(chances) <= 1.0001
    if model == "book":  # where a likeliest one came, its surprise is its probability's
        for n, character in enumerate(text[1:], 1):
            likely = dict(whole["likely"][n - 1])
            if character in likely:
                assert np.exp(-whole["nats"][n]) == pytest.approx(likely[character], abs=1e-4)


@pytest.mark.parametrize("prompt", ["the cat ", ""])
def test_the_predictions_are_those_from_the_start_of_the_text(client, folder, prompt):
    body = {"model": "book", "prompt": prompt, "length": 30, "probabilities": True}
    events = complete_events(client.post("/api/generate", json=body))
    parts = [events[0][1]["read"], *(data["analysis"] for name, data in events if name == "text")]
    nats = [x for part in parts for x in part["nats"]]
    text = prompt + "".join(data["text"] for name, data in events if name == "text")
    model = charloom.load(folder / "book")
    reader = Reader(model.learner, model.engine, state=stored_state(model.learner))
    wanted = reader.read(np.append(start_id(model.learner), model.vocabulary.encode(text)))
    np.testing.assert_allclose(nats, wanted.nats[1:], atol=2e-5)
    assert charloom.load(folder / "book").sample(prompt, 30) == text[len(prompt) :]


def test_the_answer_warns_of_a_bad_start_only(tmp_path):
    with measured_as(BAD_ZERO):
        small_runs.train(tmp_path / "bad")
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        begun = {
            (start, prompt): complete_events(
                client.post(
                    "/api/generate",
                    json={"model": "bad", "start": start, "prompt": prompt, "length": 1},
                )
            )[0][1]["warning"]
            for start in ("text", "zero")
            for prompt in ("", "the ")
        }
        run = client.get("/api/runs/bad").json()["run"]
    assert begun.pop(("zero", "")).endswith("Begin with “start” text.")
    assert set(begun.values()) == {""}
    assert run["start_warning"].startswith(
        "From the zero state and without a prompt, the model writes"
    )


def test_a_planted_wrong_probability_is_seen(client, folder, monkeypatch):
    real = Reader._read

    def wrong(self, ids):
        nats, best, p = real(self, ids)
        return nats * 1.001, best, p

    monkeypatch.setattr(Reader, "_read", wrong)
    with pytest.raises(AssertionError):
        test_each_character_comes_with_the_likeliest_next_ones_and_its_surprise(
            client, folder, "book"
        )


def test_a_byte_models_probabilities_are_of_the_drawn_bytes(client, folder):
    settings = {"prompt": "the ", "length": 80, "temperature": 3.0, "seed": 5}
    body = {"model": "bytes", "probabilities": True, **settings}
    events = complete_events(client.post("/api/generate", json=body))
    text = "".join(data["text"] for name, data in events if name == "text")
    assert "\ufffd" in text  # bytes that are no character, which no text spells
    model = charloom.load(folder / "bytes")
    options = SampleOptions(length=80, seed=5, sampler=Sampler(3.0))
    drawn = Writing(model.learner, model.engine, "the ", options)
    ids = np.concatenate([piece.ids for piece in iter(drawn.step, None)])
    reader = Reader(model.learner, model.engine, state=stored_state(model.learner))
    reader.read(np.append(start_id(model.learner), model.vocabulary.encode("the ")))
    of_ids = reader.read(ids).nats.sum()
    nats = [x for name, data in events if name == "text" for x in data["analysis"]["nats"]]
    assert sum(nats) == pytest.approx(of_ids, abs=1e-3)
    # The same over /v1.
    body = {"model": "bytes", "logprobs": 1, "max_tokens": 80, "prompt": "the "}
    body |= {"temperature": 3.0, "seed": 5}
    (choice,) = client.post("/v1/completions", json=body).json()["choices"]
    assert "".join(choice["logprobs"]["tokens"]) == choice["text"] == text
    assert -sum(choice["logprobs"]["token_logprobs"]) == pytest.approx(of_ids, abs=1e-3)


# Work in pieces


def test_models_write_side_by_side_from_the_same_seed(client):
    models = ["book", "book@best", "bytes"]
    events = complete_events(client.post("/api/compare", json={"models": models, "seed": 5}))
    for side, model in enumerate(models):
        alone = text_and_last_event(
            complete_events(client.post("/api/generate", json={"model": model, "seed": 5}))
        )[0]
        of_side = [(name, data) for name, data in events if data["side"] == side]
        assert of_side[0][1]["model"] == model
        assert text_and_last_event(of_side)[0] == alone
    # Side by side, not one after the other: the first pieces of all come before the first end.
    assert [data["side"] for name, data in events if name == "text"][:3] == [0, 1, 2]


@pytest.mark.parametrize(
    ("change", "status", "named"),
    [
        ({"prompt": "the €uro and a #"}, 422, ["€", "#"]),
        ({"prompt": "<script>alert(1)</script>"}, 422, ["<", ">", "/", "1"]),
        ({"model": "nothing"}, 404, None),
        ({"model": "book@12345"}, 404, None),
        ({"model": "book@newest"}, 422, None),
        ({"model": "../book"}, 422, None),
        ({"length": 0}, 422, None),
        ({"length": 10**9}, 422, None),
        ({"length": 1.5}, 422, None),
        ({"temperature": -1}, 422, None),
        ({"temperature": "hot"}, 422, None),
        ({"top_p": 0}, 422, None),
        ({"top_p": 1.5}, 422, None),
        ({"seed": -1}, 422, None),
        ({"seed": 2**64}, 422, None),
        ({"stop": [""]}, 422, None),
        ({"stop": ["a"] * 9}, 422, None),
        ({"prompt": "a" * 10_001}, 422, None),
        ({"prompt": None}, 422, None),
        ({"sigma": 1}, 422, None),
        ({"start": "line"}, 422, None),
    ],
)
def test_invalid_requests_are_refused_before_any_text_is_generated(client, change, status, named):
    answer = client.post("/api/generate", json={"model": "book", **change})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["message"]
    if named:
        assert error["characters"][: len(named)] == named or set(named) <= set(error["characters"])
        assert all(repr(c) in error["message"] for c in named)
        assert '"skip"' in error["advice"]
        assert '"skip"' not in error["message"]
        skipping = client.post(
            "/api/generate", json={"model": "book", **change, "unknown": "skip", "length": 5}
        )
        assert "skipped" in complete_events(skipping)[0][1]["unknowns"]


def test_a_prompt_that_is_a_script_comes_back_as_text_in_json(client):
    body = {"model": "book", "prompt": "<script>alert(1)</script>", "unknown": "skip"}
    answer = client.post("/api/generate", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-content-type-options"] == "nosniff"
