"""The speed of one update and of sampling, side by side with other ways to do the same.

Every contestant does the classic experiment's update on the same text, on one core, in turn: A B C,
A B C, …; what is quoted is the median over the rounds, and ratios are of medians. The share is of
the peak of fused multiply-adds that the same core reached in the same rounds.
"""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config, require_whole
from charloom.engines import Engine, Plan, Sampler, native_problem, open_engine
from charloom.model import Learner, new_learner
from charloom.text import Corpus, Vocabulary

Work = Callable[[int], None]  # does that many updates, or draws that many characters

SECONDS_A_TURN: Final = 0.25
BASE: Final = "native float32"


@dataclass(frozen=True)
class Row:
    """One contestant: medians over the rounds.

    Attributes:
        microseconds: per update, or per character.
        ratio: how many times as long as native float32 it takes.
        spread: (slowest - fastest) / median over the rounds.
        peak_share: of the measured peak, for native rows.
    """

    name: str
    microseconds: float
    per_second: float
    ratio: float
    spread: float
    peak_share: float | None = None


@dataclass(frozen=True)
class Bench:
    """What `bench` measured.

    Attributes:
        setting: hidden_size, seq_length, vocabulary_size, rounds, floating-point operations of an
            update by the blueprint's count 6 T H (H + K).
        machine: engine description and measured peaks in GFLOP/s.
        updates, sampling: a row per contestant.
        accuracy: the largest error of exp and tanh in units in the last place.
        missing: contestants that are not installed, and why.
    """

    setting: dict[str, Any]
    machine: dict[str, Any]
    updates: list[Row]
    sampling: list[Row]
    accuracy: dict[str, dict[str, float]]
    missing: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for --json."""
        return asdict(self)


def bench(rounds: int = 7, hidden_size: int = 100, vocabulary_size: int = 80) -> Bench:
    """Measure the classic update and sampling against whatever else is installed.

    Args:
        rounds: turns of each contestant; the medians are over these.
        hidden_size: H; the classic experiment has 100.
        vocabulary_size: K; the built-in text is mapped to so many characters (2 to 103).

    Raises:
        ConfigError: a value out of its range.
    """
    require_whole("rounds", rounds, least=1)
    require_whole("vocabulary_size", vocabulary_size, least=2, below=104)
    config = Config(hidden_size=hidden_size, engine="auto")
    tokens = bench_text(vocabulary_size)
    missing: list[str] = []
    with one_core():
        updates = dict(_update_contestants(config, vocabulary_size, tokens, missing))
        peaks = _peaks()
        times = _interleave({**updates, **peaks}, rounds)
        sampling = dict(_sampling_contestants(config, vocabulary_size))
        sampling_times = _interleave(sampling, rounds)
    operations = 6 * config.seq_length * hidden_size * (hidden_size + vocabulary_size)
    peak = {
        name.removeprefix("peak "): operations_of_peak / float(np.median(times[name]))
        for name, operations_of_peak in ((name, PEAK_OPERATIONS) for name in peaks)
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


def bench_text(vocabulary_size: int) -> NDArray[np.uint8]:
    """The built-in text as ids 0 … K-1: its K-1 commonest characters, the others as one."""
    ids = Corpus.open(["python-docs"]).ids
    places = np.argsort(np.argsort(-np.bincount(ids), kind="stable"), kind="stable")
    return np.asarray(np.minimum(places[ids], vocabulary_size - 1), dtype=np.uint8)


@contextmanager
def one_core() -> Iterator[None]:
    """Hold this process to one processor, where the system can, and libraries to one thread."""
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    if before:
        with suppress(OSError):
            os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        if before:
            with suppress(OSError):
                os.sched_setaffinity(0, before)


def _interleave(contestants: dict[str, Work], rounds: int) -> dict[str, list[float]]:
    """Seconds per unit of work of each contestant in each round, in turn."""
    counts = {}
    for name, work in contestants.items():
        work(1)
        count, seconds = 1, 0.0
        while seconds < SECONDS_A_TURN / 4:
            count *= 2
            seconds = _seconds(work, count)
        counts[name] = max(1, round(count * SECONDS_A_TURN / seconds))
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, work in contestants.items():
            times[name].append(_seconds(work, counts[name]) / counts[name])
    return times


def _seconds(work: Work, count: int) -> float:
    start = time.perf_counter()
    work(count)
    return time.perf_counter() - start


def _rows(
    contestants: dict[str, Work],
    times: dict[str, list[float]],
    operations: int,
    peak: dict[str, float],
) -> list[Row]:
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


PEAK_OPERATIONS: Final = 1e9  # one unit of "work" of a peak contestant


def _peaks() -> dict[str, Work]:
    """The FMA peak of both types as contestants: a unit of work is 10⁹ operations."""
    if native_problem() is not None:
        return {}
    from charloom import _native
    from charloom.engines.native import choose_instruction_set

    isa = choose_instruction_set()
    return {
        f"peak {dtype}": lambda count, dtype=dtype: _native.multiply_adds(  # type: ignore[misc]
            isa, dtype, count * PEAK_OPERATIONS
        )
        for dtype in ("float32", "float64")
    }


def _update_contestants(
    config: Config, K: int, tokens: NDArray[np.uint8], missing: list[str]
) -> Iterator[tuple[str, Work]]:
    vocabulary = Vocabulary(chr(0x100 + k) for k in range(K))
    if native_problem() is None:
        for dtype in ("float32", "float64"):
            yield (
                f"native {dtype}",
                _engine_updates(
                    open_engine("native"),
                    new_learner(config.replace(dtype=dtype), vocabulary),
                    tokens,
                ),
            )
    else:
        missing.append(str(native_problem()))
    yield (
        "reference float32",
        _engine_updates(open_engine("reference"), new_learner(config, vocabulary), tokens),
    )
    for name, make in (("PyTorch eager", _torch_updates), ("JAX jitted scan", _jax_updates)):
        try:
            yield f"{name} float32", make(config, K, tokens)
        except ImportError as error:
            missing.append(f"{name}: {error}")


def _engine_updates(engine: Engine, learner: Learner, tokens: NDArray[np.uint8]) -> Work:
    def work(count: int) -> None:
        while count:
            room = (len(tokens) - 1 - learner.position) // learner.config.seq_length
            part = min(count, room)
            config = learner.config
            plan = Plan(np.full(part, config.learning_rate), config.clip, config.epsilon)
            engine.train(learner, tokens, plan)
            count -= part
            if part == room:
                learner.position = 0

    return work


def _windows(tokens: NDArray[np.uint8], T: int) -> Iterator[tuple[Any, Any]]:
    while True:
        for e in range(0, len(tokens) - T - 1, T):
            yield tokens[e : e + T], tokens[e + 1 : e + T + 1]


def _torch_updates(config: Config, K: int, tokens: NDArray[np.uint8]) -> Work:
    """nn.RNN and nn.Linear, cross-entropy summed over T, clip_grad_value_, Adagrad; eager."""
    import torch

    torch.set_num_threads(1)
    T, H = config.seq_length, config.hidden_size
    rnn, linear = torch.nn.RNN(K, H), torch.nn.Linear(H, K)
    parameters = [*rnn.parameters(), *linear.parameters()]
    optimizer = torch.optim.Adagrad(parameters, lr=config.learning_rate, eps=config.epsilon)
    one_hot = torch.eye(K)
    windows = _windows(tokens, T)
    h = torch.zeros(1, 1, H)

    def work(count: int) -> None:
        nonlocal h
        for _ in range(count):
            x, y = next(windows)
            optimizer.zero_grad()
            outputs, h_next = rnn(one_hot[torch.from_numpy(x).long()].unsqueeze(1), h)
            target = torch.from_numpy(y).long()
            loss = torch.nn.functional.cross_entropy(linear(outputs[:, 0]), target, reduction="sum")
            loss.backward()
            torch.nn.utils.clip_grad_value_(parameters, config.clip)
            optimizer.step()
            h = h_next.detach()

    return work


def _jax_updates(config: Config, K: int, tokens: NDArray[np.uint8]) -> Work:
    """The same update as one jitted function: a scan over T, its gradient, clip and AdaGrad."""
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp

    T, H = config.seq_length, config.hidden_size
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    weights = {
        "U": config.sigma * jax.random.normal(keys[0], (K, H)),
        "W": config.sigma * jax.random.normal(keys[1], (H, H)),
        "V": config.sigma * jax.random.normal(keys[2], (H, K)),
        "b": jnp.zeros(H),
        "c": jnp.zeros(K),
    }
    accumulators = jax.tree.map(jnp.zeros_like, weights)

    def loss_of(weights: Any, h: Any, x: Any, y: Any) -> Any:
        def step(h: Any, x_t: Any) -> Any:
            h = jnp.tanh(h @ weights["W"] + weights["U"][x_t] + weights["b"])
            return h, h

        h, hs = jax.lax.scan(step, h, x)
        log_p = jax.nn.log_softmax(hs @ weights["V"] + weights["c"])
        return -log_p[jnp.arange(T), y].sum(), h

    def update(weights: Any, accumulators: Any, h: Any, x: Any, y: Any) -> Any:
        (_, h), gradients = jax.value_and_grad(loss_of, has_aux=True)(weights, h, x, y)
        gradients = jax.tree.map(lambda g: jnp.clip(g, -config.clip, config.clip), gradients)
        accumulators = jax.tree.map(lambda m, g: m + g * g, accumulators, gradients)
        weights = jax.tree.map(
            lambda p, g, m: p - config.learning_rate * g / jnp.sqrt(m + config.epsilon),
            weights,
            gradients,
            accumulators,
        )
        return weights, accumulators, h

    jitted = jax.jit(update)
    windows = _windows(tokens, T)
    h = jnp.zeros(H)

    def work(count: int) -> None:
        nonlocal weights, accumulators, h
        for _ in range(count):
            x, y = next(windows)
            weights, accumulators, h = jitted(weights, accumulators, h, x, y)
        jax.block_until_ready(h)

    return work


def _sampling_contestants(config: Config, K: int) -> Iterator[tuple[str, Work]]:
    vocabulary = Vocabulary(chr(0x100 + k) for k in range(K))
    learner = new_learner(config, vocabulary)
    names = ["reference"] if native_problem() else ["native", "reference"]
    for name in names:
        yield f"{name} float32", _engine_sampling(open_engine(name), learner)
    with suppress(ImportError):
        yield "PyTorch RNNCell float32", _torch_sampling(config, K)


def _engine_sampling(engine: Engine, learner: Learner) -> Work:
    def work(count: int) -> None:
        uniforms = np.random.default_rng(0).random(count)
        engine.generate(learner, 0, Sampler(), uniforms, learner.state)

    return work


def _torch_sampling(config: Config, K: int) -> Work:
    """RNNCell on an embedded input (its column of U), Linear, softmax, multinomial; no gradients."""
    import torch

    torch.set_num_threads(1)
    cell, linear = torch.nn.RNNCell(K, config.hidden_size), torch.nn.Linear(config.hidden_size, K)
    one_hot = torch.eye(K)

    def work(count: int) -> None:
        with torch.inference_mode():
            h, x = torch.zeros(1, config.hidden_size), one_hot[:1]
            for _ in range(count):
                h = cell(x, h)
                id = torch.multinomial(torch.softmax(linear(h), dim=1), 1)
                x = one_hot[id[0]]

    return work


def accuracy() -> dict[str, dict[str, float]]:
    """The largest error of the native exp and tanh, in units in the last place of each type."""
    from charloom import _native
    from charloom.engines.native import choose_instruction_set

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
            getattr(_native, dtype).apply(choose_instruction_set(), function, x, y)
            truth = exact[function](x.astype(np.longdouble))
            ulp = np.spacing(np.abs(truth).astype(dtype))
            errors[function][dtype] = float((np.abs(y - truth) / ulp).max())
    return errors


def render(result: Bench) -> str:
    """The result as text for people."""
    s = result.setting
    lines = [
        f"One core, medians of {s['rounds']} interleaved rounds; H = {s['hidden_size']}, "
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
    share = f"{row.peak_share:.0%}" if row.peak_share else ""
    return (
        f"{row.name:<26}{row.microseconds:>10.2f}{row.per_second:>12,.0f}{row.ratio:>13.1f}×"
        f"{share:>9}{row.spread:>8.0%}"
    )
