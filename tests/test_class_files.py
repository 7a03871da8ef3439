"""The submissions of a class are found by the names of course systems, and zips are unpacked safely."""

import os
import zipfile
from pathlib import Path

import pytest

from charloom.diagnosis.course_systems import gradescope_names, owner_of
from charloom.diagnosis.sandbox_settings import CopiedFile
from charloom.diagnosis.submissions import (
    Submission,
    file_to_check,
    find_submissions,
    is_class,
    with_included,
    without_function,
)
from charloom.diagnosis.unpacked_zip import ZipLimits, unpack
from charloom.errors import ConfigError, DoctorError

F = "def f():\n    pass\n"


def tree(folder, files):
    """Write files, given by their paths and texts, below a folder, and return the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def zipped(path, files):
    """Write a zip with files, given by their names and texts, and return its path."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def found(tmp_path, *given, one=False):
    """Return the files of each submission by its name."""
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    return {
        each.name: sorted(file.target for file in each.files)
        for each in find_submissions(list(map(str, given)), unpacked, one)
    }


@pytest.mark.parametrize(
    ("name", "student", "file"),
    [
        ("Ada Lovelace_123_assignsubmission_file_", "Ada Lovelace", ""),
        ("Ada Lovelace_123_assignsubmission_file", "Ada Lovelace", ""),
        ("Ada Lovelace_123_assignsubmission_file_my_rnn.py", "Ada Lovelace", "my_rnn.py"),
        ("lovelaceada_123_4567_rnn.py", "lovelaceada", "rnn.py"),
        ("lovelaceada_LATE_123_4567_my_rnn-1.py", "lovelaceada", "my_rnn-1.py"),
        ("Homework 1_alovelace_attempt_2026-11-30-10-15-00_rnn.py", "alovelace", "rnn.py"),
        ("1234-5678 - Ada Lovelace - Nov 30, 2026 1015 AM", "Ada Lovelace", ""),
    ],
)
def test_the_students_name_is_read_from_the_names_of_course_systems(name, student, file):
    owner = owner_of(name)
    assert (owner.student, owner.name) == (student, file)


@pytest.mark.parametrize("name", ["rnn.py", "my_rnn_2.py", "submission_123", "week_3_final.py"])
def test_an_ordinary_name_has_no_owner(name):
    assert owner_of(name) is None


def test_each_file_and_each_folder_of_a_folder_is_a_submission(tmp_path):
    folder = tree(
        tmp_path / "in",
        {
            "ada.py": F, "bob/rnn.py": F, "bob/layers.py": "", ".hidden.py": F, "notes.txt": "",
            "__pycache__/ada.py": F,
        },
    )  # fmt: skip
    assert found(tmp_path, folder) == {"ada": ["ada.py"], "bob": ["layers.py", "rnn.py"]}


def test_a_folder_can_be_one_submission(tmp_path):
    folder = tree(tmp_path / "ada", {"rnn.py": F, "layers.py": ""})
    assert found(tmp_path, folder, one=True) == {"ada": ["layers.py", "rnn.py"]}


def test_a_pattern_and_several_paths_are_submissions(tmp_path):
    folder = tree(tmp_path / "in", {"ada.py": F, "bob.py": F, "c.txt": ""})
    both = {"ada": ["ada.py"], "bob": ["bob.py"]}
    assert found(tmp_path, folder / "*.py") == both
    (tmp_path / "unpacked").rmdir()
    assert found(tmp_path, folder / "ada.py", folder / "bob.py") == both


def test_files_of_one_student_are_one_submission(tmp_path):
    folder = tree(
        tmp_path / "in",
        {"lovelaceada_12_34_rnn.py": F, "lovelaceada_12_35_data.txt": "", "bobb_13_36_rnn.py": F},
    )
    # Canvas gives each file an id of its own after that of the student.
    assert found(tmp_path, folder) == {
        "bobb": ["rnn.py"],
        "lovelaceada": ["data.txt", "rnn.py"],
    }


def test_the_zip_of_moodle_is_unpacked_with_the_zips_in_it(tmp_path):
    inner = zipped(tmp_path / "inner.zip", {"project/rnn.py": F})
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as archive:
        archive.writestr("Ada Lovelace_1_assignsubmission_file_/rnn.py", F)
        archive.write(inner, "Bob Babbage_2_assignsubmission_file_work.zip")
        archive.writestr("Cy Clone_3_assignsubmission_file_/rnn.py", F)
        archive.writestr("__MACOSX/._rnn.py", "junk")
    assert found(tmp_path, tmp_path / "class.zip") == {
        "Ada Lovelace": ["rnn.py"],
        "Bob Babbage": [os.path.join("project", "rnn.py")],  # noqa: PTH118
        "Cy Clone": ["rnn.py"],
    }


def test_the_zip_of_gradescope_has_its_names_in_a_file(tmp_path):
    names = (
        "submission_11:\n  :submitters:\n  - :name: Ada Lovelace\n    :sid: '1'\n  - :name: Bob\n"
        "submission_12:\n  :submitters:\n  - :name: Cy\n"
    )
    top = "assignment_9_export"
    path = zipped(
        tmp_path / "class.zip",
        {
            f"{top}/submission_11/rnn.py": F,
            f"{top}/submission_12/rnn.py": F,
            f"{top}/submission_metadata.yml": names,
        },
    )
    assert found(tmp_path, path) == {"Ada Lovelace and Bob": ["rnn.py"], "Cy": ["rnn.py"]}
    assert gradescope_names(tmp_path) == {}


def test_two_submissions_of_one_name_stay_apart(tmp_path):
    folder = tree(
        tmp_path / "in",
        {"Ada_1_assignsubmission_file_/a.py": F, "Ada_2_assignsubmission_file_/a.py": F},
    )
    assert list(found(tmp_path, folder)) == ["Ada", "Ada (2)"]


def test_a_damaged_zip_of_a_student_is_a_submission_with_a_problem(tmp_path):
    folder = tree(tmp_path / "in", {"ada.py": F, "bob.zip": "not a zip"})
    (tmp_path / "unpacked").mkdir()
    _, bob = find_submissions([str(folder)], tmp_path / "unpacked")
    assert (bob.name, bob.files) == ("bob", [])
    assert bob.problem.startswith("bob.zip cannot be unpacked: File is not a zip file")


@pytest.mark.parametrize(
    ("given", "sentence"),
    [("nowhere", "does not exist"), ("*.pyx", "no file matches"), ("empty", "has no submission")],
)
def test_what_holds_no_submission_is_refused(given, sentence, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ConfigError, match=sentence):
        found(tmp_path, tmp_path / given)


def test_a_class_is_told_from_a_function(tmp_path):
    tree(tmp_path, {"rnn.py": "", "class.zip": "", "in/rnn.py": ""})
    names = ("in", "class.zip", "*.py", "rnn.py", "nowhere.py")
    assert [is_class(str(tmp_path / name)) for name in names] == [True, True, True, False, False]
    assert without_function(f"{tmp_path}/in:f") == (f"{tmp_path}/in", "f")
    assert without_function(f"{tmp_path}/in") == (f"{tmp_path}/in", None)


def test_an_archive_that_is_not_unpacked_has_a_row(tmp_path):
    folder = tree(tmp_path / "in", {"ada.py": F, "bob.tar.gz": "", "cy.rar": "", "essay.pdf": ""})
    (tmp_path / "unpacked").mkdir()
    rows = find_submissions([str(folder)], tmp_path / "unpacked")
    assert [one.name for one in rows] == ["ada", "bob.tar", "cy"]
    with pytest.raises(
        DoctorError, match=r"bob\.tar\.gz is not unpacked; unpack it, or make a zip"
    ):
        file_to_check(rows[1], None)


# Which file.


def submission(folder, files):
    tree(folder, files)
    return Submission("ada", [CopiedFile(str(folder / name), name) for name in files])


def test_the_file_that_defines_the_function_is_checked(tmp_path):
    files = {"a.py": "from rnn import f\n", "rnn.py": F, "sub/rnn.py": F, "z.py": ""}
    assert file_to_check(submission(tmp_path, files), "f").target == "rnn.py"
    files = {"a.py": "from layers import f\n", "layers.py": "def f(:\n", "z.py": ""}
    assert file_to_check(submission(tmp_path / "broken", files), "f").target == "layers.py"


@pytest.mark.parametrize(
    ("files", "function", "sentence"),
    [
        ({"a.txt": ""}, "f", "has only a.txt, but no Python file .*no notebook"),
        ({}, "f", "the submission has no file\\.$"),
        ({"a.py": "", "b.py": ""}, "f", "no file of the submission has f; its Python files are a.py and b.py"),
        ({"a.py": F, "b.py": ""}, None, "several Python files, a.py and b.py; name the function"),
    ],
)  # fmt: skip
def test_a_submission_without_the_function_is_an_error(files, function, sentence, tmp_path):
    with pytest.raises(DoctorError, match=sentence):
        file_to_check(submission(tmp_path, files), function)


def test_an_included_file_replaces_that_of_the_student(tmp_path):
    given = submission(tmp_path / "ada", {"rnn.py": F, "data.txt": "mine"})
    (tmp_path / "data.txt").write_text("theirs", encoding="utf-8")
    files = with_included(given, [str(tmp_path / "data.txt")]).files
    assert [(Path(file.source).parent.name, file.target) for file in files] == [
        ("ada", "rnn.py"),
        (tmp_path.name, "data.txt"),
    ]


# Zips that are not trusted.


def test_a_zip_writes_only_into_its_folder(tmp_path):
    path = zipped(
        tmp_path / "bad.zip",
        {"../out.py": F, "/abs.py": F, "a/../../up.py": F, "b\\..\\win.py": F, ".git/x.py": F, "ok.py": F},
    )  # fmt: skip
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("link.py")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
    unpack(path, tmp_path / "to")
    inside = {str(file.relative_to(tmp_path / "to")) for file in (tmp_path / "to").rglob("*.py")}
    assert {Path(name).name for name in inside} == {"out.py", "abs.py", "up.py", "win.py", "ok.py"}
    assert {entry.name for entry in tmp_path.iterdir()} == {"bad.zip", "to"}


def test_a_zip_that_is_too_large_is_refused(tmp_path):
    path = zipped(tmp_path / "large.zip", {"a.py": "a" * 2_000, "b.py": "b" * 2_000})
    with pytest.raises(ConfigError, match="more than 0 MB when unpacked"):
        unpack(path, tmp_path / "to", ZipLimits(3_000, 10))
    with pytest.raises(ConfigError, match="has 2 files; the most are 1"):
        unpack(path, tmp_path / "to", ZipLimits(10**6, 1))


def test_a_zip_bomb_of_a_student_is_a_row_that_says_so(tmp_path, monkeypatch):
    limits = ZipLimits(1_000_000, 100)
    monkeypatch.setattr("charloom.diagnosis.submissions.OF_A_STUDENT", limits)
    folder = tree(tmp_path / "in", {"ada.py": F})
    zipped(folder / "bob.zip", {f"{n}.py": "0" * 400_000 for n in range(5)})
    unpacked = tmp_path / "unpacked"
    unpacked.mkdir()
    ada, bob = find_submissions([str(folder)], unpacked)
    assert (ada.name, ada.problem, bob.files) == ("ada", "", [])
    assert bob.problem.startswith("bob.zip has more than 1 MB when unpacked")
    with pytest.raises(DoctorError, match=r"bob\.zip has more than 1 MB"):
        file_to_check(with_included(bob, [str(folder / "ada.py")]), "f")
    assert sum(path.stat().st_size for path in unpacked.rglob("*") if path.is_file()) < 2_000_000


def test_a_zip_with_a_file_in_the_place_of_a_folder_is_unpacked(tmp_path):
    path = zipped(tmp_path / "odd.zip", {"a": "file", "a/b.py": F, "ok.py": F, "ok.py/": ""})
    unpack(path, tmp_path / "to")
    assert sorted(file.name for file in (tmp_path / "to").iterdir()) == ["a", "ok.py"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no pipes with names")
def test_links_and_pipes_are_not_submissions(tmp_path):
    folder = tree(tmp_path / "in", {"ada.py": F})
    os.mkfifo(folder / "pipe.py")
    (folder / "link.py").symlink_to("/etc/passwd")
    assert found(tmp_path, folder) == {"ada": ["ada.py"]}


def test_a_file_that_is_not_a_zip_is_refused(tmp_path):
    path = tmp_path / "class.zip"
    path.write_text("not a zip", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        unpack(path, tmp_path / "to")
