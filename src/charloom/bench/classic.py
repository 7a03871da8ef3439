"""Benchmark of the classic experiment's update and sampling: charloom, PyTorch and JAX.

A contestant is a library, or an engine of charloom, whose time is measured. The contestants take
turns on one core and read the same text. Results are medians over the rounds, and ratios of
medians. The peak is the rate of fused multiply-adds that the same core reached in the same rounds.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.bench import jax_classic, pytorch
from charloom.bench.charloom_engines import engine_sampling, engine_updates
from charloom.bench.contestant_text import bench_text, bench_vocabulary
from charloom.bench.interleaved import PEAK_OPERATIONS, Work, interleave, on_processors, peaks
from charloom.config import Config, require_whole
from charloom.engines import native_problem, open_engine
from charloom.model import new_learner

BASE: Final = "native float32"


@dataclass(frozen=True)
class Row:
    """The result of one contestant: medians over the rounds.

    Attributes:
        name: name of the contestant.
        microseconds: time per update or per character.
        per_second: updates or characters per second.
        ratio: the contestant's time divided by the time of "native float32", or by the time of the
            fastest contestant if "native float32" was not measured.
        spread: (slowest - fastest) / median over the rounds.
        peak_share: floating-point operations per second, divided by the measured peak. None for
            sampling, and for all contestants except charloom's native engine.
    """

    name: str
    microseconds: float
    per_second: float
    ratio: float
    spread: float
    peak_share: float | None = None


@dataclass(frozen=True)
class Bench:
    """The result of `bench`.

    Attributes:
        setting: hidden_size, seq_length, vocabulary_size, rounds and the floating-point operations
            of an update, counted as 6 T H (H + K).
        machine: description of the engine, and the measured peaks in GFLOP/s.
        updates: one row per contestant for the update.
        sampling: one row per contestant for sampling.
        accuracy: largest error of the native exp and tanh by dtype, in units in the last place;
            empty without the native engine.
        missing: for each contestant that was not measured, a text with the reason.
    """

    setting: dict[str, Any]
    machine: dict[str, Any]
    updates: list[Row]
    sampling: list[Row]
    accuracy: dict[str, dict[str, float]]
    missing: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the fields of the result as a dict of plain data."""
        return asdict(self)


def bench(rounds: int = 7, hidden_size: int = 100, vocabulary_size: int = 80) -> Bench:
    """Time the classic update and sampling in charloom and, if installed, PyTorch and JAX.

    Args:
        rounds: how many times each contestant is timed; results are medians over the rounds.
        hidden_size: hidden units H; 100 in the classic experiment.
        vocabulary_size: vocabulary size K from 2 to 103. The K-1 most frequent characters of the
            built-in text are kept; a single character replaces all others.

    Raises:
        ConfigError: a value is out of its range.
    """
    rounds = require_whole("rounds", rounds, least=1)
    vocabulary_size = require_whole("vocabulary_size", vocabulary_size, least=2, below=104)
    config = Config(hidden_size=hidden_size, engine="auto")
    tokens = bench_text(vocabulary_size)
    missing: list[str] = []
    with on_processors(1):
        updates = dict(_update_contestants(config, vocabulary_size, tokens, missing))
        peak_works = peaks("float32", "float64")
        times = interleave({**updates, **peak_works}, rounds)
        sampling = dict(_sampling_contestants(config, vocabulary_size))
        sampling_times = interleave(sampling, rounds)
    operations = 6 * config.seq_length * hidden_size * (hidden_size + vocabulary_size)
    peak = {
        name.removeprefix("peak "): PEAK_OPERATIONS / float(np.median(times[name]))
        for name in peak_works
    }
    return Bench(
        setting={
            "hidden_size": hidden_size,
            "seq_length": config.seq_length,
            "vocabulary_size": vocabulary_size,
            "rounds": rounds,
            "operations_per_update": operations,
        },
        machine={
            "engine": open_engine("auto").describe(),
            "peak_gflops": {name: rate / 1e9 for name, rate in peak.items()},
        },
        updates=_rows(updates, times, operations, peak),
        sampling=_rows(sampling, sampling_times, 0, {}),
        accuracy={} if native_problem() else accuracy(),
        missing=sorted(set(missing)),
    )


def _rows(
    contestants: dict[str, Work],
    times: dict[str, list[float]],
    operations: int,
    peak: dict[str, float],
) -> list[Row]:
    """Return the result of each contestant, computed from its times.

    Args:
        contestants: the contestants, by name.
        times: seconds per unit of work in each round, by name.
        operations: floating-point operations of a unit of work; used only if `peak` is not empty.
        peak: the measured peak in operations per second, by dtype.
    """
    medians = {name: float(np.median(times[name])) for name in contestants}
    base = medians.get(BASE) or min(medians.values())
    rows = []
    for name, median in medians.items():
        dtype = name.removeprefix("native ")
        rows.append(
            Row(
                name=name,
                microseconds=median * 1e6,
                per_second=1 / median,
                ratio=median / base,
                spread=(max(times[name]) - min(times[name])) / median,
                peak_share=operations / median / peak[dtype] if dtype in peak else None,
            )
        )
    return rows


def _update_contestants(
    config: Config, K: int, tokens: NDArray[np.uint8], missing: list[str]
) -> Iterator[tuple[str, Work]]:
    """Yield each library or engine whose updates are timed: its name, and a function to time.

    The function does n updates, where n is its argument. `K` is the vocabulary size, and `tokens`
    is the text. If a library or an engine cannot run, add the reason to `missing`.
    """
    vocabulary = bench_vocabulary(K)
    if native_problem() is None:
        for dtype in ("float32", "float64"):
            yield (
                f"native {dtype}",
                engine_updates(
                    open_engine("native"),
                    new_learner(config.replace(dtype=dtype), vocabulary),
                    tokens,
                ),
            )
    else:
        missing.append(str(native_problem()))
    yield (
        "reference float32",
        engine_updates(open_engine("reference"), new_learner(config, vocabulary), tokens),
    )
    for name, make in (
        ("PyTorch eager", pytorch.updates),
        ("JAX jitted scan", jax_classic.updates),
    ):
        try:
            yield f"{name} float32", make(config, K, tokens)
        except ImportError as error:
            missing.append(f"{name}: {error}")


def _sampling_contestants(config: Config, K: int) -> Iterator[tuple[str, Work]]:
    """Yield each library or engine whose sampling is timed: its name, and a function to time.

    The function samples n characters, where n is its argument. `K` is the vocabulary size. A
    library or an engine that cannot run is left out.
    """
    learner = new_learner(config, bench_vocabulary(K))
    names = ["reference"] if native_problem() else ["native", "reference"]
    for name in names:
        yield f"{name} float32", engine_sampling(open_engine(name), learner)
    with suppress(ImportError):
        yield "PyTorch RNNCell float32", pytorch.sampling(config, K)


def accuracy() -> dict[str, dict[str, float]]:
    """Return the largest errors of the native engine's exp and tanh, in units in the last place.

    The result is a dict that maps "exp" and "tanh" to a dict that maps each dtype to the error.
    """
    from charloom.engines.native import choose_instruction_set, open_kernels

    rng = np.random.default_rng(0)
    inputs = {
        "exp": rng.uniform(-80, 0, 160_000),
        "tanh": rng.choice([-1, 1], 160_000) * 10 ** rng.uniform(-6, 1.3, 160_000),
    }
    exact = {"exp": np.exp, "tanh": np.tanh}
    errors: dict[str, dict[str, float]] = {}
    for function, values in inputs.items():
        errors[function] = {}
        for dtype in ("float32", "float64"):
            x = values.astype(dtype)
            y = np.empty_like(x)
            open_kernels(dtype, choose_instruction_set()).apply(function, x, y)
            truth = exact[function](x.astype(np.longdouble))
            ulp = np.spacing(np.abs(truth).astype(dtype))
            errors[function][dtype] = float((np.abs(y - truth) / ulp).max())
    return errors


def render(result: Bench) -> str:
    """Return the result of `bench` as lines of text for users."""
    s = result.setting
    lines = [
        f"One core; medians of {s['rounds']} interleaved rounds; H = {s['hidden_size']}, "
        f"T = {s['seq_length']}, K = {s['vocabulary_size']}.",
        f"{result.machine['engine']}; measured FMA peak "
        + ", ".join(f"{g:.1f} GFLOP/s {d}" for d, g in result.machine["peak_gflops"].items()),
        "",
        f"{'one update':<26}{'µs':>10}{'updates/s':>12}{'times native':>14}{'of peak':>9}{'spread':>8}",
    ]
    lines += [_line(row) for row in result.updates]
    lines += ["", f"{'one sampled character':<26}{'µs':>10}{'chars/s':>12}{'times native':>14}"]
    lines += [_line(row) for row in result.sampling]
    if result.accuracy:
        parts = [
            f"{function} {error:.2f} ulp in {dtype}"
            for function, errors in result.accuracy.items()
            for dtype, error in errors.items()
        ]
        lines += ["", "largest error: " + ", ".join(parts)]
    lines += [f"not measured: {reason}" for reason in result.missing]
    return "\n".join(lines)


def _line(row: Row) -> str:
    """Return the result of one contestant as a line of the table for users."""
    share = f"{row.peak_share:.0%}" if row.peak_share else ""
    return (
        f"{row.name:<26}{row.microseconds:>10.2f}{row.per_second:>12,.0f}{row.ratio:>13.1f}×"
        f"{share:>9}{row.spread:>8.0%}"
    )
