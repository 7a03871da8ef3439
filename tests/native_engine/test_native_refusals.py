"""The native engine refuses arrays and settings that do not fit."""

import numpy as np
import pytest

from charloom.engines import Plan, Sampler, native_problem
from charloom.errors import EngineError
from charloom.model import Learner

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom import _native
from charloom.engines.native import NativeEngine, open_kernels
from native_networks import ONE_STREAM, SETS, make_learner, make_tokens


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
            shape=shape, weights=weights, state=state, tokens=ids, threads=threads, nats=nats
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


def test_the_compiled_code_refuses_windows_past_the_end_of_the_text():
    learner = make_learner()
    weights = tuple(learner.parameters.values())
    engine = NativeEngine()
    with pytest.raises(ValueError, match="past the end"):
        open_kernels("float64", engine.isa).train(
            shape=engine._settings(learner).shape,
            weights=weights,
            slots=(weights,),
            state=tuple(learner.state.values()),
            updates=_native.Updates(
                ids=np.zeros(26, np.uint8),
                starts=np.array([1]),
                seq_length=25,
                learning_rates=np.array([0.1]),
                update=0,
            ),
            descent=engine._settings(learner).descent,
            threads=1,
            workspace=_native.Workspace(),
            losses=np.empty(1),
            norms=np.empty(1),
        )


def test_settings_follow_a_config_that_is_replaced():
    engine, learner = NativeEngine(), make_learner()
    first = engine._settings(learner)
    assert engine._settings(learner) is first
    learner.config = learner.config.replace(clip=0.25)
    assert engine._settings(learner).descent.clip == 0.25
