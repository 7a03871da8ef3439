"""The commands `gradcheck` and `bench`."""

from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import typer

from charloom.cli import check_options
from charloom.cli.error_exit import CHECK_FAILED
from charloom.cli.options import Json, Texts
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import WIDTH, explain_terminal_input, say, show, show_json
from charloom.config import Config, require_one_of, require_whole
from charloom.errors import ConfigError
from charloom.formatting import shortened

PICTURES: Final = (".svg", ".png")

if TYPE_CHECKING:
    from charloom.bench import DeviceTimes, StepTimes, WritingTimes
    from charloom.gradient_check import GradientCheck, Row


@takes_settings(
    "cell", "layers", "hidden_size", "seq_length", "batch_size", "ngram_order", "input_pairs",
    "dropout", "init", "sigma", "dtype", "engine", "seed",
    dtype="both", engine="reference, and native if it can run",
)  # fmt: skip
def gradcheck(
    settings: dict[str, Any],
    text: Texts = None,
    vocabulary_size: check_options.VocabularySize = 80,
    state: check_options.InitialState = "zero",
    entries: check_options.Entries = None,
    every: check_options.AllEntries = False,
    picture: check_options.ErrorPlot = None,
    as_json: Json = False,
) -> None:
    """Check each gradient against numerical gradients.

    The complex step decides whether a gradient is right. Central differences show
    why a right gradient can look wrong. A wrong gradient gives exit code 1.

    \b
    Example:
      charloom gradcheck --hidden-size 5 --seq-length 3 --all
    """
    from charloom import api
    from charloom.engines import native_problem
    from charloom.gradient_check import check_gradients, fresh_problem

    if picture is not None and (picture.suffix not in PICTURES or not picture.parent.is_dir()):
        raise ConfigError(
            f"{shortened(picture)} is not a file name for a plot: name a .svg or .png file in an "
            f"existing directory."
        )
    if entries is not None:
        require_whole("entries", entries, least=1)
    dtypes = [settings.pop("dtype")] if "dtype" in settings else ["float64", "float32"]
    here = ["reference"] if native_problem() else ["reference", "native"]
    engines = [settings.pop("engine")] if "engine" in settings else here
    explain_terminal_input(text or [])
    corpus = api.open_text(text) if text else None
    checks: list[GradientCheck] = []
    for dtype in dtypes:
        learner, x, y = fresh_problem(
            Config(dtype=dtype, **settings), vocabulary_size, state, corpus
        )
        say(f"checking {' and '.join(engines)} in {dtype} …")
        found = check_gradients(
            learner,
            x,
            y,
            engines=engines,
            entries=None if every else "auto" if entries is None else entries,
            seed=learner.config.seed,
            text="" if corpus is None else corpus.name,
        )
        checks += found
        if not as_json:
            show("\n".join(table(check) + "\n" for check in found))
    if as_json:
        show_json({"checks": [check.to_dict() for check in checks]})
    if picture is not None:
        from charloom.report.gradient_plot import curve_figure
        from charloom.report.plot_files import save_figure

        save_figure(curve_figure(checks), picture)
        say(f"the plot is in {picture}")
    if not all(check.passed for check in checks):
        raise typer.Exit(CHECK_FAILED)


def table(check: "GradientCheck") -> str:
    """Return a gradient check as text: its verdict, a table of errors, and the errors of the central
    differences at each step size."""
    width = max(5, *(len(row.parameter) for row in check.rows))
    lines = [
        *(part for line in check.verdict().splitlines() for part in wrap(line, WIDTH)),
        "",
        f"{'':{width + 16}} {'— complex step —':^26} {'central, best':>15}",
        f"{'':{width}}{'entries':>16} {'absolute':>8} {'elementw':>8} {'norm-rel':>8}"
        f" {'step':>6} {'norm-rel':>8}   worst entry",
    ]
    for row in check.rows:
        place = ", ".join(map(str, row.worst.index))
        lines.append(
            f"{row.parameter:<{width}}{f'{row.checked:,} of {row.total:,}':>16}"
            f" {row.absolute:>8.1e} {row.elementwise:>8.1e} {row.norm_relative:>8.1e}"
            f" {row.central.step:>6.0e} {row.central.norm_relative:>8.1e}"
            f"   [{place}] = {row.worst.analytic:.3g}{mark(row)}"
        )
    lines += ["", "Norm-relative error of central differences at each step size:"]
    lines += [f"{'step':<{width}}" + " ".join(f"{step:>7.0e}" for step in check.steps)]
    lines += [
        f"{row.parameter:<{width}}" + " ".join(f"{error:>7.0e}" for error in row.curve)
        for row in check.rows
    ]
    return "\n".join(lines)


def mark(row: "Row") -> str:
    """Return LOST if rounding hides whether the gradient in `row` is right, or WRONG if it is not right.

    Return an empty string if the row passed.
    """
    return "" if row.passed else "   LOST" if row.lost else "   WRONG"


@takes_settings("hidden_size", "engine", engine="native, or reference if it cannot run")
def bench(
    settings: dict[str, Any],
    workload: check_options.Workload = "classic",
    rounds: check_options.Rounds = None,
    vocabulary_size: check_options.ClassicVocabularySize = None,
    devices: check_options.AllDevices = False,
    names: check_options.ListWorkloads = False,
    as_json: Json = False,
) -> None:
    """Time an update and sampling, and compare with PyTorch and JAX.

    PyTorch and JAX are timed only if they are installed.

    \b
    Example:
      charloom bench --workload lstm-128 --rounds 5
    """
    from charloom.bench import CLASSIC, WORKLOADS, render
    from charloom.bench import bench as measure_classic

    engine = settings.pop("engine", None)
    given = {"rounds": rounds, "vocabulary_size": vocabulary_size, **settings}
    sizes = {name: value for name, value in given.items() if value is not None}
    result: dict[str, Any]
    if names:
        titles = {CLASSIC: "an update of the classic experiment, and sampling"}
        titles |= {name: found.title for name, found in WORKLOADS.items()}
        result, text = titles, "\n".join(f"{name:<14}{title}" for name, title in titles.items())
    elif workload == CLASSIC:
        if engine is not None or devices:
            given_option = "--devices" if devices else "--engine"
            raise ConfigError(
                f"workload {CLASSIC} times every engine that is fast enough: leave out {given_option}, or name another "
                f"--workload."
            )
        classic = measure_classic(**sizes)
        result, text = classic.to_dict(), render(classic)
    else:
        require_one_of("workload", workload, (CLASSIC, *WORKLOADS))
        if set(sizes) - {"rounds"}:
            raise ConfigError(
                f"workload {workload} has fixed sizes: leave out --hidden-size and "
                f"--vocabulary-size, or use --workload {CLASSIC}."
            )
        times = timed_workload(workload, rounds, engine, devices)
        result, text = times.to_dict(), times.render()
    if as_json:
        show_json(result)
    else:
        show(text)


def timed_workload(
    workload: str, rounds: int | None, engine: str | None, devices: bool
) -> "DeviceTimes | StepTimes | WritingTimes":
    """Return the times of a named workload, on all devices or of one engine beside PyTorch."""
    from charloom.bench import WORKLOADS, measure, measure_devices

    if not devices:
        return measure(workload, rounds, engine)
    if engine is not None:
        raise ConfigError("--devices compares engines: leave out --engine.")
    return measure_devices(WORKLOADS[workload], rounds)
