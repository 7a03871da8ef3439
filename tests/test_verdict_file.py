"""An interrupted class continues from the file of its verdicts; what has changed is judged again."""

import json
import os
import sys

import pytest

from charloom import doctor_class
from charloom.api.class_diagnosis import begin_class
from charloom.api.verdict_file import VerdictFile, key_of
from charloom.errors import ConfigError

posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no such signals and limits")


def broken(folder, *names):
    """Write submissions that are judged quickly, because they are not Python."""
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / f"{name}.py").write_text(f"this is not {name}\n", encoding="utf-8")


@posix
def test_a_second_command_judges_only_what_is_new_or_has_changed(tmp_path):
    folder, kept = tmp_path / "in", tmp_path / "kept.jsonl"
    broken(folder, "ada", "bob")
    first = doctor_class(folder, "f", resume=kept)
    lines = kept.read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["judged"]["name"] for line in lines) == ["ada", "bob"]
    assert doctor_class(folder, "f", resume=kept).submissions == first.submissions
    assert kept.read_text(encoding="utf-8").splitlines() == lines
    broken(folder, "cy")
    (folder / "bob.py").write_text("nor is this\n", encoding="utf-8")
    assert len(doctor_class(folder, "f", resume=kept).submissions) == 3
    new = kept.read_text(encoding="utf-8").splitlines()[2:]
    assert sorted(json.loads(line)["judged"]["name"] for line in new) == ["bob", "cy"]


@posix
def test_an_interrupted_class_continues(tmp_path):
    folder, kept = tmp_path / "in", tmp_path / "kept.jsonl"
    broken(folder, "ada", "bob", "cy")
    judging = begin_class(folder, "f", resume=kept, jobs=1)
    verdicts = judging.verdicts()
    assert next(verdicts).name == "ada"
    verdicts.close()
    with kept.open("a", encoding="utf-8") as file:
        file.write('{"key": "cut off')
    result = doctor_class(folder, "f", resume=kept, jobs=1)
    assert [one.verdict for one in result.submissions] == ["error"] * 3
    entries = [line for line in kept.read_text(encoding="utf-8").splitlines() if '"judged"' in line]
    assert [json.loads(line)["judged"]["name"] for line in entries] == ["ada", "bob", "cy"]


@posix
def test_a_submission_at_which_the_judge_itself_ended_is_judged_again(tmp_path, monkeypatch):
    folder, kept = tmp_path / "in", tmp_path / "kept.jsonl"
    broken(folder, "ada")
    monkeypatch.setattr("charloom.api.class_diagnosis.COMMAND", (sys.executable, "-c", "pass"))
    (one,) = doctor_class(folder, "f", resume=kept).submissions
    assert "ended unexpectedly" in one.error
    assert kept.read_text(encoding="utf-8") == ""


def test_the_key_depends_on_all_that_the_verdict_depends_on(tmp_path):
    (tmp_path / "a.py").write_text("1", encoding="utf-8")
    job = {
        "name": "ada", "files": [[str(tmp_path / "a.py"), "a.py"]], "function": "f", "problem": "",
        "sandbox": {"memory": 1, "written": 1, "processes": 0, "hidden": ["/tmp/x"]},
        "options": {"time_limit": 20.0}, "pages": False,
    }  # fmt: skip
    key = key_of(job)
    assert key_of({**job, "sandbox": {**job["sandbox"], "hidden": ["/tmp/y"]}}) == key
    changes = [
        {"name": "bob"}, {"function": None}, {"options": {"time_limit": 21.0}}, {"pages": True},
        {"files": [[str(tmp_path / "a.py"), "b.py"]]}, {"files": [[str(tmp_path / "b.py"), "a.py"]]},
        {"sandbox": {**job["sandbox"], "memory": 2}},
    ]  # fmt: skip
    keys = {key_of({**job, **change}) for change in changes}
    (tmp_path / "a.py").write_text("2", encoding="utf-8")
    assert len({key, *keys, key_of(job)}) == len(changes) + 2


def test_a_file_of_something_else_is_not_changed(tmp_path):
    path = tmp_path / "essay.txt"
    path.write_text("not verdicts", encoding="utf-8")
    with pytest.raises(ConfigError, match="which has no verdicts"):
        VerdictFile(path)
    assert path.read_text(encoding="utf-8") == "not verdicts"
    with pytest.raises(ConfigError, match="cannot be used"):
        VerdictFile(tmp_path)
    assert VerdictFile(None).known("x") is None
