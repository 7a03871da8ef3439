"""Each mistake of a user ends with exit code 2 and one sentence, and loses no data.

The commands run in this process, through the same entry point as from a shell. The tests at the end, where
the system itself refuses, start processes.
"""

import errno
import os
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

import charloom
from book_text import TEXT
from charloom.cli import app
from charloom.store import atomic_files, journal
from charloom.training import run_saving
from reliability.run_training import reopen

SMALL = "--recipe classic --hidden-size 8 --seq-length 5 --updates 40 --report-every 10"


def run_command(*words):
    """Run a command in this process. Words are split as in a shell."""
    args = [part for word in words for part in shlex.split(str(word))]
    return CliRunner().invoke(app, args, prog_name="charloom")


def assert_refused(done, *parts):
    """Assert exit code 2, one sentence with the given parts on stderr, and nothing on stdout."""
    assert done.exit_code == 2, done.output
    assert done.stdout == ""
    sentence = done.stderr
    assert sentence.startswith("charloom: ")
    assert sentence.count("\n") == 1
    assert sentence.endswith((".\n", "?\n"))
    assert "Traceback" not in sentence
    for part in parts:
        assert part in sentence
    return sentence


def files_of(folder):
    """Return the bytes of every file below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Change to an empty folder, and return it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Return a finished run and its text. Tests copy it."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "book.txt").write_text(TEXT, encoding="utf-8")
    done = run_command("train", folder / "book.txt", "--run", folder / "run", SMALL)
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture
def run(finished, folder):
    """Return a copy of the finished run that a test may damage."""
    return shutil.copytree(finished / "run", folder / "run")


# Texts

BAD_TEXTS = {
    "empty": (b"", ["book.txt is empty"]),
    "only a mark": (b"\xef\xbb\xbf", ["book.txt is empty"]),
    "one character": (b"aaaaaaaaaa", ["only 'a'", "at least two distinct characters"]),
    "shorter than a window": (b"0123456789012345678901234", ["25 characters", "at least 26"]),
    "not UTF-8": (b"caf\xe9 " * 9, ["not UTF-8", "0xe9 at offset 3", "iconv"]),
    "NUL bytes": (b"some text\0more text", ["NUL byte at offset 9"]),
    "UTF-16": ("wide text".encode("utf-16"), ["UTF-16", "offset 0"]),
}


@pytest.mark.parametrize("command", ["train", "reproduce"])
@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_text_that_is_not_suitable_for_training_is_refused(name, command, folder):
    data, parts = BAD_TEXTS[name]
    (folder / "book.txt").write_bytes(data)
    assert_refused(run_command(command, "book.txt --recipe classic --run run"), *parts)
    assert files_of(folder) == {folder / "book.txt": data}


@pytest.mark.parametrize("command", ["train", "reproduce", "gradcheck"])
def test_a_missing_file_is_refused(command, folder):
    assert_refused(run_command(command, "nowhere.txt"), "nowhere.txt: no such file", "python-docs")
    assert not files_of(folder)


def test_a_directory_or_a_pattern_without_a_text_is_refused(folder):
    (folder / "books").mkdir()
    (folder / "books" / "picture.png").write_bytes(b"\x89PNG\0")
    assert_refused(run_command("train books"), "books: no text in UTF-8 among 1 file;")
    assert_refused(run_command("train 'books/*.txt'"), "books/*.txt: no file found")


def test_one_bad_file_among_many_is_named(folder):
    (folder / "good.txt").write_text(TEXT)
    (folder / "bad.txt").write_bytes(b"\xff\xfe")
    assert_refused(run_command("train good.txt bad.txt"), "bad.txt", "offset 0")


def test_no_text_at_all_is_refused(folder):
    assert_refused(run_command("train"), "no text was given")


def test_a_missing_extra_is_named(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "pythonbible", None)
    assert_refused(run_command("train kjv"), "in the clone of charloom: pip install '.[corpora]'")


# Settings


@pytest.mark.parametrize(
    ("option", "part"),
    [
        ("--hidden-size 0", "--hidden-size is 0"),
        ("--learning-rate -1", "--learning-rate is -1.0"),
        ("--learning-rate nan", "--learning-rate is nan"),
        ("--dtype float16", "--dtype is 'float16'; it must be one of float32, float64"),
        ("--engine numpy", "--engine is 'numpy'"),
        ("--cell lstms", "--cell is 'lstms'; it must be one of rnn, lstm, gru"),
        ("--recipe best", "--recipe is 'best'; it must be one of classic"),
        ("--seed -1", "--seed is -1"),
        ("--minutes 0", "--minutes is 0.0"),
        ("--minutes 1 --epochs 2", "--minutes and --epochs each set the end of training"),
    ],
)
def test_a_setting_out_of_its_range_is_refused(option, part, book, folder):
    assert_refused(run_command("train book.txt", option), part)
    assert list(files_of(folder)) == [folder / "book.txt"]


def test_an_unknown_option_and_a_wrong_number_are_refused(folder):
    for wrong in ("--hiden-size 3", "--hidden-size many"):
        done = run_command("train book.txt", wrong)
        assert done.exit_code == 2
        assert "Traceback" not in done.output


def test_a_network_larger_than_the_memory_is_refused(folder):
    (folder / "book.txt").write_text(20 * TEXT)
    done = run_command("train book.txt --hidden-size 1000000000 --run run")
    assert_refused(done, "Use a smaller network", "--hidden-size", "GB")
    assert not (folder / "run").exists()


def test_the_error_of_a_diverging_run_says_how_to_fix_it(book, folder):
    done = run_command(
        "train book.txt --run run --dtype float32 --learning-rate 1e38 --engine reference", SMALL
    )
    assert done.exit_code == 2
    assert "lower --learning-rate" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.output
    left = charloom.load("run", which="latest").parameters
    assert all(np.isfinite(array).all() for array in left.values())


@pytest.mark.parametrize(
    "option", ["--state negative", "--entries 0", "--vocabulary-size 1", "--dtype float16"]
)
def test_a_gradient_check_that_makes_no_sense_is_refused(option):
    assert_refused(run_command("gradcheck --hidden-size 2 --seq-length 2", option))


# Runs


@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_a_run_that_exists_is_refused_and_left_alone(command, run, finished):
    before = files_of(run)
    done = run_command(command, finished / "book.txt", "--run run", SMALL)
    assert_refused(done, "already contains a run", "charloom resume run")
    assert files_of(run) == before


def test_a_run_is_not_created_in_a_directory_with_other_files(book, folder):
    assert_refused(run_command("train book.txt --run .", SMALL), "contains other files")


@pytest.mark.parametrize("command", ["resume run --updates 50", "resume run"])
def test_a_run_in_use_is_refused_and_left_alone(command, run):
    before = files_of(run)
    writer, _, _ = reopen(run)
    with writer:
        # Its status is of a training that ended, and cannot tell who has it now.
        assert_refused(run_command(command), "run is in use: another process", "--run")
    assert files_of(run) == before


@pytest.mark.parametrize("command", ["resume", "report", "sample"])
@pytest.mark.parametrize("what", ["nothing", "a folder", "a file"])
def test_a_path_that_is_not_a_run_is_refused(command, what, folder):
    if what == "a folder":
        (folder / "thing").mkdir()
    elif what == "a file":
        (folder / "thing").write_text("a text, no model")
    assert_refused(run_command(command, "thing"), "thing")


@pytest.mark.parametrize("file", ["model.safetensors", "training.safetensors", "state.json"])
def test_a_damaged_checkpoint_is_refused_and_left_alone(file, run):
    path = run / "checkpoints" / "40" / file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    before = files_of(run)
    for command in ("resume run --updates 50", "sample run/checkpoints/40"):
        assert_refused(run_command(command), "is damaged", file)
    assert files_of(run) == before


@pytest.mark.parametrize("damage", ["empty", "half", "missing"])
def test_a_checkpoint_that_lost_bytes_is_refused(damage, run):
    path = run / "checkpoints" / "40" / "model.safetensors"
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(data[: len(data) // 2] if damage == "half" else b"")
    assert_refused(run_command("resume run --updates 50"), "damaged")


def test_a_damaged_config_is_refused(run):
    (run / "config.json").write_bytes(b'{"config":')
    for command in ("resume run", "report run"):
        assert_refused(run_command(command), "config.json")


def test_a_new_end_before_the_current_update_is_refused(run):
    assert_refused(run_command("resume run --updates 30"), "at update 40", "would end at 30")


def test_a_text_that_was_changed_is_refused(finished, run):
    other = finished.parent / "other.txt"
    other.write_text(TEXT.upper())
    assert_refused(run_command("resume run --updates 50 --text", other), "is not the text")


# Models


def test_a_model_is_trained_further_only_on_characters_in_its_vocabulary(run, folder):
    (folder / "other.txt").write_text("the cat said: “purr”\n" * 9)
    before = files_of(folder)
    refused = assert_refused(
        run_command("train other.txt --from run --run new --updates 2"),
        "character 11 is 'i'",
        "not in the model's vocabulary",
    )
    assert "unknown characters" in refused
    for options in ("--unknown replace", "--unknown replace --replacement é", "--layers 2"):
        assert_refused(run_command("train other.txt --from run --run new --updates 2", options))
    assert files_of(folder) == before
    done = run_command("train other.txt --from run --run new --updates 2 --unknown skip")
    assert done.exit_code == 0, done.output
    assert "unknown characters, " in done.stderr


def test_a_prompt_with_an_unknown_character_names_the_closest(run):
    done = run_command("sample run --prompt 'the catA'")
    assert_refused(done, "character 8 is 'A'", "LATIN CAPITAL LETTER A", "'a'")


def test_a_text_with_an_unknown_character_cannot_be_evaluated(run, folder):
    (folder / "other.txt").write_text("the cat said: “purr”\n")
    assert_refused(run_command("evaluate run other.txt"), "not in the model's vocabulary")


def test_a_text_of_one_character_cannot_be_evaluated(run, folder):
    (folder / "short.txt").write_text("t")
    assert_refused(run_command("evaluate run short.txt"), "needs at least two")


@pytest.mark.parametrize("option", ["--length 0", "--temperature -1", "--temperature nan"])
def test_sampling_that_makes_no_sense_is_refused(option, run):
    assert_refused(run_command("sample run", option))


# Disks


def refuse_after(monkeypatch, allowed):
    """Let the disk accept `allowed` bytes, and then report that it is full."""
    honest, taken = atomic_files.write_all, 0

    def write(descriptor, data):
        nonlocal taken
        taken += len(data)
        if taken > allowed:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        honest(descriptor, data)

    for module in (atomic_files, journal):
        monkeypatch.setattr(module, "write_all", write)
    monkeypatch.setattr(run_saving, "RETRY_SECONDS", (0.0, 0.0))
    monkeypatch.setattr(run_saving, "PATIENT_SECONDS", ())


@pytest.mark.parametrize("allowed", [0, 2_000])
def test_a_disk_that_is_full_before_the_first_update_is_reported(
    allowed, book, folder, monkeypatch
):
    with monkeypatch.context() as patch:
        refuse_after(patch, allowed)
        done = run_command("train book.txt --run run", SMALL)
    assert done.exit_code == 2
    assert "No space left on device. Free some space" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.output
    assert run_command("train book.txt --run run", SMALL).exit_code == 0


def test_a_disk_that_fills_up_loses_nothing_that_was_saved(book, folder, finished, monkeypatch):
    with monkeypatch.context() as patch:
        refuse_after(patch, 12_000)
        done = run_command("train book.txt --run run", SMALL)
    assert done.exit_code == 2
    assert "No space left on device" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.output
    assert run_command("resume run").exit_code == 0
    resumed, whole = (charloom.load(path, which="latest") for path in ("run", finished / "run"))
    for name, array in whole.parameters.items():
        assert resumed.parameters[name].tobytes() == array.tobytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
@pytest.mark.parametrize(
    ("command", "before"),
    [
        ("info", ""),
        (
            "sample run --length 100000",
            "charloom: run, the latest model (update 40 of 40), writes:\n",
        ),
    ],
)
def test_results_that_cannot_be_written_are_reported(command, before, run):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "charloom", *command.split()],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=20,
        )
    assert done.returncode == 2
    assert done.stderr == f"{before}charloom: No space left on device.\n"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission_is_refused(book, folder):
    (folder / "locked").mkdir(mode=0o500)
    assert_refused(run_command("train book.txt --run locked/run", SMALL), "Permission denied")


def test_a_real_process_ends_without_a_traceback(folder):
    """Only this test runs a separate process, to show that the interpreter prints nothing of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "charloom", "train", "nowhere.txt"],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("charloom: nowhere.txt: no such file")
    assert done.stderr.count("\n") == 1


def test_files_of_the_users_own_are_never_replaced_by_a_run(folder):
    (folder / "mine").mkdir()
    (folder / "mine" / "config.json").write_text('{"my": "settings"}')
    with pytest.raises(charloom.CharloomError, match="contains other files"):
        charloom.train(string="abcdefgh" * 50, run=folder / "mine", recipe="classic", updates=3)
    assert (folder / "mine" / "config.json").read_text() == '{"my": "settings"}'
