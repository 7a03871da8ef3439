"""The server lists studies, and returns their tables, curves and reports, also while they grow or are damaged."""

import json
import os
import shutil

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from charloom.studies import open_study, summarize
from charloom.studies.results import RunResult
from charloom.studies.study_page import render_study
from charloom.studies.worker_counts import WorkerCount
from charloom.web import study_index
from charloom.web.watched_study import WatchedJournal, WatchedStudy
from studies.small_studies import planned_study, train_here

NEVER = 10**9


@pytest.fixture
def small(place, tmp_path):
    """Return a copy of the finished study, in the folder `studies` beside the folder `runs` of `tmp_path`."""
    shutil.copytree(place / "studies", tmp_path / "studies")
    (tmp_path / "runs").mkdir()
    return tmp_path / "studies" / "small"


@pytest.fixture
def client(small, serve):
    """Return a client of a server beside the study `small`."""
    return serve(small.parent.parent / "runs")


def listed(client):
    """Return the list of studies."""
    answer = client.get("/api/studies")
    assert answer.status_code == 200, answer.text
    return answer.json()["studies"]


def fresh(client):
    """Return the only study of the list, after the list has been read again."""
    return listed(client)[0]


@pytest.fixture(autouse=True)
def _always_read_again(monkeypatch):
    """Read the studies for each request, so that no test waits."""
    monkeypatch.setattr(study_index, "STALE_SECONDS", -1.0)
    monkeypatch.setattr(study_index, "RESTS", 0)


def journal_of(study):
    """Return the only journal of a study."""
    (path,) = (study / "results").glob("*.jsonl")
    return path


def test_the_list_says_how_far_a_study_is(client, small):
    (study,) = listed(client)
    assert study["name"] == "small"
    assert study["path"] == "studies/small"
    assert study["state"] == "finished"
    counts = {name: study[name] for name in ("runs", "finished", "failed", "pruned", "running")}
    assert counts == {"runs": 4, "finished": 4, "failed": 0, "pruned": 0, "running": 0}
    results = open_study(small).results().values()
    assert study["best_bits"] == min(result.bits for result in results)
    assert study["seconds_left"] is None
    assert study["damage"] is None


def test_the_table_is_that_of_the_command(client, small):
    data = client.get(f"/api/studies/{fresh(client)['key']}").json()
    summary = summarize(open_study(small))
    assert data["heads"] == ["cell"]
    assert data["validated"] is True
    assert data["total"] == 2
    assert [row["settings"] for row in data["groups"]] == [
        [group.settings["cell"]] for group in summary.groups
    ]
    for row, group in zip(data["groups"], summary.groups, strict=True):
        assert row["mean"] == group.mean
        assert row["deviation"] == group.deviation
        assert tuple(row["interval"]) == group.interval
        assert (row["runs"], row["finished"], row["failed"]) == (2, 2, 0)


def test_the_curves_have_bands_over_the_seeds(client, small):
    data = client.get(f"/api/studies/{fresh(client)['key']}").json()
    assert len(data["curves"]) == 2
    summary = summarize(open_study(small))
    for curve, group in zip(data["curves"], summary.groups, strict=True):
        assert curve["name"] == f"cell {group.settings['cell']}"
        assert len(curve["updates"]) == len(curve["mean"]) >= 2
        assert all(
            low <= middle <= high
            for low, middle, high in zip(curve["low"], curve["mean"], curve["high"], strict=True)
        )
        assert curve["low"] != curve["high"]


def test_the_report_is_that_of_the_command_and_runs_no_script(client, small):
    answer = client.get(f"/api/studies/{fresh(client)['key']}/report")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.text == render_study(open_study(small))
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert "script-src" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"


def test_studies_are_found_beside_inside_and_as_the_folder_itself(place, tmp_path, serve):
    source = place / "studies" / "small"
    shutil.copytree(source, tmp_path / "studies" / "beside")
    shutil.copytree(source, tmp_path / "runs" / "inside")
    shutil.copytree(source, tmp_path / "runs" / "deep" / "deeper")
    shutil.copytree(source, tmp_path / "runs" / ".hidden")
    shutil.copytree(source, tmp_path / "runs" / "a" / "b" / "c" / "too deep")
    shutil.copytree(source, tmp_path / "elsewhere" / "unseen")
    paths = sorted(study["path"] for study in listed(serve(tmp_path / "runs")))
    assert paths == ["runs/deep/deeper", "runs/inside", "studies/beside"]
    # The folder `studies` is beside itself, and a study can be served by itself.
    assert [one["path"] for one in listed(serve(tmp_path / "studies"))] == ["studies/beside"]
    paths = [one["path"] for one in listed(serve(tmp_path / "runs" / "inside"))]
    assert paths == ["inside"]


def test_a_folder_without_studies_has_an_empty_list(tmp_path, serve):
    answer = serve(tmp_path / "missing" / "runs").get("/api/studies").json()
    assert answer == {"total": 0, "next": None, "unread": 0, "studies": []}


def test_a_study_that_grows_is_read_again_only_where_it_grew(tmp_path, serve, monkeypatch):
    (tmp_path / "runs").mkdir()
    study = planned_study(tmp_path / "runs")
    client = serve(tmp_path / "runs")
    assert fresh(client)["state"] == "planned"
    train_here(study, [0, 1])
    read = []
    real = WatchedJournal._add
    monkeypatch.setattr(
        WatchedJournal, "_add", lambda self, line: read.append(line) or real(self, line)
    )
    assert fresh(client)["finished"] == 2
    assert len(read) == 2
    assert fresh(client)["finished"] == 2
    assert len(read) == 2
    train_here(study, [2])
    assert fresh(client)["finished"] == 3
    assert len(read) == 3
    (row, other) = client.get(f"/api/studies/{fresh(client)['key']}").json()["groups"]
    assert sorted([row["finished"], other["finished"]]) == [1, 2]


def test_nothing_is_summarized_again_while_no_journal_grows(client, monkeypatch):
    key = fresh(client)["key"]
    first = client.get(f"/api/studies/{key}").json()
    monkeypatch.setattr("charloom.web.study_figures.summarize", None)
    assert client.get(f"/api/studies/{key}").json() == first


def test_a_half_written_line_counts_when_it_is_whole(client, small):
    path = journal_of(small)
    *lines, last = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + last[:-20])
    assert fresh(client)["finished"] == 3
    assert fresh(client)["damage"] is None
    with path.open("ab") as file:
        file.write(last[-20:])
    assert fresh(client)["finished"] == 4


def test_a_journal_that_shrinks_or_disappears_is_read_from_its_beginning(client, small):
    assert fresh(client)["finished"] == 4
    path = journal_of(small)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0])
    assert fresh(client)["finished"] == 1
    path.write_bytes(b"")
    assert fresh(client)["finished"] == 0
    path.write_bytes(b"".join(lines))
    assert fresh(client)["finished"] == 4
    path.unlink()
    assert fresh(client)["finished"] == 0


RESULT = {"key": "0", "state": "finished", "updates": 1, "seconds": 1.0, "train_nats": 1.0}
WRONG = [
    b"{",
    b"[1]",
    b"null",
    b"\xff\xfe",
    b"[" * 100_000,
    json.dumps({**RESULT, "key": 5}).encode(),
    json.dumps({**RESULT, "state": "done"}).encode(),
    json.dumps({**RESULT, "train_nats": "1"}).encode(),
    json.dumps({**RESULT, "train_nats": float("nan")}).encode(),
    json.dumps({**RESULT, "seconds": None}).encode(),
    json.dumps({**RESULT, "reason": {"a": 1}}).encode(),
    json.dumps({**RESULT, "warnings": 3}).encode(),
]


def test_damaged_lines_are_left_out_and_counted(client, small):
    with journal_of(small).open("ab") as file:
        for line in WRONG:
            file.write(line + b"\n")
    study = fresh(client)
    assert study["finished"] == 4
    assert study["damage"] == f"{len(WRONG)} lines in results/ cannot be read and are left out."
    assert client.get(f"/api/studies/{study['key']}").json()["total"] == 2
    assert client.get(f"/api/studies/{study['key']}/report").status_code == 200


@pytest.mark.parametrize(
    "curve", [5, [], {"update": [1]}, {"update": [1, 2], "validation_nats": ["a", 1]}]
)
def test_a_damaged_curve_is_left_out(client, small, curve):
    path = journal_of(small)
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    path.write_text("".join(json.dumps({**line, "curve": curve}) + "\n" for line in lines))
    key = fresh(client)["key"]
    data = client.get(f"/api/studies/{key}").json()
    assert data["study"]["finished"] == 4
    assert data["curves"] == []
    assert client.get(f"/api/studies/{key}/report").status_code == 200


@pytest.mark.parametrize(
    ("name", "content", "state"),
    [
        ("study.json", "{", "damaged"),
        ("study.json", '{"format":1}', "damaged"),
        ("study.json", '{"format":99}', "newer"),
        ("plan.jsonl", "{\n", "damaged"),
        ("plan.jsonl", None, "damaged"),
        ("plan.jsonl", "[" * 100_000 + "\n", "damaged"),
        ("plan.jsonl", '{"run":0,"key":"a","text":7,"settings":{},"directory":false}\n', "damaged"),
        ("plan.jsonl", '{"run":0,"key":"a","text":0,"settings":[],"directory":false}\n', "damaged"),
    ],
)
def test_a_damaged_plan_is_said_and_the_others_stay(client, small, name, content, state):
    shutil.copytree(small, small.parent / "other")
    if content is None:
        (small / name).unlink()
    else:
        (small / name).write_text(content)
    found = {study["name"]: study for study in listed(client)}
    assert found["small"]["state"] == state
    assert found["small"]["reason"]
    assert "\ufdd0" not in found["small"]["reason"]
    assert str(small.parent) not in found["small"]["reason"]
    assert found["other"]["state"] == "finished"
    key = found["small"]["key"]
    answer = client.get(f"/api/studies/{key}")
    assert answer.status_code == 200
    assert answer.json()["groups"] == []
    assert client.get(f"/api/studies/{key}/report").status_code == 409


def test_links_and_pipes_in_a_study_are_not_read(client, small, tmp_path):
    path = journal_of(small)
    secret = tmp_path / "secret.jsonl"
    shutil.copy(path, secret)
    path.unlink()
    path.symlink_to(secret)
    os.mkfifo(small / "results" / "pipe.jsonl")
    study = fresh(client)
    assert study["finished"] == 0
    assert study["damage"] == "2 files in results/ cannot be read and are left out."


@pytest.mark.parametrize(
    "key", ["nothing", "..", "%2e%2e%2fsmall", "studies/small", "a" * 200, "small@best", "\u00e9"]
)
@pytest.mark.parametrize("end", ["", "/report"])
def test_hostile_keys_are_refused(client, key, end):
    assert client.get(f"/api/studies/{key}{end}").status_code in (400, 404, 422)


def test_hostile_names_have_keys_and_stay_text(client, small):
    name = "<script>alert(1)</script> \u202e\n".replace("/", "")
    small.rename(small.parent / name)
    study = fresh(client)
    assert study["name"] == name
    assert set(study["key"]) <= set(
        "abcdefghijklmnopqrstuvwxyz0123456789-._ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )
    data = client.get(f"/api/studies/{study['key']}").json()
    assert data["study"]["name"] == name
    report = client.get(f"/api/studies/{study['key']}/report").text
    assert "<script" not in report


def test_failed_runs_are_listed_with_their_reasons(tmp_path, serve):
    (tmp_path / "runs").mkdir()
    study = planned_study(tmp_path / "runs")
    results = [
        RunResult(study.plan[0].key, "failed", reason="it diverged"),
        RunResult(study.plan[1].key, "finished", updates=30, seconds=2.0, train_nats=2.0),
    ]
    lines = [json.dumps(result.to_dict()) + "\n" for result in results]
    study.files.new_journal(0).write_text("".join(lines))
    client = serve(tmp_path / "runs")
    data = client.get(f"/api/studies/{fresh(client)['key']}").json()
    assert (data["study"]["finished"], data["study"]["failed"]) == (1, 1)
    assert data["failures"] == [
        {"run": 0, "settings": ["rnn"], "seed": "0", "reason": "it diverged"}
    ]
    assert [row["failed"] for row in data["groups"]] == [1, 0]


def test_a_report_without_finished_runs_is_refused(tmp_path, serve):
    planned_study(tmp_path)
    client = serve(tmp_path)
    answer = client.get(f"/api/studies/{fresh(client)['key']}/report")
    assert answer.status_code == 422
    assert "no run of" in answer.json()["error"]["message"]


def test_a_second_report_at_the_same_time_is_refused(client, monkeypatch):
    key = fresh(client)["key"]
    inner = []

    def drawn(study):
        inner.append(client.get(f"/api/studies/{key}/report").status_code)
        return "done"

    monkeypatch.setattr("charloom.studies.study_page.render_study", drawn)
    assert client.get(f"/api/studies/{key}/report").text == "done"
    assert inner == [503]


def test_rows_are_limited(client):
    key = fresh(client)["key"]
    data = client.get(f"/api/studies/{key}", params={"rows": 1}).json()
    assert len(data["groups"]) == 1
    assert data["total"] == 2
    for rows in ("0", "1001", "x"):
        assert client.get(f"/api/studies/{key}", params={"rows": rows}).status_code == 422


def test_the_list_comes_a_page_at_a_time(client, small):
    shutil.copytree(small, small.parent / "other")
    first = client.get("/api/studies", params={"limit": 1}).json()
    assert first["total"] == 2
    second = client.get("/api/studies", params={"limit": 1, "after": first["next"]}).json()
    assert second["next"] is None
    names = {page["studies"][0]["name"] for page in (first, second)}
    assert names == {"small", "other"}


def test_a_large_journal_is_read_in_steps(small):
    whole = WatchedStudy(small)
    whole.follow(NEVER)
    steps, read = WatchedStudy(small), []
    while not read or steps.unread:
        steps.follow(1)
        read.append(len(steps.study().results()))
    assert read[0] < read[-1] == 4
    assert steps.study().results() == whole.study().results()


def test_a_study_is_training_while_its_workers_are(tmp_path, serve):
    (tmp_path / "runs").mkdir()
    study = planned_study(tmp_path / "runs")
    train_here(study, [0])  # its journal has the id of this process, which lives on
    client = serve(tmp_path / "runs")
    assert (fresh(client)["state"], fresh(client)["running"]) == ("interrupted", 0)
    with WorkerCount(study.path, lambda: 2):
        assert (fresh(client)["state"], fresh(client)["running"]) == ("training", 2)
    assert (fresh(client)["state"], fresh(client)["running"]) == ("interrupted", 0)


def test_the_rest_is_estimated_from_the_runs_that_ended(tmp_path, serve):
    (tmp_path / "runs").mkdir()
    study = planned_study(tmp_path / "runs", seeds=5)
    results = [
        RunResult(run.key, "finished", seconds=3.0, train_nats=2.0) for run in study.plan[:6]
    ]
    lines = [json.dumps(result.to_dict()) + "\n" for result in results]
    study.files.new_journal(0).write_text("".join(lines))
    with WorkerCount(study.path, lambda: 2):
        found = fresh(serve(tmp_path / "runs"))
    assert found["running"] == 2
    assert found["seconds_left"] == pytest.approx(4 * 3.0 / 2)
