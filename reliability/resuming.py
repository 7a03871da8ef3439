"""Checks that a run that was stopped at any point and resumed ends with the same bytes.

It tests every cell with every optimizer, with and without dropout, on each available engine. One run is not
interrupted. Others are stopped in the middle of an epoch, at its end, after an evaluation of the validation
part, during one (by SIGKILL), and before the passage, and then resumed. All bytes of the final checkpoints,
the samples and the passage must be equal, and so must the records except for their two clock fields. A run
also continues on another instruction set or with another number of threads, and warns that bits may differ.
"""

import itertools
import os
import signal
from pathlib import Path
from typing import Any

from charloom.cell_table import CELL_NAMES
from charloom.config import OPTIMIZERS, Config
from charloom.engines import native_problem, open_engine
from charloom.model.schedule import Schedule
from charloom.training import Warned
from reliability import LONG, SHORT, Figures
from reliability.processes import Forked, Tell
from reliability.run_comparison import differences, lasting
from reliability.run_training import SETTINGS as COMMON
from reliability.run_training import folder, text, train

NUMBER = 3
PROMISE = (
    "A run that was stopped within an epoch, at its end or during an evaluation, and then "
    "resumed, ends with the bytes of an uninterrupted one. On another instruction set or with "
    "another number of threads, it continues and says that bits may differ."
)

# A little more than two epochs of 31 updates, with an evaluation every 10 updates.
SETTINGS: dict[str, Any] = {
    "batch_size": 3, "seq_length": 20, "hidden_size": 5, "updates": 70, "report_every": 10,
    "validation": 0.04, "judge_every": 10, "sample_every": 50, "sample_until": 70,
    "learning_rate": 0.01, "save_seconds": 60.0,
}  # fmt: skip
SAMPLES = 4  # at updates 0, 3, 50 and the last; the passage follows
DROPOUTS = (0.0, 0.3)
ORDERS = (0, 3)  # of the n-grams, used in turn
SPREAD = {SHORT: 21, LONG: 1}  # use every 21st combination, or every one
OTHER = "numbers may differ slightly"


def check(scale: str) -> Figures:
    """Stop and resume runs of every combination; the short version uses every 21st."""
    engines = ["reference"] + ([] if native_problem() else ["native"])
    ways = list(itertools.product(CELL_NAMES, OPTIMIZERS, DROPOUTS, engines))[:: SPREAD[scale]]
    resumed, differing = 0, 0
    with folder(in_memory=True) as place:
        for number, (cell, optimizer, dropout, engine) in enumerate(ways):
            settings = {**SETTINGS, "cell": cell, "optimizer": optimizer, "dropout": dropout}
            settings["ngram_order"] = ORDERS[number % len(ORDERS)]
            home = place / str(number)
            home.mkdir()
            train(home / "whole", settings, engine)
            truth = lasting(home / "whole")
            for name, stop in STOPS.items():
                run = home / name.replace(" ", "-")
                stop(run, settings, engine)
                train(run, settings, engine)
                wrong = differences(truth, lasting(run))
                resumed += 1
                differing += bool(wrong)
                assert not wrong, (
                    f"{engine}, {cell}, {optimizer}, dropout {dropout}, stopped {name}: "
                    f"{', '.join(wrong)} differ"
                )
        others = go_on_elsewhere(place)
    return {
        "ways": len(ways),
        "engines": ", ".join(engines),
        "resumed_runs": resumed,
        "differing_bytes": differing,
        "resumed_with_other_threads_or_instruction_sets": others,
    }


# Ways to stop a run


def halted(run: Path, settings: dict[str, Any], engine: str, wanted: int, exactly: bool) -> None:
    """Stop a run at the update `wanted`, or after the engine call that reaches it."""
    at = 0

    def on_item(item: Any) -> None:
        nonlocal at
        at = item.update

    ended = train(run, settings, engine, lambda: "SIGINT" if at >= wanted else None, on_item)
    assert ended.state == "interrupted"
    assert ended.update == wanted or not exactly, f"it stopped at {ended.update}, not {wanted}"


def per_epoch(settings: dict[str, Any]) -> int:
    """Return the number of updates per epoch."""
    config = Config(**{**COMMON, **settings})
    return Schedule.of(config, len(text())).windows.per_epoch


def in_an_epoch(run: Path, settings: dict[str, Any], engine: str) -> None:
    halted(run, settings, engine, per_epoch(settings) // 2, exactly=False)


def at_an_epochs_end(run: Path, settings: dict[str, Any], engine: str) -> None:
    halted(run, settings, engine, per_epoch(settings), exactly=True)


def after_a_judgement(run: Path, settings: dict[str, Any], engine: str) -> None:
    halted(run, settings, engine, 20, exactly=True)


def in_a_judgement(run: Path, settings: dict[str, Any], engine: str) -> None:
    """Kill the process during the second evaluation of the validation part."""
    killed(run, settings, engine, "score", 2)


def before_the_passage(run: Path, settings: dict[str, Any], engine: str) -> None:
    """Kill the process after the last save, while the passage is sampled."""
    killed(run, settings, engine, "generate", SAMPLES + 1)


def killed(run: Path, settings: dict[str, Any], engine: str, name: str, number: int) -> None:
    """Kill the process when it calls the engine's function `name` for the `number`-th time."""

    def work(tell: Tell) -> None:
        opened = open_engine(engine)
        function, count = getattr(opened, name), itertools.count(1)

        def deadly(*arguments: Any, **more: Any) -> Any:
            if next(count) == number:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **more)

        setattr(opened, name, deadly)
        train(run, settings, opened)

    process = Forked(work)
    code = process.code()
    output = process.close()
    assert code == -signal.SIGKILL, (
        f"it was to be killed in {name}, and ended with {code}: {output}"
    )


STOPS = {
    "in the middle of an epoch": in_an_epoch,
    "at the end of an epoch": at_an_epochs_end,
    "after a judgement": after_a_judgement,
    "in a judgement": in_a_judgement,
    "before the passage": before_the_passage,
}


# Other threads and instruction sets


def go_on_elsewhere(place: Path) -> int:
    """Resume a run with two threads and on every other instruction set; return how often."""
    if native_problem():
        return 0
    from charloom import _native
    from charloom.engines.native import NativeEngine

    def on(isa: str, threads: int = 1) -> NativeEngine:
        return NativeEngine(threads, isa)

    here = NativeEngine().isa
    first = on(here)
    others = [on(here, threads=2), *(on(isa) for isa in _native.instruction_sets() if isa != here)]
    for number, other in enumerate([first, *others]):
        run, messages = place / f"elsewhere{number}", []

        def on_item(item: Any, messages: list[str] = messages) -> None:
            if isinstance(item, Warned):
                messages.append(item.message)

        looks = itertools.count()
        train(run, SETTINGS, first, lambda: "SIGINT" if next(looks) >= 5 else None, on_item)  # noqa: B023
        assert not messages
        ended = train(run, SETTINGS, other, on_item=on_item)
        assert ended.update == SETTINGS["updates"]
        warned = any(OTHER in message for message in messages)
        assert warned == (other is not first), (
            f"from {first.describe()} to {other.describe()} it said {messages}"
        )
    return len(others)
