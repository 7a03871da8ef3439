"""The native and the torch engine read and learn the inputs of pairs of characters as the reference engine does."""

import numpy as np
import pytest

from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.engines import Plan, Sampler, native_problem
from charloom.errors import EngineError
from charloom.model import Learner, copy_learner, hidden_arrays, new_learner
from charloom.model.input_pairs import PAIRS, InputPairs, most_frequent_pairs
from charloom.model.learner import RECENT
from charloom.model.optimizers import SLOTS
from charloom.text import Vocabulary
from engine_comparison import assert_close, distance, in_dtype

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom import _native
from charloom.engines.native import NativeEngine, open_kernels
from native_networks import REFERENCE

LENGTH = 660
SEGMENTS = [(0, 200), (200, 600)]


def repeated_text(K: int) -> np.ndarray:
    """Return ids in which many pairs occur again, and in which every id occurs."""
    rng = np.random.default_rng(K)
    pieces = [rng.integers(0, K, rng.integers(2, 12)) for _ in range(9)]
    walk = np.concatenate([np.arange(min(K, 50)), *(pieces[n] for n in rng.integers(0, 9, LENGTH))])
    return walk[:LENGTH].astype(np.uint8 if K <= 256 else np.uint16)


def make_learner(K=11, pairs=20, order=0, dtype="float64", **changes) -> Learner:
    """Return a small network whose inputs of pairs are not zero. Its first stream begins."""
    defaults = {"hidden_size": 18, "seq_length": 7, "init": "uniform", "cell": "gru"}
    settings = {**defaults, **changes, "ngram_order": order, "input_pairs": pairs, "dtype": dtype}
    config = Config(**settings)
    learner = new_learner(config, Vocabulary(chr(0x100 + k) for k in range(K)))
    rng = np.random.default_rng(config.hidden_size + K)
    for array in hidden_arrays(learner.state).values():
        array[:] = rng.uniform(-1, 1, array.shape)
    text, P = repeated_text(K), learner.parameters[PAIRS]
    learner.pairs = most_frequent_pairs(lambda a, b: text[a:b], SEGMENTS, len(P), K)
    assert learner.pairs.used
    P[:] = rng.normal(0, 0.3, P.shape)
    recent = learner.state[RECENT]
    recent[:] = text[50 : 50 + recent.size].reshape(recent.shape)
    recent[0, 0] = -1
    if order:
        learner.parameters["ngram.weight"][:] = rng.normal(0, 0.3, (1, config.hidden_size))
        learner.ngrams = REFERENCE.count_ngrams(config, K, text[:600], np.array(SEGMENTS))
    return learner


def window_of(learner: Learner):
    """Return x, y and the columns of a window, each (T, B)."""
    T, B = learner.config.seq_length, learner.config.batch_size
    places = np.arange(T)[:, np.newaxis] + 190 + 37 * np.arange(B)
    text = repeated_text(len(learner.vocabulary))
    columns = learner.ngrams.columns(places + 1) if learner.ngrams else None
    return text[places], text[places + 1], columns


def compare_gradients(engine, learner: Learner, limit: float) -> None:
    """Compare loss, gradients and state of a window with those of the reference in float64."""
    x, y, columns = window_of(learner)
    loss, gradients, state = engine.loss_and_gradients(learner, x, y, 3, columns)
    truth, true_gradients, true_state = REFERENCE.loss_and_gradients(
        in_dtype(learner, "float64"), x, y, 3, columns
    )
    assert distance(loss, truth) <= limit
    # The bias of the n-grams has a single entry, whose terms can cancel almost completely.
    for found in (gradients, true_gradients):
        found.pop("ngram.bias", None)
    assert_close(gradients, true_gradients, limit)
    assert np.array_equal(state[RECENT], true_state[RECENT])
    assert_close(state, true_state, limit)


LIMITS = pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-5)])


@LIMITS
@pytest.mark.parametrize("H", [1, 3, 7, 8, 15, 16, 17, 33, 64, 70])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_agree_at_every_number_of_units(engine, cell, H, dtype, limit):
    # A row of the learner's matrix is read in whole vectors, except for the last units of each gate.
    compare_gradients(
        engine, make_learner(dtype=dtype, cell=cell, hidden_size=H, batch_size=3), limit
    )


@LIMITS
@pytest.mark.parametrize(("K", "pairs"), [(2, 1), (2, 4), (11, 121), (300, 40), (2_500, 64)])
def test_gradients_agree_at_every_number_of_characters(engine, K, pairs, dtype, limit):
    # With more than 2,048 characters, a pair is not found in a table but by a search.
    compare_gradients(engine, make_learner(K, pairs, dtype=dtype, batch_size=3), limit)


@LIMITS
@pytest.mark.parametrize("order", [0, 1, 2, 9])
@pytest.mark.parametrize(
    ("layers", "streams", "T", "dropout"),
    [(1, 1, 9, 0.0), (1, 5, 7, 0.3), (2, 3, 1, 0.3), (2, 2, 40, 0.0)],
)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_agree_for_every_network(
    engine, cell, layers, streams, T, dropout, order, dtype, limit
):
    learner = make_learner(
        order=order, dtype=dtype, cell=cell, layers=layers, batch_size=streams,
        seq_length=T, dropout=dropout,
    )  # fmt: skip
    compare_gradients(engine, learner, limit)


@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-11), ("float32", 1e-4)])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_agree_for_a_window_of_several_stretches(engine, cell, dtype, limit):
    """Each stretch reads the same rows again."""
    learner = make_learner(dtype=dtype, cell=cell, batch_size=2, seq_length=400)
    compare_gradients(engine, learner, limit)


@pytest.mark.parametrize("error", ["gradient", "one row", "recent", "ids"])
def test_wrong_pairs_of_the_native_engine_are_caught(engine, error, monkeypatch):
    honest = engine.loss_and_gradients

    def planted(learner, x, y, update, columns):
        learner = copy_learner(learner)
        if error == "recent":
            learner.state[RECENT] = np.full_like(learner.state[RECENT], -1)
        elif error == "ids":
            learner.pairs = InputPairs(learner.pairs.ids[:, ::-1], 11)
        loss, gradients, state = honest(learner, x, y, update, columns)
        if error == "gradient":
            gradients[PAIRS] = gradients[PAIRS] * 1.0001
        elif error == "one row":
            gradients[PAIRS][np.flatnonzero(gradients[PAIRS][:, 0])[0]] = 0
        return loss, gradients, state

    learner = make_learner(pairs=121, batch_size=3)
    # The characters before the windows of the last two streams, so that their first pairs have rows.
    learner.state[RECENT][0, 1:, 0] = repeated_text(11)[[226, 263]]
    compare_gradients(engine, learner, 1e-12)
    monkeypatch.setattr(engine, "loss_and_gradients", planted)
    with pytest.raises(AssertionError):
        compare_gradients(engine, learner, 1e-12)


# Updates


@LIMITS
@pytest.mark.parametrize("clip_by", ["value", "norm"])
@pytest.mark.parametrize("optimizer", list(SLOTS))
@pytest.mark.parametrize(
    ("cell", "order", "threads"), [("gru", 0, 1), ("lstm", 4, 2), ("rnn", 0, 3)]
)
def test_updates_agree_for_every_rule(
    native, cell, order, threads, optimizer, clip_by, dtype, limit
):
    start = make_learner(
        optimizer=optimizer, batch_size=3, clip=0.5, clip_by=clip_by, weight_decay=0.01, layers=2,
        dropout=0.2, cell=cell, order=order, pairs=30,
    )  # fmt: skip
    start.position = 3
    native.threads = threads
    ours, theirs = in_dtype(start, dtype), in_dtype(start, "float64")
    text, plan = repeated_text(11), Plan(np.full(5, 0.003), np.array([60, 267, 580]))
    trace, truth = native.train(ours, text, plan), REFERENCE.train(theirs, text, plan)
    np.testing.assert_allclose(trace.losses, truth.losses, rtol=10 * limit)
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=100 * limit)
    for name, before in start.parameters.items():
        # The change is compared, because the size of a parameter would hide a wrong step.
        steps = ours.parameters[name] - before, theirs.parameters[name] - before
        assert distance(*steps) <= 500 * limit, name
    for slot, arrays in theirs.slots.items():
        assert distance(ours.slots[slot][PAIRS], arrays[PAIRS]) <= 500 * limit, slot
    assert_close(ours.state, theirs.state, 100 * limit)
    unread = (theirs.parameters[PAIRS] == in_dtype(start, dtype).parameters[PAIRS]).all(axis=1)
    kept = (ours.parameters[PAIRS] == in_dtype(start, dtype).parameters[PAIRS]).all(axis=1)
    assert 0 < kept.sum() < 30
    if dtype == "float64":
        assert np.array_equal(kept, unread)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_bits_do_not_depend_on_how_updates_are_divided_into_calls(native, threads, dtype):
    native.threads = threads
    once = make_learner(dtype=dtype, batch_size=3, optimizer="adamw", dropout=0.1, weight_decay=0.1)
    often, text = copy_learner(once), repeated_text(11)
    starts = np.array([0, 210, 420])
    whole = native.train(once, text, Plan(np.full(9, 0.01), starts))
    traces = [native.train(often, text, Plan(np.full(n, 0.01), starts)) for n in (1, 3, 5)]
    assert np.array_equal(whole.losses, np.concatenate([trace.losses for trace in traces]))
    assert np.array_equal(
        whole.gradient_norms, np.concatenate([trace.gradient_norms for trace in traces])
    )
    slots = [(once.slots[slot], often.slots[slot]) for slot in once.slots]
    for ours, theirs in ((once.parameters, often.parameters), (once.state, often.state), *slots):
        for name in ours:
            assert np.array_equal(ours[name], theirs[name]), name


def test_a_second_training_run_with_the_same_threads_has_the_same_bits(native):
    results = []
    for _ in range(3):
        learner = make_learner(dtype="float32", batch_size=6, optimizer="adam", pairs=60)
        NativeEngine(3, native.isa).train(
            learner, repeated_text(11), Plan(np.full(20, 0.01), np.arange(6) * 80)
        )
        results.append(learner.parameters[PAIRS].tobytes())
    assert len(set(results)) == 1


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


def test_rows_without_a_pair_never_change(engine):
    learner = make_learner(pairs=121, batch_size=3, optimizer="adamw", weight_decay=0.1)
    learner.pairs = InputPairs(
        np.concatenate([learner.pairs.ids[:5], np.full((116, 2), -1)]), characters=11
    )
    before = learner.parameters[PAIRS].copy()
    engine.train(learner, repeated_text(11), Plan(np.full(20, 0.01), np.array([0, 210, 420])))
    assert np.array_equal(learner.parameters[PAIRS][5:], before[5:])
    assert not np.array_equal(learner.parameters[PAIRS][:5], before[:5])


@pytest.mark.parametrize("size", [np.nan, 1e30])
def test_an_input_that_is_not_finite_is_refused_as_the_reference_refuses_it(engine, size):
    learner = make_learner(dtype="float32", batch_size=2)
    learner.parameters[PAIRS][0, 0] = size
    before, theirs = copy_learner(learner), copy_learner(learner)
    plan = Plan(np.full(3, 0.01), np.array([0, 300]))
    trace = engine.train(learner, repeated_text(11), plan)
    with np.errstate(all="ignore"):
        truth = REFERENCE.train(theirs, repeated_text(11), plan)
    assert trace.stopped == truth.stopped
    assert len(trace.losses) == len(truth.losses)
    if trace.stopped and not len(trace.losses):
        for name, parameter in before.parameters.items():
            assert np.array_equal(learner.parameters[name], parameter, equal_nan=True)


# Reading


@LIMITS
@pytest.mark.parametrize("order", [0, 1, 7])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_score_step_and_activations_agree_with_the_reference(engine, cell, order, dtype, limit):
    learner = make_learner(17, 40, order, dtype, cell=cell, batch_size=4)
    truth = in_dtype(learner, "float64")
    tokens = repeated_text(17)[:300].reshape(75, 4)  # more than two stretches of 32 steps
    for method, ids in (("score", tokens), ("step", tokens[0])):
        ours, our_state = getattr(engine, method)(learner, ids, learner.state)
        theirs, their_state = getattr(REFERENCE, method)(truth, ids, truth.state)
        assert distance(ours, theirs) <= limit
        assert np.array_equal(our_state[RECENT], their_state[RECENT])
        assert_close(our_state, their_state, 10 * limit)
    one = {name: array[:, 1:2].copy() for name, array in learner.state.items()}
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
        others, other_state = NativeEngine(threads, native.isa).score(
            learner, tokens, learner.state
        )
        assert np.array_equal(nats, others)
        assert all(np.array_equal(state[name], other_state[name]) for name in state)


@pytest.mark.parametrize("order", [0, 3])
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


# Refusals


@pytest.mark.parametrize(
    ("ids", "reason"),
    [
        ([[0, 1], [0, 11]], "an id is not below K"),
        ([[0, 1], [-1, 3]], "an id is not below K"),
        ([[0, 1], [-2, -2]], "an id is not below K"),
        ([[0, 1], [0, 1]], "two rows have the same pair"),
        ([[-1, -1], [0, 1]], "a row without a pair comes before one with a pair"),
    ],
)
def test_pairs_that_would_crash_the_kernels_are_refused(native, ids, reason):
    learner = make_learner(pairs=2)
    learner.pairs = InputPairs(np.array(ids), 11)
    x, y, _ = window_of(learner)
    with pytest.raises(EngineError, match=reason):
        native.loss_and_gradients(learner, x, y)


@pytest.mark.parametrize("pairs", [None, 3, 11], ids=["none", "too few", "another vocabulary"])
def test_a_learner_without_its_pairs_is_refused_by_both_engines(engine, pairs):
    learner = make_learner(pairs=20)
    learner.pairs = pairs and InputPairs(
        np.full((20 if pairs == 11 else pairs, 2), -1), 12 if pairs == 11 else 11
    )
    x, y, _ = window_of(learner)
    for each in (engine, REFERENCE):
        with pytest.raises(EngineError, match="pairs"):
            each.loss_and_gradients(learner, x, y)


@pytest.mark.parametrize("shape", [(), (2,), (2, 3), (1, 2, 1)])
def test_the_compiled_code_refuses_pairs_of_another_shape(native, shape):
    with pytest.raises(ValueError, match="shape"):
        _native.Pairs(ids=np.zeros(shape, np.int32), K=2)


def test_the_compiled_code_refuses_pairs_that_do_not_fit_the_network(native):
    learner = make_learner(pairs=3, batch_size=2)
    shape, table = native._settings(learner).shape, native._pairs(learner)
    h, recent = learner.state.values()
    values = {
        "shape": shape,
        "ngrams": None,
        "pairs": table,
        "weights": tuple(learner.parameters.values()),
        "state": (h, recent),
        "ids": np.zeros(2, np.int32),
        "logits": np.empty((2, 11)),
    }
    kernels = open_kernels("float64", native.isa)
    kernels.step(**values)
    sizes = {"cell": _native.Cell.gru, "layers": 1, "H": 18}
    weights = values["weights"]
    for wrong, message in (
        ({"pairs": None}, "pairs exactly if"),
        ({"shape": _native.Shape(**sizes, K=11), "weights": weights[:-1]}, "pairs exactly if"),
        ({"pairs": _native.Pairs(ids=np.zeros((1, 2), np.int32), K=11)}, "another number or K"),
        ({"pairs": _native.Pairs(ids=learner.pairs.ids, K=12)}, "another number or K"),
        ({"weights": weights[:-1]}, "wrong number of arrays"),
        ({"weights": (*weights[:-1], weights[-1][:2].copy())}, "does not have the shape"),
        ({"weights": (*weights[:-1], weights[-1][:, :-1].copy())}, "does not have the shape"),
        ({"state": (h,)}, "wrong number of states"),
        ({"state": (h, np.zeros((1, 2, 2), np.int32))}, "recent must have the shape"),
        ({"state": (h, np.full((1, 2, 1), 11, np.int32))}, "neither -1 nor an id below K"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels.step(**{**values, **wrong})
    for ids in (np.zeros((2, 3), np.int32), np.zeros(4, np.int32)):
        with pytest.raises(ValueError, match=r"shape \(R, 2\)"):
            _native.Pairs(ids=ids, K=11)
    with pytest.raises(ValueError, match="too many pairs"):
        _native.Shape(**sizes, K=11, pairs=2**24)
    with pytest.raises(ValueError, match="K is out of range"):
        _native.Pairs(ids=learner.pairs.ids, K=0)
