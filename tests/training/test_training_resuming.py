"""A training run that was halted and resumed ends with the same bytes as an uninterrupted one."""

import pytest

from charloom.engines.reference import ReferenceEngine
from charloom.model.schedule import Schedule
from charloom.store import load_model, read_run, read_status
from charloom.store.journal_lines import last_engine
from charloom.training import Ended, Record, Sample, Saved, in_run_directory, passage, train_run
from file_contents import lines_of
from reliability.run_comparison import lasting
from reliability.run_training import reopen
from small_runs import ENGINES, after, create, resume, small_config, small_corpus, train
from training_items import items_of


@pytest.mark.parametrize("engine", ENGINES)
def test_a_resumed_run_ends_with_the_bytes_of_an_uninterrupted_one(tmp_path, engine):
    train(tmp_path / "whole", engine=engine)
    truth = lasting(tmp_path / "whole")
    total = read_run(tmp_path / "whole").updates
    for calls in (2, 3, 5, 8, 13):
        run = tmp_path / str(calls)
        items = train(run, engine=engine, halt=after(calls))
        assert items[-1] == Ended(items[-1].update, "interrupted", "SIGINT")
        while items[-1].state == "interrupted":
            items = resume(run, engine=engine, halt=after(calls))
        assert items[-1] == Ended(total, "finished")
        assert lasting(run) == truth


WAYS = [
    {"cell": "lstm", "layers": 2, "batch_size": 3, "dropout": 0.3, "optimizer": "adam",
     "learning_rate": 0.01, "clip_by": "norm", "schedule": "cosine", "warmup": 3},
    {"cell": "gru", "batch_size": 2, "optimizer": "rmsprop", "learning_rate": 0.002,
     "schedule": "step", "step_after": 1, "reduction": "mean", "dropout": 0.1},
    {"cell": "rnn", "layers": 3, "batch_size": 4, "optimizer": "sgd", "learning_rate": 0.05,
     "split": "streams", "validation": 0.3, "dropout": 0.2},
    {"cell": "gru", "layers": 2, "optimizer": "adamw", "learning_rate": 0.01, "clip": 0.0,
     "weight_decay": 0.1, "validation": 0.2, "judge_every": 4, "init": "orthogonal"},
    {"cell": "lstm", "optimizer": "adagrad", "batch_size": 2, "init": "uniform",
     "validation": 0.2, "test": 0.1, "judge_every": 4, "dtype": "float64"},
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("way", WAYS, ids=lambda way: f"{way['cell']}-{way['optimizer']}")
def test_every_cell_and_optimizer_resumes_bit_for_bit(tmp_path, engine, way):
    # Halted after every update, so in the middle of epochs and at their ends, and in judgements,
    # each of which is given up again and again until it is given the time that it takes.
    settings = {"hidden_size": 5, "seq_length": 15, "epochs": 3, "report_every": 5, **way}
    train(tmp_path / "whole", engine=engine, **settings)
    items = train(tmp_path / "cut", engine=engine, halt=after(2), **settings)
    saved, looks = set(), 1
    while items[-1].state == "interrupted":
        looks = 2 * looks if items[-1].update in saved else 1
        saved.add(items[-1].update)
        items = resume(tmp_path / "cut", engine=engine, halt=after(looks))
    schedule = Schedule.of(small_config(**settings), len(small_corpus()))
    assert saved == set(range(1, schedule.updates))
    judged = [update for update in saved if schedule.evaluation_due(update)]
    assert bool(judged) == ("validation" in way)
    assert lasting(tmp_path / "cut") == lasting(tmp_path / "whole")


def test_a_resumed_run_uses_the_given_save_interval(tmp_path, monkeypatch):
    """The clock advances by a second at each update."""
    settings = {"updates": 60, "report_every": 1, "save_seconds": 1e9}
    train(tmp_path / "whole", **settings)
    saved = {}
    for seconds in (None, 3.0, 10.0):
        run = tmp_path / f"run{seconds}"
        train(run, halt=after(3), **settings)
        now = [0.0]
        with monkeypatch.context() as patch:
            patch.setattr(in_run_directory.time, "monotonic", lambda now=now: now[0])
            writer, learner, corpus = reopen(run)
            with writer:
                events = []
                for item in train_run(
                    writer, learner, corpus, ReferenceEngine(), save_seconds=seconds
                ):
                    events.append(item)
                    now[0] += isinstance(item, Record)
        saved[seconds] = len(items_of(Saved, events))
        assert lasting(run) == lasting(tmp_path / "whole")
    assert saved[3.0] > saved[10.0] > saved[None]


def test_a_run_halted_after_every_call_ends_with_the_same_bytes(tmp_path):
    settings = {"updates": 12, "report_every": 3}
    train(tmp_path / "whole", **settings)
    items = train(tmp_path / "cut", halt=after(2), **settings)  # the first tells of update 0
    resumed = 0
    while items[-1].state == "interrupted":
        items = resume(tmp_path / "cut", halt=after(1))
        resumed += 1
    assert resumed >= 8  # each resumption begins with a call of one update
    assert lasting(tmp_path / "cut") == lasting(tmp_path / "whole")


def test_saving_after_every_call_gives_the_same_best_and_journals(tmp_path):
    # save_seconds is in the config, so the runs differ in it and in nothing else.
    train(tmp_path / "often", save_seconds=1e-9)
    train(tmp_path / "once", save_seconds=1e9)
    often, once = lasting(tmp_path / "often"), lasting(tmp_path / "once")
    for kept in (often, once):
        for name in [name for name in kept if name.endswith(("model.safetensors", "MANIFEST"))]:
            del kept[name]
        for pointer in ("latest", "best"):
            kept[pointer] = kept[pointer].split()[0]  # the seal after it is that of the manifest
    assert often == once
    best = [load_model(tmp_path / run) for run in ("often", "once")]
    assert best[0].parameters["V"].tobytes() == best[1].parameters["V"].tobytes()


def test_every_yielded_item_is_in_the_journals_and_the_learner_can_be_saved(tmp_path):
    writer, learner, corpus = create(tmp_path / "run")
    with writer:
        yielded = []
        for item in train_run(writer, learner, corpus, ReferenceEngine()):
            yielded.append(item)
            assert (
                items_of(Record, yielded) == []
                or learner.update >= items_of(Record, yielded)[-1].update
            )
            writer.flush()
            assert len(lines_of(writer.path / "metrics.jsonl")) >= len(items_of(Record, yielded))
    view = read_run(tmp_path / "run")
    assert view.metrics == [record.to_dict() for record in items_of(Record, yielded)]
    assert view.samples == [sample.to_dict() for sample in items_of(Sample, yielded)]
    assert [event["event"] for event in view.events] == ["created", "started", "finished"]
    assert last_engine(view.events) == ReferenceEngine().describe()
    assert view.status.state == "finished"
    assert view.status.update == view.status.updates == view.updates == learner.update
    assert items_of(Saved, yielded)[-1].path == tmp_path / "run" / "checkpoints" / str(
        learner.update
    )


def test_the_best_checkpoint_has_the_lowest_smooth_loss_and_the_latest_writes_the_passage(tmp_path):
    # Not smoothed at all, so that the last loss is not the lowest one.
    items = train(tmp_path / "run", smoothing=0.0)
    best = min(items_of(Record, items), key=lambda record: record.smooth_loss)
    view = read_run(tmp_path / "run")
    assert view.best == best.update < view.latest
    learner = load_model(tmp_path / "run", "best")
    assert learner.update == best.update
    assert learner.smooth_loss == best.smooth_loss
    latest = load_model(tmp_path / "run")
    assert latest.update == view.latest == view.events[-1]["passage"]
    assert view.passage == passage(latest, small_corpus().ids, ReferenceEngine())
    assert len(view.passage) == 50


def test_seconds_continue_from_the_last_record(tmp_path):
    train(tmp_path / "run", halt=after(6))
    path = tmp_path / "run" / "metrics.jsonl"
    last = lines_of(path)[-1]
    slow = {**last, "seconds": 5_000.0}
    lines = path.read_bytes().splitlines(keepends=True)
    lines[-1] = Record(**slow).to_line() + b"\n"
    path.write_bytes(b"".join(lines))
    resume(tmp_path / "run")
    later = [record["seconds"] for record in lines_of(path)[len(lines) :]]
    assert later == sorted(later)
    assert 5_000 <= later[0] < 5_100


def test_a_finished_run_is_recognised_and_can_be_extended(tmp_path):
    run = tmp_path / "run"
    train(run, updates=20)
    writer, learner, corpus = reopen(run)
    with writer:
        assert writer.finished
        assert items_of(Ended, train_run(writer, learner, corpus, ReferenceEngine()))
    writer, *_ = reopen(run, updates=40)
    with writer:
        assert not writer.finished
    assert resume(run)[-1] == Ended(40, "finished")
    assert resume(run, epochs=1)[-1] == Ended(read_run(run).updates, "finished")
    view = read_run(run)
    assert view.config.updates is None
    assert [record["update"] for record in view.metrics if record["epoch"] == 1] == [view.updates]
    assert load_model(run, "latest").config == view.config
    # Updates and epochs are only where it ends: the way there is the same.
    train(tmp_path / "straight", epochs=1)
    straight = load_model(tmp_path / "straight", "latest")
    assert straight.parameters["V"].tobytes() == load_model(run, "latest").parameters["V"].tobytes()


def test_resuming_finishes_a_run_killed_before_its_passage(tmp_path):
    run = tmp_path / "run"
    train(run)
    truth = (run / "passage.txt").read_bytes()
    (run / "passage.txt").unlink()
    writer, *_ = reopen(run)
    with writer:
        assert not writer.finished
    resume(run)
    assert (run / "passage.txt").read_bytes() == truth


def test_leaving_the_training_loop_at_any_item_loses_nothing(tmp_path):
    train(tmp_path / "whole")
    for leave_at in (1, 4, 9):
        run = tmp_path / str(leave_at)
        writer, learner, corpus = create(run)
        with writer:
            items = train_run(writer, learner, corpus, ReferenceEngine())
            for _ in range(leave_at):
                next(items)
            items.close()
        assert read_status(run).state == "interrupted"
        assert read_run(run).latest == learner.update
        resume(run)
        assert lasting(run) == lasting(tmp_path / "whole")


def test_leaving_the_training_loop_after_closing_the_run_changes_nothing(tmp_path):
    writer, learner, corpus = create(tmp_path / "run")
    with writer:
        items = train_run(writer, learner, corpus, ReferenceEngine())
        next(items)
    items.close()
    assert read_run(tmp_path / "run").latest == 0


def test_an_error_inside_the_engine_leaves_the_last_checkpoint_and_says_failed(tmp_path):
    class Broken(ReferenceEngine):
        def train(self, learner, tokens, plan):
            if learner.update > 10:
                learner.parameters["V"][...] = 7  # half an update
                raise KeyboardInterrupt if interrupt else RuntimeError("a bug")
            return super().train(learner, tokens, plan)

    for interrupt, state in ((False, "failed"), (True, "interrupted")):
        run = tmp_path / state
        writer, learner, corpus = create(run)
        with writer, pytest.raises(KeyboardInterrupt if interrupt else RuntimeError):
            list(train_run(writer, learner, corpus, Broken()))
        assert read_status(run).state == state
        assert read_run(run).latest == 0
        resume(run)
