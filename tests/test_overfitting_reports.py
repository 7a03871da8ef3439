"""The server and the report say that a finished run overfits, in the words of the command line."""

import json
import re

import pytest

import overfitting_runs
import small_runs
from charloom.messages import for_command_line, for_page, terminal_command
from charloom.report import write_report
from charloom.training import overfitting
from charloom.training.overfitting_message import overfitting_sentence
from file_contents import lines_of
from pages import Page


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a run that overfits, one that does not, and one that is not finished."""
    path = tmp_path_factory.mktemp("overfitting")
    overfitting_runs.train(path / "over")
    small_runs.train(path / "sound", validation=0.2)
    overfitting_runs.train(path / "unfinished")
    status = json.loads((path / "unfinished" / "status.json").read_text())
    status["state"] = "stopped"
    (path / "unfinished" / "status.json").write_text(
        json.dumps(status, separators=(",", ":"), sort_keys=True) + "\n"
    )
    return path


def sentence_of(run, writer):
    """Return the marked sentence about a run, with a capital letter. `writer` formats its values."""
    found = overfitting(lines_of(run / "metrics.jsonl"))
    assert found is not None
    best = int((run / "checkpoints" / "best").read_text().split()[0])
    sentence = overfitting_sentence(found, best, writer)
    return sentence[0].upper() + sentence[1:]


def test_the_server_reports_overfitting_only_for_a_finished_run(folder):
    pytest.importorskip("fastapi", reason="the extra web is not installed")
    from starlette.testclient import TestClient

    from charloom.web.server import make_app
    from web_servers import HERE, app_state

    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        runs = {run["key"]: run for run in client.get("/api/runs").json()["runs"]}
        fields = {s["name"] for s in client.get("/api/about").json()["settings"]}
    assert runs["over"]["overfitting"] == for_page(sentence_of(folder / "over", "Playground"))
    assert "Playground uses the best checkpoint." in runs["over"]["overfitting"]
    named = re.findall("“(.+?)”", runs["over"]["overfitting"])
    assert {name.replace(" ", "_") for name in named} == {"dropout", "hidden_size", "patience"}
    assert {"dropout", "hidden_size", "patience", "judge_every"} <= fields
    assert runs["sound"]["overfitting"] is None
    assert (runs["unfinished"]["state"], runs["unfinished"]["overfitting"]) == ("stopped", None)


def test_the_report_states_overfitting_only_for_a_finished_run(folder):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    words = {
        name: Page(write_report(folder / name).read_text(encoding="utf-8")).words
        for name in ("over", "sound", "unfinished")
    }
    sentence = for_command_line(
        sentence_of(folder / "over", terminal_command("sample", folder / "over"))
    )
    assert " ".join(sentence.split()) in " ".join(words["over"].split())
    assert "overfits" not in words["sound"]
    assert "overfits" not in words["unfinished"]
