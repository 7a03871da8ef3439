"""A folder with a run and its server, for the tests of the request guard."""

import pytest

import small_runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a run. Beside it is a file that nobody may reach."""
    path = tmp_path_factory.mktemp("door")
    (path / "secret.txt").write_text("the secret")
    small_runs.train(path / "runs" / "book", epochs=1)
    return path / "runs"


@pytest.fixture(scope="module")
def live(folder):
    """Return a server of the folder."""
    from web_servers import LiveServer

    with LiveServer(folder) as live:
        yield live
