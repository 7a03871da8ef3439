"""charloom uses no network and writes only its files, and the checker catches commands that do otherwise."""

import signal

import pytest

from reliability import SHORT, apart
from reliability.apart import Line


def test_no_command_uses_the_network_or_writes_outside_its_folders():
    # Some seconds: eight commands, each in a process of its own.
    figures = apart.check(SHORT)
    assert figures["commands_run"] == figures["processes_watched"] == len(apart.SHORTER) + 3
    assert figures["allowed_writes"] > 30


@pytest.fixture
def place(tmp_path):
    return apart.prepared(tmp_path.resolve())


CHILD = "import subprocess, sys; subprocess.run([sys.executable, *{options}, '-c', {code!r}])"
TALK = "import socket\ntry: socket.getaddrinfo('localhost', 80)\nexcept OSError: pass"


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (TALK, r"recipes: .*getaddrinfo"),
        ("import socket; socket.socket().bind(('127.0.0.1', 0))", r"recipes: .*socket\.bind"),
        ("open('beside.txt', 'w').close()", r"recipes: writes .*beside\.txt"),
        ("import os; os.link('book.txt', 'twin.txt')", r"recipes: writes .*twin\.txt"),
        ("import os; os.symlink('asked', 'linked')", r"recipes: writes .*linked"),
        ("import os; os.chmod('book.txt', 0o600)", r"recipes: writes .*book\.txt"),
        ("open('/dev/shm/charloom-planted', 'w').close()", r"recipes: writes .*planted"),
        (CHILD.format(options=[], code=TALK), r"recipes: .*getaddrinfo"),
        (CHILD.format(options=[], code="pass"), r"recipes: starts .*-c pass"),
        (CHILD.format(options=["-I"], code="pass"), r"recipes: starts unwatched .*-I -c pass"),
        ("import os; os.system('true')", r"recipes: starts unwatched os\.system.*true"),
        ("open('tmp/left', 'w').close()", r"recipes: writes .*tmp/left"),
    ],
    ids=["looks a name up", "listens", "writes beside", "links", "links by name", "changes a mode",
         "writes into memory", "a child that talks", "a child", "a child that is not watched",
         "a program", "leaves something"],
)  # fmt: skip
def test_a_command_that_does_something_forbidden_is_noticed(place, monkeypatch, code, message):
    monkeypatch.setenv("CHARLOOM_PLANTED_FAULT", code)
    with pytest.raises(AssertionError, match=message):
        apart.run(place, Line("recipes"))


def test_an_allowed_child_process_is_watched_too(place, monkeypatch):
    child = CHILD.format(options=[], code="open('beside.txt', 'w').close()")
    monkeypatch.setenv("CHARLOOM_PLANTED_FAULT", child)
    with pytest.raises(AssertionError, match=r"recipes: writes .*beside\.txt"):
        apart.run(place, Line("recipes", starts=r"subprocess\.Popen .*"))


def test_an_expected_child_process_that_never_starts_is_noticed(place, monkeypatch):
    # Of the same name, and yet another Python than is said.
    hidden = "import subprocess, sys; subprocess.run([sys.executable, '--version'], env=None)"
    monkeypatch.setenv("CHARLOOM_PLANTED_FAULT", hidden)
    with pytest.raises(AssertionError, match="1 processes of 2 were watched"):
        apart.run(place, Line("recipes", starts=r"subprocess\.Popen .*"))


def test_a_command_that_is_refused_is_noticed(place):
    with pytest.raises(AssertionError, match="exit code 2, not 0"):
        apart.run(place, Line("recipes --no-such-option"))


def test_a_server_that_other_machines_can_reach_is_noticed(place):
    # Two seconds: a server that starts.
    words = apart.SERVED.words.replace("runs", "runs --host 0.0.0.0")
    other = Line(words, code=-signal.SIGTERM, ready=apart.SERVED.ready, end=apart.SERVED.end, talks=apart.SERVED.talks)  # fmt: skip
    with pytest.raises(AssertionError, match=r"socket\.bind.*0\.0\.0\.0"):
        apart.run(place, other)


def test_the_server_listens_only_on_this_machine(place):
    # Two seconds: a server that starts.
    assert apart.run(place, apart.SERVED).listened > 0


def test_the_doctor_starts_one_process_and_leaves_no_files(place):
    # Some seconds: the doctor's trials.
    lines = [line for line in apart.COMMANDS if line.words.startswith("doctor")]
    writing, judging, judging_a_class, adapting = lines
    apart.run(place, writing)
    assert apart.run(place, judging).processes == 2  # fc-list is no Python
    # The process that judges submissions, and the one that runs a submission.
    assert apart.run(place, judging_a_class).processes == 3
    assert apart.run(place, adapting).processes == 2


def test_a_command_that_is_not_watched_is_noticed(monkeypatch):
    monkeypatch.setattr(apart, "COMMANDS", apart.SHORTER)
    with pytest.raises(AssertionError, match=r"not watched: .*doctor"):
        apart.require_all_commands()


def test_a_file_that_other_users_cannot_read_is_noticed(place):
    (place / "asked" / "it").touch(0o600)
    with pytest.raises(AssertionError, match="mode 600, not 644"):
        apart.look_at_permissions(place, 0o022)


def test_an_import_of_a_network_module_is_noticed(tmp_path):
    (tmp_path / "quiet.py").write_text("import json\nfrom .urllib import x\n")
    assert apart.talkers(tmp_path) == []
    (tmp_path / "loud.py").write_text("def f():\n    from urllib.request import urlopen\n")
    assert apart.talkers(tmp_path) == ["loud.py:2 imports urllib.request"]
