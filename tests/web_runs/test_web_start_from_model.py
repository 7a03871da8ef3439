"""The server starts training runs from the models of the folder."""

import pytest

pytest.importorskip("fastapi", reason="the extra web is not installed")

import numpy as np
from starlette.testclient import TestClient

import charloom
import small_runs
from charloom.finetune import NETWORK, tuned_config
from charloom.store.run_directory import checkpoint_path
from charloom.web.model_cache import ModelCache
from charloom.web.run_index import RunIndex
from charloom.web.server import make_app
from charloom.web.training_jobs import Jobs
from waiting import until
from web_servers import HERE, app_state

# Only characters that the model knows, and others than in its text.
KNOWN = 20 * "a cat sat on a mat and ran; the dog has a wet old log on it. "[:-3]
# A training that is best before its end.
TOO_FAST = {"optimizer": "sgd", "learning_rate": 2.0}
NOT_MOVING = {"updates": 3, "learning_rate": 1e-30, "averaging": 0.0, "validation": 0.0}


@pytest.fixture
def shelf(tmp_path):
    """Yield a client of a server with the run cats, whose best model is not its latest, and a model file."""
    small_runs.train(tmp_path / "cats", cell="gru", epochs=4, validation=0.2, **TOO_FAST)
    charloom.load(tmp_path / "cats").save(tmp_path / "cats.safetensors")
    with TestClient(make_app(app_state(tmp_path)), base_url=HERE) as client:
        client.folder = tmp_path
        yield client


def start(client, text, **request):
    """Start a run, and return its entry in the list when it has ended."""
    key = client.post("/api/texts", json={"name": "other", "text": text}).json()["key"]
    answer = client.post("/api/runs", json={"text": key, **request})
    assert answer.status_code == 202, answer.json()
    run = answer.json()["run"]

    def ended():
        found = client.get(f"/api/runs/{run}").json()["run"]
        return found if found["state"] in ("finished", "failed") else None

    return until(ended, 60)


@pytest.mark.parametrize("model", ["cats", "cats@latest", "cats.safetensors"])
def test_a_run_has_the_network_the_settings_and_the_weights_of_its_model(shelf, model):
    ended = start(shelf, KNOWN, from_model=model, settings=NOT_MOVING)
    assert ended["state"] == "finished", ended
    which = "latest" if model == "cats@latest" else "best"
    before = charloom.load(shelf.folder / "cats", which=which)
    after = charloom.load(shelf.folder / ended["key"])
    wanted = tuned_config(before.config, **NOT_MOVING)
    assert after.config.replace(threads=0) == wanted.replace(threads=0)
    assert after.learner.vocabulary == before.learner.vocabulary
    for name, weights in before.learner.parameters.items():
        # The learning rate is far below the distance between two neighbouring float32 numbers.
        np.testing.assert_array_equal(after.learner.parameters[name], weights, err_msg=name)


def test_the_best_and_the_latest_model_of_that_run_differ(shelf):
    """Otherwise the test above would not tell them apart."""
    best, latest = (charloom.load(shelf.folder / "cats", which=name) for name in ("best", "latest"))
    assert not np.array_equal(best.learner.parameters["V"], latest.learner.parameters["V"])


def test_a_named_recipe_replaces_the_settings_of_the_model_but_not_its_network(shelf):
    settings = {"updates": 2, "validation": 0.0}
    ended = start(shelf, KNOWN, from_model="cats", recipe="classic", settings=settings)
    before, after = (charloom.load(shelf.folder / key).config for key in ("cats", ended["key"]))
    assert (after.recipe, after.seq_length) == ("classic", 25)
    assert all(getattr(after, name) == getattr(before, name) for name in NETWORK)


def test_a_text_with_unknown_characters_fails_unless_they_are_skipped_or_replaced(shelf):
    request = {"from_model": "cats", "settings": NOT_MOVING}
    failed = start(shelf, KNOWN + "Ω", **request)
    assert failed["state"] == "failed"
    assert "use “unknown” skip, or “unknown” replace with a “replacement”" in failed["reason"]
    skipping = {**NOT_MOVING, "unknown": "skip"}
    assert start(shelf, KNOWN + "Ω", from_model="cats", settings=skipping)["state"] == "finished"
    replacing = {**NOT_MOVING, "unknown": "replace", "replacement": "a"}
    replaced = start(shelf, KNOWN + "Ω", from_model="cats", settings=replacing)
    assert replaced["state"] == "finished", replaced


def test_the_request_of_a_failed_start_names_its_model(shelf):
    failed = start(shelf, KNOWN + "Ω", from_model="cats", settings=NOT_MOVING)
    request = shelf.get(f"/api/runs/{failed['key']}").json()["request"]
    assert (request["from_model"], request["recipe"]) == ("cats", None)


@pytest.mark.parametrize(
    ("request_", "status", "named"),
    [
        ({"from_model": "dogs"}, 422, "choose another. The reason: there is no model 'dogs'"),
        ({"from_model": "cats@9999"}, 422, "cats has no checkpoint 9999 any more"),
        ({"from_model": "cats", "settings": {"unknown": "replace", "replacement": "Ω"}}, 422, "does not know"),
        ({"from_model": "cats", "settings": {"unknown": "replace", "replacement": "\0"}}, 422, "does not know"),
        ({"from_model": "cats", "settings": {"hidden_size": 9}}, 422, "“hidden size” is 9, but the given model has 8"),
        ({"from_model": "cats", "settings": {"unknown": "replace"}}, 422, "“replacement”"),
        ({"settings": {"unknown": "skip"}}, 422, "“unknown” has no meaning without a model"),
        ({"settings": {"replacement": "a"}}, 422, "“replacement” has no meaning without a model"),
    ],
)  # fmt: skip
def test_a_start_that_does_not_fit_the_model_is_refused(shelf, request_, status, named):
    answer = shelf.post("/api/runs", json={"text": "builtin.python-docs", **request_})
    assert answer.status_code == status
    assert named in answer.json()["error"]["message"]
    assert not (shelf.folder / ".jobs").exists()


def test_a_model_shows_the_settings_of_a_run_that_starts_from_it(shelf):
    shown = shelf.get("/api/models/cats").json()
    settings = charloom.load(shelf.folder / "cats").config.to_dict()
    assert shown["settings"] == {
        **settings,
        "updates": None,
        "unknown": "refuse",
        "replacement": "",
    }
    assert (shown["settings"]["epochs"], shown["minutes"]) == (4, None)
    small_runs.train(shelf.folder / "minute", recipe="quick", updates=5)
    until(lambda: shelf.get("/api/models/minute").status_code == 200)
    assert shelf.get("/api/models/minute").json()["minutes"] == 1


@pytest.mark.parametrize("recipe", [None, "classic"])
def test_a_starting_run_shows_its_recipe_and_that_of_its_model(shelf, monkeypatch, recipe):
    started = []
    monkeypatch.setattr(Jobs, "start", lambda jobs, *given: started.append(given))
    body = {"text": "builtin.python-docs", "from_model": "cats@latest"}
    answer = shelf.post("/api/runs", json=body if recipe is None else {**body, "recipe": recipe})
    assert answer.status_code == 202
    ((_, command, _, shown, request),) = started
    assert shown == (recipe or charloom.load(shelf.folder / "cats").config.recipe)
    assert request.get("recipe") == recipe
    assert command.count("--recipe") == (recipe is not None)


def test_the_form_is_told_which_settings_belong_to_the_network(shelf):
    settings = shelf.get("/api/about").json()["settings"]
    assert {setting["name"] for setting in settings if setting["of_network"]} == set(NETWORK)
    needing = {setting["name"]: setting["kind"] for setting in settings if setting["needs_model"]}
    assert needing == {"unknown": "choice", "replacement": "character"}


def test_the_path_of_a_model_is_that_of_its_run_checkpoint_or_file(tmp_path):
    small_runs.train(tmp_path / "cats", cell="gru", epochs=4, validation=0.2, **TOO_FAST)
    run = (tmp_path / "cats").resolve()
    latest = charloom.load(run, which="latest").update
    cache = ModelCache(RunIndex(tmp_path, Jobs(tmp_path)))
    assert cache.path_of("cats") == cache.path_of("cats@best") == run
    assert cache.path_of("cats@latest") == checkpoint_path(run, latest)
    assert cache.path_of(f"cats@{latest}") == checkpoint_path(run, latest)
