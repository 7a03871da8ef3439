"""The runs of a study are the same runs as those of `charloom.train`, and each has one result."""

import dataclasses
import json

import pytest

import charloom
from charloom.errors import RunInUseError, StudyError, TextError, WriteError
from charloom.store.journal import Journal
from charloom.studies import open_study, study
from charloom.studies.results import FAILED, FINISHED
from charloom.studies.run_trainer import RunTrainer
from charloom.studies.worker_process import work
from small_studies import planned_study, small_spec, train_here


def records_of(path, settings):
    """Return the curve of a run that is trained alone, by `charloom.train`, and its model."""
    found = {"update": [], "train_nats": [], "validation_nats": []}

    def take(event):
        if hasattr(event, "train_nats"):
            for name, values in found.items():
                values.append(getattr(event, name))

    model = charloom.train(path, recipe="classic", threads=1, listener=take, **settings)
    return found, model


def test_a_run_has_the_curve_and_the_weights_of_the_same_run_alone(tmp_path):
    made = planned_study(tmp_path, keep={"weights": True})
    train_here(made)
    for run in made.plan:
        curve, model = records_of(tmp_path / "book.txt", run.settings)
        result = made.results()[run.key]
        assert result.curve == curve
        assert result.validation_nats == min(v for v in curve["validation_nats"] if v is not None)
        kept = charloom.load(made.files.weights_path(run))
        for name, array in model.parameters.items():
            assert (kept.parameters[name] == array).all()


def test_a_run_with_a_directory_has_the_same_result(tmp_path):
    results = []
    for directories in ("none", "all"):
        folder = tmp_path / directories
        folder.mkdir()
        made = planned_study(folder, keep={"directories": directories})
        train_here(made)
        results.append(made.results())
    alone, kept = results
    for key, result in alone.items():
        assert kept[key].curve == result.curve
        assert kept[key].validation_nats == result.validation_nats
        assert kept[key].updates == result.updates == 30
    run = made.plan[0]
    assert charloom.load(made.files.run_path(run)).update == result.updates


def test_kept_weights_are_the_model_file_of_a_run_with_a_directory(tmp_path):
    files = []
    for name, keep in (("all", {"directories": "all"}), ("weights", {"weights": True})):
        (tmp_path / name).mkdir()
        made = planned_study(tmp_path / name, keep=keep, seeds=[1])
        train_here(made)
        files.append(made.files)
    for run in made.plan:
        whole = charloom.load(files[0].run_path(run)).learner
        kept = charloom.load(files[1].weights_path(run)).learner
        assert kept.start_losses == whole.start_losses
        assert kept.start_losses is not None
        assert (kept.parameters["V"] == whole.parameters["V"]).all()


def test_an_interrupted_run_has_no_result_and_is_trained_again(tmp_path):
    made = planned_study(tmp_path)
    train_here(made, [0, 1])
    train_here(made, [2], halt=lambda: "SIGTERM")
    assert set(made.results()) == {made.plan[0].key, made.plan[1].key}
    train_here(made, [2, 3])
    assert len(made.results()) == 4


def test_an_interrupted_run_with_a_directory_continues(tmp_path):
    made = planned_study(tmp_path, keep={"directories": "all"}, grid={"cell": ["rnn"]})
    calls = iter(range(100))
    train_here(made, [0], halt=lambda: "SIGTERM" if next(calls) >= 2 else None)
    path = made.files.run_path(made.plan[0])
    assert path.exists()
    assert made.results() == {}
    train_here(made, [0])
    curve, _ = records_of(tmp_path / "book.txt", made.plan[0].settings)
    assert made.results()[made.plan[0].key].curve == curve


def test_a_run_that_fails_has_a_reason_and_does_not_end_the_others(tmp_path):
    made = planned_study(
        tmp_path,
        runs=[{"learning_rate": 1e38}, {}],
        grid={"cell": ["rnn"]},
        seeds=[0],
    )
    answers = train_here(made)
    results = [made.results()[run.key] for run in made.plan]
    assert [result.state for result in results] == [FAILED, FINISHED]
    assert "diverges" in results[0].reason
    assert json.loads(answers[0])["failed"] == 1


def test_a_text_that_changed_ends_the_study_and_is_no_result(tmp_path):
    spec = small_spec(tmp_path)
    made = planned_study(tmp_path)
    text = (tmp_path / "book.txt").read_text()
    (tmp_path / "book.txt").write_text("another text, long enough to train on. " * 99)
    with pytest.raises(TextError, match="has changed since the study was planned"):
        train_here(made, [0])
    with pytest.raises(StudyError, match=r"planned with another content of book.txt"):
        study(tmp_path / "study", workers=1)
    with pytest.raises(StudyError, match="change=True"):
        study(spec, tmp_path / "study", workers=1)
    assert made.results() == {}
    (tmp_path / "book.txt").write_text(text)
    assert len(study(spec, tmp_path / "study", workers=1).failures) == 0


def test_a_worker_trains_only_the_run_that_is_meant(tmp_path):
    made = planned_study(tmp_path)
    with pytest.raises(StudyError, match="another command has changed the study"):
        work(made.files, made.files.new_journal(0), [f"0 {made.plan[1].key}"], None, lambda: None)
    with pytest.raises(StudyError, match="another command has changed the study"):
        work(made.files, made.files.new_journal(0), [f"99 {made.plan[1].key}"], None, lambda: None)
    wrong = dataclasses.replace(made.plan[0], key=made.plan[1].key)
    with pytest.raises(StudyError, match="a change was interrupted"):
        RunTrainer(made.files, made.header).train(wrong, lambda: None)


def test_a_full_disk_ends_the_study_and_is_no_result(tmp_path, monkeypatch):
    made = planned_study(tmp_path, keep={"weights": True})

    def full(*_, **__):
        raise WriteError("the disk is full")

    monkeypatch.setattr("charloom.studies.one_run.replace_file", full)
    with pytest.raises(WriteError, match="the disk is full"):
        train_here(made, [0])
    assert made.results() == {}


def test_a_run_that_another_process_trains_is_left_out(tmp_path, monkeypatch):
    made = planned_study(tmp_path, keep={"directories": "all"})

    def in_use(*_, **__):
        raise RunInUseError("another process trains it")

    monkeypatch.setattr("charloom.studies.run_trainer.train_in_directory", in_use)
    assert json.loads(train_here(made, [0, 1])[0]) == {"finished": 0, "failed": 0, "busy": 0.0}
    assert made.results() == {}


def test_what_a_worker_prints_is_not_taken_for_an_answer(tmp_path, monkeypatch):
    # Two worker processes load charloom, which takes a second.
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text("import atexit; print('hello')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    spec = small_spec(tmp_path)
    summary = study(spec, tmp_path / "study", workers=1)
    assert [len(group.bits) for group in summary.groups] == [2, 2]


def test_lines_that_are_damaged_or_torn_are_not_results(tmp_path):
    made = planned_study(tmp_path)
    train_here(made)
    (journal,) = made.files.journals()
    whole = journal.read_bytes()
    lines = whole.splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"{broken\n" + lines[2] + b'[]\n{"key": [1]}\n' + lines[3][:-5])
    assert set(made.results()) == {made.plan[0].key, made.plan[2].key}


def test_a_line_with_two_results_is_damaged_and_hides_no_other(tmp_path):
    made = planned_study(tmp_path)
    train_here(made)
    (journal,) = made.files.journals()
    lines = journal.read_bytes().splitlines()
    journal.write_bytes(lines[0] + b"," + lines[1] + b"\n" + lines[2] + b"\n")
    assert set(made.results()) == {made.plan[2].key}


def test_of_several_results_a_finished_one_counts(tmp_path):
    made = planned_study(tmp_path)
    train_here(made, [0])
    (journal,) = made.files.journals()
    good = json.loads(journal.read_bytes())
    bad = {**good, "state": "failed", "reason": "the disk was full"}
    for lines in ([bad, good], [good, bad]):
        journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert made.results()[made.plan[0].key].state == FINISHED


def test_the_processes_train_every_run_once(tmp_path):
    # Two worker processes load charloom, which takes a second.
    steps = []
    summary = study(
        small_spec(tmp_path, seeds=5), tmp_path / "study", workers=2, progress=steps.append
    )
    assert [len(group.bits) for group in summary.groups] == [5, 5]
    assert steps[0].finished == 0
    assert steps[-1].finished == steps[-1].runs == 10
    made = open_study(tmp_path / "study")
    assert sorted(result.key for result in made.files.each_result()) == sorted(
        run.key for run in made.plan
    )
    again = study(tmp_path / "study", workers=2, progress=steps.append)
    assert steps[-1].done_now == 0
    assert again.groups == summary.groups


def test_failed_runs_are_trained_again_only_on_request(tmp_path):
    spec = small_spec(tmp_path, grid={"cell": ["rnn"]})
    made = planned_study(tmp_path, grid={"cell": ["rnn"]})
    with Journal(made.files.new_journal(0)) as journal:
        for run in made.plan:
            journal.append({"key": run.key, "state": "failed", "reason": "no memory"})
        journal.flush()
    assert len(study(spec, tmp_path / "study", workers=1).failures) == 2
    summary = study(spec, tmp_path / "study", workers=1, retry=True)
    assert summary.failures == []
    assert len(summary.groups[0].bits) == 2


def test_a_directory_without_a_study_is_refused(tmp_path):
    with pytest.raises(charloom.CharloomError, match="is not a study"):
        study(tmp_path)


def test_a_continued_run_keeps_the_warnings_before_its_interruption(tmp_path):
    made = planned_study(tmp_path, keep={"directories": "all"}, grid={}, seeds=1)
    calls = iter(range(100))
    train_here(made, halt=lambda: "SIGTERM" if next(calls) >= 2 else None)
    path = made.files.run_path(made.plan[0])
    event = {"event": "warning", "update": 5, "time": 1.0, "reason": "the loss grows"}
    with Journal(path / "events.jsonl") as journal:
        journal.append(event)
        journal.append(event)  # training repeated the updates after a checkpoint
        journal.flush()
    train_here(made)
    (result,) = made.results().values()
    assert result.warnings == ("the loss grows",)
    assert result.state == FINISHED


def test_a_run_that_had_finished_before_its_result_was_written_keeps_its_reason(tmp_path):
    settings = {"hidden_size": 4, "learning_rate": 1e-9, "epochs": 60, "validation": 0.2, "judge_every": 5, "patience": 1}  # fmt: skip
    made = planned_study(tmp_path, keep={"directories": "all"}, settings=settings, grid={}, seeds=1)
    train_here(made)
    (result,) = made.results().values()
    assert result.reason
    for journal in made.files.journals():
        journal.unlink()
    train_here(made)
    (again,) = made.results().values()
    assert again == result
