"""Connections cost little: few file descriptors, silent and slow clients, many small pieces.

They must not make other clients wait, fill the log or end running work. The tests do not measure time. They
count what the server accepts, refuses and prints.
"""

import asyncio
import contextlib
import errno
import json
import os
import socket
import subprocess
import sys

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import h11
import httpx
from starlette.testclient import TestClient

import small_runs
from charloom.web import (
    connection,
    file_descriptors,
    request_body,
    response_pieces,
    run_index,
    training_jobs,
)
from charloom.web.access_rules import AccessRules
from charloom.web.connection import Connection
from charloom.web.file_descriptors import ConnectionLimits, Shortage, is_shortage
from charloom.web.journal_follower import Tail
from charloom.web.refusal import Refused
from charloom.web.server import make_app
from waiting import until
from web_servers import HERE, LiveServer, app_state, is_complete, status_of

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("connections")
    small_runs.train(path / "book", epochs=1)
    return path


@pytest.fixture
def live(folder):
    with LiveServer(folder) as live:
        yield live


# Few descriptors


@contextlib.contextmanager
def served(folder, limits, inherited=0):
    """Run `charloom serve` in a process that inherits open files, after the shell commands `limits`.

    Yield its address and the file with its output.
    """
    given = [os.open(os.devnull, os.O_RDONLY) for _ in range(inherited)]
    output = folder.parent / f"said-{os.getpid()}-{inherited}.txt"
    command = f'{limits}; exec "$0" -m charloom serve "$1" --port 0 --no-open'
    with output.open("wb") as file:
        process = subprocess.Popen(
            ["sh", "-c", command, sys.executable, str(folder)], stderr=file, pass_fds=given
        )
    try:
        until(lambda: b"Ctrl-C" in output.read_bytes() or process.poll() is not None, 60)
        yield output.read_text().split()[5], output
    finally:
        process.terminate()
        try:
            process.wait(20)
        finally:
            process.kill()
            process.wait()
            for descriptor in given:
                os.close(descriptor)


@contextlib.contextmanager
def silent(url, count):
    """Open connections that send no request."""
    host, _, port = url.removeprefix("http://").rstrip("/").partition(":")
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            opened.enter_context(socket.create_connection((host, int(port)), timeout=20))
        yield


def healthy(url):
    """Return True if the server answers a new connection."""
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}api/health", timeout=5).status_code == 200
    return False


# The third has less than its connections take: it inherits files that it knows nothing of.
@posix
@pytest.mark.parametrize(
    ("limits", "inherited"),
    [("ulimit -Sn 256", 0), ("ulimit -n 256", 0), ("ulimit -n 96", 40)],
    ids=["soft", "hard", "less than counted on"],
)
def test_with_few_descriptors_the_server_answers_and_logs_little(folder, limits, inherited):
    with served(folder, limits, inherited) as (url, output):
        assert healthy(url)
        with httpx.Client(timeout=20) as client, client.stream("GET", f"{url}api/stream") as stream:
            events = stream.iter_lines()
            next(events)
            with silent(url, 400):
                until(lambda: healthy(url), 60)
                # Who was there before is still served.
                small_runs.train(folder / f"more-{inherited}-{len(limits)}", epochs=1)
                until(lambda: f"more-{inherited}-{len(limits)}" in next(events), 60)
        until(lambda: healthy(url), 60)
        assert len(output.read_bytes()) < 2_000
        assert b"Traceback" not in output.read_bytes()


@posix
def test_the_soft_limit_is_raised_to_the_needed_number():
    code = (
        "import resource; from charloom.web.file_descriptors import raise_limit;"
        "print(raise_limit(), *resource.getrlimit(resource.RLIMIT_NOFILE))"
    )

    def limits(shell):
        command = ["sh", "-c", f'{shell}; exec "$0" -c "$1"', sys.executable, code]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    wanted = str(file_descriptors.WANTED)
    hard = limits("true")[2]
    assert limits("ulimit -Sn 256") == [wanted, wanted, hard]
    assert limits("ulimit -n 300") == ["300", "300", "300"]
    assert limits("ulimit -n 2000") == ["2000", "2000", "2000"]


def test_the_connection_limits_leave_descriptors_for_files():
    assert (
        ConnectionLimits.within(None)
        == ConnectionLimits.within(file_descriptors.WANTED)
        == ConnectionLimits(960, 900, 100)
    )
    for files in (3, 10, 64, 256, 300, 1024):
        limits = ConnectionLimits.within(files)
        assert 1 <= limits.stream_limit <= limits.answered <= limits.most < files
        assert files - limits.most >= min(file_descriptors.RESERVED, files // 2)


def test_a_shortage_is_logged_once_and_its_end_once():
    now, messages = [0.0], []
    shortage = Shortage(messages.append, lambda: now[0])
    shortage.check()
    for _ in range(1_000):
        shortage.met()
    shortage.check()
    assert len(messages) == 1
    now[0] = 5.0
    shortage.check()
    shortage.check()
    assert len(messages) == 2
    assert "again" in messages[1]
    # One that lasts is told each minute.
    for second in range(6, 300):
        now[0] = second
        shortage.met()
        shortage.check()
    assert len(messages) == 2 + 4


def test_errors_for_too_many_open_files_are_a_shortage():
    assert is_shortage(OSError(errno.EMFILE, "too many"))
    assert not is_shortage(OSError(errno.ENOENT, "none"))
    assert not is_shortage(None)
    caused = ValueError()
    caused.__cause__ = OSError(errno.ENFILE, "too many")
    assert is_shortage(caused)


@contextlib.contextmanager
def nothing_opens(monkeypatch):
    """Make opening any file and listing any folder fail."""

    def refuse(*_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as patch:
        for owner, name in ((os, "open"), (os, "scandir"), (os, "listdir")):
            patch.setattr(owner, name, refuse)
        patch.setattr("pathlib.Path.open", refuse)
        patch.setattr("pathlib.Path.read_bytes", refuse)
        yield


def test_without_free_descriptors_the_run_list_and_the_jobs_are_kept(tmp_path, monkeypatch):
    small_runs.train(tmp_path / "book", epochs=1)
    messages = []
    kept = training_jobs.Jobs(tmp_path)
    index = run_index.RunIndex(tmp_path, kept, Shortage(messages.append))
    ended = subprocess.Popen(["true"])
    ended.wait()
    monkeypatch.setattr(training_jobs, "spawn", lambda *_: ended)
    kept.start("book", ["x"], "cat", None)
    before = index.read_list(refresh=True)
    (tmp_path / "book" / "status.json").touch()  # so that it would be read again
    with nothing_opens(monkeypatch):
        assert index.read_list(refresh=True).runs == before.runs
        with pytest.raises(OSError, match="Too many"):
            run_index.RunIndex(tmp_path, kept).read_list()  # which has seen nothing yet
        with pytest.raises(OSError, match="Too many"):
            Tail(tmp_path / "book" / "metrics.jsonl", bool).new_lines()
    assert len(messages) == 1
    assert (tmp_path / ".jobs" / "book.json").exists()
    assert [run.state for run in index.read_list(refresh=True).runs] == [
        run.state for run in before.runs
    ]


def test_without_free_descriptors_a_request_gets_retry_after_and_nothing_is_logged(
    folder, monkeypatch, caplog
):
    messages = []
    home = app_state(folder)
    home.shortage._say = messages.append
    with TestClient(make_app(home), base_url=HERE) as client:
        assert client.get("/api/runs/book/records").status_code == 200
        with nothing_opens(monkeypatch):
            for path in ("/api/runs/book/records", "/api/models/book", "/static/style.css"):
                answer = client.get(path)
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy"), path
                assert answer.headers["retry-after"]
    assert len(messages) == 1
    assert caplog.records == []


# Who makes room


def test_the_longest_idle_connection_is_closed_for_a_new_one(folder, monkeypatch):
    # On a busy machine, the waiting connections must not be closed because they send nothing.
    monkeypatch.setattr(connection, "HEAD_SECONDS", 3_600.0)
    with (
        LiveServer(folder, limits=ConnectionLimits(4, 3, 4)) as live,
        contextlib.ExitStack() as opened,
    ):

        def connect():
            made = socket.create_connection(("127.0.0.1", live.port), timeout=20)
            return opened.enter_context(made)

        first = connect()
        until(lambda: len(live.app_state.connections) == 1)
        others = [connect() for _ in range(2)]
        until(lambda: len(live.app_state.connections) == 3)
        assert healthy(live.url + "/")  # a fourth
        assert first.recv(1) == b""
        until(lambda: len(live.app_state.connections) == 2)
        for other in others:
            other.settimeout(0.2)
            with pytest.raises(TimeoutError):
                other.recv(1)


def test_a_client_that_reads_nothing_is_disconnected(folder, monkeypatch):
    monkeypatch.setattr(connection, "SEND_SECONDS", 0.2)
    with LiveServer(folder) as live:
        head = f"GET /static/plotly.min.js HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n\r\n".encode()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            slow.connect(("127.0.0.1", live.port))
            slow.sendall(head)
            until(lambda: len(live.app_state.connections) == 1)
            until(lambda: len(live.app_state.connections) == 0)


def test_a_large_response_waits_for_its_client():
    sent = []

    async def send(message):
        sent.append(message)

    async def answer():
        sending = response_pieces.in_pieces(send)
        await sending({"type": "http.response.start", "status": 200})
        body = bytes(range(256)) * 1_000
        await sending({"type": "http.response.body", "body": body})
        return body

    body = asyncio.run(answer())
    parts = [message["body"] for message in sent[1:]]
    assert b"".join(parts) == body
    assert max(map(len, parts)) <= response_pieces.SENT_AT_ONCE
    assert [message["more_body"] for message in sent[1:]] == [True] * (len(parts) - 1) + [False]


# Many small pieces


class Events:
    """Counts the events of each kind that were read from connections."""

    def __init__(self, monkeypatch):
        self.counts = {}
        read = h11.Connection.next_event

        def counting(reader):
            event = read(reader)
            name = getattr(event, "__name__", type(event).__name__)
            self.counts[name] = self.counts.get(name, 0) + 1
            return event

        monkeypatch.setattr(h11.Connection, "next_event", counting)


def test_a_body_in_chunks_is_refused_and_no_chunk_is_read(live, monkeypatch):
    events = Events(monkeypatch)
    for count in (1, 200_000):
        head = (
            f"POST /api/texts HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n"
            f"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        ).encode()
        with socket.create_connection(("127.0.0.1", live.port), timeout=20) as client:
            client.sendall(head + b"1\r\na\r\n" * count + b"0\r\n\r\n")
            answer = b""
            while not is_complete(answer) and (block := client.recv(65536)):
                answer += block
        assert status_of(answer) == 411
        assert b"Content-Length" in answer.partition(b"\r\n\r\n")[2]
    assert events.counts["Request"] == 2
    assert "Data" not in events.counts


def test_a_post_request_must_have_a_content_length(live):
    head = f"POST /api/next HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n\r\n".encode()
    assert status_of(live.raw(head)) == 411
    assert httpx.post(f"{live.url}/api/next", json={"model": "book"}).status_code == 200


class Written:
    """A transport that stores the bytes that are written to it."""

    def __init__(self):
        self.data, self.closing = b"", False

    def write(self, data):
        self.data += data

    def close(self):
        self.closing = True

    abort = close

    def is_closing(self):
        return self.closing

    def get_extra_info(self, name):
        return None

    def get_write_buffer_size(self):
        return 0

    def can_write_eof(self):
        return False

    def pause_reading(self):
        pass

    resume_reading = pause_reading


def test_a_request_head_is_limited_however_fast_it_arrives(folder, monkeypatch):
    requests = []
    monkeypatch.setattr(AccessRules, "check_origin_and_host", lambda *_: requests.append(1))
    with LiveServer(folder) as live:
        config, state = live._server.config, live._server.server_state
    head = f"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\n".encode()

    async def status(data):
        client, transport = Connection(config, state, {}), Written()
        client.connection_made(transport)
        client.data_received(data)
        for _ in range(5):
            await asyncio.sleep(0)
        client.connection_lost(None)
        return status_of(transport.data)

    assert asyncio.run(status(head + b"a:\r\n" * 60_000 + b"\r\n")) == 400
    assert asyncio.run(status(head.replace(b"health", b"h" * 200_000) + b"\r\n")) == 400
    assert requests == []


@pytest.mark.parametrize(
    "body",
    [
        {f"f{n}": n for n in range(20_000)},
        {"model": "book", "prompt": [[]] * 100_000},
        {"model": "book", "stop": ["a"] * 60_000},
    ],
    ids=["fields", "lists", "strings"],
)
@pytest.mark.parametrize("path", ["/api/generate", "/v1/completions"])
def test_a_json_body_of_very_many_parts_is_refused_before_it_is_parsed(
    live, monkeypatch, path, body
):
    monkeypatch.setattr(json, "loads", None)  # whoever reads it fails
    data = json.dumps(body).encode()
    answer = live.raw(
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{live.port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(data)}\r\n\r\n".encode()
        + data
    )
    assert status_of(answer) == 413
    assert b"fields" in answer


def test_json_delimiters_inside_a_string_are_one_part():
    request_body.check_parts(json.dumps({"text": ',[{"\\' * 10_000}).encode())
    request_body.check_parts(b"[" * request_body.MOST_PARTS)
    with pytest.raises(Refused):
        request_body.check_parts(b"[" * (request_body.MOST_PARTS + 1))
