"""Speed benchmarks that compare charloom with PyTorch and JAX.

They time the update of the classic experiment, and the named networks in `WORKLOADS`.
"""

from charloom.bench.classic import Bench, Row, accuracy, bench, render
from charloom.bench.device_speed import DeviceTimes, measure_devices
from charloom.bench.sampling_speed import WritingTimes, measure_writing
from charloom.bench.training_speed import StepTimes, measure_steps
from charloom.bench.workloads import CLASSIC, WORKLOADS
from charloom.config import require_one_of, require_whole

__all__ = [
    "CLASSIC",
    "WORKLOADS",
    "Bench",
    "DeviceTimes",
    "Row",
    "StepTimes",
    "WritingTimes",
    "accuracy",
    "bench",
    "measure",
    "measure_devices",
    "render",
]


def measure(
    workload: str, rounds: int | None = None, engine: str | None = None
) -> StepTimes | WritingTimes:
    """Time charloom and PyTorch on a named workload, and return the measured times.

    Args:
        workload: a name in `WORKLOADS`.
        rounds: how many times to time charloom, and how many times to time PyTorch. None takes the
            workload's default, `Workload.rounds`.
        engine: name of charloom's engine. None takes "native", or "reference" if the native engine
            cannot run. The engine torch computes on the processor, as PyTorch does.

    Raises:
        ConfigError: the workload or the engine is unknown, or `rounds` is below 1.
        MissingPartError: the engine cannot run here.
    """
    require_one_of("workload", workload, tuple(WORKLOADS))
    if rounds is not None:
        rounds = require_whole("rounds", rounds, least=1)
    found = WORKLOADS[workload]
    return (measure_writing if found.kind == "writing" else measure_steps)(found, rounds, engine)
