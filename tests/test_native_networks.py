"""The native and the torch engine on every cell, depth, batch and rule, and threads, against the reference."""

from functools import lru_cache
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.engines import Engine, Plan, Sampler, native_problem
from charloom.engines.reference import ReferenceEngine
from charloom.errors import EngineError
from charloom.model import Learner, copy_learner, new_learner
from charloom.text import Vocabulary
from charloom.text.windows import Windows
from compared_engines import COMPARED, INSTRUCTION_SETS, open_compared
from engine_comparison import distance, in_dtype

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom.engines.native import NativeEngine

REFERENCE = ReferenceEngine()
CHARACTERS = 1_500
# The topmost parameter changes fastest, so that a kept result of the reference serves all instruction sets.
each_instruction_set = pytest.mark.parametrize("native", INSTRUCTION_SETS, indirect=True)
each_engine = pytest.mark.parametrize("engine", COMPARED, indirect=True)


@pytest.fixture(params=INSTRUCTION_SETS)
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> NativeEngine:
    return open_compared(request.param, monkeypatch)


@pytest.fixture(params=COMPARED)
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Engine:
    return open_compared(request.param, monkeypatch)


def make_learner(K=11, dtype="float64", **changes) -> Learner:
    """Return a small network. None of its parameters and states is near zero."""
    defaults = {"hidden_size": 18, "seq_length": 6, "init": "uniform", "dtype": dtype}
    config = Config(**{**defaults, **changes})
    learner = new_learner(config, Vocabulary(chr(0x100 + k) for k in range(K)))
    rng = np.random.default_rng(config.hidden_size + K)
    for state in learner.state.values():
        state[:] = rng.uniform(-1, 1, size=state.shape)
    return learner


def text(learner: Learner, seed: int = 1) -> np.ndarray:
    ids = np.random.default_rng(seed).integers(0, len(learner.vocabulary), CHARACTERS)
    return ids.astype(learner.vocabulary.id_dtype)


def farthest(ours, theirs) -> float:
    return max(distance(ours[name], theirs[name]) for name in theirs)


def window(learner: Learner) -> np.ndarray:
    """Return random ids x and y, (2, T, B)."""
    T, B, K = learner.config.seq_length, learner.config.batch_size, len(learner.vocabulary)
    return np.random.default_rng(2).integers(0, K, (2, T, B))


def true_gradients(learner: Learner, update: int | None):
    """Return loss, gradients and state of the float64 reference."""
    return REFERENCE.loss_and_gradients(in_dtype(learner, "float64"), *window(learner), update)


def gradients_apart(engine, learner: Learner, theirs, update: int | None = None) -> float:
    """Return how far an engine's loss, gradients and state are from `theirs`."""
    ours = engine.loss_and_gradients(learner, *window(learner), update)
    return max(
        abs(ours[0] - theirs[0]) / theirs[0],
        farthest(ours[1], theirs[1]),
        farthest(ours[2], theirs[2]),
    )


# With T = 1, H = 1, K = 2 and sizes that are no multiple of any vector among them.
SIZES = [(1, 1, 2), (5, 1, 7), (33, 4, 2), (18, 6, 70), (131, 3, 20)]


@lru_cache(2 * len(SIZES))  # for every size with and without an update
def learner_and_truth(K: int, dtype: str, update: int | None, **changes):
    """Return a learner and the float64 reference's results for it. Tests must not change them."""
    learner = in_dtype(make_learner(K, "float64", **changes), dtype)
    return learner, true_gradients(learner, update)


@each_engine
@pytest.mark.parametrize(("layers", "batch_size"), list(product((1, 2, 3), (1, 7, 32))))
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-5)])
def test_every_gradient_agrees_with_the_reference(engine, cell, layers, batch_size, dtype, limit):
    for (H, T, K), update in product(SIZES, (None, 3)):
        learner, truth = learner_and_truth(
            K, dtype, update, cell=cell, layers=layers, batch_size=batch_size, hidden_size=H,
            seq_length=T, dropout=0.25,
        )  # fmt: skip
        assert gradients_apart(engine, learner, truth, update) <= limit, (H, T, K)


# Rows, steps times streams, are summed some hundred at a time (512 at most): here in three stretches.
@each_engine
@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-12), ("float32", 1e-5)])
def test_gradients_of_long_windows_of_many_streams_agree_too(engine, cell, dtype, limit):
    learner, truth = learner_and_truth(
        70, dtype, 3, cell=cell, layers=2, batch_size=33, seq_length=41, dropout=0.25
    )
    assert gradients_apart(engine, learner, truth, 3) <= limit


@each_engine
@pytest.mark.parametrize(("batch_size", "seq_length"), [(600, 3), (1, 1030)])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_gradients_agree_for_one_step_of_many_streams_and_many_steps_of_one(
    engine, cell, batch_size, seq_length
):
    learner, truth = learner_and_truth(
        11, "float64", None, cell=cell, layers=2, batch_size=batch_size, seq_length=seq_length
    )
    assert gradients_apart(engine, learner, truth) <= 1e-12


# 2^18 rows: in one chain of additions float32 would be wrong by up to 1e-4.
@each_instruction_set
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_a_very_long_sum_loses_no_digits(native, cell):
    learner, truth = learner_and_truth(
        2, "float32", None, cell=cell, layers=2, hidden_size=2, batch_size=1024, seq_length=256
    )
    assert gradients_apart(native, learner, truth) <= 2e-6


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_gradients_agree_at_any_size(data):
    draw, whole = data.draw, st.integers
    learner = make_learner(
        draw(whole(2, 90)), cell=draw(st.sampled_from(CELL_NAMES)), layers=draw(whole(1, 3)),
        hidden_size=draw(whole(1, 70)), seq_length=draw(whole(1, 9)),
        batch_size=draw(whole(1, 20)), dropout=draw(st.sampled_from([0.0, 0.1, 0.9])),
    )  # fmt: skip
    update = draw(whole(1, 10**9))
    truth = true_gradients(learner, update)
    assert gradients_apart(NativeEngine(), learner, truth, update) <= 1e-12


def test_the_comparison_catches_another_dropout_mask(engine):
    learner = make_learner(cell="lstm", layers=2, batch_size=3, dropout=0.25)
    x, y = np.random.default_rng(2).integers(0, 11, (2, 6, 3))
    ours = engine.loss_and_gradients(learner, x, y, 4)
    theirs = REFERENCE.loss_and_gradients(learner, x, y, 5)
    assert farthest(ours[1], theirs[1]) > 1e-3


RULES = ("adagrad", "sgd", "rmsprop", "adam", "adamw")
WAYS = {
    "by-value": {"clip": 0.02, "clip_by": "value", "reduction": "sum"},
    "by-norm": {"clip": 0.1, "clip_by": "norm", "reduction": "mean", "weight_decay": 0.05},
    "unclipped": {"clip": 0.0, "dropout": 0.3, "weight_decay": 0.5, "weight_decay_on": "weights"},
}


def train_two_epochs(engine, learner: Learner) -> list:
    """Train a learner in two epochs; return the trace, the update and the position after each epoch."""
    windows, ends = Windows.of(learner.config, CHARACTERS), []
    for epoch, rates in ((0, [0.002, 0.001, 0.003, 0.002]), (1, [0.001])):
        trace = engine.train(learner, text(learner), Plan(np.array(rates), windows.starts(epoch)))
        ends.append((trace, learner.update, learner.position))
    return ends


@lru_cache(1)
def start_and_truth(cell: str, way: str, optimizer: str):
    """Return a learner, its copy that the float64 reference trained, and how each epoch ended."""
    start = make_learner(cell=cell, layers=2, batch_size=3, optimizer=optimizer, **WAYS[way])
    theirs = in_dtype(start, "float64")
    return start, theirs, train_two_epochs(REFERENCE, theirs)


@each_engine
@pytest.mark.parametrize(("dtype", "limit"), [("float64", 1e-11), ("float32", 2e-4)])
@pytest.mark.parametrize("optimizer", RULES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_updates_equal_those_of_the_reference(engine, cell, way, optimizer, dtype, limit):
    start, theirs, truths = start_and_truth(cell, way, optimizer)
    ours = in_dtype(start, dtype)
    for (trace, *end), (truth, *true_end) in zip(
        train_two_epochs(engine, ours), truths, strict=True
    ):
        assert distance(trace.losses, truth.losses) <= limit
        assert distance(trace.gradient_norms, truth.gradient_norms) <= limit
        assert end == true_end
    for name, before in start.parameters.items():
        # The way that was gone, not where it led: a weight's own size would hide a wrong step.
        way_gone = ours.parameters[name] - before, theirs.parameters[name] - before
        assert distance(*way_gone) <= 50 * limit, name
    for slot in theirs.slots:
        assert farthest(ours.slots[slot], theirs.slots[slot]) <= 10 * limit, slot
    assert farthest(ours.state, theirs.state) <= limit


def test_the_comparison_catches_a_wrong_learning_rate(engine):
    ours = make_learner(cell="gru", batch_size=3, optimizer="adam")
    theirs = copy_learner(ours)
    starts = Windows.of(ours.config, CHARACTERS).starts(0)
    engine.train(ours, text(ours), Plan(np.array([0.002]), starts))
    REFERENCE.train(theirs, text(ours), Plan(np.array([0.002 * 1.0001]), starts))
    before = make_learner(cell="gru", batch_size=3, optimizer="adam").parameters["V"]
    assert distance(ours.parameters["V"] - before, theirs.parameters["V"] - before) > 1e-6


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_any_number_of_threads_agrees_and_repeats_its_own_bits(cell):
    starts_at = make_learner(cell=cell, layers=2, batch_size=5, optimizer="adam", dropout=0.2)
    windows = Windows.of(starts_at.config, CHARACTERS)
    plan = Plan(np.full(6, 0.01), windows.starts(0))
    results = {}
    for threads in (1, 2, 3, 5, 9):  # more than streams: as many as streams
        twice = [copy_learner(starts_at), copy_learner(starts_at)]
        for learner in twice:
            NativeEngine(threads).train(learner, text(learner), plan)
        for name, value in twice[0].parameters.items():
            assert np.array_equal(value, twice[1].parameters[name])
        results[threads] = twice[0]
    for threads, learner in results.items():
        assert farthest(learner.parameters, results[1].parameters) <= 1e-12, threads
    # Sums in another order: the threads were there.
    assert farthest(results[2].parameters, results[1].parameters) > 0
    tokens = np.random.default_rng(3).integers(0, 11, (70, 5))
    scores = [NativeEngine(n).score(starts_at, tokens, starts_at.state)[0] for n in (1, 2, 5)]
    assert np.array_equal(scores[0], scores[1])
    assert np.array_equal(scores[0], scores[2])


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threads_that_share_a_character_sample_the_same_text_as_one_thread(
    native, dtype, cell, monkeypatch
):
    learner = make_learner(dtype=dtype, cell=cell, layers=2, hidden_size=70)
    uniforms, read = np.random.default_rng(4).random(60), np.array([3, 1])
    calls = []
    alone = native.generate(learner, read, Sampler(), uniforms, learner.state)
    monkeypatch.setattr("charloom.engines.native.SHARED_SAMPLING", 0)
    for threads in (1, 2, 3, 9):  # more than panels: some have nothing to do
        engine = NativeEngine(threads)
        calls.append(engine._sampling_threads(learner))
        ids, state = engine.generate(learner, read, Sampler(), uniforms, learner.state)
        assert np.array_equal(ids, alone[0])
        for name, value in alone[1].items():
            assert np.array_equal(state[name], value)
    assert calls == [1, 2, 3, 9]
    learner.parameters["c"][0] = np.nan
    with pytest.raises(EngineError, match="not finite"):
        NativeEngine(3).generate(learner, read, Sampler(), uniforms, learner.state)


def test_threads_share_a_character_only_in_large_networks():
    shared = {"cell": "lstm", "layers": 2, "hidden_size": 256}
    for changes, threads in ((shared, 2), ({"cell": "lstm"}, 1), ({"hidden_size": 900}, 1)):
        assert NativeEngine(2)._sampling_threads(make_learner(**changes)) == threads


def test_weights_that_no_character_reads_do_not_make_threads_share_a_character():
    wide = make_learner(K=1_400, cell="lstm", hidden_size=64)
    assert sum(array.nbytes for array in wide.parameters.values()) > 2**21
    assert NativeEngine(2)._sampling_threads(wide) == 1


@pytest.mark.parametrize("threads", [2, 3, 5])
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_threads_compute_one_update_together(cell, threads):
    ours = make_learner(
        cell=cell, layers=2, hidden_size=70, batch_size=5, optimizer="adam", dropout=0.2, clip=0.1,
        clip_by="norm", reduction="mean",
    )  # fmt: skip
    theirs, engine = copy_learner(ours), NativeEngine(threads)
    plan = Plan(np.full(5, 0.002), Windows.of(ours.config, CHARACTERS).starts(0))
    trace, truth = (e.train(n, text(n), plan) for e, n in ((engine, ours), (REFERENCE, theirs)))
    assert truth.gradient_norms.min() > 0.1
    assert distance(trace.losses, truth.losses) <= 1e-11
    assert distance(trace.gradient_norms, truth.gradient_norms) <= 1e-11
    assert farthest(ours.parameters, theirs.parameters) <= 1e-11
    assert farthest(ours.state, theirs.state) <= 1e-11


@pytest.mark.parametrize("threads", [1, 3, 4])
@pytest.mark.parametrize("bad", ["a number that is not finite", "an id beyond the vocabulary"])
def test_an_update_that_fails_in_one_stream_is_not_applied(threads, bad):
    learner = make_learner(cell="gru", batch_size=4, optimizer="adam")
    ids, starts = text(learner) % 10, Windows.of(learner.config, CHARACTERS).starts(0)
    learner.parameters["layers.0.U"][:, 10] = np.nan
    once = copy_learner(learner)
    NativeEngine(threads).train(once, ids, Plan(np.full(1, 0.01), starts))
    plan = Plan(np.full(3, 0.01), starts)
    second_window = starts[3] + learner.config.seq_length
    if bad.startswith("an id"):
        ids[second_window + 2] = 11
        with pytest.raises(EngineError, match="too large for the model, which has 11 characters"):
            NativeEngine(threads).train(learner, ids, plan)
    else:
        ids[second_window + 2] = 10
        trace = NativeEngine(threads).train(learner, ids, plan)
        assert (trace.stopped, len(trace.losses)) == ("non-finite", 1)
    assert (learner.update, learner.position) == (once.update, once.position)
    for name, value in once.parameters.items():
        assert np.array_equal(learner.parameters[name], value, equal_nan=True)
        slots = learner.slots["square"][name], once.slots["square"][name]
        assert np.array_equal(*slots, equal_nan=True)
    assert np.array_equal(learner.state["h"], once.state["h"])


def test_optimizer_slots_are_matched_by_name(engine):
    ours = make_learner(cell="gru", batch_size=2, optimizer="adam")
    theirs = copy_learner(ours)
    theirs.slots = dict(reversed(theirs.slots.items()))
    plan = Plan(np.full(3, 0.01), Windows.of(ours.config, CHARACTERS).starts(0))
    for learner in (ours, theirs):
        engine.train(learner, text(learner), plan)
    for name in ours.parameters:
        assert np.array_equal(ours.parameters[name], theirs.parameters[name])
        assert np.array_equal(ours.slots["mean"][name], theirs.slots["mean"][name])
    del ours.slots["square"]
    with pytest.raises(
        EngineError, match="the optimizer's slots are mean; they must be mean, square"
    ):
        engine.train(ours, text(ours), plan)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_many_updates_in_one_call_have_the_bits_of_many_calls(engine, cell):
    once = make_learner(cell=cell, layers=2, batch_size=3, optimizer="adam", dropout=0.1)
    often = copy_learner(once)
    starts = Windows.of(once.config, CHARACTERS).starts(0)
    engine.train(once, text(once), Plan(np.full(9, 0.01), starts))
    for count in (1, 3, 5):
        engine.train(often, text(often), Plan(np.full(count, 0.01), starts))
    for name in once.parameters:
        assert np.array_equal(once.parameters[name], often.parameters[name])
    for name in once.state:
        assert np.array_equal(once.state[name], often.state[name])


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_reading_a_text_agrees_with_the_reference(engine, cell):
    learner = make_learner(cell=cell, layers=2, batch_size=4)
    tokens = np.random.default_rng(3).integers(0, 11, (75, 4)).astype(np.uint8)
    for method, ids in (("score", tokens), ("step", tokens[0])):
        ours, our_state = getattr(engine, method)(learner, ids, learner.state)
        theirs, their_state = getattr(REFERENCE, method)(learner, ids, learner.state)
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)
        assert farthest(our_state, their_state) <= 1e-12
    one = {name: state[:, :1].copy() for name, state in learner.state.items()}
    values, last = engine.activations(learner, tokens[:, 0], one)
    true_values, true_last = REFERENCE.activations(learner, tokens[:, 0], one)
    assert farthest(values, true_values) <= 1e-12
    assert farthest(last, true_last) <= 1e-12


SAMPLERS = [
    Sampler(),
    Sampler(0.0),
    Sampler(0.7, top_k=3),
    Sampler(1.2, top_p=0.7),
    Sampler(1.0, min_p=0.4),
    Sampler(1.1, repetition_penalty=1.5, repetition_window=5),
    Sampler(0.9, top_k=8, top_p=0.8, min_p=0.1, repetition_penalty=0.7, repetition_window=3),
]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("cell", CELL_NAMES)
def test_both_engines_write_the_same_text(engine, cell, sampler):
    for layers in (1, 2):
        learner = make_learner(cell=cell, layers=layers)
        learner.parameters["V"] *= 8
        uniforms, read = np.random.default_rng(5).random(80), np.array([1, 4, 2])
        ids, state = engine.generate(learner, read, sampler, uniforms, learner.state)
        true_ids, true_state = REFERENCE.generate(learner, read, sampler, uniforms, learner.state)
        assert np.array_equal(ids, true_ids)
        assert farthest(state, true_state) <= 1e-10
        # Cut in two, it goes on where it stopped.
        first, between = engine.generate(learner, read, sampler, uniforms[:33], learner.state)
        so_far = np.concatenate([read, first])
        rest, _ = engine.generate(learner, so_far, sampler, uniforms[33:], between)
        assert np.array_equal(ids, np.concatenate([first, rest]))


@pytest.mark.parametrize("where", ["layers.1.W", "V", "layers.0.b"])
def test_an_update_that_is_not_finite_is_not_applied(engine, where):
    learner = make_learner(cell="lstm", layers=2, batch_size=4, optimizer="adam")
    learner.parameters[where].reshape(-1)[3] = np.nan
    before = copy_learner(learner)
    starts = Windows.of(learner.config, CHARACTERS).starts(0)
    trace = engine.train(learner, text(learner), Plan(np.full(3, 0.1), starts))
    assert trace.stopped == "non-finite"
    assert (learner.update, learner.position, len(trace.losses)) == (0, 0, 0)
    for name in before.parameters:
        assert np.array_equal(learner.parameters[name], before.parameters[name], equal_nan=True)
        assert not learner.slots["square"][name].any()
    for name in before.state:
        assert np.array_equal(learner.state[name], before.state[name])


def test_a_gradient_whose_square_overflows_float32_is_not_taken_for_infinite(engine):
    learner = make_learner(dtype="float32", cell="gru", batch_size=2, optimizer="sgd", clip=1e-3)
    learner.parameters["V"] *= np.float32(1e25)
    theirs = in_dtype(learner, "float64")
    plan = Plan(np.array([0.1]), Windows.of(learner.config, CHARACTERS).starts(0))
    trace, truth = (e.train(n, text(n), plan) for e, n in ((engine, learner), (REFERENCE, theirs)))
    assert trace.stopped is truth.stopped is None
    assert truth.gradient_norms[0] > 1e19
    np.testing.assert_allclose(trace.gradient_norms, truth.gradient_norms, rtol=1e-3)


@pytest.mark.parametrize("rule", ["adagrad", "rmsprop", "adam", "adamw"])
@pytest.mark.parametrize("case", ["a square overflows", "epsilon 1e-38", "epsilon 1e-40"])
@pytest.mark.parametrize("batch_size", [1, 2])
def test_no_division_of_an_optimizer_makes_a_weight_nan(engine, rule, case, batch_size):
    learner = make_learner(
        40, "float32", optimizer=rule, batch_size=batch_size, clip=0.0, seq_length=3,
        epsilon=float(case.split()[1]) if "epsilon" in case else 1e-8,
    )  # fmt: skip
    if "square" in case:
        learner.parameters["V"] *= np.float32(1e25)
    theirs = copy_learner(learner)
    plan = Plan(np.array([0.1]), Windows.of(learner.config, CHARACTERS).starts(0))
    with np.errstate(all="ignore"):
        traces = [e.train(n, text(n), plan) for e, n in ((engine, learner), (REFERENCE, theirs))]
    assert [trace.stopped for trace in traces] == [None, None]
    for name, parameter in learner.parameters.items():
        assert np.isfinite(parameter).all(), name
        np.testing.assert_allclose(parameter, theirs.parameters[name], rtol=1e-3, atol=1e-4)


def test_simultaneous_calls_do_not_share_memory():
    from concurrent.futures import ThreadPoolExecutor

    engine = NativeEngine(2)
    alone = make_learner(cell="lstm", layers=2, batch_size=4, optimizer="adam")
    plan = Plan(np.full(40, 0.01), Windows.of(alone.config, CHARACTERS).starts(0))
    together = [copy_learner(alone) for _ in range(4)]
    engine.train(alone, text(alone), plan)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda learner: engine.train(learner, text(learner), plan), together))
    for learner in together:
        for name in alone.parameters:
            assert np.array_equal(learner.parameters[name], alone.parameters[name])


@pytest.mark.parametrize("optimizer", ["adam", "rmsprop"])
def test_decaying_averages_become_zero_instead_of_subnormal(native, optimizer):
    learner = make_learner(
        hidden_size=3, batch_size=2, seq_length=2, optimizer=optimizer, dtype="float32", decay=0.5,
        init="uniform",
    )  # fmt: skip
    ids = np.array([0, 1, 2, 3, 4, 5] + [0, 1] * 1_200, np.uint8)  # 2 to 5 are read once
    native.train(learner, ids, Plan(np.full(1_150, 0.01), np.array([0, 4])))
    smallest = np.finfo(np.float32).smallest_normal
    slots = [np.abs(slot["layers.0.U"]) for slot in learner.slots.values()]
    for slot in slots:
        assert slot[:, :2].all()
        assert not ((slot != 0) & (slot < smallest)).any()
    assert not slots[0][:, 2:4].any()
