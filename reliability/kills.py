"""Kills a training run at random moments, half of them during a save, and checks what is left.

Small runs with several cells and batch sizes train in separate processes, which are killed many times. After
each kill the checkpoints that `latest` and `best` name must be intact, and `latest` must not be older than before.
At most the training of one save interval, one save and two engine calls may be lost. Then another process
resumes the run. At its end a run must have the same bytes as an uninterrupted run.
"""

import mmap
import random
import statistics
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from charloom.errors import CharloomError
from charloom.store import RunWriter, load_model
from charloom.training import run_saving
from reliability import LONG, SHORT, Figures
from reliability.processes import Forked, Tell, own_time
from reliability.run_comparison import differences, lasting
from reliability.run_training import folder, train

NUMBER = 1
PROMISE = (
    "A process that is killed at any moment leaves a checkpoint that loads. At most the "
    "training of one save interval, two engine calls and one save is lost. The resumed run "
    "ends with the bytes of an uninterrupted one."
)

KILLS = {SHORT: 8, LONG: 1_000}
INTERVAL = {SHORT: 0.5, LONG: 1.0}  # seconds between two saves, much longer than a save takes
LONGEST_PAUSE = 5.0  # seconds between two opportunities to save
MIX: tuple[dict[str, Any], ...] = (
    {"cell": "lstm", "batch_size": 3, "dropout": 0.1, "optimizer": "adam"},
    {"cell": "rnn", "batch_size": 1, "dropout": 0.0, "optimizer": "adagrad", "learning_rate": 0.1},
    {"cell": "gru", "batch_size": 8, "layers": 2, "optimizer": "rmsprop"},
    {"cell": "lstm", "batch_size": 1, "layers": 2, "dropout": 0.3, "optimizer": "adamw"},
    {"cell": "rnn", "batch_size": 5, "optimizer": "sgd", "split": "streams"},
)
UPDATES = {SHORT: 3_000, LONG: 12_000}  # enough for several saves and several kills


def length(scale: str) -> dict[str, Any]:
    """Return the settings for the length of a run, and the intervals of records, samples and saves."""
    updates = UPDATES[scale]
    return {
        "hidden_size": 32, "updates": updates, "report_every": 50, "judge_every": updates // 6,
        "sample_every": updates // 3, "sample_until": updates, "save_seconds": INTERVAL[scale],
    }  # fmt: skip


class OwnTime:
    """Replaces the module `time`, so that a run measures the time of its own process."""

    monotonic, sleep = staticmethod(own_time), staticmethod(time.sleep)


class Life:
    """What a process records about itself, in shared memory that remains when it is killed.

    All times are seconds of the process's `own_time`.

    Attributes:
        alive: the last time at which the process recorded something.
        update: the learner's update at that time.
        saving, began: the update of the last save that began, and the time when it began.
        saved, since: the update of the last save that returned, and the time when it began; before the
            first save, the time when training began.
        pause: the longest time between two opportunities to save.
        save: the longest duration of a save.
    """

    FIELDS = ("alive", "update", "saving", "began", "saved", "since", "pause", "save")
    SPELT = struct.Struct(f"{len(FIELDS)}d")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self.SPELT.size)  # shared with forks of this process

    def __getattr__(self, name: str) -> float:
        if name not in self.FIELDS:
            raise AttributeError(name)
        return float(self.SPELT.unpack(self._memory[:])[self.FIELDS.index(name)])

    def note(self, **values: float) -> None:
        """Store the values of some fields."""
        fields = dict(zip(self.FIELDS, self.SPELT.unpack(self._memory[:]), strict=True)) | values
        self._memory[:] = self.SPELT.pack(*fields.values())


@dataclass
class Tally:
    """Counts and figures of all kills so far."""

    kills: int = 0
    in_a_save: int = 0
    before_the_first_checkpoint: int = 0
    resumed: int = 0
    finished_with_the_same_bytes: int = 0
    most_seconds_lost: float = 0.0
    most_updates_lost: int = 0
    usual_save_seconds: float = 0.02
    # For each kill, the seconds of training that it was allowed to lose.
    bounds: list[float] = field(default_factory=list)

    def wants_more(self, kills: int) -> bool:
        """Return True until there are `kills` kills, and a quarter of `kills` of them during a save.

        A save in memory takes about a millisecond, so that a kill often misses it. After four times `kills`
        kills this returns False in any case.
        """
        few_in_a_save = self.in_a_save < kills // 4 and self.kills < 4 * kills
        return self.kills < kills or few_in_a_save


def live(run: Path, settings: dict[str, Any], life: Life, tell: Tell) -> None:
    """Train a run to its end from its last checkpoint, in the process that is killed."""
    save = RunWriter.save

    def save_and_report(writer: RunWriter, learner: Any) -> Path:
        began = own_time()
        if writer.saved_update is not None:
            note_alive(began)
            life.note(saving=learner.update, began=began)
        tell(b"<")
        path = save(writer, learner)
        tell(b">")
        now = own_time()
        life.note(alive=now, saved=learner.update, since=began, save=max(life.save, now - began))
        return path

    def note_alive(now: float) -> None:
        life.note(alive=now, pause=max(life.pause, now - life.alive) if life.alive else 0.0)

    def on_item(item: Any) -> None:
        now = own_time()
        if not life.saving and not life.since:
            life.note(since=now)
        note_alive(now)
        life.note(update=item.update)

    RunWriter.save = save_and_report  # type: ignore[method-assign]
    # Training and measurements use the same clock, so that other load on the machine is not a delay.
    run_saving.time = OwnTime  # type: ignore[assignment]
    train(run, settings, on_item=on_item)


def check(scale: str, seed: int = 0) -> Figures:
    """Kill runs 8 times, or 1,000 times in the long version, and more often if few kills hit a save."""
    with folder() as place:
        tally = crash(scale, place, seed)
    bounds = tally.bounds
    return {
        **{name: round(value, 3) for name, value in vars(tally).items() if value is not bounds},
        "interval_seconds": INTERVAL[scale],
        "usual_bound_seconds": round(statistics.median(bounds), 3),
        "loosest_bound_seconds": round(max(bounds), 3),
        "seed": seed,
    }


def crash(scale: str, place: Path, seed: int = 0) -> Tally:
    """Kill and resume runs in a folder, at least `KILLS[scale]` times.

    Raises:
        AssertionError: a kill lost more than is allowed, or the final bytes differ.
    """
    kills, chance, tally = KILLS[scale], random.Random(seed), Tally()
    truths: dict[int, dict[str, Any]] = {}
    number = 0
    while tally.wants_more(kills):
        way = number % len(MIX)
        settings = {**length(scale), **MIX[way]}
        if way not in truths:
            truths[way] = uninterrupted(place / f"whole{way}", settings)
        run = place / f"run{number}"
        for what in lives(run, settings, kills, chance, tally):
            assert not what, f"{run.name}, {settings['cell']}: {what}"
        wrong = differences(truths[way], lasting(run))
        assert not wrong, f"{run.name}: {', '.join(wrong)} differ from the uninterrupted run's"
        tally.finished_with_the_same_bytes += 1
        number += 1
    return tally


def uninterrupted(run: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Train a run without interruption, and return its lasting bytes."""
    process = Forked(lambda tell: train(run, settings))
    code = process.code()
    output = process.close()
    assert code == 0, f"an uninterrupted training failed: {output}"
    return lasting(run)


def lives(
    run: Path, settings: dict[str, Any], kills: int, chance: random.Random, tally: Tally
) -> Iterator[str]:
    """Train a run to its end in processes that are killed; yield a sentence for each problem."""
    before: int | None = None
    code: int | None = None
    while code != 0:
        life = Life()
        process = Forked(lambda tell, life=life: live(run, settings, life, tell))
        received = b""
        if tally.wants_more(kills):
            within = tally.usual_save_seconds if 2 * tally.in_a_save <= tally.kills else None
            received = kill(process, chance, within, settings["save_seconds"])
        code = process.code()
        while more := process.hear():
            received += more
        output = process.close()
        if code not in (0, -9):
            yield f"the training failed: {output}"
        try:
            after = latest(run)
        except CharloomError as error:
            yield f"after a kill: {error}"
            return
        if (after or 0) < (before or 0):
            yield f"it was at update {before} and is at {after}"
        tally.resumed += before is not None
        if code:
            tally.kills += 1
            tally.in_a_save += received.endswith(b"<")
            tally.before_the_first_checkpoint += after is None
            yield from loss(life, after, settings["save_seconds"], tally)
        if life.save:
            tally.usual_save_seconds = life.save
        before = after


def kill(process: Forked, chance: random.Random, within: float | None, interval: float) -> bytes:
    """Kill a process at a random time, and return the messages that it sent before.

    With `within`, kill it at most so many seconds after the start of one of its next saves.
    """
    received, count = b"", 0
    if within is not None:
        wanted = chance.randint(1, 2)
        while count < wanted:
            more = process.hear()
            if not more:
                return received
            received += more
            count += more.count(b"<")
        process.let_live(within * chance.random())
    else:
        process.let_live(moment(chance, interval))
    process.send()
    return received


def moment(chance: random.Random, interval: float) -> float:
    """Return a random number of seconds until a kill; often up to two intervals, so that late saves are noticed."""
    return chance.choice([0.1, 2.0, 2.0]) * interval * chance.random()


def latest(run: Path) -> int | None:
    """Return the update of the latest checkpoint, which must be intact; None if there is none yet."""
    if not (run / "checkpoints" / "latest").exists():
        return None
    load_model(run, "best")
    return load_model(run, "latest").update


def loss(life: Life, after: int | None, interval: float, tally: Tally) -> Iterator[str]:
    """Record how much training a kill lost; yield a sentence if that is too much."""
    if not life.since and not life.saving:
        return  # it was killed before it trained
    if after is not None and life.saving and after == life.saving:
        since = life.began
    else:
        since = life.since or life.alive
    lost = max(0.0, life.alive - since)
    tally.most_updates_lost = max(tally.most_updates_lost, int(life.update) - (after or 0))
    tally.most_seconds_lost = max(tally.most_seconds_lost, lost)
    # A save can become due just after the check. Then one engine call and its events come first.
    limit = interval + 2 * life.pause + life.save
    if life.pause > LONGEST_PAUSE:
        yield f"for {life.pause:.2f} s it could not have saved"
    tally.bounds.append(limit)
    if lost > limit:
        yield (
            f"{lost:.2f} s of training were lost, more than an interval of {interval} s, two calls "
            f"of {life.pause:.2f} s and a save of {life.save:.2f} s"
        )
