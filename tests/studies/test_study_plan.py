"""The plan of a study names each run by a key that depends on its text and settings only."""

from pathlib import Path

import pytest

from charloom.api.text_arguments import open_text
from charloom.errors import ConfigError, StudyError, TextError
from charloom.messages import for_command_line
from charloom.recipes import configure
from charloom.store.run_directory import updates_in
from charloom.studies import begin_study, open_study
from charloom.studies.batches import BatchDone
from charloom.studies.plan import key_of, with_seed
from charloom.studies.running import prepare
from charloom.studies.study_files import StudyFiles
from small_studies import SPEC, planned_study, small_spec, train_here


def test_every_combination_and_seed_is_a_run_with_its_own_key(tmp_path):
    study = planned_study(tmp_path)
    assert [(run.settings["cell"], run.settings["seed"]) for run in study.plan] == [
        ("rnn", 0),
        ("rnn", 1),
        ("gru", 0),
        ("gru", 1),
    ]
    assert [run.number for run in study.plan] == [0, 1, 2, 3]
    assert len({run.key for run in study.plan}) == 4


def test_the_key_is_that_of_all_settings_and_the_text(tmp_path):
    study = planned_study(tmp_path)
    run = study.plan[0]
    fingerprint = study.header.texts[0].fingerprint
    assert run.key == key_of(run.config("classic"), fingerprint)
    assert run.key != key_of(run.config("classic"), "another text")
    assert run.key != key_of(run.config("classic").replace(clip=1.0), fingerprint)


def test_settings_of_the_machine_and_the_name_of_the_recipe_do_not_change_a_key():
    config = configure("classic", seed=3)
    other = config.replace(engine="reference", threads=4, recipe="quick")
    assert key_of(config, "f") == key_of(other, "f")


def test_a_config_with_another_seed_is_that_of_replace():
    config = configure("classic", hidden_size=7, seed=3)
    assert with_seed(config, 5) == config.replace(seed=5)
    assert config.seed == 3


def test_equal_runs_are_planned_once(tmp_path):
    study = planned_study(tmp_path, runs=[{"clip": 5.0}, {}])
    assert len(study.plan) == 4


def test_each_run_uses_one_thread(tmp_path):
    assert planned_study(tmp_path).plan[0].config("quick").threads == 1


def test_a_run_that_is_not_possible_is_named_before_anything_is_written(tmp_path):
    with pytest.raises(ConfigError, match=r"the run with .*layers = 0.*must be a whole"):
        planned_study(tmp_path, grid={"layers": [1, 0]})
    with pytest.raises(ConfigError, match="hiden_size"):
        planned_study(tmp_path, grid={"hiden_size": [4]})
    with pytest.raises(TextError, match="seq_length = 1000000"):
        planned_study(tmp_path, grid={"seq_length": [4, 1_000_000]})
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("sections", "name"),
    [
        ({"grid": {"validation": [0.0, 0.1]}}, "validation"),
        ({"grid": {"split": ["end", "streams"]}}, "split"),
        ({"grid": {"test": [0.0, 0.1]}}, "test"),
        ({"grid": {"judged_characters": [0, 50]}}, "judged_characters"),
        ({"grid": {}, "runs": [{"validation": 0.1}, {}]}, "validation"),
        ({"grid": {}, "random": {"draws": 2, "test": {"low": 0.1, "high": 0.2}}}, "test"),
    ],
)
def test_runs_with_different_validation_parts_are_refused(tmp_path, sections, name):
    sections = {"settings": {**SPEC["settings"], **sections.pop("settings", {})}, **sections}
    for each in ("grid", "random"):
        sections["settings"].pop(next(iter(sections.get(each, {})), ""), None)
    with pytest.raises(ConfigError, match=f"have {name} = .*cannot be compared; give {name} in"):
        planned_study(tmp_path, **sections)


def test_runs_without_a_validation_part_can_differ_in_the_split(tmp_path):
    settings = {"hidden_size": 4, "updates": 30}
    made = planned_study(tmp_path, settings=settings, grid={"split": ["end", "streams"]})
    assert len(made.plan) == 4


def test_the_same_specification_opens_the_same_study(tmp_path):
    study = planned_study(tmp_path)
    assert planned_study(tmp_path).plan == study.plan


def test_a_changed_specification_is_refused_and_explained(tmp_path):
    planned_study(tmp_path)
    with pytest.raises(StudyError, match="4 runs would be new, 2 runs would stay, and 2 runs"):
        planned_study(tmp_path, seeds=3, grid={"cell": ["rnn", "lstm"]})
    changed = small_spec(tmp_path, seeds=3, grid={"cell": ["rnn", "lstm"]})
    study = begin_study(changed, tmp_path / "study", change=True)
    assert len(study.plan) == 6
    assert begin_study(changed, tmp_path / "study").plan == study.plan


def test_only_long_runs_get_a_directory(tmp_path):
    runs = [{"updates": 10}, {"updates": 100_000_000}]
    auto = planned_study(tmp_path, runs=runs, grid={"cell": ["rnn"]})
    assert [run.directory for run in auto.plan] == [False, False, True, True]
    for directories, wanted in (("all", True), ("none", False)):
        folder = tmp_path / directories
        folder.mkdir()
        study = planned_study(folder, runs=runs, keep={"directories": directories})
        assert {run.directory for run in study.plan} == {wanted}


def test_a_study_refuses_a_collection_of_items(tmp_path):
    with pytest.raises(ConfigError, match="the study sets items to lines"):
        planned_study(tmp_path, settings={**SPEC["settings"], "items": "lines"})


def test_tokens_cannot_differ_between_runs(tmp_path):
    with pytest.raises(ConfigError, match="tokens"):
        planned_study(tmp_path, grid={"tokens": ["characters", "bytes"]})


@pytest.mark.parametrize(
    ("keep", "what"), [({"weights": True}, "weights"), ({"directories": "all"}, "run directory")]
)
def test_a_change_cannot_add_the_files_of_finished_runs(tmp_path, keep, what):
    made = planned_study(tmp_path)
    changed = small_spec(tmp_path, keep=keep, seeds=3)
    assert len(begin_study(changed, tmp_path / "study", change=True).plan) == 6  # none has finished
    made = begin_study(small_spec(tmp_path), tmp_path / "study", change=True)
    train_here(made, [0, 1])
    with pytest.raises(StudyError, match=f"2 runs of .* finished without {what}"):
        begin_study(changed, tmp_path / "study", change=True)
    assert open_study(tmp_path / "study").plan == made.plan


def test_checkpoints_need_run_directories(tmp_path):
    saving = {"settings": {"hidden_size": 4, "updates": 30, "save_every": 10}}
    with pytest.raises(
        ConfigError, match=r"save_every.*without a run directory \(.*cell = 'rnn'\)"
    ):
        planned_study(tmp_path, **saving)
    assert not (tmp_path / "study").exists()
    made = planned_study(tmp_path, keep={"directories": "all"}, **saving)
    train_here(made, [0])
    assert updates_in(made.files.run_path(made.plan[0]) / "checkpoints") == [0, 10, 20, 30]


def test_a_study_that_exists_has_its_directory_and_its_specification(tmp_path):
    made = planned_study(tmp_path)
    assert prepare(made.path).plan == prepare(made.path, made.path).plan == made.plan
    for directory, change in ((tmp_path / "other", False), (None, True)):
        with pytest.raises(ConfigError, match="give the path of a specification instead"):
            prepare(made.path, directory, change)


def test_messages_name_settings_by_their_keys(tmp_path):
    for sections, words in (
        ({"grid": {"cell": ["rrn"]}}, "the run with .*: cell is 'rrn'"),
        ({"settings": {"validation": 0.6, "test": 0.6}}, ": validation is 0.6 and test 0.6"),
        ({"settings": {"patience": 3, "updates": 5}, "grid": {}}, "set validation to a fraction"),
        ({"seeds": 0}, "^seeds is 0"),
        ({"random": {"draws": 0, "clip": [1.0]}}, r"^random\.draws is 0"),
    ):
        with pytest.raises(ConfigError, match=words) as caught:
            planned_study(tmp_path, **sections)
        assert "--" not in for_command_line(caught.value.message)


def test_a_study_from_a_dict_is_named_after_its_text_and_its_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = begin_study(small_spec(tmp_path))
    assert made.path == Path("studies/book-cell")
    assert begin_study(small_spec(tmp_path)).plan == made.plan
    assert begin_study(small_spec(tmp_path, grid={})).path == Path("studies/book")
    several = small_spec(tmp_path, grid={"layers": [1, 2]}, runs=[{"clip": 1.0}, {}])
    assert begin_study(several).path == Path("studies/book-clip-layers")


def test_a_study_reads_each_text_and_the_plan_only_once_to_begin(tmp_path, monkeypatch):
    read = []
    for place, name in (("one_study", "open_text"), ("study_texts", "open_text")):
        module = f"charloom.studies.{place}.{name}"
        monkeypatch.setattr(module, lambda *a, **k: read.append("text") or open_text(*a, **k))
    plan = StudyFiles.plan
    monkeypatch.setattr(StudyFiles, "plan", lambda self: read.append("plan") or plan(self))
    monkeypatch.setattr("charloom.studies.one_study.WorkerPool", NoWorkers)
    list(planned_study(tmp_path).train(1))
    assert read == ["text"]
    list(planned_study(tmp_path).train(1))
    assert read == ["text", "text", "plan"]
    read.clear()
    list(open_study(tmp_path / "study").train(1))
    assert read == ["plan", "text"]


class NoWorkers:
    """Stands for the pool of processes, and trains nothing."""

    workers = 0

    def __init__(self, *_):
        pass

    def train(self, *_):
        yield BatchDone(0, 0, 0.0)
