"""Starts a web server in tests, in this process or listening on a port, and reads its responses."""

import json
import socket
import threading
from contextlib import contextmanager

import httpx

from charloom.web import concurrency, server
from charloom.web.access_rules import AccessRules
from charloom.web.file_descriptors import ConnectionLimits

PORT = 8421
HERE = f"http://127.0.0.1:{PORT}"


def app_state(folder, port=PORT, token=None, limits=None, **queue):
    """Return the shared objects of a server that serves the runs in `folder`."""
    access = AccessRules.of("127.0.0.1", port, token)
    return server.AppState(
        folder, access, concurrency.WorkQueue(**queue), limits or ConnectionLimits.within(None)
    )


class LiveServer:
    """A server in a thread that listens on `port`, or on a free port if `port` is 0.

    Attributes:
        url: the address of the server.
        app_state: the shared objects of its application.
        guard: the application, a `Guard`.
    """

    def __init__(self, folder, port=0, limits=None, **queue):
        self._listening = server.listen("127.0.0.1", port)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.app_state = app_state(folder, self.port, limits=limits, **queue)
        self._ready = threading.Event()
        self._server = server.Server(self.app_state, self._ready.set)
        self.guard = self._server.config.app
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._listening]}, daemon=True
        )

    def __enter__(self):
        self._thread.start()
        assert self._ready.wait(20), "the server does not listen"
        return self

    def __exit__(self, *error):
        self._server.handle_exit(15, None)
        self._thread.join(10)
        assert not self._thread.is_alive(), "the server does not close"
        self._listening.close()
        self.app_state.queue.close()

    def raw(self, request, seconds=5.0):
        """Send bytes, and return the response: until it is complete, the server closes, or `seconds` have passed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            connection.sendall(request)
            answer = b""
            try:
                while block := connection.recv(65536):
                    answer += block
                    if is_complete(answer):
                        break
            except TimeoutError:
                pass
        return answer


def is_complete(answer):
    """Return True if a response has as many bytes as its Content-Length says, or an event stream has begun."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if found and b"text/event-stream" in head:
        return True
    sizes = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return bool(found and sizes and len(body) >= int(sizes[0].split(b":")[1]))


def status_of(answer):
    """Return the status code of a response in bytes; None if it is not a response."""
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/1.1 ") else None


def events_of(lines):
    """Yield the name and the data of each server-sent event in an iterator of lines."""
    name = None
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield name, json.loads(line[6:])


@contextmanager
def streaming(url, path, body=None):
    """Open an event stream, and return an iterator over its events."""
    method = "GET" if body is None else "POST"
    with (
        httpx.Client(base_url=url, timeout=20) as client,
        client.stream(method, path, json=body) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield events_of(answer.iter_lines())


def text_and_last_event(events):
    """Return the whole text of an event stream of one sample, and the last event."""
    text, last = "", None
    for name, data in events:
        last = (name, data)
        if name == "text":
            text += data["text"]
        if name in ("end", "mistake"):
            break
    return text, last
