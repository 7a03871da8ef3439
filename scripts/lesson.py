"""Measures the figures of docs/gradient-checking.md, writes them into its text and draws its pictures.

    sh scripts/lesson              # measure (about four minutes), draw, and write the figures into the text
    sh scripts/lesson --draw       # draw and write again from the stored figures
    sh scripts/lesson --check      # measure, change nothing, and print what would change

The figures are stored in docs/gradient-checking.json. Rounding errors differ a little between processors.
So they are quoted with one digit, and two measurements count as equal if the larger one is at most three
times the smaller one.
"""

import argparse
import json
import math
import re
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from charloom.config import Config
from charloom.engines.reference import ReferenceEngine
from charloom.formatting import THIN, power_of_ten, scientific
from charloom.gradient_check import fresh_problem, gradcheck
from charloom.gradient_check.numerical import (
    Window,
    central_differences,
    complex_step,
    draw_entries,
)
from charloom.gradient_errors import errors
from charloom.report.gradient_plot import SERIES
from charloom.report.plot_files import save_figure
from charloom.report.plot_style import (
    DARK,
    LIGHT,
    Palette,
    blank_figure,
    font_size,
    heading,
    style_axes,
)

DOCS: Final = Path(__file__).parent.parent / "docs"
LESSON: Final = DOCS / "gradient-checking.md"
FIGURES: Final = DOCS / "gradient-checking.json"
JUDGED: Final = DOCS / "doctor.json"  # made by benchmarks/doctor.py
PICTURES: Final = DOCS / "pictures"

Figures = dict[str, Any]

K: Final = 80
USUAL_STEP: Final = 1e-4
USUAL_LIMIT: Final = 1e-4
SIZES: Final = (5, 10, 20, 50, 100)  # hidden units H
T: Final = 25
SEEDS: Final = (0, 1, 2)
NAMES: Final = ("b", "c", "U", "W", "V")
STEPS: Final = tuple(10.0 ** (half / 2) for half in range(2, -25, -1))
DOTS: Final = 400  # the largest number of small entries of W that are drawn

# The largest ratio of two measurements of the same rounding error.
SAME: Final = 3.0


# What is measured


class Truth:
    """A new network and one window, with its gradient computed by three methods, entry by entry.

    The settings are those of the classic experiment: weights of 0.01, a zero initial state, T = 25 steps
    and K = 80 characters.
    """

    def __init__(self, H: int, seed: int = 0, dtype: str = "float64") -> None:
        config = Config(hidden_size=H, seq_length=T, dtype=dtype, seed=seed)
        self.learner, self.x, self.y = fresh_problem(config, K)
        self.window = Window.of(self.learner, self.x, self.y)
        self.own = dict(self.learner.parameters)
        self.loss, gradients, _ = ReferenceEngine().loss_and_gradients(self.learner, self.x, self.y)
        self.gradients = dict(gradients)

    def entries(self, name: str) -> Any:
        """Return the indices of all entries of a parameter; for U only of columns that the window reads."""
        every = np.arange(self.own[name].size)
        return every[np.isin(every % K, self.x)] if name == "layers.0.U" else every

    def exact(self, name: str, entries: Any) -> Any:
        """Return the gradient of entries by the complex step."""
        parameters = {n: p.astype(np.complex128) for n, p in self.own.items()}
        return complex_step(parameters, name, entries, self.window)

    def central(self, name: str, entries: Any, steps: Sequence[float] = (USUAL_STEP,)) -> Any:
        """Return the gradient of entries by central differences, shape (steps, entries)."""
        return central_differences(self.own, name, entries, self.window, steps)

    def analytic(self, name: str, entries: Any) -> Any:
        """Return the gradient of entries by backpropagation through time."""
        return self.gradients[name].ravel()[entries].astype(np.float64)


def relative(a: Any, n: Any) -> Any:
    """Return |a - n| / (|a| + |n|) of each entry; 0 where both are 0."""
    sizes = np.abs(a) + np.abs(n)
    return np.abs(a - n) / np.where(sizes == 0, 1, sizes)


def short(name: str) -> str:
    """Return the last part of a parameter's name, such as W for layers.0.W."""
    return name.rpartition(".")[2]


def measure_growth(sizes: Sequence[int] = SIZES, seeds: Sequence[int] = SEEDS) -> list[Figures]:
    """Measure the errors of gradients for networks of growing size, with the complex step as the truth.

    For each parameter: the relative error of the worst entry, the norm-relative error and the
    root-mean-square error of central differences at the usual step, and the relative error of the
    worst entry of backpropagation. Each is the median over the seeds.
    """
    rows = []
    for H in sizes:
        found: dict[str, list[list[float]]] = {name: [] for name in NAMES}
        for seed in seeds:
            truth = Truth(H, seed)
            for name in truth.own:
                entries = truth.entries(name)
                exact = truth.exact(name, entries)
                (central,) = truth.central(name, entries)
                found[short(name)].append(
                    [
                        relative(central, exact).max(),
                        errors(central, exact).norm_relative,
                        relative(truth.analytic(name, entries), exact).max(),
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
        truth, name = Truth(H), "layers.0.W"
        entries = truth.entries(name)
        exact = truth.exact(name, entries)
        (central,) = truth.central(name, entries)
        order = np.argsort(np.abs(exact))
        # Nearly all of the smallest entries, which show most, and a sample of the others.
        few = np.unique(np.geomspace(1, len(order), DOTS).astype(int) - 1)
        even = np.linspace(0, len(order) - 1, DOTS // 2).astype(int)
        shown = order[np.union1d(few, even)]
        spacing = float(np.spacing(truth.loss))
        rows.append(
            {
                "H": H,
                "count": len(order),
                "loss": truth.loss,
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


def measure_valley(H: int = 100, steps: Sequence[float] = STEPS, count: int = 50) -> Figures:
    """Measure the norm-relative errors of central differences of c and W for each step and both dtypes."""
    found: Figures = {"H": H, "steps": list(steps)}
    for dtype in ("float64", "float32"):
        truth = Truth(H, dtype=dtype)
        curves, exactly = {}, {}
        for place, name in enumerate(("c", "layers.0.W")):
            entries = draw_entries(truth.own[name].shape, count, 0, place, None)
            exact = truth.exact(name, entries)
            central = truth.central(name, entries, steps).astype(np.float64)
            curves[short(name)] = [errors(one, exact).norm_relative for one in central]
            exactly[short(name)] = errors(truth.analytic(name, entries), exact).norm_relative
        found[dtype] = {"curves": curves, "analytic": exactly, "loss": truth.loss}
        found[dtype]["spacing"] = float(np.spacing(np.dtype(dtype).type(truth.loss)))
    return found


class Forgetful:
    """Hand-written backpropagation with one mistake: at t = 0 it leaves out the previous state."""

    name = "forgetful"

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
    """Measure the errors that the usual check and the complex step find in `Forgetful`.

    The initial state is once zero and once non-zero.
    """
    rows = []
    for state in ("zero", "non-zero"):
        check = gradcheck(
            hidden_size=5, seq_length=3, vocabulary_size=K, state=state, engine=Forgetful()
        )
        usual = check.steps.index(USUAL_STEP)
        rows.append(
            {
                "state": state,
                "central": {row.parameter: row.curve[usual] for row in check.rows},
                "complex": {row.parameter: row.norm_relative for row in check.rows},
                "right": check.passed,
            }
        )
    return rows


def measure() -> Figures:
    """Measure all figures of the lesson."""
    return rounded(
        {
            "growth": measure_growth(),
            "entries": measure_entries(),
            "valley": measure_valley(),
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


def disagreements(kept: Any, found: Any, where: str = "") -> list[str]:
    """Return a sentence for each figure that differs between two measurements.

    Any figure may contain rounding errors, so one rule applies to all floats: the larger one is at most
    `SAME` times the smaller one, or both are at most 1e-11, as the rounding errors of backpropagation are.
    """
    if isinstance(kept, dict) and isinstance(found, dict) and kept.keys() == found.keys():
        return [s for key in kept for s in disagreements(kept[key], found[key], f"{where}.{key}")]
    if isinstance(kept, list) and isinstance(found, list) and len(kept) == len(found):
        pairs = enumerate(zip(kept, found, strict=True))
        return [s for at, pair in pairs for s in disagreements(*pair, f"{where}[{at}]")]
    if isinstance(kept, float) and isinstance(found, float):
        least, most = sorted((abs(kept), abs(found)))
        if most <= 1e-11 or most <= SAME * least:
            return []
    elif kept == found:
        return []
    return [f"{where.lstrip('.')} is stored as {str(kept)[:40]}, and is now {str(found)[:40]}"]


# What is quoted


def quoted(figures: Figures) -> dict[str, str]:
    """Return the figures that the lesson quotes, as text, by name."""
    first, last = figures["growth"][0], figures["growth"][-1]
    small, large = figures["entries"]
    valley = figures["valley"]
    zero, other = figures["mistake"]

    texts = {
        "loss": f"{large['loss']:.1f}",
        "spacing": scientific(large["spacing"]),
        "blur": scientific(large["expected"]),
        "measured-blur": rough(last["absolute"]["W"]),
        "count-small": f"{small['count']:,}",
        "count-large": f"{large['count']:,}",
        "typical": rough(large["typical"]),
        "smallest": rough(large["smallest"]),
        "worst-small": rough(first["worst"]["W"]),
        "worst-large": rough(last["worst"]["W"]),
        "norm-large": rough(last["norm"]["W"]),
        "analytic-large": rough(max(last["analytic"].values())),
        "agree": rough(max(valley["float64"]["analytic"].values())),
        "float32-spacing": scientific(valley["float32"]["spacing"]),
        "float32-blur": scientific(valley["float32"]["spacing"] / (2 * USUAL_STEP)),
        "float32-usual": f"{100 * at_usual(valley, 'float32', 'W'):.0f} %",
        "float32-best": rough(min(valley["float32"]["curves"]["W"])),
        "mistake-zero": rough(zero["central"]["W"]),
        "mistake-other": scientific(other["complex"]["W"]),
    }
    for name in ("c", "W"):
        lowest = min(valley["float64"]["curves"][name])
        at = valley["float64"]["curves"][name].index(lowest)
        texts[f"best-{name}"], texts[f"best-step-{name}"] = (
            rough(lowest),
            rough(valley["steps"][at]),
        )
    return texts | usual_counts()


def usual_counts() -> dict[str, str]:
    """Return the number of planted mistakes, and how many pass the usual check with both kinds of error."""
    rows = json.loads(JUDGED.read_text(encoding="utf-8"))["usual"]
    missed = [row for row in rows if row["passes_absolute"] and row["passes_relative"]]
    return {"planted": str(len(rows)), "let-through": str(len(missed))}


def rough(value: float) -> str:
    """Return a small number as text with one digit, such as 4 × 10⁻⁴ or 10⁻³."""
    digit, exponent = f"{value:.0e}".split("e")
    power = power_of_ten(float(f"1e{exponent}"))
    return power if digit == "1" else f"{digit}{THIN}×{THIN}{power}"


def at_usual(valley: Figures, dtype: str, name: str) -> float:
    """Return the error of the central difference at the usual step."""
    steps = [abs(math.log(step / USUAL_STEP)) for step in valley["steps"]]
    return float(valley[dtype]["curves"][name][steps.index(min(steps))])


QUOTED: Final = re.compile(r"<!-- ([\w-]+) -->([^<\n]*)<!-- /\1 -->")


def written(text: str, texts: Mapping[str, str]) -> str:
    """Return the text of the lesson with each quoted figure replaced by the one in `texts`."""
    return QUOTED.sub(
        lambda found: f"<!-- {found[1]} -->{texts[found[1]]}<!-- /{found[1]} -->", text
    )


# What is drawn

WIDTH: Final = 832


def panels(count: int, height: int, palette: Palette, top: int, bottom: int = 46) -> Any:
    """Return a figure with `count` panels side by side, and their axes; they share the vertical axis."""
    figure = blank_figure((WIDTH, height), palette)
    figure.subplots_adjust(
        left=42 / WIDTH,
        right=1 - 8 / WIDTH,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=0.08,
    )
    grid = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    for axes in grid:
        style_axes(axes, palette, font_size(WIDTH))
        axes.set_yscale("log")
    return figure, list(grid)


def powers(axes: Axes, which: str, every: int) -> None:
    """Label a logarithmic axis with powers of ten; `every` is the step of the exponent."""
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(base=10.0**every, numticks=20))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: power_of_ten(value)))


def titled(axes: Axes, title: str, palette: Palette) -> None:
    """Write the title of a panel above it."""
    axes.text(
        0, 1.03, title, transform=axes.transAxes, va="bottom",
        color=palette["ink"], fontsize=font_size(WIDTH), parse_math=False,
    )  # fmt: skip


def note(axes: Axes, text: str, xy: tuple[float, float], palette: Palette, **more: Any) -> None:
    """Write a short note in a muted colour at a point of the data."""
    placed = {"textcoords": "offset points", "xytext": (0, 6), "ha": "left", "color": "muted"}
    placed |= more
    placed["color"] = palette[placed["color"]]
    axes.annotate(text, xy, fontsize=font_size(WIDTH) - 1, parse_math=False, **placed)


def legend(figure: Figure, handles: Sequence[Any], palette: Palette) -> None:
    """Draw the legend in one row at the top."""
    figure.legend(
        handles=handles,
        loc="upper right",
        ncols=len(handles),
        frameon=False,
        labelcolor=palette["ink"],
        fontsize=font_size(WIDTH),
        handlelength=1.6,
        columnspacing=1.1,
        handletextpad=0.4,
        borderaxespad=0.2,
        borderpad=0.1,
    )


def sign(palette: Palette, place: int, label: str, **more: Any) -> Line2D:
    """Return the line and the marker of series number `place`, for a legend."""
    series, marker = SERIES[place]
    style = {"color": palette[series], "marker": marker, "markersize": 5, "linewidth": 1.4} | more
    return Line2D([], [], label=label, **style)


def draw_growth(figures: Figures, palette: Palette) -> Figure:
    """Draw the error of the worst entry and the norm-relative error against the size of the network."""
    rows = figures["growth"]
    figure, grid = panels(2, 340, palette, top=62, bottom=58)
    places = range(len(rows))
    exact = [max(row["analytic"].values()) for row in rows]
    for axes, kind, title in zip(
        grid, ("worst", "norm"), ("the worst entry", "all entries together (norms)"), strict=True
    ):
        for place, name in enumerate(NAMES):
            series, marker = SERIES[place]
            axes.plot(
                places, [row[kind][name] for row in rows], color=palette[series], marker=marker,
                markersize=5, linewidth=1.4, gid=f"{kind}-{name}",
            )  # fmt: skip
        axes.set_ylim(1e-17, 1e-2)
        axes.set_xticks(list(places), [f"{row['H']}" for row in rows])
        powers(axes, "y", 3)
        titled(axes, title, palette)
        label = "hidden units H"
        axes.set_xlabel(label, color=palette["muted"], fontsize=font_size(WIDTH), labelpad=4)
    grid[0].plot(
        places, exact, color=palette["ink"], linewidth=1.3, linestyle=(0, (5, 3)), gid="analytic"
    )
    grid[0].axhline(USUAL_LIMIT, color=palette["cross"], linewidth=1.2)
    note(grid[0], "a usual limit, 10⁻⁴", (0, USUAL_LIMIT), palette, color="cross")
    note(grid[0], "backpropagation, worst entry", (0, exact[0]), palette, xytext=(0, -16))
    heading(grid[0], "relative error", 0.0, palette, font_size(WIDTH), up=30)
    legend(figure, [sign(palette, place, name) for place, name in enumerate(NAMES)], palette)
    return figure


def draw_entries_of_W(figures: Figures, palette: Palette) -> Figure:
    """Draw the error of the central difference of each entry of W against the size of the entry."""
    figure, (axes,) = panels(1, 380, palette, top=36)
    rows = figures["entries"]
    for row, place, size in zip(rows, (1, 0), (30, 14), strict=True):
        series, marker = SERIES[place]
        axes.scatter(
            row["size"], np.clip(row["error"], 1e-11, None), s=size, marker=marker,
            color=palette[series], linewidths=0, alpha=0.75, gid=f"entries-{row['H']}",
            zorder=3 if place else 2,
        )  # fmt: skip
    ends = np.array([rows[-1]["smallest"] / 2, rows[-1]["largest"] * 2])
    expected = rows[-1]["expected"]
    axes.plot(
        ends, expected / (2 * ends), color=palette["ink"], linewidth=1.3, linestyle=(0, (5, 3)),
        gid="expected",
    )  # fmt: skip
    axes.axhline(USUAL_LIMIT, color=palette["cross"], linewidth=1.2)
    note(axes, "a usual limit, 10⁻⁴", (ends[1], USUAL_LIMIT), palette, ha="right", color="cross")
    axes.set_xscale("log")
    axes.set_xlim(*ends)
    axes.set_ylim(1e-10, 1e-2)
    powers(axes, "x", 1)
    powers(axes, "y", 2)
    axes.set_xlabel(
        "size of the entry, |dW| (nats per unit of weight)",
        color=palette["muted"], fontsize=font_size(WIDTH), labelpad=4,
    )  # fmt: skip
    heading(axes, "relative error of the entry", 0.0, palette, font_size(WIDTH), up=12)
    handles = [
        sign(palette, 1, f"H = 5 ({rows[0]['count']} entries)", linestyle="none"),
        sign(palette, 0, f"H = 100 ({rows[1]['count']:,} entries)", linestyle="none"),
        Line2D(
            [], [], color=palette["ink"], linewidth=1.3, linestyle=(0, (5, 3)),
            label="one unit in the loss’s last place",
        ),
    ]  # fmt: skip
    legend(figure, handles, palette)
    return figure


def draw_valley(figures: Figures, palette: Palette) -> Figure:
    """Draw the error of central differences against the step, for two dtypes and two parameters."""
    valley = figures["valley"]
    figure, grid = panels(2, 380, palette, top=62)
    steps = np.array(valley["steps"])
    for axes, dtype in zip(grid, ("float64", "float32"), strict=True):
        axes.axvline(USUAL_STEP, color=palette["rule"], linewidth=6, zorder=0)
        for place, name in ((1, "c"), (3, "W")):
            series, marker = SERIES[place]
            axes.plot(
                steps, valley[dtype]["curves"][name], color=palette[series], marker=marker,
                markersize=5, linewidth=1.4, gid=f"{dtype}-{name}",
            )  # fmt: skip
        exact = max(valley[dtype]["analytic"].values())
        axes.axhline(
            exact, color=palette["ink"], linewidth=1.3, linestyle=(0, (5, 3)), gid=f"{dtype}-exact"
        )
        axes.set_xscale("log")
        axes.set_ylim(1e-17, 1e1)
        powers(axes, "x", 2)
        powers(axes, "y", 3)
        titled(axes, dtype, palette)
        axes.set_xlabel(
            "step s (units of the weight)",
            color=palette["muted"], fontsize=font_size(WIDTH), labelpad=4,
        )  # fmt: skip
        note(axes, "the usual step", (USUAL_STEP, 1e-13), palette, xytext=(8, 0))
    note(grid[0], "backpropagation", (steps[-1], 1e-15), palette, xytext=(0, 8))
    note(grid[0], "rounding, as 1/s", (2e-9, 5e-2), palette, xytext=(0, 0))
    note(grid[0], "truncation, as s²", (10, 3e-10), palette, ha="right", xytext=(0, 0))
    heading(grid[0], "norm-relative error", 0.0, palette, font_size(WIDTH), up=30)
    handles = [
        sign(palette, 1, "central differences of c"),
        sign(palette, 3, "of W"),
        Line2D(
            [], [], color=palette["ink"], linewidth=1.3, linestyle=(0, (5, 3)),
            label="backpropagation against the complex step",
        ),
    ]  # fmt: skip
    legend(figure, handles, palette)
    return figure


def draw_mistake(figures: Figures, palette: Palette) -> Figure:
    """Draw the errors that two checks find in a planted mistake, for a zero and a non-zero initial state."""
    figure, grid = panels(2, 340, palette, top=62)
    titles = ("h₀ = 0: nothing to see", "h₀ ≠ 0: W is wrong")
    for axes, row, title in zip(grid, figures["mistake"], titles, strict=True):
        axes.axhspan(USUAL_LIMIT, 1e2, color=palette["cross"], alpha=0.09, linewidth=0)
        axes.axhline(USUAL_LIMIT, color=palette["cross"], linewidth=1.2)
        for place, kind, size in ((0, "central", 8), (2, "complex", 8)):
            series, marker = SERIES[place]
            axes.plot(
                range(len(NAMES)), [max(row[kind][name], 1e-17) for name in NAMES],
                linestyle="none", color=palette[series], marker=marker, markersize=size,
                clip_on=False, gid=f"{row['state']}-{kind}",
            )  # fmt: skip
        axes.set_xlim(-0.5, len(NAMES) - 0.5)
        axes.set_xticks(range(len(NAMES)), [f"d{name}" for name in NAMES])
        axes.set_ylim(1e-17, 1e2)
        powers(axes, "y", 3)
        titled(axes, title, palette)
        axes.set_xlabel("gradient", color=palette["muted"], fontsize=font_size(WIDTH), labelpad=4)
    note(
        grid[0], "above 10⁻⁴: wrong, says the usual check", (-0.45, USUAL_LIMIT), palette,
        color="cross",
    )  # fmt: skip
    heading(grid[0], "norm-relative error", 0.0, palette, font_size(WIDTH), up=30)
    handles = [
        sign(palette, 0, "against central differences, step 10⁻⁴", linestyle="none"),
        sign(palette, 2, "against the complex step", linestyle="none"),
    ]
    legend(figure, handles, palette)
    return figure


DRAWN: Final[dict[str, Callable[[Figures, Palette], Figure]]] = {
    "gradient-size": draw_growth,
    "gradient-entries": draw_entries_of_W,
    "gradient-step": draw_valley,
    "gradient-mistake": draw_mistake,
}


def draw(figures: Figures, folder: Path = PICTURES) -> None:
    """Draw every picture, for light and for dark pages."""
    for name, drawing in DRAWN.items():
        save_figure(drawing(figures, LIGHT), folder / f"{name}.svg")
        save_figure(drawing(figures, DARK), folder / f"{name}-dark.svg")


def main() -> int:
    """Measure, draw and write the figures, or check them. Return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--draw", action="store_true", help="draw and write from the stored figures")
    mode.add_argument(
        "--check", action="store_true", help="change nothing; exit with 1 if something would change"
    )
    asked = parser.parse_args()
    kept = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.exists() else {}
    figures = kept if asked.draw else measure()
    text = LESSON.read_text(encoding="utf-8")
    if asked.check:
        found = disagreements(kept, figures)
        if written(text, quoted(kept)) != text:
            found.append(f"{LESSON.name} quotes figures that differ from {FIGURES.name}")
        print("\n".join(found) or "The lesson agrees with the measurements.")
        return int(bool(found))
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    LESSON.write_text(written(text, quoted(figures)), encoding="utf-8")
    draw(figures)
    return 0


if __name__ == "__main__":
    sys.exit(main())
