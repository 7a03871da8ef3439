"""The server does long work in slices beside short work, and ends it when the client leaves."""

import contextlib
import json
import socket
import threading

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx

import small_runs
from charloom import sampling, surprisal
from charloom.hidden_units import unit_values
from waiting import until
from web_servers import LiveServer


class Gated:
    """An engine whose calls wait until `open` is set. It counts its calls."""

    def __init__(self, engine):
        self.engine, self.calls, self.open = engine, 0, threading.Event()

    def __getattr__(self, name):
        def call(*arguments):
            self.calls += 1
            assert self.open.wait(20)
            return getattr(self.engine, name)(*arguments)

        return call


LONG = (10 * small_runs.TEXT)[:9_000]
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
def small_slices(monkeypatch):
    """Limit each slice of work to 200 characters."""
    monkeypatch.setattr(surprisal, "BLOCK", 200)
    monkeypatch.setattr(sampling, "CHUNK", 200)
    monkeypatch.setattr(unit_values, "MOST_TOKENS", 200)


@pytest.mark.parametrize("path", SLOW)
def test_work_stops_within_a_slice_after_the_client_disconnects(folder, small_slices, path):
    with LiveServer(folder) as live:
        engine = live.app_state.model_cache._engine = Gated(live.app_state.model_cache._engine)
        body = json.dumps({"model": "book", **SLOW[path]}).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n"
        head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", live.port), timeout=10) as connection:
            connection.sendall(head.encode() + body)
            until(lambda: engine.calls == 1)
        httpx.get(f"{live.url}/api/health")  # by now the server has seen it leave
        assert httpx.get(f"{live.url}/api/health").json()["writing"] == 1
        engine.open.set()
        until(lambda: live.app_state.queue.working == 0)
        assert engine.calls == 1


def test_short_requests_are_answered_during_long_ones(folder, small_slices):
    with (
        LiveServer(folder, threads=1) as live,
        httpx.Client(base_url=live.url, timeout=20) as client,
    ):
        engine = live.app_state.model_cache._engine = Gated(live.app_state.model_cache._engine)
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
        until(lambda: live.app_state.queue.working == 2)
        engine.open.set()
        other.join(20)
        long.join(60)
        assert [answer.status_code for answer in answers] == [200, 200]
        assert "likely" in answers[0].json()  # though it came later and there is one thread
        assert engine.calls > 20


def test_work_in_slices_gives_the_same_numbers(client, small_slices):
    found = {path: client.post(path, json={"model": "book", **SLOW[path]}) for path in SLOW}
    assert all(answer.status_code == 200 for answer in found.values())
    score = found["/api/score"].json()
    unit = found["/api/inside/unit"].json()
    assert len(score["characters"]) == len(unit["values"]) == len(LONG)
    assert unit["update"] == score["update"] == found["/api/inside/map"].json()["update"]


@pytest.mark.parametrize("path", ["/api/score", "/api/generate", "/v1/completions"])
def test_unanswered_requests_get_an_error_when_the_server_closes(folder, path):
    with LiveServer(folder, at_work=0) as live:
        answers = []
        body = {"model": "book", **SLOW[path]}
        waiting = threading.Thread(
            target=lambda: answers.append(httpx.post(live.url + path, json=body, timeout=20))
        )
        waiting.start()
        until(lambda: live.app_state.queue.queued == 1)
        live._server.handle_exit(15, None)
        waiting.join(10)
    (answer,) = answers
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
    assert int(answer.headers["retry-after"]) > 0
    assert "content-security-policy" in answer.headers


def test_a_closed_server_has_no_working_thread(folder, small_slices):
    with LiveServer(folder) as live:
        engine = live.app_state.model_cache._engine = Gated(live.app_state.model_cache._engine)
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
    """Call a function, and ignore its result and errors of HTTP."""
    with contextlib.suppress(httpx.HTTPError):
        call(*arguments, **named, timeout=20)
