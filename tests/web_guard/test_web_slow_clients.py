"""Slow clients and too many connections do not hold up the server."""

import contextlib
import json
import socket
import time

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from charloom.web import connection as connections
from charloom.web import request_body
from charloom.web.body_rules import BYTES
from charloom.web.file_descriptors import ConnectionLimits
from charloom.web.request_guard import UPLOADS_AT_ONCE
from guard_requests import request
from waiting import until
from web_servers import LiveServer, is_complete, status_of, streaming


@pytest.mark.parametrize("path", ["/api/generate", "/api/texts"])
def test_a_request_without_its_body_is_closed(live, monkeypatch, path):
    monkeypatch.setattr(request_body, "BODY_SECONDS", 0.3)
    monkeypatch.setattr(request_body, "UPLOAD_SECONDS", 0.3)
    sent = request("POST", path, body='{"mod', more=["Content-Length: 1000"])
    answer = live.raw(sent.replace("{host}", f"127.0.0.1:{live.port}").encode())
    assert status_of(answer) == 408
    assert b"did not arrive within 0.3 seconds" in answer


@pytest.mark.parametrize("begun", ["", "GET /api/runs HTTP/1.1\r\nHost: x\r\n"])
def test_a_request_without_its_head_is_closed(live, monkeypatch, begun):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as connection:
        connection.sendall(begun.encode())
        assert connection.recv(100) == b""


def test_a_second_request_without_its_head_is_closed(live, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    whole = f"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", live.port), timeout=5) as connection:
        for _ in range(3):
            connection.sendall(whole)
            answer = b""
            while not is_complete(answer):
                answer += connection.recv(4096)
            assert status_of(answer) == 200
            time.sleep(0.25)
        connection.sendall(b"GET /api/he")
        assert connection.recv(100) == b""


def test_simultaneous_uploads_are_limited_and_a_closed_one_frees_its_place(live):
    opened = []
    head = request("POST", "/api/texts", body="", kind=BYTES, more=["Content-Length: 1000"])
    head = head.replace("{host}", f"127.0.0.1:{live.port}").encode()
    for _ in range(UPLOADS_AT_ONCE):
        connection = socket.create_connection(("127.0.0.1", live.port), timeout=5)
        connection.sendall(head + b"{")
        opened.append(connection)
    uploads = live.guard.uploads
    until(uploads.locked)
    answer = live.raw(head)
    assert status_of(answer) == 503
    assert b"retry-after" in answer.lower()
    for connection in opened:
        connection.close()
    until(lambda: not uploads.locked())


def test_a_client_beyond_the_connection_limit_gets_an_error(folder):
    with (
        LiveServer(folder, limits=ConnectionLimits(4, 2, 4)) as live,
        contextlib.ExitStack() as opened,
    ):
        data = request(path="/api/health").replace("{host}", f"127.0.0.1:{live.port}").encode()
        for _ in range(2):
            opened.enter_context(streaming(live.url, "/api/stream"))
        answer = live.raw(data)
        head, _, body = answer.partition(b"\r\n\r\n")
        assert status_of(answer) == 503
        assert b"retry-after: 2" in head
        assert b"content-security-policy" in head
        assert json.loads(body)["error"]["code"] == "busy"
        opened.close()
        until(lambda: len(live.app_state.connections) == 0)
        assert status_of(live.raw(data)) == 200


def test_connections_far_beyond_the_limit_are_closed(folder):
    with (
        LiveServer(folder, limits=ConnectionLimits(1, 1, 1)) as live,
        streaming(live.url, "/api/stream"),
        socket.create_connection(("127.0.0.1", live.port), timeout=5) as second,
    ):
        with contextlib.suppress(ConnectionResetError):
            assert second.recv(100) == b""
        assert len(live.app_state.connections) == 1
