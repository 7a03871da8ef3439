"""The server refuses two hundred hostile requests, and answers honest ones.

The tests send bytes over a socket, because a client library would correct them.
"""

import json
import re

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx

from charloom.web import schemas
from charloom.web.access_rules import AccessRules
from charloom.web.security_headers import HEADERS
from guard_requests import request
from web_servers import status_of


def generate(**settings):
    """Return a request to generate text."""
    return request("POST", "/api/generate", body=json.dumps({"model": "book", **settings}))


def hostile():
    """Return every hostile request: its description, its bytes, and the statuses that refuse it."""
    found = []

    def add(name, sent, *statuses):
        found.append(
            (f"{name} {len(found)}", sent, statuses or (400, 403, 404, 405, 413, 415, 422, 431))
        )

    # Another name bound to this address, or none.
    names = [
        "evil.example", "evil.example:{port}", "127.0.0.1.evil.example:{port}", "localhost.evil:{port}",
        "127.0.0.1", "localhost", "localhost:1", "127.0.0.1:1", "127.0.0.2:{port}", "0.0.0.0:{port}",
        "[::2]:{port}", "user@127.0.0.1:{port}", "127.0.0.1:{port}@evil.example", "127.0.0.1:{port}/x",
        "127.0.0.1:{port},evil.example", "2130706433:{port}", "0x7f.1:{port}", "127.1:{port}", "",
        "127.0.0.1:{port}:80", "127.0.0.1:0{port}", "*", "localhost:{port}.", "xn--lclhost-9za:{port}",
    ]  # fmt: skip
    for name in names:
        add("host", request(host=name), 400, 403)
        add("host, writing", generate().replace("{host}", name), 400, 403)
    add("no host", request(host=None), 400)
    add("two hosts", request(more=["Host: evil.example"]), 400)
    add("an address as path", request(path="http://evil.example/api/runs", host="evil.example"))

    # Other pages.
    origins = [
        "http://evil.example", "https://evil.example", "null", "http://localhost", "http://localhost:1",
        "https://{host}", "http://{host}.evil.example", "file://", "chrome-extension://abc", "",
        "http://evil.example http://{host}", "http://{host}/", "http://user@{host}", "ws://{host}",
    ]  # fmt: skip
    for origin in origins:
        add("origin", request(more=[f"Origin: {origin}"]), 403)
        add("origin, writing", generate().replace("\r\n\r\n", f"\r\nOrigin: {origin}\r\n\r\n"), 403)
    for site in ("cross-site", "same-site", "elsewhere"):
        add("site", request(more=[f"Sec-Fetch-Site: {site}"]), 403)
        add(
            "site, navigating",
            request(more=[f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: navigate"]),
            403,
        )
        add(
            "site, page as a picture",
            request(path="/", more=[f"Sec-Fetch-Site: {site}", "Sec-Fetch-Mode: no-cors"]),
            403,
        )
        add(
            "site, a post",
            generate().replace(
                "\r\n\r\n", f"\r\nSec-Fetch-Site: {site}\r\nSec-Fetch-Mode: navigate\r\n\r\n"
            ),
            403,
        )

    # Ways out of a folder.
    paths = [
        "/../secret.txt", "/static/../../secret.txt", "/static/..%2f..%2fsecret.txt",
        "/static/%2e%2e/%2e%2e/secret.txt", "/static/....//secret.txt", "/static/..\\secret.txt",
        "/static/..%5csecret.txt", "/static/%00index.html", "/static/index.html%00.js", "//etc/passwd",
        "/static//etc/passwd", "/static/%252e%252e%252fsecret.txt", "/static/~root", "/static/.",
        "/static/__init__.py", "/static/guard.py", "/static/index.html/..", "/static/", "/static",
        "/api/runs/..", "/api/runs/../..", "/api/runs/%2e%2e", "/api/runs/..%2fsecret.txt",
        "/api/runs/book%2f..%2f..", "/api/runs/book/../book", "/api/runs/book%00", "/api/runs/.jobs",
        "/api/runs/%2Fetc%2Fpasswd", "/api/runs/book/checkpoints/0", "/api/runs/book/records/../..",
        "/api/runs/C:%5cWindows", "/api/runs/book%0d%0aX-Evil:1", "/api/runs/" + "a" * 5_000,
        "/api/models/..", "/api/models/..%2f..%2fsecret.txt", "/api/models/book@..", "/api/models/book@best@best",
        "/api/models/book@-1", "/api/models/book@1e3", "/v1/models/..%2fsecret", "/v1/models/book@../latest",
        "/api/stream?run=..", "/api/stream?run=../../secret", "/api/stream?run=" + "&run=".join("a" * 20),
        "/api/stream?run=" + "a" * 4_000, "/api/runs/book/records?most=-1", "/api/runs/book/records?most=1e9",
        "/api/runs/book/records?most=99999999999999999999999", "/docs", "/redoc", "/.env", "/.git/config",
        "/api/runs/book/model.safetensors", "/file:///etc/passwd", "/api/runs/\u00e9", "/api/runs/%ff",
    ]  # fmt: skip
    for path in paths:
        add("path", request(path=path), 400, 404, 414, 422)

    # Methods that no route has, and what browsers ask before they cross.
    for method in (
        "OPTIONS",
        "PUT",
        "DELETE",
        "PATCH",
        "TRACE",
        "CONNECT",
        "HEAD",
        "PROPFIND",
        "get",
    ):
        add("method", request(method, "/api/runs"), 400, 405)
    add(
        "preflight",
        request(
            "OPTIONS",
            "/api/generate",
            more=["Origin: http://evil.example", "Access-Control-Request-Method: POST"],
        ),
        403,
    )
    add("a get that writes", request("GET", "/api/generate"), 405)
    add("a post that reads", request("POST", "/api/health", body="{}"), 405)

    # Bodies that are no JSON, or that a form could send.
    model_body = json.dumps({"model": "book"})
    for kind in (
        None,
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "",
        "application/json, text/plain",
        "application/xml",
        "text/plain; application/json",
    ):
        add("kind", request("POST", "/api/generate", body=model_body, kind=kind), 415)
    bodies = [
        "", "{", "[]", "null", "1", '"x"', "{}", '{"model":}', "{'model':'book'}", model_body + model_body, "\x00",
        '{"model":"book","length":NaN}', '{"model":"book","temperature":Infinity}',
        '{"model":"book","temperature":1e999}', '{"model":"book","seed":' + "9" * 5_000 + "}",
        '{"model":"book","prompt":"\\ud800"}', '{"model":"book","seed":1.5}', '{"model":"book","seed":true}',
        '{"model":["book"]}', '{"model":{"a":1}}', '{"model":"book","prompt":{"a":1}}',
        '{"model":"book","__proto__":{}}', '{"model":"book","stop":"x"}', '{"model":"book","model":"/etc"}',
        "[" * 60_000, '{"a":' * 30_000, '{"model":"book","prompt":' + "[" * 20_000 + "]" * 20_000 + "}",
        '{"model":"/etc/passwd"}', '{"model":"book\\u0000"}', '{"model":"book@../../x"}',
        '{"model":"\u202ebook"}', '{"model":"book\\n"}',
    ]  # fmt: skip
    for body in bodies:
        add("body", request("POST", "/api/generate", body=body), 400, 404, 413, 422)

    # What a prompt may not have: characters that the model has never read.
    for prompt in (
        "<script>alert(1)</script>",
        "\u0000",
        "\u202e",
        "{{7*7}}",
        "€",
        "\U0001f600",
        "'; DROP TABLE runs; --",
        "$(reboot)",
        "%s%n",
        "\x1b[31m",
        "\r\nX-Evil: 1",
    ):
        add("prompt", generate(prompt=prompt), 422)
        add(
            "text",
            request(
                "POST", "/api/score", body=json.dumps({"model": "book", "text": prompt + "ab"})
            ),
            422,
        )

    # Too much of it.
    add(
        "too large by its word",
        request("POST", "/api/generate", body="", more=["Content-Length: 999999999"]),
        413,
    )
    add(
        "too large a text",
        request("POST", "/api/texts", body="", more=[f"Content-Length: {schemas.UPLOAD_BODY + 1}"]),
        413,
    )
    add(
        "a length that is none",
        request("POST", "/api/generate", body="", more=["Content-Length: -5"]),
        400,
        413,
    )
    add(
        "a length of digits",
        request("POST", "/api/generate", body="", more=["Content-Length: " + "9" * 40]),
        400,
        413,
    )
    add(
        "two lengths",
        request(
            "POST", "/api/generate", body="{}", more=["Content-Length: 2", "Content-Length: 5"]
        ),
        400,
    )
    big = json.dumps({"model": "book", "prompt": "a" * (schemas.TEXT_BODY + 10)})
    add("too large", request("POST", "/api/generate", body=big), 413)
    chunk = "a" * 65_000
    chunks = f"{len(chunk):x}\r\n{chunk}\r\n" * (schemas.TEXT_BODY // len(chunk) + 2)
    add(
        "too large in chunks",
        request(
            "POST", "/api/generate", body=chunks + "0\r\n\r\n", more=["Transfer-Encoding: chunked"]
        ),
        411,
    )
    add(
        "packed",
        request("POST", "/api/generate", body=model_body, more=["Content-Encoding: gzip"]),
        415,
    )
    add("a get with a body", request("GET", "/api/runs", body="{}"), 400)
    add("a large head", request(more=[f"X-Fill: {'a' * 20_000}"]), 400, 431)
    add("many heads", request(more=[f"X-{n}: {'a' * 100}" for n in range(300)]), 400, 431)
    add(
        "both ways to say how long",
        request(
            "POST",
            "/api/generate",
            body="0\r\n\r\n",
            more=["Content-Length: 5", "Transfer-Encoding: chunked"],
        ),
        411,
    )

    # No HTTP at all.
    for junk in (
        "\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "EHLO x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : {host}\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: {host}\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: {host}\r\n\r\n",
        "\x00" * 100 + "\r\n\r\n",
    ):
        add("junk", junk, 400, None)
    add(
        "a websocket",
        request(
            path="/api/stream",
            more=[
                "Connection: Upgrade",
                "Upgrade: websocket",
                "Sec-WebSocket-Key: eA==",
                "Sec-WebSocket-Version: 13",
                "Origin: http://evil.example",
            ],
        ),
        403,
    )

    # Runs and trainings.
    for new in (
        {"text": "/etc/passwd"},
        {"text": "../secret.txt"},
        {"text": "own.x", "name": "../x"},
        {"text": "builtin.python-docs", "name": "a/b"},
        {"text": "builtin.python-docs", "recipe": "; rm -rf /"},
        {"text": "builtin.python-docs", "settings": {"run": "/tmp/x"}},
        {"text": "--help"},
        {"text": "builtin.python-docs", "settings": {"threads": 64}},
    ):
        add("start", request("POST", "/api/runs", body=json.dumps(new)), 404, 422)
    add("control without a run", request("POST", "/api/runs/nothing/control", body="{}"), 404)
    add("control of what nothing trains", request("POST", "/api/runs/book/control", body="{}"), 422)
    add("a text without text", request("POST", "/api/texts", body='{"name":"x","text":"a"}'), 422)
    add(
        "a text of halves",
        request("POST", "/api/texts", body='{"name":"x","text":"\\ud800\\ud800"}'),
        422,
    )
    return found


HOSTILE = hostile()


def refused(live, sent, statuses):
    """Return True if the server refuses a request and its response contains nothing private."""
    host = f"127.0.0.1:{live.port}"
    data = sent.replace("{host}", host).replace("{port}", str(live.port)).encode("utf-8")
    answer = live.raw(data)
    status = status_of(answer)
    body = answer.partition(b"\r\n\r\n")[2]
    leaks = b"Traceback" in answer or b"the secret" in answer or b"root:" in answer
    headed = status is None or b"access-control" not in answer.lower()
    return status in statuses and not leaks and headed and len(body) < 5_000


def test_there_are_two_hundred_hostile_requests():
    assert len(HOSTILE) >= 200
    assert len({sent for _, sent, _ in HOSTILE}) >= 200


def test_every_hostile_request_is_refused(live, folder):
    before = sorted(path.name for path in folder.iterdir())
    passed = [
        (
            name,
            sent[:200],
            live.raw(sent.replace("{host}", f"127.0.0.1:{live.port}").encode())[:300],
        )
        for name, sent, statuses in HOSTILE
        if not refused(live, sent, statuses)
    ]
    assert passed == []
    assert sorted(path.name for path in folder.iterdir()) == before
    assert httpx.get(f"{live.url}/api/health").json()["writing"] == 0


def test_valid_requests_are_answered(live):
    for honest in (
        request(),
        request(host="localhost:{port}"),
        request(host="LOCALHOST:{port}"),
        request(host="[::1]:{port}"),
        request(more=["Origin: http://{host}", "Sec-Fetch-Site: same-origin"]),
        request(path="/", more=["Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate"]),
        # A link from a letter or another page may open this page, and nothing but it.
        request(path="/", more=["Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate"]),
        generate(prompt="the cat", length=5),
        request(
            "POST",
            "/api/generate",
            body=json.dumps({"model": "book", "length": 5}),
            kind="application/json; charset=utf-8",
        ),
    ):
        assert not refused(live, honest, (400, 403, 404, 405, 413, 415, 422, 431)), honest


@pytest.mark.parametrize("check", ["check_origin_and_host", "check_token"])
def test_a_missing_check_of_the_guard_is_found(live, monkeypatch, check):
    monkeypatch.setattr(AccessRules, check, lambda *_: None)
    opened = [name for name, sent, statuses in HOSTILE if not refused(live, sent, statuses)]
    assert (len(opened) > 30) == (check == "check_origin_and_host")


def test_every_answer_has_the_headers(live):
    for path in ("/", "/static/page.js", "/api/runs", "/nothing", "/api/runs/nothing"):
        headers = httpx.get(live.url + path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        for name, value in HEADERS.items():
            assert headers[name] == value
        assert "server" not in headers
        assert "access-control-allow-origin" not in headers


def test_the_page_has_no_inline_code_and_loads_nothing_from_other_servers():
    page = (guard_static() / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    for file in guard_static().iterdir():
        if file.suffix in (".html", ".js", ".css"):
            text = file.read_text(encoding="utf-8")
            assert not re.search(r"(src|href)=[\"'](https?:)?//|@import|url\(['\"]?https?:", text)


def guard_static():
    """Return the folder of the page's files."""
    from charloom.web.static_files import STATIC

    return STATIC
