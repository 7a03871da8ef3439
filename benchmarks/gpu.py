"""Measures the torch engine against a bare PyTorch loop, on the processor and on a GPU.

python benchmarks/gpu.py [--rounds 5] [--device auto]

It ends within about five minutes, also on a machine without a GPU: it then prints "not measured" for what needs one.
Both sides of a comparison run in one process and in turn; figures are medians. Targets: the engine reaches 0.95 of
the loop's speed on the processor and 0.9 on a GPU; CUDA graphs are 3 times as fast as single launches up to H = 256.
"""

import argparse
from itertools import product
from statistics import median

import numpy as np
import torch

from charloom.bench import pytorch
from charloom.bench.charloom_engines import engine_updates
from charloom.bench.contestant_text import bench_text, bench_vocabulary
from charloom.bench.device_speed import WARM_UP
from charloom.bench.interleaved import Work, interleave
from charloom.cell_table import CELL_NAMES
from charloom.config import OPTIMIZERS, Config
from charloom.engines import Plan
from charloom.engines.reference import ReferenceEngine
from charloom.engines.torch import TorchEngine
from charloom.engines.torch.devices import chosen_device, device_title
from charloom.model import Learner, copy_learner, new_learner

K = 65  # characters of Tiny Shakespeare
SECONDS_A_TURN = 0.5


def config_of(H: int, layers: int, B: int, T: int) -> Config:
    """Return the settings of an LSTM that is trained with Adam and the mean loss, without clipping."""
    return Config(
        cell="lstm", hidden_size=H, layers=layers, batch_size=B, seq_length=T, init="uniform",
        optimizer="adam", learning_rate=1e-3, reduction="mean", clip=0.0,
    )  # fmt: skip


def engine_loop(config: Config, engine: TorchEngine) -> Work:
    """Return a function of n that applies n updates with the torch engine."""
    return engine_updates(engine, new_learner(config, bench_vocabulary(K)), bench_text(K))


def bare_loop(config: Config, device: torch.device) -> Work:
    """Return a function of n that applies n updates with PyTorch's own modules and its fused Adam."""
    return pytorch.steps(config, K, bench_text(K), 1, str(device))


def in_turn(ours: Work, theirs: Work, rounds: int) -> tuple[float, float]:
    """Return the median seconds of an update of two loops that are timed in turn."""
    for work in (ours, theirs):
        work(WARM_UP if torch.cuda.is_available() else 1)
    times = interleave({"ours": ours, "theirs": theirs}, rounds, SECONDS_A_TURN)
    return median(times["ours"]), median(times["theirs"])


def compare(
    name: str, config: Config, ours: Work, theirs: Work, rounds: int, target: float
) -> None:
    """Time two loops in turn, and print their speeds and the ratio with its target."""
    own, other = in_turn(ours, theirs, rounds)
    characters = config.batch_size * config.seq_length
    print(
        f"{name}: {characters / own:,.0f} against {characters / other:,.0f} characters/s: {other / own:.3f} "
        f"(target {target})",
        flush=True,
    )


def small_network(
    cell: str, layers: int, batch_size: int, optimizer: str, dropout: float
) -> Learner:
    """Return a small network in float64."""
    config = Config(
        cell=cell, layers=layers, batch_size=batch_size, optimizer=optimizer, dropout=dropout,
        hidden_size=5, seq_length=4, init="uniform", dtype="float64",
    )  # fmt: skip
    return new_learner(config, bench_vocabulary(7))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the norm of a difference, divided by the sum of the norms."""
    scale = np.linalg.norm(a) + np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / scale) if scale else 0.0


def agreement(engine: TorchEngine) -> tuple[float, float]:
    """Return the largest distance from the reference engine of a gradient, and of a weight after an update."""
    reference, gradient, update = ReferenceEngine(), 0.0, 0.0
    ids = np.random.default_rng(1).integers(0, 7, 400).astype(np.uint8)
    for sizes in product(CELL_NAMES, (1, 2, 3), (1, 7, 32), OPTIMIZERS, (0.0, 0.3)):
        learner = small_network(*sizes)
        starts = np.arange(sizes[2], dtype=np.int64) * 11
        x = ids[starts + np.arange(4)[:, np.newaxis]]
        theirs, ours = (
            e.loss_and_gradients(learner, x, x[::-1], 1)[1] for e in (reference, engine)
        )
        gradient = max(gradient, *(distance(ours[name], theirs[name]) for name in theirs))
        # A weight whose gradient is nearly 0 would show only rounding in its first step of Adam.
        reference.train(learner, ids, Plan(np.full(2, 0.01), starts))
        copied = copy_learner(learner)
        for each, one in ((reference, learner), (engine, copied)):
            each.train(one, ids, Plan(np.full(1, 0.01), starts))
        steps = [
            np.abs(copied.parameters[n] - learner.parameters[n]).max() for n in learner.parameters
        ]
        update = max(update, *steps)
    return gradient, update


def measure_gpu(device: torch.device, rounds: int) -> None:
    """Print everything that needs a CUDA GPU."""
    large = config_of(1024, 2, 256, 128)
    engine = TorchEngine(1, str(device))
    compare(
        "LSTM 2×1024, B 256, T 128, engine against bare cuDNN loop",
        large, engine_loop(large, engine), bare_loop(large, device), rounds, 0.9,
    )  # fmt: skip
    eager = TorchEngine(1, str(device), graphs=False)
    for H in (128, 256):
        small = config_of(H, 1, 32, 64)
        compare(
            f"LSTM 1×{H}, B 32, T 64, CUDA graphs against single launches",
            small, engine_loop(small, engine), engine_loop(small, eager), rounds, 3.0,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    device, cpu = chosen_device(options.device), torch.device("cpu")
    print(f"PyTorch {torch.__version__}, {device_title(device)}", flush=True)
    for one in dict.fromkeys((cpu, device)):
        if one.type == "mps":
            print("agreement in float64 on mps: not measured: the device has no float64")
            continue
        gradient, update = agreement(TorchEngine(1, str(one)))
        print(
            f"agreement in float64 on {one}: gradients {gradient:.1e} (limit 1e-10), updates {update:.1e} "
            f"(limit 1e-9)",
            flush=True,
        )
    config = config_of(512, 2, 32, 64)
    ours, theirs = engine_loop(config, TorchEngine(1, "cpu")), bare_loop(config, cpu)
    compare(
        "LSTM 2×512, B 32, T 64, engine against bare loop, one thread of the processor",
        config, ours, theirs, options.rounds, 0.95,
    )  # fmt: skip
    if device.type == "cuda":
        measure_gpu(device, options.rounds)
    else:
        print("LSTM 2×1024, B 256, T 128 against a bare cuDNN loop: not measured: no CUDA GPU")
        print("CUDA graphs against single launches at H ≤ 256: not measured: no CUDA GPU")


if __name__ == "__main__":
    main()
