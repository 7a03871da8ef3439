"""The commands that check and measure: gradcheck, bench."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cli.guard import CHECK_FAILED
from charloom.cli.options import Json, Texts, takes_settings
from charloom.cli.terminal import say, show, show_json
from charloom.config import require_one_of, require_whole
from charloom.errors import ConfigError
from charloom.spelling import shortened

PICTURES: Final = (".svg", ".png")
WIDTH: Final = 100  # columns of a table

if TYPE_CHECKING:
    from charloom.gradcheck import GradientCheck, Row


@takes_settings(
    "cell", "layers", "hidden_size", "seq_length", "batch_size", "dropout", "init", "sigma",
    "dtype", "engine", "seed",
    dtype="both", engine="each that is here",
)  # fmt: skip
def gradcheck(
    text: Texts = None,
    vocabulary_size: Annotated[
        int, typer.Option(help="characters K of a random window, where no TEXT is given")
    ] = 80,
    state: Annotated[
        str, typer.Option(metavar="[zero|non-zero]", help="what the window starts from")
    ] = "zero",
    entries: Annotated[
        int | None,
        typer.Option(
            help="entries to check of each parameter, drawn by seed [default: 200, or what about "
            "ten seconds buy]"
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="check every entry")] = False,
    picture: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="draw error against step: .svg or .png"),
    ] = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Check every gradient against numerical ones.

    The complex step decides; central differences show why a right gradient can
    look wrong. A wrong gradient ends in exit code 1.

    \b
    Example:
      charloom gradcheck --hidden-size 5 --seq-length 3 --all
    """
    from charloom import api
    from charloom.engines import native_problem
    from charloom.gradcheck import check_gradients, fresh_problem

    if picture is not None and (picture.suffix not in PICTURES or not picture.parent.is_dir()):
        raise ConfigError(
            f"{shortened(picture)} is no place for a picture: name a .svg or .png in a directory."
        )
    if entries is not None:
        require_whole("entries", entries, least=1)
    chosen = dict(settings or {})
    dtypes = [chosen.pop("dtype")] if "dtype" in chosen else ["float64", "float32"]
    here = ["reference"] if native_problem() else ["reference", "native"]
    engines = [chosen.pop("engine")] if "engine" in chosen else here
    corpus = api.open_text(text) if text else None
    checks: list[GradientCheck] = []
    for dtype in dtypes:
        learner, x, y = fresh_problem(
            vocabulary_size=vocabulary_size, state=state, dtype=dtype, corpus=corpus, **chosen
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
        from charloom.report.plots import curve_figure, save_figure

        save_figure(curve_figure(checks), picture)
        say(f"the picture is {picture}")
    if not all(check.passed for check in checks):
        raise typer.Exit(CHECK_FAILED)


def table(check: "GradientCheck") -> str:
    """A gradient check as text: the verdict, the errors side by side, the curve over the steps."""
    lines = [
        *(part for line in check.verdict().splitlines() for part in wrap(line, WIDTH)),
        "",
        f"{'':21} {'— complex step —':^26} {'central, best':>15}",
        f"{'':5}{'entries':>16} {'absolute':>8} {'elementw':>8} {'norm-rel':>8}"
        f" {'step':>6} {'norm-rel':>8}   worst entry",
    ]
    for row in check.rows:
        place = ", ".join(map(str, row.worst.index))
        lines.append(
            f"{row.parameter:<5}{f'{row.checked:,} of {row.total:,}':>16}"
            f" {row.absolute:>8.1e} {row.elementwise:>8.1e} {row.norm_relative:>8.1e}"
            f" {row.central.step:>6.0e} {row.central.norm_relative:>8.1e}"
            f"   [{place}] = {row.worst.analytic:.3g}{mark(row)}"
        )
    lines += ["", f"{'step':<5}" + " ".join(f"{step:>7.0e}" for step in check.steps)]
    lines += [
        f"{row.parameter:<5}" + " ".join(f"{error:>7.0e}" for error in row.curve)
        for row in check.rows
    ]
    return "\n".join(lines)


def mark(row: "Row") -> str:
    """What follows a row that did not pass."""
    return "" if row.passed else "   LOST" if row.lost else "   WRONG"


@takes_settings("hidden_size")
def bench(
    workload: Annotated[
        str, typer.Option(metavar="NAME", help="the network to time; --list shows them all")
    ] = "classic",
    rounds: Annotated[
        int | None,
        typer.Option(help="turns of each contestant; medians are shown [default: 7, or fewer]"),
    ] = None,
    vocabulary_size: Annotated[
        int | None,
        typer.Option(help="characters K of the text of the classic workload [default: 80]"),
    ] = None,
    names: Annotated[bool, typer.Option("--list", help="list the workloads and leave")] = False,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Time an update and sampling, beside PyTorch and JAX.

    Those two only where they are installed.

    \b
    Example:
      charloom bench --workload lstm-128 --rounds 5
    """
    from charloom.bench import CLASSIC, WORKLOADS, measure, render
    from charloom.bench import bench as measure_classic

    given = {"rounds": rounds, "vocabulary_size": vocabulary_size, **(settings or {})}
    sizes = {name: value for name, value in given.items() if value is not None}
    if names:
        titles = {CLASSIC: "the classic experiment's update, and sampling"}
        titles |= {name: found.title for name, found in WORKLOADS.items()}
        if as_json:
            show_json(titles)
        else:
            for name, title in titles.items():
                show(f"{name:<14}{title}")
    elif workload == CLASSIC:
        result = measure_classic(**sizes)
        if as_json:
            show_json(result.to_dict())
        else:
            show(render(result))
    else:
        require_one_of("workload", workload, (CLASSIC, *WORKLOADS))
        if set(sizes) - {"rounds"}:
            raise ConfigError(
                f"workload {workload} has its own sizes; --hidden-size and --vocabulary-size are "
                f"for the {CLASSIC} one."
            )
        times = measure(workload, rounds)
        if as_json:
            show_json(times.to_dict())
        else:
            show(times.render())
