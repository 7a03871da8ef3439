"""The server starts training runs, at most four at once and one for each name."""

import collections
import contextlib
import json
import math
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx
import typer
from starlette.testclient import TestClient

import small_runs
from charloom.cli import app
from charloom.errors import RunExistsError
from charloom.store.control_files import read_control
from charloom.store.run_lock import acquire
from charloom.text import BUILTIN_TEXTS
from charloom.web import indexed_run, start_routes, training_jobs
from charloom.web.schemas import Settings
from charloom.web.server import make_app
from reliability.run_training import reopen
from waiting import until
from web_servers import HERE, LiveServer, app_state, streaming

TEXT = 30 * small_runs.TEXT
# Long enough to be steered, and over by itself where a test that fails leaves it behind.
SLOWLY = {"recipe": "classic", "settings": {"hidden_size": 16, "updates": 5_000_000}}


@pytest.fixture
def folder_of_trainings(tmp_path):
    """Yield a folder for runs. Kill the training processes that are left at the end."""
    yield tmp_path / "runs"
    for job in training_jobs.Jobs(tmp_path / "runs").all().values():
        if job.alive:
            os.kill(job.pid, signal.SIGKILL)


def test_a_training_run_survives_the_server_and_is_found_again(folder_of_trainings):
    folder = folder_of_trainings
    with LiveServer(folder) as live, httpx.Client(base_url=live.url, timeout=20) as client:
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
    with LiveServer(folder) as live, httpx.Client(base_url=live.url, timeout=20) as client:
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
    """Return a run if it is in `state`; None otherwise. Assert that it has not failed."""
    run = client.get(f"/api/runs/{key}").json()["run"]
    assert run["state"] == state or run["state"] != "failed", run
    return run if run["state"] == state else None


def test_a_training_run_that_fails_immediately_gives_its_error(tmp_path):
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
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
        ({"settings": {"patience": -1}}, "settings.patience"),
        (
            {"settings": {"patience": 2, "judge_every": 5, "validation": 0.0}},
            "“patience” is 2, but there is no validation",
        ),
        ({"settings": {"engine": "native"}}, "settings.engine"),
        ({"settings": {"averaging": 1.5}}, "settings.averaging"),
        ({"settings": {"weight_decay_on": "biases"}}, "settings.weight_decay_on"),
        ({"settings": {"find_learning_rate": "yes"}}, "settings.find_learning_rate"),
        (
            {"settings": {"find_learning_rate": True, "learning_rate": 0.1}},
            "“find learning rate” and “learning rate” both set the learning rate; give only one of them.",
        ),
        ({"name": "../elsewhere"}, "name"),
        ({"name": "book"}, "exists already"),
        ({"name": "-" * 61}, "name"),
    ],
)
def test_an_invalid_training_run_is_not_started(client, folder, change, named):
    before = sorted(path.name for path in folder.iterdir())
    answer = client.post("/api/runs", json={"text": "builtin.python-docs", **change})
    assert 400 <= answer.status_code < 500
    error = answer.json()["error"]
    assert named in error["message"] or named == error["param"]
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_number_of_training_runs_is_limited(tmp_path, monkeypatch):
    monkeypatch.setattr(start_routes, "MOST_AT_ONCE", 0)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        answer = client.post("/api/runs", json={"text": "builtin.python-docs"})
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "30")
        assert not (tmp_path / ".jobs").exists()


class Spawned:
    """Starts processes that stand for training runs."""

    def __init__(self, command):
        self.command, self.children, self.commands = command, [], []

    def __call__(self, command, output):
        child = subprocess.Popen(self.command, stdout=output, stderr=output)
        self.commands.append(command)
        self.children.append(child)
        return child


@pytest.fixture
def spawned(monkeypatch):
    """Replace training processes by processes that do nothing or that a test chooses."""
    spawned = Spawned(["sleep", "60"])
    monkeypatch.setattr(training_jobs, "spawn", spawned)
    yield spawned
    for child in spawned.children:
        child.kill()
        child.wait()


PYTHON_DOCS = {"text": "builtin.python-docs"}


def at_once(count, call):
    """Return the statuses of `count` calls at the same time."""
    with ThreadPoolExecutor(count) as pool:
        return collections.Counter(answer.status_code for answer in pool.map(call, range(count)))


def test_simultaneous_requests_start_at_most_four_training_runs(tmp_path, spawned):
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:

        def start(_):
            return client.post("/api/runs", json=PYTHON_DOCS)

        assert at_once(8, start) == {202: 4, 429: 4}
        assert collections.Counter(start(n).status_code for n in range(5)) == {429: 5}
        assert len(spawned.children) == 4
        assert len(client.get("/api/runs").json()["runs"]) == 4
        spawned.children[0].kill()
        until(lambda: start(0).status_code == 202)


def test_only_one_of_simultaneous_requests_gets_a_name(tmp_path, spawned):
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
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
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        named = {**PYTHON_DOCS, "name": "mine"}
        assert client.post("/api/runs", json=named).status_code == 409
        os.utime(claim, (1, 1))
        assert client.post("/api/runs", json=named).status_code == 202


def test_simultaneous_requests_resume_a_run_once(tmp_path, spawned):
    small_runs.train(tmp_path / "book", halt=small_runs.after(3))
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:

        def resume(_):
            return client.post("/api/runs/book/resume", json={})

        found = at_once(4, resume)
        assert found[202] == 1
        assert found[422] + found[409] == 3
        assert len(spawned.children) == 1
        spawned.children[0].kill()
        until(lambda: client.get("/api/runs").json()["runs"][0]["resumable"])
        # Somebody's lock counts, whatever the status says.
        writer, _, _ = reopen(tmp_path / "book")
        with writer:
            answer = resume(0)
            assert (answer.status_code, answer.json()["error"]["code"]) == (409, "in_use")
        assert resume(0).status_code == 202


def test_a_removed_run_disappears_from_the_list(tmp_path, spawned):
    spawned.command = ["sh", "-c", "echo to write a report: charloom report tmp1; exec sleep 60"]
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        named = {**PYTHON_DOCS, "name": "tmp1"}
        assert client.post("/api/runs", json=named).status_code == 202
        small_runs.train(tmp_path / "tmp1", epochs=1)
        spawned.children[0].kill()
        until(lambda: client.get("/api/runs").json()["runs"][0]["state"] == "finished")
        shutil.rmtree(tmp_path / "tmp1")
        until(lambda: client.get("/api/runs").json()["runs"] == [])
        assert client.post("/api/runs", json=named).status_code == 202


def test_the_last_output_of_a_successful_process_is_not_an_error(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("to write a report: charloom report x")
    job = training_jobs.Job("x", 2**31, time.time(), "cat", None, log, code=0)
    assert job.state("stopped", "SIGTERM", None) == ("stopped", "SIGTERM")
    assert replace(job, code=1).state("stopped", "SIGTERM", None) == ("failed", log.read_text())


def test_a_failed_start_can_be_removed_from_the_list(tmp_path, spawned):
    small_runs.train(tmp_path / "book", epochs=1)
    spawned.command = ["sh", "-c", "echo charloom: the disk is full; exit 2"]
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
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


def test_a_start_can_be_stopped_and_removed_from_the_list(tmp_path, spawned):
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        named = {**PYTHON_DOCS, "name": "mine", "settings": {"find_learning_rate": True}}
        assert client.post("/api/runs", json=named).status_code == 202
        detail = client.get("/api/runs/mine").json()
        assert detail["run"]["state"] == "starting"
        assert detail["request"]["settings"]["find_learning_rate"] is True
        assert (detail["request"]["text"], detail["request"]["recipe"]) == (named["text"], "quick")
        for command in ({"command": "pause"}, {"learning_rate_factor": 0.5}):
            refused = client.post("/api/runs/mine/control", json=command)
            assert refused.status_code == 422
            assert "is starting; it can only be stopped" in refused.json()["error"]["message"]
        sent = client.post("/api/runs/mine/control", json={"command": "stop"})
        assert sent.json() == {"sequence": 0, "command": "stop", "learning_rate_factor": None}
        assert spawned.children[0].wait(20) == -signal.SIGTERM
        run = until(lambda: state_of(client, "mine", "stopped"), 20)
        assert run["reason"] == "Stopped before training began."
        assert run["dismissible"]
        # Another server of the folder, which does not know the exit code, says the same.
        with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as other:
            assert other.get("/api/runs/mine").json()["run"]["state"] == "stopped"
        again = client.post("/api/runs/mine/control", json={"command": "stop"})
        assert again.status_code == 404
        assert client.post("/api/runs/mine/dismiss", json={}).status_code == 200
        assert client.get("/api/runs").json()["runs"] == []


def test_a_stopped_resumption_leaves_the_run_as_it_was(tmp_path, spawned):
    small_runs.train(tmp_path / "book", halt=small_runs.after(3))
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        before = client.get("/api/runs/book").json()["run"]
        assert client.post("/api/runs/book/resume", json={}).status_code == 202
        assert client.get("/api/runs/book").json()["run"]["state"] == "starting"
        assert client.post("/api/runs/book/control", json={"command": "stop"}).status_code == 200
        spawned.children[0].wait(20)
        run = until(lambda: state_of(client, "book", before["state"]), 20)
        assert (run["reason"], run["resumable"]) == (before["reason"], True)


def test_a_run_that_another_program_starts_gets_the_command_stop(tmp_path, monkeypatch):
    small_runs.train(tmp_path / "book", halt=small_runs.after(3))
    # The process that starts a run has not yet written these files.
    (tmp_path / "book" / "status.json").unlink()
    (tmp_path / "book" / "events.jsonl").unlink()
    monkeypatch.setattr(indexed_run, "YOUNG_SECONDS", math.inf)
    stop = {"command": "stop"}
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        assert client.get("/api/runs/book").json()["run"]["state"] == "starting"
        refused = client.post("/api/runs/book/control", json=stop)
        assert refused.status_code == 422
        assert "its process was killed" in refused.json()["error"]["message"]
        lock = acquire(tmp_path / "book")
        assert client.post("/api/runs/book/control", json=stop).status_code == 200
        lock.release()
    assert read_control(tmp_path / "book").command == "stop"


def test_a_changed_request_of_a_job_is_left_out(tmp_path, spawned):
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        client.post("/api/runs", json={**PYTHON_DOCS, "name": "mine"})
        path = tmp_path / ".jobs" / "mine.json"
        job = json.loads(path.read_text())
        for request in ({"text": 3}, {"nothing": 1}, [1], "x", {"settings": {"layers": "many"}}):
            path.write_text(json.dumps({**job, "request": request}))
            assert client.get("/api/runs/mine").json()["request"] is None


def test_a_run_is_not_resumed_to_its_present_update(tmp_path, spawned):
    small_runs.train(tmp_path / "book", epochs=1)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        update = client.get("/api/runs/book").json()["run"]["update"]
        answer = client.post("/api/runs/book/resume", json={"updates": update})
        assert answer.status_code == 422
        assert f"has {update:,} updates already" in answer.json()["error"]["message"]
        both = client.post("/api/runs/book/resume", json={"updates": update + 1, "minutes": 1})
        assert both.status_code == 422
        assert both.json()["error"]["message"].startswith(
            "“updates” and “minutes” each set the end of training"
        )
        assert client.post("/api/runs/book/resume", json={"updates": update + 1}).status_code == 202


def test_a_run_is_resumed_for_a_number_of_minutes(tmp_path, spawned):
    small_runs.train(tmp_path / "book", epochs=1)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        assert client.post("/api/runs/book/resume", json={"minutes": 0.5}).status_code == 202
    (command,) = spawned.commands
    assert command[-2:] == ["--minutes", "0.5"]


def test_the_settings_of_a_new_run_become_options_of_its_process(tmp_path, spawned):
    settings = {"input_pairs": 2048, "averaging": 0.25, "weight_decay_on": "weights"}
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        for searches in (True, False):
            body = {**PYTHON_DOCS, "settings": {**settings, "find_learning_rate": searches}}
            assert client.post("/api/runs", json=body).status_code == 202
    given = ["--input-pairs", "2048", "--weight-decay-on", "weights", "--averaging", "0.25"]
    options = [command[command.index("quick") + 1 :] for command in spawned.commands]
    assert options == [["--input-pairs", "2048", "--find-learning-rate", *given[2:]], given]


def test_the_schedule_of_a_new_run_becomes_options_of_its_process(tmp_path, spawned):
    settings = {
        "schedule": "step",
        "warmup_epochs": 0.5,
        "step_after_updates": 500,
        "step_factor": 0.5,
    }
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        body = {**PYTHON_DOCS, "settings": settings}
        assert client.post("/api/runs", json=body).status_code == 202
    (command,) = spawned.commands
    assert command[command.index("--schedule") :] == [
        "--schedule", "step", "--warmup-epochs", "0.5", "--step-after-updates", "500", "--step-factor", "0.5",
    ]  # fmt: skip


def test_a_run_that_ends_before_the_first_step_says_so_in_the_list(tmp_path):
    small_runs.train(tmp_path / "late", schedule="step", step_after_updates=900, updates=20)
    small_runs.train(tmp_path / "early", schedule="step", step_after_updates=9, updates=20)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        runs = {run["key"]: run for run in client.get("/api/runs").json()["runs"]}
    assert runs["late"]["schedule_warning"].startswith(
        "The run ends after 20 updates, but the first step"
    )
    assert "“step after updates”" in runs["late"]["schedule_warning"]
    assert runs["early"]["schedule_warning"] is None


def test_the_form_explains_each_setting_in_the_words_of_the_command_line(client):
    words = {
        name: option.help.partition(" [default")[0]
        for option in typer.main.get_command(app).commands["train"].params
        for name in [option.name]
        if getattr(option, "help", None)
    }
    listed = client.get("/api/about").json()["settings"]
    assert {"input_pairs", "averaging", "find_learning_rate", "minutes"} <= {
        s["name"] for s in listed
    }
    for setting in listed:
        if (
            setting["name"] != "minutes"
        ):  # its help names options, which the page calls by its fields
            assert setting["help"] == words[setting["name"]]
    helps = {setting["name"]: setting["help"] for setting in listed}
    assert words["minutes"].endswith("instead of --epochs or --updates")
    assert helps["minutes"].endswith("instead of “epochs” or “updates”")


def test_the_server_accepts_every_choice_of_the_form(client):
    settings = client.get("/api/about").json()["settings"]
    chosen = [
        (s["name"], choice) for s in settings if s["kind"] == "choice" for choice in s["choices"]
    ]
    assert ("weight_decay_on", "weights") in chosen
    for name, choice in chosen:
        assert Settings(**{name: choice}).model_dump(exclude_none=True) == {name: choice}


@pytest.mark.parametrize("name", ["book-", "-book", "a..b", "texts", "Texts", "_..", "a."])
def test_a_name_that_the_list_could_not_show_is_refused(tmp_path, spawned, name):
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        answer = client.post("/api/runs", json={**PYTHON_DOCS, "name": name})
        assert (answer.status_code, answer.json()["error"]["param"]) == (422, "name")
    assert spawned.children == []


def test_no_untrusted_file_causes_a_server_error(tmp_path, spawned):
    small_runs.train(tmp_path / "book", epochs=1)
    small_runs.train(tmp_path / "a..b", epochs=1)
    status = json.loads((tmp_path / "book" / "status.json").read_text())
    status_text = json.dumps(status | {"heartbeat": 0}).replace(": 0}", ": 1e400}")
    (tmp_path / "book" / "status.json").write_text(status_text)
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
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        for path in ("/api/runs", "/api/models", "/v1/models", "/api/texts"):
            assert client.get(path).status_code == 200, path
        for run in client.get("/api/runs").json()["runs"]:
            assert client.get(f"/api/runs/{run['key']}").json()["run"]["state"] == "finished"
        body = {"model": "gone.safetensors"}
        assert client.post("/api/generate", json=body).status_code == 404
        keys = {text["name"]: text["key"] for text in client.get("/api/texts").json()["texts"]}
        assert "gone" not in keys
        assert client.post("/api/texts", json={"name": "x", "text": "more"}).status_code == 201
        for name in set(keys) - set(BUILTIN_TEXTS):
            started = client.post("/api/runs", json={"text": keys[name]})
            assert started.status_code == 202, name


def test_jobs_that_end_during_many_requests_cause_no_error(tmp_path, spawned):
    spawned.command = ["true"]
    many = training_jobs.Jobs(tmp_path)
    with ThreadPoolExecutor(5) as pool:
        starting = pool.submit(lambda: [many.start(f"x{n}", [], None, "a") for n in range(40)])
        asking = [pool.submit(lambda: [many.all() for _ in range(40)]) for _ in range(4)]
        for done in (starting, *asking):
            done.result(30)
    until(lambda: all(job.code == 0 for job in many.all().values()))
