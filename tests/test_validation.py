"""Evaluation on the validation part gives the right loss and the best model, and stops training by patience."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from charloom import scoring
from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.errors import DivergedError
from charloom.model import copy_learner, new_learner, zero_state
from charloom.model.schedule import Schedule
from charloom.store import (
    load_model,
    model_bytes,
    read_run,
    read_status,
    write_control,
)
from charloom.text import Corpus
from charloom.training import (
    Ended,
    EvaluationProgress,
    FinalEvaluation,
    Progress,
    Record,
    Sample,
    Saved,
    command_reader,
    learn,
    train_in_memory,
    train_run,
)
from charloom.training.progress_records import evaluated_pieces
from file_contents import lines_of
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from small_runs import (
    TEXT,
    after,
    create,
    resume,
    small_config,
    small_corpus,
    train,
    train_interrupted,
)

JUDGED = {"validation": 0.2, "judge_every": 6, "report_every": 9}


def of(kind, items):
    """Return the items of one kind."""
    return [item for item in items if isinstance(item, kind)]


@pytest.mark.parametrize("split", ["end", "streams"])
def test_the_validation_loss_is_the_mean_over_the_validation_part(split):
    corpus = small_corpus()
    config = small_config(split=split, batch_size=3, dropout=0.2, **JUDGED)
    learner = new_learner(config, corpus.vocabulary)
    schedule = Schedule.of(config, len(corpus))
    for item in learn(learner, corpus.ids, ReferenceEngine()):
        if isinstance(item, Record):
            assert (item.validation_nats is not None) == schedule.evaluation_due(item.update)
        if isinstance(item, Record) and item.validation_nats is not None:
            nats = []
            for a, b in schedule.windows.parts["validation"]:
                tokens = corpus.ids[a:b, np.newaxis]
                nats.append(ReferenceEngine().score(learner, tokens, zero_state(config))[0])
            assert item.validation_nats == pytest.approx(np.concatenate(nats).mean(), rel=1e-5)
    assert len(schedule.windows.parts["validation"]) == (3 if split == "streams" else 1)


def test_evaluating_does_not_change_the_training():
    corpus = small_corpus()
    often, rarely = (
        new_learner(small_config(validation=0.2, judge_every=n), corpus.vocabulary) for n in (1, 99)
    )
    for learner in (often, rarely):
        list(learn(learner, corpus.ids, ReferenceEngine()))
    for name, parameter in often.parameters.items():
        assert parameter.tobytes() == rarely.parameters[name].tobytes()
    assert often.state["h"].tobytes() == rarely.state["h"].tobytes()


def test_held_out_parts_are_never_used_for_training():
    corpus = small_corpus()
    learner = new_learner(small_config(validation=0.2, test=0.1), corpus.vocabulary)
    (start, _), *_ = Schedule.of(learner.config, len(corpus)).windows.parts["validation"]
    spoilt = corpus.ids.copy()
    spoilt[start:] = 0
    twin = copy_learner(learner)
    list(learn(learner, corpus.ids, ReferenceEngine()))
    list(learn(twin, spoilt, ReferenceEngine()))
    assert twin.parameters["V"].tobytes() == learner.parameters["V"].tobytes()
    assert twin.best_loss != learner.best_loss


def test_the_best_update_has_the_lowest_validation_loss_not_the_lowest_smooth_loss(tmp_path):
    items = train(tmp_path / "run", epochs=15, learning_rate=0.2, **JUDGED)
    judged = [record for record in of(Record, items) if record.validation_nats is not None]
    best = min(judged, key=lambda record: record.validation_nats)
    view = read_run(tmp_path / "run")
    assert view.best == best.update < view.latest
    learner = load_model(tmp_path / "run", "best")
    assert (learner.best_loss, learner.judgements_since_best) == (best.validation_nats, 0)
    last = load_model(tmp_path / "run", "latest")
    assert last.judgements_since_best == len(judged) - 1 - judged.index(best) > 0
    lines = (tmp_path / "run" / "metrics.jsonl").read_bytes().splitlines()
    assert [json.loads(line).get("validation_nats") for line in lines] == [
        record.validation_nats for record in of(Record, items)
    ]


class Worsening(ReferenceEngine):
    """An engine whose evaluations return the given losses, one after another."""

    def __init__(self, *judgements):
        self.judgements = list(judgements)

    def score(self, learner, tokens, state):
        nats = np.full((len(tokens) - 1, tokens.shape[1]), self.judgements[0])
        if len(self.judgements) > 1:
            del self.judgements[0]
        return nats, state


PATIENT = {"patience": 2, **JUDGED}


def test_patience_ends_the_run_and_its_reason_is_known_after_reopening(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run, **PATIENT)
    with writer:
        items = list(
            train_run(writer, learner, corpus, Worsening(3.0, 2.0, 2.5, 1.5, 1.5, 1.75, 1.0))
        )
    assert items[-1] == Ended(36, "finished", "no better validation loss in 2 evaluations")
    assert of(Sample, items)[-1].update == 36
    assert of(Progress, items)[-1].update == 36
    status = read_status(run)
    assert (status.state, status.reason) == (
        "finished",
        "no better validation loss in 2 evaluations",
    )
    view = read_run(run)
    assert (view.best, view.latest) == (24, 36)
    assert view.passage
    writer, learner, corpus = reopen(run)
    with writer:
        assert writer.finished
        again = list(train_run(writer, learner, corpus, ReferenceEngine()))
    assert of(Record, again) == []
    assert again[-1] == Ended(36, "finished", "no better validation loss in 2 evaluations")


def test_a_new_end_resets_the_patience_and_removes_the_old_passage(tmp_path):
    run = tmp_path / "run"
    writer, learner, corpus = create(run, **PATIENT)
    with writer:
        list(train_run(writer, learner, corpus, Worsening(3.0, 3.5)))
    assert read_run(run).latest == 18
    writer, learner, corpus = reopen(run, updates=500)
    with writer:
        assert not writer.finished
        assert read_run(run).passage is None
        items = list(train_run(writer, learner, corpus, Worsening(4.0)))
    assert items[-1] == Ended(30, "finished", "no better validation loss in 2 evaluations")
    assert read_run(run).passage


def test_patience_counts_on_after_an_interruption(tmp_path):
    settings = {"epochs": 30, "learning_rate": 0.2, **PATIENT}
    whole = train(tmp_path / "whole", **settings)
    assert whole[-1].reason == "no better validation loss in 2 evaluations"
    items = train(tmp_path / "cut", halt=after(3), **settings)
    while items[-1].state == "interrupted":
        items = resume(tmp_path / "cut", halt=after(3))
    assert items[-1] == whole[-1]
    assert lasting(tmp_path / "cut") == lasting(tmp_path / "whole")


@pytest.mark.parametrize("nats", [float("nan"), float("inf")])
def test_a_validation_loss_that_is_not_finite_counts_as_divergence(nats):
    corpus = small_corpus()
    learner = new_learner(small_config(**JUDGED), corpus.vocabulary)
    with pytest.raises(DivergedError, match="after update 6 the validation loss is"):
        list(learn(learner, corpus.ids, Worsening(nats)))


class Slow(ReferenceEngine):
    """An engine that calls a function at one of its calls during evaluations."""

    def __init__(self, at, action):
        self.at, self.action, self.calls = at, action, 0

    def score(self, learner, tokens, state):
        self.calls += 1
        if self.calls == self.at:
            self.action()
        return super().score(learner, tokens, state)


@pytest.fixture
def patient(monkeypatch):
    """Make each evaluation take several engine calls."""
    monkeypatch.setattr(scoring, "tokens_of_a_call", lambda *_: 30)


@pytest.mark.parametrize("at", [1, 3, 6, 8])
def test_an_interrupted_evaluation_is_repeated_with_the_same_bits(tmp_path, patient, at):
    engine, learner, items = train_interrupted(tmp_path / "run", Slow, at, **JUDGED)
    assert engine.calls == at  # and no further one
    assert (items[-1].state, items[-1].reason) == ("interrupted", "SIGINT")
    assert not [item for item in of(Record, items) if item.update > items[-1].update]
    assert load_model(tmp_path / "run", "latest").update == items[-1].update == learner.update
    resume(tmp_path / "run")
    train(tmp_path / "whole", **JUDGED)
    assert lasting(tmp_path / "run") == lasting(tmp_path / "whole")


def test_a_stop_command_is_obeyed_during_an_evaluation(tmp_path, patient, monkeypatch):
    monkeypatch.setattr(command_reader, "LOOK_SECONDS", 0.0)
    run = tmp_path / "run"
    writer, learner, corpus = create(run, **JUDGED)
    engine = Slow(3, lambda: write_control(run, "stop", learning_rate_factor=0.5))
    with writer:
        items = list(train_run(writer, learner, corpus, engine))
    assert engine.calls == 3
    assert items[-1].state == "stopped"
    saved = load_model(run)
    assert saved.update == items[-1].update < JUDGED["judge_every"]
    assert saved.learning_rate_factor == 0.5
    write_control(run, "run", learning_rate_factor=1.0)
    resume(run)
    assert read_run(run).status.state == "finished"


def test_a_save_that_is_due_during_an_evaluation_is_not_delayed(tmp_path, patient, monkeypatch):
    run, now = tmp_path / "run", [0.0]
    monkeypatch.setattr(command_reader.time, "monotonic", lambda: now[0])

    def copy():
        # Killed here, an hour into the judgement.
        shutil.copytree(run, tmp_path / "killed")

    def hour():
        now[0] += 3600.0

    writer, learner, corpus = create(run, **JUDGED)
    engine = Slow(4, copy)
    engine.score = lambda *given: (hour(), Slow.score(engine, *given))[1]
    with writer:
        items = list(train_run(writer, learner, corpus, engine))
    killed = load_model(tmp_path / "killed").update
    first = next(item.update for item in of(Record, items) if item.validation_nats is not None)
    assert 0 < killed < first  # all that was learnt before the call that ended in the judgement
    assert of(Saved, items)[0].update == killed
    resume(tmp_path / "killed")
    train(tmp_path / "whole", **JUDGED)
    for name in ("run", "killed"):
        assert lasting(tmp_path / name) == lasting(tmp_path / "whole")


def test_an_evaluation_without_a_run_can_be_interrupted(patient):
    corpus = small_corpus()
    learner = new_learner(small_config(**JUDGED), corpus.vocabulary)
    signals = []
    engine = Slow(2, lambda: signals.append("SIGINT"))
    items = train_in_memory(learner, corpus.ids, engine, lambda: signals[0] if signals else None)
    *_, ended = items
    assert ended == Ended(learner.update, "interrupted", "SIGINT")
    assert learner.update < 6
    rest = list(train_in_memory(learner, corpus.ids, ReferenceEngine()))
    whole = new_learner(small_config(**JUDGED), corpus.vocabulary)
    uninterrupted = list(train_in_memory(whole, corpus.ids, ReferenceEngine()))
    assert model_bytes(learner) == model_bytes(whole)
    assert [r.validation_nats for r in of(Record, rest)][-3:] == [
        r.validation_nats for r in of(Record, uninterrupted)
    ][-3:]


CAPPED = {"validation": 0.5, "judge_every": 20, "judged_characters": 60}


def test_an_evaluation_always_reads_the_same_limited_part(tmp_path):
    corpus = small_corpus()
    learner = new_learner(small_config(**CAPPED), corpus.vocabulary)
    pieces = evaluated_pieces(learner.config, Schedule.of(learner.config, len(corpus)).windows)
    assert scoring.predicted_characters(pieces) == 60
    read = []

    class Reading(ReferenceEngine):
        def score(self, learner, tokens, state):
            read.append((learner.update, tokens.tobytes()))
            return super().score(learner, tokens, state)

    records = of(Record, learn(learner, corpus.ids, Reading()))
    judged = [record.update for record in records if record.validation_nats is not None]
    assert len(judged) >= 2
    by_update = [[tokens for at, tokens in read if at == update] for update in judged]
    assert by_update == [by_update[0]] * len(judged)


def test_a_limit_above_the_validation_part_changes_no_bit(tmp_path):
    """The default is far above the size of this part. Runs of versions without a limit behave as with 0."""
    for name, most in (("none", 0), ("default", 200_000)):
        train(tmp_path / name, judged_characters=most, **JUDGED)
    for name in ("metrics.jsonl", "samples.jsonl"):
        assert lasting(tmp_path / "none")[name] == lasting(tmp_path / "default")[name]
    assert Config().judged_characters == 200_000


OLD_RUN = Path(__file__).parent / "formats" / "numbered" / "run"


def test_a_run_stored_without_a_limit_is_evaluated_on_the_whole_validation_part(tmp_path):
    run = shutil.copytree(OLD_RUN, tmp_path / "run")
    assert b"judged_characters" not in (run / "config.json").read_bytes()
    writer, learner, corpus = reopen(run, epochs=3)
    with writer:
        assert learner.config.judged_characters == 0
        items = list(train_run(writer, learner, corpus, ReferenceEngine()))
    assert items[-1].state == "finished"
    assert read_run(run).config.judged_characters == 0
    assert load_model(run).config.judged_characters == 0
    assert load_model(OLD_RUN / "checkpoints" / "9").config.judged_characters == 0
    windows = Schedule.of(learner.config, len(corpus)).windows
    assert evaluated_pieces(learner.config, windows) == scoring.cut_into_pieces(
        windows.parts["validation"]
    )


class Costly(ReferenceEngine):
    """An engine whose scoring in a single stream takes `seconds` per character, by its own clock.

    The validation part is so short here that it is read in one stream.
    """

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds = 0.0, seconds
        monkeypatch.setattr(command_reader.time, "monotonic", lambda: self.now)

    def train(self, learner, tokens, plan):
        self.now += len(plan.learning_rates)
        return super().train(learner, tokens, plan)

    def score(self, learner, tokens, state):
        self.now += self.seconds * (len(tokens) - 1) * (tokens.shape[1] == 1)
        return super().score(learner, tokens, state)


@pytest.mark.parametrize(("seconds", "worth_it"), [(1e-4, True), (1.0, False)])
def test_the_final_evaluation_reads_the_whole_validation_part_if_that_is_fast(
    tmp_path, patient, monkeypatch, seconds, worth_it
):
    writer, learner, corpus = create(tmp_path / "run", **CAPPED)
    engine = Costly(monkeypatch, seconds)
    with writer:
        items = list(train_run(writer, learner, corpus, engine))
    events = [e for e in lines_of(tmp_path / "run" / "events.jsonl") if e["event"] == "judged"]
    assert items[-1].state == "finished"
    assert of(EvaluationProgress, items)
    if not worth_it:
        assert (of(FinalEvaluation, items), events) == ([], [])
        return
    (judged,) = of(FinalEvaluation, items)
    best = load_model(tmp_path / "run", "best")
    windows = Schedule.of(learner.config, len(corpus)).windows
    (segment,) = windows.parts["validation"]
    nats = scoring.score_segments(ReferenceEngine(), best, corpus.ids, [segment])
    assert (judged.update, judged.characters) == (best.update, len(nats))
    assert judged.nats == pytest.approx(nats.mean(), rel=1e-9)
    assert (events[0]["nats"], events[0]["characters"]) == (judged.nats, judged.characters)


def test_slow_reading_by_one_stream_does_not_prevent_the_final_evaluation(tmp_path, monkeypatch):
    corpus = Corpus.from_text(TEXT * 50)
    settings = {"updates": 10, "validation": 0.5, "judged_characters": 100}
    writer, learner, corpus = create(tmp_path / "run", corpus, **settings)
    with writer:
        items = list(train_run(writer, learner, corpus, Costly(monkeypatch, 0.01)))
    (segment,) = Schedule.of(learner.config, len(corpus)).windows.parts["validation"]
    assert len(scoring.cut_into_pieces([segment])) > 1
    assert [item.characters for item in of(FinalEvaluation, items)] == [segment[1] - segment[0] - 1]


def test_interrupting_the_final_evaluation_loses_nothing_else(tmp_path, patient):
    signals = []
    writer, learner, corpus = create(tmp_path / "run", **CAPPED)
    with writer:
        items = train_run(
            writer, learner, corpus, ReferenceEngine(), lambda: "SIGINT" if signals else None
        )
        first_items = [
            signals.append(item) or item if isinstance(item, EvaluationProgress) else item
            for item in items
        ]
    assert len(signals) == 1
    assert (first_items[-1].state, of(FinalEvaluation, first_items)) == ("finished", [])
    assert read_run(tmp_path / "run").passage


def test_the_final_evaluation_is_left_out_if_every_evaluation_reads_everything(tmp_path):
    items = train(tmp_path / "run", **JUDGED)
    assert of(EvaluationProgress, items) == of(FinalEvaluation, items) == []
