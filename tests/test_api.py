"""The Python interface: train, resume, load and reproduce, with the names and defaults of the commands."""

import json
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import charloom
from book_text import TEXT
from charloom import api
from charloom.api import time_estimates, training_plan
from charloom.api.time_estimates import Costs
from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.errors import ConfigError, NotAModelError, RunExistsError, TextError
from charloom.recipes import RECIPES, configure
from charloom.store import RunWriter, load_model
from charloom.store.control_files import write_status
from charloom.text import Corpus
from charloom.training import Ended, Progress, Record, Sample

SMALL = {
    "recipe": "classic", "hidden_size": 8, "seq_length": 5, "updates": 40, "report_every": 10,
    "seed": 3,
}  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a finished run of a text that was given as a string. Tests only read it."""
    path = tmp_path_factory.mktemp("runs") / "run"
    charloom.train(string=TEXT, run=path, **SMALL)
    return path


def test_train_keeps_a_run_and_returns_its_last_model(book, tmp_path):
    model = charloom.train(book, tmp_path / "run", **SMALL)
    assert model.run == tmp_path / "run"
    assert model.config == configure(**SMALL)
    assert model.vocabulary.characters == tuple(sorted(set(TEXT)))
    records = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    losses = {json.loads(line)["update"]: json.loads(line)["smooth_loss"] for line in records}
    assert model.learner.update == 40
    best = charloom.load(tmp_path / "run", which="best")
    assert best.learner.update == min(losses, key=losses.get)


def test_train_without_a_run_gives_the_same_model_and_writes_nothing(book, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = charloom.train(book, "kept", **SMALL)
    before = sorted(tmp_path.rglob("*"))
    free = charloom.train(book, **SMALL)
    assert sorted(tmp_path.rglob("*")) == before
    assert free.run is None
    assert free.learner.update == kept.learner.update
    for name, array in kept.parameters.items():
        assert free.parameters[name].tobytes() == array.tobytes()


def test_a_text_is_given_as_one_path_several_paths_a_name_or_a_string(book):
    alone = api.open_text(str(book))
    assert api.open_text(book).fingerprint == alone.fingerprint
    assert len(api.open_text([book, str(book)])) == 2 * len(alone)
    assert api.open_text("python-docs").name == "python-docs"
    assert api.open_text(None, TEXT).fingerprint == alone.fingerprint


@pytest.mark.parametrize("given", [{}, {"text": "python-docs", "string": TEXT}], ids=str)
def test_a_text_must_be_given_once(given):
    with pytest.raises(ConfigError, match="either text"):
        charloom.train(**given)


def test_the_listener_receives_every_event_in_order(tmp_path):
    events = []
    charloom.train(string=TEXT, run=tmp_path / "run", listener=events.append, **SMALL)
    records = [item.update for item in events if isinstance(item, Record)]
    assert records == [1, 10, 20, 30, 40]
    assert [item.update for item in events if isinstance(item, Sample)] == [0, 40]
    assert events[-1] == Ended(40, "finished")


def test_a_listener_that_fails_loses_nothing(tmp_path):
    def fail_at_twenty(item):
        if isinstance(item, Progress) and item.update == 20:
            raise RuntimeError("the listener's own mistake")

    with pytest.raises(RuntimeError, match="own mistake"):
        charloom.train(string=TEXT, run=tmp_path / "run", listener=fail_at_twenty, **SMALL)
    assert charloom.load(tmp_path / "run", which="latest").learner.update == 20
    whole = charloom.train(string=TEXT, run=tmp_path / "whole", **SMALL)
    resumed = charloom.resume(tmp_path / "run")
    for name, array in whole.parameters.items():
        assert resumed.parameters[name].tobytes() == array.tobytes()


def test_resume_of_a_finished_run_only_opens_it(run):
    events = []
    model = charloom.resume(run, listener=events.append)
    assert events == []
    assert model.learner.update == charloom.load(run).learner.update


def test_resume_extends_a_run(tmp_path):
    charloom.train(string=TEXT, run=tmp_path / "run", **SMALL)
    events = []
    charloom.resume(tmp_path / "run", updates=60, listener=events.append)
    assert events[-1] == Ended(60, "finished")
    with pytest.raises(ConfigError, match="would end at 50"):
        charloom.resume(tmp_path / "run", updates=50)


def test_resume_finds_a_moved_text(book, tmp_path):
    charloom.train(book, tmp_path / "run", **SMALL)
    moved = book.rename(tmp_path / "moved.txt")
    with pytest.raises(TextError, match="text"):
        charloom.resume(tmp_path / "run", updates=50)
    assert charloom.resume(tmp_path / "run", text=moved, updates=50).run == tmp_path / "run"


def test_train_refuses_a_run_that_exists(run):
    with pytest.raises(RunExistsError, match=r"charloom\.resume"):
        charloom.train(string=TEXT, run=run, **SMALL)


@pytest.mark.parametrize("path", ["a\0b", "x" * 5_000], ids=["null byte", "too long"])
def test_a_value_that_is_not_a_path_is_refused_in_a_sentence(run, path):
    model = charloom.load(run)
    for use in (
        lambda: charloom.train(string=TEXT, run=path, **SMALL),
        lambda: charloom.resume(path),
        lambda: charloom.load(path),
        lambda: charloom.control(path),
        lambda: model.save(path),
    ):
        with pytest.raises(ConfigError, match=r"is not a valid path: .*Give another"):
            use()
    with pytest.raises(TextError, match=r"cannot be read|no such file"):
        charloom.train(path)
    with pytest.raises(ConfigError, match="string is b'abc'; it must be a str, the text itself"):
        charloom.train(string=b"abc")


def test_load_opens_a_run_a_checkpoint_and_a_file(run, tmp_path):
    best = charloom.load(run)
    latest = charloom.load(run, which="latest")
    assert (best.run, latest.learner.update) == (run, 40)
    checkpoint = charloom.load(run / "checkpoints" / "40")
    assert (checkpoint.run, checkpoint.which) == (run, None)
    single = charloom.load(latest.save(tmp_path / "model.safetensors"))
    for name, array in latest.parameters.items():
        assert array.tobytes() == checkpoint.parameters[name].tobytes()
        assert array.tobytes() == single.parameters[name].tobytes()
    assert single.vocabulary == latest.vocabulary
    assert single.sample(length=30) == latest.sample(length=30)
    with pytest.raises(NotAModelError):
        charloom.load(tmp_path / "nowhere")


def test_the_repr_of_a_model_describes_it(run):
    model = charloom.load(run, which="latest")
    assert (
        repr(model)
        == f"<charloom.Model: rnn, H=8, K={len(set(TEXT))}, the latest model (update 40 of 40)>"
    )
    assert model.parameters["V"].shape == (len(set(TEXT)), 8)


def test_samples_depend_only_on_the_seed_and_can_be_streamed_in_pieces(run):
    model = charloom.load(run)
    text = model.sample("the ", length=300, seed=5)
    assert len(text) == 300
    assert text == model.sample("the ", length=300, seed=5)
    assert text != model.sample("the ", length=300, seed=6)
    assert text != model.sample("the ", length=300, seed=5, temperature=0.5)
    pieces = list(model.stream("the ", length=300, seed=5))
    assert "".join(pieces) == text
    assert len(pieces) > 1


def test_the_same_seed_gives_the_same_text_on_every_engine(run):
    reference = charloom.load(run, engine="reference")
    assert reference.engine.name == "reference"
    assert reference.sample(length=50) == charloom.load(run).sample(length=50)


def test_evaluation_is_per_predicted_character(run):
    model = charloom.load(run, engine="reference")
    found = model.evaluate(string="the cat")
    state = {"h": np.zeros((1, 1, 8), np.float32)}
    ids = model.vocabulary.encode("the cat")
    nats, _ = model.engine.score(model.learner, ids[:, None], state)
    assert found.characters == 6
    assert found.nats == pytest.approx(nats.mean())
    assert found.bits == pytest.approx(nats.mean() / np.log(2))
    assert found.perplexity == pytest.approx(np.exp(nats.mean()))


# Settings


def test_unknown_settings_and_recipes_are_refused():
    with pytest.raises(ConfigError, match="'hiden_size': no such setting"):
        charloom.train(string=TEXT, recipe="classic", hiden_size=3)
    with pytest.raises(ConfigError, match="recipe is 'best'"):
        charloom.train(string=TEXT, recipe="best")


@pytest.fixture
def short_calibration(monkeypatch):
    """Shorten the calibration to a twentieth of its time."""
    monkeypatch.setattr(time_estimates, "CALIBRATION_SECONDS", 0.05)


def test_minutes_become_updates_that_the_config_keeps(short_calibration, monkeypatch):
    found = []

    def measured(*given):
        found.append(time_estimates.measure(*given))
        return found[-1]

    monkeypatch.setattr(training_plan, "measure", measured)
    settings = {"recipe": "classic", "hidden_size": 8, "seq_length": 5}
    config = api.plan_settings(Corpus.from_text(TEXT), 0.5, **settings)
    most = 30 / found[0].update
    assert 0.5 * most * 0.99 <= config.updates <= most


def test_the_minutes_of_a_recipe_are_replaced_by_any_other_end(short_calibration):
    corpus = Corpus.from_text(TEXT)
    small = {"hidden_size": 8, "seq_length": 5, "batch_size": 2}
    assert RECIPES["quick"].minutes == 1
    own = api.plan_settings(corpus, **small).updates
    assert own is not None
    assert api.plan_settings(corpus, 0.01, **small).updates < own / 10
    assert api.plan_settings(corpus, updates=7, **small).updates == 7
    by_epochs = api.plan_settings(corpus, epochs=7, **small)
    assert (by_epochs.updates, by_epochs.epochs) == (None, 7)


def test_the_default_is_one_thread_per_processor_and_at_most_one_per_stream(
    short_calibration, monkeypatch
):
    corpus = Corpus.from_text(TEXT)
    monkeypatch.setattr(training_plan, "processors", lambda: 6)
    small = {"hidden_size": 8, "seq_length": 5, "engine": "reference", "updates": 1}
    assert api.plan_settings(corpus, batch_size=4, **small).threads == 4
    assert api.plan_settings(corpus, batch_size=12, **small).threads == 6
    assert api.plan_settings(corpus, batch_size=4, threads=3, **small).threads == 3


def test_a_diverging_calibration_gives_a_speed_without_an_error(short_calibration):
    config = Config(hidden_size=4, seq_length=5, learning_rate=1e300, clip=0.0, optimizer="sgd")
    assert api.updates_per_second(Corpus.from_text(TEXT), config) > 0


def test_more_minutes_than_a_run_can_have_are_refused(short_calibration):
    with pytest.raises(ConfigError, match=r"minutes is 1e\+08, which gives .* Give fewer"):
        charloom.train(string=TEXT, minutes=1e8, recipe="classic", hidden_size=2, seq_length=2)


@pytest.mark.parametrize("wrong", [0, -1, float("nan"), 1e12, "3"])
def test_minutes_must_be_a_positive_number(wrong):
    with pytest.raises(ConfigError, match="minutes is"):
        charloom.train(string=TEXT, minutes=wrong, recipe="classic")


@pytest.mark.parametrize("name", ["updates", "epochs"])
def test_minutes_contradict_another_end(name):
    with pytest.raises(ConfigError, match=f"minutes and {name}"):
        charloom.train(string=TEXT, minutes=1, recipe="classic", **{name: 3})


def test_a_free_run_directory_is_named_after_the_text(tmp_path):
    corpus = Corpus.from_text(TEXT, "My book (1).txt + more.txt")
    assert api.free_run(corpus, tmp_path) == tmp_path / "My-book-1-1"
    (tmp_path / "My-book-1-1").mkdir()
    assert api.free_run(corpus, tmp_path) == tmp_path / "My-book-1-2"
    assert api.free_run(Corpus.from_text(TEXT, "..."), tmp_path).parent == tmp_path
    assert api.free_run(Corpus.from_text(TEXT, "../../up"), tmp_path).parent == tmp_path


# The whole experiment


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory):
    """Return the experiment on a small network. It takes one or two seconds, because it draws the report."""
    events = []
    path = tmp_path_factory.mktemp("runs") / "whole"
    result = charloom.reproduce(string=TEXT, run=path, listener=events.append, **SMALL)
    return result, events


def test_reproduce_checks_trains_and_reports(reproduction):
    result, events = reproduction
    assert result.passed
    assert result.report == result.run / "report.html"
    assert result.report.exists()
    assert (result.run / "passage.txt").exists()
    assert result.model.run == result.run
    assert list(result.checks) == events[: len(result.checks)]
    assert events[-1] == Ended(40, "finished")


def test_reproduce_checks_both_sizes_and_types_on_the_text(reproduction):
    result, _ = reproduction
    kept = json.loads((result.run / "gradcheck.json").read_text())
    assert kept["checks"] == [check.to_dict() for check in result.checks]
    checked = {
        (check.settings.hidden_size, check.settings.seq_length, check.settings.dtype)
        for check in result.checks
        if check.settings.engine == "reference"
    }
    assert checked == {
        (H, T, dtype) for H, T in ((5, 3), (8, 5)) for dtype in ("float64", "float32")
    }
    assert {check.settings.vocabulary_size for check in result.checks} == {len(set(TEXT))}


def test_reproduce_checks_and_reports_the_n_grams_of_a_run(tmp_path):
    result = charloom.reproduce(string=TEXT, run=tmp_path / "run", ngram_order=4, **SMALL)
    assert result.passed
    assert {check.settings.ngram_order for check in result.checks} == {4}
    assert {"ngram.weight", "ngram.bias"} < {row.parameter for row in result.checks[0].rows}
    page = result.report.read_text(encoding="utf-8")
    assert "and n-grams of up to 4 characters learns" in page
    assert "ngram.weight" in page
    assert "N=4" in repr(result.model)


def test_reproduce_takes_minutes_as_its_command_does(tmp_path):
    with pytest.raises(ConfigError, match="minutes and updates each set the end of training"):
        charloom.reproduce(string=TEXT, run=tmp_path / "run", minutes=1, **SMALL)


def test_a_wrong_gradient_is_in_the_result(reproduction, monkeypatch, tmp_path):
    honest = ReferenceEngine.loss_and_gradients

    def planted(self, learner, x, y):
        loss, gradients, state = honest(self, learner, x, y)
        gradients["V"] *= 1.001
        return loss, gradients, state

    monkeypatch.setattr(ReferenceEngine, "loss_and_gradients", planted)
    result = charloom.reproduce(string=TEXT, run=tmp_path / "run", **SMALL)
    assert not result.passed


def test_the_demo_text_needs_nothing(monkeypatch):
    assert api.demo_text().name in api.DEMO_TEXTS
    monkeypatch.setitem(__import__("sys").modules, "pythonbible", None)
    assert api.demo_text().name == "python-docs"


def test_ctrl_c_in_python_saves_before_it_interrupts(tmp_path):
    updates = []

    def press(item):
        updates.append(item)
        if isinstance(item, Record) and item.update >= 300:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        charloom.train(
            string=TEXT, run=tmp_path / "run", listener=press, **SMALL | {"updates": 50_000}
        )
    ended = updates[-1]
    assert isinstance(ended, Ended)
    assert ended.state == "interrupted"
    assert charloom.load(tmp_path / "run", which="latest").learner.update == ended.update >= 300
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_without_a_run_returns_the_model_trained_so_far():
    def press(item):
        if isinstance(item, Record) and item.update >= 300:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted at update"):
        model = charloom.train(string=TEXT, listener=press, **SMALL | {"updates": 50_000})
    assert 300 <= model.learner.update < 50_000
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_run_name_that_another_process_claims_first_is_skipped(monkeypatch, tmp_path):
    """The other process takes the first free name just before this one can."""
    monkeypatch.chdir(tmp_path)
    honest, corpus = RunWriter.create, Corpus.from_text(TEXT)

    def create(path, learner, corpus):
        monkeypatch.setattr(RunWriter, "create", honest)
        honest(path, learner, corpus).close()
        return honest(path, learner, corpus)

    monkeypatch.setattr(RunWriter, "create", create)
    with api.begin(corpus, configure(**SMALL)) as training:
        assert training.run.name == "text-2"
    with pytest.raises(RunExistsError):
        api.begin(corpus, configure(**SMALL), training.run)


def test_a_training_run_is_steered_from_another_process(tmp_path):
    path, events = tmp_path / "run", []

    def steer(item):
        events.append(item)
        if isinstance(item, Record) and item.update == 100:
            charloom.control(path, learning_rate_factor=0.5)
        elif isinstance(item, Record) and item.update > 100 and item.learning_rate < 0.1:
            charloom.control(path, "stop")

    charloom.train(string=TEXT, run=path, listener=steer, **SMALL | {"updates": 200_000})
    assert events[-1].state == "stopped"
    assert {item.learning_rate for item in events if isinstance(item, Record)} == {0.1, 0.05}
    with pytest.raises(ConfigError, match=r"no process trains .* it is stopped"):
        charloom.control(path, "pause")
    with pytest.raises(NotAModelError, match="is not a run directory"):
        charloom.control(tmp_path, "pause")


def test_a_run_whose_process_was_killed_is_not_steered(run, tmp_path):
    """Its status still says that it trains, but no process holds its lock."""
    path = shutil.copytree(run, tmp_path / "run")
    write_status(path / "status.json", "training", 3, 9, None)
    with pytest.raises(ConfigError, match=r"no process trains .*killed.*charloom\.resume"):
        charloom.control(path, "pause")
    assert not (path / "control.json").exists()


@pytest.fixture
def damaged(tmp_path):
    """Return a run whose last checkpoint is damaged and whose first one is complete."""
    charloom.train(string=TEXT, run=tmp_path / "damaged", **SMALL)
    latest = load_model(tmp_path / "damaged").update
    model = tmp_path / "damaged" / "checkpoints" / str(latest) / "model.safetensors"
    model.write_bytes(model.read_bytes()[:-1])
    return tmp_path / "damaged"


def test_wrong_minutes_change_no_file_of_the_run(damaged):
    before = {path: path.read_bytes() for path in damaged.rglob("*") if path.is_file()}
    for wrong in (-1, 1e8):
        with pytest.raises(ConfigError, match="minutes is"):
            api.reopen(damaged, api.RunChanges(minutes=wrong, allow_older=True))
        assert before == {path: path.read_bytes() for path in damaged.rglob("*") if path.is_file()}


def test_minutes_are_measured_with_the_requested_engine(damaged, monkeypatch):
    measured = []

    def speed(corpus, config, *_):
        measured.append((config.engine, config.threads))
        return Costs(update=0.1)

    monkeypatch.setattr(training_plan, "measure", speed)
    monkeypatch.setattr(training_plan.time, "monotonic", lambda: 0.0)
    changes = api.RunChanges(minutes=1, engine="reference", threads=3, allow_older=True)
    with api.reopen(damaged, changes) as training:
        assert measured == [("reference", 3)]
        assert training.updates == training.learner.update + 600
        assert any("is damaged" in warning for warning in training.writer.warnings)


def test_training_in_a_thread_leaves_the_signals_alone(tmp_path):
    with ThreadPoolExecutor() as pool:
        model = pool.submit(charloom.train, string=TEXT, run=tmp_path / "run", **SMALL).result()
    assert model.learner.update > 0


def test_an_interrupted_reproduction_is_checked_after_it_is_resumed(tmp_path):
    with api.begin(Corpus.from_text(TEXT), configure(**SMALL), tmp_path / "run") as training:
        list(api.reproduction(training, lambda: "SIGINT"))
    assert json.loads((tmp_path / "run" / "gradcheck.json").read_text())["checks"] == []
    with api.reopen(tmp_path / "run") as training:
        list(api.reproduction(training))
    assert json.loads((tmp_path / "run" / "gradcheck.json").read_text())["checks"]
