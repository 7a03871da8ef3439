"""A folder of models, its server and a client, for the tests of the playground over HTTP."""

import pytest

import charloom
import small_runs
from charloom.text import Corpus


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with two runs, one of them a byte model, and a model file."""
    path = tmp_path_factory.mktemp("models")
    small_runs.train(path / "book", cell="lstm", layers=2, validation=0.2)
    umlauts = Corpus.from_text(small_runs.TEXT.replace("o", "ö€"), tokens="bytes")
    small_runs.train(path / "bytes", umlauts, tokens="bytes", cell="gru")
    charloom.load(path / "book").save(path / "kept.safetensors")
    return path


@pytest.fixture(scope="module")
def live(folder):
    """Return a server that listens. Tests leave no work running on it."""
    from web_servers import LiveServer

    with LiveServer(folder) as live:
        yield live


@pytest.fixture(scope="module")
def client(folder):
    """Return a client of a server of that folder."""
    from starlette.testclient import TestClient

    from charloom.web.server import make_app
    from web_servers import HERE, app_state

    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        yield client
