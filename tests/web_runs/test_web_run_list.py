"""The server lists the runs, models and texts of its folder and reads each run once."""

import json
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

import file_contents
import small_runs
from charloom.store import run_checkpoints
from charloom.store.control_files import write_status
from charloom.text import Corpus
from charloom.web import indexed_run, run_index, training_jobs
from charloom.web.record_thinning import sample_records, spread, thinned
from charloom.web.run_models import models_in
from charloom.web.runs_folder import key_of
from charloom.web.server import make_app
from web_run_files import append
from web_servers import HERE, app_state

# The list


def test_the_list_gives_the_settings_and_state_of_each_run(client):
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


def test_a_key_has_plain_characters_and_names_one_run(client):
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
def test_an_unknown_key_is_not_found(client, key):
    answer = client.get(f"/api/runs/{key}")
    assert 400 <= answer.status_code < 500
    assert answer.json()["error"]["message"]


def test_a_run_with_its_settings_and_its_journals(client, folder):
    one = client.get("/api/runs/book").json()
    assert one["settings"]["hidden_size"] == 8
    assert one["passage"] == (folder / "book" / "passage.txt").read_text()
    lines = file_contents.lines_of(folder / "book" / "metrics.jsonl")
    records = client.get("/api/runs/book/records").json()
    assert records["total"] == len(lines)
    assert [record["update"] for record in records["records"]] == [line["update"] for line in lines]
    ends = [record["update"] for record in records["records"] if record["end"]]
    assert ends == [line["update"] for line in lines if line["epoch"] in (1, 2)]
    samples = client.get("/api/runs/book/samples").json()["samples"]
    assert samples == file_contents.lines_of(folder / "book" / "samples.jsonl")
    events = client.get("/api/runs/book/events").json()["events"]
    assert [event["event"] for event in events] == ["created", "started", "finished"]


def test_the_bytes_of_a_checkpoint_are_read_again_only_after_a_change(tmp_path, monkeypatch):
    small_runs.train(tmp_path / "book")
    read = []
    real = run_checkpoints.read_verified
    monkeypatch.setattr(
        run_checkpoints, "read_verified", lambda header: read.append(header) or real(header)
    )
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:

        def damage():
            read.clear()
            return client.get("/api/runs/book").json()["damage"]

        assert damage() == []
        assert read
        assert damage() == []
        assert read == []
        latest = run_checkpoints.read_pointer(tmp_path / "book", "latest")
        weights = tmp_path / "book" / "checkpoints" / str(latest) / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
        os.utime(weights, ns=(1, 1))  # the clock of the file system may be coarse
        for _ in range(2):
            assert "model.safetensors and MANIFEST disagree" in damage()[0]
        weights.unlink()
        assert "missing model.safetensors" in damage()[0]


def test_a_damaged_run_is_listed_as_damaged(client):
    assert client.get("/api/runs/broken").json()["run"]["state"] == "damaged"
    assert client.get("/api/runs/broken/records").json()["records"] == []


def test_a_long_journal_is_thinned_to_few_records():
    """The most important records remain: the first, the last, and the ends of epochs."""
    lines = ({"update": n, "epoch": n / 50, "validation_nats": None} for n in range(1, 10_001))
    held, total = sample_records(lines, 20)
    assert total == 10_000
    assert len(held) <= 80
    assert [held[0]["update"], held[-1]["update"]] == [1, 10_000]
    assert sum(line["update"] % 50 == 0 for line in held) >= 20
    assert held == sorted(held, key=lambda line: line["update"])
    few = [{"update": n, "epoch": 0.1} for n in range(30)]
    assert sample_records(few, 20) == (few, 30)


def test_thinned_records_keep_the_ends():
    many = [{"n": n, "epoch": (n + 1) / 50, "validation_nats": None} for n in range(1_000)]
    kept = thinned(many, 60)
    assert len(kept) <= 60
    assert {n for n in range(1_000) if n % 50 == 49} <= {record["n"] for record in kept}
    assert (kept[0]["n"], kept[-1]["n"]) == (0, 999)
    assert thinned(many, 1_000) == many
    assert spread(range(10), 3) == [0, 4, 9]


# Starting


def test_runs_that_no_process_trains_are_read_once(tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        small_runs.train(tmp_path / name, epochs=1)
    read = []
    real = indexed_run.inspect_head
    monkeypatch.setattr(
        indexed_run, "inspect_head", lambda path: read.append(path.name) or real(path)
    )
    index = run_index.RunIndex(tmp_path, training_jobs.Jobs(tmp_path))
    first = index.read_list(refresh=True).runs
    assert sorted(read) == ["a", "b", "c"]
    read.clear()
    assert index.read_list(refresh=True).runs == first
    assert read == []
    for name, file in (("a", "status.json"), ("b", "metrics.jsonl"), ("c", "checkpoints/latest")):
        append(tmp_path / name / file, b"")
        os.utime(tmp_path / name / file)
        index.read_list(refresh=True)
        assert read == [name]
        read.clear()
    # What is trained is read each time, for its state depends on more than files.
    write_status(tmp_path / "a" / "status.json", "training", 0, 10, None)
    for _ in range(2):
        index.read_list(refresh=True)
    assert read == ["a", "a"]


def test_the_list_of_models_follows_the_folder(tmp_path):
    index = run_index.RunIndex(tmp_path, training_jobs.Jobs(tmp_path))
    assert models_in(index.read_list()) == []
    (tmp_path / "own.safetensors").write_bytes(b"")
    found = models_in(index.read_list(refresh=True))
    assert [model.name for model in found] == ["own.safetensors"]


def test_a_known_model_is_opened_while_the_folder_is_read(tmp_path):
    small_runs.train(tmp_path / "book", epochs=1)
    index = run_index.RunIndex(tmp_path, training_jobs.Jobs(tmp_path))
    index.read_list()
    with index._reading, ThreadPoolExecutor(1) as pool:
        place, which = pool.submit(index.model, "book@best").result(5)
    assert (place.key, which) == ("book", "best")


def test_the_list_of_texts_has_built_in_uploaded_and_trained_texts(tmp_path):
    book = tmp_path / "cat.txt"
    book.write_text(small_runs.TEXT)
    small_runs.train(tmp_path / "runs" / "of-a-file", Corpus.open([book]), epochs=1)
    small_runs.train(tmp_path / "runs" / "of-none", epochs=1)
    with TestClient(make_app(app_state(tmp_path / "runs")), base_url=HERE) as client:
        client.post("/api/texts", json={"name": "mine.txt", "text": "abcabc"})
        again = client.post("/api/texts", json={"name": "mine.txt", "text": "abcabc"})
        texts = {text["key"]: text for text in client.get("/api/texts").json()["texts"]}
        assert again.json() == texts[again.json()["key"]]
        assert {"builtin.python-docs", "of.of-a-file", "of.of-none"} <= set(texts)
        assert texts["of.of-a-file"]["bytes"] == len(small_runs.TEXT)
        assert sum(text["kind"] == "uploaded" for text in texts.values()) == 1
        assert not any(str(tmp_path) in json.dumps(text) for text in texts.values())
