"""Runs over the wire: the list, states, journals, the live stream, steering and starting."""

import collections
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx
from starlette.testclient import TestClient

import runs
from charloom.errors import RunExistsError
from charloom.store import RunWriter, read_control
from charloom.store.control_files import write_status
from charloom.text import BUILTIN_TEXTS
from charloom.training import Record
from charloom.web import journal_follower, playground_routes, run_index, start_routes, training_jobs
from charloom.web.journal_follower import Tail
from charloom.web.run_index import models_in
from charloom.web.run_routes import some_of, spread, thinned
from charloom.web.runs_folder import key_of
from charloom.web.server import make_app
from runs import until
from web import HERE, Live, house, streaming

TEXT = 30 * runs.TEXT
# Long enough to be steered, and over by itself where a test that fails leaves it behind.
SLOWLY = {"recipe": "classic", "settings": {"hidden_size": 16, "updates": 5_000_000}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a finished run, a stopped one, one within a folder, and one that is damaged."""
    path = tmp_path_factory.mktemp("shelf")
    runs.train(path / "book", validation=0.2)
    runs.train(path / "cut short", halt=runs.after(3))
    runs.train(path / "more" / "deep")
    (path / "broken").mkdir()
    (path / "broken" / "config.json").write_text("{")
    (path / "notes.txt").write_text("no run")
    return path


@pytest.fixture(scope="module")
def client(folder):
    """A client of a server of that folder; tests only read it."""
    with TestClient(make_app(house(folder)), base_url=HERE) as client:
        yield client


# The list


def test_the_list_tells_what_each_run_is_and_how_it_does(client):
    listed = {run["name"]: run for run in client.get("/api/runs").json()["runs"]}
    assert set(listed) == {"book", "cut short", "more/deep", "broken"}
    book = listed["book"]
    assert (book["key"], book["state"], book["recipe"], book["text"]) == (
        "book", "finished", "classic", "cat",
    )  # fmt: skip
    assert book["update"] == book["updates"] == book["latest"]
    assert book["bits"] == book["validation_bits"] != book["train_bits"]
    assert 0 < book["best_bits"] <= book["validation_bits"]
    assert 0 < book["judged_characters"] == book["held_out"] < book["characters"] / 4
    assert (listed["more/deep"]["judged_characters"], listed["more/deep"]["held_out"]) == (
        None,
        None,
    )
    assert (book["here"], book["resumable"]) == (False, True)
    short = listed["cut short"]
    assert (short["state"], short["reason"]) == ("interrupted", "SIGINT")
    assert short["update"] < short["updates"]
    assert short["bits"] == short["train_bits"]
    assert listed["broken"]["state"] == "damaged"
    assert "JSON" in listed["broken"]["reason"]


def test_a_key_is_plain_and_leads_to_its_run_alone(client):
    keys = {run["name"]: run["key"] for run in client.get("/api/runs").json()["runs"]}
    assert keys["cut short"].startswith("cut-short-")
    for name, key in keys.items():
        assert client.get(f"/api/runs/{key}").json()["run"]["name"] == name
    names = ("a/b", "a.b", "a b", "a-b", "a?b", "a..b", "a...b", "a.b-", "a//b")
    assert len({key_of(name) for name in names}) == len(names)
    assert not any(".." in key_of(name) for name in names)


@pytest.mark.parametrize(
    "key", ["nothing", "more", "notes.txt", "cut short", "..", "book/samples/x"]
)
def test_what_is_not_in_the_list_is_not_found(client, key):
    answer = client.get(f"/api/runs/{key}")
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]


def test_a_run_with_its_settings_and_its_journals(client, folder):
    one = client.get("/api/runs/book").json()
    assert one["settings"]["hidden_size"] == 8
    assert one["passage"] == (folder / "book" / "passage.txt").read_text()
    lines = runs.lines_of(folder / "book" / "metrics.jsonl")
    told = client.get("/api/runs/book/records").json()
    assert told["total"] == len(lines)
    assert [record["update"] for record in told["records"]] == [line["update"] for line in lines]
    ends = [record["update"] for record in told["records"] if record["end"]]
    assert ends == [line["update"] for line in lines if line["epoch"] in (1, 2)]
    samples = client.get("/api/runs/book/samples").json()["samples"]
    assert samples == runs.lines_of(folder / "book" / "samples.jsonl")
    events = client.get("/api/runs/book/events").json()["events"]
    assert [event["event"] for event in events] == ["created", "started", "finished"]


def test_a_damaged_run_is_told_and_answers_with_no_failure(client):
    assert client.get("/api/runs/broken").json()["run"]["state"] == "damaged"
    assert client.get("/api/runs/broken/records").json()["records"] == []


def test_of_a_long_journal_few_records_are_held():
    """Those that matter most among them: the first, the last, and ends of epochs."""
    lines = ({"update": n, "epoch": n / 50, "validation_nats": None} for n in range(1, 10_001))
    held, total = some_of(lines, 20)
    assert total == 10_000
    assert len(held) <= 80
    assert [held[0]["update"], held[-1]["update"]] == [1, 10_000]
    assert sum(line["update"] % 50 == 0 for line in held) >= 20
    assert held == sorted(held, key=lambda line: line["update"])
    few = [{"update": n, "epoch": 0.1} for n in range(30)]
    assert some_of(few, 20) == (few, 30)


def test_thinned_records_keep_the_ends():
    many = [{"n": n, "end": n % 50 == 49, "validation_nats": None} for n in range(1_000)]
    kept = thinned(many, 60)
    assert len(kept) <= 60
    assert {record["n"] for record in many if record["end"]} <= {record["n"] for record in kept}
    assert (kept[0]["n"], kept[-1]["n"]) == (0, 999)
    assert thinned(many, 1_000) == many
    assert spread(range(10), 3) == [0, 4, 9]


# Following


def test_a_tail_gives_what_is_new_and_sees_a_cut(tmp_path):
    path = tmp_path / "a.jsonl"
    tail = Tail(path, lambda line: "a" in line)
    assert tail.look() == (False, [])
    path.write_bytes(b'{"a":1}\n{"a":2}\n{"a":')
    assert tail.look() == (False, [{"a": 1}, {"a": 2}])
    path.write_bytes(b'{"a":1}\n{"a":2}\n{"a":3}\nno JSON\n{"b":3}\n')
    assert tail.look() == (False, [{"a": 3}])
    assert tail.broken == 2
    # Cut back and grown beyond where it was, between two looks: other bytes stand there now.
    path.write_bytes(b'{"a":1}\n{"a":9}\n{"a":8}\n{"a":7}\n{"a":6}\n')
    fresh, lines = tail.look()
    assert fresh
    assert [line["a"] for line in lines] == [1, 9, 8, 7, 6]
    assert tail.broken == 0
    path.unlink()
    assert tail.look() == (True, [])


def test_the_stream_tells_a_run_that_another_process_trains_within_a_second(tmp_path):
    with Live(tmp_path) as live, streaming(live.url, "/api/stream") as events:
        nothing = {"runs": [], "gone": [], "total": 0, "unread": 0, "fresh": True}
        assert next(events) == ("runs", nothing)
        runs.train(tmp_path / "late", epochs=1)
        began = time.monotonic()
        name, data = next(events)
        assert (name, data["runs"][0]["key"]) == ("runs", "late")
        assert time.monotonic() - began < 1.0


def test_the_stream_follows_the_journals_of_a_run(tmp_path):
    runs.train(tmp_path / "book")
    path = tmp_path / "book" / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    with Live(tmp_path) as live, streaming(live.url, "/api/stream?run=book") as events:
        first = {}
        while len(first) < 4:
            name, data = next(events)
            first.setdefault(name, data)
        assert first["records"]["fresh"]
        assert len(first["records"]["records"]) == len(lines)
        assert first["samples"]["samples"][0]["update"] == 0

        def after(change):
            began = time.monotonic()
            change()
            data = next(data for name, data in events if name == "records")
            assert time.monotonic() - began < 1.0
            return data["fresh"], [record["update"] for record in data["records"]]

        more = json.loads(lines[-1]) | {"update": 9_999}
        assert after(lambda: append(path, json.dumps(more).encode() + b"\n")) == (False, [9_999])
        # As resuming does: the journal is cut back, and those of before count no more.
        assert after(lambda: path.write_bytes(b"".join(lines[:2]))) == (
            True,
            [json.loads(line)["update"] for line in lines[:2]],
        )


def append(path, data):
    """Add bytes to a file."""
    with path.open("ab") as file:
        file.write(data)


# States


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path):
    runs.train(tmp_path / "book", halt=runs.after(3))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    status = json.loads((tmp_path / "book" / "status.json").read_text())
    status |= {"pid": gone.pid, "state": "training", "heartbeat": time.time() - 60}
    (tmp_path / "book" / "status.json").write_text(json.dumps(status))
    old = time.time() - 100
    os.utime(tmp_path / "book" / "config.json", (old, old))
    events = (tmp_path / "book" / "events.jsonl").read_text().replace('"time":', '"time":0.5,"t":')
    (tmp_path / "book" / "events.jsonl").write_text(events)
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        (run,) = client.get("/api/runs").json()["runs"]
        assert (run["state"], run["here"], run["resumable"]) == ("interrupted", False, True)
        assert "its process ended" in run["reason"]
        # The same with a process that lives counts as training.
        status["pid"] = os.getpid()
        (tmp_path / "book" / "status.json").write_text(json.dumps(status))
        time.sleep(0.5)
        assert client.get("/api/runs").json()["runs"][0]["state"] == "training"


@pytest.mark.parametrize(
    ("begun", "update", "known"), [(0, 1, False), (0, 7, True), (40, 40, False), (40, 49, True)]
)
def test_a_speed_is_told_once_this_training_has_one(tmp_path, begun, update, known):
    """The record of the first update has the engine's first call in it, one of before a resumption the
    speed of another time, perhaps of another machine."""
    writer, _, _ = runs.create(tmp_path / "book")
    with writer, TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        writer.tell("resumed" if begun else "started", begun)
        writer.flush()
        record = Record(update, 0.5, 10 * update, 1.0, 10.0, 10.0, 1.0, 0.1, 1.0, 20.0)
        append(tmp_path / "book" / "metrics.jsonl", record.to_line() + b"\n")
        write_status(tmp_path / "book", "training", update, 100, None)
        told = client.get("/api/runs").json()["runs"][0]
    assert told["state"] == "training"
    assert told["characters_per_second"] == (20.0 if known else None)
    assert told["seconds_left"] == ((100 - update) * 10 / 20 if known else None)


def test_control_reaches_the_process_that_trains(tmp_path):
    writer, _, _ = runs.create(tmp_path / "book")
    with writer, TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        write_status(tmp_path / "book", "training", 0, 10, None)
        sent = client.post(
            "/api/runs/book/control", json={"command": "pause", "learning_rate_factor": 0.5}
        )
        assert sent.json() == {"sequence": 1, "command": "pause", "learning_rate_factor": 0.5}
        assert read_control(tmp_path / "book").command == "pause"
        for wrong in (
            {"command": "burn"},
            {"learning_rate_factor": 0},
            {"learning_rate_factor": -1},
            {"learning_rate_factor": 1e9},
            {"learning_rate_factor": "2"},
            {"command": "run", "more": 1},
        ):
            assert client.post("/api/runs/book/control", json=wrong).status_code == 422
    assert read_control(tmp_path / "book").sequence == 1


def test_nothing_is_sent_to_a_run_that_nothing_trains(client):
    answer = client.post("/api/runs/book/control", json={"command": "pause"})
    assert answer.status_code == 422
    assert "no process trains" in answer.json()["error"]["message"]


# Starting


@pytest.fixture
def folder_of_trainings(tmp_path):
    """A folder for runs; what still trains in it at the end is ended."""
    yield tmp_path / "runs"
    for job in training_jobs.Jobs(tmp_path / "runs").all().values():
        if job.alive:
            os.kill(job.pid, signal.SIGKILL)


def test_a_training_is_started_steered_survives_the_server_and_is_found_again(folder_of_trainings):
    folder = folder_of_trainings
    with Live(folder) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        nothing = {"runs": [], "total": 0, "next": None, "unread": 0}
        assert client.get("/api/runs").json() == nothing
        kept = client.post("/api/texts", json={"name": "My Cat!.txt", "text": TEXT})
        assert kept.status_code == 201
        assert kept.json()["name"] == "My-Cat"
        started = client.post("/api/runs", json={"text": kept.json()["key"], **SLOWLY})
        assert (started.status_code, started.json()) == (202, {"run": "My-Cat-1"})
        assert client.get("/api/runs/My-Cat-1").json()["run"]["state"] in ("starting", "training")
        with streaming(live.url, "/api/stream?run=My-Cat-1") as events:  # from before it is there
            until(lambda: next(events)[1].get("records"), 60)
        run = until(lambda: state_of(client, "My-Cat-1", "training"), 60)
        assert run["here"]
        sent = {"command": "pause", "learning_rate_factor": 0.25}
        assert client.post("/api/runs/My-Cat-1/control", json=sent).status_code == 200
        paused = until(lambda: state_of(client, "My-Cat-1", "paused"), 20)
        assert paused["learning_rate_factor"] == 0.25
    # The server is gone, the training is not; another server finds it.
    (job,) = training_jobs.Jobs(folder).all().values()
    assert job.alive
    with Live(folder) as live, httpx.Client(base_url=live.url, timeout=20) as client:
        assert client.get("/api/runs/My-Cat-1").json()["run"]["state"] == "paused"
        client.post("/api/runs/My-Cat-1/control", json={"command": "run"})
        until(lambda: state_of(client, "My-Cat-1", "training"), 20)
        client.post("/api/runs/My-Cat-1/control", json={"command": "stop"})
        stopped = until(lambda: state_of(client, "My-Cat-1", "stopped"), 20)
        assert stopped["resumable"]
        until(lambda: not job.alive, 10)
        # And it goes on where it was, to an end that is near.
        wanted = {"updates": stopped["update"] + 50}
        assert client.post("/api/runs/My-Cat-1/resume", json=wanted).status_code == 202
        done = until(lambda: state_of(client, "My-Cat-1", "finished"), 60)
        assert done["update"] == wanted["updates"]
        nothing = client.post("/api/runs/My-Cat-1/resume", json={})
        assert nothing.status_code == 422
        assert "is finished" in nothing.json()["error"]["message"]


def state_of(client, key, state):
    """A run, if it is in a state."""
    run = client.get(f"/api/runs/{key}").json()["run"]
    assert run["state"] == state or run["state"] != "failed", run
    return run if run["state"] == state else None


def test_a_training_that_fails_at_once_says_why(tmp_path):
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        key = client.post("/api/texts", json={"name": "short", "text": "abcabc"}).json()["key"]
        client.post("/api/runs", json={"text": key, "recipe": "classic", "name": "tiny"})
        run = until(
            lambda: next(
                (r for r in client.get("/api/runs").json()["runs"] if r["state"] == "failed"), None
            ),
            60,
        )
        assert run["key"] == "tiny"
        assert "6 characters" in run["reason"] or "too short" in run["reason"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"text": "own.nothing"}, "there is no text"),
        ({"text": "../../etc/passwd"}, "text"),
        ({"recipe": "grand"}, "there is no recipe"),
        ({"settings": {"epochs": 1, "minutes": 1}}, "each set the end of training"),
        ({"settings": {"hidden_size": 10**6}}, "settings.hidden_size"),
        ({"settings": {"hidden_size": "8"}}, "settings.hidden_size"),
        ({"settings": {"learning_rate": 0}}, "settings.learning_rate"),
        ({"settings": {"engine": "native"}}, "settings.engine"),
        ({"name": "../elsewhere"}, "name"),
        ({"name": "book"}, "exists already"),
        ({"name": "-" * 61}, "name"),
    ],
)
def test_a_training_that_makes_no_sense_is_not_started(client, folder, change, named):
    before = sorted(path.name for path in folder.iterdir())
    answer = client.post("/api/runs", json={"text": "builtin.python-docs", **change})
    assert 400 <= answer.status_code < 500
    error = answer.json()["error"]
    assert named in error["message"] or named == error["param"]
    assert sorted(path.name for path in folder.iterdir()) == before


def test_only_so_many_trainings_are_started_here(tmp_path, monkeypatch):
    monkeypatch.setattr(start_routes, "MOST_AT_ONCE", 0)
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        answer = client.post("/api/runs", json={"text": "builtin.python-docs"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
        assert not (tmp_path / ".jobs").exists()


class Spawned:
    """Processes that stand for trainings."""

    def __init__(self, command):
        self.command, self.children, self.asked = command, [], []

    def __call__(self, command, said):
        child = subprocess.Popen(self.command, stdout=said, stderr=said)
        self.asked.append(command)
        self.children.append(child)
        return child


@pytest.fixture
def spawned(monkeypatch):
    """What is started instead of trainings: processes that do nothing, or what a test sets."""
    spawned = Spawned(["sleep", "60"])
    monkeypatch.setattr(training_jobs, "spawn", spawned)
    yield spawned
    for child in spawned.children:
        child.kill()
        child.wait()


PYTHON_DOCS = {"text": "builtin.python-docs"}


def at_once(count, call):
    """The statuses of so many calls at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return collections.Counter(answer.status_code for answer in pool.map(call, range(count)))


def test_however_they_come_four_trainings_are_started_and_no_more(tmp_path, spawned):
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:

        def start(_):
            return client.post("/api/runs", json=PYTHON_DOCS)

        assert at_once(8, start) == {202: 4, 429: 4}
        assert collections.Counter(start(n).status_code for n in range(5)) == {429: 5}
        assert len(spawned.children) == 4
        assert len(client.get("/api/runs").json()["runs"]) == 4
        spawned.children[0].kill()
        until(lambda: start(0).status_code == 202)


def test_of_those_who_want_a_name_at_once_one_gets_it(tmp_path, spawned):
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        named = {**PYTHON_DOCS, "name": "mine"}
        assert at_once(4, lambda _: client.post("/api/runs", json=named)) == {202: 1, 409: 3}
    # Another server of the same folder knows nothing of it.
    both = [training_jobs.Jobs(tmp_path), training_jobs.Jobs(tmp_path)]

    def start(n):
        try:
            return both[n % 2].start("ours", [], "text", "quick").pid
        except RunExistsError:
            return None

    with ThreadPoolExecutor(4) as pool:
        assert sum(pid is not None for pid in pool.map(start, range(4))) == 1
    assert len(spawned.children) == 2


def test_a_name_that_was_claimed_and_never_used_is_free_after_a_while(tmp_path, spawned):
    (tmp_path / ".jobs").mkdir()
    claim = tmp_path / ".jobs" / "mine.json"
    claim.touch()
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        named = {**PYTHON_DOCS, "name": "mine"}
        assert client.post("/api/runs", json=named).status_code == 409
        os.utime(claim, (1, 1))
        assert client.post("/api/runs", json=named).status_code == 202


def test_a_run_goes_on_once_however_many_ask(tmp_path, spawned):
    runs.train(tmp_path / "book", halt=runs.after(3))
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:

        def resume(_):
            return client.post("/api/runs/book/resume", json={})

        found = at_once(4, resume)
        assert found[202] == 1
        assert found[422] + found[409] == 3
        assert len(spawned.children) == 1
        spawned.children[0].kill()
        until(lambda: client.get("/api/runs").json()["runs"][0]["resumable"])
        # Somebody's lock counts, whatever the status says.
        writer, _, _ = RunWriter.resume(tmp_path / "book")
        with writer:
            answer = resume(0)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_use")
        assert resume(0).status_code == 202


def test_a_run_that_was_removed_leaves_no_ghost(tmp_path, spawned):
    spawned.command = ["sh", "-c", "echo to write a report: charloom report tmp1; exec sleep 60"]
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        named = {**PYTHON_DOCS, "name": "tmp1"}
        assert client.post("/api/runs", json=named).status_code == 202
        runs.train(tmp_path / "tmp1", epochs=1)
        spawned.children[0].kill()
        until(lambda: client.get("/api/runs").json()["runs"][0]["state"] == "finished")
        shutil.rmtree(tmp_path / "tmp1")
        until(lambda: client.get("/api/runs").json()["runs"] == [])
        assert client.post("/api/runs", json=named).status_code == 202


def test_the_last_words_of_a_process_that_did_its_work_are_no_reason(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("to write a report: charloom report x")
    job = training_jobs.Job("x", 2**31, time.time(), "cat", None, log, code=0)
    assert job.state("stopped", "SIGTERM", {}) == ("stopped", "SIGTERM")
    assert replace(job, code=1).state("stopped", "SIGTERM", {}) == ("failed", log.read_text())


def test_a_start_that_came_to_nothing_can_be_taken_off_the_list(tmp_path, spawned):
    runs.train(tmp_path / "book", epochs=1)
    spawned.command = ["sh", "-c", "echo charloom: the disk is full; exit 2"]
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        named = {**PYTHON_DOCS, "name": "mine"}
        assert client.post("/api/runs", json=named).status_code == 202

        def listed():
            return {run["key"]: run for run in client.get("/api/runs").json()["runs"]}

        until(lambda: listed()["mine"]["state"] == "failed")
        assert listed()["mine"]["reason"] == "the disk is full"
        assert {key: run["dismissible"] for key, run in listed().items()} == {
            "book": False, "mine": True,
        }  # fmt: skip
        assert client.post("/api/runs/mine/dismiss", json={"x": 1}).status_code == 422
        assert client.post("/api/runs/book/dismiss", json={}).status_code == 422
        assert client.post("/api/runs/mine/dismiss", json={}).json() == {"run": "mine"}
        assert list(listed()) == ["book"]
        assert client.post("/api/runs/mine/dismiss", json={}).status_code == 404
        assert list((tmp_path / ".jobs").iterdir()) == []


def test_a_run_is_not_trained_further_to_where_it_is(tmp_path, spawned):
    runs.train(tmp_path / "book", epochs=1)
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        update = client.get("/api/runs/book").json()["run"]["update"]
        answer = client.post("/api/runs/book/resume", json={"updates": update})
        assert answer.status_code == 422
        assert f"has {update:,} updates already" in answer.json()["error"]["message"]
        both = client.post("/api/runs/book/resume", json={"updates": update + 1, "minutes": 1})
        assert both.status_code == 422
        assert both.json()["error"]["message"].startswith(
            "updates and minutes each set the end of training"
        )
        assert client.post("/api/runs/book/resume", json={"updates": update + 1}).status_code == 202


def test_a_run_is_trained_further_for_so_many_minutes(tmp_path, spawned):
    runs.train(tmp_path / "book", epochs=1)
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        assert client.post("/api/runs/book/resume", json={"minutes": 0.5}).status_code == 202
    (command,) = spawned.asked
    assert command[-2:] == ["--minutes", "0.5"]


@pytest.mark.parametrize("name", ["book-", "-book", "a..b", "texts", "Texts", "_..", "a."])
def test_a_name_is_one_under_which_the_list_shows_the_run(tmp_path, spawned, name):
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        answer = client.post("/api/runs", json={**PYTHON_DOCS, "name": name})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "name")
    assert spawned.children == []


def test_no_file_of_a_stranger_is_a_mistake_of_the_server(tmp_path, spawned):
    runs.train(tmp_path / "book", epochs=1)
    runs.train(tmp_path / "a..b", epochs=1)
    status = json.loads((tmp_path / "book" / "status.json").read_text())
    told = json.dumps(status | {"heartbeat": 0}).replace(": 0}", ": 1e400}")
    (tmp_path / "book" / "status.json").write_text(told)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "gone.txt").symlink_to(tmp_path / "nowhere")
    (tmp_path / "texts" / "my book.txt").write_text(TEXT)
    (tmp_path / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    with contextlib.suppress(OSError):  # not every disk takes such names
        shutil.copytree(tmp_path / "book", tmp_path / os.fsdecode(b"\xff\xfe"))
        (tmp_path / "texts" / os.fsdecode(b"\xff.txt")).write_text(TEXT)
    (tmp_path / ".jobs").mkdir()
    odd = {"pid": 1e400, "time": "x", "text": 5, "recipe": [], "log": None}
    (tmp_path / ".jobs" / "odd.json").write_text(json.dumps(odd))
    with TestClient(make_app(house(tmp_path)), base_url=HERE) as client:
        for path in ("/api/runs", "/api/models", "/v1/models", "/api/texts"):
            assert client.get(path).status_code == 200, path
        for run in client.get("/api/runs").json()["runs"]:
            assert client.get(f"/api/runs/{run['key']}").json()["run"]["state"] == "finished"
        asked = {"model": "gone.safetensors"}
        assert client.post("/api/generate", json=asked).status_code == 404
        keys = {text["name"]: text["key"] for text in client.get("/api/texts").json()["texts"]}
        assert "gone" not in keys
        assert client.post("/api/texts", json={"name": "x", "text": "more"}).status_code == 201
        for name in set(keys) - set(BUILTIN_TEXTS):
            started = client.post("/api/runs", json={"text": keys[name]})
            assert started.status_code == 202, name


def test_jobs_that_end_while_many_ask_are_a_mistake_of_nobody(tmp_path, spawned):
    spawned.command = ["true"]
    many = training_jobs.Jobs(tmp_path)
    with ThreadPoolExecutor(5) as pool:
        starting = pool.submit(lambda: [many.start(f"x{n}", [], None, "a") for n in range(40)])
        asking = [pool.submit(lambda: [many.all() for _ in range(40)]) for _ in range(4)]
        for done in (starting, *asking):
            done.result(30)
    until(lambda: all(job.code == 0 for job in many.all().values()))


def test_a_process_of_the_same_number_is_not_taken_for_ours(tmp_path):
    job = training_jobs.Job("x", os.getpid(), time.time(), None, None, tmp_path / "x.log")
    birth = training_jobs.birth_of(os.getpid())
    assert job.alive
    assert replace(job, birth=birth).alive
    if birth is not None:
        assert not replace(job, birth=birth - 1).alive
    assert not replace(job, time=time.time() - 2 * training_jobs.LOST_SECONDS).alive


def test_a_mistake_of_the_server_has_the_shape_of_a_refusal(tmp_path, monkeypatch):
    def broken(self):
        raise ZeroDivisionError("planted")

    monkeypatch.setattr(playground_routes, "models_in", broken)
    app = make_app(house(tmp_path))
    with TestClient(app, base_url=HERE, raise_server_exceptions=False) as client:
        answer = client.get("/api/models")
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    assert "planted" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_runs_that_nothing_trains_are_read_once(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        runs.train(tmp_path / name, epochs=1)
    read = []
    real = run_index.read_status
    monkeypatch.setattr(run_index, "read_status", lambda path: read.append(path.name) or real(path))
    looked = run_index.Shelf(tmp_path, training_jobs.Jobs(tmp_path))
    first = looked.look(anew=True).runs
    assert sorted(read) == ["a", "b", "c"]
    read.clear()
    assert looked.look(anew=True).runs == first
    assert read == []
    for name, file in (("a", "status.json"), ("b", "metrics.jsonl"), ("c", "checkpoints/latest")):
        append(tmp_path / name / file, b"")
        os.utime(tmp_path / name / file)
        looked.look(anew=True)
        assert read == [name]
        read.clear()
    # What is trained is read each time, for its state depends on more than files.
    write_status(tmp_path / "a", "training", 0, 10, None)
    for _ in range(2):
        looked.look(anew=True)
    assert read == ["a", "a"]


def test_a_long_journal_is_read_to_its_end_before_it_counts_as_read(tmp_path, monkeypatch):
    runs.train(tmp_path / "book", epochs=1)
    monkeypatch.setattr(journal_follower, "MOST_BYTES", 1_500)
    looked = run_index.Shelf(tmp_path, training_jobs.Jobs(tmp_path))
    last = runs.lines_of(tmp_path / "book" / "metrics.jsonl")[-1]
    until(lambda: looked.look(anew=True).runs[0].seconds == last["seconds"])


def test_the_models_are_those_that_are_there_now(tmp_path):
    looked = run_index.Shelf(tmp_path, training_jobs.Jobs(tmp_path))
    assert models_in(looked.look()) == []
    (tmp_path / "own.safetensors").write_bytes(b"")
    found = models_in(looked.look(anew=True))
    assert [model.name for model in found] == ["own.safetensors"]


def test_a_model_that_is_known_waits_for_no_look(tmp_path):
    runs.train(tmp_path / "book", epochs=1)
    looked = run_index.Shelf(tmp_path, training_jobs.Jobs(tmp_path))
    looked.runs()
    with looked._looking, ThreadPoolExecutor(1) as pool:
        place, which = pool.submit(looked.model, "book@best").result(5)
    assert (place.key, which) == ("book", "best")


def test_texts_are_those_that_are_built_in_brought_or_read_by_a_run(tmp_path):
    book = tmp_path / "cat.txt"
    book.write_text(runs.TEXT)
    runs.train(tmp_path / "runs" / "of-a-file", runs.Corpus.open([book]), epochs=1)
    runs.train(tmp_path / "runs" / "of-none", epochs=1)
    with TestClient(make_app(house(tmp_path / "runs")), base_url=HERE) as client:
        client.post("/api/texts", json={"name": "mine.txt", "text": "abcabc"})
        again = client.post("/api/texts", json={"name": "mine.txt", "text": "abcabc"})
        texts = {text["key"]: text for text in client.get("/api/texts").json()["texts"]}
        assert again.json() == texts[again.json()["key"]]
        assert {"builtin.python-docs", "of.of-a-file", "of.of-none"} <= set(texts)
        assert texts["of.of-a-file"]["bytes"] == len(runs.TEXT)
        assert sum(text["kind"] == "uploaded" for text in texts.values()) == 1
        assert not any(str(tmp_path) in json.dumps(text) for text in texts.values())


def test_a_zombie_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not training_jobs.is_alive(child.pid)
    child.wait()
    assert not training_jobs.is_alive(child.pid)
    assert training_jobs.is_alive(os.getpid())
    assert not training_jobs.is_alive("1")
    assert not training_jobs.is_alive(-1)


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


def test_a_port_that_is_taken_is_a_sentence(tmp_path):
    with Live(tmp_path) as live:
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
