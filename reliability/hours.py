"""Trains for hours with many kills and resumptions, and compares the result with an uninterrupted run.

`charloom train`, and then `charloom resume` again and again, run for a random time until SIGKILL, SIGTERM or
SIGINT ends them. One process in the middle runs for a third of the whole time. Their memory, open files and
threads are measured, and must not grow after the first seconds. At the end there must be exactly one record for
each update that is due, and all bytes must equal those of an uninterrupted run.

Times are seconds of the process's own time, which stops while it waits for a processor. So other load on the
machine changes neither how far a process trains nor how often it is measured.
"""

import math
import random
import signal
import statistics
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from charloom.model.schedule import Schedule
from charloom.store import load_model, read_run
from reliability import LONG, SHORT, Figures
from reliability.processes import Forked, command
from reliability.run_comparison import lasting, require_same
from reliability.run_training import folder, pid_of, text

NUMBER = 12
PROMISE = (
    "An hour of training with kills and resumptions has no growth of memory, file descriptors "
    "or threads, no gap or repetition in its records, and the result of an uninterrupted run."
)

MINUTES = {SHORT: 0.04, LONG: 60.0}
LIFE = {SHORT: (0.4, 1.0), LONG: (2.0, 40.0)}  # seconds of training of most processes
UNBORN = 0.1  # the share of processes that are ended while they start
WARM = {SHORT: 0.3, LONG: 20.0}  # seconds of training, after which nothing may grow
LOOK = {SHORT: 0.02, LONG: 0.5}  # seconds between two measurements
ENOUGH = 4  # measurements in each third
GROWTH = 4 << 20  # bytes by which memory may vary
HELD = 1  # additional open files and threads, as a measurement can happen during a save
CHARACTERS = 200_000
SETTINGS = (
    "--recipe", "classic", "--cell", "gru", "--hidden-size", 32, "--batch-size", 4,
    "--validation", 0.02, "--dropout", 0.1, "--optimizer", "adam", "--learning-rate", 0.001,
    "--sample-length", 50, "--passage-length", 200,
)  # fmt: skip
ENDS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)


@dataclass
class Looks:
    """Measurements of a process while it runs: bytes of memory, open files and threads."""

    memory: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)

    def look(self, pid: int) -> None:
        """Measure the process once more, if it still runs."""
        place = Path("/proc") / str(pid)
        with suppress(OSError, StopIteration):
            status = (place / "status").read_text().splitlines()
            memory = next(line for line in status if line.startswith("VmRSS:"))
            files, threads = (
                len(list((place / "fd").iterdir())),
                len(list((place / "task").iterdir())),
            )
            self.memory.append(int(memory.split()[1]) << 10)
            self.files.append(files)
            self.threads.append(threads)

    def growth(self, what: str) -> dict[str, float] | None:
        """Return the differences between the medians of the last and the first third of the measurements.

        Return None if there are too few measurements.

        Raises:
            AssertionError: something grew.
        """
        third = len(self.memory) // 3
        if third < ENOUGH:
            return None
        grown = {}
        for name, values, limit in (
            ("bytes of memory", self.memory, GROWTH),
            ("open files", self.files, HELD),
            ("threads", self.threads, HELD),
        ):
            first, last = statistics.median(values[:third]), statistics.median(values[-third:])
            assert last - first <= limit, f"{what}: {name} grew from {first:,} to {last:,}"
            grown[name] = last - first
        return grown


@dataclass
class Tally:
    """Measurements of all processes."""

    ended: int = 0
    looks: int = 0
    judged: int = 0
    memory: float = -math.inf
    files: float = -math.inf
    threads: float = -math.inf

    def add(self, looks: Looks, what: str) -> None:
        """Add the measurements of another process; raise AssertionError if something grew."""
        self.looks += len(looks.memory)
        grown = looks.growth(what)
        if grown is not None:
            self.judged += 1
            self.memory = max(self.memory, grown["bytes of memory"])
            self.files = max(self.files, grown["open files"])
            self.threads = max(self.threads, grown["threads"])

    def require_enough(self) -> None:
        """Raise AssertionError if no process had enough measurements."""
        assert self.judged, f"{self.looks} looks were too few to tell of growth"


class Life:
    """A process that trains a run, and its measurements."""

    def __init__(self, what: str, run: Path, scale: str, *words: object) -> None:
        self.what, self.run, self.looks = what, run, Looks()
        self.process = Forked(lambda tell: command(*words))
        self.age = (
            0.0  # seconds of its own time from the first sign of training to the last measurement
        )
        self._warm = WARM[scale]
        self._began: float | None = None

    def look(self) -> None:
        """Update `age`, and measure the process if it has trained longer than `WARM` seconds."""
        now = self.process.account()
        if self._began is None and pid_of(self.run) == self.process.pid:
            self._began = now
        self.age = 0.0 if self._began is None else now - self._began
        if self.age > self._warm:
            self.looks.look(self.process.pid)

    def close(self, *wanted: int) -> Looks:
        """Wait for the end with one of these exit codes, and return the measurements."""
        code = self.process.code()
        output = self.process.close()
        assert code in wanted, f"{self.what} ended with {code}: {output}"
        return self.looks


def check(scale: str, seed: int = 0, minutes: float | None = None) -> Figures:
    """Train an interrupted run beside an uninterrupted one; for an hour in the long version."""
    minutes = MINUTES[scale] if minutes is None else minutes
    chance = random.Random(seed)
    with folder() as place:
        book = place / "book.txt"
        book.write_text(text(CHARACTERS))
        save = max(0.2, min(60.0, minutes / 4))
        words = (book, *SETTINGS, "--save-seconds", save)
        speed = measure(place, words, scale, 60 * minutes)
        updates = max(100, int(speed * 60 * minutes))
        words = (*words, "--updates", updates, "--report-every", max(20, updates // 2_000),
                 "--judge-every", max(1, updates // 20))  # fmt: skip
        whole = place / "whole"
        alone = Life("the run that nobody disturbed", whole, scale, "train", *words, "--run", whole)
        try:
            began = time.monotonic()
            tally = disturb(place / "run", words, scale, 60 * minutes, chance, alone)
            disturbed = time.monotonic() - began
            while alone.process.code(LOOK[scale]) is None:
                alone.look()
            tally.add(alone.close(0), alone.what)
        finally:
            alone.process.close()
        records = require_records(place / "run", updates)
        require_same(place / "run", lasting(whole), f"after {tally.ended} ends")
    tally.require_enough()
    return {
        "minutes_disturbed": round(disturbed / 60, 2),
        "processes_ended": tally.ended,
        "measurements": tally.looks,
        "processes_measured_long_enough": tally.judged,
        "most_growth_of_memory_bytes": tally.memory,
        "most_growth_of_open_files": tally.files,
        "most_growth_of_threads": tally.threads,
        "updates": updates,
        "records_complete_without_repetition": records,
        "differing_bytes": 0,
        "seed": seed,
    }


def measure(place: Path, words: tuple[object, ...], scale: str, seconds: float) -> float:
    """Return how many updates the slower of two runs side by side makes in a second of its own time."""
    trials = []
    for run in (place / "trial", place / "another trial"):
        order = ("train", *words, "--run", run, "--updates", 10_000_000)
        trials.append(Life("a trial", run, scale, *order))
    length = min(10.0, max(0.5, seconds / 20))
    speeds = []
    try:
        for trial in trials:
            wait_for(trial)
        began = [trial.process.account() for trial in trials]
        for trial in trials:
            trial.process.let_live(length)
            trial.process.send(signal.SIGTERM)
        for trial, start in zip(trials, began, strict=True):
            trial.close(128 + signal.SIGTERM)
            took = trial.process.account() - start
            speeds.append(load_model(trial.run, "latest").update / took)
    finally:
        for trial in trials:
            trial.process.close()
    return min(speeds)


def disturb(
    run: Path,
    words: tuple[object, ...],
    scale: str,
    seconds: float,
    chance: random.Random,
    beside: Life,
) -> Tally:
    """Train a run to its end in many processes, beside another run; return the measurements."""
    tally, lived, long_life = Tally(), 0.0, False
    while True:
        begun = (run / "checkpoints" / "latest").exists()
        order = ("resume", run) if begun else ("train", *words, "--run", run)
        life = Life(f"life {tally.ended + 1}", run, scale, *order)
        length = chance.uniform(*LIFE[scale])
        if not long_life and lived > seconds / 3:
            length, long_life = max(length, seconds / 3), True
        if chance.random() < UNBORN:
            time.sleep(chance.random())
            length = 0.0
        tally.add(watch(life, scale, length, chance.choice(ENDS), beside), life.what)
        lived += life.age
        status = read_run(run).status if (run / "config.json").exists() else None
        if status is not None and status.state == "finished":
            return tally
        tally.ended += 1


def watch(life: Life, scale: str, length: float, end: int, beside: Life) -> Looks:
    """Measure two processes, and end `life` after `length` seconds of training, unless it ends before.

    If `length` is 0, end it immediately.
    """
    sent = False
    while life.process.code(LOOK[scale]) is None:
        beside.look()
        if not sent:
            life.look()
        if not sent and (not length or life.age > length):
            life.process.send(end)
            sent = True
    return life.close(*((0, -end, 128 + end) if sent else (0,)))


def wait_for(life: Life) -> None:
    """Wait until a run has a status file."""
    while not (life.run / "status.json").exists():
        assert life.process.code(0) is None, f"it did not begin: {life.process.close()}"
        time.sleep(0.01)


def require_records(run: Path, updates: int) -> int:
    """Require exactly one record for each update that is due, in order; return their number."""
    view = read_run(run)
    schedule = Schedule.of(view.config, view.text.characters)
    due = [update for update in range(1, updates + 1) if schedule.record_due(update)]
    found = [record["update"] for record in view.metrics]
    missing, twice = sorted(set(due) - set(found)), len(found) - len(set(found))
    assert found == due, f"records: {len(missing)} missing ({missing[:3]} …), {twice} twice"
    return len(found)
