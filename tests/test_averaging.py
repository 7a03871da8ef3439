"""Averaged weights: their rate, both engines, and every part that uses the average as the model."""

import math

import numpy as np
import pytest
from safetensors.numpy import load_file

import charloom
import small_runs
from charloom.engines import Plan, native_problem, open_engine
from charloom.errors import EngineError
from charloom.model import averaged, copy_learner, new_learner, optimizers
from charloom.model.input_pairs import most_frequent_pairs
from charloom.model.optimizers import AVERAGE, AVERAGED_EVERY, averaging_rate
from charloom.scoring import score_segments
from charloom.store import load_checkpoint, load_model, read_run
from charloom.text import Corpus, Vocabulary
from charloom.text.windows import Windows
from small_runs import ENGINES, TEXT, small_config

SETTINGS = {"cell": "gru", "optimizer": "adamw", "learning_rate": 0.02, "averaging": 0.5}


def make_learner(**changes):
    """Return a learner with averaging, before its first update."""
    settings = {"seq_length": 4, "batch_size": 3, "dtype": "float64", "hidden_size": 5}
    return new_learner(small_config(**SETTINGS | settings | changes), Vocabulary("abcdefg"))


def make_ids(learner, count=1_500):
    """Return random ids of a text."""
    return np.random.default_rng(0).integers(0, len(learner.vocabulary), count).astype(np.uint8)


def train(engine, learner, ids, calls):
    """Train the learner; `calls` has the number of updates of each call of the engine."""
    starts = len(ids) // learner.config.batch_size * np.arange(learner.config.batch_size)
    for count in calls:
        engine.train(learner, ids, Plan(np.full(count, 0.02), starts))


def average_by_loops(history, averaging):
    """Return the average of a list of numbers, the first from before training, after each update."""
    average, found = history[0], [history[0]]
    for update, value in enumerate(history[1:], start=1):
        if averaging * update <= 16:
            average = value
        elif update % 16 == 0:
            average += 16 / (averaging * update) * (value - average)
        found.append(average)
    return found


@pytest.mark.parametrize("name", ENGINES)
def test_the_average_is_that_of_a_loop_over_the_weights_of_every_update(name):
    learner, weights, averages = make_learner(averaging=0.3), [], []
    ids = make_ids(learner)
    for count in [0] + [1] * 120:
        if count:
            train(open_engine(name), learner, ids, [count])
        weights.append(learner.parameters["V"].copy())
        averages.append(learner.slots[AVERAGE]["V"].copy())
    for place in np.ndindex(weights[0].shape):
        truth = average_by_loops([values[place] for values in weights], 0.3)
        np.testing.assert_allclose(
            [values[place] for values in averages], truth, rtol=0, atol=1e-14
        )
    assert np.abs(averages[-1] - weights[-1]).max() > 1e-3


@pytest.mark.parametrize("name", ENGINES)
def test_the_average_over_a_few_updates_is_a_copy_of_the_weights(name):
    learner = make_learner(dtype="float32", input_pairs=5)
    ids = make_ids(learner)
    learner.pairs = most_frequent_pairs(lambda start, end: ids[start:end], [(0, 900)], 5, 7)
    train(open_engine(name), learner, ids, [7])
    for parameter, array in learner.parameters.items():
        assert array.tobytes() == learner.slots[AVERAGE][parameter].tobytes(), parameter


def test_a_wrong_rate_is_caught(monkeypatch):
    monkeypatch.setattr(optimizers, "averaging_rate", lambda *at: averaging_rate(*at) * (1 - 1e-9))
    with pytest.raises(AssertionError):
        test_the_average_is_that_of_a_loop_over_the_weights_of_every_update("reference")


def test_the_weights_of_an_update_count_as_the_documentation_says():
    """After many updates the share of update t is proportional to t^(1/averaging - 1)."""
    averaging, updates = 0.1, 160_000
    shares, left = {}, 1.0
    for update in range(updates, 0, -1):
        rate = averaging_rate(averaging, update)
        shares[update], left = left * rate, left * (1 - rate)
    assert math.isclose(sum(shares.values()), 1.0, rel_tol=1e-9)
    early, late = (sum(shares.get(t + k, 0) for k in range(16)) for t in (80_000, 144_000))
    assert math.isclose(late / early, (144_000 / 80_000) ** 9, rel_tol=0.02)


def test_pytorch_averages_to_the_same_weights():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from torch.optim.swa_utils import AveragedModel

    learner = make_learner(averaging=0.4, optimizer="sgd")
    ids, model = make_ids(learner), torch.nn.Linear(5, 7, bias=False, dtype=torch.float64)
    average = AveragedModel(model, avg_fn=lambda old, new, _: old + rate * (new - old))
    for update in range(1, 101):
        train(open_engine("reference"), learner, ids, [1])
        model.weight.data = torch.from_numpy(learner.parameters["V"].copy())
        rate = 1 if update <= 40 else 16 / (0.4 * update)
        if update <= 40 or update % 16 == 0:
            average.update_parameters(model)
    found = average.module.weight.detach().numpy()
    np.testing.assert_allclose(learner.slots[AVERAGE]["V"], found, rtol=1e-12)


@pytest.mark.skipif(bool(native_problem()), reason="the native engine is not built")
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-10), ("float32", 1e-3)])
@pytest.mark.parametrize(("pairs", "threads"), [(0, 1), (40, 1), (40, 2)])
@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_native_engine_averages_like_the_reference(cell, pairs, threads, dtype, limit):
    ours = make_learner(
        cell=cell, dtype=dtype, weight_decay=0.1, layers=2, clip=1.0, input_pairs=pairs
    )
    theirs, ids = copy_learner(ours), make_ids(ours)
    before = {name: array.copy() for name, array in ours.parameters.items()}
    train(open_engine("native", threads), ours, ids, [60])
    train(open_engine("reference"), theirs, ids, [60])
    for name, start in before.items():
        ways = [learner.slots[AVERAGE][name] - start for learner in (ours, theirs)]
        assert np.abs(ways[0] - ways[1]).max() <= limit * np.abs(ways[1]).max(), name


@pytest.mark.skipif(bool(native_problem()), reason="the native engine is not built")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_average_has_the_same_bits_however_the_updates_are_divided(threads):
    once = make_learner(dtype="float32")
    often, ids = copy_learner(once), make_ids(once)
    train(open_engine("native", threads), once, ids, [75])
    train(open_engine("native", threads), often, ids, [1, 30, 2, 15, 16, 11])
    for name, array in once.slots[AVERAGE].items():
        assert array.tobytes() == often.slots[AVERAGE][name].tobytes(), name


@pytest.mark.skipif(bool(native_problem()), reason="the native engine is not built")
def test_the_classic_network_can_average_too():
    averages = []
    for name in ("native", "reference"):
        learner = make_learner(cell="rnn", optimizer="adagrad", batch_size=1, averaging=0.2)
        train(open_engine(name), learner, make_ids(learner), [100])
        averages.append(learner.slots[AVERAGE]["layers.0.W"])
    np.testing.assert_allclose(*averages, atol=1e-9)


def test_training_changes_the_same_weights_with_and_without_averaging():
    learners = [make_learner(averaging=value) for value in (0.0, 0.5)]
    for learner in learners:
        train(open_engine("reference"), learner, make_ids(learner), [40])
    for name, array in learners[0].parameters.items():
        assert array.tobytes() == learners[1].parameters[name].tobytes()


@pytest.mark.skipif(bool(native_problem()), reason="the native engine is not built")
def test_a_model_without_its_averages_cannot_be_trained():
    model = averaged(make_learner())
    with pytest.raises(EngineError, match="slots are mean, square; they must be mean, square, ave"):
        train(open_engine("native"), model, make_ids(model), [1])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a finished run with averaging and a validation part."""
    path = tmp_path_factory.mktemp("averaged") / "run"
    settings = small_config(**SETTINGS, validation=0.2, judge_every=7, engine="reference").to_dict()
    charloom.train(string=TEXT, run=path, **settings)
    return path


def test_a_model_file_of_a_checkpoint_has_the_averaged_weights(run):
    checkpoint = run / "checkpoints" / str(read_run(run).latest)
    learner = load_checkpoint(checkpoint).learner
    assert any(
        not np.array_equal(array, learner.slots[AVERAGE][name])
        for name, array in learner.parameters.items()
    )
    model, file = load_model(checkpoint), load_model(checkpoint / "model.safetensors")
    trained = load_file(checkpoint / "training.safetensors")
    for name, array in learner.slots[AVERAGE].items():
        assert array.tobytes() == model.parameters[name].tobytes()
        assert array.tobytes() == file.parameters[name].tobytes()
        assert learner.parameters[name].tobytes() == trained[f"trained/{name}"].tobytes()
    assert AVERAGE not in model.slots
    assert averaged(model) is model


def test_the_validation_losses_are_those_of_the_averaged_weights(run):
    record = [line for line in read_run(run).metrics if "validation_nats" in line][-1]
    latest = charloom.load(run, which="latest", engine="reference")
    assert record["update"] == latest.learner.update
    trained = load_checkpoint(run / "checkpoints" / str(record["update"])).learner
    ids = Corpus.from_text(TEXT, "text").ids
    segments = Windows.of(trained.config, len(ids)).parts["validation"]
    found, raw = (
        score_segments(latest.engine, learner, ids, segments).mean()
        for learner in (latest.learner, trained)
    )
    assert math.isclose(found, record["validation_nats"], rel_tol=1e-5)
    assert not math.isclose(raw, found, rel_tol=1e-5)


def test_training_in_memory_returns_the_same_model_as_a_run(run):
    settings = small_config(**SETTINGS, validation=0.2, judge_every=7, engine="reference").to_dict()
    model = charloom.train(string=TEXT, **settings)
    stored = charloom.load(run, engine="reference")
    assert model.update == stored.update
    for name, array in stored.parameters.items():
        assert array.tobytes() == model.parameters[name].tobytes()
    assert model.sample(length=20, seed=3) == stored.sample(length=20, seed=3)


def test_a_saved_model_has_the_averaged_weights_and_is_fine_tuned_from_them(run, tmp_path):
    model = charloom.load(run, engine="reference")
    model.save(tmp_path / "model.safetensors")
    saved = charloom.load(tmp_path / "model.safetensors", engine="reference")
    charloom.train(string=TEXT, run=tmp_path / "run", from_model=saved, updates=2)
    begun = load_checkpoint(tmp_path / "run" / "checkpoints" / "0").learner
    for name, array in model.parameters.items():
        assert array.tobytes() == saved.parameters[name].tobytes()
        assert array.tobytes() == begun.parameters[name].tobytes()
        assert array.tobytes() == begun.slots[AVERAGE][name].tobytes()
    assert begun.slots[AVERAGE]["V"] is not begun.parameters["V"]


def test_weights_of_a_model_that_were_changed_by_hand_are_saved(run, tmp_path):
    model = charloom.load(run, engine="reference")
    model.parameters["c"][...] = 1.5
    model.save(tmp_path / "model.safetensors")
    assert (load_model(tmp_path / "model.safetensors").parameters["c"] == 1.5).all()


@pytest.mark.parametrize("calls", [14, 20])
def test_a_resumed_run_has_the_bytes_of_a_run_that_was_never_interrupted(tmp_path, calls):
    settings = {**SETTINGS, "validation": 0.2, "judge_every": 7}
    once, twice = tmp_path / "once", tmp_path / "twice"
    small_runs.train(once, **settings)
    small_runs.train(twice, halt=small_runs.after(calls), **settings)
    assert 16 < read_run(twice).latest < read_run(once).latest
    small_runs.resume(twice)
    latest = str(read_run(once).latest)
    for name in ("model.safetensors", "training.safetensors", "state.json"):
        files = [path / "checkpoints" / latest / name for path in (once, twice)]
        assert files[0].read_bytes() == files[1].read_bytes(), name


def test_the_average_is_updated_every_sixteen_updates():
    assert AVERAGED_EVERY == 16
    assert [averaging_rate(0.5, t) for t in (1, 32, 33, 47, 48)] == [1, 1, 0, 0, 16 / 24]
