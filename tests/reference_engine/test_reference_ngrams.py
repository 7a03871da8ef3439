"""The reference engine's mixture with n-grams: the oracle, the complex step and planted errors."""

import numpy as np
import pytest

import ngram_oracle
import oracle
from charloom.cell_table import CELL_NAMES
from charloom.engines import Sampler
from charloom.engines.reference import ReferenceEngine, losses, network, ngram_counts
from charloom.model import copy_learner
from charloom.model.learner import RECENT
from charloom.model.ngrams import PARTS
from ngram_plants import without_the_path_through_the_weight
from reference_networks import as_lists, assert_same, make_learner, plan, repeated_ids
from test_reference_gradients import true_masks

COUNTED, SEGMENTS = 400, [(0, 150), (150, 400)]  # as in make_learner


def counts_of(learner):
    """Return the oracle's counts of the text that `make_learner` counts."""
    text = repeated_ids(learner, COUNTED).tolist()
    N, K = learner.config.ngram_order, len(learner.vocabulary)
    return ngram_oracle.Counts(text, SEGMENTS, K, N, PARTS)


def window_of(learner):
    """Return x, y and the columns of a window of the counted text, each (T, B)."""
    T, B = learner.config.seq_length, learner.config.batch_size
    text = repeated_ids(learner, COUNTED)
    places = np.arange(T)[:, np.newaxis] + 140 + 31 * np.arange(B)
    return text[places], text[places + 1], learner.ngrams.columns(places + 1)


NETWORKS = [  # layers, streams, dropout, order
    (1, 1, 0.0, 1),
    (1, 2, 0.3, 5),
    (2, 2, 0.3, 3),
    (2, 3, 0.0, 16),
]


def compare_with_the_oracle(cell, layers, streams, dropout, order, tolerance=1e-12):
    learner = make_learner(
        3, 5, 4, cell=cell, layers=layers, batch_size=streams, dropout=dropout, seed=5,
        ngram_order=order,
    )  # fmt: skip
    x, y, columns = window_of(learner)
    loss, gradients, state = ReferenceEngine().loss_and_gradients(learner, x, y, 9, columns)
    hidden = {name: array for name, array in as_lists(learner.state).items() if name != RECENT}
    logs, recent = counts_of(learner).window_logs(
        x.tolist(), learner.state[RECENT][0].tolist(), columns.tolist()
    )
    true_loss, true_gradients, true_state = oracle.loss_and_gradients(
        cell, as_lists(learner.parameters), x.tolist(), y.tolist(), hidden,
        true_masks(learner, 9).tolist(), logs,
    )  # fmt: skip
    assert loss == pytest.approx(true_loss, rel=tolerance)
    assert_same(gradients, true_gradients, tolerance)
    assert_same(state, {**true_state, RECENT: [recent]}, tolerance)
    assert state[RECENT].dtype == np.int32


@pytest.mark.parametrize(("layers", "streams", "dropout", "order"), NETWORKS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_loss_gradients_and_state_are_those_of_the_oracle(cell, layers, streams, dropout, order):
    compare_with_the_oracle(cell, layers, streams, dropout, order)


def complex_step(learner, name, x, y, columns, masks):
    """Return the derivative of the loss with respect to each entry of a parameter."""
    p = {name: array.astype(np.complex128) for name, array in learner.parameters.items()}
    size = p[name].size
    perturbed = np.tile(p[name].ravel(), (size, 1)) + 1e-20j * np.eye(size)
    many = {**p, name: perturbed.reshape(-1, *p[name].shape)}
    log_q = ngram_counts.log_probabilities(learner, x, learner.state, columns)
    steps = losses(many, learner.config.cell, x, y, learner.state, masks, log_q)
    return steps.imag.reshape(p[name].shape) / 1e-20


def compare_with_the_complex_step(cell, layers, streams, dropout, order):
    learner = make_learner(
        6, 5, 7, cell=cell, layers=layers, batch_size=streams, dropout=dropout, ngram_order=order
    )
    x, y, columns = window_of(learner)
    _, gradients, _ = ReferenceEngine().loss_and_gradients(learner, x, y, 3, columns)
    masks = true_masks(learner, 3)
    assert_same(
        gradients,
        {name: complex_step(learner, name, x, y, columns, masks) for name in gradients},
    )


@pytest.mark.parametrize(("layers", "streams", "dropout", "order"), NETWORKS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_are_those_of_the_complex_step(cell, layers, streams, dropout, order):
    compare_with_the_complex_step(cell, layers, streams, dropout, order)


# Planted errors


def with_scaled(name, factor):
    """Plant a gradient of one parameter that is too large or small by a factor."""
    honest = network.loss_and_gradients

    def planted(*arguments, **options):
        loss, gradients, state = honest(*arguments, **options)
        return loss, {**gradients, name: gradients[name] * factor}, state

    return planted


@pytest.mark.parametrize(
    "planted",
    [
        with_scaled("ngram.weight", 1.001),
        with_scaled("ngram.bias", 0.999),
        without_the_path_through_the_weight,
    ],
)
@pytest.mark.parametrize("compare", [compare_with_the_oracle, compare_with_the_complex_step])
def test_a_wrong_gradient_of_the_mixture_is_caught(compare, planted, monkeypatch):
    monkeypatch.setattr(network, "loss_and_gradients", planted)
    with pytest.raises(AssertionError, match="norm-relative error"):
        compare("gru", 2, 2, 0.3, 3)


def off_by_one(x, state, boundary):
    """Plant contexts that lack the id that was read last."""
    recent = state[RECENT][0]
    ids = np.concatenate([recent.T, x.astype(np.int32)])
    return np.array([ids[t : t + recent.shape[1]].T for t in range(len(x))])


def test_recent_ids_off_by_one_are_caught(monkeypatch):
    monkeypatch.setattr(ngram_counts, "recent_ids_after", off_by_one)
    with pytest.raises(AssertionError):
        compare_with_the_oracle("rnn", 1, 2, 0.0, 4)


def test_a_column_off_by_one_is_caught(monkeypatch):
    honest = ngram_counts.log_probabilities

    def planted(learner, x, state, columns=None, dtype=None):
        return honest(learner, x, state, (columns + 1) % (PARTS + 1), dtype)

    monkeypatch.setattr(ngram_counts, "log_probabilities", planted)
    with pytest.raises(AssertionError):
        compare_with_the_oracle("rnn", 1, 2, 0.0, 4)


@pytest.mark.parametrize("array", ["factors", "shares"])
def test_a_wrong_factor_or_share_is_caught(array, monkeypatch):
    honest = ngram_counts._probabilities

    def planted(ngrams, *arguments):
        changed = {**vars(ngrams), array: getattr(ngrams, array) * np.float32(1.0001)}
        return honest(type(ngrams)(**changed), *arguments)

    monkeypatch.setattr(ngram_counts, "_probabilities", planted)
    with pytest.raises(AssertionError):
        compare_with_the_oracle("rnn", 1, 2, 0.0, 4)


# The other methods of the engine


@pytest.mark.parametrize("order", [1, 4])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_an_update_uses_the_columns_of_its_targets(cell, order):
    learner = make_learner(
        4, 5, cell=cell, batch_size=2, ngram_order=order, optimizer="sgd", clip=0.0, momentum=0.0
    )
    before, text = copy_learner(learner), repeated_ids(learner, COUNTED)
    learner.position = 45
    ReferenceEngine().train(learner, text, plan(1, 1.0, (0, 200)))
    places = np.arange(5)[:, np.newaxis] + 45 + np.array([0, 200])
    _, gradients, state = ReferenceEngine().loss_and_gradients(
        before, text[places], text[places + 1], 1, before.ngrams.columns(places + 1)
    )
    moved = {name: before.parameters[name] - p for name, p in learner.parameters.items()}
    assert_same(moved, gradients)
    assert_same(learner.state, state)
    assert set(before.ngrams.columns(places + 1).ravel().tolist()) == {1, 2, 5, 6}


@pytest.mark.parametrize("order", [1, 2, 5])
def test_score_step_and_generate_use_the_same_probabilities(order):
    learner, engine = make_learner(ngram_order=order), ReferenceEngine()
    text = repeated_ids(learner, 60)
    nats, last = engine.score(learner, text[:, np.newaxis], learner.state)
    state = learner.state
    for t, target in enumerate(text[1:]):
        logits, state = engine.step(learner, text[t : t + 1], state)
        assert nats[t, 0] == pytest.approx(-network.log_softmax(logits)[0, target], rel=1e-12)
    assert_same(state, last)
    ids, after = engine.generate(learner, text[:1], Sampler(0.0), np.full(20, 0.5), learner.state)
    read, state = text[:1], learner.state
    for expected in ids:
        logits, state = engine.step(learner, read, state)
        read = logits.argmax(axis=-1)
        assert read[0] == expected
    assert_same(after, state)
    values, last = engine.activations(learner, text, learner.state)
    assert set(values) == {"h"}
    assert last[RECENT].tolist() == [[text[len(text) - (order - 1) :].tolist()]]
