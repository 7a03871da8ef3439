"""A server with a small study beside its folder of runs."""

import pytest

from studies.small_studies import SPEC, planned_study, train_here


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a folder with a finished study in `studies/small`, and an empty folder `runs`, which is served."""
    path = tmp_path_factory.mktemp("place")
    (path / "runs").mkdir()
    judged = {"settings": {**SPEC["settings"], "judge_every": 10}}
    study = planned_study(path, **judged)
    train_here(study)
    (path / "studies").mkdir()
    study.path.rename(path / "studies" / "small")
    return path


@pytest.fixture
def serve():
    """Return a function that returns a client of a server of a folder."""
    from contextlib import ExitStack

    from starlette.testclient import TestClient

    from charloom.web.server import make_app
    from web_servers import HERE, app_state

    with ExitStack() as stack:

        def start(folder):
            app = make_app(app_state(folder))
            return stack.enter_context(TestClient(app, base_url=HERE))

        yield start
