"""Tests of `charloom train`: its results, progress, options and refusals."""

import json
import random
import re
import shlex
import time
from pathlib import Path

import pytest

from charloom.api import begin, text_to_learn, time_estimates, training_plan
from charloom.api.time_estimates import Costs
from charloom.cli.hints import no_better_than_frequencies
from charloom.cli.progress import ProgressDisplay
from charloom.cli.training_outcome import Outcome
from charloom.cli.training_output import time_line
from charloom.config import Config
from charloom.store import write_control
from charloom.store.run_directory import updates_in
from charloom.training import Record, Sample
from command_line import SMALL, charloom_, started

ROOT = Path(__file__).parent.parent.parent
JUDGED = "--batch-size 2 --validation 0.1 --judge-every 10"


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
    result = json.loads(done.stdout)
    assert (result["state"], result["update"], result["updates"]) == ("finished", 40, 40)
    assert result["run"] == str(tmp_path / "run")
    assert result["train_bits_per_character"] == pytest.approx(result["smooth_loss"] / 5 / 0.693147)


def test_the_specification_names_each_field_of_the_json(book, tmp_path):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, "--learning-rate 0.25 --json")
    result = json.loads(done.stdout)
    assert (result["learning_rate"], result["search"]) == (0.25, None)
    formats = (ROOT / "docs" / "spec" / "formats.md").read_text(encoding="utf-8")
    section = formats.partition("\n## Results as JSON\n")[2].partition("\n## ")[0]
    named = re.findall(r"`(\w+)`", section)
    assert [name for name in result if name not in named] == []


def test_training_ends_after_the_given_minutes(book, monkeypatch, tmp_path):
    monkeypatch.setattr(time_estimates, "CALIBRATION_SECONDS", 0.05)
    done = charloom_(
        "train", book, "--run", tmp_path / "run",
        "--recipe classic --minutes 0.005 --hidden-size 8 --json",
    )  # fmt: skip
    assert json.loads(done.stdout)["seconds"] < 5
    kept = json.loads((tmp_path / "run" / "config.json").read_text())["config"]
    assert kept["updates"] == json.loads(done.stdout)["update"]


def test_the_validation_loss_is_computed_and_named(book, tmp_path):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, JUDGED)
    assert done.exit_code == 0, done.stderr
    assert (
        "per character of the validation part (10% of the text), at update 40; last" in done.stdout
    )
    done = charloom_(
        "train", book, "--run", tmp_path / "more", SMALL, JUDGED, "--split streams --json"
    )
    result = json.loads(done.stdout)
    assert result["best_validation_bits"] == pytest.approx(
        result["best_validation_nats"] / 0.693147
    )
    assert (result["best_smooth_loss"], result["validation_nats"]) == (
        None,
        result["best_validation_nats"],
    )


def test_losses_of_a_byte_model_are_per_byte(book, tmp_path):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, JUDGED, "--tokens bytes")
    assert "bits per byte" in done.stdout
    assert "bits) per byte of the validation part" in done.stdout
    assert "per character" not in done.stdout
    assert "bits/byte)" in done.stderr
    assert " bytes/s" in done.stderr


def test_patience_ends_training_with_a_message(book, tmp_path):
    done = charloom_(
        "train", book, "--run", tmp_path / "run", SMALL, JUDGED, "--patience 1",
        "--learning-rate 3 --updates 2000",
    )  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert re.search(
        r"finished at update \d+0 of 2,000: no better validation loss in 1 evaluation\.",
        done.stderr,
    )


def test_control_sends_commands_to_a_training_process(book, tmp_path, start):
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
    _, output = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "stopped by a command" in output
    assert charloom_("control", run, "pause").exit_code == 2
    unknown = charloom_("control", run, "status")
    assert (unknown.exit_code, unknown.stderr) == (
        2,
        "charloom: the command is 'status'; it must be one of run, pause, stop, or left out to print the "
        "state of the run.\n",
    )


def test_a_missing_native_engine_is_reported_once(book, monkeypatch, tmp_path):
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


@pytest.mark.parametrize("size", ["--hidden-size 10000000", "--layers 100000000"])
def test_a_network_too_large_for_memory_is_refused_immediately(book, tmp_path, size):
    done = charloom_("train", book, "--run", tmp_path / "run --recipe classic", size)
    assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
    assert "GB here. Use a smaller network" in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("given", "text", "message"),
    [
        ("/dev/zero", "/dev/null", "/dev/zero is a device"),
        ("-", "/dev/zero", "stdin is a device"),
        ("-", "/dev/null", "stdin is empty"),
        ("/dev/stdin", "/dev/null", "/dev/stdin is empty"),
    ],
)
def test_devices_are_refused_as_texts(tmp_path, given, text, message, start):
    with open(text) as stdin:  # noqa: PTH123
        process = start("train", given, "--run", tmp_path / "run", stdin=stdin)
        _, output = process.communicate(timeout=60)
    assert (process.returncode, output.count("\n")) == (2, 1)
    assert message in output


def test_very_large_losses_are_printed_with_few_digits(book, tmp_path):
    wild = "--optimizer sgd --learning-rate 1e30 --validation 0.1"
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, wild)
    assert "the loss is far too high: " in done.stderr
    assert not re.search(r"\d{8}", done.stdout + done.stderr)


def test_a_command_to_stop_ends_with_success(book, monkeypatch, tmp_path):
    honest, path = ProgressDisplay.__call__, tmp_path / "run"

    def stop_after_the_first_sample(self, item):
        honest(self, item)
        if isinstance(item, Sample):
            write_control(path, "stop")

    monkeypatch.setattr(ProgressDisplay, "__call__", stop_after_the_first_sample)
    done = charloom_(
        "train",
        book,
        "--run",
        path,
        "--recipe classic --engine reference --hidden-size 8 --epochs 100000",
    )
    assert done.exit_code == 0
    assert "stopped by a command from a terminal, the page or Python at update" in done.stderr


# Progress


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("--optimizer sgd --beta1 0.3", "--beta1 has no effect: --optimizer is sgd"),
        ("--momentum 0.5", "--momentum has no effect: --optimizer is adam"),
        ("--sigma 5", "--sigma has no effect: --init is uniform"),
        ("--cell rnn --forget-bias 3", "--forget-bias has no effect: --cell is rnn"),
        ("--step-every 2", "--step-every has no effect: --schedule is cosine"),
        (
            "--step-after-updates 2",
            "--step-after-updates has no effect: --schedule is cosine, not step",
        ),
        ("--chunks 2", "--chunks has no effect: --order is sequential, not chunks"),
        (
            "--validation 0 --judge-every 2",
            "--judge-every has no effect: there is no validation part",
        ),
        ("--clip 0 --clip-by value", "--clip-by has no effect: --clip is 0"),
        ("--unknown skip", "--unknown has no effect without --from"),
    ],
)
def test_an_option_without_effect_is_reported(options, sentence, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("abcd " * 400, encoding="utf-8")
    small = "--updates 1 --hidden-size 3 --batch-size 2 --sample-length 5 --passage-length 5"
    done = charloom_(f"train book.txt {small} {options}")
    assert done.exit_code == 0, done.output
    assert sentence in done.stderr
    plain = charloom_(f"train book.txt {small}")
    assert "no effect" not in plain.stderr


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            "--order chunks --chunks 999",
            "--chunks is 999, but the text has only",
        ),
        (
            "--warmup 5 --warmup-epochs 1",
            "--warmup and --warmup-epochs give the same time in two units; give only one of them.",
        ),
        (
            "--order shuffled",
            "--order is 'shuffled'; it must be one of sequential, chunks, random.",
        ),
    ],
)
def test_an_order_or_a_time_that_cannot_be_is_refused_in_one_sentence(
    options, sentence, book, tmp_path
):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, options)
    assert done.exit_code == 2
    assert sentence in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("order", ["chunks", "random"])
def test_a_run_in_another_order_is_trained_with_one_option(order, book, tmp_path):
    done = charloom_("train", book, "--run", tmp_path / "run", SMALL, "--order", order)
    assert done.exit_code == 0, done.stderr
    config = json.loads((tmp_path / "run" / "config.json").read_bytes())["config"]
    assert config["order"] == order
    reset = {"chunks": "before each chunk", "random": "before each window"}[order]
    assert f"the hidden state is reset {reset}" in " ".join(done.stderr.split())


def test_a_validation_loss_of_a_part_says_how_to_evaluate_all_of_it(book, tmp_path):
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


def test_a_model_that_learned_nothing_is_reported_as_such(book, tmp_path):
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
    assert "The model learns nothing with these settings" in diverged.stderr
    assert "train it further" not in diverged.stderr
    assert "gibberish" not in diverged.stderr
    something = charloom_(
        "train", book, "--run", tmp_path / "more",
        "--recipe classic --hidden-size 30 --seq-length 10 --updates 600",
    )  # fmt: skip
    assert something.exit_code == 0, something.stderr
    assert "gibberish" not in something.stderr


def test_only_the_advice_against_overfitting_is_given_for_a_model_that_learned_nothing_else(
    tmp_path,
):
    """Nothing can be learned from random bytes, so even the best model predicts like their frequencies."""
    noise = tmp_path / "noise.bin"
    noise.write_bytes(random.Random(1).randbytes(3000))
    over = charloom_(
        "train",
        noise,
        "--run",
        tmp_path / "over",
        "--tokens bytes --hidden-size 32 --updates 280 --patience 0",
    )
    assert "the model overfits" in over.stderr
    assert "gibberish" not in over.stderr
    assert "train it further" not in over.stderr
    begun = charloom_(
        "train", noise, "--run", tmp_path / "begun", "--tokens bytes --hidden-size 32 --updates 2"
    )
    assert "overfits" not in begun.stderr
    assert "nats per byte on the validation part; the frequencies: 5.5" in begun.stderr


@pytest.mark.parametrize(
    ("best", "last", "hint"),
    [
        (0.5, 9.0, None),
        (4.0, 9.0, "still writes gibberish: after three updates"),
        (4.0, 0.5, "predicts its training text (0.50 nats per character) better than"),
    ],
)
def test_the_hint_about_gibberish_describes_the_best_model(best, last, hint, book, tmp_path):
    config = Config(validation=0.2, updates=9)
    corpus = text_to_learn(book)
    record = Record(
        update=9, epoch=1.0, characters=9, loss=1.0, smooth_loss=1.0, train_nats=last, gradient_norm=1.0,
        validation_nats=last, seconds=1.0, characters_per_second=9.0, learning_rate=1.0,
    )  # fmt: skip
    outcome = Outcome()
    outcome.note(record)
    with begin(corpus, config, tmp_path / "run") as training:
        training.learner.best_loss, training.learner.best_update = best, 3
        message = no_better_than_frequencies(training, outcome)
    assert (message is None) if hint is None else (hint in message)


@pytest.mark.parametrize(
    ("update", "mean", "latest", "hint"),
    [
        (60, 9.0, 0.5, None),
        (60, 9.0, 8.0, "nats per character in the last update; the frequencies"),
        (60, 8.0, 9.0, "(8.00 nats per character on average since the previous record"),
        # The average of a later record leaves out the first updates.
        (160, 9.0, 0.5, "(9.00 nats per character on average since the previous record"),
    ],
)
def test_the_hint_about_gibberish_does_not_blame_a_model_for_its_first_updates(
    update, mean, latest, hint, book, tmp_path
):
    config = Config(updates=200, report_every=100, seq_length=5)
    record = Record(
        update=update, epoch=1.0, characters=9, loss=5 * latest, smooth_loss=1.0, train_nats=mean,
        gradient_norm=1.0, seconds=1.0, characters_per_second=9.0, learning_rate=1.0,
    )  # fmt: skip
    outcome = Outcome()
    outcome.note(record)
    with begin(text_to_learn(book), config, tmp_path / "run") as training:
        message = no_better_than_frequencies(training, outcome)
    assert (message is None) if hint is None else (hint in message)


def test_the_line_about_the_time_names_the_training_and_the_whole_command(book, tmp_path):
    assert time_line(3.0, 13.8) == "time:        3.0 s of training; 14 s since the command started"
    inside = charloom_("train", book, "--run", tmp_path / "inside", SMALL).stdout
    assert re.search(r"^time: +[0-9.]+ s of training$", inside, re.MULTILINE)
    with started("train", book, "--run", tmp_path / "run", *SMALL.split()) as process:
        shown, _ = process.communicate()
    assert re.search(
        r"^time: .* s of training; .* s since the command started$", shown, re.MULTILINE
    )


def test_minutes_are_converted_to_a_number_of_updates(book, monkeypatch, tmp_path):
    monkeypatch.setattr(training_plan, "measure", lambda *_: Costs(update=0.1))
    monkeypatch.setattr(training_plan.time, "monotonic", lambda: 0.0)
    done = charloom_(
        "train", book, "--run", tmp_path / "run", SMALL.split("--updates")[0], "--minutes 0.1"
    )
    assert "measured on this machine: 60 updates will take about 6.0 s in total." in done.stderr


def test_a_kept_checkpoint_can_be_chosen_in_every_command(tmp_path, book):
    run = tmp_path / "run"
    small = "--hidden-size 8 --seq-length 10 --updates 40 --save-every 15"
    assert charloom_("train", book, "--run", run, small).exit_code == 0
    assert updates_in(run / "checkpoints") == [0, 15, 30, 40]
    done = charloom_("sample", run / "checkpoints" / "15", "--length", 20)
    assert done.exit_code == 0
    assert len(done.stdout.strip()) > 0


def test_the_same_command_trains_and_resumes_with_exist_resume(book, tmp_path):
    run = tmp_path / "run"
    command = ("train", book, "--run", run, SMALL, "--exist resume")
    assert charloom_(*command).exit_code == 0
    again = charloom_(*command)
    assert again.exit_code == 0
    assert "is finished at update 40; there is nothing to do" in again.stderr
    assert charloom_("train", book, "--run", run, SMALL).exit_code == 2
    other = charloom_(*command, "--hidden-size 9")
    assert (other.exit_code, other.stderr.count("\n")) == (2, 1)
    assert "--hidden-size is " in other.stderr
    assert " in the run and 9 now" in other.stderr
    (tmp_path / "other.txt").write_text(book.read_text().upper())
    other = charloom_("train", tmp_path / "other.txt", *command[2:])
    assert "is not the text that" in other.stderr
    assert "or give its path as the argument TEXT;" in other.stderr
    assert "--text" not in other.stderr
    longer = charloom_(*command, "--updates 60 --json")
    assert json.loads(longer.stdout)["update"] == 60
    homeless = charloom_("train", book, SMALL, "--exist resume")
    assert "--exist is 'resume', but no run is named; give --run" in homeless.stderr
