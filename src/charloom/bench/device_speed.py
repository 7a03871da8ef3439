"""Time a workload's training step with each engine, device and number of processes, in turn, with one thread each.

What this machine cannot measure has a reason instead of a time. A bare loop around PyTorch's own module (such as nn.LSTM) is
the lower bound on the torch engine's time; on a GPU it is cuDNN alone. CUDA eager launches each kernel by itself. Ratios are ratios of medians.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any, Final

from charloom.bench import pytorch
from charloom.bench.charloom_engines import engine_updates
from charloom.bench.contestant_text import bench_text, bench_vocabulary
from charloom.bench.interleaved import Work, interleave, on_processors, spread
from charloom.bench.timed_processes import led_processes
from charloom.bench.workloads import Workload
from charloom.config import require_whole
from charloom.cpu_limits import processors
from charloom.engines import Engine, native_problem, open_engine, torch_problem
from charloom.errors import ConfigError
from charloom.formatting import counted, table
from charloom.model import new_learner

NATIVE: Final = "native"
NO_CUDA: Final = "no CUDA device"
CUDA: Final = "cuda:0"
PROCESSES: Final = (1, 2, 4)
WARM_UP: Final = 5  # steps that are not timed: a CUDA graph is captured in the fourth


@dataclass(frozen=True)
class DeviceRow:
    """The time of one engine, device or number of processes: medians over the rounds.

    Attributes:
        name: what was timed.
        milliseconds: time of a step; None if it was not measured, as the next three.
        characters_per_second: the B·T characters of a step, divided by its time.
        times_native: the time of a step divided by that of the native engine; also None without the native engine.
        spread: (slowest - fastest) / median over the rounds.
        not_measured: why it was not measured; None if it was.
    """

    name: str
    milliseconds: float | None = None
    characters_per_second: float | None = None
    times_native: float | None = None
    spread: float | None = None
    not_measured: str | None = None

    def cells(self) -> list[str]:
        """Return the row of the table for users, if it was measured."""
        return [
            self.name,
            f"{self.milliseconds:.3f}",
            f"{self.characters_per_second:,.0f}",
            "" if self.times_native is None else f"{self.times_native:.2f}×",
            f"{self.spread:.0%}",
        ]


@dataclass(frozen=True)
class DeviceTimes:
    """The result of `measure_devices`.

    Attributes:
        workload: the fields of the `Workload` by name, its title, and `operations`.
        machine: the engines and the number of processors.
        rows: a row for each engine, device and number of processes.
    """

    workload: dict[str, Any]
    machine: dict[str, Any]
    rows: list[DeviceRow]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the result as a dict of plain data."""
        return asdict(self)

    def render(self) -> str:
        """Return the result as lines of text for users."""
        w = self.workload
        heads = ["", "ms a step", "characters/s", "times native", "spread"]
        rows = [row.cells() for row in self.rows if row.not_measured is None]
        return "\n".join(
            [
                f"{w['name']}: {w['title']}; float32; medians of {w['rounds']} interleaved rounds; one thread each.",
                f"{'; '.join(self.machine['engines'])}; {counted(self.machine['processors'], 'processor')}.",
                "",
                *table(heads, rows),
                *(
                    f"{row.name}: not measured: {row.not_measured}"
                    for row in self.rows
                    if row.not_measured
                ),
            ]
        )


def measure_devices(workload: Workload, rounds: int | None = None) -> DeviceTimes:
    """Time a training step of a workload's network with each engine, device and number of processes.

    Args:
        workload: the sizes of the network, and how to time it.
        rounds: how many times to time each. None takes the workload's default, `Workload.rounds`.

    Raises:
        ConfigError: the workload times sampling, or `rounds` is below 1.
        DivergedError: the loss is not finite.
        EngineError: a process ended.
    """
    rounds = require_whole("rounds", workload.rounds if rounds is None else rounds, least=1)
    if workload.kind != "step":
        raise ConfigError(
            f"workload {workload.name} times sampling, which uses one device and one process. Name "
            f"a workload with training steps."
        )
    with ExitStack() as stack:
        found = dict(contestants(workload, stack))
        works = {name: work for name, work in found.items() if not isinstance(work, str)}
        for work in works.values():
            work(WARM_UP)
        times = interleave(works, rounds, workload.turn)
    base = median(times[NATIVE]) if NATIVE in times else None
    return DeviceTimes(
        workload=workload.to_dict(rounds),
        machine={"engines": engines(), "processors": processors()},
        rows=[
            DeviceRow(name, not_measured=work)
            if isinstance(work, str)
            else timed_row(name, workload, times[name], base)
            for name, work in found.items()
        ],
    )


def engines() -> list[str]:
    """Return what the engines are that this machine has."""
    names = [NATIVE] * (native_problem() is None) + ["torch"] * (torch_problem() is None)
    return [open_engine(name, 1, "cpu").kind() for name in names]


def contestants(workload: Workload, stack: ExitStack) -> Iterator[tuple[str, Work | str]]:
    """Yield the name of each thing to time and its function, or why it cannot be measured.

    Processes that are started end with `stack`.
    """
    problem = native_problem()
    yield NATIVE, problem or on_processors(1)(engine_work(workload, open_engine(NATIVE)))
    missing = torch_problem()
    cuda = missing or cuda_problem()
    K, config = workload.vocabulary_size, workload.config
    for name, device, why in (("PyTorch's module", "cpu", missing), ("cuDNN alone", CUDA, cuda)):
        yield name, why or on_processors(1)(pytorch.steps(config, K, bench_text(K), 1, device))
    cpu = missing or on_processors(1)(engine_work(workload, open_engine("torch", 1, "cpu")))
    yield "torch", cpu
    for name, graphs in (("torch, CUDA eager", False), ("torch, CUDA graphs", True)):
        yield name, cuda or engine_work(workload, cuda_engine(graphs))
    for size in PROCESSES:
        name = f"torch, {counted(size, 'process', 'processes')}"
        few = f"the workload has {counted(workload.batch_size, 'stream')}"
        if missing or workload.batch_size < size:
            yield name, missing or few
        else:
            yield name, stack.enter_context(led_processes(workload, size))


def cuda_problem() -> str | None:
    """Return why a CUDA device cannot be measured; None if it can. PyTorch must be installed."""
    import torch

    return None if torch.cuda.is_available() else NO_CUDA


def cuda_engine(graphs: bool) -> Engine:
    """Return the torch engine on a GPU, with or without CUDA graphs."""
    from charloom.engines.torch import TorchEngine

    return TorchEngine(1, CUDA, graphs=graphs)


def engine_work(workload: Workload, engine: Engine) -> Work:
    """Return a function of n that does n training steps with an engine."""
    K = workload.vocabulary_size
    learner = new_learner(workload.config, bench_vocabulary(K))
    return engine_updates(engine, learner, bench_text(K))


def timed_row(name: str, workload: Workload, seconds: list[float], base: float | None) -> DeviceRow:
    """Return the row of something that took `seconds` for a step in each round; `base` is the native engine's median."""
    own = median(seconds)
    return DeviceRow(
        name=name,
        milliseconds=own * 1e3,
        characters_per_second=workload.batch_size * workload.seq_length / own,
        times_native=None if base is None else own / base,
        spread=spread(seconds),
    )
