"""Closed pipes and Ctrl-C end a command without a traceback."""

import shlex
import subprocess
import sys

import pytest
import typer

import charloom.api
import charloom.cli
from command_line import charloom_, started


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_is_no_traceback(closed):
    words = shlex.join([sys.executable, "-m", "charloom", "corpora"])
    done = subprocess.run(f"{words} {closed}", shell=True, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_ends_quietly(run, start):
    with start("sample", run, "--length", 5_000_000) as process:
        assert len(process.stdout.read(100)) == 100
        process.stdout.close()
        lines = process.stderr.read().splitlines()
    assert [line.endswith(", writes:") for line in lines] == [True]
    assert process.returncode == 0


def test_a_command_that_a_failed_test_started_is_killed(book, tmp_path):
    with (
        pytest.raises(AssertionError, match="planted"),
        started("train", book, "--run", tmp_path / "run", "--updates", 10**8) as process,
    ):
        raise AssertionError("planted")
    assert process.returncode not in (None, 0)


def test_ctrl_c_elsewhere_is_no_traceback(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(charloom.cli.info_commands, "gather", interrupt)
    done = charloom_("info")
    assert (done.exit_code, done.stderr) == (130, "charloom: interrupted.\n")


@pytest.mark.parametrize("command", ["train", "reproduce"])
@pytest.mark.parametrize("step", ["text_to_learn", "plan_training"])
def test_ctrl_c_before_a_run_exists_says_that_no_run_was_made(
    command, step, book, tmp_path, monkeypatch
):
    def interrupt(*args, **settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(charloom.api, step, interrupt)
    done = charloom_(command, book, "--run", tmp_path / "run", "--minutes 1")
    assert (done.exit_code, done.stderr) == (130, "charloom: interrupted; no run was made.\n")
    assert not (tmp_path / "run").exists()


# Models


def test_ctrl_c_before_a_command_has_begun_is_no_traceback(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    from charloom import __main__

    monkeypatch.setattr(typer.main, "get_command", interrupt)
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    assert caught.value.code == 130


# Progress


def test_ctrl_c_during_start_up_ends_with_one_word(monkeypatch, capsys):
    from charloom import __main__

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(charloom.cli, "main", interrupted)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "charloom: interrupted.\n"
