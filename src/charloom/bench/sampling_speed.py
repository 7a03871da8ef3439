"""Time how fast charloom and PyTorch sample one stream, and how fast charloom samples a long text.

charloom and PyTorch take turns. Their unit of work is a text of 1,000 characters. The long text
shows whether sampling slows down as the text grows. Only charloom samples it, once, in pieces of
1,000 characters. For each piece, the engine is given all characters of the text sampled so far.
"""

import time
from dataclasses import asdict, dataclass
from statistics import mean, median
from typing import Any, Final

import numpy as np

from charloom.bench import pytorch
from charloom.bench.charloom_engines import engine_sampling
from charloom.bench.contestant_text import bench_vocabulary
from charloom.bench.interleaved import (
    Contestant,
    Work,
    interleave,
    limited_works,
    on_processors,
    spread,
)
from charloom.bench.workloads import Workload
from charloom.cpu_limits import processors
from charloom.engines import Engine, Sampler, native_problem, open_engine
from charloom.formatting import table
from charloom.model import Learner, new_learner, zero_state

PIECE: Final = 1_000  # number of characters of a short text, and of a piece of the long text


@dataclass(frozen=True)
class WritingRow:
    """How fast charloom or a PyTorch loop samples texts of 1,000 characters: medians over the rounds.

    Attributes:
        name: charloom's engine, or the PyTorch loop.
        threads: number of threads.
        microseconds: time per character.
        characters_per_second: sampled characters per second.
        times_ours: time per character divided by charloom's, with the same number of threads.
        spread: (slowest - fastest) / median over the rounds.
    """

    name: str
    threads: int
    microseconds: float
    characters_per_second: float
    times_ours: float
    spread: float


@dataclass(frozen=True)
class WritingTimes:
    """The result of `measure_writing`.

    Attributes:
        workload: the fields of the `Workload` by name, its title, and `operations`: the number
            of useful floating-point operations per character.
        machine: engine and number of processors.
        rows: one row for each engine or PyTorch loop and each number of threads.
        long_text: `characters`, the length of the long text; `characters_per_second` in the whole
            text; `first_tenth` and `last_tenth`, the median of the characters per second over the
            pieces of this tenth. None if the long text was not sampled.
        missing: for each contestant that was not measured, a text with the reason.
    """

    workload: dict[str, Any]
    machine: dict[str, Any]
    rows: list[WritingRow]
    long_text: dict[str, float] | None
    missing: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the result as a dict of plain data."""
        return asdict(self)

    def render(self) -> str:
        """Return the result as lines of text for users."""
        w, long = self.workload, self.long_text
        heads = ["", "threads", "µs a character", "characters/s", "times charloom", "spread"]
        rows = [
            [
                row.name,
                str(row.threads),
                f"{row.microseconds:.2f}",
                f"{row.characters_per_second:,.0f}",
                f"{row.times_ours:.2f}×",
                f"{row.spread:.0%}",
            ]
            for row in self.rows
        ]
        lines = [
            f"{w['name']}: {w['title']}; float32; medians of {w['rounds']} interleaved rounds; "
            f"texts of {PIECE:,} characters.",
            f"{self.machine['engine']}; {self.machine['processors']} processors.",
            "",
            *table(heads, rows),
        ]
        if long is not None:
            lines += [
                "",
                f"a text of {long['characters']:,.0f} characters by charloom: "
                f"{long['characters_per_second']:,.0f} characters/s; "
                f"{long['first_tenth']:,.0f} in its first tenth, {long['last_tenth']:,.0f} in its "
                f"last tenth",
            ]
        return "\n".join([*lines, *(f"not measured: {reason}" for reason in self.missing)])


def measure_writing(
    workload: Workload, rounds: int | None = None, engine: str | None = None
) -> WritingTimes:
    """Time sampling with the network of a workload, in charloom and PyTorch, and return the times.

    Args:
        workload: the sizes of the network, and how to time it.
        rounds: how many times to time charloom and each PyTorch loop. None takes the workload's
            default, `Workload.rounds`.
        engine: name of charloom's engine. None takes "native", or "reference" if the native engine
            cannot run.
    """
    rounds = rounds or workload.rounds
    ours = engine or ("reference" if native_problem() else "native")
    missing = [str(native_problem())] if engine is None and native_problem() else []
    learner = new_learner(workload.config, bench_vocabulary(workload.vocabulary_size))
    opened = open_engine(ours, 1, "cpu")
    counts = (1, 2) if processors() > 1 and ours == "native" else (1,)
    contestants = [
        Contestant(
            ours, threads, texts(engine_sampling(open_engine(ours, threads, "cpu"), learner))
        )
        for threads in counts
    ]
    try:
        contestants += _torch_contestants(workload)
    except ImportError as error:
        missing.append(f"PyTorch: {error}")
    times = interleave(limited_works(contestants), rounds, workload.turn)
    rows = []
    for contestant in contestants:
        seconds = times[contestant.label]
        base = times.get(f"{ours} {contestant.threads}", times[f"{ours} 1"])
        rows.append(
            WritingRow(
                name=contestant.name,
                threads=contestant.threads,
                microseconds=median(seconds) / PIECE * 1e6,
                characters_per_second=PIECE / median(seconds),
                times_ours=median(seconds) / median(base),
                spread=spread(seconds),
            )
        )
    with on_processors(1):
        long_text = write_long_text(opened, learner, workload.length)
    return WritingTimes(
        workload=workload.to_dict(rounds),
        machine={"engine": opened.describe(), "processors": processors()},
        rows=rows,
        long_text=long_text,
        missing=missing,
    )


def texts(work: Work) -> Work:
    """Return a function whose unit of work is a text of 1,000 characters.

    `work` is a function whose unit of work is one character.
    """

    def write(count: int) -> None:
        for _ in range(count):
            work(PIECE)

    return write


def _torch_contestants(workload: Workload) -> list[Contestant]:
    """Return the PyTorch loops that sample texts of 1,000 characters, with one and two threads."""
    loops = {
        "PyTorch LSTMCell": pytorch.cell_loop,
        "PyTorch, cell by hand": pytorch.row_loop,
    }
    counts = (1, 2) if processors() > 1 else (1,)
    config, K = workload.config, workload.vocabulary_size
    return [
        Contestant(name, threads, texts(loop(config, K, threads)))
        for name, loop in loops.items()
        for threads in counts
    ]


def write_long_text(engine: Engine, learner: Learner, length: int) -> dict[str, float]:
    """Sample a text of `length` characters with charloom, and return its speed.

    The result is the dict `WritingTimes.long_text`: the number of characters, and the characters
    per second in the whole text, in its first tenth and in its last tenth. The speed of a tenth is
    the median over its pieces of 1,000 characters.
    """
    read = np.zeros(length + 1, dtype=learner.vocabulary.id_dtype)
    state, seconds = zero_state(learner.config), []
    for start in range(0, length, PIECE):
        count = min(PIECE, length - start)
        uniforms = np.random.default_rng(start).random(count)
        began = time.perf_counter()
        ids, state = engine.generate(learner, read[: start + 1], Sampler(), uniforms, state)
        seconds.append((time.perf_counter() - began) / count)
        read[start + 1 : start + 1 + count] = ids
    tenth = max(1, len(seconds) // 10)
    return {
        "characters": length,
        "characters_per_second": 1 / mean(seconds),
        "first_tenth": 1 / median(seconds[:tenth]),
        "last_tenth": 1 / median(seconds[-tenth:]),
    }
