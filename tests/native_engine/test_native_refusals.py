"""The native engine refuses arrays and settings that do not fit."""

from dataclasses import replace

import numpy as np
import pytest

from charloom.engines import Plan, Sampler, native_problem
from charloom.errors import EngineError
from charloom.model import Learner
from charloom.model.input_pairs import most_frequent_pairs

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom import _native
from charloom.engines.native import NativeEngine, open_kernels
from native_networks import ONE_STREAM, REFERENCE, SETS, make_learner, make_tokens


def refuse(what: str, call) -> None:
    with pytest.raises(EngineError, match=what):
        call()


def test_arrays_of_wrong_shapes_are_refused_in_python():
    engine, plan = NativeEngine(), Plan(np.full(3, 0.1), ONE_STREAM)
    tokens = make_tokens(make_learner(), 100)

    def changed(**changes) -> Learner:
        learner = make_learner()
        for name, value in changes.items():
            name = {"W": "layers.0.W", "b": "layers.0.b"}.get(name, name)
            if name == "h":
                learner.state["h"] = value
            else:
                learner.parameters[name] = value
        return learner

    wrong = {
        r"of shape \(99, 100\)": {"W": np.zeros((99, 100))},
        "float32": {"W": np.zeros((100, 100), dtype=np.float32)},
        "contiguous": {"W": np.zeros((100, 100)).T.copy().T},
        r"the state h is float64 of shape \(1, 2, 100\)": {"h": np.zeros((1, 2, 100))},
        "complex128": {"V": np.zeros((80, 100), dtype=np.complex128)},
    }
    for what, changes in wrong.items():
        learner = changed(**changes)
        refuse(what, lambda learner=learner: engine.train(learner, tokens, plan))
        refuse(
            what,
            lambda learner=learner: engine.score(learner, tokens[:, np.newaxis], learner.state),
        )
    read_only = make_learner()
    read_only.parameters["V"].flags.writeable = False
    refuse("V is read-only", lambda: engine.train(read_only, tokens, plan))
    deep, long = make_learner(H=2, layers=65), make_learner(H=2, T=2**24)
    refuse(
        "65 layers, but the native engine supports at most 64",
        lambda: engine.train(deep, tokens, plan),
    )
    refuse("at most 16,777,215 characters", lambda: engine.train(long, tokens, plan))
    accepted = make_learner()
    refuse("80 characters", lambda: engine.train(accepted, np.full(100, 80, np.uint8), plan))
    refuse(
        "starts",
        lambda: engine.train(accepted, tokens, Plan(plan.learning_rates, np.zeros(2, int))),
    )
    refuse(
        "places",
        lambda: engine.train(
            accepted, tokens, Plan(plan.learning_rates, plan.starts, np.zeros(2, int))
        ),
    )
    rates, begins = plan.learning_rates, np.array([[0], [50], [20]])
    jumps = {
        r"`starts` of the plan has shape \(2, 1\)": Plan(rates, begins[:2]),
        r"`places` of the plan has shape \(1,\); it must have the shape of": Plan(
            rates, begins, ONE_STREAM
        ),
        r"`resets` of the plan is bool of shape \(2,\)": Plan(
            rates, begins, resets=np.ones(2, bool)
        ),
        "`resets` of the plan is int64": Plan(rates, begins, resets=np.ones(3, np.int64)),
        "1 window of 25 steps from position 75 need 101": Plan(rates, begins + 25),
        "begins at the index -40; an index must be at least 0": Plan(rates, begins - 40),
    }
    for what, jump in jumps.items():
        refuse(what, lambda jump=jump: engine.train(accepted, tokens, jump))
    refuse("int64", lambda: engine.train(accepted, tokens.astype(np.int64), plan))
    refuse(
        "need 76 characters, but the text has 75", lambda: engine.train(accepted, tokens[:75], plan)
    )
    refuse(
        "80 characters",
        lambda: engine.generate(accepted, np.array([80]), Sampler(), np.ones(1), accepted.state),
    )
    refuse(
        "80 characters",
        lambda: engine.generate(accepted, np.array([-1]), Sampler(), np.ones(1), accepted.state),
    )
    refuse(r"\(N, B\)", lambda: engine.score(accepted, tokens, accepted.state))
    refuse(r"\(N, B\)", lambda: engine.score(accepted, tokens[:0, np.newaxis], accepted.state))
    refuse(r"shape \(T, B\)", lambda: engine.loss_and_gradients(accepted, tokens, tokens))
    refuse("80 characters", lambda: engine.step(accepted, np.array([200]), accepted.state))


def test_the_compiled_code_refuses_what_python_did_not_check():
    learner = make_learner()
    weights = tuple(learner.parameters.values())
    state, nats, ids = (np.zeros((1, 1, 100)),), np.zeros((9, 1)), np.zeros((10, 1), np.int32)
    kernels = open_kernels("float64", SETS[0])

    def shape(cell=_native.Cell.rnn, layers=1, K=80, H=100) -> _native.Shape:
        return _native.Shape(cell=cell, layers=layers, K=K, H=H)

    def score(shape=shape(), weights=weights, state=state, ids=ids, nats=nats, threads=1):  # noqa: B008
        kernels.score(
            shape=shape,
            ngrams=None,
            pairs=None,
            weights=weights,
            state=state,
            tokens=ids,
            threads=threads,
            nats=nats,
        )

    score()
    with pytest.raises(ValueError, match="not below K"):
        score(ids=np.full((10, 1), 80, np.int32))
    with pytest.raises(ValueError, match=r"\(N - 1, B\)"):
        score(nats=np.zeros((10, 1)))
    with pytest.raises(ValueError, match=r"\(L, B, H\)"):
        score(state=(np.zeros((1, 1, 99)),))
    with pytest.raises(ValueError, match="number of states"):
        score(state=(*state, *state))
    with pytest.raises(ValueError, match="shape that the network needs"):
        score(weights=(*weights[:4], np.zeros(79)))
    with pytest.raises(ValueError, match="shape that the network needs"):
        score(shape=shape(cell=_native.Cell.lstm), state=(*state, *state))
    with pytest.raises(ValueError, match="number of arrays"):
        score(shape=shape(layers=2))
    with pytest.raises(ValueError, match="thread"):
        score(threads=2)
    with pytest.raises((TypeError, RuntimeError)):
        score(state=(np.zeros((1, 1, 100), np.float32),))


def test_settings_out_of_range_are_refused_when_they_are_made():
    with pytest.raises(ValueError, match="layers"):
        _native.Shape(cell=_native.Cell.rnn, layers=65, K=80, H=100)
    with pytest.raises(ValueError, match="H or K"):
        _native.Shape(cell=_native.Cell.rnn, layers=1, K=80, H=0)
    with pytest.raises(ValueError, match="instruction set v9"):
        open_kernels("float64", "v9")
    shape = _native.Shape(cell=_native.Cell.rnn, layers=1, K=80, H=100)
    with pytest.raises(AttributeError):
        shape.H = 101


def opened(learner: Learner, **changes):
    """Return a network of the kernels for a learner, and its arrays in the form for the kernels."""
    engine = NativeEngine()
    settings = engine._settings(learner)
    network = open_kernels("float64", engine.isa).open_training(
        **{
            "shape": settings.shape,
            "ngrams": None,
            "pairs": engine._pairs(learner),
            "descent": settings.descent,
            "seq_length": 25,
            "streams": 1,
            "threads": 1,
            **changes,
        }
    )
    weights = tuple(learner.parameters.values())
    slots = tuple(tuple(arrays.values()) for arrays in learner.slots.values())
    return network, {
        "weights": weights,
        "slots": slots,
        "state": tuple(learner.state.values()),
    }


def trained(network, **changes):
    return network.train(
        **{
            "text": _native.Text(ids=np.zeros(26, np.uint8)),
            "starts": np.zeros(1, np.int64),
            "places": None,
            "columns": None,
            "resets": None,
            "position": 0,
            "learning_rates": np.array([0.1]),
            "update": 0,
            "results": np.empty((2, 1)),
            **changes,
        }
    )


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"starts": np.array([1])}, "not in the text"),
        ({"position": 1}, "not in the text"),
        ({"position": -1}, "not in the text"),
        ({"position": 2**60}, "position is out of range"),
        ({"starts": np.array([2**60])}, "index is out of range"),
        ({"starts": np.array([[1]])}, "not in the text"),
        ({"starts": np.array([[-1]])}, "not in the text"),
        ({"places": np.array([-1])}, "not in the text"),
        ({"places": np.array([2**60])}, "index is out of range"),
        ({"starts": np.array([[0], [0]])}, "must have the shape"),
        ({"starts": np.array([0, 0])}, "must have the shape"),
        ({"starts": np.array([[0]]), "places": np.array([0])}, "must have the shape"),
        ({"starts": np.array([[[0]]])}, "must have the shape"),
        ({"resets": np.ones(2, bool)}, "one entry per update"),
        ({"results": np.empty((2, 2))}, r"\(2, updates\)"),
        ({"results": np.empty((1, 1))}, r"\(2, updates\)"),
        ({"learning_rates": np.ones((1, 1))}, "one axis"),
    ],
)
def test_the_compiled_code_refuses_wrong_windows(changes, what):
    network, arrays = opened(make_learner())
    network.load(**arrays)
    assert trained(network) is None
    with pytest.raises(ValueError, match=what):
        trained(network, **changes)


def test_the_compiled_code_refuses_a_network_that_is_not_ready():
    network, arrays = opened(make_learner())
    for early in (lambda: trained(network), lambda: network.store(**arrays)):
        with pytest.raises(ValueError, match="nothing was loaded"):
            early()
    for wrong in ({"seq_length": 0}, {"streams": 0}, {"seq_length": 2**24}, {"threads": 2}):
        with pytest.raises(ValueError, match=r"window|thread"):
            opened(make_learner(), **wrong)
    with pytest.raises(ValueError, match="number of slots"):
        network.load(**{**arrays, "slots": ()})
    with pytest.raises(ValueError, match=r"\(L, B, H\)"):
        network.load(**{**arrays, "state": (np.zeros((1, 2, 100)),)})
    with pytest.raises(ValueError, match="ids must be"):
        _native.Text(ids=np.zeros(26, np.int64))


def test_the_inputs_of_pairs_must_be_stored_where_they_are():
    learner = make_learner(K=6, input_pairs=5)
    ids = make_tokens(learner, 200)
    learner.pairs = most_frequent_pairs(lambda first, end: ids[first:end], [(0, 200)], 5, 6)
    network, arrays = opened(learner)
    network.load(**arrays)
    network.store(**arrays)
    other = (*arrays["weights"][:-1], arrays["weights"][-1].copy())
    with pytest.raises(ValueError, match="inputs of pairs"):
        network.store(**{**arrays, "weights": other})


def test_settings_follow_a_config_that_is_replaced():
    engine, learner = NativeEngine(), make_learner()
    first = engine._settings(learner)
    assert engine._settings(learner) is first
    learner.config = learner.config.replace(clip=0.25)
    assert engine._settings(learner).descent.clip == 0.25


def with_ngrams() -> Learner:
    learner = make_learner(H=5, K=6, ngram_order=4, batch_size=2, T=3)
    text = np.tile(np.arange(6, dtype=np.uint8), 9)
    text[::5] = 2
    learner.ngrams = REFERENCE.count_ngrams(learner.config, 6, text, np.array([[0, 20], [20, 54]]))
    return learner


# Each makes one of the arrays of `NGrams` wrong.
WRONG_NGRAMS = {
    "child_ids and follower_ids must have one axis": lambda n: {
        "child_ids": n.child_ids[np.newaxis]
    },
    "there must be a context": lambda n: {"child_ids": n.child_ids[:0]},
    "one entry more": lambda n: {"children": n.children[:-1]},
    "followers must have one entry more": lambda n: {"followers": n.followers[:-1]},
    "end with the number": lambda n: {"children": n.children + np.uint32(1)},
    "number of contexts and of followers": lambda n: {"follower_ids": n.follower_ids[:-1]},
    "must be ascending": lambda n: {"followers": placed(n.followers, 2, n.followers[-1])},
    "an id is not below K": lambda n: {"follower_ids": placed(n.follower_ids, 3, 6)},
    "not below K": lambda n: {"child_ids": placed(n.child_ids, 1, 2**32 - 1)},
    "followers must be ascending": lambda n: {"follower_ids": placed(n.follower_ids, 1, 0)},
    "must come after it": lambda n: {"children": placed(n.children, slice(1, 3), 1)},
    "one row per column": lambda n: {"shares": n.shares[:-1]},
    "shares and factors": lambda n: {"factors": n.factors[:, :-1]},
    "not a probability": lambda n: {"factors": placed(n.factors, (1, 2), 0)},
    "a share or factor": lambda n: {"shares": placed(n.shares, (0, 0), np.nan)},
    "share or factor is not": lambda n: {"shares": placed(n.shares, (0, 0), -0.25)},
    "or factor is not": lambda n: {"factors": placed(n.factors, (0, 0), 1.5)},
    "at least one column|1 to 256 columns": lambda n: {"factors": n.factors[:0]},
    "0 without parts": lambda n: {"shares": n.shares[:1], "factors": n.factors[:1]},
    "counted must be at least 0": lambda n: {"counted": -1},
    "wrong dtype": lambda n: {"children": n.children.astype(np.int64)},
    "has a wrong dtype": lambda n: {"shares": n.shares.astype(np.float64)},
    "has a wrong": lambda n: {"counted": 2**70},
}


def placed(array: np.ndarray, index: object, value: float) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


@pytest.mark.parametrize("message", WRONG_NGRAMS)
def test_damaged_ngrams_are_refused_and_never_read(message):
    learner = with_ngrams()
    learner.ngrams = replace(learner.ngrams, **WRONG_NGRAMS[message](learner.ngrams))
    engine, tokens = NativeEngine(), np.zeros((9, 2), np.uint8)
    plan = Plan(np.full(2, 0.1), np.array([0, 1]))
    for call in (
        lambda: engine.score(learner, tokens, learner.state),
        lambda: engine.step(learner, tokens[0], learner.state),
        lambda: engine.loss_and_gradients(learner, tokens[:3], tokens[1:4]),
        lambda: engine.train(learner, np.zeros(40, np.uint8), plan),
    ):
        refuse(f"the n-grams of the model are damaged: .*({message})", call)


def test_the_arrays_of_ngrams_cannot_be_changed_after_the_check():
    ngrams = with_ngrams().ngrams
    with pytest.raises(ValueError, match="read-only"):
        ngrams.follower_ids[0] = 99
    mine = ngrams.follower_ids.copy()
    view = mine.view()
    view.flags.writeable = False
    for given in (mine, view):
        other = replace(ngrams, follower_ids=given)
        mine[:] = 2**31
        np.testing.assert_array_equal(other.follower_ids, ngrams.follower_ids)
        mine[:] = ngrams.follower_ids
    assert other.shares.base is ngrams.shares.base or other.shares is ngrams.shares


@pytest.mark.parametrize("engine", [NativeEngine(), REFERENCE], ids=["native", "reference"])
def test_missing_or_other_ngrams_are_refused_by_both_engines(engine):
    learner = with_ngrams()
    tokens, ngrams = np.zeros((9, 2), np.uint8), learner.ngrams
    plan = Plan(np.full(2, 0.1), np.array([0, 1]))
    for wrong, message in (
        (None, "the learner has no n-grams, but ngram_order=4 needs them"),
        (replace(ngrams, order=5), "n-grams of order 5 of 6 characters; they must be of order 4"),
        (replace(ngrams, characters=7), "order 4 of 7 characters; they must be of order 4 of 6"),
    ):
        learner.ngrams = wrong
        refuse(message, lambda: engine.score(learner, tokens, learner.state))
        refuse(message, lambda: engine.train(learner, np.zeros(40, np.uint8), plan))
    # Without the setting, n-grams are not used, whatever they are.
    plain = make_learner(H=5, K=6, T=3)
    plain.ngrams = ngrams
    engine.score(plain, tokens[:, :1], plain.state)


def test_columns_and_recent_ids_that_do_not_fit_are_refused():
    learner, engine = with_ngrams(), NativeEngine()
    x = np.zeros((3, 2), np.uint8)

    def gradients(columns: np.ndarray) -> None:
        engine.loss_and_gradients(learner, x, x, None, columns)

    gradients(np.full((3, 2), 8, np.int64))
    gradients(np.zeros((2, 3), np.uint8).T)
    refuse(
        r"from 0 to 9; the model's n-grams have 9 columns",
        lambda: gradients(np.array([[0, 9]] * 3)),
    )
    refuse("from -1 to 0", lambda: gradients(np.array([[-1, 0]] * 3)))
    refuse(r"shape \(2, 3\); .* shape \(3, 2\)", lambda: gradients(np.zeros((2, 3), np.int32)))
    refuse("columns are float64", lambda: gradients(np.zeros((3, 2))))
    for recent, message in (
        (np.full((1, 2, 3), 6, np.int32), "recent has ids from 6 to 6; the model has 6 characters"),
        (np.full((1, 2, 3), -2, np.int32), "ids from -2 to -2; .* or -1 for no id"),
        (np.zeros((1, 2, 3), np.int64), "recent is int64 of shape"),
        (
            np.zeros((1, 2, 4), np.int32),
            r"shape \(1, 2, 4\); it must be int32 of shape \(1, 2, 3\)",
        ),
        (np.zeros((2, 2, 3), np.int32), r"shape \(2, 2, 3\)"),
    ):
        state = {**learner.state, "recent": recent}
        refuse(message, lambda state=state: engine.score(learner, x, state))
        learner.state, kept = state, learner.state
        refuse(message, lambda: engine.loss_and_gradients(learner, x, x))
        learner.state = kept
    without = {"h": learner.state["h"]}
    refuse("of the state are h; they must be h, recent", lambda: engine.score(learner, x, without))
    plain = make_learner(H=5, K=6, T=3, batch_size=2)
    refuse("must be h, in this order", lambda: engine.score(plain, x, learner.state))
    with pytest.raises(EngineError, match="n-grams have 1 column, so they must be from 0 to 0"):
        engine.loss_and_gradients(plain, x, x, None, np.ones((3, 2), np.int32))


def test_a_result_whose_recent_ids_are_not_set_yet_is_accepted(monkeypatch):
    # The engine passes uninitialized memory for the next state.
    learner, engine = with_ngrams(), NativeEngine()
    monkeypatch.setattr(np, "empty_like", lambda array: np.full_like(array, 99))
    _, _, state = engine.loss_and_gradients(learner, *np.ones((2, 3, 2), np.uint8))
    assert state["recent"].tolist() == np.ones((1, 2, 3)).tolist()


def test_the_compiled_code_refuses_ngrams_that_do_not_fit_the_network():
    learner = with_ngrams()
    engine = NativeEngine()
    shape, table = engine._settings(learner).shape, engine._ngrams(learner)
    kernels = open_kernels("float64", engine.isa)
    values: dict[str, object] = {
        "shape": shape,
        "ngrams": table,
        "pairs": None,
        "weights": tuple(learner.parameters.values()),
        "state": tuple(learner.state.values()),
        "ids": np.zeros(2, np.int32),
        "logits": np.empty((2, 6)),
    }
    h, recent = learner.state.values()
    kernels.step(**values)
    plain = make_learner(H=5, K=6)
    other = _native.Shape(cell=_native.Cell.rnn, layers=1, K=6, H=5, ngram_order=3)
    for wrong, message in (
        ({"ngrams": None}, "n-grams exactly if"),
        ({"shape": other}, "another order or K"),
        ({"shape": other, "ngrams": None}, "n-grams exactly if"),
        ({"shape": engine._settings(plain).shape}, "wrong number of arrays"),
        ({"state": (h,)}, "wrong number of states"),
        ({"state": (h, recent, recent)}, "wrong number of states"),
        ({"state": (h, recent[..., :2].copy())}, "recent must have the shape"),
        ({"state": (h, placed(recent, 0, -2))}, "neither -1 nor an id below K"),
        ({"state": (h, placed(recent, 0, 6))}, "neither -1 nor an id below K"),
        ({"weights": values["weights"][:-1]}, "wrong number of arrays"),  # type: ignore[index]
    ):
        with pytest.raises(ValueError, match=message):
            kernels.step(**{**values, **wrong})
    with pytest.raises((TypeError, RuntimeError)):
        kernels.step(**{**values, "state": (h, recent.astype(np.int64))})
    with pytest.raises(ValueError, match="from 0 to 64"):
        _native.Shape(cell=_native.Cell.rnn, layers=1, K=6, H=5, ngram_order=65)
    window = {name: values[name] for name in ("shape", "ngrams", "pairs", "weights", "state")} | {
        "x": np.zeros((3, 2), np.int32),
        "y": np.zeros((3, 2), np.int32),
        "descent": engine._settings(learner).descent,
        "update": 0,
        "gradients": tuple(np.empty_like(p) for p in learner.parameters.values()),
        "next": (h.copy(), recent.copy()),
    }
    kernels.gradients(**window, columns=np.full((3, 2), 8, np.int32))
    for columns, message in (
        (np.full((3, 2), 9, np.int32), "not one of the n-grams' columns"),
        (np.full((3, 2), -1, np.int32), "not one of the n-grams' columns"),
        (np.zeros((2, 3), np.int32), "columns must have the shape of x"),
        (np.zeros(6, np.int32), "columns must have the shape of x"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels.gradients(**window, columns=columns)


def test_a_text_that_cannot_be_counted_is_refused():
    def count(ids=np.zeros(10, np.uint8), segments=((0, 10),), K=2, order=3, **changes):  # noqa: B008
        sizes = {"context_bytes": 7, "entry_bytes": 5, "most_bytes": 1000, "most_memory": 10**6}
        limits = {"parts": 8, "least": 2, "free": 3} | sizes | changes
        segments = np.array(segments, np.int64)
        return _native.count_ngrams(ids=ids, segments=segments, K=K, order=order, **limits)

    count()
    for wrong, message in (
        ({"ids": np.full(10, 2, np.uint8)}, "not below K"),
        ({"segments": ((0, 11),)}, "segments must be in order"),
        ({"segments": ((5, 5),)}, "segments must be in order"),
        ({"segments": ((-1, 5),)}, "segments must be in order"),
        ({"segments": ((0, 5), (4, 10))}, "segments must be in order"),
        ({"segments": ((5, 10), (0, 5))}, "segments must be in order"),
        ({"segments": (0, 10)}, r"shape \(S, 2\)"),
        ({"K": 0}, "K is out of range"),
        ({"order": 0}, "order must be from 1 to 64"),
        ({"order": 65}, "order must be from 1 to 64"),
        ({"parts": -1}, "a limit"),
        ({"parts": 256}, "a limit"),
        ({"least": 0}, "a limit"),
        ({"context_bytes": 2**24}, "too many bytes"),
        ({"entry_bytes": 2**24}, "too many bytes"),
    ):
        with pytest.raises(ValueError, match=message):
            count(**wrong)
    with pytest.raises((ValueError, TypeError)):
        count(ids=np.zeros(10, np.int64) - 1)
    children, _, _, _, shares, factors = count(parts=0)
    assert (len(shares), len(factors), len(children)) == (1, 1, 4)
