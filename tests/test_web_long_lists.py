"""The server sends long lists in pages with their total, and says what is left out.

The folder has thousands of runs, which are hard links to one trained run.
"""

import json
import os

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

import file_contents
import small_runs
from charloom.web import indexed_run, run_index, training_jobs
from charloom.web.pagination import page_after, page_from
from charloom.web.run_routes import list_changes
from charloom.web.server import make_app
from waiting import until
from web_servers import HERE, LiveServer, app_state, streaming

MANY = 1_203  # more than one page of any size, and more than once was listed
SOME = 301  # more than an index reads and checks at once in `index`


def folder_of_runs(path, count):
    """Create `count` runs in the folder `path`, and return `path`."""
    small_runs.train(path / "one", epochs=1)
    small_runs.linked(path / "one", path, count - 1)
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of many runs."""
    return folder_of_runs(tmp_path_factory.mktemp("many"), MANY)


@pytest.fixture(scope="module")
def shorter(tmp_path_factory):
    """Return a folder of a quarter of the runs."""
    return folder_of_runs(tmp_path_factory.mktemp("some"), SOME)


@pytest.fixture
def index(shorter, monkeypatch):
    """Return an index of this folder; indexes read and check only a quarter of the usual number of runs at once."""
    monkeypatch.setattr(run_index, "READ_AT_ONCE", run_index.READ_AT_ONCE // 4)
    monkeypatch.setattr(run_index, "CHECKED_AT_ONCE", run_index.CHECKED_AT_ONCE // 4)
    return run_index.RunIndex(shorter, training_jobs.Jobs(shorter))


@pytest.fixture(scope="module")
def client(folder):
    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        until(lambda: client.get("/api/runs?limit=1").json()["unread"] == 0, 120)
        yield client


def pages(client, path, name, limit):
    """Return the response for every page of a list."""
    found, after = [], ""
    while True:
        answer = client.get(f"{path}?limit={limit}{after}")
        assert answer.status_code == 200, answer.text
        found.append(answer.json())
        assert len(found[-1][name]) <= limit
        if found[-1]["next"] is None:
            return found
        after = f"&after={found[-1]['next']}"


@pytest.mark.parametrize(
    ("path", "name", "key", "count"),
    [
        ("/api/runs", "runs", "key", MANY),
        ("/api/models", "models", "id", None),
        ("/api/texts", "texts", "key", None),
    ],
)
def test_the_pages_of_a_list_are_complete_and_each_has_the_total(client, path, name, key, count):
    found = pages(client, path, name, 500)
    keys = [item[key] for page in found for item in page[name]]
    assert len(keys) == len(set(keys))
    assert {page["total"] for page in found} == {len(keys)}
    assert len(keys) == count or (count is None and len(keys) >= MANY)


def test_a_page_after_a_missing_item_is_refused_with_advice(client):
    for path in ("/api/runs", "/api/models", "/api/texts", "/v1/models"):
        answer = client.get(f"{path}?after=nothing")
        assert answer.status_code == 404
        assert "first page" in answer.json()["error"]["message"]


def test_the_models_of_v1_have_a_field_for_further_pages(client):
    first = client.get("/v1/models?limit=700").json()
    assert (len(first["data"]), first["has_more"]) == (700, True)
    keys = {model["id"] for model in first["data"]}
    while first["has_more"]:
        first = client.get(f"/v1/models?limit=700&after={first['last_id']}").json()
        keys |= {model["id"] for model in first["data"]}
    assert len(keys) == client.get("/api/models?limit=1").json()["total"]
    assert client.get("/v1/models/copy-00007@best").status_code == 200


def test_samples_and_events_of_a_run_are_sent_in_pages(tmp_path):
    small_runs.train(tmp_path / "book", epochs=1)
    with (tmp_path / "book" / "samples.jsonl").open("a") as file:
        file.writelines(json.dumps({"text": "a", "update": n}) + "\n" for n in range(1_000, 2_500))
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        found = pages(client, "/api/runs/book/samples", "samples", 400)
        samples = [sample for page in found for sample in page["samples"]]
        assert samples == file_contents.lines_of(tmp_path / "book" / "samples.jsonl")
        assert {page["total"] for page in found} == {len(samples)}
        assert len(client.get("/api/runs/book/samples").json()["samples"]) == 1_000
        events = pages(client, "/api/runs/book/events", "events", 2)
        assert [page["total"] for page in events] == [3, 3]


def test_the_stream_sends_the_beginning_of_the_list_and_its_length(index):
    with LiveServer(index.folder) as live, streaming(live.url, "/api/stream?limit=20") as events:
        name, data = next(events)
        keys = {run["key"] for run in data["runs"]}
        assert (name, data["fresh"]) == ("runs", True)
        assert len(keys) <= 20
        while data["unread"]:
            name, data = next(events)
            assert len(data["runs"]) <= 20
        assert data["total"] == SOME


def test_a_stream_without_a_list_sends_only_journals(shorter):
    with LiveServer(shorter) as live, streaming(live.url, "/api/stream?limit=0&run=one") as events:
        names = [next(events) for _ in range(3)]
    assert [name for name, _ in names] == ["records", "samples", "events"]
    records = names[0][1]
    assert records["total"] == len(records["records"])


def test_a_stream_that_sends_some_records_has_their_total(tmp_path, monkeypatch):
    monkeypatch.setattr("charloom.web.run_routes.MOST_AT_FIRST", 4)
    small_runs.train(tmp_path / "book", epochs=1)
    lines = file_contents.lines_of(tmp_path / "book" / "metrics.jsonl")
    with (
        LiveServer(tmp_path) as live,
        streaming(live.url, "/api/stream?limit=0&run=book") as events,
    ):
        records = next(events)[1]
    assert len(records["records"]) <= 4 < len(lines) == records["total"]


def test_the_stream_sends_only_changes_of_the_list(tmp_path):
    for name in ("first", "second", "third"):
        small_runs.train(tmp_path / name, epochs=1)
    index = run_index.RunIndex(tmp_path, training_jobs.Jobs(tmp_path))
    before = index.read_list(refresh=True)
    assert list_changes(before, index.read_list(refresh=True), 10) is None
    events = tmp_path / "first" / "events.jsonl"
    events.write_bytes(events.read_bytes() + b'{"event":"resumed","time":9000000000.5}\n')
    (tmp_path / "third").rename(tmp_path / "another")
    now = index.read_list(refresh=True)
    changes = json.loads(list_changes(before, now, 10).partition(b"data: ")[2])
    assert {run["key"] for run in changes["runs"]} == {"first", "another"}
    assert (changes["gone"], changes["total"], changes["fresh"]) == (["third"], 3, False)


# Looking at a folder again and again


class Reads:
    """Records which runs are read."""

    def __init__(self, monkeypatch):
        self.keys = []
        read = indexed_run.IndexedRun._read

        def counted(watched, place, job):
            self.keys.append(place.key)
            return read(watched, place, job)

        monkeypatch.setattr(indexed_run.IndexedRun, "_read", counted)

    def since(self):
        """Return the runs that were read since the last call."""
        found, self.keys = self.keys, []
        return found


def test_a_refresh_reads_a_limited_number_of_runs_and_the_next_ones_read_the_rest(
    index, monkeypatch
):
    reads = Reads(monkeypatch)
    read, looks = set(), 0
    while index.read_list(refresh=True).unread or looks == 0:
        looks += 1
        found = reads.since()
        assert len(found) <= run_index.READ_AT_ONCE
        assert not read & set(found)
        read |= set(found)
        assert index.read_list().total == SOME
    assert len(read | set(reads.since())) == SOME
    index.read_list(refresh=True)
    assert reads.since() == []


def test_a_requested_run_is_read_before_the_others(index):
    index.read_list(refresh=True)
    known = {run.key for run in index.read_list().runs}
    late = next(key for key in index.read_list().places if key not in known)
    assert index.run(late).key == late


def test_a_refresh_checks_few_files_of_idle_runs(index, monkeypatch):
    while index.read_list(refresh=True).unread:
        pass
    checked = []
    stamp = indexed_run.stamp_of
    monkeypatch.setattr(indexed_run, "stamp_of", lambda path: checked.append(path) or stamp(path))
    index.read_list(refresh=True)
    each = len(indexed_run.LISTED_FILES)
    assert len(checked) <= each * (run_index.READ_AT_ONCE + run_index.CHECKED_AT_ONCE) < each * SOME
    # In turn each is looked at, though nothing of its directory seems to have changed.
    for _ in range(SOME // run_index.CHECKED_AT_ONCE + 1):
        index.read_list(refresh=True)
    assert {path.relative_to(index.folder).parts[0] for path in checked} == set(
        index.read_list().places
    )


def test_a_run_that_is_trained_again_is_seen_at_the_next_refresh(index):
    while index.read_list(refresh=True).unread:
        pass
    index._next_check = 0
    key = list(index.read_list().places)[-1]
    status = index.folder / key / "status.json"
    values = json.loads(status.read_text()) | {"state": "training", "pid": os.getpid()}
    other = status.with_name("other")
    other.write_text(json.dumps(values))
    before = status.read_bytes()
    other.replace(status)
    try:
        assert index.read_list(refresh=True).places
        assert index.run(key).state == "training"
    finally:
        other.write_bytes(before)
        other.replace(status)


# Pages


def test_the_pages_of_a_sequence_follow_each_other():
    letters = list("abcde")
    first = page_after(letters, str, 2, None)
    assert (first.items, first.total, first.next) == (["a", "b"], 5, "b")
    assert page_after(letters, str, 2, "b").items == ["c", "d"]
    last = page_after(letters, str, 2, "d")
    assert (last.items, last.next) == (["e"], None)
    assert (page_after(letters, str, 2, "e").items, page_after([], str, 2, None).total) == ([], 0)
    assert (page_from(letters, 2, 3).items, page_from(letters, 2, 3).next) == (["d", "e"], None)
    assert (page_from(letters, 2, 0).next, page_from(letters, 2, 9).items) == (2, [])
