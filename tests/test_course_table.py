"""The table of the course's optional tasks comes from stored measurements, and each command is accepted."""

import importlib.util
import json
import shlex
from pathlib import Path

import pytest

from charloom.config import Config
from charloom.recipes import configure

ROOT = Path(__file__).parent.parent
SPEC = importlib.util.spec_from_file_location("course", ROOT / "benchmarks" / "course.py")
course = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(course)


def settings_of(options):
    """Return the settings that options of the command line give."""
    words = shlex.split(options)
    given = dict(zip(words[::2], words[1::2], strict=True))
    named = {name.removeprefix("--").replace("-", "_"): text for name, text in given.items()}
    kinds = Config.__annotations__
    kind = {
        name: float if "float" in str(kinds[name]) else int if "int" in str(kinds[name]) else str
        for name in named
    }
    return {name: kind[name](text) for name, text in named.items()}


def test_the_guide_has_the_table_of_the_stored_measurements():
    guide = course.GUIDE.read_text(encoding="utf-8")
    assert course.with_table(guide, course.rows()) == guide
    assert f"| {course.TASKS[0].title} | – | " in guide


def test_a_changed_figure_in_the_guide_is_noticed():
    guide = course.GUIDE.read_text(encoding="utf-8")
    figure = course.table(course.rows()).split(" bits")[0]
    assert figure in guide
    (first, *_) = course.rows()
    changed = [{**first, "bits": first["bits"] + 1}, *course.rows()[1:]]
    assert course.with_table(guide, changed) != guide


def test_every_task_was_measured_with_the_options_in_the_table():
    measured = {(row["task"], row["options"]) for row in course.rows()}
    assert measured == {(task.key, task.options) for task in course.TASKS}
    assert json.loads(course.ROWS.read_text(encoding="utf-8")) == course.rows()


@pytest.mark.parametrize("task", course.TASKS, ids=lambda task: task.key)
def test_every_task_changes_only_the_settings_of_its_options(task):
    base, changes = settings_of(course.BASE), settings_of(task.options)
    recipe = base.pop("recipe")
    config = configure(recipe, **base, **changes)
    assert {name: getattr(config, name) for name in changes} == changes
    before = configure(recipe, **base).to_dict()
    assert {name for name, value in config.to_dict().items() if value != before[name]} == set(
        changes
    )


def test_a_task_that_does_not_exist_is_refused_by_name(monkeypatch):
    monkeypatch.setattr("sys.argv", ["course.py", "--only", "lstm", "dinosaurs"])
    with pytest.raises(SystemExit, match="dinosaurs: no such task"):
        course.main()


def commands_of_tasks():
    """Return the words of each command in the section of the guide on the optional tasks that trains a run."""
    section = course.GUIDE.read_text(encoding="utf-8").partition("## The optional tasks")[2]
    script = section.partition("```sh\n")[2].partition("```")[0]
    lines = [shlex.split(line, comments=True) for line in script.splitlines()]
    return [words for words in lines if words[:2] == ["charloom", "train"]]


def test_each_command_of_the_guide_has_a_validation_part_and_the_options_of_a_row():
    measured = {task.options for task in course.TASKS}
    found = commands_of_tasks()
    assert len(found) >= 8
    for words in found:
        at = words.index("--run")
        assert words[2:at] == ["book.txt", "--recipe", "classic", "--validation", "0.1"]
        assert " ".join(words[at + 2 :]) in measured
