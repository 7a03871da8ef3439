"""The server shows the search for the learning rate of a run, while it runs and afterwards."""

import os
import time

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

from starlette.testclient import TestClient

import small_runs
from charloom.canonical_form import canonical_json
from charloom.messages import READING, SEARCHING
from charloom.run_file_names import LEARNING_RATES
from charloom.store.format_versions import LEARNING_RATES_FORMAT
from charloom.web import training_jobs
from charloom.web.schemas import RunDetail
from charloom.web.server import make_app
from waiting import until
from web_servers import HERE, app_state

ROUNDS = [
    {"updates": 6, "learning_rates": [0.001, 0.01, 0.1, 1.0], "losses": [4.0, 3.5, 90.0, None]},
    {"updates": 24, "learning_rates": [0.0056, 0.01, 0.018], "losses": [3.1, 3.0, 3.2]},
]


def store_search(run, **changes):
    """Write a search into a run directory."""
    search = {"format": LEARNING_RATES_FORMAT, "learning_rate": 0.01, "rounds": ROUNDS, **changes}
    (run / LEARNING_RATES).write_bytes(canonical_json(search))


@pytest.fixture
def client(tmp_path):
    small_runs.train(tmp_path / "book", epochs=1)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        yield client


def test_a_run_has_its_search_with_the_part_that_a_plot_shows(client, tmp_path):
    assert client.get("/api/runs/book").json()["search"] is None
    store_search(tmp_path / "book")
    detail = client.get("/api/runs/book").json()
    RunDetail.model_validate(detail)
    plot = detail["search"].pop("plot")
    assert detail["search"] == {"learning_rate": 0.01, "rounds": ROUNDS}
    assert plot["left_out"] == [0.1, 1.0]
    assert plot["learning_rates"][1] == 0.1
    assert plot["losses"][0] < 3.0 < 4.0 < plot["losses"][1] < 5.0
    assert detail["damage"] == []


def test_a_damaged_search_is_left_out_and_reported(client, tmp_path):
    store_search(tmp_path / "book", rounds=[])
    detail = client.get("/api/runs/book").json()
    assert detail["search"] is None
    (sentence,) = detail["damage"]
    assert sentence.endswith("is damaged: it has no search for a learning rate.")


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (f"{SEARCHING} …", "Searching for the learning rate"),
        (f"{SEARCHING}: 105 of at most 400 updates", "Searching for the learning rate: 105 of at most 400 updates"),
        ("the learning rate is 0.1, which has the lowest loss", None),
        (f"{READING}: 40 %, about 15 s left", "Reading the text: 40 %, about 15 s left"),
        ("the text was read in 25 s.", None),
        ("", None),
    ],
)  # fmt: skip
def test_a_run_that_starts_says_how_far_its_reading_or_search_is(tmp_path, output, reason):
    log = tmp_path / "x.log"
    log.write_text(f"charloom: a message\ncharloom: {output}\n")
    job = training_jobs.Job("x", os.getpid(), time.time(), "cat", "quick", log)
    assert job.state("starting", None, None) == ("starting", reason)


def test_a_run_is_started_with_a_search(tmp_path):
    settings = {"find_learning_rate": True, "hidden_size": 4, "seq_length": 5, "updates": 20}
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        text = client.post("/api/texts", json={"name": "cat", "text": 30 * small_runs.TEXT})
        body = {"text": text.json()["key"], "recipe": "classic", "settings": settings}
        assert client.post("/api/runs", json=body).json() == {"run": "cat-1"}

        def detail():
            found = client.get("/api/runs/cat-1").json()
            assert found["run"]["state"] != "failed", found
            return found if found["run"]["state"] == "finished" else None

        found = until(detail, 60)
    assert found["search"]["rounds"][-1]["updates"] == 20
    assert found["settings"]["learning_rate"] == found["search"]["learning_rate"]
    assert f"charloom: {SEARCHING} …" in (tmp_path / ".jobs" / "cat-1.log").read_text().splitlines()
