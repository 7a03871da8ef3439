"""The server removes and renames runs, but none that a process trains."""

import shutil
import subprocess

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

import small_runs
from charloom.store import load_model
from charloom.store.directory_contents import contents_of
from charloom.web import training_jobs
from charloom.web.server import make_app
from reliability.run_training import reopen
from waiting import until
from web_servers import HERE, app_state


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a run, which tests copy."""
    run = tmp_path_factory.mktemp("trained") / "book"
    small_runs.train(run, epochs=1)
    return run


@pytest.fixture
def client(tmp_path, trained):
    """Return a client of a server of a folder with two runs, one of them in another folder."""
    shutil.copytree(trained, tmp_path / "book")
    shutil.copytree(trained, tmp_path / "more" / "old")
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        yield client


def keys(client):
    """Return the keys of the runs in the list."""
    return sorted(run["key"] for run in client.get("/api/runs").json()["runs"])


def key_of(client, name):
    """Return the key of the run with a name."""
    runs = client.get("/api/runs").json()["runs"]
    return next(run["key"] for run in runs if run["name"] == name)


def test_the_list_has_the_size_of_each_run(client, tmp_path):
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{")
    sizes = {run["name"]: run["bytes"] for run in client.get("/api/runs").json()["runs"]}
    assert sizes["broken"] == 1
    for name in ("book", "more/old"):
        assert sizes[name] == contents_of(tmp_path / name).bytes > 1_000


def test_a_run_is_removed_after_it_was_shown_what_that_removes(client, tmp_path):
    (tmp_path / "book" / "notes.txt").write_text("mine")
    planned = client.get("/api/runs/book/removal").json()
    contents = contents_of(tmp_path / "book")
    sizes = {"files": contents.files, "bytes": contents.bytes}
    assert planned == {"run": "book", "others": ["notes.txt"], **sizes}
    assert (tmp_path / "book").is_dir()
    assert client.post("/api/runs/book/remove", json={"x": 1}).status_code == 422
    assert client.post("/api/runs/book/remove", json={}).json() == planned
    assert not (tmp_path / "book").exists()
    assert keys(client) == [key_of(client, "more/old")]
    assert client.post("/api/runs/book/remove", json={}).status_code == 404
    assert client.post(f"/api/runs/{key_of(client, 'more/old')}/remove", json={}).status_code == 200
    assert keys(client) == []


@pytest.mark.parametrize("change", [{"files": 1}, {"bytes": 1}])
def test_a_run_that_changed_after_it_was_shown_is_not_removed(client, tmp_path, change):
    planned = client.get("/api/runs/book/removal").json()
    shown = {"files": planned["files"], "bytes": planned["bytes"]}
    wrong = {name: shown[name] - change.get(name, 0) for name in shown}
    refused = client.post("/api/runs/book/remove", json=wrong)
    assert refused.status_code == 409
    assert "its files changed after they were shown" in refused.json()["error"]["message"]
    assert (tmp_path / "book").is_dir()
    assert client.post("/api/runs/book/remove", json=shown).json() == planned


def test_a_run_does_not_get_the_name_of_a_failed_start(client, tmp_path):
    key = client.post("/api/texts", json={"name": "short", "text": "abcabc"}).json()["key"]
    body = {"text": key, "recipe": "classic", "name": "tiny"}
    assert client.post("/api/runs", json=body).status_code == 202
    until(lambda: client.get("/api/runs/tiny").json()["run"]["state"] == "failed", 60)
    refused = client.post("/api/runs/book/rename", json={"name": "tiny"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "exists")
    assert (tmp_path / "book").is_dir()
    assert client.post("/api/runs/tiny/dismiss", json={}).status_code == 200
    assert client.post("/api/runs/book/rename", json={"name": "tiny"}).json() == {"run": "tiny"}


def test_a_run_is_renamed_within_its_folder(client, tmp_path):
    update = load_model(tmp_path / "book").update
    assert client.post("/api/runs/book/rename", json={"name": "novel"}).json() == {"run": "novel"}
    assert load_model(tmp_path / "novel").update == update
    renamed = client.post(f"/api/runs/{key_of(client, 'more/old')}/rename", json={"name": "new"})
    assert renamed.json() == {"run": key_of(client, "more/new")}
    assert (tmp_path / "more" / "new").is_dir()
    assert client.post("/api/generate", json={"model": "novel", "length": 3}).status_code == 200


@pytest.mark.parametrize("name", ["a b:ü", "x." * 20 + ".", "é", 80 * "n"])
def test_a_run_gets_every_name_that_the_command_accepts(client, tmp_path, name):
    key = client.post("/api/runs/book/rename", json={"name": name}).json()["run"]
    assert (tmp_path / name / "config.json").exists()
    assert key_of(client, name) == key
    assert client.get(f"/api/runs/{key}").status_code == 200
    assert client.post("/api/generate", json={"model": key, "length": 3}).status_code == 200
    assert client.post(f"/api/runs/{key}/rename", json={"name": "book"}).json() == {"run": "book"}


@pytest.mark.parametrize(
    "name", ["../book", "a/b", "a\\b", "", " ", ".hidden", "-x", "texts", "Texts", "a\nb"]
)
def test_a_name_that_the_command_refuses_is_refused(client, tmp_path, name):
    answer = client.post("/api/runs/book/rename", json={"name": name})
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "name"
    assert (tmp_path / "book").is_dir()


def test_a_name_that_exists_is_refused(client, tmp_path):
    (tmp_path / "taken").mkdir()
    answer = client.post("/api/runs/book/rename", json={"name": "taken"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "exists")
    assert answer.json()["error"]["param"] == "name"
    assert list((tmp_path / "taken").iterdir()) == []


REQUESTS = {
    "removal": ("GET", None), "remove": ("POST", {}), "rename": ("POST", {"name": "novel"}),
}  # fmt: skip


def refusals(client, key):
    """Return the statuses of all requests that would change a run."""
    return {
        client.request(method, f"/api/runs/{key}/{path}", json=body).status_code
        for path, (method, body) in REQUESTS.items()
    }


def test_a_run_that_a_process_trains_is_refused(client, tmp_path, trained):
    shutil.rmtree(tmp_path / "book")
    small_runs.train(tmp_path / "book", halt=small_runs.after(3))
    writer, _, _ = reopen(tmp_path / "book")
    with writer:
        assert refusals(client, "book") == {409}
    assert (tmp_path / "book").is_dir()


def test_a_run_that_is_being_resumed_is_refused_before_its_process_has_the_lock(
    client, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        training_jobs, "spawn", lambda _, output: subprocess.Popen(["sleep", "60"], stdout=output)
    )
    assert client.post("/api/runs/book/resume", json={"minutes": 1}).status_code == 202
    try:
        assert refusals(client, "book") == {409}
    finally:
        client.post("/api/runs/book/control", json={"command": "stop"})


def test_a_run_behind_a_link_is_refused(client, tmp_path, trained, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(trained, elsewhere / "own")
    (tmp_path / "linked").symlink_to(elsewhere / "own")
    (tmp_path / "folder").symlink_to(elsewhere)
    for name in ("linked", "folder/own"):
        assert refusals(client, key_of(client, name)) == {422}
    assert (elsewhere / "own" / "config.json").exists()
