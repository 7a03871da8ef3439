"""The main parts run where Python lacks the modules, functions and signals that only POSIX systems have.

A module `sitecustomize` takes these names away from each process of the test. It refuses those arguments of
`subprocess.Popen` that Windows refuses. Modules of other packages may still import what they need.
"""

import json
import os
import subprocess
import sys

import pytest

WITHOUT = """
import builtins, os, signal, subprocess

MODULES = ("fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty")
OF_OS = ("fork", "forkpty", "getegid", "geteuid", "getgid", "getloadavg", "getpgid", "getuid", "killpg", "mkfifo", "nice",
    "openpty", "posix_fadvise", "pread", "pwrite", "sched_getaffinity", "sched_setaffinity", "setpgid", "setsid",
    "statvfs", "sysconf", "wait", "wait4", "O_DIRECTORY")
OF_SIGNAL = ("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP", "SIGTSTP", "SIGUSR1",
    "SIGUSR2", "SIGXCPU", "alarm", "pause", "pthread_kill", "pthread_sigmask", "setitimer", "sigwait")

subprocess.Popen.kill = lambda self, number=signal.SIGKILL: self.send_signal(number)  # Windows has a call for it
real_init, real_import = subprocess.Popen.__init__, builtins.__import__

def init(self, *arguments, pass_fds=(), preexec_fn=None, **others):
    if pass_fds or preexec_fn is not None:
        raise ValueError("pass_fds and preexec_fn are not supported on Windows platforms")
    real_init(self, *arguments, **others)

def import_module(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if not level and name in MODULES and importer.partition(".")[0] in ("charloom", "planted"):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return real_import(name, globals, locals, fromlist, level)

subprocess.Popen.__init__, builtins.__import__ = init, import_module
for module, names in ((os, OF_OS), (signal, OF_SIGNAL)):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
"""
TEXT = 40 * "The cat sat on the mat, and the dog ran round the log; then the cat sat still.\n"
PLANTED = {
    "import fcntl": "ModuleNotFoundError: No module named 'fcntl'",
    "import resource": "ModuleNotFoundError: No module named 'resource'",
    "import os; os.killpg": "AttributeError: module 'os' has no attribute 'killpg'",
    "import os; os.fork()": "AttributeError: module 'os' has no attribute 'fork'",
    "import signal; signal.SIGKILL": "AttributeError: module 'signal' has no attribute 'SIGKILL'",
    "import subprocess, sys; subprocess.run([sys.executable], pass_fds=(0,))": "ValueError: pass_fds",
}


@pytest.fixture
def python(tmp_path):
    """Return a function that runs Python without these names, in a folder with a text."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT, encoding="utf-8")
    (tmp_path / "book.txt").write_text(TEXT, encoding="utf-8", newline="\n")

    def run(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=600,
        )

    return run


@pytest.fixture
def charloom(python):
    """Return a function that runs a command of charloom and returns what it printed."""

    def run(*words):
        ended = python("-m", "charloom", *words)
        assert ended.returncode == 0, f"{words}: exit code {ended.returncode}\n{ended.stderr}"
        return ended.stdout

    return run


@pytest.mark.parametrize(("code", "problem"), PLANTED.items(), ids=list(PLANTED))
def test_a_planted_use_of_such_a_name_fails(python, tmp_path, code, problem):
    (tmp_path / "planted.py").write_text(code, encoding="utf-8")
    ended = python("-c", "import planted")
    assert ended.returncode == 1
    assert problem in ended.stderr


def test_a_run_is_trained_resumed_and_used(charloom):
    small = ("--recipe", "classic", "--hidden-size", "20", "--passage-length", "40")
    charloom("train", "book.txt", "--run", "run", "--epochs", "1", *small)
    charloom("resume", "run", "--epochs", "2")
    charloom("report", "run")
    assert charloom("sample", "run", "--length", "20")
    assert json.loads(charloom("evaluate", "run", "--json"))["bits"] < 4


def test_a_run_is_trained_for_a_time(charloom):
    # With --minutes, charloom measures the disk and counts what fits into memory.
    charloom("train", "book.txt", "--run", "run", "--minutes", "0.05", "--ngram-order", "4")


def test_the_doctor_checks_a_function_in_a_process(charloom):
    charloom("doctor", "--template", "numpy")
    shown = charloom("doctor", "my_rnn.py:loss_and_gradients", "--json")
    assert json.loads(shown)["verdict"] == "right"


def test_the_doctor_ends_a_function_that_does_not_end(python, tmp_path):
    (tmp_path / "endless.py").write_text(
        "def f(params, x, y, h0):\n    while True:\n        pass\n", encoding="utf-8"
    )
    # Without a limit of processor time, the clock ends the function half a minute after its limit.
    ended = python("-m", "charloom", "doctor", "endless.py:f", "--time-limit", "0.1")
    assert ended.returncode != 0
    assert "did not end within" in ended.stderr


def test_the_other_commands_start(charloom):
    for command in ("info", "corpora", "recipes", "gradcheck"):
        assert charloom(command, *(("--hidden-size", "3") if command == "gradcheck" else ()))
    assert charloom("serve", "--help")


def test_the_modules_of_the_page_are_imported(python):
    pytest.importorskip("fastapi")
    pytest.importorskip("plotly")
    ended = python(
        "-c",
        "import charloom.web.server as s, charloom.web.file_descriptors as f; print(f.raise_limit())",
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout == "None\n"
