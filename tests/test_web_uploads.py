"""Texts are uploaded as bytes, or as JSON if they are small, and are checked before they are stored."""

import json
import shutil
import threading

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

from charloom.web import schemas, start_routes, text_routes
from charloom.web.body_rules import BYTES
from charloom.web.server import make_app
from web_servers import HERE, app_state

AS_BYTES = {"content-type": BYTES}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return the folder of a server and a client of it: a server for each test would take most of the time."""
    folder = tmp_path_factory.mktemp("uploads")
    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        yield folder, client


@pytest.fixture
def folder(served):
    """Return the folder of the server; it is empty."""
    shutil.rmtree(served[0])
    served[0].mkdir()
    return served[0]


@pytest.fixture
def client(served, folder):
    """Return a client of a server with an empty folder."""
    return served[1]


def stored(folder):
    """Return the bytes of the only text that the server has stored."""
    (path,) = (folder / "texts").iterdir()
    return path.read_bytes()


def error_of(answer):
    """Return status, field and message of a refusal."""
    error = answer.json()["error"]
    return answer.status_code, error["param"], error["message"]


def test_a_text_sent_as_bytes_is_stored_unchanged(client, folder):
    data = "\ufeffDrei Zeilen,\r\n„quoted“, 紅樓夢 😀\n".encode() * 20_000
    assert len(data) > schemas.TEXT_BODY
    answer = client.post(
        "/api/texts", params={"name": "a book.txt"}, content=data, headers=AS_BYTES
    )
    assert answer.status_code == 201
    assert answer.json()["name"] == "a-book"
    assert answer.json()["bytes"] == len(data)
    assert stored(folder) == data


def test_a_small_text_can_also_be_sent_as_json(client, folder):
    text = 'A line of a text, "quoted".\n€'
    as_json = client.post("/api/texts", json={"name": "short", "text": text})
    as_bytes = client.post(
        "/api/texts?name=short",
        content=text.encode(),
        headers={"content-type": f"{BYTES.upper()}; charset=utf-8"},
    )
    assert (as_json.status_code, as_json.json()) == (201, as_bytes.json())
    assert stored(folder) == text.encode()
    long = client.post("/api/texts", json={"name": "long", "text": "ab" * schemas.TEXT_BODY})
    assert long.status_code == 413


@pytest.mark.parametrize("piece", [4, 5, 7, 1_000])
@pytest.mark.parametrize(
    ("data", "offset"),
    [
        (b"\xff", 0),
        (b"abcdef\x80", 6),
        ("ä€😀".encode() + b"\xe2\x82a", 9),
        ("ä€😀".encode() * 3 + b"\xf0\x9f\x98", 27),
        (b"abc\xed\xa0\x80", 3),
        (b"abc\xc0\x80def", 3),
    ],
)
def test_a_byte_that_is_not_utf8_is_named_with_its_offset(
    client, folder, monkeypatch, piece, data, offset
):
    monkeypatch.setattr(text_routes, "PIECE", piece)
    answer = client.post("/api/texts?name=old.txt", content=data, headers=AS_BYTES)
    status, param, message = error_of(answer)
    assert (status, param) == (422, "text")
    assert message.startswith(
        f"old.txt is not UTF-8: byte 0x{data[offset]:02x} at offset {offset};"
    )
    assert not (folder / "texts").exists()


@pytest.mark.parametrize("piece", [4, 5, 7, 1_000])
@pytest.mark.parametrize("text", ["ab", "ä€😀\x00\n" * 9, "aaaaaaaaab", "😀" * 9 + "a"])
def test_a_text_is_accepted_however_it_is_cut_into_pieces(client, folder, monkeypatch, piece, text):
    monkeypatch.setattr(text_routes, "PIECE", piece)
    answer = client.post("/api/texts?name=x", content=text.encode(), headers=AS_BYTES)
    assert answer.status_code == 201
    assert stored(folder) == text.encode()


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "is empty"), (b"a", "repeats a single"), ("€".encode() * 9, "repeats a single")],
)
def test_a_text_without_two_different_characters_is_refused(client, monkeypatch, data, problem):
    monkeypatch.setattr(text_routes, "PIECE", 4)
    as_bytes = client.post("/api/texts?name=x.txt", content=data, headers=AS_BYTES)
    as_json = client.post("/api/texts", json={"name": "x.txt", "text": data.decode()})
    for answer in (as_bytes, as_json):
        status, param, message = error_of(answer)
        assert (status, param) == (422, "text")
        assert message.startswith(f"x.txt {problem}")


@pytest.mark.parametrize("name", [None, "", 201 * "x"])
def test_bytes_without_a_name_are_refused(client, name):
    params = {} if name is None else {"name": name}
    answer = client.post("/api/texts", params=params, content=b"abc", headers=AS_BYTES)
    assert error_of(answer)[:2] == (422, "name")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b'{"name": "x", "text": "a"}', "text"),
        (b'{"name": "", "text": "abc"}', "name"),
        (b'{"name": "x", "text": "abc", "more": 1}', "more"),
        (b'{"name": "x"}', "text"),
        (b'{"name": 1, "text": "abc"}', "name"),
        (b'{"name": "x", "text": ["abc"]}', "text"),
        (b'{"name": "x", "text": "\\ud800abc"}', "text"),
        (b'{"name": "x", "text": "' + 300 * b"a" + b'\\ud800"}', "text"),
        (b'{"name": "x", "text": "abc"', None),
        (b'{"name": "x", "text": "\xff"}', None),
        (b"[" * 1_900, None),
        (b'["abc"]', None),
    ],
)
def test_json_that_is_not_a_text_is_refused(client, folder, body, param):
    headers = {"content-type": "application/json"}
    answer = client.post("/api/texts", content=body, headers=headers)
    assert error_of(answer)[:2] == (422, param)
    assert not (folder / "texts").exists()


@pytest.mark.parametrize(
    "kind",
    [
        None, "", "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x", "application/octet-stream, text/plain",
        "text/plain; application/octet-stream", "application/octet-streams", "application/xml",
    ],
)  # fmt: skip
def test_a_content_type_that_needs_no_preflight_request_is_refused(client, folder, kind):
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/api/texts?name=x", content=b"abcdef", headers=headers)
    assert answer.status_code == 415
    assert not (folder / "texts").exists()


def test_another_website_cannot_send_bytes(client, folder):
    other = {"origin": "http://evil.example"}
    headers = {
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    preflight = client.options("/api/texts", headers=other | headers)
    assert preflight.status_code == 403
    assert not any(name.startswith("access-control") for name in preflight.headers)
    answer = client.post("/api/texts?name=x", content=b"abcdef", headers=other | AS_BYTES)
    assert answer.status_code == 403
    assert not (folder / "texts").exists()


@pytest.mark.parametrize("path", ["/api/runs", "/api/generate", "/api/score", "/v1/completions"])
def test_only_the_route_for_texts_accepts_bytes(client, path):
    body = json.dumps({"model": "book"}).encode()
    answer = client.post(path, content=body, headers=AS_BYTES)
    assert answer.status_code == 415
    assert "application/json" in answer.json()["error"]["message"]


def test_the_length_of_a_text_in_bytes_is_limited(client, monkeypatch):
    headers = AS_BYTES | {"content-length": str(schemas.UPLOAD_BODY + 1)}
    answer = client.post("/api/texts?name=x", content=b"", headers=headers)
    assert answer.status_code == 413


def test_a_text_is_decoded_in_short_pieces_and_not_by_the_servers_own_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(text_routes, "PIECE", 1_000)
    text = 4_000 * "A line of a text.\n€"
    lengths, threads = [], set()
    real = text_routes.codecs.getincrementaldecoder

    def recording(encoding):
        decoder = real(encoding)()

        class Recording:
            def decode(self, data, final):
                lengths.append(len(data))
                threads.add(threading.current_thread())
                return decoder.decode(data, final=final)

            getstate = staticmethod(decoder.getstate)

        return Recording

    app = make_app(app_state(tmp_path))

    @app.app.get("/loop")
    async def loop():
        threads.add(threading.current_thread())
        return {}

    monkeypatch.setattr(text_routes.codecs, "getincrementaldecoder", recording)
    with TestClient(app, base_url=HERE) as client:
        sent = client.post("/api/texts?name=x", content=text.encode(), headers=AS_BYTES)
        assert sent.status_code == 201
        client.get("/loop")
    assert len(threads) == 2
    assert sum(lengths) == len(text.encode())
    assert max(lengths) == 1_000


@pytest.mark.parametrize(
    ("given", "kept", "run"),
    [
        ("Märchen für alle.txt", "Märchen-für-alle", "Marchen-fur-alle-1"),
        ("Ma\u0308rchen.txt", "Märchen", "Marchen-1"),
        ("紅樓夢.txt", "紅樓夢", "text-1"),
        ("../../.ssh/id_rsa.txt", "id_rsa", "id_rsa-1"),
        ("…", "text", "text-1"),
        (200 * "夢", 40 * "夢", "text-1"),
    ],
)
def test_a_text_keeps_its_name(client, given, kept, run):
    answers = [
        client.post("/api/texts", json={"name": given, "text": "abcd"}).json(),
        client.post("/api/texts", params={"name": given}, content=b"abcd", headers=AS_BYTES).json(),
    ]
    for answer in answers:
        assert answer["name"] == kept
        assert next(start_routes.names(answer["name"])) == run
