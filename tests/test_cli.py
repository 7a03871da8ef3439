"""The command line: what each command shows and where, its exit codes, signals and pipes."""

import faulthandler
import inspect
import io
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import get_args, get_type_hints

import pytest
import typer
from typer.testing import CliRunner

import charloom.cli
from charloom import api
from charloom.api import time_estimates, training_plan
from charloom.api.time_estimates import Costs
from charloom.cli import COMMANDS, app, terminal
from charloom.cli.options import PANELS, SETTINGS, setting_option
from charloom.cli.progress import Watcher
from charloom.cli.report_output import ReadingProgress
from charloom.cli.run_commands import UNCHANGING
from charloom.config import Config, default_of, help_of
from charloom.engines import native_problem
from charloom.errors import CharloomError
from charloom.formatting import excerpt, harmless
from charloom.recipes import RECIPES
from charloom.store import load_model, read_status, write_control
from charloom.training import Progress, Record, Sample, Warned, stop_signals
from charloom.training.stop_signals import Halt

TEXT = "the cat sat on the mat, and the hat sat on the cat.\n" * 20
SMALL = "--recipe classic --hidden-size 8 --seq-length 5 --updates 40 --report-every 10"
QUIETLY = ("--recipe", "classic", "--engine", "reference")
JUDGED = "--batch-size 2 --validation 0.1 --judge-every 10"


def charloom_(*words):
    """Run a command in this process; the words are split as a shell does."""
    args = [part for word in words for part in shlex.split(str(word))]
    return CliRunner().invoke(app, args, prog_name="charloom")


def start(*args, **options):
    """Start a command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "charloom", *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        **options,
    )


@pytest.fixture
def book(tmp_path):
    """A small text in a file."""
    path = tmp_path / "book.txt"
    path.write_text(TEXT, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run; tests only read it."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "book.txt").write_text(TEXT, encoding="utf-8")
    done = charloom_("train", folder / "book.txt", "--run", folder / "run", SMALL)
    assert done.exit_code == 0, done.output
    return folder / "run"


# Help


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.__name__)
def test_every_command_has_a_help_with_an_example_that_parses(command):
    done = charloom_(command.__name__, "--help")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    example = lines[lines.index("  Example:") + 1].strip()
    assert shlex.split(example)[:2] == ["charloom", command.__name__]
    context = typer.main.get_command(app).make_context("charloom", shlex.split(example)[1:])
    group, name = context.command, command.__name__
    group.commands[name].make_context(name, shlex.split(example)[2:], parent=context)


def test_help_lists_the_commands_of_the_blueprint():
    listed = charloom_("--help").stdout.partition("Commands:")[2]
    assert re.findall(r"^  (\w+) ", listed, re.MULTILINE) == [
        command.__name__.rstrip("_") for command in COMMANDS
    ]
    assert {
        "reproduce", "train", "resume", "report", "control", "sample", "evaluate", "score",
        "neurons", "serve", "export", "import", "gradcheck", "doctor", "bench", "corpora", "recipes",
        "info",
    } == {command.__name__.rstrip("_") for command in COMMANDS}  # fmt: skip


def test_version_is_shown():
    assert charloom_("--version").stdout == f"charloom {charloom.__version__}\n"


@pytest.mark.parametrize("name", SETTINGS)
def test_an_option_is_what_the_config_says(name):
    kind, option = get_args(setting_option(name, default_of(name)).annotation)
    assert kind == get_type_hints(Config)[name] | None
    default = default_of(name)
    assert option.help == help_of(name) + (
        "" if default in (None, "") else f" [default: {default}]"
    )
    assert name in PANELS[option.rich_help_panel].split()


def test_the_help_of_a_training_stands_under_headings_and_shows_its_recipe():
    lines = charloom_("train --help").stdout.splitlines()
    headings = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", "Options:", *(f"{panel}:" for panel in PANELS)]
    defaults = {
        command: " ".join(charloom_(f"{command} --help").stdout.split())
        for command in ("train", "reproduce")
    }
    quick = RECIPES["quick"].config
    assert f"the recurrent cell [default: {quick.cell}]" in defaults["train"]
    assert "the recurrent cell [default: rnn]" in defaults["reproduce"]
    assert "passes over the training text --" in defaults["train"]
    assert "passes over the training text [default: 10]" in defaults["reproduce"]


@pytest.mark.parametrize("command", ["train", "reproduce"])
def test_training_commands_take_every_setting(command):
    shown = charloom_(command, "--help").stdout
    for name in SETTINGS:
        assert f"--{name.replace('_', '-')} " in shown
    for option in ("--run", "--minutes", "--json"):
        assert option in shown


def test_python_and_the_command_line_have_the_same_defaults():
    shown = " ".join(charloom_("sample", "--help").stdout.partition("Options:")[2].split())
    for name, parameter in inspect.signature(api.Model.sample).parameters.items():
        if name not in ("self", "prompt", "stop", "replacement", "number"):
            option = shown.partition(f"--{name.replace('_', '-')} ")[2].partition(" --")[0]
            assert f"[default: {parameter.default}]" in option


# Training


def test_train_puts_results_on_stdout_and_progress_on_stderr(book, tmp_path):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL)
    assert done.exit_code == 0
    assert "smooth loss:" in done.stdout
    assert str(tmp_path / "run") in done.stdout
    assert "book.txt: 1,040 characters" in done.stderr
    assert "after 40 updates it writes: " in done.stderr
    assert "40 / 40" in done.stderr
    assert f"charloom report {tmp_path / 'run'}" in done.stderr


def test_train_chooses_a_free_run_directory_and_says_so(book, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for n in (1, 2):
        done = charloom_("train", "book.txt", SMALL)
        assert done.exit_code == 0
        assert f"run directory runs/book-{n}" in done.stderr
        assert (tmp_path / "runs" / f"book-{n}" / "passage.txt").exists()


def test_options_reach_the_config(book, tmp_path):
    done = charloom_(
        "train", book, "--run", tmp_path / "run", SMALL,
        "--learning-rate 0.05 --sigma 0.02 --dtype float64 --engine reference --seed 9 --clip 2",
    )  # fmt: skip
    assert done.exit_code == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    wanted = {"learning_rate": 0.05, "sigma": 0.02, "dtype": "float64", "seed": 9, "clip": 2.0}
    assert wanted.items() <= config.items()


def test_train_as_json_leaves_stdout_to_programs(book, tmp_path):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, "--json")
    told = json.loads(done.stdout)
    assert (told["state"], told["update"], told["updates"]) == ("finished", 40, 40)
    assert told["run"] == str(tmp_path / "run")
    assert told["train_bits_per_character"] == pytest.approx(told["smooth_loss"] / 5 / 0.693147)


def test_minutes_end_a_training(book, monkeypatch, tmp_path):
    monkeypatch.setattr(time_estimates, "CALIBRATION_SECONDS", 0.05)
    done = charloom_(
        "train", book, "--run", tmp_path / "run",
        "--recipe classic --minutes 0.005 --hidden-size 8 --json",
    )  # fmt: skip
    assert json.loads(done.stdout)["seconds"] < 5
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert kept["updates"] == json.loads(done.stdout)["update"]


def test_what_was_held_out_is_judged_and_named(book, tmp_path):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, JUDGED)
    assert done.exit_code == 0, done.stderr
    assert (
        "per character of the validation part (10% of the text), at update 40; last" in done.stdout
    )
    done = charloom_(
        "train", book, "--run", tmp_path / "more", SMALL, JUDGED, "--split streams --json"
    )
    told = json.loads(done.stdout)
    assert told["best_validation_bits"] == pytest.approx(told["best_validation_nats"] / 0.693147)
    assert (told["best_smooth_loss"], told["validation_nats"]) == (
        None,
        told["best_validation_nats"],
    )


def test_of_a_model_of_bytes_losses_are_per_byte(book, tmp_path):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, JUDGED, "--tokens bytes")
    assert "bits per byte of the training text" in done.stdout
    assert "bits) per byte of the validation part" in done.stdout
    assert "per character" not in done.stdout
    assert "bits/byte)" in done.stderr
    assert " bytes/s" in done.stderr


def test_patience_ends_a_training_and_says_so(book, tmp_path):
    done = charloom_(
        "train", book, "--run", tmp_path / "run", SMALL, JUDGED, "--patience 1",
        "--learning-rate 3 --updates 2000",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert re.search(
        r"finished at update \d+0 of 2,000: no better validation loss in 1 evaluation\.",
        done.stderr,
    )


def test_another_process_is_told_what_to_do(book, tmp_path):
    run = tmp_path / "run"
    process = start(
        "train", book, "--run", run, *shlex.split(SMALL), "--updates", 10**8,
        "--engine", "reference",
    )  # fmt: skip
    while not (run / "status.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    slower = charloom_("control", run, "run --learning-rate-factor 0.5 --json")
    assert json.loads(slower.stdout)["learning_rate_factor"] == 0.5
    assert charloom_("control", run, "run --learning-rate-factor 0.25").stderr == (
        f"charloom: sent run to {run}, with the settings' learning rate times 0.25.\n"
    )
    assert charloom_("control", run, "stop").stderr == f"charloom: sent stop to {run}.\n"
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopped by a command" in said
    assert charloom_("control", run, "pause").exit_code == 2
    assert charloom_("control", run, "faster").exit_code == 2


def test_the_missing_native_engine_is_told_once(book, monkeypatch, tmp_path):
    from charloom import engines

    monkeypatch.setattr(engines, "native_problem", lambda: "the native engine was not built")
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL)
    assert done.exit_code == 0
    assert (
        done.stderr.count("the native engine was not built. charloom uses the reference engine")
        == 1
    )
    quiet = charloom_("train", book, "--run", tmp_path / "quiet", SMALL, "--engine reference")
    assert "not built" not in quiet.stderr


def test_resume_of_a_finished_run_says_so(run):
    done = charloom_("resume", run)
    assert done.exit_code == 0
    assert "is finished at update 40; there is nothing to do" in done.stderr
    assert json.loads(charloom_("resume", run, "--json").stdout)["state"] == "finished"


def test_resume_saves_as_often_as_it_is_told_and_the_run_keeps_its_setting(book, tmp_path):
    run = tmp_path / "run"
    charloom_("train", book, "--run", run, SMALL)
    wrong = charloom_("resume", run, "--updates 80 --save-seconds 0")
    assert (wrong.exit_code, "--save-seconds is 0" in wrong.stderr) == (2, True)
    done = charloom_("resume", run, "--updates 80 --save-seconds 0.000001 --json")
    assert (done.exit_code, json.loads(done.stdout)["update"]) == (0, 80)
    assert charloom.load(run).config.save_seconds == Config().save_seconds
    for name in UNCHANGING:
        assert f"--{name.replace('_', '-')} " in charloom_("resume --help").stdout


def test_resume_extends_and_finds_a_moved_text(book, tmp_path):
    charloom_("train", book, "--run", tmp_path / "run", SMALL)
    moved = book.rename(tmp_path / "moved.txt")
    lost = charloom_("resume", tmp_path / "run", "--updates 60")
    assert (lost.exit_code, lost.stderr.count("\n")) == (2, 1)
    assert "--text" in lost.stderr
    done = charloom_("resume", tmp_path / "run", "--updates 60 --text", moved, "--json")
    assert json.loads(done.stdout)["update"] == 60


def test_resume_goes_on_for_so_many_minutes_on_a_text_that_is_read_only_once(
    book, monkeypatch, tmp_path
):
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    monkeypatch.setattr(training_plan.time, "monotonic", lambda: 0.0)
    charloom_("train", book, "--run", tmp_path / "run", SMALL)
    text = book.read_text()
    book.unlink()
    lost = charloom_("resume", tmp_path / "run", "--minutes 0.1 --epochs 9 --text -")
    assert (lost.exit_code, lost.stderr.count("\n")) == (2, 1)
    assert "--epochs and --minutes each set the end of training" in lost.stderr
    before = load_model(tmp_path / "run").update
    done = CliRunner().invoke(
        app, ["resume", str(tmp_path / "run"), "--minutes", "0.1", "--text", "-", "--json"],
        input=text,
    )  # fmt: skip
    assert (done.exit_code, json.loads(done.stdout)["update"]) == (0, before + 60)


def test_resume_says_from_where_and_takes_other_threads(book, tmp_path):
    charloom_("train", book, "--run", tmp_path / "run", SMALL, "--batch-size 2")
    words = ("resume", tmp_path / "run", "--updates 60 --threads")
    assert "threads is -1" in charloom_(*words, "-1").stderr
    done = charloom_(*words, 2)
    assert "update 40 of 60 updates; " in done.stderr
    if not native_problem():
        assert "2 threads" in done.stderr
        assert "its numbers may differ" in done.stderr


@pytest.mark.parametrize("size", ["--hidden-size 10000000", "--layers 100000000"])
def test_a_network_beyond_all_memory_is_refused_at_once(book, tmp_path, size):
    done = charloom_("train", book, "--run", tmp_path / "run --recipe classic", size)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "GB here. Use a smaller network" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "text", "said"),
    [
        ("/dev/zero", "/dev/null", "/dev/zero is a device"),
        ("-", "/dev/zero", "stdin is a device"),
        ("-", "/dev/null", "stdin is empty"),
        ("/dev/stdin", "/dev/null", "/dev/stdin is empty"),
    ],
)
def test_a_device_that_never_ends_is_no_text(tmp_path, given, text, said):
    with open(text) as stdin:  # noqa: PTH123
        process = start("train", given, "--run", tmp_path / "run", stdin=stdin)
        _, told = process.communicate(timeout=60)
    assert (process.returncode, told.count("\n")) == (2, 1)
    assert said in told


def test_figures_that_have_run_away_are_short(book, tmp_path):
    wild = "--optimizer sgd --learning-rate 1e30 --validation 0.1"
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, wild)
    assert "the loss is far too high: " in done.stderr
    assert not re.search(r"\d{8}", done.stdout + done.stderr)


def test_a_command_to_stop_ends_with_success(book, monkeypatch, tmp_path):
    honest, path = Watcher.__call__, tmp_path / "run"

    def stop_after_the_first_sample(self, item):
        honest(self, item)
        if isinstance(item, Sample):
            write_control(path, "stop")

    monkeypatch.setattr(Watcher, "__call__", stop_after_the_first_sample)
    done = charloom_(
        "train",
        book,
        "--run",
        path,
        "--recipe classic --engine reference --hidden-size 8 --epochs 100000",
    )
    assert done.exit_code == 0
    assert "stopped by a command from a terminal, the page or Python at update" in done.stderr


# The whole experiment


def test_reproduce_ends_with_the_headlines_and_the_report(book, tmp_path):
    """Drawing the report takes the second or two."""
    done = charloom_("reproduce", book, "--run", tmp_path / "run", SMALL)
    assert done.exit_code == 0, done.output
    heads = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert heads == ["gradients", "smooth loss", "it writes", "time", "report"]
    assert done.stdout.splitlines()[-1].endswith("run/report.html")
    assert (tmp_path / "run" / "report.html").exists()


def test_reproduce_fails_on_a_wrong_gradient(book, monkeypatch, tmp_path):
    from charloom.engines.reference.cells import RnnCell

    honest = RnnCell.backward

    def forget_the_future(self, *args):
        dx, carried = honest(self, *args)
        return dx, {name: 0 * array for name, array in carried.items()}

    monkeypatch.setattr(RnnCell, "backward", forget_the_future)
    done = charloom_(
        "reproduce", book, "--run", tmp_path / "run", SMALL, "--sigma 0.3 --engine reference --json"
    )
    assert done.exit_code == 1
    assert "The gradient is WRONG" in done.stderr
    told = json.loads(done.stdout)
    assert told["gradients_right"] is False
    assert told["report"] is not None


def test_reproduce_and_resume_say_what_their_report_left_out(book, monkeypatch, tmp_path):
    """Two reports, a second each."""
    run, items = tmp_path / "run", api.Training.items

    def broken_at_its_end(training, *args):
        yield from items(training, *args)
        with (run / "samples.jsonl").open("a", encoding="utf-8") as file:
            file.write("[1]\n")

    monkeypatch.setattr(api.Training, "items", broken_at_its_end)
    done = charloom_("reproduce", book, "--run", run, SMALL, "--json")
    told = json.loads(done.stdout)["damage"]
    assert len(told) == 1
    assert told[0].startswith(f"{run / 'samples.jsonl'} is damaged: 1 of ")
    sentence = f"charloom: the report leaves out a damaged or missing part: {told[0]}"
    assert done.stderr.splitlines().count(sentence) == 1
    monkeypatch.undo()
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"Damaged: {told[0]}" in page
    again = charloom_("report", run, "--json")
    assert json.loads(again.stdout)["damage"] == told
    assert again.stderr.splitlines() == [sentence]
    (run / "events.jsonl").write_bytes((run / "events.jsonl").read_bytes() + b"[2]\n")
    done = charloom_("resume", run, "--epochs 4 --allow-older")
    assert done.exit_code == 0, done.output
    assert (
        "the report leaves out a damaged or missing part" not in done.stderr
    )  # resuming has mended it


def test_python_is_told_what_the_report_left_out(monkeypatch, tmp_path):
    """Two seconds: eight gradient checks and a report."""
    items = api.Training.items

    def without_samples(training, *args):
        yield from items(training, *args)
        (tmp_path / "run" / "samples.jsonl").unlink()

    monkeypatch.setattr(api.Training, "items", without_samples)
    done = api.reproduce(
        string=TEXT, run=tmp_path / "run", hidden_size=3, seq_length=4, updates=3,
    )  # fmt: skip
    (damage,) = done.damage
    assert damage.startswith(f"{tmp_path / 'run' / 'samples.jsonl'} is missing, and had ")
    assert done.report is not None


def test_a_long_reading_says_how_far_it_is_and_a_short_one_nothing(capsys, tmp_path):
    now = iter([0.0, 1.9, 2.1, 3.0, 7.2, 100.0, 101.0])
    progress = ReadingProgress(clock=lambda: next(now))
    metrics, samples = tmp_path / "metrics.jsonl", tmp_path / "samples.jsonl"
    for done in (0, 10, 20, 30, 90):
        progress(metrics, done * 1_000_000, 100_000_000)
    progress(samples, 0, 5)
    progress(samples, 5, 5)
    assert capsys.readouterr().err.splitlines() == [
        f"charloom: reading {metrics}: 20% of 100 MB",
        f"charloom: reading {metrics}: 90% of 100 MB",
    ]


def test_an_interrupted_reproduction_is_resumed_to_its_report(book, monkeypatch, tmp_path):
    looks = iter([None] * 8)  # four after gradient checks, the others during training

    def look(halt):
        return next(looks, "SIGINT")

    with monkeypatch.context() as patch:
        patch.setattr(Halt, "__call__", look)
        done = charloom_("reproduce", book, "--run", tmp_path / "run", SMALL, "--engine reference")
    assert "interrupted by SIGINT" in done.stderr
    assert not (tmp_path / "run" / "report.html").exists()
    done = charloom_("resume", tmp_path / "run")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-1].startswith("report: ")
    assert (tmp_path / "run" / "report.html").exists()


def test_report_says_where_it_is(run):
    """Drawing takes a second."""
    done = charloom_("report", run)
    assert done.stdout == f"{run / 'report.html'}\n"
    assert json.loads(charloom_("report", run, "--json").stdout) == {
        "report": str(run / "report.html"),
        "damage": [],
    }


# Signals and pipes


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no such signals")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGUSR1"])
def test_a_signal_saves_says_so_and_the_run_can_be_resumed(book, tmp_path, name):
    """Three processes are started and trained for a moment each."""
    number = getattr(signal, name)
    run = tmp_path / "my run"
    process = start("train", book, "--run", run, *QUIETLY, "--epochs", 1_000_000)
    while not (run / "status.json").exists() or read_status(run)["update"] == 0:
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


def test_the_first_signal_is_a_wish_and_the_second_an_order(monkeypatch):
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
def test_a_signal_that_ends_a_process_is_heard_as_a_wish(name):
    number, told = getattr(signal, name), []
    before = signal.getsignal(number)
    with Halt(told.append) as halt:
        signal.raise_signal(number)
        assert (halt(), halt.exit_code) == (name, 128 + number)
    assert told == [f"{name}: saving …"]
    assert signal.getsignal(number) is before
    with pytest.raises(SystemExit) as ended:
        halt.send_on()
    assert ended.value.code == 128 + number


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_signal_that_a_program_uses_itself_stays_its_own():
    heard = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        with Halt() as halt:
            signal.raise_signal(signal.SIGUSR1)
            assert halt() is None
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert heard == [signal.SIGUSR1]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_handler_below_python_stays_what_it_was(tmp_path):
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
        assert "test_a_handler_below_python" in dump.read()
    assert signals_handled
    assert not stop_signals.is_handled(signal.SIGUSR1)


def test_a_handler_that_could_not_be_given_back_is_left_alone(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(
            signal, "getsignal", lambda number: None
        )  # as of a program that embeds Python
        with Halt() as halt:
            assert halt() is None
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_system_without_some_signals_is_heard_by_those_that_it_has():
    windows = SimpleNamespace(SIGINT=2, SIGTERM=15, SIGBREAK=21, SIGABRT=22)
    assert stop_signals.known(windows) == (2, 15, 21)


def test_one_press_that_arrives_twice_is_one_wish():
    with Halt() as halt:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert halt() == "SIGINT"


def test_a_process_that_is_deaf_to_ctrl_c_stays_deaf(monkeypatch):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Halt() as halt:
            signal.raise_signal(signal.SIGINT)
            assert halt() is None
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_is_no_traceback(closed):
    words = shlex.join([sys.executable, "-m", "charloom", "corpora"])
    done = subprocess.run(f"{words} {closed}", shell=True, capture_output=True, text=True)
    assert done.returncode == 0
    assert "Traceback" not in done.stderr


def test_a_closed_pipe_ends_quietly(run):
    with start("sample", run, "--length", 5_000_000) as process:
        assert len(process.stdout.read(100)) == 100
        process.stdout.close()
        told = process.stderr.read().splitlines()
    assert [line.endswith(", writes:") for line in told] == [True]
    assert process.returncode == 0


def test_ctrl_c_elsewhere_is_no_traceback(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(charloom.cli.info_commands, "gather", interrupt)
    done = charloom_("info")
    assert (done.exit_code, done.stderr) == (130, "charloom: interrupted.\n")


# Models


def test_ctrl_c_before_a_command_has_begun_is_no_traceback(monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    from charloom import __main__

    monkeypatch.setattr(typer.main, "get_command", interrupt)
    with pytest.raises(SystemExit) as caught:
        __main__.main()
    assert caught.value.code == 130


def test_sample_writes_the_prompt_and_the_text(run):
    model = charloom.load(run)
    done = charloom_("sample", run, "--prompt 'the ' --length 60 --temperature 0.7 --seed 4")
    assert done.stdout == "the " + model.sample("the ", 60, 0.7, 4) + "\n"


def test_a_sample_that_is_piped_says_on_stderr_which_model_wrote_it(run):
    done = charloom_("sample", run, "--length 5")
    assert done.stderr == f"charloom: {run}, {charloom.load(run).stage}, writes:\n"
    assert "update" in done.stderr
    assert "writes:" not in done.stdout


def test_sample_as_json_has_the_text_apart(run):
    told = json.loads(charloom_("sample", run, "--prompt 'the ' --length 60 --json").stdout)
    assert told["prompt"] == "the "
    (sample,) = told["samples"]
    assert sample["text"] == charloom.load(run).sample("the ", 60)
    assert (told["seed"], told["temperature"]) == (0, 1.0)


def test_sample_takes_a_checkpoint_and_a_file(run):
    checkpoint = run / "checkpoints" / "40"
    told = {
        charloom_("sample", path).stdout for path in (checkpoint, checkpoint / "model.safetensors")
    }
    assert len(told) == 1


def test_control_characters_do_not_reach_a_terminal(capsys):
    harmed = "a\x1b[31mb\r\n\tc\x9bd\u202ee\ud800"
    assert harmless(harmed) == "a␛[31mb␍\n\tc[U+009B]d[U+202E]e�"
    terminal.show(harmed)
    assert capsys.readouterr().out == harmless(harmed) + "\n"
    assert excerpt("one\n  two\x07", 20) == "one two␇"
    assert excerpt("word " * 50, 20) == "word word word word…"


@pytest.mark.parametrize(
    ("encoding", "readable"), [("utf-8", "é東😀"), ("cp1252", "é"), ("ascii", "")]
)
def test_json_is_json_whatever_stdout_can_hold(encoding, readable, monkeypatch):
    for text in ("é", "東", "😀", "\ud800", "\x9b[31m", "\x7f", "\u202e"):
        stdout = io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace")
        monkeypatch.setattr(sys, "stdout", stdout)
        terminal.show_json({"text": text})
        stdout.flush()
        written = stdout.buffer.getvalue().decode(encoding)
        assert json.loads(written) == {"text": text}
        assert harmless(written) == written
        assert (text in written) == (text in readable)


def test_evaluate_shows_nats_and_bits(run, book):
    done = charloom_("evaluate", run, book)
    found = charloom.load(run).evaluate(book)
    assert f"nats:       {found.nats:.4f} per character" in done.stdout
    assert f"bits:       {found.bits:.4f} per character" in done.stdout
    told = json.loads(charloom_("evaluate", run, book, "--json").stdout)
    assert told["nats"] == found.nats
    assert told["characters"] == len(TEXT) - 1


# Checks and what there is


def test_gradcheck_shows_a_table_for_each_engine_and_type():
    done = charloom_("gradcheck --hidden-size 5 --seq-length 3 --vocabulary-size 7 --all")
    assert done.exit_code == 0
    assert done.stdout.count("The gradient is right") in (2, 4)
    assert "worst entry" in done.stdout
    assert "35 of 35" in done.stdout


def test_gradcheck_as_json_and_as_a_picture(book, tmp_path):
    """Drawing takes a second."""
    done = charloom_(
        "gradcheck", book, "--hidden-size 5 --seq-length 3 --dtype float64 --engine reference",
        "--state non-zero --entries 20 --json --picture", tmp_path / "curve.svg",
    )  # fmt: skip
    (check,) = json.loads(done.stdout)["checks"]
    assert check["settings"]["text"] == "book.txt"
    assert check["settings"]["state"] == "non-zero"
    assert [row["parameter"] for row in check["rows"]] == ["b", "c", "U", "W", "V"]
    assert (tmp_path / "curve.svg").read_text().startswith("<?xml")


def test_gradcheck_fails_on_a_wrong_gradient(monkeypatch):
    from charloom.engines.reference.cells import RnnCell

    honest = RnnCell.backward

    def forget_the_future(self, *args):
        dx, carried = honest(self, *args)
        return dx, {name: 0 * array for name, array in carried.items()}

    monkeypatch.setattr(RnnCell, "backward", forget_the_future)
    done = charloom_("gradcheck --hidden-size 5 --seq-length 3 --engine reference --dtype float64")
    assert done.exit_code == 1
    assert "The gradient is WRONG in" in done.stdout
    assert "WRONG\n" in done.stdout


def test_corpora_recipes_and_info_tell_what_there_is():
    corpora = json.loads(charloom_("corpora --json").stdout)
    assert corpora[0]["name"] == "python-docs"
    assert corpora[0]["installed"]
    assert "python-docs" in charloom_("corpora").stdout
    recipes = json.loads(charloom_("recipes --json").stdout)
    assert recipes[0]["config"] == Config().to_dict()
    listed = charloom_("recipes").stdout
    for name, recipe in RECIPES.items():
        assert f"{name:<12} {recipe.purpose}" in listed
        assert recipe.cost in listed
    assert "--init course --optimizer adam --learning-rate 0.001" in listed
    assert max(map(len, listed.splitlines())) <= 100
    info = json.loads(charloom_("info --json").stdout)
    assert info["version"] == charloom.__version__
    assert info["engine"] in charloom_("info").stdout


def test_a_missing_extra_is_told_by_corpora(monkeypatch):
    monkeypatch.setitem(sys.modules, "pythonbible", None)
    assert "pip install 'charloom[corpora]'" in charloom_("corpora").stdout


def test_bench_is_shown_and_told(monkeypatch):
    import charloom.bench

    class Measured:
        def __init__(self, **settings):
            self.settings = settings

        def to_dict(self):
            return {**self.settings, "ratio": float("nan")}

    monkeypatch.setattr(charloom.bench, "bench", Measured)
    monkeypatch.setattr(charloom.bench, "render", lambda result: f"a table of {result.settings}")
    wanted = {"rounds": 3, "hidden_size": 9}
    assert charloom_("bench --rounds 3 --hidden-size 9").stdout == f"a table of {wanted}\n"
    told = json.loads(charloom_("bench --rounds 3 --hidden-size 9 --json").stdout)
    assert told == {**wanted, "ratio": None}


# Progress


def make_record(update, **changes):
    """A record with plausible figures."""
    figures = {
        "update": update, "epoch": 0.5, "characters": 5 * update, "seconds": 1.0, "loss": 9.0,
        "smooth_loss": 10.0, "train_nats": 2.0, "learning_rate": 0.1, "gradient_norm": 1.0,
        "characters_per_second": 500_000.0,
    }  # fmt: skip
    return Record(**figures | changes)


def test_progress_is_a_line_now_and_then_where_there_is_no_terminal(capsys):
    with Watcher(100, 0, 5, 10, clock=map(float, range(1000)).__next__) as watch:
        for update in range(1, 21):
            watch(Progress(update, 100, smooth_loss=10.0))
        watch(Sample(20, "a\x1b[0mtext\nwith lines"))
        watch(Warned(20, "the disk is full"))
        watch(Progress(20, 100, "paused"))
    assert capsys.readouterr().err.splitlines() == [
        "charloom: 6 / 100  1 min 34 s left  smooth 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: 11 / 100  1 min 29 s left  smooth 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: 16 / 100  1 min 24 s left  smooth 10.00 (2.89 bits/char)  50 chars/s",
        "charloom: after 20 updates it writes: a␛[0mtext with lines",
        "charloom: warning: the disk is full",
        "charloom: 20 / 100  paused",
    ]


def test_progress_counts_from_the_first_update_and_tells_no_rate_before_there_is_one(capsys):
    """Fifty seconds of gradient checks go before; the first update itself says nothing yet."""
    times = iter([50.0, 50.0, 60.0, 66.0, 72.0])
    with Watcher(100, 0, 5, 10, clock=times.__next__) as watch:
        watch(Sample(0, "xyz"))
        watch(Progress(0, 100))
        watch(Progress(1, 100, smooth_loss=10.0))
        watch(Progress(13, 100, smooth_loss=10.0))
        watch(Progress(25, 100, smooth_loss=10.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == [
        "charloom: 1 / 100  smooth 10.00 (2.89 bits/char)",
        "charloom: 13 / 100  44 s left  smooth 10.00 (2.89 bits/char)  100 chars/s",
        "charloom: 25 / 100  38 s left  smooth 10.00 (2.89 bits/char)  100 chars/s",
    ]


def test_progress_on_a_terminal_is_one_live_line(monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    with Watcher(100, 0, 5, 10) as watch:
        watch(Sample(100, "[bold]text"))
        watch(Progress(100, 100, smooth_loss=10.0))
    assert "after 100 updates it writes: [bold]text" in screen.getvalue()
    assert "smooth 10.00 (2.89 bits/char)" in screen.getvalue()


def test_progress_shows_the_last_judgement_in_nats_and_bits(capsys):
    with Watcher(100, 0, 5, 10, clock=map(float, range(1000)).__next__) as watch:
        watch(Progress(98, 100, smooth_loss=10.0))
        watch(Progress(99, 100, smooth_loss=10.0))
        watch(make_record(1, validation_nats=1.5))
        watch(make_record(2))
        watch(Progress(100, 100, smooth_loss=10.0))
    assert "  validation 1.500 (2.164 bits)  50 chars/s" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--optimizer sgd --beta1 0.3", "--beta1 has no effect: --optimizer is sgd"),
        ("--momentum 0.5", "--momentum has no effect: --optimizer is adam"),
        ("--sigma 5", "--sigma has no effect: --init is uniform"),
        ("--cell rnn --forget-bias 3", "--forget-bias has no effect: --cell is rnn"),
        ("--step-every 2", "--step-every has no effect: --schedule is cosine"),
        (
            "--validation 0 --judge-every 2",
            "--judge-every has no effect: there is no validation part",
        ),
        ("--clip 0 --clip-by value", "--clip-by has no effect: --clip is 0"),
        ("--unknown skip", "--unknown has no effect without --from"),
    ],
)
def test_an_option_that_changes_nothing_is_told(options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("abcd " * 400, encoding="utf-8")
    small = "--updates 1 --hidden-size 3 --batch-size 2 --sample-length 5 --passage-length 5"
    done = charloom_(f"train book.txt {small} {options}")
    assert done.exit_code == 0, done.output
    assert sentence in done.stderr
    plain = charloom_(f"train book.txt {small}")
    assert "no effect" not in plain.stderr


def test_ctrl_c_while_the_program_is_read_ends_in_a_word(monkeypatch, capsys):
    from charloom import __main__

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(charloom.cli, "main", interrupted)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 130
    assert capsys.readouterr().err == "charloom: interrupted.\n"


def test_errors_of_the_package_are_sentences(monkeypatch):
    def fail(*args):
        raise CharloomError("this is what was wrong.")

    monkeypatch.setattr(charloom.cli.info_commands, "gather", fail)
    done = charloom_("info")
    assert (done.exit_code, done.stderr) == (2, "charloom: this is what was wrong.\n")


def test_a_figure_of_a_part_says_so_and_how_to_have_all_of_it(book, tmp_path):
    capped = "--judged-characters 64 --updates 6"
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, JUDGED, capped)
    assert done.exit_code == 0, done.stderr
    assert "computed on 64 of its " in done.stdout
    assert (
        " characters, spread evenly; for all of them: " in done.stdout
        or "on all of them: " in done.stdout
    )
    whole = charloom_("train", book, "--run", tmp_path / "whole", SMALL, JUDGED)
    assert "computed on" not in whole.stdout


def test_a_model_that_learnt_nothing_is_told_from_one_that_did(book, tmp_path):
    run = tmp_path / "run"
    nothing = charloom_("train", book, "--run", run, SMALL, "--updates 1")
    assert "no better than the frequencies of the characters alone" in nothing.stderr
    assert f"charloom resume {run} --minutes 5" in nothing.stderr
    assert (
        "nats per character on average since the previous record; the frequencies: "
        in nothing.stderr
    )
    away = "--updates 400 --learning-rate 1e30 --clip 0"
    diverged = charloom_("train", book, "--run", tmp_path / "away", SMALL, away)
    assert "The model learns nothing like this" in diverged.stderr
    assert "train it further" not in diverged.stderr
    something = charloom_(
        "train", book, "--run", tmp_path / "more",
        "--recipe classic --hidden-size 30 --seq-length 10 --updates 600",
    )  # fmt: skip
    assert something.exit_code == 0, something.stderr
    assert "gibberish" not in something.stderr


def test_minutes_say_what_they_came_to(book, monkeypatch, tmp_path):
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    monkeypatch.setattr(training_plan.time, "monotonic", lambda: 0.0)
    done = charloom_(
        "train", book, "--run", tmp_path / "run", SMALL.split("--updates")[0], "--minutes 0.1"
    )
    assert "measured: 60 updates will take about 6.0 s in total." in done.stderr
