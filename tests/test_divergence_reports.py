"""The command line, the report and the server say that a run diverged, in the same words."""

import shlex

import pytest
from typer.testing import CliRunner

import small_runs
from charloom.cli import app
from charloom.config import Config
from charloom.messages import for_command_line, for_page
from charloom.report import write_report
from charloom.training.divergence_message import divergence_sentence
from file_contents import lines_of
from pages import Page

DIVERGING = "--recipe classic --hidden-size 8 --seq-length 5 --updates 60 --report-every 20"
DIVERGING += " --learning-rate 1000 --validation 0.2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a run that diverged, and one that did not."""
    path = tmp_path_factory.mktemp("divergence")
    small_runs.train(path / "sound", validation=0.2)
    (path / "book.txt").write_text(small_runs.TEXT)
    words = ["train", str(path / "book.txt"), "--run", str(path / "away"), *shlex.split(DIVERGING)]
    done = CliRunner().invoke(app, words, prog_name="charloom")
    assert done.exit_code == 0, done.output
    (path / "stderr").write_text(done.stderr)
    return path


def expected(run):
    """Return the marked sentence about a run that diverged, without its first letter."""
    last = lines_of(run / "metrics.jsonl")[-1]
    config = Config(learning_rate=1000.0, seq_length=5, hidden_size=8, validation=0.2)
    size = len(set(small_runs.TEXT))
    sentence = divergence_sentence(config, size, last["update"], last["train_nats"])
    assert sentence is not None
    return sentence[1:]


def test_the_closing_lines_say_that_training_diverged(folder):
    *_, closing = (folder / "stderr").read_text().partition("60 / 60")
    assert for_command_line(expected(folder / "away")) in closing
    assert "worse than a uniform guess" in closing
    assert "a lower --learning-rate than 1000" in closing
    assert "overfits" not in closing
    assert "gibberish" not in closing


def test_the_report_says_that_training_diverged(folder):
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    away, sound = (
        Page(write_report(folder / name).read_text(encoding="utf-8")).words
        for name in ("away", "sound")
    )
    assert for_command_line(expected(folder / "away")) in away
    assert "overfits" not in away
    assert "diverged" not in sound


def test_the_server_says_that_training_diverged(folder):
    pytest.importorskip("fastapi", reason="the extra web is not installed")
    from starlette.testclient import TestClient

    from charloom.web.server import make_app
    from web_servers import HERE, app_state

    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        runs = {run["key"]: run for run in client.get("/api/runs").json()["runs"]}
    assert runs["away"]["divergence"] == "T" + for_page(expected(folder / "away"))
    assert runs["sound"]["divergence"] is None


@pytest.mark.parametrize(
    ("nats", "diverged"), [(0.5, False), (3.0, False), (4.5, False), (4.7, True), (1e30, True)]
)
def test_only_a_loss_far_above_that_of_a_uniform_guess_counts(nats, diverged):
    """With ten characters, a uniform guess has ln 10 = 2.30 nats; a network without training has about as much."""
    assert (divergence_sentence(Config(), 10, 7, nats) is not None) is diverged


def test_the_advice_depends_on_the_factor_of_the_learning_rate():
    sentence = divergence_sentence(Config(), 10, 7, 99.0, learning_rate_factor=50.0)
    assert "made the learning rate 50 times as high" in sentence
