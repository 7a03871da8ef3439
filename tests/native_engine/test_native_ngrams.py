"""The native and the torch engine mix n-grams into the logits as the reference engine does."""

from dataclasses import replace

import numpy as np
import pytest

from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.engines import Plan, Sampler, native_problem
from charloom.model import Learner, copy_learner, hidden_arrays, new_learner
from charloom.model.learner import RECENT
from charloom.model.optimizers import SLOTS
from charloom.text import Vocabulary
from engine_comparison import assert_close, distance, in_dtype

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom.engines.native import NativeEngine
from native_networks import REFERENCE

COUNTED = 600


def repeated_text(K: int, count: int = COUNTED) -> np.ndarray:
    """Return ids in which many contexts occur again, and in which every id occurs."""
    rng = np.random.default_rng(K)
    pieces = [rng.integers(0, K, rng.integers(2, 12)) for _ in range(9)]
    walk = np.concatenate([np.arange(K), *(pieces[n] for n in rng.integers(0, 9, count))])
    return walk[:count].astype(np.uint8 if K <= 256 else np.uint16)


def make_learner(K=11, order=4, dtype="float64", **changes) -> Learner:
    """Return a small network whose weight of the n-grams depends on h, and whose recent ids differ."""
    defaults = {"hidden_size": 18, "seq_length": 7, "init": "uniform", "cell": "gru"}
    config = Config(**{**defaults, **changes, "ngram_order": order, "dtype": dtype})
    learner = new_learner(config, Vocabulary(chr(0x100 + k) for k in range(K)))
    rng = np.random.default_rng(config.hidden_size + K)
    for array in hidden_arrays(learner.state).values():
        array[:] = rng.uniform(-1, 1, array.shape)
    learner.parameters["ngram.weight"][:] = rng.normal(0, 0.3, (1, config.hidden_size))
    recent = learner.state[RECENT]
    recent[:] = repeated_text(K)[K : K + recent.size].reshape(recent.shape)
    recent[0, 0, : order // 2] = -1
    segments = np.array([[0, 200], [200, COUNTED]])
    learner.ngrams = REFERENCE.count_ngrams(config, K, repeated_text(K), segments)
    return learner


def window_of(learner: Learner) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return x, y and the columns of a window of the counted text, each (T, B)."""
    T, B = learner.config.seq_length, learner.config.batch_size
    places = np.arange(T)[:, np.newaxis] + 190 + 37 * np.arange(B)
    text = repeated_text(len(learner.vocabulary))
    return text[places], text[places + 1], learner.ngrams.columns(places + 1)


def compare_gradients(engine, learner: Learner, limit: float) -> None:
    """Compare loss, gradients and state of a window with those of the reference in float64."""
    x, y, columns = window_of(learner)
    loss, gradients, state = engine.loss_and_gradients(learner, x, y, 3, columns)
    truth, true_gradients, true_state = REFERENCE.loss_and_gradients(
        in_dtype(learner, "float64"), x, y, 3, columns
    )
    assert distance(loss, truth) <= limit
    assert_close(with_joined_weight(gradients), with_joined_weight(true_gradients), limit)
    assert np.array_equal(state[RECENT], true_state[RECENT])
    assert_close(state, true_state, limit)


def with_joined_weight(gradients):
    """Return gradients in which those of `ngram.weight` and `ngram.bias` are one array.

    The bias has a single entry, whose terms can cancel almost completely.
    """
    others = {name: g for name, g in gradients.items() if not name.startswith("ngram")}
    joined = np.append(gradients["ngram.weight"], gradients["ngram.bias"])
    return {**others, "ngram": joined}


LIMITS = pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-5)])


@LIMITS
@pytest.mark.parametrize("K", [2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 300])
def test_gradients_agree_at_every_number_of_characters(engine, K, dtype, limit):
    # The weight of the n-grams is computed beside the logits of the K characters.
    compare_gradients(engine, make_learner(K, dtype=dtype, batch_size=3), limit)


@LIMITS
@pytest.mark.parametrize("order", [1, 2, 3, 9, 16])
@pytest.mark.parametrize(
    ("layers", "streams", "T", "dropout"),
    [(1, 1, 9, 0.0), (1, 5, 7, 0.3), (2, 3, 1, 0.3), (2, 2, 40, 0.0)],
)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_agree_for_every_network(
    engine, cell, layers, streams, T, dropout, order, dtype, limit
):
    learner = make_learner(
        order=order, dtype=dtype, cell=cell, layers=layers, batch_size=streams, seq_length=T,
        dropout=dropout,
    )  # fmt: skip
    compare_gradients(engine, learner, limit)


@pytest.mark.parametrize("name", ["ngram.weight", "ngram.bias"])
def test_a_wrong_gradient_of_the_mixture_is_caught(engine, name, monkeypatch):
    honest = engine.loss_and_gradients

    def planted(*arguments):
        loss, gradients, state = honest(*arguments)
        return loss, {**gradients, name: gradients[name] * 1.0001}, state

    monkeypatch.setattr(engine, "loss_and_gradients", planted)
    with pytest.raises(AssertionError, match="ngram"):
        compare_gradients(engine, make_learner(), 1e-12)


def changed(ngrams, array):
    """Return n-grams in which one array has an error of a thousandth in each entry."""
    return replace(ngrams, **{array: getattr(ngrams, array) * np.float32(0.999)})


@pytest.mark.parametrize("error", ["factors", "shares", "columns", "recent"])
def test_wrong_ngrams_of_the_native_engine_are_caught(engine, error, monkeypatch):
    honest = engine.loss_and_gradients

    def planted(learner, x, y, update, columns):
        learner = copy_learner(learner)
        if error == "columns":
            columns = (columns + 1) % (learner.ngrams.parts + 1)
        elif error == "recent":
            learner.state[RECENT] = np.roll(learner.state[RECENT], 1, axis=-1)
        else:
            learner.ngrams = changed(learner.ngrams, error)
        return honest(learner, x, y, update, columns)

    learner = make_learner(batch_size=2)
    monkeypatch.setattr(engine, "loss_and_gradients", planted)
    with pytest.raises(AssertionError):
        compare_gradients(engine, learner, 1e-12)


def start_of(learner: Learner) -> Learner:
    learner.position = 3
    return learner


@LIMITS
@pytest.mark.parametrize("clip_by", ["value", "norm"])
@pytest.mark.parametrize("optimizer", list(SLOTS))
def test_updates_agree_for_every_rule(engine, optimizer, clip_by, dtype, limit):
    start = start_of(
        make_learner(
            optimizer=optimizer, batch_size=3, clip=0.5, clip_by=clip_by, weight_decay=0.01,
            layers=2, dropout=0.2,
        )
    )  # fmt: skip
    ours, theirs = in_dtype(start, dtype), in_dtype(start, "float64")
    text = repeated_text(11, COUNTED + 60)  # the last windows are after the counted text
    plan = Plan(np.full(5, 0.003), np.array([60, 267, 580]))
    trace, truth = engine.train(ours, text, plan), REFERENCE.train(theirs, text, plan)
    np.testing.assert_allclose(trace.losses, truth.losses, rtol=10 * limit)
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=100 * limit)
    for name, before in start.parameters.items():
        # The change is compared, because the size of a parameter would hide a wrong step.
        steps = ours.parameters[name] - before, theirs.parameters[name] - before
        assert distance(*steps) <= 500 * limit, name
    assert np.array_equal(ours.state[RECENT], theirs.state[RECENT])
    assert_close(ours.state, theirs.state, 100 * limit)
    places = 3 + plan.starts[:, np.newaxis] + 1 + np.arange(35)
    assert len(np.unique(start.ngrams.columns(places))) == 6


def test_a_column_off_by_one_in_training_is_caught(engine):
    # With one character more counted, the parts begin elsewhere.
    ours, theirs = make_learner(batch_size=2), make_learner(batch_size=2)
    ours.ngrams = replace(ours.ngrams, counted=COUNTED - 8)
    text, plan = repeated_text(11), Plan(np.full(5, 0.003), np.array([50, 330]))
    trace, truth = engine.train(ours, text, plan), REFERENCE.train(theirs, text, plan)
    assert np.abs(trace.losses - truth.losses).max() > 1e-6


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_bits_do_not_depend_on_how_updates_are_divided_into_calls(native, threads, dtype):
    native.threads = threads
    once = make_learner(dtype=dtype, batch_size=3, optimizer="adam", dropout=0.1)
    often, text = copy_learner(once), repeated_text(11)
    starts = np.array([0, 210, 420])
    whole = native.train(once, text, Plan(np.full(9, 0.01), starts))
    traces = [native.train(often, text, Plan(np.full(n, 0.01), starts)) for n in (1, 3, 5)]
    assert np.array_equal(whole.losses, np.concatenate([trace.losses for trace in traces]))
    for ours, theirs in ((once.parameters, often.parameters), (once.state, often.state)):
        for name in ours:
            assert np.array_equal(ours[name], theirs[name]), name


def test_two_windows_give_the_state_of_one_window_of_twice_the_length(engine):
    long = make_learner(seq_length=6, batch_size=2)
    x, y, columns = window_of(long)
    short = copy_learner(long)
    short.config = long.config.replace(seq_length=3)
    _, _, whole = engine.loss_and_gradients(long, x, y, None, columns)
    for half in (slice(0, 3), slice(3, 6)):
        _, _, short.state = engine.loss_and_gradients(
            short, x[half], y[half], None, columns[half].copy()
        )
    assert np.array_equal(short.state[RECENT], whole[RECENT])
    assert_close(short.state, whole, 1e-13)
    assert whole[RECENT][0].tolist() == x[-3:].T.tolist()


def test_ngrams_without_parts_always_use_the_counts_of_the_whole_text(engine):
    learner = make_learner(batch_size=2)
    whole = replace(
        learner.ngrams, shares=learner.ngrams.shares[:1], factors=learner.ngrams.factors[:1], counted=0
    )  # fmt: skip
    learner.ngrams = whole
    compare_gradients(engine, learner, 1e-12)
    ours, theirs = copy_learner(learner), copy_learner(learner)
    plan = Plan(np.full(3, 0.01), np.array([0, 300]))
    for each, one in ((engine, ours), (REFERENCE, theirs)):
        each.train(one, repeated_text(11), plan)
    assert_close(ours.parameters, theirs.parameters, 1e-12)


def test_the_ngrams_of_an_empty_text_change_no_probability(engine):
    learner, plain = make_learner(order=5), make_learner(order=5)
    no_ids, no_segments = np.zeros(0, np.uint8), np.zeros((0, 2), np.int64)
    tokens = repeated_text(11)[:40, np.newaxis]
    plain.parameters["ngram.weight"][:] = plain.parameters["ngram.bias"][:] = 0
    expected, _ = engine.score(plain, tokens, plain.state)
    for ngrams in (
        new_learner(learner.config, learner.vocabulary).ngrams,
        engine.count_ngrams(learner.config, 11, no_ids, no_segments),
    ):
        learner.ngrams = ngrams
        np.testing.assert_allclose(
            engine.score(learner, tokens, learner.state)[0], expected, rtol=1e-12
        )
        trained = copy_learner(learner)
        plan = Plan(np.full(2, 0.01), np.zeros(1, np.int64))
        assert engine.train(trained, repeated_text(11), plan).stopped is None


@LIMITS
@pytest.mark.parametrize("order", [1, 2, 7])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_score_step_and_activations_agree_with_the_reference(engine, cell, order, dtype, limit):
    learner = make_learner(17, order, dtype, cell=cell, batch_size=4)
    truth = in_dtype(learner, "float64")
    tokens = repeated_text(17)[:300].reshape(75, 4)  # more than two stretches of 32 steps
    for method, ids in (("score", tokens), ("step", tokens[0])):
        ours, our_state = getattr(engine, method)(learner, ids, learner.state)
        theirs, their_state = getattr(REFERENCE, method)(truth, ids, truth.state)
        assert distance(ours, theirs) <= limit
        assert np.array_equal(our_state[RECENT], their_state[RECENT])
        assert_close(our_state, their_state, 10 * limit)
    one = {name: array[:, :1].copy() for name, array in learner.state.items()}
    values, last = engine.activations(learner, tokens[:, 0], one)
    true_values, true_last = REFERENCE.activations(truth, tokens[:, 0], one)
    assert_close(values, true_values, 10 * limit)
    assert_close(last, true_last, 10 * limit)
    assert np.array_equal(last[RECENT], true_last[RECENT])


def test_any_number_of_threads_scores_the_same_bits(native):
    learner = make_learner(33, dtype="float32", batch_size=5)
    tokens = repeated_text(33)[:500].reshape(100, 5)
    nats, state = native.score(learner, tokens, learner.state)
    for threads in (2, 3, 5):
        engine = NativeEngine(threads, native.isa)
        others, other_state = engine.score(learner, tokens, learner.state)
        assert np.array_equal(nats, others)
        assert all(np.array_equal(state[name], other_state[name]) for name in state)


def test_any_number_of_threads_trains_alike(native):
    start = make_learner(batch_size=5, optimizer="adam", dropout=0.2)
    plan, results = Plan(np.full(6, 0.01), np.arange(5) * 100), []
    for threads in (1, 2, 5):
        learner = copy_learner(start)
        NativeEngine(threads, native.isa).train(learner, repeated_text(11), plan)
        results.append(learner)
    for learner in results[1:]:
        assert_close(learner.parameters, results[0].parameters, 1e-12)
        assert np.array_equal(learner.state[RECENT], results[0].state[RECENT])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_score_and_step_agree_on_every_character(engine, dtype):
    learner = make_learner(dtype=dtype)
    tokens = repeated_text(11)[:80, np.newaxis]
    nats, last = engine.score(learner, tokens, learner.state)
    state = learner.state
    for t, target in enumerate(tokens[1:, 0]):
        logits, state = engine.step(learner, tokens[t], state)
        p = np.exp(logits[0].astype(np.float64) - logits.max())
        assert nats[t, 0] == pytest.approx(
            -np.log(p[target] / p.sum()), rel=1e-4 if dtype == "float32" else 1e-11
        )
    assert np.array_equal(last[RECENT], state[RECENT])


@pytest.mark.parametrize("order", [1, 2, 6])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_generated_text_is_that_of_the_reference_and_of_step(engine, cell, layers, order):
    learner = make_learner(order=order, cell=cell, layers=layers)
    uniforms, read = np.random.default_rng(5).random(80), np.array([1, 4, 2])
    ids, state = engine.generate(learner, read, Sampler(), uniforms, learner.state)
    true_ids, true_state = REFERENCE.generate(learner, read, Sampler(), uniforms, learner.state)
    assert np.array_equal(ids, true_ids)
    assert_close(state, true_state, 1e-10)
    first, between = engine.generate(learner, read, Sampler(), uniforms[:33], learner.state)
    so_far = np.concatenate([read, first])
    rest, _ = engine.generate(learner, so_far, Sampler(), uniforms[33:], between)
    assert np.array_equal(ids, np.concatenate([first, rest]))
    greedy, _ = engine.generate(learner, read, Sampler(0.0), uniforms[:20], learner.state)
    state, last = learner.state, read[-1:]
    for expected in greedy:
        logits, state = engine.step(learner, last, state)
        last = logits.argmax(axis=-1)
        assert last[0] == expected


def test_threads_that_share_a_character_write_the_same_text(native, monkeypatch):
    learner = make_learner(40, hidden_size=70, layers=2, cell="lstm")
    uniforms, read = np.random.default_rng(4).random(60), np.array([3, 1])
    ids, state = native.generate(learner, read, Sampler(), uniforms, learner.state)
    monkeypatch.setattr("charloom.engines.native.SHARED_SAMPLING", 0)
    others, other_state = NativeEngine(3, native.isa).generate(
        learner, read, Sampler(), uniforms, learner.state
    )
    assert np.array_equal(ids, others)
    assert all(np.array_equal(state[name], other_state[name]) for name in state)


@pytest.mark.parametrize("size", [np.nan, np.inf, 1e30])
def test_a_weight_of_the_ngrams_that_is_not_finite_is_refused_as_the_reference_refuses_it(
    engine, size
):
    learner = make_learner(dtype="float32", batch_size=2)
    learner.parameters["ngram.bias"][:] = size
    before = copy_learner(learner)
    plan = Plan(np.full(3, 0.01), np.array([0, 300]))
    theirs = copy_learner(learner)
    trace = engine.train(learner, repeated_text(11), plan)
    with np.errstate(all="ignore"):
        truth = REFERENCE.train(theirs, repeated_text(11), plan)
    assert trace.stopped == truth.stopped
    assert len(trace.losses) == len(truth.losses)
    if trace.stopped:
        for name, parameter in before.parameters.items():
            assert np.array_equal(learner.parameters[name], parameter, equal_nan=True)
