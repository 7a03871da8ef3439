"""A folder of runs and a client of its server, for the tests of runs over HTTP."""

import pytest

import small_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a finished, a stopped, a nested and a damaged run."""
    path = tmp_path_factory.mktemp("shelf")
    small_runs.train(path / "book", validation=0.2)
    small_runs.train(path / "cut short", halt=small_runs.after(3))
    small_runs.train(path / "more" / "deep")
    (path / "broken").mkdir()
    (path / "broken" / "config.json").write_text("{")
    (path / "notes.txt").write_text("no run")
    return path


@pytest.fixture(scope="module")
def client(folder):
    """Return a client of a server of that folder. Tests only read it."""
    from starlette.testclient import TestClient

    from charloom.web.server import make_app
    from web_servers import HERE, app_state

    with TestClient(make_app(app_state(folder)), base_url=HERE) as client:
        yield client
