"""A signal asks a training run to stop, and every handler is put back afterwards."""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import pytest

import charloom.cli
from charloom.store import read_status
from charloom.training import stop_signals
from charloom.training.stop_signals import Halt, ImmediateHalt, SignalReceived
from command_line import charloom_

QUIETLY = ("--recipe", "classic", "--engine", "reference")


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_saves_the_run_and_it_can_be_resumed(book, tmp_path, name, start):
    """Starts three processes, and trains in each for a moment."""
    number = getattr(signal, name)
    run = tmp_path / "my run"
    process = start("train", book, "--run", run, *QUIETLY, "--epochs", 1_000_000)
    while not (run / "status.json").exists() or read_status(run).update == 0:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"interrupted by {number.name} at update " in errors
    assert f"saved. To continue: charloom resume '{run}'" in errors
    stage = charloom.load(run).stage
    assert f"charloom: charloom sample '{run}' writes with {stage}.\n" in errors
    assert "Traceback" not in out + errors
    saved = charloom.load(run, which="latest").learner.update
    assert saved > 0
    done = charloom_("resume", f"'{run}'", "--updates", saved + 5, "--json")
    assert json.loads(done.stdout)["update"] == saved + 5


def test_the_first_signal_asks_to_stop_and_the_second_stops_immediately(monkeypatch):
    monkeypatch.setattr(stop_signals, "ONE_PRESS_SECONDS", 0.0)
    before = signal.getsignal(signal.SIGINT)
    with Halt() as halt:
        assert halt() is None
        signal.raise_signal(signal.SIGINT)
        assert (halt(), halt.exit_code) == ("SIGINT", 130)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2"])
def test_every_signal_that_ends_a_process_asks_to_stop(name):
    number, messages = getattr(signal, name), []
    before = signal.getsignal(number)
    with Halt(messages.append) as halt:
        signal.raise_signal(number)
        assert (halt(), halt.exit_code) == (name, 128 + number)
    assert messages == [f"{name}: saving …"]
    assert signal.getsignal(number) is before
    with pytest.raises(SystemExit) as ended:
        halt.raise_received()
    assert ended.value.code == 128 + number


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGXCPU", "SIGUSR1", "SIGUSR2"])
def test_work_without_a_run_ends_immediately_and_one_press_counts_once(name, monkeypatch):
    number = getattr(signal, name)
    before = signal.getsignal(number)
    with ImmediateHalt() as halt:
        with pytest.raises(SignalReceived):
            signal.raise_signal(number)
        assert (halt(), halt.exit_code) == (name, 128 + number)
        monkeypatch.setattr(stop_signals, "ONE_PRESS_SECONDS", 1e9)
        signal.raise_signal(number)
        monkeypatch.setattr(stop_signals, "ONE_PRESS_SECONDS", 0.0)
        with pytest.raises(SignalReceived):
            signal.raise_signal(number)
    assert signal.getsignal(number) is before


# A signal within `exec` of a string, where Python notes a KeyboardInterrupt for the exit code of `python -m`.
WITHIN_EXEC = """
import signal
import typer
from charloom.cli.error_exit import interruption_message

def main():
    with interruption_message("no run was made"):
        exec("signal.raise_signal(signal.{})")

typer.run(main)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_during_an_import_has_its_own_exit_code(name, tmp_path):
    (tmp_path / "stopped.py").write_text(WITHIN_EXEC.format(name))
    command = [sys.executable, "-m", "stopped"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    by = "" if name == "SIGINT" else f" by {name}"
    assert done.stderr == f"charloom: interrupted{by}; no run was made.\n"
    assert done.returncode == 128 + getattr(signal, name)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_signal_with_a_handler_of_the_program_is_left_alone():
    received = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: received.append(number))
    try:
        with Halt() as halt:
            signal.raise_signal(signal.SIGUSR1)
            assert halt() is None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert received == [signal.SIGUSR1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_signal_handler_outside_python_is_left_alone(tmp_path):
    with (tmp_path / "dump.txt").open("w+") as dump:
        faulthandler.register(signal.SIGUSR1, dump)
        try:
            with Halt() as halt:
                signal.raise_signal(signal.SIGUSR1)
                assert halt() is None
            signals_handled = stop_signals.is_handled(signal.SIGUSR1)
        finally:
            faulthandler.unregister(signal.SIGUSR1)
        dump.seek(0)
        assert "test_a_signal_handler_outside_python" in dump.read()
    assert signals_handled
    assert not stop_signals.is_handled(signal.SIGUSR1)


def test_a_signal_handler_that_cannot_be_restored_is_left_alone(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(
            signal, "getsignal", lambda number: None
        )  # as of a program that embeds Python
        with Halt() as halt:
            assert halt() is None
    assert signal.getsignal(signal.SIGTERM) is before


def test_signals_that_the_system_lacks_are_left_out():
    windows = SimpleNamespace(SIGINT=2, SIGTERM=15, SIGBREAK=21, SIGABRT=22)
    assert stop_signals.available_signals(windows) == (2, 15, 21)


def test_a_key_press_that_arrives_twice_counts_once():
    with Halt() as halt:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert halt() == "SIGINT"


def test_a_process_that_ignores_ctrl_c_continues_to_ignore_it(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Halt() as halt:
            signal.raise_signal(signal.SIGINT)
            assert halt() is None
    finally:
        signal.signal(signal.SIGINT, before)
