"""Checks that a training run that is told to stop does so soon and keeps what it learned.

It runs the whole commands while other processes keep the processor busy. For closed pipes, the reading end is
closed as `| head` does in a shell.
"""

import os
import random
import re
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from charloom.store import atomic_files, load_model
from charloom.training import recorder, stop_signals
from reliability import LONG, SHORT, Figures
from reliability.processes import PATIENCE, Forked, Tell, command
from reliability.run_training import folder, text

NUMBER = 13
PROMISE = (
    "SIGINT or SIGTERM under load ends a training run within 10 s with a checkpoint of its "
    "last update. A second SIGINT ends it immediately without damage. A closed pipe ends it "
    "without an error message."
)

STOPS = {SHORT: 2, LONG: 40}
SECONDS = {SHORT: 1, LONG: 10}
PIPES = {SHORT: 1, LONG: 10}
# Seconds from a signal to the end, without the time in which other processes had the processor.
LIMIT = 10.0
AT_ONCE = 2.0  # seconds from the second SIGINT to the end
BUSY = {SHORT: 1, LONG: 3}  # other processes that only compute
SLOW_DISK = 0.4  # seconds that each fsync takes, so that a save can be interrupted
SETTINGS = (
    "--recipe", "classic", "--cell", "lstm", "--hidden-size", 64, "--batch-size", 8,
    "--updates", 1_000_000,
)  # fmt: skip
# Evaluating a large network on 600,000 characters takes much longer than a stop is allowed to take.
JUDGED = 200_000, 10  # characters of a text, and the number of its repetitions
JUDGING = (
    "--recipe", "classic", "--cell", "lstm", "--hidden-size", 512, "--layers", 2,
    "--batch-size", 16, "--seq-length", 50, "--validation", 0.3, "--judge-every", 2,
    "--report-every", 2, "--sample-until", 0, "--updates", 100,
)  # fmt: skip


def check(scale: str, seed: int = 0) -> Figures:
    """Stop runs, send second signals and close pipes; 40, 10 and 20 times in the long version."""
    chance = random.Random(seed)
    with folder() as place, ExitStack() as ends:
        book = place / "book.txt"
        book.write_text(text(20_000))
        for _ in range(BUSY[scale]):
            ends.callback(Forked(compute).close)
        stops = [stop(book, place / f"stop{n}", n, chance) for n in range(STOPS[scale])]
        judging = 0.0
        if scale == LONG:
            long_book = place / "long.txt"
            long_book.write_text(text(JUDGED[0]) * JUDGED[1])
            judging = stop_in_a_judgement(long_book, place / "judging")
        twice = [stop_twice(book, place / f"twice{n}", chance) for n in range(SECONDS[scale])]
        for n in range(PIPES[scale]):
            close_results(place / "stop0", chance)
            close_progress(book, place / f"pipe{n}")
    return {
        "stops": len(stops),
        "slowest_stop_seconds": round(max(stops), 2),
        "seconds_to_stop_in_a_long_evaluation": round(judging, 2) if judging else "not tried",
        "second_signals": len(twice),
        "slowest_second_signal_seconds": round(max(twice), 2),
        "closed_pipes": 2 * PIPES[scale],
        "other_busy_processes": BUSY[scale],
        "seed": seed,
    }


def compute(tell: Tell) -> None:
    """Keep a processor busy."""
    while True:
        sum(range(10_000))


def start(
    book: Path, run: Path, slow: bool = False, settings: tuple[object, ...] = SETTINGS
) -> Forked:
    """Start `charloom train` in its own process, and return the process when the run has a checkpoint.

    The process sends a message when an evaluation begins.
    """

    def train(tell: Tell) -> None:
        steps = recorder.validation_in_slices

        def judge(*words: Any, **more: Any) -> Any:
            tell(b"judge")
            return steps(*words, **more)

        recorder.validation_in_slices = judge
        if slow:
            wait = os.fsync

            def fsync(descriptor: int) -> None:
                if (run / "slow").exists():
                    tell(b"wait")
                    time.sleep(SLOW_DISK)
                wait(descriptor)

            atomic_files.os.fsync = fsync
        command("train", book, "--run", run, *settings)

    process = Forked(train)
    until = time.monotonic() + PATIENCE
    while not (run / "status.json").exists():
        assert process.code(0) is None, f"the training did not begin: {process.close()}"
        assert time.monotonic() < until, "the training did not begin"
        time.sleep(0.01)
    return process


def stop(book: Path, run: Path, number: int, chance: random.Random) -> float:
    """Stop a run at a random time, and return the seconds that this took."""
    which = (signal.SIGINT, signal.SIGTERM)[number % 2]
    process = start(book, run)
    time.sleep(chance.random())
    return ask_to_end(process, run, which)


def stop_in_a_judgement(book: Path, run: Path) -> float:
    """Stop a run during a long evaluation, and return the seconds that this took."""
    process = start(book, run, settings=JUDGING)
    assert process.hear().startswith(b"judge"), f"it did not judge: {process.close()}"
    return ask_to_end(process, run, signal.SIGINT)


def ask_to_end(process: Forked, run: Path, which: signal.Signals) -> float:
    """Send a signal to a run, require that it saves and ends, and return the seconds that this took."""
    began = process.account()
    process.send(which)
    code = process.code(6 * LIMIT)
    seconds = process.account() - began
    output = process.close()
    assert seconds < LIMIT, f"{which.name}: it took {seconds:.1f} s"
    assert code == 128 + which, f"{which.name}: exit code {code} after {seconds:.1f} s: {output}"
    assert "Traceback" not in output, output
    update = re.search(r"interrupted by \w+ at update ([\d,]+) of .*; saved", output)
    assert update, f"{which.name}: it said {output!r}"
    found, wanted = load_model(run, "latest").update, int(update[1].replace(",", ""))
    assert found == wanted, f"{which.name}: it said update {wanted} was saved, and {found} was"
    return seconds


def stop_twice(book: Path, run: Path, chance: random.Random) -> float:
    """Send a second SIGINT during a slow save, and return the seconds until the run ended."""
    process = start(book, run, slow=True)
    time.sleep(chance.random())
    (run / "slow").touch()
    process.send(signal.SIGINT)
    # One read can return several messages.
    assert process.hear().startswith(b"wait"), f"it did not save: {process.close()}"
    time.sleep(stop_signals.ONE_PRESS_SECONDS + 0.1)
    began = process.account()
    process.send(signal.SIGINT)
    code = process.code()
    seconds = process.account() - began
    output = process.close()
    assert seconds < AT_ONCE, f"the second SIGINT took {seconds:.1f} s"
    assert code == 130, f"the second SIGINT: exit code {code} after {seconds:.1f} s: {output}"
    assert "stopped immediately" in output, f"the second SIGINT: it said {output!r}"
    assert "Traceback" not in output, output
    load_model(run, "latest")
    return seconds


def close_results(run: Path, chance: random.Random) -> None:
    """Run `charloom sample RUN --length 5000000 | head -c 100`, which must end without an error."""
    reading, writing = os.pipe()

    def sample(tell: Tell) -> None:
        os.close(reading)
        os.dup2(writing, 1)
        os.close(writing)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        command("sample", run, "--length", 5_000_000)

    process = Forked(sample)
    os.close(writing)
    assert os.read(reading, 100), f"nothing was written: {process.close()}"
    time.sleep(0.1 * chance.random())
    os.close(reading)
    code = process.code()
    output = process.close()
    # Standard error contains only the line with the model's name.
    lines = output.splitlines()
    assert code == 0 and [line.endswith(", writes:") for line in lines] == [True], (
        f"a closed pipe: exit code {code}: {output}"
    )


def close_progress(book: Path, run: Path) -> None:
    """Run `charloom train … 2>&1 | head -n 1`, which must train to its end without a reader."""
    reading, writing = os.pipe()

    def train(tell: Tell) -> None:
        os.close(reading)
        for stream in (1, 2):
            os.dup2(writing, stream)
        os.close(writing)
        sys.stdout, sys.stderr = (open(n, "w", closefd=False) for n in (1, 2))  # noqa: SIM115
        command("train", book, "--run", run, *SETTINGS[:-1], 300)

    process = Forked(train)
    os.close(writing)
    assert os.read(reading, 100), f"nothing was said: {process.close()}"
    os.close(reading)
    code = process.code()
    process.close()
    assert code == 0, f"a training whose progress nobody read ended with {code}"
    assert load_model(run, "latest").update == 300, (
        "a training whose progress nobody read ended early"
    )
