"""Checks that a run has only one writer when several processes open it at the same moment.

The processes run the whole command: `charloom train` into the same new directory, or `charloom resume` of
the same run. One continues; all others end with exit code 2 and one sentence. Then the winner is ended,
every second time by SIGKILL while it holds the lock, and the next race starts immediately.
"""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from charloom.engines import open_engine
from charloom.store import load_model
from reliability import LONG, SHORT, Figures
from reliability.processes import PATIENCE, Forked, Tell, command
from reliability.run_training import folder, pid_of, text

NUMBER = 6
PROMISE = (
    "A run has one writer. If several processes open it at the same moment, one succeeds and "
    "each other one ends within 2 s with a clear error. The lock of a killed process stops "
    "nobody."
)

RACES = {SHORT: 6, LONG: 200}
CONTENDERS = 3
LIMIT = 2.0  # seconds from the start to a loser's exit, without the time it waits for a processor
CLEAR = "is in use"
WORK = 2.0  # processor seconds; a process that has used more is training
RACES_PER_RUN = 4
SETTINGS = ("--recipe", "classic", "--hidden-size", 8, "--updates", 1_000_000, "--engine")


def check(scale: str, seed: int = 0) -> Figures:
    """Run 200 races in the long version; the figures include the slowest loser."""
    chance, slowest, killed = random.Random(seed), 0.0, 0
    engine = open_engine().name
    with folder() as place:
        book = place / "book.txt"
        book.write_text(text())
        for race in range(RACES[scale]):
            run = place / f"run{race // RACES_PER_RUN}"
            first = race % RACES_PER_RUN == 0
            words = ("train", book, "--run", run, *SETTINGS, engine) if first else ("resume", run)
            winner, seconds = race_once(lambda words=words: command(*words), f"race {race}")
            slowest = max(slowest, seconds)
            wait_for(run, winner)
            time.sleep(0.05 * chance.random())
            kill = race % 2 == 0
            killed += kill
            winner.send(signal.SIGKILL if kill else signal.SIGTERM)
            code = winner.code(10.0)
            output = winner.close()
            wanted = -signal.SIGKILL if kill else 128 + signal.SIGTERM
            assert code == wanted, f"race {race}: the winner ended with {code}: {output}"
            load_model(run, "latest")
    return {
        "races": RACES[scale],
        "contenders_each": CONTENDERS,
        "winners_killed_while_they_held_the_lock": killed,
        "slowest_loser_seconds": round(slowest, 3),
        "seed": seed,
    }


def race_once(work: Callable[[], object], what: str) -> tuple[Forked, float]:
    """Start processes with some work at the same moment.

    Return the winner, which still runs, and the seconds until the slowest loser ended.
    """
    ready, gun = os.pipe()

    def contend(tell: Tell) -> None:
        os.close(gun)  # the read below returns when the last copy of this end is closed
        tell(b"ready")
        os.read(ready, 1)
        work()

    contenders = [Forked(contend) for _ in range(CONTENDERS)]
    try:
        for contender in contenders:
            assert contender.hear() == b"ready", f"{what}: a contender did not start"
        began = {contender: contender.account() for contender in contenders}
        gone = time.monotonic()
        os.close(gun)
        losers: list[Forked] = []
        while len(losers) < CONTENDERS - 1:
            time.sleep(0.001)
            losers = [contender for contender in contenders if contender.code(0) is not None]
            alive = [contender for contender in contenders if contender not in losers]
            working = [contender for contender in alive if contender.computed() > WORK]
            if len(working) > 1 or time.monotonic() > gone + PATIENCE:
                output = [contender.close() for contender in alive]
                raise AssertionError(f"{what}: {len(alive)} processes go on with one run: {output}")
        seconds = max(loser.account() - began[loser] for loser in losers)
        assert seconds < LIMIT, f"{what}: a loser took {seconds:.1f} s to end"
        for loser in losers:
            code, output = loser.code(0), loser.close()
            assert code == 2, f"{what}: a loser ended with {code}: {output}"
            assert CLEAR in output, f"{what}: a loser said {output!r}"
            assert "Traceback" not in output, f"{what}: a loser showed {output}"
        left = [contender for contender in contenders if contender not in losers]
        assert left, f"{what}: nobody won"
        return left[0], seconds
    except BaseException:
        for contender in contenders:
            contender.send()
        raise
    finally:
        os.close(ready)


def wait_for(run: Path, winner: Forked) -> None:
    """Wait until the winner trains, which can be after the losers have ended."""
    while pid_of(run) != winner.pid:
        assert winner.code(0) is None, f"nobody won: {winner.close()}"
        time.sleep(0.001)
