"""The files of a study are found after a change of the specification, and a damaged plan is written again."""

import os

import pytest

import charloom
from charloom.errors import DamagedError, NewerFormatError, NotAModelError
from charloom.studies import begin_study, open_study
from charloom.studies.best_runs import best_of
from small_studies import planned_study, small_spec, train_here


def changed(folder, **sections):
    """Give the study in `folder` another specification, in which its runs have other numbers."""
    return begin_study(small_spec(folder, **sections), folder / "study", change=True)


@pytest.mark.parametrize("name", ["plan.jsonl", "study.json"])
@pytest.mark.parametrize("content", [None, "{\n"])
def test_the_same_specification_repairs_a_damaged_plan(tmp_path, name, content):
    made = planned_study(tmp_path)
    train_here(made, [0, 1])
    path = made.path / name
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises((DamagedError, NotAModelError), match=name):
        open_study(made.path)
    if name == "plan.jsonl":
        with pytest.raises(DamagedError, match="Start the study again with its specification"):
            changed(tmp_path, seeds=3)
    assert len(planned_study(tmp_path).results()) == 2
    assert open_study(made.path).plan == made.plan


def test_a_study_of_a_later_version_is_not_repaired(tmp_path):
    made = planned_study(tmp_path)
    (made.path / "study.json").write_text('{"format": 99}')
    with pytest.raises(NewerFormatError):
        planned_study(tmp_path)
    assert (made.path / "study.json").read_text() == '{"format": 99}'


def test_a_directory_is_found_after_a_change_that_gives_its_run_another_number(tmp_path):
    keep = {"directories": "all"}
    made = planned_study(tmp_path, keep=keep, grid={"cell": ["gru"]}, seeds=[1])
    train_here(made)
    (run,) = made.plan
    path = made.files.run_path(run)
    assert path.is_dir()
    assert path.name == run.key
    made = changed(tmp_path, keep=keep)
    (again,) = [one for one in made.plan if one.key == run.key]
    assert again.number == 3
    assert made.files.run_path(again) == path
    assert best_of(made)[0].model == path


def test_an_interrupted_run_continues_after_a_change_that_gives_it_another_number(tmp_path):
    keep = {"directories": "all"}
    made = planned_study(tmp_path, keep=keep, grid={"cell": ["gru"]}, seeds=[1])
    calls = iter(range(100))
    train_here(made, halt=lambda: "SIGTERM" if next(calls) >= 2 else None)
    made = changed(tmp_path, keep=keep)
    train_here(made, [3])
    assert [path.name for path in made.files.runs.iterdir()] == [made.plan[3].key]
    assert made.results()[made.plan[3].key].updates == 30


def test_a_model_file_is_found_after_a_change_that_gives_its_run_another_number(tmp_path):
    made = planned_study(tmp_path, keep={"weights": True}, grid={"cell": ["gru"]})
    train_here(made)
    path = made.files.weights_path(made.plan[1])
    made = changed(tmp_path, keep={"weights": True})
    assert made.files.weights_path(made.plan[3]) == path
    assert charloom.load(path).config.cell == "gru"


def test_paths_with_the_numbers_of_earlier_studies_are_found(tmp_path):
    made = planned_study(tmp_path, keep={"directories": "all"}, grid={"cell": ["gru"]}, seeds=1)
    train_here(made)
    (run,) = made.plan
    path = made.files.run_path(run)
    old, older = path.with_name(f"00007-{run.key}"), path.with_name(f"00009-{run.key}")
    path.rename(old)
    older.mkdir()
    os.utime(older, (1, 1))  # changed long before the other one
    assert open_study(made.path).files.run_path(run) == old
    assert best_of(open_study(made.path))[0].model == old
    old.rename(path)
    assert open_study(made.path).files.run_path(run) == path


def test_a_model_file_with_the_number_of_an_earlier_study_is_found(tmp_path):
    made = planned_study(tmp_path, keep={"weights": True}, grid={"cell": ["gru"]}, seeds=1)
    train_here(made)
    (run,) = made.plan
    path = made.files.weights_path(run)
    old = path.with_name(f"00007-{path.name}")
    path.rename(old)
    assert open_study(made.path).files.weights_path(run) == old
