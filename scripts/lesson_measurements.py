"""Measures the errors of gradients that docs/gradient-checking.md shows.

Rounding errors differ a little between processors. So two measurements count as equal if the larger one is
at most three times the smaller one.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.gradient_check import fresh_problem, gradcheck
from charloom.gradient_check.numerical import (
    Window,
    central_differences,
    complex_step,
    draw_entries,
)
from charloom.gradient_errors import errors

Figures = dict[str, Any]

K: Final = 80  # characters of the vocabulary
T: Final = 25  # steps of the window
SIZES: Final = (5, 10, 20, 50, 100)  # hidden units H
SEEDS: Final = (0, 1, 2)  # of the initial weights
NAMES: Final = ("b", "c", "U", "W", "V")  # parameters
USUAL_STEP: Final = 1e-4
USUAL_LIMIT: Final = 1e-4
STEPS: Final = tuple(10.0 ** (half / 2) for half in range(2, -25, -1))
LARGE_STEP: Final = 0.1  # at which the error of a central difference is truncation alone
EPSILON: Final = 2.0**-53  # half the relative distance of two neighbouring float64 numbers
DOTS: Final = 400  # the largest number of small entries of W that are drawn

# The largest ratio of two measurements of the same rounding error.
LARGEST_RATIO: Final = 3.0


class MeasuredGradient:
    """A new network and one window, with its gradient computed by three methods, entry by entry.

    The settings are those of the classic experiment: weights of 0.01, a zero initial state, T = 25 steps
    and K = 80 characters.
    """

    def __init__(self, H: int, seed: int = 0, dtype: str = "float64") -> None:
        config = Config(hidden_size=H, seq_length=T, dtype=dtype, seed=seed)
        self.learner, self.x, self.y = fresh_problem(config, K)
        self.window = Window.of(self.learner, self.x, self.y)
        self.parameters = dict(self.learner.parameters)
        self.loss, gradients, _ = ReferenceEngine().loss_and_gradients(self.learner, self.x, self.y)
        self.gradients = dict(gradients)

    def entries(self, name: str) -> Any:
        """Return the indices of all entries of a parameter; for U only of columns that the window reads."""
        every = np.arange(self.parameters[name].size)
        return every[np.isin(every % K, self.x)] if name == "layers.0.U" else every

    def exact(self, name: str, entries: Any) -> Any:
        """Return the gradient of entries by the complex step."""
        parameters = {n: p.astype(np.complex128) for n, p in self.parameters.items()}
        return complex_step(parameters, name, entries, self.window)

    def central(self, name: str, entries: Any, steps: Sequence[float] = (USUAL_STEP,)) -> Any:
        """Return the gradient of entries by central differences, shape (steps, entries)."""
        return central_differences(self.parameters, name, entries, self.window, steps)

    def analytic(self, name: str, entries: Any) -> Any:
        """Return the gradient of entries by backpropagation through time."""
        return self.gradients[name].ravel()[entries].astype(np.float64)


def relative(a: Any, n: Any) -> Any:
    """Return |a - n| / (|a| + |n|) of each entry; 0 where both are 0."""
    sizes = np.abs(a) + np.abs(n)
    return np.abs(a - n) / np.where(sizes == 0, 1, sizes)


def symbol_of(name: str) -> str:
    """Return the last part of a parameter's name, such as W for layers.0.W."""
    return name.rpartition(".")[2]


def measure_growth(sizes: Sequence[int] = SIZES, seeds: Sequence[int] = SEEDS) -> list[Figures]:
    """Measure the errors of gradients for networks of growing size, against the complex step.

    For each parameter: the relative error of the worst entry, the norm-relative error and the
    root-mean-square error of central differences at the usual step, and the relative error of the
    worst entry of backpropagation. Each is the median over the seeds.
    """
    rows = []
    for H in sizes:
        found: dict[str, list[list[float]]] = {name: [] for name in NAMES}
        for seed in seeds:
            measured = MeasuredGradient(H, seed)
            for name in measured.parameters:
                entries = measured.entries(name)
                exact = measured.exact(name, entries)
                (central,) = measured.central(name, entries)
                found[symbol_of(name)].append(
                    [
                        relative(central, exact).max(),
                        errors(central, exact).norm_relative,
                        relative(measured.analytic(name, entries), exact).max(),
                        math.sqrt(np.square(central - exact).mean()),
                    ]
                )
        medians = {
            name: [statistics.median(values) for values in zip(*found[name], strict=True)]
            for name in NAMES
        }
        kinds = ("worst", "norm", "analytic", "absolute")
        rows.append(
            {"H": H}
            | {
                kind: {name: medians[name][place] for name in NAMES}
                for place, kind in enumerate(kinds)
            }
        )
    return rows


def measure_entries(sizes: Sequence[int] = (SIZES[0], SIZES[-1])) -> list[Figures]:
    """Measure entries of W: their sizes and the relative errors of central differences, smallest first."""
    rows = []
    for H in sizes:
        measured, name = MeasuredGradient(H), "layers.0.W"
        entries = measured.entries(name)
        exact = measured.exact(name, entries)
        (central,) = measured.central(name, entries)
        order = np.argsort(np.abs(exact))
        # Nearly all of the smallest entries, which show most, and a sample of the others.
        few = np.unique(np.geomspace(1, len(order), DOTS).astype(int) - 1)
        even = np.linspace(0, len(order) - 1, DOTS // 2).astype(int)
        shown = order[np.union1d(few, even)]
        spacing = float(np.spacing(measured.loss))
        rows.append(
            {
                "H": H,
                "count": len(order),
                "loss": measured.loss,
                "spacing": spacing,
                "expected": spacing / (2 * USUAL_STEP),
                "largest": float(np.abs(exact).max()),
                "smallest": float(np.abs(exact).min()),
                "typical": float(np.median(np.abs(exact))),
                "size": np.abs(exact)[shown].tolist(),
                "error": relative(central, exact)[shown].tolist(),
            }
        )
    return rows


def measure_step_sizes(H: int = 100, steps: Sequence[float] = STEPS, count: int = 50) -> Figures:
    """Measure the norm-relative errors of central differences of c and W for each step and both dtypes."""
    found: Figures = {"H": H, "steps": list(steps)}
    for dtype in ("float64", "float32"):
        measured = MeasuredGradient(H, dtype=dtype)
        curves, exactly = {}, {}
        for place, name in enumerate(("c", "layers.0.W")):
            entries = draw_entries(measured.parameters[name].shape, count, 0, place, None)
            exact = measured.exact(name, entries)
            central = measured.central(name, entries, steps).astype(np.float64)
            curves[symbol_of(name)] = [errors(one, exact).norm_relative for one in central]
            exactly[symbol_of(name)] = errors(measured.analytic(name, entries), exact).norm_relative
        found[dtype] = {"curves": curves, "analytic": exactly, "loss": measured.loss}
        found[dtype]["spacing"] = float(np.spacing(np.dtype(dtype).type(measured.loss)))
    return found


def measure_best_steps(H: int = 100, count: int = 50) -> Figures:
    """Compute the best step of central differences from the loss and its third derivative, for entries of c and W.

    The error at step s is about s² f‴ / 6 + ε f / s, where f is the loss, and ε half the relative distance
    of two float64 numbers. For each parameter: the root mean squares of f′ and f‴ over the entries of
    `measure_step_sizes`, the step with the smallest error, and the norm-relative error there. f‴ is
    measured with a step at which rounding is negligible.
    """
    measured = MeasuredGradient(H)
    rounding = EPSILON * measured.loss
    found: Figures = {"rounding": rounding}
    for place, name in enumerate(("c", "layers.0.W")):
        entries = draw_entries(measured.parameters[name].shape, count, 0, place, None)
        exact = measured.exact(name, entries)
        (central,) = measured.central(name, entries, (LARGE_STEP,))
        third = math.sqrt(np.square(6 * (central - exact) / LARGE_STEP**2).mean())
        slope = math.sqrt(np.square(exact).mean())
        step = (3 * rounding / third) ** (1 / 3)
        error = step**2 * third / 6 + rounding / step
        found[symbol_of(name)] = {
            "slope": slope, "third": third, "step": step, "error": error, "norm": error / (2 * slope),
        }  # fmt: skip
    return found


class BackpropagationWithMistake:
    """Hand-written backpropagation with one mistake: at t = 0 it leaves out the previous state."""

    name = "with mistake"

    def loss_and_gradients(self, learner: Any, x: Any, y: Any) -> tuple[float, Any, Any]:
        """Return loss, gradients and next state of one window; x and y have shape (T, 1)."""
        U, W, b, V, c = learner.parameters.values()
        x, y, h = x[:, 0], y[:, 0], [learner.state["h"][0, 0]]
        for t in range(len(x)):
            h.append(np.tanh(W @ h[t] + U[:, x[t]] + b))
        o = np.array(h[1:]) @ V.T + c
        p = np.exp(o) / np.exp(o).sum(axis=1, keepdims=True)
        loss = -np.log(p[range(len(y)), y]).sum()
        p[range(len(y)), y] -= 1
        dU, dW, db, dh_next = np.zeros_like(U), np.zeros_like(W), np.zeros_like(b), 0.0
        for t in reversed(range(len(x))):
            da = (V.T @ p[t] + dh_next) * (1 - h[t + 1] ** 2)
            dU[:, x[t]] += da
            if t > 0:  # the mistake: the initial state h[0] belongs to the sum too
                dW += np.outer(da, h[t])
            db += da
            dh_next = W.T @ da
        gradients = (dU, dW, db, p.T @ np.array(h[1:]), p.sum(axis=0))
        named = dict(zip(learner.parameters, gradients, strict=True))
        return loss, named, {"h": h[-1][None, None]}


def measure_mistake() -> list[Figures]:
    """Measure the errors that the usual check and the complex step find in `BackpropagationWithMistake`.

    The initial state is once zero and once non-zero.
    """
    rows = []
    for state in ("zero", "non-zero"):
        check = gradcheck(
            hidden_size=5,
            seq_length=3,
            vocabulary_size=K,
            state=state,
            engine=BackpropagationWithMistake(),
        )
        usual = check.steps.index(USUAL_STEP)
        rows.append(
            {
                "state": state,
                "central": {row.parameter: row.curve[usual] for row in check.rows},
                "complex": {row.parameter: row.norm_relative for row in check.rows},
                "passed": check.passed,
            }
        )
    return rows


def measure() -> Figures:
    """Measure all figures of the lesson."""
    return rounded(
        {
            "growth": measure_growth(),
            "entries": measure_entries(),
            "step_sizes": measure_step_sizes(),
            "best_steps": measure_best_steps(),
            "mistake": measure_mistake(),
        }
    )


def rounded(value: Any) -> Any:
    """Round all figures to four digits, because further digits differ between machines."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(inner) for inner in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def differences(stored: Any, found: Any, where: str = "") -> list[str]:
    """Return a sentence for each figure that differs between two measurements.

    Any figure may contain rounding errors, so one rule applies to all floats: the larger one is at most
    `LARGEST_RATIO` times the smaller one, or both are at most 1e-11, as the rounding errors of backpropagation are.
    """
    if isinstance(stored, dict) and isinstance(found, dict) and stored.keys() == found.keys():
        return [s for key in stored for s in differences(stored[key], found[key], f"{where}.{key}")]
    if isinstance(stored, list) and isinstance(found, list) and len(stored) == len(found):
        pairs = enumerate(zip(stored, found, strict=True))
        return [s for at, pair in pairs for s in differences(*pair, f"{where}[{at}]")]
    if isinstance(stored, float) and isinstance(found, float):
        least, most = sorted((abs(stored), abs(found)))
        if most <= 1e-11 or most <= LARGEST_RATIO * least:
            return []
    elif stored == found:
        return []
    return [f"{where.lstrip('.')} is stored as {str(stored)[:40]}, and is now {str(found)[:40]}"]
