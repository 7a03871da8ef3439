"""The commands that prove and measure: gradcheck, bench."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cli.guard import CHECK_FAILED
from charloom.cli.options import Json, Texts, takes_settings
from charloom.cli.terminal import say, show, show_json
from charloom.errors import ConfigError

PICTURES: Final = (".svg", ".png")

if TYPE_CHECKING:
    from charloom.gradcheck import GradientCheck


@takes_settings(
    "hidden_size", "seq_length", "sigma", "dtype", "engine", "seed",
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
        int, typer.Option(help="entries to check of each parameter, drawn by seed")
    ] = 200,
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

    if picture is not None and (picture.suffix not in PICTURES or not picture.parent.is_dir()):
        raise ConfigError(
            f"{picture} is no place for a picture: name a .svg or .png in a directory."
        )
    chosen = dict(settings or {})
    dtypes = [chosen.pop("dtype")] if "dtype" in chosen else ["float64", "float32"]
    here = ["reference"] if native_problem() else ["reference", "native"]
    engines = [chosen.pop("engine")] if "engine" in chosen else here
    corpus = api.open_text(text) if text else None
    checks = []
    for engine in engines:
        for dtype in dtypes:
            check = api.gradcheck(
                **chosen,
                vocabulary_size=vocabulary_size,
                state=state,
                dtype=dtype,
                engine=engine,
                entries=None if every else entries,
                corpus=corpus,
            )
            checks.append(check)
            if not as_json:
                show(table(check) + "\n")
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
        check.verdict(),
        "",
        f"{'':4}{'':>15} {'— complex step —':^32} {'— central differences, best —':^40}",
        f"{'':4}{'entries':>15} {'absolute':>10} {'elementw.':>10} {'norm-rel.':>10}"
        f" {'step':>9} {'absolute':>10} {'elementw.':>10} {'norm-rel.':>10}   worst entry",
    ]
    for row in check.rows:
        place = ", ".join(map(str, row.worst.index))
        central = row.central
        lines.append(
            f"{row.parameter:<4}{f'{row.checked:,} of {row.total:,}':>15}"
            f" {row.absolute:>10.1e} {row.elementwise:>10.1e} {row.norm_relative:>10.1e}"
            f" {central.step:>9.0e} {central.absolute:>10.1e} {central.elementwise:>10.1e}"
            f" {central.norm_relative:>10.1e}   {row.parameter}[{place}] = {row.worst.analytic:.3g}"
            f"{'' if row.passed else '   WRONG'}"
        )
    lines += ["", f"{'step':>9} " + " ".join(f"{row.parameter:>8}" for row in check.rows)]
    lines += [
        f"{step:>9.0e} " + " ".join(f"{row.curve[n]:>8.0e}" for row in check.rows)
        for n, step in enumerate(check.steps)
    ]
    return "\n".join(lines)


@takes_settings("hidden_size")
def bench(
    rounds: Annotated[int, typer.Option(help="turns of each contestant; medians are shown")] = 7,
    vocabulary_size: Annotated[int, typer.Option(help="characters K of the text")] = 80,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Time an update and sampling, beside PyTorch and JAX.

    Those two only where they are installed.

    \b
    Example:
      charloom bench --rounds 5
    """
    from charloom.bench import bench as measure
    from charloom.bench import render

    result = measure(rounds=rounds, vocabulary_size=vocabulary_size, **(settings or {}))
    if as_json:
        show_json(result.to_dict())
    else:
        show(render(result))
