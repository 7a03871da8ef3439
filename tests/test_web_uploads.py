"""Texts come in as JSON of any kind, read in small pieces, by a thread that is not the server's own."""

import json
import random
import threading

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

from charloom.web import longjson, start_routes, text_routes
from charloom.web.longjson import Long, read_object
from charloom.web.server import make_app
from web import HERE, house

STRANGE = [
    '"',
    "\\",
    "\n",
    "é",
    "€",
    "😀",
    "\x00",
    "\ud83d",
    "\ude00",
    "u",
    "d83d",
    " ",
    "a",
    "/",
    ":",
]


def plain(told):
    """An object with its strings in one."""
    return {
        name: "".join(value.pieces) if isinstance(value, Long) else value
        for name, value in told.items()
    }


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 100])
def test_what_is_read_in_pieces_is_what_json_says(monkeypatch, piece):
    monkeypatch.setattr(longjson, "PIECE", piece)
    chance = random.Random(piece)
    for n in range(300):
        told = {
            "".join(chance.choices(STRANGE, k=chance.randrange(4))): chance.choice(
                ["".join(chance.choices(STRANGE, k=chance.randrange(12))), n, None, 1.5, True]
            )
            for _ in range(chance.randrange(4))
        }
        for ascii_only in (True, False):
            body = json.dumps(told, ensure_ascii=ascii_only, indent=chance.choice([None, 2]))
            try:
                body = body.encode()
            except UnicodeEncodeError:
                continue  # halves of pairs can be written as escapes only
            assert plain(read_object(body)) == json.loads(body)


@pytest.mark.parametrize("piece", [1, 5, 1_000])
def test_what_is_no_json_is_not_read(monkeypatch, piece):
    monkeypatch.setattr(longjson, "PIECE", piece)
    for body in (
        b"", b"{", b"[]", b"1", b'"x"', b"null", b'{"a":}', b'{"a":"b}', b'{"a":"\\x"}', b'{"a":"\\u12"}',
        b'{"a":"\\uZZZZ-more-of-it-than-an-escape"}', b'{"a":"\n"}', b'{"a":"\xff"}', b'{"a":"\xe2\x82"',
        b'{"a":"b"} x', b'{"a" "b"}', b'{a:"b"}', b"[" * 50_000, b" " * 70_000 + b'{"a":"b"}',
    ):  # fmt: skip
        with pytest.raises(ValueError):
            read_object(body)


def test_no_piece_is_long_and_none_is_read_by_the_servers_own_thread(tmp_path, monkeypatch):
    text = 40_000 * 'A line of a text, "quoted".\n€'
    lengths, threads = [], set()
    real = json.loads

    def loads(piece):
        lengths.append(len(piece))
        return real(piece)

    def read(body):
        threads.add(threading.current_thread())
        monkeypatch.setattr(longjson.json, "loads", loads)
        try:
            return read_object(body)
        finally:
            monkeypatch.setattr(longjson.json, "loads", real)

    monkeypatch.setattr(text_routes, "read_object", read)
    app = make_app(house(tmp_path))

    @app.app.get("/loop")
    async def loop():
        threads.add(threading.current_thread())
        return {}

    with TestClient(app, base_url=HERE) as client:
        kept = client.post("/api/texts", json={"name": "long", "text": text})
        assert kept.status_code == 201
        client.get("/loop")
    (path,) = (tmp_path / "texts").iterdir()
    assert path.read_bytes() == text.encode()
    assert len(threads) == 2
    assert len(lengths) > 4
    assert max(lengths) <= longjson.PIECE + 20


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
    ],
)
def test_a_text_that_is_none_is_refused(tmp_path, body, param):
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        headers = {"content-type": "application/json"}
        answer = client.post("/api/texts", content=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (422, param)
    assert not (tmp_path / "texts").exists()


@pytest.mark.parametrize(
    ("brought", "kept", "run"),
    [
        ("Märchen für alle.txt", "Märchen-für-alle", "Marchen-fur-alle-1"),
        ("Ma\u0308rchen.txt", "Märchen", "Marchen-1"),
        ("紅樓夢.txt", "紅樓夢", "text-1"),
        ("../../.ssh/id_rsa.txt", "id_rsa", "id_rsa-1"),
        ("…", "text", "text-1"),
    ],
)
def test_a_text_keeps_its_name(tmp_path, brought, kept, run):
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        told = client.post("/api/texts", json={"name": brought, "text": "abcd"}).json()
    assert told["name"] == kept
    assert next(start_routes.names(told["name"])) == run
