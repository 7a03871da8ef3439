"""Time a workload's training step in charloom and PyTorch, in turn, with one and with two threads.

A contestant is charloom or PyTorch with a number of threads. It is limited to as many processors as
it has threads. Ratios are ratios of medians.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from charloom.bench import pytorch
from charloom.bench.charloom_engines import engine_updates
from charloom.bench.contestant_text import bench_text, bench_vocabulary
from charloom.bench.interleaved import (
    PEAK_OPERATIONS,
    Contestant,
    interleave,
    limited_works,
    on_processors,
    peaks,
    spread,
)
from charloom.bench.workloads import Workload
from charloom.cpu_limits import processors
from charloom.engines import native_problem, open_engine
from charloom.formatting import table
from charloom.model import new_learner

TORCH: Final = "PyTorch"


@dataclass(frozen=True)
class StepRow:
    """The times of charloom or PyTorch with a number of threads: medians over the rounds.

    Attributes:
        name: name of charloom's engine, or "PyTorch".
        threads: number of threads.
        milliseconds: time of a step.
        characters_per_second: the B·T characters of a step, divided by its time.
        times_ours: the time of a step divided by charloom's time with the same number of threads;
            None if charloom was not measured with this number of threads.
        second_core: the speed with two threads divided by the speed with one thread; None for one
            thread.
        peak_share: useful operations per second, divided by `threads` times the measured peak of
            one core; None if the peak was not measured.
        spread: (slowest - fastest) / median over the rounds.
    """

    name: str
    threads: int
    milliseconds: float
    characters_per_second: float
    times_ours: float | None
    second_core: float | None
    peak_share: float | None
    spread: float


@dataclass(frozen=True)
class StepTimes:
    """The result of `measure_steps`.

    Attributes:
        workload: the fields of the `Workload` by name, its title, and `operations`: the number
            of useful floating-point operations of a step.
        machine: engine, number of processors, and the measured peak of one core in GFLOP/s.
        rows: one row for charloom and one for PyTorch, for each number of threads.
        missing: for each contestant that was not measured, a text with the reason.
    """

    workload: dict[str, Any]
    machine: dict[str, Any]
    rows: list[StepRow]
    missing: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the result as a dict of plain data."""
        return asdict(self)

    def render(self) -> str:
        """Return the result as lines of text for users."""
        w, m = self.workload, self.machine
        heads = [
            "",
            "threads",
            "ms a step",
            "characters/s",
            "times charloom",
            "of peak",
            "2nd core",
            "spread",
        ]
        rows = [
            [
                row.name,
                str(row.threads),
                f"{row.milliseconds:.3f}",
                f"{row.characters_per_second:,.0f}",
                "" if row.times_ours is None else f"{row.times_ours:.2f}×",
                "" if row.peak_share is None else f"{row.peak_share:.0%}",
                "" if row.second_core is None else f"{row.second_core:.2f}×",
                f"{row.spread:.0%}",
            ]
            for row in self.rows
        ]  # fmt: skip
        peak = m["peak_gflops"]
        lines = [
            f"{w['name']}: {w['title']}; float32; medians of {w['rounds']} interleaved rounds.",
            f"{m['engine']}; {m['processors']} processors"
            + ("." if peak is None else f"; measured FMA peak {peak:.1f} GFLOP/s a core."),
            f"Useful arithmetic: {w['operations'] / 1e6:,.1f} million operations a step.",
            "",
            *table(heads, rows),
            *(f"not measured: {reason}" for reason in self.missing),
        ]
        return "\n".join(lines)


def measure_steps(
    workload: Workload, rounds: int | None = None, engine: str | None = None
) -> StepTimes:
    """Time a training step of a workload's network, in charloom and PyTorch, and return the times.

    Args:
        workload: the sizes of the network, and how to time it.
        rounds: how many times to time each contestant. None takes the workload's default,
            `Workload.rounds`.
        engine: name of charloom's engine. None takes "native", or "reference" if the native engine
            cannot run.

    Raises:
        ConfigError: charloom has no engine with the name `engine`.
        MissingPartError: the engine `engine` cannot run here.
        DivergedError: the loss is not finite.
    """
    rounds = rounds or workload.rounds
    ours = engine or ("reference" if native_problem() else "native")
    missing = [str(native_problem())] if engine is None and native_problem() else []
    contestants = list(_contestants(workload, ours, missing))
    peak_works = {label: on_processors(1)(work) for label, work in peaks("float32").items()}
    times = interleave(limited_works(contestants) | peak_works, rounds, workload.turn)
    medians = {label: median(seconds) for label, seconds in times.items()}
    peak = PEAK_OPERATIONS / medians["peak float32"] if peak_works else None
    return StepTimes(
        workload=workload.to_dict(rounds),
        machine={
            "engine": open_engine(ours, 1, "cpu").describe(),
            "processors": processors(),
            "peak_gflops": None if peak is None else peak / 1e9,
        },
        rows=[_row(workload, c, ours, times[c.label], medians, peak) for c in contestants],
        missing=missing,
    )


def _contestants(workload: Workload, ours: str, missing: list[str]) -> Iterator[Contestant]:
    """Yield charloom and PyTorch, each with one thread and with two threads.

    Two threads are left out on a machine with one processor, and for the reference engine. For a
    contestant that cannot run, add the reason to `missing`.
    """
    tokens, K = bench_text(workload.vocabulary_size), workload.vocabulary_size
    counts = (1, 2) if processors() > 1 else (1,)
    for threads in (1,) if ours == "reference" else counts:
        learner = new_learner(workload.config, bench_vocabulary(K))
        work = engine_updates(open_engine(ours, threads, "cpu"), learner, tokens)
        yield Contestant(ours, threads, work)
    try:
        for threads in counts:
            yield Contestant(TORCH, threads, pytorch.steps(workload.config, K, tokens, threads))
    except ImportError as error:
        missing.append(f"{TORCH}: {error}")
    if len(counts) == 1:
        missing.append("two threads: this process has one processor")


def _row(
    workload: Workload,
    contestant: Contestant,
    ours: str,
    seconds: list[float],
    medians: dict[str, float],
    peak: float | None,
) -> StepRow:
    """Return the result of one contestant, which is charloom or PyTorch with a number of threads.

    `workload` has the sizes of the network. `ours` is the name of charloom's engine. `seconds` are
    the contestant's seconds per step, one number for each round. `medians` maps the label of each
    contestant to its median seconds per step. `peak` is the measured peak of one core in operations
    per second; None if it was not measured.
    """
    name, threads = contestant.name, contestant.threads
    own = medians[contestant.label]
    base = medians.get(f"{ours} {threads}")
    return StepRow(
        name=name,
        threads=threads,
        milliseconds=own * 1e3,
        characters_per_second=workload.batch_size * workload.seq_length / own,
        times_ours=None if base is None else own / base,
        second_core=medians[f"{name} 1"] / own if threads > 1 else None,
        peak_share=None if peak is None else workload.operations / own / (threads * peak),
        spread=spread(seconds),
    )
