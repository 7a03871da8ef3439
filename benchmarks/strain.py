"""Measures how long other clients wait while one client puts load on the server, per kind of load.

Starts `charloom serve` as a separate process on a folder with one run and requests /api/health repeatedly. Prints
the seconds of these requests (median, 99th percentile, maximum), how many requests the loading client made,
and their statuses.

With --runs the folder has that many further runs, hard links to the first. It then prints how long the first
list of them takes, how long /api/health takes meanwhile and while ten streams follow the list, and how long
each list takes.

    python benchmarks/strain.py [--seconds 4] [--only NAME] [--runs N] [--json]
"""

import argparse
import asyncio
import collections
import json
import multiprocessing
import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from pathlib import Path
from urllib.request import urlopen

import charloom
from serve import Served, milliseconds, ping

TEXT = 40 * "It was the best of times, it was the worst of times. "


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", choices=STRAINS)
    parser.add_argument("--runs", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder) / "runs"
        charloom.train(run=runs / "model", string=TEXT, updates=3, validation=0.0)
        link(runs, given.runs)
        with Served(runs) as served:
            if given.runs:
                print(json.dumps(lists(served.port, given.seconds), indent=2))
                return
            names = [given.only] if given.only else ["nothing", *STRAINS]
            told = {name: strained(served.port, name, given.seconds) for name in names}
    print(json.dumps(told, indent=2) if given.json else "\n".join(map(line, told.items())))


def link(runs: Path, count: int) -> None:
    """Create this many further runs as hard links to the existing one."""
    files = [
        (path, path.relative_to(runs / "model")) for path in sorted((runs / "model").rglob("*"))
    ]
    for n in range(count):
        copy = runs / f"copy-{n:05d}"
        copy.mkdir()
        for path, relative in files:
            if path.is_dir():
                (copy / relative).mkdir()
            else:
                os.link(path, copy / relative)


def lists(port: int, seconds: float) -> dict:
    """Measure the lists of a large folder, and /api/health meanwhile."""
    began, pings = time.monotonic(), list[float]()
    while asked(port, "/api/runs?limit=1")[1]["unread"]:
        pings += pinged(port, 0.5)
    told = {
        "read_seconds": round(time.monotonic() - began, 1),
        "health_ms_then": milliseconds(pings),
    }
    for path in ("/api/runs", "/api/runs?limit=1000", "/api/models", "/api/texts"):
        told[path] = milliseconds([asked(port, path)[0] for _ in range(5)])
    held = []
    for _ in range(10):
        held.append(socket.create_connection(("127.0.0.1", port)))
        held[-1].sendall(head(f"127.0.0.1:{port}", "GET", "/api/stream"))
    told["health_ms_beside_ten_streams"] = milliseconds(pinged(port, seconds))
    for connection in held:
        connection.close()
    return told


def asked(port: int, path: str) -> tuple[float, dict]:
    """Return the seconds of a request, and its response."""
    began = time.perf_counter()
    with urlopen(f"http://127.0.0.1:{port}{path}", timeout=120) as answer:
        told = json.load(answer)
    return time.perf_counter() - began, told


def line(row: tuple[str, dict]) -> str:
    """Return a row of text for users."""
    name, figures = row
    health = figures["health_ms"]
    waits = " ".join(f"{word} {health.get(word, 0):8.1f}" for word in ("median", "p99", "most"))
    return f"{name:<28} {waits} ms   {figures['answers']}"


def strained(port: int, name: str, seconds: float) -> dict:
    """Measure /api/health while one client puts load on the server; return also that client's responses."""
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        straining = pool.submit(strain, port, name, seconds)
        pings = pool.submit(pinged, port, seconds).result()
        answers = straining.result()
    time.sleep(0.5)
    return {"health_ms": milliseconds(pings), "answers": answers}


def pinged(port: int, seconds: float) -> list[float]:
    """Return the seconds of each request to /api/health."""
    return asyncio.run(ping(port, 0, 0.0, time.monotonic() + seconds))


def strain(port: int, name: str, seconds: float) -> dict[str, int]:
    """Put load on the server for this long, and count its responses by status."""
    end, answers = time.monotonic() + seconds, collections.Counter[str]()
    if name == "nothing":
        time.sleep(seconds)
        return {}
    held: list[socket.socket] = []
    while time.monotonic() < end:
        connection = socket.create_connection(("127.0.0.1", port), timeout=20)
        held.append(connection)
        with suppress(OSError):
            for block in STRAINS[name](f"127.0.0.1:{port}"):
                connection.sendall(block)
        status = "held"
        if name not in HELD:
            with suppress(OSError):
                status = connection.recv(12)[9:].decode() or "closed"
            held.pop().close()
        answers[status] += 1
        if len(held) >= HELD.get(name, 1):
            time.sleep(max(0.0, end - time.monotonic()))
    for connection in held:
        connection.close()
    return dict(answers)


def head(host: str, method: str, path: str, *more: str, kind: str = "application/json") -> bytes:
    """Return the head of a request; `kind` is the type of the body."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *more]
    if method == "POST":
        lines.append(f"Content-Type: {kind}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def posted(body: Callable[[], bytes], path: str = "/api/generate") -> Callable:
    """Return a load that sends one request body."""

    def strain(host: str) -> Iterator[bytes]:
        data = body()
        yield head(host, "POST", path, f"Content-Length: {len(data)}") + data

    return strain


def long_wrong_text(host: str) -> Iterator[bytes]:
    data = "漢字".encode() * 5_000_000 + b"\xff"
    kind = "application/octet-stream"
    yield head(host, "POST", "/api/texts?name=a", f"Content-Length: {len(data)}", kind=kind) + data


def chunks(host: str) -> Iterator[bytes]:
    yield head(host, "POST", "/api/texts", "Transfer-Encoding: chunked")
    yield b"1\r\na\r\n" * 200_000 + b"0\r\n\r\n"


def byte_by_byte(host: str) -> Iterator[bytes]:
    yield head(host, "POST", "/api/generate", "Content-Length: 5000")
    for _ in range(5_000):
        yield b" "


def many_headers(host: str) -> Iterator[bytes]:
    yield head(host, "GET", "/api/health", *["a:"] * 60_000)


def long_query(host: str) -> Iterator[bytes]:
    yield head(host, "GET", "/api/stream?" + "run=a&" * 40_000)


def allowed_query(host: str) -> Iterator[bytes]:
    yield head(host, "GET", "/api/stream?" + "run=a&" * 330)


def pipelined(host: str) -> Iterator[bytes]:
    yield head(host, "GET", "/api/health") * 4_000


def slow_reader(host: str) -> Iterator[bytes]:
    yield head(host, "GET", "/api/stream?run=model")


def slow_file(host: str) -> Iterator[bytes]:
    yield head(host, "GET", "/static/plotly.min.js")


def silent(_: str) -> Iterator[bytes]:
    yield b""


def fields() -> bytes:
    return json.dumps({f"f{n}": n for n in range(25_000)}).encode()


def wrong_items() -> bytes:
    return json.dumps({"model": "model", "stop": [1] * 150_000}).encode()


def numbers() -> bytes:
    return json.dumps({"model": "model", "prompt": [[]] * 120_000}).encode()


STRAINS: dict[str, Callable] = {
    "chunks of one byte": chunks,
    "a body byte by byte": byte_by_byte,
    "60,000 headers": many_headers,
    "a query of 240 kB": long_query,
    "a query that is allowed": allowed_query,
    "4,000 pipelined requests": pipelined,
    "100 streams, never read": slow_reader,
    "200 files, never read": slow_file,
    "400 silent connections": silent,
    "25,000 unknown fields": posted(fields),
    "150,000 wrong items": posted(wrong_items),
    "120,000 lists for a text": posted(numbers),
    "deep JSON": posted(lambda: b"[" * 500_000),
    "deep JSON that ends": posted(lambda: b'{"a":' * 80_000 + b"1" + b"}" * 80_000),
    "a wrong completion": posted(numbers, "/v1/completions"),
    "a long wrong text": long_wrong_text,
}  # fmt: skip
# Number of connections for loads that keep connections open.
HELD = {"100 streams, never read": 100, "200 files, never read": 200, "400 silent connections": 400}


if __name__ == "__main__":
    main()
