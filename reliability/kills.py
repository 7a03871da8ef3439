"""Kills a training run at random moments, half of them during a save, and checks what is left.

Small runs of several cells and batch sizes train in processes of their own, which are killed again
and again. After each kill the checkpoints that `latest` and `best` name must load whole, `latest`
must be no older than before, and at most one interval of saving, and what a save and a call of the
engine take, may be lost. Then another process goes on. A run that reaches its end must have, byte
for byte, what an uninterrupted run has.
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
INTERVAL = {SHORT: 0.5, LONG: 1.0}  # seconds between two saves, well above what one takes
LONGEST_PAUSE = 5.0  # seconds between two moments at which a training of this size can save
MIX: tuple[dict[str, Any], ...] = (
    {"cell": "lstm", "batch_size": 3, "dropout": 0.1, "optimizer": "adam"},
    {"cell": "rnn", "batch_size": 1, "dropout": 0.0, "optimizer": "adagrad", "learning_rate": 0.1},
    {"cell": "gru", "batch_size": 8, "layers": 2, "optimizer": "rmsprop"},
    {"cell": "lstm", "batch_size": 1, "layers": 2, "dropout": 0.3, "optimizer": "adamw"},
    {"cell": "rnn", "batch_size": 5, "optimizer": "sgd", "split": "streams"},
)
UPDATES = {SHORT: 3_000, LONG: 12_000}  # seconds of training: several saves, and several lives


def length(scale: str) -> dict[str, Any]:
    """The settings that say how long a run trains, and what is due how often."""
    updates = UPDATES[scale]
    return {
        "hidden_size": 32, "updates": updates, "report_every": 50, "judge_every": updates // 6,
        "sample_every": updates // 3, "sample_until": updates, "save_seconds": INTERVAL[scale],
    }  # fmt: skip


class OwnTime:
    """The module `time` for a training whose seconds are those of its process."""

    monotonic, sleep = staticmethod(own_time), staticmethod(time.sleep)


class Life:
    """What a process tells of its life in memory that outlives it.

    Attributes:
        alive: when it was last known to live, by its `own_time`, as all seconds here.
        update: of the learner then.
        saving, began: the update of the last save, and when that began.
        saved, since: the update of the last save that returned, and when that began; at first
            where the training began.
        pause: the longest time between two moments at which it could have saved.
        save: the longest time that a save took.
    """

    FIELDS = ("alive", "update", "saving", "began", "saved", "since", "pause", "save")
    SPELT = struct.Struct(f"{len(FIELDS)}d")

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, self.SPELT.size)  # shared with copies of this process

    def __getattr__(self, name: str) -> float:
        if name not in self.FIELDS:
            raise AttributeError(name)
        return float(self.SPELT.unpack(self._memory[:])[self.FIELDS.index(name)])

    def note(self, **values: float) -> None:
        """Put down some of it."""
        fields = dict(zip(self.FIELDS, self.SPELT.unpack(self._memory[:]), strict=True)) | values
        self._memory[:] = self.SPELT.pack(*fields.values())


@dataclass
class Tally:
    """What happened so far."""

    kills: int = 0
    in_a_save: int = 0
    before_the_first_checkpoint: int = 0
    resumed: int = 0
    finished_with_the_same_bytes: int = 0
    most_seconds_lost: float = 0.0
    most_updates_lost: int = 0
    usual_save_seconds: float = 0.02
    bounds: list[float] = field(default_factory=list)  # seconds that each kill was allowed to cost


def live(run: Path, settings: dict[str, Any], life: Life, tell: Tell) -> None:
    """Train the run to its end, from wherever it is: what the killed process does."""
    save = RunWriter.save

    def told(writer: RunWriter, learner: Any) -> Path:
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

    def seen(item: Any) -> None:
        now = own_time()
        if not life.saving and not life.since:
            life.note(since=now)
        note_alive(now)
        life.note(update=item.update)

    RunWriter.save = told  # type: ignore[method-assign]
    # One clock for the training and for what is measured: what others take of a processor is no delay.
    run_saving.time = OwnTime  # type: ignore[assignment]
    train(run, settings, seen=seen)


def check(scale: str, seed: int = 0) -> Figures:
    """1,000 kills in the long version."""
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
    """Kill runs in a folder as often as a check of this scale does.

    Raises:
        AssertionError: anything was lost.
    """
    kills, chance, tally = KILLS[scale], random.Random(seed), Tally()
    truths: dict[int, dict[str, Any]] = {}
    number = 0
    while tally.kills < kills:
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
    """What a run has at its end where nothing happens."""
    process = Forked(lambda tell: train(run, settings))
    code = process.code()
    told = process.close()
    assert code == 0, f"an uninterrupted training failed: {told}"
    return lasting(run)


def lives(
    run: Path, settings: dict[str, Any], kills: int, chance: random.Random, tally: Tally
) -> Iterator[str]:
    """The lives of the processes that bring a run to its end; yields what is wrong, or nothing."""
    before: int | None = None
    code: int | None = None
    while code != 0:
        life = Life()
        process = Forked(lambda tell, life=life: live(run, settings, life, tell))
        heard = b""
        if tally.kills < kills:
            within = tally.usual_save_seconds if 2 * tally.in_a_save <= tally.kills else None
            heard = kill(process, chance, within, settings["save_seconds"])
        code = process.code()
        while more := process.hear():
            heard += more
        told = process.close()
        if code not in (0, -9):
            yield f"the training failed: {told}"
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
            tally.in_a_save += heard.endswith(b"<")
            tally.before_the_first_checkpoint += after is None
            yield from loss(life, after, settings["save_seconds"], tally)
        if life.save:
            tally.usual_save_seconds = life.save
        before = after


def kill(process: Forked, chance: random.Random, within: float | None, interval: float) -> bytes:
    """Kill a process at a random moment, or so many seconds at most after one of its next saves
    began; what it told until then."""
    heard, count = b"", 0
    if within is not None:
        wanted = chance.randint(1, 2)
        while count < wanted:
            more = process.hear()
            if not more:
                return heard
            heard += more
            count += more.count(b"<")
        process.let_live(within * chance.random())
    else:
        process.let_live(moment(chance, interval))
    process.send()
    return heard


def moment(chance: random.Random, interval: float) -> float:
    """Seconds that a process lives: often about as long as two intervals, so that saves that come
    too late cost too much."""
    return chance.choice([0.1, 2.0, 2.0]) * interval * chance.random()


def latest(run: Path) -> int | None:
    """The update of the latest checkpoint, which must be whole; None before the first."""
    if not (run / "checkpoints" / "latest").exists():
        return None
    load_model(run, "best")
    return load_model(run, "latest").update


def loss(life: Life, after: int | None, interval: float, tally: Tally) -> Iterator[str]:
    """How much a kill has cost; yields a sentence if that is too much."""
    if not life.since and not life.saving:
        return  # it was killed before it trained
    if after is not None and life.saving and after == life.saving:
        since = life.began
    else:
        since = life.since or life.alive
    lost = max(0.0, life.alive - since)
    tally.most_updates_lost = max(tally.most_updates_lost, int(life.update) - (after or 0))
    tally.most_seconds_lost = max(tally.most_seconds_lost, lost)
    # It may have become due right after it was looked at: then a call of the engine comes first, and
    # what is told after it.
    limit = interval + 2 * life.pause + life.save
    if life.pause > LONGEST_PAUSE:
        yield f"for {life.pause:.2f} s it could not have saved"
    tally.bounds.append(limit)
    if lost > limit:
        yield (
            f"{lost:.2f} s of training were lost, more than an interval of {interval} s, two calls "
            f"of {life.pause:.2f} s and a save of {life.save:.2f} s"
        )
