"""The page and its API report journals that lost lines, and damaged models."""

import json
import shutil

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

import small_runs
import waiting
from charloom.report import write_report
from charloom.web.server import make_app
from web_servers import HERE, app_state


def reason_of(client):
    """Return the reason that the list gives for the only run."""
    return client.get("/api/runs").json()["runs"][0]["reason"]


@pytest.mark.parametrize(
    ("name", "what"), [("metrics.jsonl", "records"), ("samples.jsonl", "samples")]
)
def test_the_list_and_the_records_report_lost_lines(tmp_path, name, what):
    small_runs.train(tmp_path / "book")
    file = tmp_path / "book" / name
    size = file.stat().st_size
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        assert reason_of(client) is None
        assert client.get(f"/api/runs/book/{what}").json()["damage"] == []
        file.write_bytes(file.read_bytes()[:40])
        waiting.until(lambda: reason_of(client))
        (message,) = client.get(f"/api/runs/book/{what}").json()["damage"]
        assert f"it has 40 bytes, and had {size:,} bytes when update" in message
        assert f"all its {what} are lost" in message
        assert reason_of(client) == message
        file.unlink()
        waiting.until(lambda: f"{name} is missing, and had" in reason_of(client))
        assert client.get(f"/api/runs/book/{what}").json()["damage"] == [reason_of(client)]


def test_resuming_a_run_clears_its_report_of_lost_lines(tmp_path):
    small_runs.train(tmp_path / "book")
    file = tmp_path / "book" / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:40])
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        assert "lost" in reason_of(client)
        small_runs.resume(tmp_path / "book", allow_older=True)
        waiting.until(lambda: reason_of(client) is None)
        assert client.get("/api/runs/book/records").json()["damage"] == []


@pytest.mark.parametrize(
    ("lost", "what"),
    [
        (["config.json"], "config.json"),
        (["checkpoints/latest", "checkpoints/best"], "latest is missing"),
        (["checkpoints/*/MANIFEST"], "checkpoints"),
    ],
)
@pytest.mark.parametrize("which", ["", "@latest", "@best"])
def test_a_model_that_cannot_be_opened_says_what_is_damaged(tmp_path, lost, what, which):
    if lost == ["config.json"]:
        small_runs.create(tmp_path / "book")[0].close()
        shutil.rmtree(tmp_path / "book" / "checkpoints")
        (tmp_path / "book" / "config.json").write_text('{"damaged')
    else:
        small_runs.train(tmp_path / "book", validation=0.1)
        for pattern in lost:
            for path in (tmp_path / "book").glob(pattern):
                path.unlink()
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        body = {"model": "book" + which, "prompt": "the", "max_tokens": 5}
        answer = client.post("/v1/completions", json=body)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (409, "damaged")
    assert what in error["message"]
    assert "saved no model yet" not in error["message"]


def break_line(path):
    """Put a control character into the first line of a file."""
    data = path.read_bytes()
    path.write_bytes(data[:3] + b"\x01" + data[4:])


@pytest.mark.parametrize(
    "name",
    ["checkpoints/latest", "checkpoints/best", "status.json", "events.jsonl", "metrics.jsonl"],
)
def test_the_server_and_the_report_describe_a_damaged_run_equally(tmp_path, name):
    run = tmp_path / "book"
    small_runs.train(run, validation=0.1)
    break_line(run / name)
    messages = []
    write_report(run, on_message=messages.append)
    assert len(messages) == 1
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        listed = client.get("/api/runs").json()["runs"][0]
        detail = client.get("/api/runs/book").json()
        records = client.get("/api/runs/book/records").json()
    assert listed["state"] == "finished"
    assert messages[0].startswith(listed["reason"])
    assert detail["settings"]["validation"] == 0.1
    server_messages = [*detail["damage"], *records["damage"]]
    assert len(server_messages) == 1
    assert messages[0].startswith(server_messages[0])


@pytest.mark.parametrize("name", ["metrics.jsonl", "samples.jsonl"])
def test_a_bad_line_near_the_start_loses_only_itself(tmp_path, name):
    small_runs.train(tmp_path / "book", updates=60, report_every=10, sample_every=10)
    file, what = tmp_path / "book" / name, "records" if name == "metrics.jsonl" else "samples"
    lines = file.read_bytes().splitlines(keepends=True)
    before, after = (json.loads(lines[n])["update"] for n in (1, 3))
    file.write_bytes(b"".join([*lines[:2], b"garbage\n", *lines[3:]]))
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        (message,) = client.get(f"/api/runs/book/{what}").json()["damage"]
        assert f"its {what} between updates {before} and {after} are lost." in message
        assert reason_of(client) == message
