"""The server sends a model as the files that `charloom export` and `Model.save` write."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import httpx
from starlette.testclient import TestClient
from typer.testing import CliRunner

import charloom
import small_runs
from charloom.cli import app
from charloom.web import download_routes
from charloom.web.server import make_app
from waiting import until
from web_servers import HERE, LiveServer, app_state

SUFFIXES = {"html": ".html", "torch": ".torch.safetensors", "onnx": ".onnx"}


@pytest.mark.parametrize("to", SUFFIXES)
def test_a_download_has_the_bytes_of_charloom_export(client, folder, tmp_path, to):
    answer = client.get(f"/api/models/book/file?to={to}")
    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="book{SUFFIXES[to]}"'
    path = tmp_path / f"book{SUFFIXES[to]}"
    done = CliRunner().invoke(
        app, ["export", str(folder / "book"), "--to", to, "--output", str(path)]
    )
    assert done.exit_code == 0, done.output
    assert answer.content == path.read_bytes()


@pytest.mark.parametrize("key", ["book", "book@latest", "book@best", "kept.safetensors"])
def test_a_downloaded_model_file_writes_the_same_text(client, folder, tmp_path, key):
    answer = client.get(f"/api/models/{key}/file")
    name = key.replace("@", "-").removesuffix(".safetensors") + ".safetensors"
    assert f'filename="{name}"' in answer.headers["content-disposition"]
    (tmp_path / name).write_bytes(answer.content)
    name, _, which = key.partition("@")
    wanted = charloom.load(folder / name, which=which or None).sample("the ", 80, seed=3)
    assert charloom.load(tmp_path / answer_name(answer)).sample("the ", 80, seed=3) == wanted


def answer_name(answer):
    """Return the name of the file in a response."""
    return answer.headers["content-disposition"].split('"')[1]


def test_an_earlier_checkpoint_can_be_downloaded(client, folder, tmp_path):
    models = client.get("/api/models").json()["models"]
    of_book = [model["which"] for model in models if model["run"] == "book"]
    updates = [int(which) for which in of_book if which.isdigit()]
    key = f"book@{max(updates)}"
    (tmp_path / "model.safetensors").write_bytes(client.get(f"/api/models/{key}/file").content)
    assert charloom.load(tmp_path / "model.safetensors").update == max(updates) > 0


def test_a_model_with_n_grams_is_refused_or_sent_without_them(tmp_path):
    small_runs.train(tmp_path / "counted", ngram_order=3)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        refused = client.get("/api/models/counted/file?to=onnx")
        assert refused.status_code == 422
        error = refused.json()["error"]
        assert "“network alone”" in error["message"]
        assert (error["param"], error["code"]) == ("to", "has_ngrams")
        alone = client.get("/api/models/counted/file?to=onnx&network_alone=true")
        assert alone.status_code == 200
        assert client.get("/api/models/counted/file?to=hub").status_code == 422
        assert client.get("/api/models/none/file").status_code == 404


def test_the_number_of_conversions_is_limited(tmp_path, monkeypatch):
    statuses = []

    def exported(*_):
        """Return a file, after another request for a file was refused."""
        statuses.append(client.get("/api/models/book/file").status_code)
        return "x.bin", b"x"

    monkeypatch.setattr(download_routes, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(download_routes, "exported", exported)
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        for _ in range(2):
            assert client.get("/api/models/book/file").status_code == 200
    assert statuses == [503, 503]


def test_a_file_that_a_client_does_not_read_counts_as_a_download(tmp_path, monkeypatch):
    data = bytes(16 * 1024 * 1024)  # much more than the buffers of a connection hold
    monkeypatch.setattr(download_routes, "MOST_AT_ONCE", 1)
    monkeypatch.setattr(download_routes, "exported", lambda *_: ("x.bin", data))
    with LiveServer(tmp_path) as live, httpx.Client(base_url=live.url, timeout=60) as client:
        with client.stream("GET", "/api/models/book/file") as answer:
            assert answer.status_code == 200
            refused = httpx.get(f"{live.url}/api/models/book/file", timeout=60)
            assert refused.status_code == 503
            assert "1 models are being downloaded" in refused.json()["error"]["message"]
            assert answer.read() == data
        until(lambda: client.get("/api/models/book/file").status_code == 200)
