"""Callbacks come at exact updates, may change the learner and stop the run, and change nothing else."""

import json

import pytest

import charloom
from charloom import Callback
from charloom.engines import open_engine
from charloom.errors import ConfigError, DivergedError
from charloom.model import new_learner
from charloom.store import load_checkpoint
from charloom.text import Corpus
from charloom.training import Best, Callbacks, Ended, Progress, Record, train_in_memory, train_run
from small_runs import ENGINES, TEXT, calls_without_clock, create, small_config, small_corpus
from training_items import items_of

CASES = {
    "plain": {},
    "lstm of two layers": {"cell": "lstm", "layers": 2, "batch_size": 3, "optimizer": "adam"},
    "gru in chunks": {"cell": "gru", "order": "chunks", "chunks": 4, "validation": 0.2},
    "at random": {"order": "random", "batch_size": 2, "dropout": 0.3, "averaging": 0.2},
}
USUAL = {"recipe": "classic", "hidden_size": 8, "seq_length": 10, "updates": 60, "validation": 0.2}
FILES = ("samples.jsonl", "passage.txt")


def seen(updates, every=None, at=()):
    """Return a callback that adds the number of each update to the list `updates`."""
    return Callback(lambda learner: updates.append(learner.update), every, at)


def in_memory(config, *callbacks):
    """Train in memory, and return the learner and the events."""
    corpus = small_corpus()
    learner = new_learner(config, corpus.vocabulary)
    engine = open_engine(config.engine)
    called = Callbacks(callbacks)
    return learner, list(train_in_memory(learner, corpus.ids, engine, callbacks=called))


def in_directory(path, *callbacks, engine="reference", halt=lambda: None, **settings):
    """Train in a run directory, and return its events."""
    writer, learner, corpus = create(path, **settings)
    with writer, calls_without_clock():
        return list(
            train_run(
                writer, learner, corpus, open_engine(engine), halt, callbacks=Callbacks(callbacks)
            )
        )


def bits(learner):
    """Return everything that training changes in a learner, as bytes and numbers."""
    slots = [array for arrays in learner.slots.values() for array in arrays.values()]
    arrays = [*learner.parameters.values(), *slots, *learner.state.values()]
    counters = (learner.update, learner.position, learner.epoch, learner.smooth_loss)
    return [array.tobytes() for array in arrays], counters, learner.best_update


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("settings", CASES.values(), ids=CASES)
def test_callbacks_come_at_exact_updates_and_change_no_bit(settings, engine):
    config = small_config(engine=engine, **settings)
    alone, _ = in_memory(config)
    updates, others = [], []
    watched, _ = in_memory(config, seen(updates, every=13), seen(others, at=(0, 1, 10, 11, 12)))
    last = watched.update
    assert updates == list(range(13, last + 1, 13))
    assert others == [0, 1, 10, 11, 12]
    assert bits(watched) == bits(alone)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_directory_with_callbacks_has_the_same_bytes(tmp_path, engine):
    settings = {"cell": "lstm", "validation": 0.2, "batch_size": 2}
    updates = []
    in_directory(tmp_path / "alone", engine=engine, **settings)
    in_directory(tmp_path / "watched", seen(updates, 9, (1, 2)), engine=engine, **settings)
    assert updates[:4] == [1, 2, 9, 18]
    for name in FILES:
        assert (tmp_path / "watched" / name).read_bytes() == (
            tmp_path / "alone" / name
        ).read_bytes()
    latest = (tmp_path / "alone" / "checkpoints" / "latest").read_bytes()
    assert (tmp_path / "watched" / "checkpoints" / "latest").read_bytes() == latest


def test_a_callback_comes_after_the_record_and_the_sample_of_its_update(tmp_path):
    run, found = tmp_path / "run", []
    writer, learner, corpus = create(run, updates=20)
    events = []

    def look(learner):
        lengths = (writer.metrics.length, writer.samples.length)
        found.append((learner.update, type(events[-1]), lengths))

    called = Callbacks([Callback(look, at=(20,))])
    with writer:
        for item in train_run(writer, learner, corpus, open_engine("reference"), callbacks=called):
            events += [item]  # not at once: the callback reads the list meanwhile
        assert found == [(20, Progress, (writer.metrics.length, writer.samples.length))]
    assert items_of(Record, events)[-1].update == 20


def test_a_change_of_the_arrays_counts_from_the_next_update_on():
    def halve(learner):
        learner.parameters["V"] *= 0.5

    config = small_config(updates=30, engine="reference")
    whole, _ = in_memory(config, Callback(halve, at=(12,)))
    first, _ = in_memory(config, Callback(lambda learner: "enough", at=(12,)))
    halve(first)
    list(train_in_memory(first, small_corpus().ids, open_engine("reference")))
    assert bits(whole) == bits(first)
    assert bits(whole) != bits(in_memory(config)[0])


def test_a_callback_stops_a_run_in_memory_and_the_model_is_returned():
    reached = lambda learner: "low enough" if learner.update == 22 else 0  # noqa: E731
    events = []
    model = charloom.train(
        string=TEXT, callbacks=[Callback(reached, every=1)], listener=events.append, **USUAL
    )
    assert events[-1] == Ended(22, "stopped", "low enough")
    assert model.update == 22  # no validation loss was computed before, so there is no better model
    assert charloom.train(string=TEXT, which="latest", callbacks=[Callback(reached, every=11)],
                          **USUAL).update == 22  # fmt: skip


def test_a_callback_stops_a_run_in_a_directory_that_can_be_resumed(tmp_path):
    run, whole = tmp_path / "run", tmp_path / "whole"
    charloom.train(string=TEXT, run=whole, **USUAL)
    charloom.train(
        string=TEXT, run=run, callbacks=[Callback(lambda learner: "so far", at=[22])], **USUAL
    )
    status = json.loads((run / "status.json").read_bytes())
    assert (status["state"], status["update"], status["reason"]) == ("stopped", 22, "so far")
    (summary,) = [each for each in charloom.runs(tmp_path) if each.path == run]
    assert (summary.state, summary.update) == ("stopped", 22)
    updates = []
    charloom.resume(run, callbacks=[seen(updates, every=11)])
    assert updates == [33, 44, 55]
    for name in FILES:
        assert (run / name).read_bytes() == (whole / name).read_bytes()
    last = lambda path: load_checkpoint(path / "checkpoints" / "60").learner  # noqa: E731
    assert bits(last(run)) == bits(last(whole))


def test_the_first_reason_counts_and_all_due_callbacks_are_called():
    calls = []
    config = small_config(updates=30, engine="reference")
    stopping = [
        Callback(lambda learner: calls.append(1), at=(5,)),
        Callback(lambda learner: calls.append(2) or "two", at=(5,)),
        Callback(lambda learner: calls.append(3) or "three", at=(5,)),
    ]
    _, events = in_memory(config, *stopping)
    assert (calls, events[-1].reason) == ([1, 2, 3], "two")


@pytest.mark.parametrize("value", ["", None, 0, False, True, 3.5, ["stop"]])
def test_every_other_value_continues(value):
    _, events = in_memory(small_config(updates=9), Callback(lambda learner: value, every=2))
    assert events[-1].state == "finished"


def test_a_reason_after_the_last_update_does_not_undo_the_end(tmp_path):
    events = in_directory(tmp_path / "run", Callback(lambda learner: "late", at=(20,)), updates=20)
    assert events[-1].state == "finished"
    _, events = in_memory(small_config(updates=20), Callback(lambda learner: "late", at=(20,)))
    assert events[-1].state == "finished"


@pytest.mark.parametrize("error", [ValueError("a wrong number"), DivergedError("too large.")])
def test_an_error_of_a_callback_saves_the_run_and_is_raised(tmp_path, error):
    def fail(learner):
        raise error

    run = tmp_path / "run"
    with pytest.raises(type(error)) as raised:
        in_directory(run, Callback(fail, at=(17,)), save_seconds=1e9)
    assert raised.value is error
    status = json.loads((run / "status.json").read_bytes())
    assert (status["state"], status["update"]) == ("failed", 17)
    assert str(error) in status["reason"]
    assert (run / "checkpoints" / "latest").read_text().split()[0] == "17"
    with pytest.raises(type(error)) as raised:
        in_memory(small_config(), Callback(fail, at=(17,)))
    assert raised.value is error


def test_an_error_of_a_listener_saves_the_learner_after_its_callbacks(tmp_path):
    """A resumed run would otherwise never call them."""
    updates = []

    def listen(item):
        if isinstance(item, Record) and item.update == 14:
            raise RuntimeError("the listener failed")

    settings = {**USUAL, "report_every": 7, "save_seconds": 1e9}
    with pytest.raises(RuntimeError, match="the listener failed"):
        charloom.train(string=TEXT, run=tmp_path / "run", listener=listen,
                       callbacks=[seen(updates, at=(7, 14))], **settings)  # fmt: skip
    assert updates == [7, 14]
    assert (tmp_path / "run" / "checkpoints" / "latest").read_text().split()[0] == "14"
    charloom.resume(tmp_path / "run", callbacks=[seen(updates, at=(14, 15))])
    assert updates == [7, 14, 15]


def test_a_signal_and_a_callback_at_the_same_update_lose_no_call(tmp_path):
    """The run ends within a call, and the resumed run calls the callbacks of later updates only."""
    updates, signals = [], []

    def note(learner):
        updates.append(learner.update)
        if learner.update == 16:
            signals.append("SIGTERM")

    halt = lambda: signals[0] if signals else None  # noqa: E731
    events = in_directory(tmp_path / "run", Callback(note, every=8), halt=halt, updates=40)
    assert (events[-1].state, events[-1].update) == ("interrupted", 16)
    charloom.resume(tmp_path / "run", callbacks=[seen(updates, every=8)])
    assert updates == [8, 16, 24, 32, 40]


def test_the_best_model_is_the_one_that_its_callbacks_left(tmp_path):
    """The same in memory and in a run directory, whenever the run is saved."""

    def spoil(learner):
        learner.parameters["c"] *= 50
        learner.parameters["c"][0] = 0.25

    settings = {"validation": 0.2, "judge_every": 10, "updates": 40}
    found = []
    for name, seconds in (("often", 1e-9), ("once", 1e9)):
        in_directory(tmp_path / name, Callback(spoil, at=(20,)), save_seconds=seconds, **settings)
        found.append(charloom.load(tmp_path / name, which="best").learner)
    learner, best = new_learner(small_config(**settings), small_corpus().vocabulary), Best()
    engine, called = open_engine("reference"), Callbacks([Callback(spoil, at=(20,))])
    list(train_in_memory(learner, small_corpus().ids, engine, best=best, callbacks=called))
    found.append(best.learner)
    assert [each.update for each in found] == [20, 20, 20]
    assert [each.parameters["c"][0] for each in found] == [0.25, 0.25, 0.25]


@pytest.mark.parametrize("changes", [False, True])
def test_losses_that_were_measured_before_a_change_are_forgotten(changes):
    corpus = Corpus.from_text(TEXT * 8)
    learner = new_learner(small_config(updates=20), corpus.vocabulary)
    measured = []

    def function(learner):
        measured.append(learner.start_losses)
        learner.parameters["c"] += 1.0 if changes else 0.0

    called = Callbacks([Callback(function, at=(20,))])
    list(train_in_memory(learner, corpus.ids, open_engine("reference"), callbacks=called))
    assert measured[0] is not None
    assert learner.start_losses == (None if changes else measured[0])


WRONG = {
    "no function": lambda: Callback("print", every=1),
    "no update": lambda: Callback(print),
    "every 0": lambda: Callback(print, every=0),
    "every half": lambda: Callback(print, every=0.5),
    "at a word": lambda: Callback(print, at="10"),
    "at a number": lambda: Callback(print, at=10),
    "at a negative update": lambda: Callback(print, at=(3, -1)),
    "a function instead": lambda: charloom.train(string=TEXT, callbacks=[print], **USUAL),
    "one callback": lambda: charloom.train(string=TEXT, callbacks=Callback(print, 5), **USUAL),
}


@pytest.mark.parametrize("make", WRONG.values(), ids=WRONG)
def test_a_wrong_callback_is_refused_before_training(make):
    with pytest.raises(ConfigError):
        make()


@pytest.mark.parametrize("place", ["memory", "directory"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p.update(V=p["V"].astype("f8")), "V has dtype float64"),
        (lambda p: p.update(V=p["V"][:1]), "V has shape"),
        (
            lambda p: p["c"].fill(float("nan")),
            "c has numbers that are not finite since your program",
        ),
    ],
)
def test_a_callback_that_spoils_a_parameter_ends_the_run_and_the_message_names_it(
    tmp_path, change, words, place
):
    spoil = Callback(lambda learner: change(learner.parameters), at=(20,))
    settings = USUAL | ({"run": tmp_path / "run"} if place == "directory" else {})
    with pytest.raises((ConfigError, DivergedError), match=f"the parameter {words}"):
        charloom.train(string=TEXT, callbacks=[spoil], **settings)
