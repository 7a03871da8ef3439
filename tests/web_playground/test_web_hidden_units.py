"""The server shows and ranks the hidden units of a model."""

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx

import charloom
import small_runs
from charloom.web import inside_routes
from waiting import until
from web_servers import LiveServer


def test_a_unit_and_the_map_of_all_units_show_the_same(client, folder):
    text = small_runs.TEXT[:200]
    body = {"model": "book", "text": text, "layer": 1, "what": "cell"}
    packed = client.post("/api/inside/map", json=body).json()
    values = np.frombuffer(base64.b64decode(packed["values"]), dtype=np.uint8)
    values = values.reshape(packed["units"], len(text)) / 255
    values = packed["low"] + values * (packed["high"] - packed["low"])
    for number in range(packed["units"]):
        unit = client.post("/api/inside/unit", json={**body, "unit": number}).json()
        np.testing.assert_allclose(unit["values"], values[number], atol=packed["high"] / 200)
    model = charloom.load(folder / "book")
    ids = model.vocabulary.encode(text)
    state = {name: s[:, :1] for name, s in model.learner.state.items()}
    zero = {name: np.zeros_like(s) for name, s in state.items()}
    found, _ = model.engine.activations(model.learner, ids, zero)
    np.testing.assert_allclose(unit["values"], found["cell"][:, 1, number], atol=1e-4)


def test_units_are_ranked_by_properties_marks_and_patterns(client):
    text = small_runs.TEXT[:400]
    body = {
        "model": "book",
        "text": text,
        "pattern": "cat",
        "marks": [[0, 40], [100, 160]],
        "top": 3,
    }
    found = client.post("/api/inside/ranking", json=body).json()
    named = {row["property"]: row for row in found["properties"]}
    assert {"in-quotes", "line-position", "pattern", "marked"} <= set(named)
    best = [abs(unit["r"]) for unit in named["pattern"]["units"]]
    assert len(best) == 3
    assert best == sorted(best, reverse=True)
    assert named["marked"]["mean"] == pytest.approx(100 / 400)


@pytest.mark.parametrize("pattern", [r"\bth?e\b", "^.", "c.t", "[aeiou]+"])
def test_a_pattern_has_the_units_of_the_command_neurons(client, folder, pattern):
    text = small_runs.TEXT[:400]
    body = {"model": "book", "text": text, "pattern": pattern, "top": 3}
    found = client.post("/api/inside/ranking", json=body).json()
    (shown,) = (row for row in found["properties"] if row["property"] == "pattern")
    model = charloom.load(folder / "book")
    (finding,) = charloom.neurons(model, string=text, pattern=pattern, top=3).findings
    wanted = finding.to_json()
    # An engine with other threads computes sums with other last bits.
    wanted["by_chance"] = pytest.approx(wanted["by_chance"])
    wanted["units"] = [{**unit, "r": pytest.approx(unit["r"])} for unit in wanted["units"]]
    assert shown == wanted


@pytest.mark.parametrize(
    ("pattern", "seconds", "message"),
    [
        ("(a", 600.0, "the pattern '(a' is not a regular expression"),
        (r"(\w+\W*)+\d$", 2.0, "was ended after 2 seconds; give a simpler pattern or a shorter"),
    ],
)
def test_a_wrong_or_endless_pattern_is_refused(client, monkeypatch, pattern, seconds, message):
    monkeypatch.setattr("charloom.web.inside_routes.SEARCH_SECONDS", seconds)
    body = {"model": "book", "text": small_runs.TEXT[:400], "pattern": pattern}
    answer = client.post("/api/inside/ranking", json=body)
    assert answer.status_code == 422
    assert answer.json()["error"]["param"] == "pattern"
    assert message in answer.json()["error"]["message"]


def test_a_third_search_for_a_pattern_waits_outside_the_queue_of_requests(folder, monkeypatch):
    ended = threading.Event()

    def endless(*_):
        while not ended.wait(0.01):
            yield
        return []

    monkeypatch.setattr(inside_routes, "match_spans_in_slices", endless)
    monkeypatch.setattr(inside_routes, "WAIT_SECONDS", 0.2)
    body = {"model": "book", "text": small_runs.TEXT[:400], "pattern": "cat"}
    with LiveServer(folder) as live, ThreadPoolExecutor(2) as pool:
        address = f"{live.url}/api/inside/ranking"
        first = [pool.submit(httpx.post, address, json=body, timeout=60) for _ in range(2)]
        try:
            until(lambda: live.app_state.queue.working == 2)
            refused = httpx.post(address, json=body, timeout=60)
            assert refused.status_code == 503
            assert "searches for 2 other patterns" in refused.json()["error"]["message"]
            without = {**body, "pattern": None}
            assert httpx.post(address, json=without, timeout=60).status_code == 200
        finally:
            ended.set()
        assert [answer.result().status_code for answer in first] == [200, 200]


@pytest.mark.parametrize(
    ("path", "change", "named"),
    [
        ("unit", {"layer": 2}, "layer"),
        ("unit", {"unit": 8}, "unit"),
        ("unit", {"what": "z"}, "what"),
        ("unit", {"what": "everything"}, "what"),
        ("map", {"text": "a" * 4_001}, "text"),
        ("unit", {"text": ""}, "text"),
        ("ranking", {"text": "the cat"}, "too short"),
        ("ranking", {"marks": [[5, 2]]}, "span"),
        ("ranking", {"marks": [[0, 10**9]]}, "span"),
        ("ranking", {"marks": [[1, 2, 3]]}, "marks"),
        ("ranking", {"text": "no # here"}, "characters"),
    ],
)
def test_invalid_requests_about_units_are_refused(client, path, change, named):
    body = {"model": "book", "text": small_runs.TEXT[:200], **change}
    answer = client.post(f"/api/inside/{path}", json=body)
    assert answer.status_code == 422, answer.text
    assert named in json.dumps(answer.json()) or "100" in answer.json()["error"]["message"]
