"""The server knows the state and speed of each run, and sends it commands."""

import json
import math
import os
import re
import subprocess
import sys
import time
from dataclasses import replace

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

import small_runs
from charloom import live_processes
from charloom.store import load_model, read_control
from charloom.store.control_files import write_status
from charloom.training import Record
from charloom.web import training_jobs
from charloom.web.server import make_app
from waiting import until
from web_run_files import append
from web_servers import HERE, app_state

# States


def test_a_run_whose_process_is_gone_is_interrupted(tmp_path):
    small_runs.train(tmp_path / "book", halt=small_runs.after(3))
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    status = json.loads((tmp_path / "book" / "status.json").read_text())
    status |= {"pid": gone.pid, "state": "training", "heartbeat": time.time() - 60}
    (tmp_path / "book" / "status.json").write_text(json.dumps(status))
    old = time.time() - 100
    os.utime(tmp_path / "book" / "config.json", (old, old))
    events = (tmp_path / "book" / "events.jsonl").read_text().replace('"time":', '"time":0.5,"t":')
    (tmp_path / "book" / "events.jsonl").write_text(events)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        (run,) = client.get("/api/runs").json()["runs"]
        assert (run["state"], run["here"], run["resumable"]) == ("interrupted", False, True)
        assert "its process ended" in run["reason"]
        # The same with a process that lives counts as training.
        status["pid"] = os.getpid()
        (tmp_path / "book" / "status.json").write_text(json.dumps(status))
        until(lambda: client.get("/api/runs").json()["runs"][0]["state"] == "training")


@pytest.mark.parametrize(
    ("begun", "update", "known"), [(0, 1, False), (0, 7, True), (40, 40, False), (40, 49, True)]
)
def test_the_speed_is_unknown_until_the_current_session_has_one(tmp_path, begun, update, known):
    """The first record includes the first engine call.

    A record before a resumption has the speed of another time and perhaps of another machine.
    """
    writer, _, _ = small_runs.create(tmp_path / "book")
    with writer, TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        writer.add_event("resumed" if begun else "started", begun)
        writer.flush()
        record = Record(update, 0.5, 10 * update, 1.0, 10.0, 10.0, 1.0, 0.1, 1.0, 20.0)
        append(tmp_path / "book" / "metrics.jsonl", record.to_line() + b"\n")
        write_status(tmp_path / "book" / "status.json", "training", update, 100, None)
        listed = client.get("/api/runs").json()["runs"][0]
    assert listed["state"] == "training"
    assert listed["characters_per_second"] == (20.0 if known else None)
    assert listed["seconds_left"] == ((100 - update) * 10 / 20 if known else None)


def test_a_run_says_why_its_end_moved_while_a_process_trains_it(tmp_path):
    writer, learner, _ = small_runs.create(tmp_path / "book", updates=100)
    with writer, TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:

        def shows(end_change, updates, state="training"):
            write_status(tmp_path / "book" / "status.json", state, 5, updates, None)

            def is_shown():
                run = client.get("/api/runs/book").json()["run"]
                return (run["end_change"], run["updates"], run["state"]) == (
                    end_change,
                    updates,
                    state,
                )

            until(is_shown)

        writer.add_event("started", 0)
        shows(None, 100)
        learner.config = learner.config.replace(updates=80)
        writer.change_end(learner, "training is slower than planned")
        shows("Training is slower than planned.", 80)
        shows(None, 80, "finished")
        writer.add_event("resumed", 5)
        shows(None, 80)
        writer.add_event("end_changed", 5, reason=None)
        shows(None, 80)


def test_a_run_past_its_last_record_has_the_figures_of_its_update(tmp_path):
    small_runs.train(tmp_path / "book", halt=small_runs.after(3), report_every=1_000)
    factor = {
        "event": "learning_rate_factor",
        "learning_rate_factor": 0.5,
        "time": 1.0,
        "update": 1,
    }
    append(tmp_path / "book" / "events.jsonl", json.dumps(factor).encode() + b"\n")
    learner = load_model(tmp_path / "book", "latest")
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        run = client.get("/api/runs").json()["runs"][0]
        record = client.get("/api/runs/book/records").json()["records"][-1]
    assert record["update"] < run["update"] == learner.update
    assert record["smooth_loss"] != run["smooth_loss"] == learner.smooth_loss
    assert run["bits"] == run["train_bits"] == pytest.approx(record["train_nats"] / math.log(2))
    assert run["learning_rate"] == pytest.approx(0.5 * record["learning_rate"])
    assert run["epoch"] == pytest.approx(record["epoch"] * run["update"] / record["update"])


def test_the_figures_of_a_finished_run_are_not_those_of_a_short_last_record(tmp_path):
    small_runs.train(tmp_path / "book")
    records = [
        Record(update, 0.5, 10 * update, seconds, 10.0, 12.0, nats, 0.1, 1.0, speed)
        for update, seconds, nats, speed in ((80, 8.0, 1.0, 100.0), (90, 10.0, 4.0, 9_999.0))
    ]
    metrics = tmp_path / "book" / "metrics.jsonl"
    metrics.write_bytes(b"".join(record.to_line() + b"\n" for record in records))
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        run = client.get("/api/runs").json()["runs"][0]
    assert run["bits"] == run["train_bits"]
    assert run["bits"] == pytest.approx((80 * 1.0 + 10 * 4.0) / 90 / math.log(2))
    assert run["characters_per_second"] == pytest.approx(900 / 10)


def test_the_list_names_the_damage_of_a_run_beside_its_reason(tmp_path):
    small_runs.train(tmp_path / "book", halt=small_runs.after(3))
    append(tmp_path / "book" / "metrics.jsonl", b"{\n")
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        run = client.get("/api/runs").json()["runs"][0]
    assert run["reason"] == "SIGINT"
    assert re.search(r"metrics\.jsonl is damaged: .* left out", run["damage"])


def test_control_reaches_the_process_that_trains(tmp_path):
    writer, _, _ = small_runs.create(tmp_path / "book")
    with writer, TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        write_status(tmp_path / "book" / "status.json", "training", 0, 10, None)
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


def test_no_command_is_sent_to_a_run_that_no_process_trains(client):
    answer = client.post("/api/runs/book/control", json={"command": "pause"})
    assert answer.status_code == 422
    assert "no process trains" in answer.json()["error"]["message"]


# Starting


def test_another_process_with_the_same_id_is_not_taken_for_the_training_process(tmp_path):
    job = training_jobs.Job("x", os.getpid(), time.time(), None, None, tmp_path / "x.log")
    birth = live_processes.process_start_time(os.getpid())
    assert job.alive
    assert replace(job, birth=birth).alive
    if birth is not None:
        assert not replace(job, birth=birth - 1).alive
    assert not replace(job, time=time.time() - 2 * training_jobs.LOST_SECONDS).alive


def test_a_zombie_is_not_alive():
    child = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not live_processes.is_alive(child.pid)
    child.wait()
    assert not live_processes.is_alive(child.pid)
    assert live_processes.is_alive(os.getpid())
    assert not live_processes.is_alive("1")
    assert not live_processes.is_alive(-1)
