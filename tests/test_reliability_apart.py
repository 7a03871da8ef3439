"""charloom keeps to itself; a command that talks, or writes elsewhere, goes red."""

import pytest

from reliability import SHORT, apart


def test_no_command_talks_or_writes_elsewhere():
    figures = apart.check(SHORT)
    assert figures["commands_run"] == len(apart.SHORTER)


def fault(monkeypatch, code):
    """A fault in the process that is watched, for one command alone."""
    monkeypatch.setattr(apart, "COMMANDS", ("info",))
    monkeypatch.setenv("CHARLOOM_PLANTED_FAULT", code)


def test_a_command_that_looks_up_a_name_is_noticed(monkeypatch):
    fault(
        monkeypatch, "import socket\ntry: socket.getaddrinfo('localhost', 80)\nexcept OSError: pass"
    )
    with pytest.raises(AssertionError, match=r"info: .*getaddrinfo"):
        apart.check(SHORT)


def test_a_command_that_writes_beside_the_run_is_noticed(monkeypatch):
    fault(monkeypatch, "open('beside.txt', 'w').close()")
    with pytest.raises(AssertionError, match=r"info: writes .*beside\.txt"):
        apart.check(SHORT)


def test_a_file_that_others_cannot_read_is_noticed(monkeypatch):
    fault(monkeypatch, "import os; os.close(os.open('asked/it', os.O_CREAT | os.O_WRONLY, 0o600))")
    with pytest.raises(AssertionError, match="mode 600, not 644"):
        apart.check(SHORT)


def test_an_import_of_what_talks_is_noticed(tmp_path):
    (tmp_path / "quiet.py").write_text("import json\nfrom .urllib import x\n")
    assert apart.talkers(tmp_path) == []
    (tmp_path / "loud.py").write_text("def f():\n    from urllib.request import urlopen\n")
    assert apart.talkers(tmp_path) == ["loud.py:2 imports urllib.request"]
