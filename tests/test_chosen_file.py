"""Without the name of a function, the doctor chooses the file of a submission that holds its gradients."""

import os

import pytest

from charloom import doctor_class
from charloom.diagnosis.chosen_file import choose_file, likely_files
from charloom.diagnosis.sandbox_settings import CURRENT, CopiedFile, SandboxSettings
from charloom.diagnosis.submissions import Submission
from charloom.errors import DoctorError
from plants import PLANTS, source

RIGHT = source("loop")
WRONG = source(PLANTS[0].file, PLANTS[0])
posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has no such signals and limits")


def handed(folder, files):
    """Write files, and return them as a submission."""
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return Submission("ada", [CopiedFile(str(folder / name), name) for name in files])


def choice(folder, files, function=None, **options):
    """Return the name of the chosen file, and the note."""
    submission = handed(folder, files)
    token = CURRENT.set(SandboxSettings(files=tuple(submission.files), from_copies=True))
    try:
        chosen = choose_file(submission, function, time_limit=60.0, **options)
        return chosen.file.target, chosen.note
    finally:
        CURRENT.reset(token)


def test_the_only_file_is_chosen_without_a_note(tmp_path):
    assert choice(tmp_path, {"a.py": "x = 1\n", "data.txt": ""}) == ("a.py", "")


def test_the_named_function_decides(tmp_path):
    files = {"a.py": RIGHT, "b.py": "def f():\n    grad = 1\n"}
    assert choice(tmp_path, files, "f") == ("b.py", "")
    assert choice(tmp_path, files, numerical="f") == ("b.py", "")


def test_the_only_file_with_gradients_is_chosen_without_loading_any(tmp_path):
    files = {
        "a.py": "def softmax(x):\n    return x\n",
        "b.py": RIGHT,
        "main.py": "while True: pass\n",
    }
    assert choice(tmp_path, files) == ("b.py", "b.py was judged, of 3 Python files.")


def test_the_file_with_a_known_form_is_chosen(tmp_path):
    files = {"a.py": "def clip(dW):\n    return dW\n", "b.py": RIGHT}
    assert choice(tmp_path, files)[0] == "b.py"


def test_of_several_files_the_note_names_the_others(tmp_path):
    files = {"a_old.py": WRONG, "b.py": RIGHT}
    note = "b.py was judged, of 2 Python files. a_old.py could be judged too."
    assert choice(tmp_path, files) == ("b.py", note)


def test_without_a_known_form_the_error_names_the_files(tmp_path):
    files = {"a.py": "def clip(dW):\n    return dW\n", "b.py": "def scaled(dU):\n    return dU\n"}
    with pytest.raises(
        DoctorError, match=r"several Python files, a\.py and b\.py, .*name the function"
    ):
        choice(tmp_path, files)


def test_the_only_file_that_fails_is_chosen_so_that_its_error_is_shown(tmp_path):
    failing = "def loss_and_gradients(params, x, y, h0):\n    dW = 1\n    return 1 / 0\n"
    files = {"a.py": "def clip(dW):\n    return dW\n", "b.py": failing}
    assert choice(tmp_path, files)[0] == "b.py"


def test_a_test_or_an_old_version_comes_last(tmp_path):
    names = ("test_rnn.py", "rnn_old.py", "rnn.py", "gradcheck.py")
    submission = handed(tmp_path, dict.fromkeys(names, RIGHT))
    assert likely_files(submission.files)[0].target == "rnn.py"
    submission = handed(tmp_path, {"a.py": "x = 1\n", "b.py": "y = 1\n"})
    assert len(likely_files(submission.files)) == 2


@posix
def test_the_row_says_which_file_was_judged(tmp_path):
    (tmp_path / "ada").mkdir()
    handed(tmp_path / "ada", {"net.py": RIGHT, "extra.py": WRONG.replace("np.tanh", "tanh")})
    (one,) = doctor_class(tmp_path).submissions
    assert (one.verdict, one.file) == ("right", "net.py")
    assert one.notes == ("net.py was judged, of 2 Python files.",)
