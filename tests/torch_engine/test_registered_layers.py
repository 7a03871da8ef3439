"""Networks of registered cells: gradients, steps and windows, training, resuming, and what opens their models."""

import itertools

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed")

import charloom
import small_runs
from charloom.engines import open_engine
from charloom.engines.base import Plan
from charloom.errors import ConfigError, EngineError, UnregisteredCellError
from charloom.model import new_learner
from charloom.model.clamp import Clamp
from charloom.model.unit_clamps import clamped
from charloom.registered_cells import cell_named, remove_cell
from charloom.text import Vocabulary
from registered_test_cells import mingru, two_states

LETTERS = "abcdefg"


@pytest.fixture(params=[mingru, two_states], ids=["mingru", "two-states"])
def cell(request):
    """Register a cell for the test, and return its name."""
    with request.param() as name:
        yield name


def lively(cell, **settings):
    """Return a learner in float64 with large weights and a state that is not zero."""
    config = small_runs.small_config(
        cell=cell, layers=2, hidden_size=5, dtype="float64", sigma=0.5, batch_size=3, **settings
    )
    learner = new_learner(config, Vocabulary(LETTERS))
    random = np.random.default_rng(1)
    for array in (*learner.state.values(), *learner.parameters.values()):
        array[...] += random.normal(0, 0.3, array.shape)
    return learner


def window(T, B, seed=2):
    """Return random ids (T + 1, B)."""
    return np.random.default_rng(seed).integers(0, len(LETTERS), (T + 1, B)).astype(np.uint8)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_the_gradient_equals_central_differences(cell, dropout):
    learner, engine, ids = lively(cell, dropout=dropout), open_engine("torch"), window(6, 3)

    def loss():
        return engine.loss_and_gradients(learner, ids[:-1], ids[1:], update=4)[0]

    _, gradients, _ = engine.loss_and_gradients(learner, ids[:-1], ids[1:], update=4)
    for name, array in learner.parameters.items():
        direction = np.random.default_rng(3).normal(size=array.shape)
        kept, losses = array.copy(), []
        for sign in (1, -1):
            array[...] = kept + sign * 1e-5 * direction
            losses.append(loss())
        array[...] = kept
        measured = (losses[0] - losses[1]) / 2e-5
        assert float((gradients[name] * direction).sum()) == pytest.approx(
            measured, rel=1e-6, abs=1e-8
        ), name


def test_reading_one_character_at_a_time_equals_a_window(cell):
    learner, engine, ids = lively(cell), open_engine("torch"), window(9, 3)
    nats, after = engine.score(learner, ids, learner.state)
    state, found = learner.state, []
    for row, following in itertools.pairwise(ids):
        logits, state = engine.step(learner, row, state)
        log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        found.append(-log_p[np.arange(3), following])
    np.testing.assert_allclose(nats, found, rtol=1e-12)
    for name in state:
        np.testing.assert_allclose(after[name], state[name], rtol=1e-12, atol=1e-14)


def test_activations_have_the_states_and_gates_at_each_step(cell):
    learner, engine = lively(cell), open_engine("torch")
    first = {name: array[:, :1].copy() for name, array in learner.state.items()}
    ids = window(9, 1)[:, 0]
    values, after = engine.activations(learner, ids, first)
    found = cell_named(cell)
    assert set(values) == {*found.states, *found.gates}
    assert all(array.shape == (10, 2, 5) for array in values.values())
    gate = "z" if cell == "mingru" else "f"
    memory = "h" if cell == "mingru" else "memory"
    before = np.concatenate([first[memory][np.newaxis, :, 0], values[memory][:-1]])
    kept = values[gate] if cell == "two-states" else 1 - values[gate]
    np.testing.assert_allclose(
        values[memory], kept * before + (1 - kept) * values["n"], rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(after[memory][:, 0], values[memory][-1])


def test_streams_are_independent_in_training(cell):
    engine, ids = open_engine("torch"), window(6, 3)
    learner = lively(cell)
    _, _, together = engine.loss_and_gradients(learner, ids[:-1], ids[1:])
    learner.state = {name: array[:, 1:2].copy() for name, array in learner.state.items()}
    _, _, alone = engine.loss_and_gradients(learner, ids[:-1, 1:2], ids[1:, 1:2])
    for name in alone:
        np.testing.assert_allclose(together[name][:, 1:2], alone[name], rtol=1e-12)


@pytest.mark.parametrize("optimizer", ["adagrad", "adamw"])
def test_training_lowers_the_loss(cell, optimizer):
    rate = 0.1 if optimizer == "adagrad" else 0.01
    config = small_runs.small_config(
        cell=cell, layers=2, optimizer=optimizer, learning_rate=rate, init="uniform"
    )
    corpus = small_runs.small_corpus()
    learner = new_learner(config, corpus.vocabulary)
    count = (len(corpus.ids) - 1) // config.seq_length
    plan = Plan(np.full(count, rate), np.zeros(1, np.int64))
    losses = []
    for _ in range(4):
        learner.position = 0
        losses.append(open_engine("torch").train(learner, corpus.ids, plan).losses.mean())
    assert losses[-1] < 0.8 * losses[0]


def test_bfloat16_computes_a_registered_cell(cell):
    learner = lively(cell).config.replace(dtype="float32", compute_dtype="bfloat16")
    learner = new_learner(learner, Vocabulary(LETTERS))
    tokens = window(60, 1)[:, 0]
    plan = Plan(np.full(3, 0.01), np.array([0, 3, 6]))
    assert np.isfinite(open_engine("torch").train(learner, tokens, plan).losses).all()


def test_an_interrupted_run_resumes_with_the_same_numbers(tmp_path, cell):
    settings = {"cell": cell, "layers": 2, "dropout": 0.2, "validation": 0.2}
    small_runs.train(tmp_path / "whole", engine="torch", **settings)
    calls = iter(range(1000))
    small_runs.train(
        tmp_path / "parts", engine="torch", halt=lambda: next(calls) >= 3 or None, **settings
    )
    assert charloom.load(tmp_path / "parts", which="latest").learner.update < 60
    charloom.resume(tmp_path / "parts")
    whole, parts = (
        charloom.load(tmp_path / name, which="latest").learner for name in ("whole", "parts")
    )
    assert whole.update == parts.update
    for name, array in whole.parameters.items():
        np.testing.assert_array_equal(array, parts.parameters[name])


def test_a_model_with_a_registered_cell_is_used_like_any_other(tmp_path, cell):
    small_runs.train(tmp_path / "run", engine="torch", cell=cell, layers=2, validation=0.2)
    model = charloom.load(tmp_path / "run")
    assert model.engine.name == "torch"
    assert len(model.sample("the ", length=20, seed=1)) == 20
    assert model.evaluate().nats > 0
    gate = cell_named(cell).gates[0]
    assert model.activity("the cat", layer=1, unit=2, what=gate).values.shape == (7, 1, 1)
    assert charloom.neurons(model, string=small_runs.TEXT, properties=["space"]).findings
    model.save(tmp_path / "kept.safetensors")
    assert charloom.load(tmp_path / "kept.safetensors").sample(
        "the ", length=20, seed=1
    ) == model.sample("the ", length=20, seed=1)
    model.export(tmp_path / "hub", to="hub")
    again = charloom.load(tmp_path / "hub").score("the cat").bits
    np.testing.assert_allclose(again, model.score("the cat").bits)


def test_what_needs_a_built_in_cell_says_so(tmp_path, cell):
    small_runs.train(tmp_path / "run", engine="torch", cell=cell)
    model = charloom.load(tmp_path / "run")
    for to in ("torch", "onnx", "html"):
        with pytest.raises(
            ConfigError, match=f"has the registered cell {cell}; an? .* file is possible only with"
        ):
            model.export(tmp_path / f"out.{to}", to=to)
        assert not (tmp_path / f"out.{to}").exists()
    with pytest.raises(ConfigError, match="finding fixed points is possible only with"):
        charloom.fixed_points(model)
    with pytest.raises(ConfigError, match="holding a unit is possible only with"):
        clamped(model.learner, Clamp(0, 1, 0.0))


def test_a_run_whose_cell_is_gone_says_so_everywhere(tmp_path, monkeypatch, cell):
    monkeypatch.delenv("CHARLOOM_CELL_FILE", raising=False)
    small_runs.train(tmp_path / "run", engine="torch", cell=cell)
    model = charloom.load(tmp_path / "run")
    model.save(tmp_path / "kept.safetensors")
    remove_cell(cell)
    for open_it in (charloom.load, charloom.resume):
        with pytest.raises(
            UnregisteredCellError, match=f'names the cell "{cell}", which is not registered'
        ):
            open_it(tmp_path / "run")
    with pytest.raises(UnregisteredCellError, match="not registered"):
        charloom.load(tmp_path / "kept.safetensors")
    (summary,) = charloom.runs(tmp_path)
    assert summary.state == "unreadable"
    assert "not registered" in summary.problems[0]
    with pytest.raises(UnregisteredCellError, match="not registered"):
        model.sample(length=3)


def test_a_cell_whose_shape_is_wrong_only_for_other_sizes_is_caught(cell, monkeypatch):
    definition = type(cell_named(cell).definition)
    right = definition.step

    def wrong(self, x, state, parameters):
        found = right(self, x, state, parameters)
        return {**found, "h": found["h"][:, :1].expand(-1, 2)}

    monkeypatch.setattr(definition, "step", wrong)
    learner = lively(cell)
    with pytest.raises(
        EngineError,
        match=r"returned the shape \(3, 2\) for h; it must be a tensor of shape \(3, 5\)",
    ):
        open_engine("torch").step(learner, np.zeros(3, np.uint8), learner.state)


def test_a_cell_that_becomes_infinite_ends_training_as_usual(cell, monkeypatch):
    definition = type(cell_named(cell).definition)
    right = definition.step

    def wrong(self, x, state, parameters):
        return {name: s / 0 for name, s in right(self, x, state, parameters).items()}

    monkeypatch.setattr(definition, "step", wrong)
    monkeypatch.delattr(definition, "layer", raising=False)
    learner = lively(cell)
    trace = open_engine("torch").train(
        learner, window(60, 1)[:, 0], Plan(np.full(3, 0.01), np.array([0, 3, 6]))
    )
    assert (trace.stopped, len(trace.losses)) == ("non-finite", 0)
