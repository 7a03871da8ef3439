"""Times sampling of a workload, charloom and PyTorch in turn, and whether it slows down as the text
grows.

A unit of work is a text of 1,000 characters. The long text is written once by charloom alone, in pieces of
1,000, each of them given all that was written before.
"""

import time
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from charloom.bench import pytorch
from charloom.bench.clock import Work, held_to, interleave, on_processors, processors
from charloom.bench.ours import engine_sampling
from charloom.bench.table import table
from charloom.bench.text import bench_vocabulary
from charloom.bench.workloads import Workload
from charloom.engines import Engine, Sampler, native_problem, open_engine
from charloom.model import Learner, new_learner, zero_state

PIECE: Final = 1_000  # characters


@dataclass(frozen=True)
class WritingRow:
    """One contestant: medians over the rounds, texts of 1,000 characters.

    Attributes:
        microseconds: of a character.
        times_ours: how many times as long as charloom it takes with as many threads.
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
    """What `measure_writing` measured.

    Attributes:
        workload: its sizes, rounds, and `operations`, useful ones of a character.
        machine: engine and processors.
        rows: a row per contestant.
        long_text: `characters`, and `characters_per_second` of all of it, of its first and of its
            last tenth (median pieces); None where it was not written.
        missing: what was not measured, and why.
    """

    workload: dict[str, Any]
    machine: dict[str, Any]
    rows: list[WritingRow]
    long_text: dict[str, float] | None
    missing: list[str]

    def to_dict(self) -> dict[str, Any]:
        """The result as plain data, for programs."""
        return asdict(self)

    def render(self) -> str:
        """The result as text for people."""
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
            f"{w['name']}: {w['title']}; float32, medians of {w['rounds']} interleaved rounds, "
            f"texts of {PIECE:,} characters.",
            f"{self.machine['engine']}; {self.machine['processors']} processors.",
            "",
            *table(heads, rows),
        ]
        if long is not None:
            lines += [
                "",
                f"a text of {long['characters']:,.0f} characters by charloom: "
                f"{long['characters_per_second']:,.0f} characters/s; its first tenth "
                f"{long['first_tenth']:,.0f}, its last {long['last_tenth']:,.0f}",
            ]
        return "\n".join([*lines, *(f"not measured: {reason}" for reason in self.missing)])


def measure_writing(
    workload: Workload, rounds: int | None = None, engine: str | None = None
) -> WritingTimes:
    """Time a workload's sampling; arguments as `measure_steps`."""
    rounds = rounds or workload.rounds
    ours = engine or ("reference" if native_problem() else "native")
    missing = [str(native_problem())] if engine is None and native_problem() else []
    learner = new_learner(workload.config, bench_vocabulary(workload.vocabulary_size))
    opened = open_engine(ours)
    counts = (1, 2) if processors() > 1 and ours == "native" else (1,)
    works = {
        (ours, threads): held_to(
            texts(engine_sampling(open_engine(ours, threads), learner)), threads
        )
        for threads in counts
    }
    try:
        works |= _torch_works(workload)
    except ImportError as error:
        missing.append(f"PyTorch: {error}")
    times = interleave(
        {f"{name} {threads}": work for (name, threads), work in works.items()},
        rounds,
        workload.turn,
    )
    rows = []
    for name, threads in works:
        seconds = times[f"{name} {threads}"]
        median = float(np.median(seconds))
        base = float(np.median(times.get(f"{ours} {threads}", times[f"{ours} 1"])))
        rows.append(
            WritingRow(
                name=name,
                threads=threads,
                microseconds=median / PIECE * 1e6,
                characters_per_second=PIECE / median,
                times_ours=median / base,
                spread=(max(seconds) - min(seconds)) / median,
            )
        )
    with on_processors(1):
        long_text = write_long_text(opened, learner, workload.length)
    return WritingTimes(
        workload={
            **asdict(workload),
            "title": workload.title,
            "rounds": rounds,
            "operations": workload.operations,
        },
        machine={"engine": opened.describe(), "processors": processors()},
        rows=rows,
        long_text=long_text,
        missing=missing,
    )


def texts(work: Work) -> Work:
    """Texts of 1,000 characters instead of characters, each begun anew."""

    def write(count: int) -> None:
        for _ in range(count):
            work(PIECE)

    return write


def _torch_works(workload: Workload) -> dict[tuple[str, int], Work]:
    """PyTorch's loops by name and threads."""
    loops = {
        "PyTorch LSTMCell": pytorch.cell_loop,
        "PyTorch, cell by hand": pytorch.row_loop,
    }
    counts = (1, 2) if processors() > 1 else (1,)
    config, K = workload.config, workload.vocabulary_size
    return {
        (name, threads): held_to(texts(loop(config, K, threads)), threads)
        for name, loop in loops.items()
        for threads in counts
    }


def write_long_text(engine: Engine, learner: Learner, length: int) -> dict[str, float]:
    """Characters per second of a long text, of its first and of its last tenth (median pieces)."""
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
        "characters_per_second": 1 / float(np.mean(seconds)),
        "first_tenth": 1 / float(np.median(seconds[:tenth])),
        "last_tenth": 1 / float(np.median(seconds[-tenth:])),
    }
