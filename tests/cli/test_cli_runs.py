"""`charloom runs` lists runs; `runs rm` and `runs rename` act only after a yes."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from charloom.cli import app, runs_commands
from charloom.store.run_lock import acquire
from command_line import charloom_
from small_runs import after, train

ROOT = Path(__file__).parent.parent.parent
NAMES = ["plain", "two words", "it's", "-dash", "$HOME", "a;b", "naïve", "back`tick", "star*"]


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """Return an interrupted run. Tests only copy it."""
    path = tmp_path_factory.mktemp("original") / "run"
    train(path, halt=after(8))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch, original):
    """Return the current folder, with the runs a, b and c in its folder runs."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate("abc"):
        shutil.copytree(original, tmp_path / "runs" / name)
        change_status(tmp_path / "runs" / name, heartbeat=2e9 + number, update=30 - number)
    return tmp_path


@pytest.fixture
def answering(monkeypatch):
    """Return a function that runs a command whose question a user answers."""
    monkeypatch.setattr(runs_commands, "can_ask", lambda: True)

    def answered(answer, words):
        return CliRunner().invoke(app, shlex.split(words), input=answer, prog_name="charloom")

    return answered


def change_status(run, **changes):
    """Replace fields in the status.json of a run."""
    path = run / "status.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def names_in(folder):
    """Return the sorted names in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def listed(words="runs"):
    """Return the runs in the first column of a table, in order."""
    done = charloom_(words)
    assert done.exit_code == 0, done.output
    return [shlex.split(line)[0] for line in done.stdout.splitlines()[1:]]


def test_the_latest_run_comes_first_and_other_orders_can_be_chosen(folder):
    assert (
        listed()
        == listed("runs list")
        == listed("runs list runs")
        == ["runs/c", "runs/b", "runs/a"]
    )
    assert listed("runs --sort updates") == ["runs/a", "runs/b", "runs/c"]
    assert listed("runs runs --sort name") == ["runs/a", "runs/b", "runs/c"]
    change_status(folder / "runs/b", state="finished")
    assert listed("runs --sort state") == ["runs/b", "runs/a", "runs/c"]
    (folder / "runs/c/large").write_bytes(bytes(100_000))
    assert listed("runs --sort size")[0] == "runs/c"
    (folder / "runs/a/metrics.jsonl").unlink()  # no records, and so no loss: comes last
    assert listed("runs --sort loss") == ["runs/b", "runs/c", "runs/a"]
    done = charloom_("runs --sort age")
    assert done.exit_code == 2
    assert "--sort is 'age'; it must be one of changed, name, " in done.stderr


def test_a_table_shows_each_run_and_names_its_damage(folder):
    change_status(folder / "runs/a", update=2000, updates=3000)
    (folder / "runs/b/status.json").write_text("{")
    done = charloom_("runs --sort name")
    head, *rows = done.stdout.splitlines()
    assert head.split() == [
        "run",
        "state",
        "recipe",
        "network",
        "updates",
        "nats",
        "bits",
        "on",
        "size",
        "changed",
    ]
    assert re.fullmatch(
        r"runs/a +interrupted +classic +rnn 1x8 +2,000 of 3,000 +\d\.\d{3} +\d\.\d{3} +training +0\.\d\d MB +now",
        rows[0],
    )
    assert " interrupted, damaged " in rows[1]
    assert done.stderr.startswith("charloom: runs/b/status.json is not valid JSON")


def test_json_has_the_fields_of_the_specification(folder):
    runs = json.loads(charloom_("runs --json").stdout)
    assert [run["run"] for run in runs] == ["runs/c", "runs/b", "runs/a"]
    assert {name: runs[0][name] for name in ("state", "problems", "recipe", "cell", "layers")} == {
        "state": "interrupted", "problems": [], "recipe": "classic", "cell": "rnn", "layers": 1
    }  # fmt: skip
    document = (ROOT / "docs/spec/formats.md").read_text(encoding="utf-8")
    section = document.partition("`runs --json` prints")[2].partition("`runs rm --json`")[0]
    assert {name for name in runs[0] if f"`{name}`" not in section} == set()


def test_without_runs_the_list_is_empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = charloom_("runs")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "charloom: there are no runs in runs.\n"
    assert charloom_("runs --json").stdout == "[]\n"
    assert charloom_("runs nowhere").exit_code == 2


@pytest.mark.parametrize("name", ["rm", "list", "rename"])
def test_a_folder_with_the_name_of_a_command_is_listed(folder, name):
    (folder / "runs").rename(folder / name)
    assert len(listed(f"runs ./{name}")) == 3
    assert len(listed(f"runs list {name}")) == 3


def test_each_name_in_the_list_works_in_a_shell(folder):
    """Passes the first column of the list through sh to `runs rm`."""
    for name in NAMES:
        shutil.copytree(folder / "runs/a", folder / "runs" / name)
    done = charloom_("runs runs --sort name")
    column = done.stdout.splitlines()[0].index("state")
    words = " ".join(line[:column].strip() for line in done.stdout.splitlines()[1:])
    script = f'"{sys.executable}" -m charloom runs rm {words} --yes'
    subprocess.run(["sh", "-c", script], check=True, capture_output=True)
    assert names_in("runs") == []


def test_a_run_is_removed_after_a_yes_and_kept_otherwise(folder, answering):
    for answer in ("n\n", "\n", "", "nonsense\n"):
        done = answering(answer, "runs rm runs/a")
        assert done.exit_code == 1
        assert done.stderr.endswith("charloom: nothing was removed.\n")
        assert len(listed()) == 3
    done = answering("y\n", "runs rm runs/a runs/c runs/a/")
    assert re.search(
        r"runs/a: \d+ files, 0\.\d\d MB; interrupted at update 30 of 98\n", done.stderr
    )
    assert "Remove these 2 runs? [y/N]" in done.stderr
    assert done.stdout == "removed runs/a\nremoved runs/c\n"
    assert listed() == ["runs/b"]
    assert answering("YES\n", "runs rm runs/b").exit_code == 0
    assert names_in("runs") == []


def test_a_run_is_renamed_after_a_yes_and_kept_otherwise(folder, answering):
    assert answering("n\n", "runs rename runs/a new").exit_code == 1
    assert len(listed()) == 3
    done = answering("y\n", "runs rename runs/a 'a novel'")
    assert "Rename runs/a to 'runs/a novel'? [y/N]" in done.stderr
    assert done.stdout == "renamed runs/a to 'runs/a novel'\n"
    assert names_in("runs") == ["a novel", "b", "c"]


@pytest.mark.parametrize("words", ["runs rm runs/a", "runs rename runs/a new"])
def test_without_a_terminal_nothing_happens_unless_yes_is_given(folder, words):
    done = charloom_(words)
    assert done.exit_code == 2
    assert "standard input is not a terminal" in done.stderr
    assert "Give --yes" in done.stderr
    assert len(listed()) == 3
    assert charloom_(words, "--yes").exit_code == 0
    assert not (folder / "runs/a").exists()


@pytest.mark.parametrize(
    ("answer", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\x04", 1), (b"\x03", 130)]
)
def test_a_user_at_a_terminal_is_asked(folder, answer, code):
    """Answers in a real terminal: yes, no, the end of the input and Ctrl-C."""
    pty = pytest.importorskip("pty", reason="this system has no pseudo-terminals")
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    ours, theirs = pty.openpty()

    def own_terminal():
        """Make the terminal the child's own, and let Ctrl-C act, also if the tests themselves ignore it."""
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    process = subprocess.Popen(
        [sys.executable, "-m", "charloom", "runs", "rm", "runs/a"],
        stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True, preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(theirs)
    output = b""
    while b"[y/N]" not in output:
        output += os.read(ours, 1000)
    os.write(ours, answer)
    try:
        while data := os.read(ours, 1000):
            output += data
    except OSError:
        pass  # the process has closed the terminal
    os.close(ours)
    assert process.wait() == code, output
    assert (folder / "runs/a").exists() == (code != 0)


def test_all_runs_are_checked_before_the_question(folder):
    lock = acquire(folder / "runs/b")
    done = charloom_("runs rm runs/a runs/b runs/c --yes")
    assert done.exit_code == 2
    assert "Stop it first: charloom control runs/b stop." in done.stderr
    lock.release()
    Path("book.txt").write_text("a text")
    done = charloom_("runs rm runs/a book.txt --yes")
    assert done.exit_code == 2
    assert "book.txt is not a run directory" in done.stderr
    assert "charloom: nothing was removed.\n" in done.stderr
    assert len(listed()) == 3


@pytest.mark.parametrize("words", ["runs rm none --yes", "runs rename none new --yes"])
def test_a_path_that_does_not_exist_is_called_so(folder, words):
    done = charloom_(words)
    assert done.exit_code == 2
    assert "none does not exist; give the directory of a run." in done.stderr


def test_a_new_name_that_is_too_long_is_called_so(folder):
    done = charloom_(f"runs rename runs/a {'n' * 300} --yes")
    assert done.exit_code == 2
    assert "the new name is too long: it has 300 bytes" in done.stderr
    assert "disk" not in done.stderr
    assert names_in("runs") == ["a", "b", "c"]


def test_a_run_that_two_paths_name_is_removed_once(folder):
    (folder / "link").symlink_to(folder / "runs")
    done = charloom_(f"runs rm runs/a {folder}/runs/a link/a runs/b --yes")
    assert done.exit_code == 0, done.output
    assert done.stdout == "removed runs/a\nremoved runs/b\n"
    assert names_in("runs") == ["c"]


def test_an_error_after_the_first_removal_says_what_was_removed(folder, answering, monkeypatch):
    """Begins to train the second run after the question."""
    locks = []
    monkeypatch.setattr(
        runs_commands, "confirm", lambda *_: locks.append(acquire(folder / "runs/b"))
    )
    done = charloom_("runs rm runs/a runs/b runs/c --yes")
    assert done.exit_code == 2
    assert "these runs were removed before the error: runs/a." in done.stderr
    locks[0].release()
    assert listed() == ["runs/c", "runs/b"]


def test_a_killed_run_is_not_called_training_before_its_removal(folder):
    change_status(folder / "runs/a", state="training")
    assert "; interrupted at update 30 of 98\n" in charloom_("runs rm runs/a").stderr


def test_what_charloom_did_not_write_is_named_before_the_question(folder):
    (folder / "runs/a/my notes.txt").write_text("mine")
    (folder / "runs/a/report.html").write_text("a report")
    done = charloom_("runs rm runs/a")
    assert "also what charloom did not write: 'my notes.txt'\n" in done.stderr


def test_json_of_a_removal_and_a_renaming(folder):
    files = [path for path in (folder / "runs/a").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    removed = json.loads(charloom_("runs rm runs/a --yes --json").stdout)
    assert removed == [{"run": "runs/a", "files": len(files), "bytes": size}]
    renamed = json.loads(charloom_("runs rename runs/b d --yes --json").stdout)
    assert renamed == {"run": "runs/d", "before": "runs/b"}
