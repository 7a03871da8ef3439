"""A network stays in the layout of the kernels between calls, and whoever reads or writes its arrays does not notice."""

import copy
import pickle
import threading
from dataclasses import replace

import numpy as np
import pytest

from charloom.engines import Plan, native_problem, open_engine
from charloom.errors import ConfigError, EngineError
from charloom.model import copy_learner, restore_learner, zero_state
from charloom.model.learner import ARRAYS, release_arrays

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom.engines import kept_network
from charloom.engines.native import NativeEngine
from charloom.research import TrainingLoop
from compared_engines import TORCH
from small_runs import small_config, small_corpus

CASES = {
    "classic": {},
    "float64": {"dtype": "float64", "layers": 2, "optimizer": "sgd"},
    "lstm": {"cell": "lstm", "layers": 2, "batch_size": 3, "optimizer": "adam"},
    "averaged on two threads": {"cell": "gru", "averaging": 0.2, "batch_size": 4, "threads": 2},
    "n-grams and pairs": {"ngram_order": 3, "input_pairs": 5, "batch_size": 2, "averaging": 0.3},
}
ON_TORCH = {"engine": "torch", "device": "cpu", "batch_size": 3}
if TORCH:
    CASES |= {
        "torch": {"cell": "lstm", "layers": 2, "optimizer": "adam", **ON_TORCH},
        "torch with n-grams and pairs": {**CASES["n-grams and pairs"], **ON_TORCH},
    }
cases = pytest.mark.parametrize("settings", CASES.values(), ids=CASES)


def loop_of(settings=None) -> TrainingLoop:
    return TrainingLoop(small_corpus(), small_config(**{"engine": "native", **(settings or {})}))


def bits_of(learner) -> list[bytes]:
    slots = [array for arrays in learner.slots.values() for array in arrays.values()]
    arrays = [*learner.parameters.values(), *slots, *learner.state.values()]
    return [array.tobytes() for array in arrays]


def lacks_arrays(learner) -> bool:
    return not any(name in vars(learner) for name in ARRAYS)


@cases
def test_reading_the_arrays_after_each_update_changes_no_bit(settings):
    blind, reading = loop_of(settings), loop_of(settings)
    seen = []
    for _ in range(20):
        blind.step(), reading.step()
        assert lacks_arrays(blind.learner), "the arrays were copied though nobody read them"
        seen.append(bits_of(reading.learner))
    assert seen[-1] == bits_of(blind.learner)
    assert len({bits[0] for bits in seen}) == 20
    blind.step()
    assert lacks_arrays(blind.learner)  # the arrays that were read are gone, so they need no copy


HOLDERS = {
    "an array": lambda learner: learner.parameters["V"],
    "a view": lambda learner: learner.parameters["V"][1:],
    "a slot": lambda learner: learner.slots["accumulator"]["V"],
    "the parameters": lambda learner: learner.parameters,
    "the slots": lambda learner: learner.slots,
    "a slot's arrays": lambda learner: learner.slots["accumulator"],
    "an iterator": lambda learner: iter(learner.parameters.items()),
    "a buffer": lambda learner: memoryview(learner.parameters["V"]),
    "another learner": lambda learner: replace(learner, state=zero_state(learner.config)),
}


@pytest.mark.parametrize("hold", HOLDERS.values(), ids=HOLDERS)
def test_arrays_that_something_holds_stay_the_learners_own(hold):
    loop, other = loop_of(), loop_of()
    held = hold(loop.learner)
    before = loop.learner.parameters
    for _ in range(3):
        loop.step(), other.step()
        assert loop.learner.parameters is before
    assert bits_of(loop.learner) == bits_of(other.learner)
    del held, before
    loop.step()
    assert lacks_arrays(loop.learner)


@cases
def test_a_held_array_shows_each_update_and_what_is_written_into_it_counts(settings):
    holding, reading = loop_of(settings), loop_of(settings)
    W, average = holding.learner.parameters["layers.0.W"], holding.learner.slots
    for _ in range(5):
        holding.step(), reading.step()
        assert W.tobytes() == reading.learner.parameters["layers.0.W"].tobytes()
        W *= 0.5
        reading.learner.parameters["layers.0.W"][...] *= 0.5
    assert bits_of(holding.learner) == bits_of(reading.learner)
    assert average is holding.learner.slots


def test_memory_that_is_shared_with_another_array_is_trained_in_place():
    loop, other = loop_of(), loop_of()
    V = loop.learner.parameters["V"]
    large = np.concatenate([V, V])
    loop.learner.parameters["V"] = large[: len(V)]
    del V
    for _ in range(3):
        loop.step(), other.step()
        large[0] += 1
        other.learner.parameters["V"][0] += 1
    assert large[: len(large) // 2].tobytes() == other.learner.parameters["V"].tobytes()


def test_a_holder_that_is_not_noticed_is_caught_by_these_tests(monkeypatch):
    monkeypatch.setattr(kept_network, "are_held", lambda arrays, never_copied: False)
    with pytest.raises(AssertionError):
        test_a_held_array_shows_each_update_and_what_is_written_into_it_counts({})
    with pytest.raises(AssertionError):
        test_arrays_that_something_holds_stay_the_learners_own(HOLDERS["an array"])
    with pytest.raises(AssertionError):
        test_memory_that_is_shared_with_another_array_is_trained_in_place()


def test_the_inputs_of_pairs_are_never_copied():
    loop = loop_of(CASES["n-grams and pairs"])
    pairs = loop.learner.parameters["pairs.weight"]
    for _ in range(3):
        before = pairs.tobytes()
        loop.step()
        assert lacks_arrays(loop.learner)
        assert pairs.tobytes() != before
    assert loop.learner.parameters["pairs.weight"] is pairs


@cases
def test_attributes_that_are_set_replace_what_was_kept(settings):
    loop, other = loop_of(settings), loop_of(settings)
    loop.step(), other.step()
    learner = other.learner
    earlier = copy_learner(learner)
    loop.step(updates=3), other.step(updates=3)
    loop.learner.parameters = copy_learner(earlier).parameters
    loop.learner.state = copy_learner(earlier).state
    for name, array in earlier.parameters.items():
        learner.parameters[name][...] = array
    for name, array in earlier.state.items():
        learner.state[name][...] = array
    loop.step(), other.step()
    assert bits_of(loop.learner) == bits_of(other.learner)


def test_a_loop_that_was_loaded_is_as_fast_as_a_new_one(tmp_path):
    loop = loop_of()
    loop.step()
    loop.save(tmp_path / "saved")
    loaded = TrainingLoop.load(tmp_path / "saved", loop.corpus)
    loop.step(), loaded.step()
    assert lacks_arrays(loaded.learner)
    assert bits_of(loaded.learner) == bits_of(loop.learner)


def test_an_old_state_does_not_change():
    loop = loop_of()
    state = loop.learner.state
    zeros = {name: array.copy() for name, array in state.items()}
    loop.step()
    assert all(np.array_equal(array, zeros[name]) for name, array in state.items())
    assert loop.learner.state["h"].any()


CHANGES = {
    "the settings": lambda loop: setattr(
        loop.learner, "config", loop.learner.config.replace(clip=0.01)
    ),
    "the optimizer": lambda loop: vars(loop.learner).update(
        config=loop.learner.config.replace(optimizer="sgd"), slots={"velocity": zeros(loop)}
    ),
    "the engine": lambda loop: setattr(loop, "engine", NativeEngine(threads=2)),
    "the number of threads": lambda loop: setattr(loop.engine, "threads", 2),
    "the dtype": lambda loop: to_float64(loop.learner),
}

if TORCH:
    CHANGES["another engine"] = lambda loop: setattr(loop, "engine", open_engine("torch", 1, "cpu"))


def zeros(loop):
    return {name: np.zeros_like(array) for name, array in loop.learner.parameters.items()}


def to_float64(learner):
    learner.config = learner.config.replace(dtype="float64")
    learner.parameters = {n: a.astype(np.float64) for n, a in learner.parameters.items()}
    learner.slots = {
        slot: {n: a.astype(np.float64) for n, a in arrays.items()}
        for slot, arrays in learner.slots.items()
    }
    learner.state = {n: a.astype(np.float64) for n, a in learner.state.items()}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_between_two_updates_is_followed(change):
    kept, fresh = loop_of({"batch_size": 2}), loop_of({"batch_size": 2})
    kept.step(updates=4), fresh.step(updates=4)
    assert lacks_arrays(kept.learner)
    change(kept)
    release_arrays(fresh.learner)
    change(fresh)
    kept.step(updates=3), fresh.step(updates=3)
    assert bits_of(kept.learner) == bits_of(fresh.learner)


COPIES = {
    "pickle": lambda learner: pickle.loads(pickle.dumps(learner)),
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "copy_learner": copy_learner,
    "replace": replace,
}


@pytest.mark.parametrize("way", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_learner_that_lacks_arrays_has_them(way):
    loop = loop_of()
    loop.step(updates=3)
    assert lacks_arrays(loop.learner)
    copied = way(loop.learner)
    assert bits_of(copied) == bits_of(loop.learner)
    other = TrainingLoop(loop.corpus, learner=copied)
    loop.step()
    alone = way in (copy.deepcopy, COPIES["pickle"], copy_learner)
    if alone:  # the others share the arrays
        other.step()
    assert bits_of(other.learner)[0] == bits_of(loop.learner)[0]


def test_a_learner_goes_back_to_an_earlier_one():
    loop, other = loop_of(), loop_of()
    loop.step(updates=3), other.step(updates=3)
    earlier = copy_learner(loop.learner)
    loop.step(updates=3)
    restore_learner(loop.learner, earlier)
    loop.step(), other.step()
    assert bits_of(loop.learner) == bits_of(other.learner)


def test_a_learner_without_an_array_says_so():
    learner = loop_of().learner
    del learner.slots
    with pytest.raises(AttributeError, match="slots"):
        learner.slots  # noqa: B018
    with pytest.raises(AttributeError):
        learner.weights  # noqa: B018


WRONG = {
    "a weight": lambda learner: learner.parameters.update(V=learner.parameters["V"][:, ::2]),
    "a slot": lambda learner: learner.slots.clear(),
    "a state": lambda learner: learner.state.update(h=np.zeros(3)),
}


@pytest.mark.parametrize("spoil", WRONG.values(), ids=WRONG)
def test_after_a_refusal_the_learner_has_what_it_had(spoil):
    loop, other = loop_of(), loop_of()
    loop.step(updates=2), other.step(updates=3)
    right = copy_learner(loop.learner)
    spoil(loop.learner)
    with pytest.raises((ConfigError, EngineError)):
        loop.step()
    restore_learner(loop.learner, right)
    loop.step()
    assert bits_of(loop.learner) == bits_of(other.learner)


@pytest.mark.parametrize("held", [True, False])
@pytest.mark.parametrize("wrong", ["the plan", "the text", "an id"])
def test_a_refused_plan_or_text_changes_nothing(held, wrong):
    loop = loop_of()
    loop.step(updates=2)
    before, ids = copy_learner(loop.learner), loop.corpus.ids
    holder = loop.learner.parameters if held else None
    starts = np.array([-100 if wrong == "the plan" else 0])
    text = {"the text": ids.astype(np.int64), "an id": np.full_like(ids, 200)}.get(wrong, ids)
    with pytest.raises(EngineError):
        loop.engine.train(loop.learner, text, Plan(np.array([0.1]), starts))
    assert bits_of(loop.learner) == bits_of(before)
    assert holder is None or loop.learner.parameters is holder
    assert loop.learner.update == 2


def test_after_an_update_that_is_not_finite_the_arrays_are_those_before_it():
    loop = loop_of({"learning_rate": 1.0})
    loop.step(updates=2)
    before = copy_learner(loop.learner)
    loop.learner.parameters["V"][0, 0] = np.inf
    starts = np.zeros(1, np.int64)
    trace = loop.engine.train(loop.learner, loop.corpus.ids, Plan(np.full(3, 0.1), starts))
    assert (trace.stopped, len(trace.losses), len(trace.gradient_norms)) == ("non-finite", 0, 0)
    loop.learner.parameters["V"][0, 0] = before.parameters["V"][0, 0]
    assert bits_of(loop.learner) == bits_of(before)
    other = TrainingLoop(loop.corpus, learner=before)
    loop.step(updates=5), other.step(updates=5)
    assert bits_of(loop.learner) == bits_of(other.learner)


def test_arrays_of_other_types_in_a_plan_are_converted():
    loop, other = loop_of(), loop_of()
    ids = loop.corpus.ids
    odd = Plan(np.array([0.1, 0.2], np.float32)[::1], np.zeros(1, np.int32))
    even = Plan(np.array([0.1, 0.2], np.float32).astype(np.float64), np.zeros(1, np.int64))
    for loop_, plan in ((loop, odd), (other, even)):
        loop_.step()
        loop_.engine.train(loop_.learner, ids, plan)
    assert bits_of(loop.learner) == bits_of(other.learner)


def test_a_thread_that_reads_while_another_trains_changes_nothing():
    loop, other = loop_of({"hidden_size": 32}), loop_of({"hidden_size": 32})
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            loop.learner.parameters["V"].sum()
            loop.learner.state["h"].sum()
            pickle.dumps(loop.learner)
            release_arrays(loop.learner)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(200):
            loop.step()
    finally:
        done.set()
        reader.join()
    other.step(updates=200)
    assert bits_of(loop.learner) == bits_of(other.learner)
