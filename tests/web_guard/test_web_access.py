"""Other machines reach the server only with its token."""

import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx
from starlette.testclient import TestClient

from charloom.web.access_rules import AccessRules, is_loopback
from charloom.web.server import make_app
from web_servers import HERE, app_state

TOKEN = "a-token-that-only-the-user-knows"


def test_loopback_addresses_are_recognised():
    for host in ("127.0.0.1", "localhost", "::1", "127.8.9.10"):
        assert is_loopback(host)
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org", ""):
        assert not is_loopback(host)


@pytest.fixture
def public_client(folder):
    """Return a client of a server that other machines can reach."""
    app = make_app(app_state(folder, token=TOKEN))
    with TestClient(app, base_url="http://192.168.1.2:8421", follow_redirects=False) as client:
        yield client


def test_requests_without_the_token_are_refused(public_client):
    for path in ("/", "/api/health", "/api/runs", "/static/page.js", "/openapi.json", "/v1/models"):
        answer = public_client.get(path)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    for shown in ("x", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), ""):
        assert public_client.get(f"/?token={shown}").status_code == 401
        headers = {"Authorization": f"Bearer {shown}"}
        assert public_client.get("/api/runs", headers=headers).status_code == 401
    assert public_client.get(f"/api/runs?token={TOKEN}").status_code == 401  # links carry no token
    assert public_client.post("/api/generate", json={"model": "book"}).status_code == 401


def test_a_query_with_many_fields_and_no_token_is_refused(public_client):
    assert public_client.get("/?" + "a=1&" * 100).status_code == 401


def test_the_token_admits_browsers_and_programs(public_client):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert public_client.get("/api/runs", headers=headers).status_code == 200
    answer = public_client.get(f"/?token={TOKEN}")
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    for word in ("HttpOnly", "SameSite=Strict", "Path=/"):
        assert word in answer.headers["set-cookie"]
    assert public_client.get("/api/runs").status_code == 200  # by the cookie
    strange = {"Origin": "http://evil.example"}
    assert public_client.get("/api/runs", headers=strange).status_code == 403


def test_a_server_for_others_prints_its_token_once(tmp_path):
    served = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "charloom",
            "serve",
            str(tmp_path),
            "--host",
            "0.0.0.0",
            "--port",
            "0",
            "--no-open",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        url = served.stderr.readline().split()[-1]
        token = url.partition("?token=")[2]
        assert len(token) > 40
        port = url.split(":")[2].split("/")[0]
        assert httpx.get(f"http://127.0.0.1:{port}/api/runs").status_code == 401
        headers = {"Authorization": f"Bearer {token}"}
        assert httpx.get(f"http://127.0.0.1:{port}/api/runs", headers=headers).status_code == 200
    finally:
        served.terminate()
        try:
            rest = served.communicate(timeout=20)[1]
        finally:
            served.kill()
            served.wait()
    assert token not in rest


def test_the_guard_knows_the_servers_names():
    hosts = AccessRules.of("127.0.0.1", 80, None).hosts
    assert {"localhost", "localhost:80", "127.0.0.1", "[::1]:80"} <= hosts
    assert "[::1]:5" in AccessRules.of("::1", 5, None).hosts
    assert AccessRules.of("0.0.0.0", 5, TOKEN).hosts == frozenset()


def test_the_page_is_served_with_plotly_from_the_installed_package(folder):
    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        page = client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        plotly = client.get("/static/plotly.min.js")
        assert plotly.headers["content-type"].startswith("text/javascript")
        assert len(plotly.content) > 100_000
        again = client.get(
            "/static/plotly.min.js", headers={"If-None-Match": plotly.headers["etag"]}
        )
        assert (again.status_code, again.content) == (304, b"")
