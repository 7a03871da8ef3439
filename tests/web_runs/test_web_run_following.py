"""The server streams what a training run appends to its journals."""

import json

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import file_contents
import small_runs
from charloom.web import journal_follower, run_index, training_jobs
from charloom.web.journal_follower import Tail
from charloom.web.run_routes import LOOK_SECONDS
from waiting import until
from web_run_files import append
from web_servers import LiveServer, streaming

# Following


def test_a_tail_gives_new_lines_and_notices_a_cut(tmp_path):
    path = tmp_path / "a.jsonl"
    tail = Tail(path, lambda line: "a" in line)
    assert tail.new_lines() == (False, [])
    path.write_bytes(b'{"a":1}\n{"a":2}\n{"a":')
    assert tail.new_lines() == (False, [{"a": 1}, {"a": 2}])
    path.write_bytes(b'{"a":1}\n{"a":2}\n{"a":3}\nno JSON\n{"b":3}\n')
    assert tail.new_lines() == (False, [{"a": 3}])
    assert tail.lines.broken == 2
    # Cut back and grown beyond where it was, between two looks: other bytes stand there now.
    path.write_bytes(b'{"a":1}\n{"a":9}\n{"a":8}\n{"a":7}\n{"a":6}\n')
    fresh, lines = tail.new_lines()
    assert fresh
    assert [line["a"] for line in lines] == [1, 9, 8, 7, 6]
    assert tail.lines.broken == 0
    path.unlink()
    assert tail.new_lines() == (True, [])


def test_a_stream_looks_for_changes_more_than_once_a_second():
    assert LOOK_SECONDS + run_index.STALE_SECONDS < 1.0


def test_the_stream_reports_a_run_of_another_process(tmp_path):
    with LiveServer(tmp_path) as live, streaming(live.url, "/api/stream") as events:
        nothing = {"runs": [], "gone": [], "total": 0, "unread": 0, "fresh": True}
        assert next(events) == ("runs", nothing)
        small_runs.train(tmp_path / "late", epochs=1)
        name, data = next(events)
        assert (name, data["runs"][0]["key"]) == ("runs", "late")


def test_the_stream_follows_the_journals_of_a_run(tmp_path):
    small_runs.train(tmp_path / "book")
    path = tmp_path / "book" / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    with LiveServer(tmp_path) as live, streaming(live.url, "/api/stream?run=book") as events:
        first = {}
        while len(first) < 4:
            name, data = next(events)
            first.setdefault(name, data)
        assert first["records"]["fresh"]
        assert len(first["records"]["records"]) == len(lines)
        assert first["samples"]["samples"][0]["update"] == 0

        def after(change):
            change()
            data = next(data for name, data in events if name == "records")
            return data["fresh"], [record["update"] for record in data["records"]]

        more = json.loads(lines[-1]) | {"update": 9_999}
        assert after(lambda: append(path, json.dumps(more).encode() + b"\n")) == (False, [9_999])
        # As resuming does: the journal is cut back, and those of before count no more.
        assert after(lambda: path.write_bytes(b"".join(lines[:2]))) == (
            True,
            [json.loads(line)["update"] for line in lines[:2]],
        )


# Starting


def test_a_long_journal_is_read_to_its_end_before_it_counts_as_read(tmp_path, monkeypatch):
    small_runs.train(tmp_path / "book", epochs=1)
    monkeypatch.setattr(journal_follower, "MOST_BYTES", 1_500)
    index = run_index.RunIndex(tmp_path, training_jobs.Jobs(tmp_path))
    last = file_contents.lines_of(tmp_path / "book" / "metrics.jsonl")[-1]
    until(lambda: index.read_list(refresh=True).runs[0].seconds == last["seconds"])
