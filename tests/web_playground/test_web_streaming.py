"""The server streams what a model writes, and notices clients that leave."""

import asyncio
import threading
from contextlib import asynccontextmanager

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx
from starlette.testclient import TestClient

import charloom
import small_runs
from charloom.web import concurrency, connection, event_stream
from charloom.web.event_stream import EventStream
from charloom.web.server import make_app
from playground_requests import complete_events
from waiting import until
from web_servers import HERE, LiveServer, app_state, streaming, text_and_last_event

ENDLESS = {"model": "book", "length": 100_000, "stop": []}


def test_generated_text_is_streamed_in_pieces(live):
    with streaming(live.url, "/api/generate", {"model": "book", "length": 20_000}) as events:
        received = list(events)
    assert [name for name, _ in received[:2]] == ["begin", "text"]
    assert len(received) > 5
    assert len(received[1][1]["text"]) <= 16


def test_generation_stops_when_the_client_disconnects(live, monkeypatch):
    for module in (connection, event_stream):
        # A client that reads nothing must not be disconnected for that.
        monkeypatch.setattr(module, "SEND_SECONDS", 600.0)
    for _ in range(3):
        with streaming(live.url, "/api/generate", ENDLESS) as events:
            next(events)
            assert live.app_state.queue.working == 1
        until(lambda: live.app_state.queue.working == 0)


@pytest.mark.parametrize("turns", range(12))
def test_a_client_that_disconnects_during_a_send_is_noticed(turns):
    """A cancellation that arrives just as a send ends must not get lost, as in wait_for of Python 3.11.

    Otherwise the model would continue to write without a reader and keep its slot.
    """

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


def test_requests_beyond_the_limit_wait_and_more_are_refused(folder):
    body = {"model": "book", "length": 100_000, "probabilities": True}
    # A request that waited would get its response only after 20 seconds.
    other = httpx.Client(timeout=15)
    with LiveServer(folder, at_work=1, waiting=1) as live, other:
        with streaming(live.url, "/api/generate", body) as first:
            next(first)
            with httpx.Client(base_url=live.url, timeout=20) as client:
                request = client.build_request("POST", "/api/generate", json=ENDLESS)
                # It waits for a place: no answer begins until the first one leaves.
                with Waiting(client, request) as waiting:
                    until(lambda: live.app_state.queue.queued == 1)
                    refused = other.post(f"{live.url}/api/generate", json=ENDLESS)
                    assert refused.status_code == 503
                    assert int(refused.headers["retry-after"]) > 0
                    assert refused.json()["error"]["code"] == "busy"
                    assert other.get(f"{live.url}/api/health").json() | {"version": ""} == {
                        "ok": True, "version": "", "writing": 1, "waiting": 1,
                    }  # fmt: skip
                    first.close()
                    assert waiting.status() == 200
        until(lambda: live.app_state.queue.working == 0)


class Waiting:
    """A request that is sent in a thread, because its response may come late."""

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


def test_a_client_that_disconnects_while_waiting_frees_its_place():
    async def scene():
        queue = concurrency.WorkQueue(at_work=1, waiting=2, threads=1)
        first = queue.place()
        await first.__aenter__()
        waiting = [asyncio.ensure_future(queue.place().__aenter__()) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(concurrency.Busy):
            await queue.place().__aenter__()
        waiting[0].cancel()
        await asyncio.sleep(0.01)
        assert (queue.working, queue.queued) == (1, 1)
        await first.__aexit__(None, None, None)
        await waiting[1]
        assert (queue.working, queue.queued) == (1, 0)
        queue._leave()
        assert queue.working == 0
        queue.close()

    asyncio.run(scene())


def test_a_diverged_model_gives_an_error_event(tmp_path, monkeypatch):
    small_runs.train(tmp_path / "book", epochs=1)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        assert (
            text_and_last_event(
                complete_events(client.post("/api/generate", json={"model": "book"}))
            )[1][0]
            == "end"
        )

        def diverged(*arguments):
            raise charloom.errors.EngineError("the model's logits are not finite")

        engine = type(charloom.load(tmp_path / "book").engine)
        monkeypatch.setattr(engine, "generate", diverged)
        name, data = complete_events(client.post("/api/generate", json={"model": "book"}))[-1]
        assert name == "mistake"
        assert "not finite" in data["error"]["message"]
