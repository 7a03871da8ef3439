"""Tests that every engine resets a stream's states exactly where the stream begins an item.

The scalar oracle gets the resets from outside; the engines find them from the ids (spec/mathematics.md: Items).
"""

import itertools
import sys

import numpy as np
import pytest

from charloom.engines import Plan, Sampler, open_engine
from charloom.engines.reference import ReferenceEngine, network
from charloom.gradient_check import check_gradients
from charloom.hidden_units.unit_values import blocks, choose
from charloom.model import copy_learner, hidden_arrays, recent_ids, zero_state
from charloom.model.learner import NO_ID, RECENT
from tests import oracle
from tests.compared_engines import COMPARED, open_compared
from tests.reference_engine.reference_networks import (
    as_lists,
    assert_same,
    make_ids,
    make_learner,
    relative_error,
)

CELLS = ["rnn", "lstm", "gru"]
ENGINES = ["reference", *COMPARED]
T = 4
# float64 against float64. The native engine's limit is that of its other tests; PyTorch's kernels add in another order.
LIMITS = {"reference": 1e-12, "torch": 1e-10}
MIXED = {"ngram_order": 3, "input_pairs": 6}


def engine_of(name, monkeypatch):
    """Return the engine with a name of ENGINES."""
    return ReferenceEngine() if name == "reference" else open_compared(name, monkeypatch)


def limit(name):
    """Return the largest norm-relative error of an engine."""
    return LIMITS.get(name, 1e-12)


def with_boundaries(learner, places, steps=T):
    """Return random ids, (steps + 1, B), with the boundary of items at the `places` (t, s) only."""
    B, boundary = learner.config.batch_size, learner.vocabulary.boundary
    ids = make_ids(learner, steps + 1, B) % boundary
    for t, s in places:
        ids[t, s] = boundary
    return ids


def placements(streams):
    """Return sets of places (t, s): none, each one alone, and several in one window, also next to each other."""
    alone = [[(t, s)] for t in range(T) for s in range(streams)]
    every = [(t, s) for t in range(T) for s in range(streams)]
    several = [[(0, 0), (2, streams - 1)], [(1, 0), (2, 0)], [(t, 0) for t in range(T)], every]
    return [[], *alone, *several]


def oracle_result(learner, ids, masks=None):
    """Return the oracle's loss, gradients and state; the recent ids and rows are found by `brute_force`."""
    x, y = ids[:-1], ids[1:]
    contexts, rows, recent = brute_force(learner, x)
    logs = None
    if learner.ngrams is not None:
        logs = np.log(
            np.maximum([[probabilities(learner, c) for c in row] for row in contexts], 1e-30)
        )
    hidden = as_lists(hidden_arrays(learner.state))
    loss, gradients, state = oracle.loss_and_gradients(
        learner.config.cell,
        as_lists(learner.parameters),
        x.tolist(),
        y.tolist(),
        hidden,
        None if masks is None else masks.tolist(),
        None if logs is None else logs.tolist(),
        rows if learner.pairs is not None else None,
        (x == learner.vocabulary.boundary).tolist(),
    )
    return loss, gradients, {**state, **({RECENT: recent} if RECENT in learner.state else {})}


def brute_force(learner, x):
    """Return the context after each step, the row of each pair, and the recent ids at the end.

    Each stream keeps a list of what it read since its item began.
    """
    steps, B = x.shape
    if RECENT not in learner.state:
        return [], [], None
    D = learner.state[RECENT].shape[-1]
    read = [[k for k in learner.state[RECENT][0, s].tolist() if k >= 0] for s in range(B)]
    contexts, rows = [], []
    for t in range(steps):
        rows.append([])
        for s in range(B):
            present = int(x[t, s])
            if present == learner.vocabulary.boundary:
                read[s] = []
            rows[-1].append(row_of(learner, read[s][-1] if read[s] else None, present))
            read[s].append(present)
        contexts.append([list(one[-D:]) if D else [] for one in read])
    padded = [[NO_ID] * (D - len(one[-D:])) + one[-D:] for one in read]
    return contexts, rows, np.array([padded], np.int32)


def row_of(learner, previous, present):
    """Return the row of a pair, by looking through all of them; -1 if it has none."""
    if learner.pairs is None or previous is None:
        return -1
    found = [n for n, pair in enumerate(learner.pairs.ids.tolist()) if pair == [previous, present]]
    return found[0] if found else -1


def probabilities(learner, context):
    """Return the n-grams' probability of each character after a context, walking the tree."""
    n = learner.ngrams
    q, node = np.full(n.characters, 1 / n.characters), 0
    for before in [*reversed(context), None]:
        entries = slice(n.followers[node], n.followers[node + 1])
        q = q * n.factors[0, node]
        q[n.follower_ids[entries]] += n.shares[0, entries]
        children = n.child_ids[n.children[node] : n.children[node + 1]].tolist()
        if before not in children:
            return q
        node = int(n.children[node]) + children.index(before)
    return q


def assert_agrees(engine, learner, ids, name, masks=None):
    """Assert that an engine's loss, gradients and state are the oracle's."""
    loss, gradients, state = engine.loss_and_gradients(
        learner, ids[:-1], ids[1:], None if masks is None else 1
    )
    wanted = oracle_result(learner, ids, masks)
    assert loss == pytest.approx(wanted[0], rel=limit(name))
    assert_same(gradients, wanted[1], limit(name))
    assert_same(state, wanted[2], limit(name))


# Gradients


@pytest.mark.parametrize("streams", [1, 2])
@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ENGINES)
def test_gradients_with_a_reset_at_every_place_are_the_oracles(
    name, cell, layers, streams, monkeypatch
):
    """The oracle computes with single numbers; the window is so small that each place costs some milliseconds."""
    engine = engine_of(name, monkeypatch)
    learner = make_learner(3, T, 3, items=True, cell=cell, layers=layers, batch_size=streams)
    for places in placements(streams):
        assert_agrees(engine, learner, with_boundaries(learner, places), name)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ENGINES)
@pytest.mark.parametrize("settings", [MIXED, {"ngram_order": 4}, {"input_pairs": 5}])
def test_ngrams_and_pairs_forget_what_was_before_an_item(name, cell, settings, monkeypatch):
    engine = engine_of(name, monkeypatch)
    learner = make_learner(3, T, 3, items=True, cell=cell, layers=2, batch_size=2, **settings)
    for places in placements(2):
        assert_agrees(engine, learner, with_boundaries(learner, places), name)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ENGINES)
def test_dropout_masks_stay_those_of_their_steps(name, cell, monkeypatch):
    engine = engine_of(name, monkeypatch)
    learner = make_learner(
        3, T, 3, items=True, cell=cell, layers=2, batch_size=2, dropout=0.4, seed=3
    )
    masks = network.dropout_masks(learner.config, 1, T, 2)
    for places in placements(2):
        assert_agrees(engine, learner, with_boundaries(learner, places), name, masks)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize(("streams", "steps", "hidden"), [(33, 40, 21), (1, 300, 40), (700, 3, 9)])
def test_gradients_of_larger_windows_are_the_references(
    name, cell, streams, steps, hidden, monkeypatch
):
    """The native engine processes such windows in several stretches and blocks of streams."""
    engine = engine_of(name, monkeypatch)
    learner = make_learner(
        hidden, steps, 5, items=True, cell=cell, layers=2, batch_size=streams, sigma=0.2
    )
    ids = make_ids(learner, steps + 1, streams)
    loss, gradients, state = engine.loss_and_gradients(learner, ids[:-1], ids[1:])
    wanted = ReferenceEngine().loss_and_gradients(learner, ids[:-1], ids[1:])
    assert loss == pytest.approx(wanted[0], rel=limit(name))
    assert_same(gradients, wanted[1], 10 * limit(name))
    assert_same(state, wanted[2], limit(name))


@pytest.mark.parametrize("settings", [{}, MIXED, {"dropout": 0.3}])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ENGINES)
def test_the_gradient_check_covers_resets(name, cell, settings, monkeypatch):
    engine = engine_of(name, monkeypatch)
    learner = make_learner(4, 6, 4, items=True, cell=cell, layers=2, batch_size=2, **settings)
    ids = with_boundaries(learner, [(0, 0), (3, 0), (4, 0), (5, 1)], 6)
    (check,) = check_gradients(learner, ids[:-1], ids[1:], engines=(engine,), entries=20)
    assert check.passed


# Training


@pytest.mark.parametrize(
    "settings",
    [
        {"cell": "rnn", "batch_size": 1},  # the classic network, which has kernels of its own
        {"cell": "rnn", "batch_size": 1, "layers": 2},
        {"cell": "lstm", "batch_size": 5, "optimizer": "adam", "clip_by": "norm"},
        {"cell": "gru", "batch_size": 3, "layers": 3, "dropout": 0.3, "averaging": 0.5},
        {"cell": "lstm", "batch_size": 4, "layers": 2, **MIXED},
    ],
)
@pytest.mark.parametrize("name", COMPARED)
def test_training_is_that_of_the_reference(name, settings, monkeypatch):
    engine = engine_of(name, monkeypatch)
    learner = make_learner(6, 7, 5, items=True, **settings)
    mine, wanted = copy_learner(learner), copy_learner(learner)
    B = learner.config.batch_size
    tokens = make_ids(learner, 300)
    plan = Plan(np.full(5, 0.01), np.arange(B) * 40)
    trace, other = engine.train(mine, tokens, plan), ReferenceEngine().train(wanted, tokens, plan)
    assert relative_error(trace.losses, other.losses) <= 1e-11
    assert relative_error(trace.gradient_norms, other.gradient_norms) <= 1e-9
    assert_same(mine.parameters, wanted.parameters, 1e-9)
    assert_same(mine.state, wanted.state, 1e-9)


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("settings", [{"cell": "rnn"}, {"cell": "lstm", "batch_size": 2}])
def test_an_update_that_is_not_applied_keeps_the_states(name, settings, monkeypatch):
    engine = engine_of(name, monkeypatch)
    learner = make_learner(6, 5, 5, items=True, **settings)
    learner.parameters["c"][0] = np.nan
    before = {key: array.copy() for key, array in learner.state.items()}
    tokens = np.full(60, learner.vocabulary.boundary, learner.vocabulary.id_dtype)
    starts = np.arange(learner.config.batch_size) * 20
    assert engine.train(learner, tokens, Plan(np.full(2, 0.1), starts)).stopped == "non-finite"
    assert_same(learner.state, before, 0)


@pytest.mark.parametrize("threads", [2, 3])
def test_streams_that_are_divided_among_threads_reset_too(threads):
    native = pytest.importorskip("charloom.engines.native")
    learner = make_learner(6, 7, 5, items=True, cell="gru", batch_size=7, **MIXED)
    mine, wanted = copy_learner(learner), copy_learner(learner)
    plan, tokens = Plan(np.full(4, 0.01), np.arange(7) * 30), make_ids(learner, 300)
    trace = native.NativeEngine(threads=threads).train(mine, tokens, plan)
    other = ReferenceEngine().train(wanted, tokens, plan)
    assert relative_error(trace.losses, other.losses) <= 1e-11
    assert_same(mine.parameters, wanted.parameters, 1e-9)


# Reading and sampling


@pytest.mark.parametrize("settings", [{"layers": 1}, {"layers": 2, **MIXED}])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ENGINES)
def test_all_ways_to_read_give_the_same_states(name, cell, settings, monkeypatch):
    """Reads one stream of more ids than the native engine scores at once, with boundaries at many places."""
    engine = engine_of(name, monkeypatch)
    learner = make_learner(6, 7, 4, items=True, cell=cell, **settings)
    ids = make_ids(learner, 90)
    state, nats = learner.state, []
    for here, following in itertools.pairwise(ids.tolist()):
        if here == learner.vocabulary.boundary:
            state = zero_state(learner.config)
        logits, state = engine.step(learner, np.array([here], ids.dtype), state)
        nats.append(-network.log_softmax(logits)[0, following])
    scores, scored = engine.score(learner, ids[:, np.newaxis], learner.state)
    values, after = engine.activations(learner, ids[:-1], learner.state)
    assert relative_error(scores[:, 0], nats) <= 1e-12
    assert_same(scored, state)
    assert_same(after, state)
    assert_same(
        {key: array[-1] for key, array in values.items()},
        {key: array[:, 0] for key, array in hidden_arrays(state).items()},
    )


@pytest.mark.parametrize("settings", [{"cell": "rnn"}, {"cell": "lstm", "layers": 2, **MIXED}])
@pytest.mark.parametrize("name", ENGINES)
def test_a_drawn_boundary_begins_an_item(name, settings, monkeypatch):
    engine = engine_of(name, monkeypatch)
    learner = make_learner(6, 7, 2, items=True, **settings)
    boundary = learner.vocabulary.boundary
    learner.parameters["c"][boundary] += 1
    uniforms = np.random.default_rng(3).random(60)
    first = np.array([boundary], learner.vocabulary.id_dtype)
    ids, state = engine.generate(learner, first, Sampler(), uniforms, learner.state)
    at = ids.tolist().index(boundary)
    rest = uniforms[at + 1 :]
    again, same = engine.generate(learner, first, Sampler(), rest, zero_state(learner.config))
    assert again.tolist() == ids[at + 1 :].tolist()
    assert_same(state, same, 0)


@pytest.mark.parametrize("cell", CELLS)
def test_the_values_of_units_begin_again_with_an_item(cell):
    """The gates are computed outside of the engines."""
    learner = make_learner(5, T, 4, items=True, cell=cell, layers=2, input_pairs=8)
    item = [learner.vocabulary.boundary, 2, 0, 1, 3, 2]
    ids = np.array(item * 2, learner.vocabulary.id_dtype)
    ids[1] = 3  # so that the first item differs from the second
    alone = np.array(item, learner.vocabulary.id_dtype)
    both, second = (
        np.concatenate(list(blocks(learner, ReferenceEngine(), text, choose(learner))))
        for text in (ids, alone)
    )
    assert relative_error(both[len(item) :], second) <= 1e-12


# No leak


def items_of(learner, count=9):
    """Return random items as lists of ids, of 1 to 12 characters."""
    draw, K = np.random.default_rng(5), learner.vocabulary.boundary
    return [draw.integers(0, K, draw.integers(1, 13)).tolist() for _ in range(count)]


def scores_of(engine, learner, streams):
    """Return the losses of each item, by number, when each stream reads its items one after another.

    `streams` are lists of (number, item). Shorter streams are filled with boundaries.
    """
    boundary = learner.vocabulary.boundary
    texts = [[boundary, *(k for _, item in one for k in (*item, boundary))] for one in streams]
    N = max(map(len, texts))
    tokens = np.array([text + [boundary] * (N - len(text)) for text in texts]).T
    state = zero_state(learner.config, len(texts))
    for array in hidden_arrays(state).values():
        array[...] = 0.5  # what was before the first item must not matter
    nats, _ = engine.score(learner, tokens.astype(learner.vocabulary.id_dtype), state)
    found = {}
    for s, one in enumerate(streams):
        at = 0
        for number, item in one:
            found[number] = nats[at : at + len(item) + 1, s]
            at += len(item) + 1
    return found


@pytest.mark.parametrize("settings", [{}, MIXED])
@pytest.mark.parametrize("hidden", [5, 33])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", ENGINES)
def test_an_item_costs_the_same_wherever_it_is(name, cell, hidden, settings, monkeypatch):
    engine = engine_of(name, monkeypatch)
    learner = make_learner(hidden, 7, 6, items=True, cell=cell, layers=2, **settings)
    items = list(enumerate(items_of(learner)))
    alone = {n: scores_of(engine, learner, [[(n, item)]])[n] for n, item in items}
    shuffled = [items[k] for k in np.random.default_rng(0).permutation(len(items))]
    arrangements = [
        [items],
        [items[::-1]],
        [shuffled],
        [[one] for one in items],
        [shuffled[:2], shuffled[2:3], shuffled[3:]],
        [[one] for one in shuffled * 5][: 5 * len(items)],
    ]
    for streams in arrangements:
        for number, nats in scores_of(engine, learner, streams).items():
            if name == "reference":
                assert nats.tobytes() == alone[number].tobytes()
            else:
                assert relative_error(nats, alone[number]) <= 1e-12


@pytest.mark.parametrize("cell", CELLS)
def test_the_references_products_of_all_streams_would_give_other_bits(cell, monkeypatch):
    """So the test above finds them: an item's bits depend on the batch if the products are not apart."""
    honest = network.cells_of
    monkeypatch.setattr(network, "cells_of", lambda p, cell, apart=False: honest(p, cell))
    learner = make_learner(33, 7, 6, items=True, cell=cell, layers=2)
    items = list(enumerate(items_of(learner)))
    alone = {n: scores_of(ReferenceEngine(), learner, [[(n, item)]])[n] for n, item in items}
    together = scores_of(ReferenceEngine(), learner, [[one] for one in items])
    assert any(together[n].tobytes() != alone[n].tobytes() for n in alone)


# N-grams and pairs


@pytest.mark.parametrize("name", ["reference", "native"])
def test_counting_gives_the_contexts_that_prediction_asks_for(name):
    """Brute force: the followers of each context are those that occur after it within an item."""
    if name == "native":
        pytest.importorskip("charloom.engines.native")
    learner = make_learner(3, T, 3, items=True, ngram_order=4)
    boundary, K = learner.vocabulary.boundary, len(learner.vocabulary)
    ids = np.array([boundary, *(k for item in items_of(learner, 40) for k in (*item, boundary))])
    ids = ids.astype(learner.vocabulary.id_dtype)
    seen, item = {(): {boundary}}, []
    for here, following in itertools.pairwise(ids.tolist()):
        item = [here] if here == boundary else [*item, here]
        for length in range(min(4, len(item) + 1)):
            seen.setdefault(tuple(item[len(item) - length :]), set()).add(following)
    counted = open_engine(name).count_ngrams(
        learner.config, K, ids, np.array([[0, len(ids)]]), boundary=boundary
    )
    found = {}
    contexts = [((), 0)]
    while contexts:
        context, node = contexts.pop()
        entries = counted.follower_ids[counted.followers[node] : counted.followers[node + 1]]
        found[context] = set(entries.tolist())
        children = range(counted.children[node], counted.children[node + 1])
        contexts += [((int(counted.child_ids[child]), *context), child) for child in children]
    kept = {context for context in seen if len(context) < 3}  # rare longer contexts do not count
    assert kept <= set(found) <= set(seen)
    assert all(found[context] == seen[context] for context in found)


def test_the_engines_count_the_same_ngrams_of_items():
    pytest.importorskip("charloom.engines.native")
    learner = make_learner(3, T, 3, items=True, ngram_order=5)
    ids, K = make_ids(learner, 2_000), len(learner.vocabulary)
    counted = [
        open_engine(name).count_ngrams(
            learner.config,
            K,
            ids,
            np.array([[0, 900], [900, 2_000]]),
            boundary=learner.vocabulary.boundary,
        )
        for name in ("reference", "native")
    ]
    assert counted[0].equal_model(counted[1])


def test_no_pair_ends_with_the_boundary():
    learner = make_learner(3, T, 2, items=True, input_pairs=9)
    used = learner.pairs.ids[: learner.pairs.used]
    assert len(used) == 6
    assert learner.vocabulary.boundary not in used[:, 1]


# Planted errors


def without_the_backward_reset(begins, carried):
    """Reset the states before a step but let the gradient pass back."""
    if (
        sys._getframe(1).f_code.co_name == "loss_and_gradients"
        and "d_next" in sys._getframe(1).f_locals
    ):
        return list(carried)
    return HONEST_ZERO(begins, carried)


def a_step_late(t, begins):
    """Reset one step too late."""
    return None if begins is None else begins[t - 1] & (t > 0)


HONEST_ZERO = network.zero_where
HONEST_RECENT = recent_ids.recent_ids_after


@pytest.mark.parametrize(
    ("owner", "attribute", "plant"),
    [
        (network, "zero_where", lambda begins, carried: list(carried)),
        (network, "zero_where", without_the_backward_reset),
        (network, "begins_at", a_step_late),
        (recent_ids, "recent_ids_after", lambda x, state, _: HONEST_RECENT(x, state, None)),
    ],
    ids=["no reset", "no reset of the gradient", "a step late", "recent ids that stay"],
)
@pytest.mark.parametrize("cell", CELLS)
def test_a_wrong_reset_differs_from_the_oracle(owner, attribute, plant, cell, monkeypatch):
    learner = make_learner(3, T, 3, items=True, cell=cell, layers=2, batch_size=2, ngram_order=3)
    ids = with_boundaries(learner, [(2, 1), (3, 0)])
    assert_agrees(ReferenceEngine(), learner, ids, "reference")
    monkeypatch.setattr(owner, attribute, plant)
    with pytest.raises(AssertionError):
        assert_agrees(ReferenceEngine(), learner, ids, "reference")


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("plant", [without_the_backward_reset])
def test_a_missing_reset_of_the_gradient_fails_the_gradient_check(cell, plant, monkeypatch):
    learner = make_learner(4, 6, 4, items=True, cell=cell, layers=2, batch_size=2)
    ids = with_boundaries(learner, [(3, 0), (4, 1)], 6)
    monkeypatch.setattr(network, "zero_where", plant)
    engines = (ReferenceEngine(),)
    (check,) = check_gradients(learner, ids[:-1], ids[1:], engines=engines, entries=20)
    assert not check.passed
