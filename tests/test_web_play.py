"""The playground and the inside of models over the wire: the same text, the same numbers, and soon."""

import asyncio
import base64
import contextlib
import json
import shutil
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx
from starlette.testclient import TestClient
from typer.testing import CliRunner

import charloom
import runs
from charloom import sampling, surprisal
from charloom.cli import app
from charloom.engines import Sampler
from charloom.hidden_units import unit_values
from charloom.sampling import SampleOptions, Writing
from charloom.surprisal import Reader
from charloom.web import concurrency, model_cache
from charloom.web.event_stream import EventStream
from charloom.web.server import make_app
from runs import until
from web import HERE, Live, events_of, house, streaming, written

HOT = {"temperature": 1.3, "top_k": 12, "top_p": 0.95, "seed": 7, "length": 300}
ENDLESS = {"model": "book", "length": 100_000, "stop": []}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two runs, one of bytes, and a model file."""
    path = tmp_path_factory.mktemp("models")
    runs.train(path / "book", cell="lstm", layers=2, validation=0.2)
    umlauts = runs.Corpus.from_text(runs.TEXT.replace("o", "ö€"), tokens="bytes")
    runs.train(path / "bytes", umlauts, tokens="bytes", cell="gru")
    charloom.load(path / "book").save(path / "kept.safetensors")
    return path


@pytest.fixture(scope="module")
def live(folder):
    """A server that listens; tests leave nothing running on it."""
    with Live(folder) as live:
        yield live


@pytest.fixture(scope="module")
def client(folder):
    """A client of a server of that folder."""
    with TestClient(make_app(house(folder)), base_url=HERE) as client:
        yield client


def told(answer):
    """The events of an answer that is whole."""
    assert answer.status_code == 200, answer.text
    return list(events_of(answer.text.split("\n")))


# Writing


@pytest.mark.parametrize("model", ["book", "book@best", "bytes", "kept.safetensors"])
@pytest.mark.parametrize("asked", [{}, HOT, {"prompt": "the cat", "stop": ["mat", "a"], **HOT}])
def test_the_text_is_that_of_charloom_sample(client, folder, model, asked):
    text, (name, last) = written(told(client.post("/api/generate", json={"model": model, **asked})))
    key, _, which = model.partition("@")
    options = [str(folder / key), *(["--which", which] if which else [])]
    for option, value in asked.items():
        for one in value if isinstance(value, list) else [value]:
            options += [f"--{option.replace('_', '-')}", str(one)]
    done = CliRunner().invoke(app, ["sample", *options])
    assert asked.get("prompt", "") + text + "\n" == done.stdout
    assert name == "end"
    assert last["characters"] == len(text)
    assert last["ended"] in ("length", "stop" if "stop" in asked else "length")
    if model != "bytes":
        assert (last["ended"] == "length") == (len(text) == asked.get("length", 200))


def test_another_seed_is_another_text(client):
    texts = {
        written(told(client.post("/api/generate", json={"model": "book", "seed": seed})))[0]
        for seed in range(3)
    }
    assert len(texts) == 3


@pytest.mark.parametrize("model", ["book", "bytes"])
def test_each_character_comes_with_the_likeliest_next_ones_and_its_surprise(client, folder, model):
    asked = {"model": model, "prompt": "the cat ", "length": 60, "probabilities": True, "seed": 3}
    events = told(client.post("/api/generate", json=asked))
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


def test_what_a_model_of_bytes_thinks_is_of_the_bytes_that_were_drawn(client, folder):
    asked = {"prompt": "the ", "length": 80, "temperature": 3.0, "seed": 5}
    body = {"model": "bytes", "probabilities": True, **asked}
    events = told(client.post("/api/generate", json=body))
    text = "".join(data["text"] for name, data in events if name == "text")
    assert "\ufffd" in text  # bytes that are no character, which no text spells
    model = charloom.load(folder / "bytes")
    options = SampleOptions(length=80, seed=5, sampler=Sampler(3.0))
    drawn = Writing(model.learner, model.engine, "the ", options)
    ids = np.concatenate([piece.ids for piece in iter(drawn.step, None)])
    reader = Reader(model.learner, model.engine)
    reader.read(model.vocabulary.encode("the "))
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


class Gated:
    """An engine whose every call waits for a sign, and which counts its calls."""

    def __init__(self, engine):
        self.engine, self.calls, self.open = engine, 0, threading.Event()

    def __getattr__(self, name):
        def call(*arguments):
            self.calls += 1
            assert self.open.wait(20)
            return getattr(self.engine, name)(*arguments)

        return call


LONG = (10 * runs.TEXT)[:9_000]
SLOW = {
    "/api/inside/ranking": {"text": LONG},
    "/api/inside/unit": {"text": LONG},
    "/api/inside/map": {"text": LONG[:4_000]},
    "/api/score": {"text": LONG},
    "/api/next": {"text": LONG},
    "/api/generate": {"prompt": LONG, "probabilities": True},
    "/v1/completions": {"prompt": LONG, "logprobs": 1},
}


@pytest.fixture
def small_steps(monkeypatch):
    """Work in steps of 200 characters."""
    monkeypatch.setattr(surprisal, "BLOCK", 200)
    monkeypatch.setattr(sampling, "CHUNK", 200)
    monkeypatch.setattr(unit_values, "MOST_TOKENS", 200)


@pytest.mark.parametrize("path", SLOW)
def test_who_leaves_ends_the_work_within_a_step_and_keeps_the_place_until_then(
    folder, small_steps, path
):
    with Live(folder) as live:
        engine = live.house.library._engine = Gated(live.house.library._engine)
        body = json.dumps({"model": "book", **SLOW[path]}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
            connection.sendall(head.encode() + body)
            until(lambda: engine.calls == 1)
        httpx.get(f"{live.url}/api/health")  # by now the server has seen it leave
        assert httpx.get(f"{live.url}/api/health").json()["writing"] == 1
        engine.open.set()
        until(lambda: live.house.desk.working == 0)
        assert engine.calls == 1


def test_small_work_is_done_beside_long_work(folder, small_steps):
    with Live(folder, threads=1) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        engine = live.house.library._engine = Gated(live.house.library._engine)
        answers = []
        body = {"model": "book", **SLOW["/api/inside/ranking"]}
        long = threading.Thread(
            target=lambda: answers.append(
                httpx.post(f"{live.url}/api/inside/ranking", json=body, timeout=60)
            )
        )
        long.start()
        until(lambda: engine.calls == 1)
        short = {"model": "book", "text": "the cat"}
        other = threading.Thread(
            target=lambda: answers.append(client.post("/api/next", json=short)), daemon=True
        )
        other.start()
        until(lambda: live.house.desk.working == 2)
        engine.open.set()
        other.join(20)
        long.join(60)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert "likely" in answers[0].json()  # though it came later and there is one thread
        assert engine.calls > 20


def test_in_steps_or_not_the_numbers_are_the_same(client, small_steps):
    found = {path: client.post(path, json={"model": "book", **SLOW[path]}) for path in SLOW}
    assert all(answer.status_code == 200 for answer in found.values())
    score = found["/api/score"].json()
    unit = found["/api/inside/unit"].json()
    assert len(score["characters"]) == len(unit["values"]) == len(LONG)
    assert unit["update"] == score["update"] == found["/api/inside/map"].json()["update"]


@pytest.mark.parametrize("path", ["/api/score", "/api/generate", "/v1/completions"])
def test_who_has_no_answer_yet_when_the_server_closes_is_told_so(folder, path):
    with Live(folder, at_work=0) as live:
        answers = []
        body = {"model": "book", **SLOW[path]}
        waiting = threading.Thread(
            target=lambda: answers.append(httpx.post(live.url + path, json=body, timeout=20))
        )
        waiting.start()
        until(lambda: live.house.desk.queued == 1)
        live._server.handle_exit(15, None)
        waiting.join(10)
    (answer,) = answers
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert int(answer.headers["retry-after"]) > 0
    assert "content-security-policy" in answer.headers


def test_a_closed_server_has_no_thread_that_works_on(folder, small_steps):
    with Live(folder) as live:
        engine = live.house.library._engine = Gated(live.house.library._engine)
        body = {"model": "book", **SLOW["/api/inside/ranking"]}
        asking = threading.Thread(
            target=lambda: suppressed(httpx.post, f"{live.url}/api/inside/ranking", json=body)
        )
        asking.start()
        until(lambda: engine.calls == 1)
        live._server.handle_exit(15, None)
        engine.open.set()
        asking.join(20)
    # Of 45: the next one may have begun before the event loop heard of the end.
    assert engine.calls <= 2


def suppressed(call, *arguments, **named):
    """Call, and forget what comes of it."""
    with contextlib.suppress(httpx.HTTPError):
        call(*arguments, **named, timeout=20)


def test_models_write_side_by_side_from_the_same_seed(client):
    models = ["book", "book@best", "bytes"]
    events = told(client.post("/api/compare", json={"models": models, "seed": 5}))
    for side, model in enumerate(models):
        alone = written(told(client.post("/api/generate", json={"model": model, "seed": 5})))[0]
        of_side = [(name, data) for name, data in events if data["side"] == side]
        assert of_side[0][1]["model"] == model
        assert written(of_side)[0] == alone
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
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_written(client, change, status, named):
    answer = client.post("/api/generate", json={"model": "book", **change})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert error["message"]
    if named:
        assert error["characters"][: len(named)] == named or set(named) <= set(error["characters"])
        assert all(repr(c) in error["message"] for c in named)
        skipping = client.post(
            "/api/generate", json={"model": "book", **change, "unknown": "skip", "length": 5}
        )
        assert "skipped" in told(skipping)[0][1]["unknowns"]


def test_a_prompt_that_is_a_script_comes_back_as_text_in_json(client):
    asked = {"model": "book", "prompt": "<script>alert(1)</script>", "unknown": "skip"}
    answer = client.post("/api/generate", json=asked)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["x-content-type-options"] == "nosniff"


# Streaming


def test_pieces_come_as_they_are_written(live):
    with streaming(live.url, "/api/generate", {"model": "book", "length": 20_000}) as events:
        seen = [(name, data, time.monotonic()) for name, data in events]
    assert [name for name, _, _ in seen[:2]] == ["begin", "text"]
    assert len(seen) > 5
    assert len(seen[1][1]["text"]) <= 16


def test_a_client_that_leaves_ends_its_writing_soon(live):
    for _ in range(3):
        with streaming(live.url, "/api/generate", ENDLESS) as events:
            next(events)
            assert live.house.desk.working == 1
        left = time.monotonic()
        until(lambda: live.house.desk.working == 0)
        assert time.monotonic() - left < 2.0  # else it would be 20, when nobody reads


@pytest.mark.parametrize("turns", range(12))
def test_a_client_that_leaves_while_a_piece_is_sent_is_noticed(turns):
    """A cancellation that comes just as the sending ends must not get lost (Python 3.11's wait_for
    loses it): such a writing would go on for nobody, and keep its place."""

    async def scene():
        gone, closing, sent = asyncio.Event(), asyncio.Event(), 0

        async def receive():
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            nonlocal sent
            sent += 1
            assert sent < 100, "it goes on for nobody"
            if sent == 5:
                gone.set()
            for _ in range(turns if sent == 5 else 1):
                await asyncio.sleep(0)

        @asynccontextmanager
        async def opened():
            async def endless():
                while True:
                    await asyncio.sleep(0)
                    yield b"x"

            yield endless()

        await asyncio.wait_for(EventStream(opened(), closing)({}, receive, send), 10)
        assert sent < 20

    asyncio.run(scene())


def test_those_beyond_the_places_wait_and_those_beyond_are_refused(folder):
    asked = {"model": "book", "length": 100_000, "probabilities": True}
    with Live(folder, at_work=1, waiting=1) as live, httpx.Client(base_url=live.url) as other:
        with streaming(live.url, "/api/generate", asked) as first:
            next(first)
            with httpx.Client(base_url=live.url, timeout=20) as client:
                request = client.build_request("POST", "/api/generate", json=ENDLESS)
                # It waits for a place: no answer begins until the first one leaves.
                with Waiting(client, request) as waiting:
                    until(lambda: live.house.desk.queued == 1)
                    began = time.monotonic()
                    refused = other.post("/api/generate", json=ENDLESS)
                    assert time.monotonic() - began < 1.0
                    assert refused.status_code == 503
                    assert int(refused.headers["retry-after"]) > 0
                    assert refused.json()["error"]["code"] == "busy"
                    assert other.get("/api/health").json() | {"version": ""} == {
                        "ok": True, "version": "", "writing": 1, "waiting": 1,
                    }  # fmt: skip
                    first.close()
                    assert waiting.status() == 200
        until(lambda: live.house.desk.working == 0)


class Waiting:
    """A request in a thread, whose answer may come late."""

    def __init__(self, client, request):
        self._answer = None
        self._thread = threading.Thread(target=self._send, args=(client, request), daemon=True)

    def _send(self, client, request):
        self._answer = client.send(request, stream=True)

    def __enter__(self):
        self._thread.start()
        return self

    def status(self):
        self._thread.join(10)
        return self._answer.status_code

    def __exit__(self, *error):
        if self._answer is not None:
            self._answer.close()


def test_who_leaves_while_waiting_leaves_no_place_taken():
    async def scene():
        desk = concurrency.Desk(at_work=1, waiting=2, threads=1)
        first = desk.place()
        await first.__aenter__()
        waiting = [asyncio.ensure_future(desk.place().__aenter__()) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(concurrency.Busy):
            await desk.place().__aenter__()
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        assert (desk.working, desk.queued) == (1, 1)
        await first.__aexit__(None, None, None)
        await waiting[1]
        assert (desk.working, desk.queued) == (1, 0)
        desk._leave()
        assert desk.working == 0
        desk.close()

    asyncio.run(scene())


def test_a_model_that_diverged_is_a_mistake_and_no_failure(tmp_path, monkeypatch):
    runs.train(tmp_path / "book", epochs=1)
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        assert written(told(client.post("/api/generate", json={"model": "book"})))[1][0] == "end"

        def diverged(*arguments):
            raise charloom.errors.EngineError("the model's logits are not finite")

        engine = type(charloom.load(tmp_path / "book").engine)
        monkeypatch.setattr(engine, "generate", diverged)
        name, data = told(client.post("/api/generate", json={"model": "book"}))[-1]
        assert name == "mistake"
        assert "not finite" in data["error"]["message"]


# What a model thinks


def test_models_are_listed_and_opened(client):
    listed = [model["id"] for model in client.get("/api/models").json()["models"]]
    assert {"book", "book@latest", "bytes", "kept.safetensors"} <= set(listed)
    for model in listed:
        about = client.get(f"/api/models/{model}").json()
        assert about["id"] == model
    book = client.get("/api/models/book").json()
    assert book["whats"] == ["h", "cell", "i", "f", "g", "o"]
    assert book["vocabulary"] == "".join(sorted(set(runs.TEXT)))


def test_a_run_that_is_trained_anew_under_its_name_writes_with_the_new_model(tmp_path):
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        texts = []
        for seed in (1, 2):
            shutil.rmtree(tmp_path / "book", ignore_errors=True)
            runs.train(tmp_path / "book", epochs=1, seed=seed)
            text, _ = written(told(client.post("/api/generate", json={"model": "book"})))
            assert text == charloom.load(tmp_path / "book").sample()
            texts.append(text)
        assert texts[0] != texts[1]


def test_a_model_is_read_once_however_many_ask_and_others_meanwhile(folder, monkeypatch):
    found = model_cache.Library(house(folder).shelf)
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


def test_surprise_over_the_wire_is_that_of_score(client, folder):
    text = "the red cat sat"
    score = charloom.load(folder / "book").score(text)
    asked = {"model": "book", "text": text, "likely": True}
    answer = client.post("/api/score", json=asked).json()
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


# Inside


def test_a_unit_and_the_map_of_all_units_show_the_same(client, folder):
    text = runs.TEXT[:200]
    asked = {"model": "book", "text": text, "layer": 1, "what": "cell"}
    packed = client.post("/api/inside/map", json=asked).json()
    values = np.frombuffer(base64.b64decode(packed["values"]), dtype=np.uint8)
    values = values.reshape(packed["units"], len(text)) / 255
    values = packed["low"] + values * (packed["high"] - packed["low"])
    for number in range(packed["units"]):
        unit = client.post("/api/inside/unit", json={**asked, "unit": number}).json()
        np.testing.assert_allclose(unit["values"], values[number], atol=packed["high"] / 200)
    model = charloom.load(folder / "book")
    ids = model.vocabulary.encode(text)
    state = {name: s[:, :1] for name, s in model.learner.state.items()}
    zero = {name: np.zeros_like(s) for name, s in state.items()}
    found, _ = model.engine.activations(model.learner, ids, zero)
    np.testing.assert_allclose(unit["values"], found["cell"][:, 1, number], atol=1e-4)


def test_units_are_ranked_by_what_they_follow_marks_and_patterns_too(client):
    text = runs.TEXT[:400]
    asked = {
        "model": "book",
        "text": text,
        "pattern": "cat",
        "marks": [[0, 40], [100, 160]],
        "top": 3,
    }
    found = client.post("/api/inside/ranking", json=asked).json()
    named = {row["property"]: row for row in found["properties"]}
    assert {"in-quotes", "line-position", "pattern", "marked"} <= set(named)
    best = [abs(unit["r"]) for unit in named["pattern"]["units"]]
    assert len(best) == 3
    assert best == sorted(best, reverse=True)
    assert named["marked"]["mean"] == pytest.approx(100 / 400)


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        ("unit", {"layer": 2}, "layer"),
        ("unit", {"unit": 8}, "unit"),
        ("unit", {"what": "z"}, "what"),
        ("unit", {"what": "everything"}, "what"),
        ("map", {"text": "a" * 4_001}, "text"),
        ("unit", {"text": ""}, "text"),
        ("ranking", {"text": "the cat"}, "too short"),
        ("ranking", {"marks": [[5, 2]]}, "span"),
        ("ranking", {"marks": [[0, 10**9]]}, "span"),
        ("ranking", {"marks": [[1, 2, 3]]}, "marks"),
        ("ranking", {"text": "no # here"}, "characters"),
    ],
)
def test_what_is_not_there_to_be_looked_at_is_refused(client, path, change, named):
    asked = {"model": "book", "text": runs.TEXT[:200], **change}
    answer = client.post(f"/api/inside/{path}", json=asked)
    assert answer.status_code == 422, answer.text
    assert named in json.dumps(answer.json()) or "100" in answer.json()["error"]["message"]
