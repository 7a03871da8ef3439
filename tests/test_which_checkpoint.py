"""Every interface uses the best model of a run with a validation part, and the latest model otherwise."""

import json
import random
import shlex

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

import charloom
from charloom import api
from charloom.cli import app
from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError
from charloom.store import load_model, read_run
from charloom.training import Progress, Record, Warned, passage
from charloom.web.server import make_app
from web_servers import HERE, app_state

NOISE = "".join(random.Random(5).choices("abcdefgh ", k=300))  # nothing to learn but by heart
OVER = {
    "recipe": "classic", "hidden_size": 32, "seq_length": 20, "updates": 300, "judge_every": 20,
    "report_every": 20, "validation": 0.2, "optimizer": "adam", "learning_rate": 0.01, "seed": 1,
    "engine": "reference",
}  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return two finished runs of a text that can only be memorized, with and without a validation part."""
    folder = tmp_path_factory.mktemp("which")
    charloom.train(string=NOISE, run=folder / "judged", **OVER)
    charloom.train(
        string=NOISE, run=folder / "alone", **(OVER | {"validation": None, "updates": 60})
    )
    return folder


def command(*words):
    """Run a command in this process."""
    return CliRunner().invoke(app, [str(word) for word in words], prog_name="charloom")


def same(one, other):
    """Return True if two learners have the same weights."""
    return all(
        np.array_equal(one.parameters[name], other.parameters[name]) for name in one.parameters
    )


def test_with_a_validation_part_the_best_checkpoint_is_the_model(runs):
    view = read_run(runs / "judged")
    assert view.best < view.latest
    model = charloom.load(runs / "judged")
    assert (model.which, model.learner.update, model.updates) == ("best", view.best, 300)
    assert model.stage == f"the best model (update {view.best} of 300)"
    assert model.stage in repr(model)
    latest = charloom.load(runs / "judged", which="latest")
    assert (latest.which, latest.learner.update) == ("latest", 300)
    assert api.learner_of(runs / "judged").update == view.best
    assert model.evaluate().nats < latest.evaluate().nats


def test_without_a_validation_part_the_latest_checkpoint_is_the_model(runs):
    view = read_run(runs / "alone")
    model = charloom.load(runs / "alone")
    assert (model.which, model.learner.update) == ("latest", view.latest)
    assert charloom.load(runs / "alone", which="best").learner.update == view.best


def test_a_checkpoint_and_a_model_file_are_neither_best_nor_latest(runs, tmp_path):
    view = read_run(runs / "judged")
    checkpoint = charloom.load(runs / "judged" / "checkpoints" / str(view.latest))
    assert (checkpoint.which, checkpoint.stage) == (None, "update 300 of 300")
    assert charloom.load(checkpoint.save(tmp_path / "m.safetensors")).which is None


def test_before_the_first_evaluation_the_latest_checkpoint_is_the_model(runs, tmp_path):
    settings = OVER | {"judge_every": 1_000, "epochs": 1_000, "updates": None}

    def stop(item):
        if isinstance(item, Progress) and item.update >= 5:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError):
        charloom.train(string=NOISE, run=tmp_path / "run", listener=stop, **settings)
    model = charloom.load(tmp_path / "run")
    assert model.which == "latest"
    assert model.learner.update >= 5


def test_with_damaged_settings_a_checkpoint_decides_which_is_the_model(runs, tmp_path):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(runs / "judged", run)
    (run / "config.json").write_bytes(b"{}")
    assert load_model(run).update == read_run(runs / "judged").best


@pytest.mark.parametrize("keep", [True, False], ids=["run", "memory"])
def test_train_returns_the_best_model_or_the_latest_on_request(runs, tmp_path, keep):
    view = read_run(runs / "judged")
    run = {"run": tmp_path / "run"} if keep else {}
    best = charloom.train(string=NOISE, **run, **OVER)
    assert (best.which, best.learner.update) == ("best", view.best)
    assert same(best.learner, load_model(runs / "judged", "best"))
    run = {"run": tmp_path / "other"} if keep else {}
    latest = charloom.train(string=NOISE, which="latest", **run, **OVER)
    assert (latest.which, latest.learner.update) == ("latest", view.latest)
    assert same(latest.learner, load_model(runs / "judged", "latest"))


def test_resume_returns_the_best_model_and_continues_from_the_latest(runs):
    view = read_run(runs / "judged")
    assert charloom.resume(runs / "judged").learner.update == view.best
    assert charloom.resume(runs / "judged", which="latest").learner.update == 300


def test_which_accepts_only_best_and_latest(runs):
    for ask in (
        lambda: charloom.train(string=NOISE, which="last", **OVER),
        lambda: charloom.resume(runs / "judged", which="last"),
        lambda: charloom.load(runs / "judged", which="last"),
    ):
        with pytest.raises(ConfigError, match="which is 'last'; it must be best or latest"):
            ask()
    with pytest.raises(
        ConfigError, match=r"kept only if there is a validation part; give validation=0\.1, or run"
    ):
        charloom.train(string=NOISE, which="best", **(OVER | {"validation": 0.0}))


def test_a_rollback_in_memory_forgets_a_later_best_model(monkeypatch):
    """The first evaluation after the copy for the rollback is the best one. Then training diverges."""
    from charloom.training import Best, in_memory, train_in_memory

    monkeypatch.setattr(in_memory, "COPY_UPDATES", 40)
    config = Config(**{k: v for k, v in OVER.items() if k != "recipe"})
    corpus = api.open_text(None, NOISE)
    learner = api.training.new_learner(config, corpus.vocabulary)
    best, broken = Best(), []
    for item in train_in_memory(learner, corpus.ids, ReferenceEngine(), best=best):
        if isinstance(item, Warned):
            assert best.learner.update == learner.best_update <= learner.update
        if isinstance(item, Record) and item.update == 60 and not broken:
            broken.append(best.learner.update)
            learner.parameters["V"][:] = np.nan
    assert broken
    assert best.learner.update == learner.best_update
    assert np.isfinite(best.learner.parameters["V"]).all()


def test_the_passage_is_sampled_from_the_model_of_the_run(runs):
    corpus = api.open_text(None, NOISE)
    for name, which in (("judged", "best"), ("alone", "latest")):
        learner = load_model(runs / name, which)
        view = read_run(runs / name)
        assert view.passage == passage(learner, corpus.ids, ReferenceEngine())
        assert view.events[-1]["passage"] == learner.update


@pytest.mark.parametrize(
    "words", ["sample --json", "score --json --text 'abc a'", "evaluate --json"]
)
def test_commands_use_the_model_of_the_run_and_say_which(runs, words):
    name, *options = shlex.split(words)
    view = read_run(runs / "judged")
    result = json.loads(command(name, runs / "judged", *options).stdout)
    assert (result["which"], result["update"]) == ("best", view.best)
    result = json.loads(command(name, runs / "judged", *options, "--which", "latest").stdout)
    assert (result["which"], result["update"]) == ("latest", view.latest)


def test_neurons_and_evaluate_print_which_model_they_use(runs):
    stage = f"{runs / 'judged'}, the best model (update {read_run(runs / 'judged').best} of 300)"
    for name, options in (("evaluate", []), ("neurons", ["--split", "all"])):
        assert f"model:      {stage}" in command(name, runs / "judged", *options).stdout


def test_export_and_further_training_use_the_model_of_the_run(runs, tmp_path):
    best = load_model(runs / "judged", "best")
    file = tmp_path / "m.torch.safetensors"
    done = command("export", runs / "judged", "--output", file)
    assert done.exit_code == 0, done.output
    done = command("import", file, "--output", tmp_path / "m.safetensors")
    assert done.exit_code == 0, done.output
    assert same(load_model(tmp_path / "m.safetensors"), best)
    text = tmp_path / "noise.txt"
    text.write_text(NOISE)
    done = command(
        "train", text, "--from", runs / "judged", "--run", tmp_path / "on", "--updates", 1
    )
    assert done.exit_code == 0, done.output
    assert same(load_model(tmp_path / "on" / "checkpoints" / "0"), best)


def test_the_end_of_a_run_says_which_model_is_used_and_that_it_overfitted(runs, tmp_path):
    text = tmp_path / "noise.txt"
    text.write_text(NOISE)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in OVER.items()]
    done = command("train", text, "--run", tmp_path / "run", *options)
    view = read_run(tmp_path / "run")
    assert f"model:       the best model (update {view.best} of 300)" in done.stdout
    assert (
        f"the validation loss was lowest at update {view.best} and has risen since by"
        in done.stderr
    )
    sample = f"charloom sample {tmp_path / 'run'} uses the best checkpoint. "
    again = "When you train again, try --dropout, a smaller --hidden-size or --patience."
    assert sample + again in done.stderr
    done = command("resume", tmp_path / "run", "--json")
    result = json.loads(done.stdout)
    assert (result["model"], result["overfitting"]["update"]) == ("best", view.best)


def test_the_page_and_v1_list_the_model_under_the_key_of_its_run(runs):
    view = read_run(runs / "judged")
    with TestClient(make_app(app_state(runs)), base_url=HERE) as client:
        models = {model["id"]: model for model in client.get("/api/models").json()["models"]}
        listed = {key: (models[key]["which"], models[key]["update"]) for key in models}
        assert listed["judged"] == ("best", view.best)
        assert listed["judged@latest"] == ("latest", view.latest)
        assert listed["alone"][0] == "latest"
        updates = {
            key: client.get(f"/api/models/{key}").json()["update"]
            for key in ("judged", "judged@best", "judged@latest", "alone", "alone@latest")
        }
        last = read_run(runs / "alone").latest
        assert list(updates.values()) == [view.best, view.best, view.latest, last, last]
        for key in ("judged", "judged@best", "judged@latest", "alone", "alone@latest"):
            assert client.get(f"/v1/models/{key}").json()["id"] == key
        body = {"model": "judged", "prompt": "a", "max_tokens": 40, "seed": 3}
        text = client.post("/v1/completions", json=body).json()["choices"][0]["text"]
        assert text == charloom.load(runs / "judged").sample("a", 40, seed=3)


def test_a_wrong_value_of_which_is_refused_before_the_text_is_opened():
    with pytest.raises(ConfigError, match="which is 'newest'; it must be best or latest"):
        charloom.train("no such text", which="newest", minutes=1)
