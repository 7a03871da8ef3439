"""Tests of the server as a process: how it ends, its port and its own errors."""

import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

from charloom.web import playground_routes
from charloom.web.server import make_app
from web_servers import HERE, LiveServer, app_state, streaming

# Starting


def test_a_server_error_has_the_same_form_as_a_refusal(tmp_path, monkeypatch):
    def broken(self):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(playground_routes, "models_in", broken)
    app = make_app(app_state(tmp_path))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        answer = client.get("/api/models")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    assert "planted" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


# The server as a process


def test_sigterm_closes_the_server_soon_while_pages_watch(tmp_path):
    served = subprocess.Popen(
        [sys.executable, "-m", "charloom", "serve", str(tmp_path), "--port", "0", "--no-open"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = served.stderr.readline().split()[-1]
        with streaming(url, "/api/stream") as events:
            next(events)
            began = time.monotonic()
            served.send_signal(signal.SIGTERM)
            assert list(events) == []
            assert served.wait(10) == -signal.SIGTERM
            assert time.monotonic() - began < 5.0
    finally:
        served.kill()
        served.wait()
        served.stderr.close()


def test_a_port_in_use_is_reported_in_one_sentence(tmp_path):
    with LiveServer(tmp_path) as live:
        done = subprocess.run(
            [sys.executable, "-m", "charloom", "serve", str(tmp_path), "--port", str(live.port)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"cannot listen at '127.0.0.1', port {live.port}: " in done.stderr
    assert "Traceback" not in done.stderr
