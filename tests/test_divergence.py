"""Values that are not finite are never stored: training rolls back with half the learning rate, up to three times."""

import math

import numpy as np
import pytest

from charloom.engines import Plan, open_engine
from charloom.engines.base import Trace
from charloom.engines.reference import ReferenceEngine
from charloom.errors import DivergedError
from charloom.messages import for_any_face
from charloom.model import new_learner
from charloom.store import (
    load_checkpoint,
    load_model,
    read_run,
    read_status,
)
from charloom.training import Ended, Record, Warned, learn, train_in_memory, train_run
from charloom.training import in_memory as memory_module
from reliability.run_comparison import CLOCK_FIELDS, lasting
from reliability.run_training import reopen
from small_runs import ENGINES, after, create, resume, small_config, small_corpus, train


def of(kind, items):
    """Return the items of one kind."""
    return [item for item in items if isinstance(item, kind)]


class Exploding(ReferenceEngine):
    """An engine that refuses the update after `last` while the learning rate is `rate` or more."""

    def __init__(self, last=7, rate=0.0, figure=math.nan):
        self.last, self.rate, self.figure = last, rate, figure

    def train(self, learner, tokens, plan):
        left = self.last - learner.update
        if len(plan.learning_rates) <= left or plan.learning_rates[0] < self.rate:
            return super().train(learner, tokens, plan)
        done = super().train(learner, tokens, Plan(plan.learning_rates[:left], plan.starts))
        return Trace(done.losses, done.gradient_norms, "non-finite", self.figure, math.inf)


# In a run


def test_training_continues_from_the_last_checkpoint_with_half_the_learning_rate(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run, save_seconds=1e9)
    with writer:
        items = list(train_run(writer, learner, corpus, Exploding(30, rate=0.04)))
    warnings = of(Warned, items)
    assert len(warnings) == 2
    for warning, rate, count in zip(warnings, ("0.1", "0.05"), (1, 2), strict=True):
        for part in (
            "update 31",
            f"learning rate of {rate},",
            "nan",
            "inf",
            f"({count} of 3 times",
        ):
            assert part in warning.message
        assert "from update 0 with half" in warning.message
    assert items[-1].state == "finished"
    assert (learner.rollbacks, learner.learning_rate_factor) == (2, 0.25)
    # What is kept is that of the third try alone, which learnt at a quarter of the rate throughout.
    view = read_run(run)
    assert [event["event"] for event in view.events].count("rolled_back") == 2
    assert {record["learning_rate"] for record in view.metrics} == {0.025}
    updates = [record["update"] for record in view.metrics]
    assert updates == sorted(set(updates))
    assert [sample["update"] for sample in view.samples] == [0, 5, 20, 40, 60, view.updates]
    train(tmp_path / "slow", learning_rate=0.025, save_seconds=1e9)
    slow, third = load_model(tmp_path / "slow"), load_model(run)
    assert slow.parameters["V"].tobytes() == third.parameters["V"].tobytes()
    for kept in (slow, third):
        assert kept.rollbacks == (2 if kept is third else 0)


def test_after_three_rollbacks_training_fails_with_an_error(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    items = []
    with writer, pytest.raises(DivergedError) as caught:
        items.extend(train_run(writer, learner, corpus, Exploding()))
    assert len(of(Warned, items)) == 3
    for word in ("update 8", "nan", "inf", "3 times", "learning_rate than 0.0125"):
        assert word in str(caught.value)
    status = read_status(run)
    assert (status.state, status.update) == ("failed", 7)
    assert status.reason == for_any_face(caught.value.message)
    assert read_run(run).latest == 0


def test_the_number_of_rollbacks_survives_a_kill_before_the_next_save(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run)
    with writer:
        items = train_run(writer, learner, corpus, Exploding())
        while not isinstance(next(items), Warned):
            pass
        # Killed: nothing is saved after this, and what is in the journal stays.
        writer.save = lambda _: None
        items.close()
    saved = load_checkpoint(run / "checkpoints" / "0").learner
    assert (saved.rollbacks, saved.learning_rate_factor) == (0, 1.0)
    writer, learner, _ = reopen(run)
    writer.close()
    assert (learner.rollbacks, learner.learning_rate_factor) == (1, 0.5)
    resume(run, halt=after(3))
    saved = load_model(run)
    assert saved.update > 0
    assert (saved.rollbacks, saved.learning_rate_factor) == (1, 0.5)


def test_a_rollback_keeps_a_new_end_of_the_run(tmp_path):
    run = tmp_path / "run"
    train(run, updates=20)
    writer, learner, corpus = reopen(run, updates=60)
    with writer:
        items = list(train_run(writer, learner, corpus, Exploding(30, rate=0.1)))
    assert "from update 20" in of(Warned, items)[0].message
    assert items[-1] == Ended(60, "finished")
    assert load_model(run).config.updates == 60


def test_a_rollback_forgets_a_best_update_after_the_checkpoint(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run, smoothing=0.0, save_seconds=1e9)
    with writer:
        items = train_run(writer, learner, corpus, Exploding(30, rate=0.1))
        while not isinstance(next(items), Warned):
            pass
        assert learner.best_update is None
        assert list(items)[-1].state == "finished"
    view = read_run(run)
    best = min(view.metrics, key=lambda record: record["smooth_loss"])
    assert view.best == best["update"]
    assert load_model(run, "best").smooth_loss == best["smooth_loss"]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("optimizer", ["adagrad", "sgd", "adam"])
def test_a_huge_learning_rate_never_saves_a_checkpoint_that_is_not_finite(
    tmp_path, engine, optimizer
):
    writer, learner, corpus = create(
        tmp_path / "run", learning_rate=1e38, save_seconds=1e-9, optimizer=optimizer
    )
    items = []
    with writer, pytest.raises(DivergedError, match="a lower learning_rate"):
        items.extend(train_run(writer, learner, corpus, open_engine(engine)))
    assert len(of(Warned, items)) >= 3
    assert read_status(tmp_path / "run").state == "failed"
    for directory in (tmp_path / "run" / "checkpoints").iterdir():
        if directory.is_dir():
            load_checkpoint(directory)


def test_the_next_save_finds_parameters_that_are_not_finite(tmp_path):
    class Spoiling(ReferenceEngine):
        def train(self, learner, tokens, plan):
            trace = super().train(learner, tokens, plan)
            if learner.update >= 10 and learner.rollbacks == 0:
                learner.parameters["V"][0, 0] = np.inf
            return trace

    writer, learner, corpus = create(tmp_path / "run", save_seconds=1e-9, sample_until=0)
    with writer:
        items = list(train_run(writer, learner, corpus, Spoiling()))
    (warning,) = of(Warned, items)
    assert "no longer finite" in warning.message or "not applied" in warning.message
    assert items[-1].state == "finished"


# In memory


def test_training_in_memory_rolls_back_to_a_copy(monkeypatch):
    monkeypatch.setattr(memory_module, "COPY_UPDATES", 20)
    corpus = small_corpus()
    learner = new_learner(small_config(), corpus.vocabulary)
    items = list(train_in_memory(learner, corpus.ids, Exploding(40, rate=0.06)))
    (warning,) = of(Warned, items)
    assert "Training continues from update 21 with half" in warning.message
    assert items[-1] == Ended(learner.update, "finished")
    assert (learner.rollbacks, learner.learning_rate_factor) == (1, 0.5)
    again = items[items.index(warning) :]
    assert of(Record, again)[0].update == 28
    assert {record.learning_rate for record in of(Record, again)} == {0.05}


def test_training_in_memory_fails_after_three_rollbacks():
    corpus = small_corpus()
    learner = new_learner(small_config(), corpus.vocabulary)
    items = []
    with pytest.raises(DivergedError, match=r"3 times.*learning_rate than 0\.0125"):
        items.extend(train_in_memory(learner, corpus.ids, Exploding()))
    assert len(of(Warned, items)) == 3


def test_training_in_memory_gives_the_same_records_and_weights_as_a_run(tmp_path):
    corpus = small_corpus()
    learner = new_learner(small_config(), corpus.vocabulary)
    items = list(train_in_memory(learner, corpus.ids, ReferenceEngine()))
    kept = train(tmp_path / "run")
    for records in (items, kept):
        records[:] = [item.to_dict() for item in of(Record, records)]
        for record in records:
            for field in CLOCK_FIELDS:
                del record[field]
    assert items == kept
    assert (
        load_model(tmp_path / "run").parameters["V"].tobytes() == learner.parameters["V"].tobytes()
    )


def test_training_in_memory_can_be_halted_and_the_learner_is_complete():
    corpus = small_corpus()
    learner = new_learner(small_config(), corpus.vocabulary)
    items = list(train_in_memory(learner, corpus.ids, ReferenceEngine(), after(4, "SIGTERM")))
    assert items[-1] == Ended(learner.update, "interrupted", "SIGTERM")
    assert 0 < learner.update < 91
    rest = list(train_in_memory(learner, corpus.ids, ReferenceEngine()))
    assert rest[-1].state == "finished"
    whole = new_learner(small_config(), corpus.vocabulary)
    list(learn(whole, corpus.ids, ReferenceEngine()))
    assert learner.parameters["V"].tobytes() == whole.parameters["V"].tobytes()


# Finite, and yet of no use


class Growing(ReferenceEngine):
    """An engine that returns losses three times as large as those of an untrained network."""

    def train(self, learner, tokens, plan):
        trace = super().train(learner, tokens, plan)
        nothing = learner.config.seq_length * math.log(len(learner.vocabulary))
        return Trace(trace.losses * 0 + 3 * nothing, trace.gradient_norms)


def test_a_loss_that_grows_too_high_is_reported_once_and_stored_as_an_event(tmp_path):
    writer, learner, corpus = create(tmp_path / "run")
    with writer:
        items = list(train_run(writer, learner, corpus, Growing()))
    (warning,) = of(Warned, items)
    assert "the loss is far too high: the smooth loss up to update " in warning.message
    assert " nats per character, and a uniform guess has " in warning.message
    assert "a lower learning_rate than 0.1" in warning.message
    (event,) = [e for e in read_run(tmp_path / "run").events if e["event"] == "warning"]
    assert event["reason"] == for_any_face(warning.marked)
    assert "a lower “learning rate” than 0.1" in event["reason"]


def test_a_loss_that_stays_low_causes_no_warning(tmp_path):
    assert not of(Warned, train(tmp_path / "run"))


def test_a_run_that_never_diverged_stores_no_rollbacks(tmp_path):
    train(tmp_path / "run")
    train(tmp_path / "again")
    assert lasting(tmp_path / "run") == lasting(tmp_path / "again")
    assert load_model(tmp_path / "run").rollbacks == 0
