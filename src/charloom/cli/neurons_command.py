"""The command `neurons`, which finds units of a model that follow something in a text."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cli.colours import paint
from charloom.cli.model_commands import identity, open_model, policy_of
from charloom.cli.options import AModel, Json, Which, given_path, takes_settings
from charloom.cli.terminal import say, show, show_json
from charloom.errors import ConfigError
from charloom.formatting import count, shortened

if TYPE_CHECKING:
    from charloom.api.unit_search import Neurons
    from charloom.hidden_units import Activity, Finding, Unit

# From the lowest values to the highest: blue, no colour, orange. Each background sets the colour of
# the letters too, so that they are readable on light and dark terminals.
SCALE: Final = (
    "bright_white on color(25)",
    "black on color(74)",
    "black on color(153)",
    "",
    "black on color(223)",
    "black on color(215)",
    "bright_white on color(130)",
)
EDGES: Final = (1, 99)  # percentiles: values beyond them get the first or the last colour


def list_properties(wanted: bool) -> None:
    """Print the built-in properties and exit, if `wanted`."""
    if wanted:
        from charloom.hidden_units.text_properties import PROPERTIES

        for found in PROPERTIES:
            show(f"{found.name:<20}{found.description}")
        raise typer.Exit


@takes_settings("engine", "unknown", "replacement")
def neurons(
    model: AModel,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Files, directories and so on, as for train [default: the text that the model was "
            "trained on, or a built-in text if that is missing].",
        ),
    ] = None,
    string: Annotated[
        str | None, typer.Option("--text", help="the text itself, instead of the name of a file")
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="[train|validation|test|all]",
            help="part of the text to read [default: validation for the text that the model was "
            "trained on, or train if it has no validation part; all for any other text]",
        ),
    ] = None,
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            metavar="NAME",
            help="a built-in property; repeatable [default: all]",
        ),
    ] = None,
    pattern: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX",
            help="regular expression; find units that separate the characters it matches from the others",
        ),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="search only this layer, counted from 0")
    ] = None,
    unit: Annotated[
        int | None,
        typer.Option(help="use only this unit, counted from 0, and colour the text by its value"),
    ] = None,
    what: Annotated[
        str | None,
        typer.Option(
            metavar="[h|cell|i|f|g|o|r|z|n]",
            help="use only this value of each unit: its output h; for an LSTM also cell and the "
            "gates i, f, g, o; for a GRU also the gates r, z, n",
        ),
    ] = None,
    top: Annotated[int, typer.Option(help="number of units to list for each property")] = 3,
    limit: Annotated[int, typer.Option(help="largest number of characters to read")] = 50_000,
    shown: Annotated[
        int,
        typer.Option(
            "--show", help="number of characters to colour or plot, counted from the first"
        ),
    ] = 1_000,
    colour: Annotated[
        bool,
        typer.Option("--colour", help="colour the text by the best unit of the first property"),
    ] = False,
    png: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=given_path,
            help="plot all units over the text; FILE ends in .png or .svg",
        ),
    ] = None,
    listed: Annotated[  # noqa: ARG001 - its callback does the work
        bool,
        typer.Option(
            "--list", callback=list_properties, is_eager=True, help="list the properties and exit"
        ),
    ] = False,
    which: Which = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Find the units of a model that follow a property of the text.

    For each property, list the units that correlate with it best: layer:unit, the
    value, and the correlation r. The column "by chance" is the best r after the
    property is shifted along the text. An r that is not larger means nothing.
    With --unit or --colour, the text is coloured by the value of a unit.

    \b
    Example:
      charloom neurons runs/book
      charloom neurons runs/book --property in-quotes --colour
      charloom neurons runs/book --layer 0 --unit 17 --what cell
    """
    from charloom import api
    from charloom.api.unit_search import Neurons, asked_properties, find_units, watch
    from charloom.config import require_whole
    from charloom.hidden_units import Activity, activity, choose
    from charloom.hidden_units.ranking import LEAST_CHARACTERS

    if text and string is not None:
        raise ConfigError("TEXT and --text both give a text; give only one of them.")
    require_whole("show", shown, least=1)
    require_whole("top", top, least=1)
    asked = asked_properties(properties, pattern)
    given = settings or {}
    policy = policy_of(given) if "unknown" in given else None
    text_choice = api.TextChoice(text or None, string, split, policy)
    opened = open_model(model, which, given)
    learner = opened.learner
    layers = learner.config.layers
    if unit is not None and layer is None:
        if layers > 1:
            raise ConfigError(
                f"this model has {layers} layers; give the layer of the unit with --layer."
            )
        layer = 0
    choice = choose(learner, layer, unit, what)
    if png is not None:
        require_picture(png)
    watched = watch(opened, text_choice, limit)
    for note in watched.notes:
        say(f"{note}.")
    first = watched.texts[0][:shown]

    def activity_of(layer: int | None, unit: int | None, what: str | None) -> Activity:
        """Return the values of the selected units over the characters that are shown."""
        return activity(learner, opened.engine, first, choose(learner, layer, unit, what or "h"))

    found: Neurons | None = None
    if unit is None or len(watched) >= LEAST_CHARACTERS:
        found = find_units(opened, watched, asked, choice, top)
    else:
        say(
            f"to find what the unit follows, give a text of at least {LEAST_CHARACTERS} characters."
        )
    seen: Activity | None = None
    if unit is not None:
        seen = activity_of(layer, unit, what)
    elif colour and found is not None and (best := next(best_units(found), None)):
        seen = activity_of(best.layer, best.unit, best.what)
    if png is not None:
        draw(activity_of(layer, None, what), png)
    if as_json:
        findings = {} if found is None else {**found.to_json(), "notes": list(watched.notes)}
        about = identity(model, opened)
        show_json({**about, **findings, "activity": None if seen is None else seen.to_json()})
        return
    if found is not None:
        show(f"model:      {model}, {opened.stage}")
        tokens = learner.config.tokens
        show(f"text:       {found.text}, {found.split}: {count(found.characters)} {tokens} read")
        show_findings(found.findings, by_size=unit is not None)
    if seen is not None:
        if found is not None:
            show()
        paint_unit(seen)
    elif colour and found is not None:
        say("no unit follows the property; the text is not coloured.")


def best_units(found: "Neurons") -> Iterator["Unit"]:
    """Yield the best unit of each property that has one."""
    return (finding.units[0] for finding in found.findings if finding.units)


def show_findings(findings: Sequence["Finding"], by_size: bool) -> None:
    """Print a line per property: the correlation by chance, and the best units.

    Args:
        findings: the units found for each property.
        by_size: sort the properties by the size of their best correlation, the largest first.
    """
    if by_size:
        findings = sorted(findings, key=lambda f: -abs(f.units[0].r) if f.units else 1.0)
    show()
    show(f"{'property':<20}{'by chance':>9}   best units: layer:unit, value, r")
    for finding in findings:
        if not finding.units:
            show(f"{finding.property:<20}{'-':>9}   {finding.why_none}")
            continue
        units = "   ".join(f"{address(unit):<11} {unit.r:+.2f}" for unit in finding.units)
        show(f"{finding.property:<20}{finding.by_chance:9.2f}   {units}")


def address(unit: "Unit") -> str:
    """Return the address of a unit's value, such as 0:17 cell."""
    return f"{unit.layer}:{unit.unit} {unit.what}"


def paint_unit(seen: "Activity") -> None:
    """Print the text, coloured by the values of one unit."""
    from charloom.hidden_units.gate_values import MEANINGS

    values = seen.values[:, 0, 0].tolist()
    styles, legend = coloured(values)
    title = f"layer {seen.layers[0]}, unit {seen.units[0]}, {seen.what}"
    painted = paint(seen.characters, styles, title, legend)
    spread = f"{min(values):.3g} to {max(values):.3g}"
    more = "" if painted else "; this terminal shows no colours, --json prints the numbers"
    say(f"{title} ({MEANINGS[seen.what]}): from {spread}{more}.")


def coloured(values: Sequence[float]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return a style for each value, and the legend as pairs of meaning and style.

    The colours divide the range between the percentiles of `EDGES` evenly. If all values are equal,
    there is no colour.
    """
    import numpy as np

    low, high = np.percentile(np.asarray(values, dtype=np.float64), EDGES).tolist()
    if not low < high:
        low, high = min(values), max(values)
    if not low < high:
        return [""] * len(values), [(f"always {low:.2g}", "")]
    step = (high - low) / len(SCALE)
    places = [min(max(int((value - low) / step), 0), len(SCALE) - 1) for value in values]
    half = (len(SCALE) - 1) / 2
    meanings = [f"{(low + high) / 2 + (n - half) * step:.2g}" for n in range(len(SCALE))]
    meanings[0], meanings[-1] = f"<{low + step:.2g}", f">{high - step:.2g}"
    return [SCALE[place] for place in places], list(zip(meanings, SCALE, strict=True))


def require_picture(path: Path) -> None:
    """Raise ConfigError unless `path` ends in .png or .svg."""
    if path.suffix not in (".png", ".svg"):
        raise ConfigError(
            f"{shortened(path)} has no image format; give a name that ends in .png or .svg."
        )


def draw(seen: "Activity", path: Path) -> None:
    """Write a plot of all units over the text to `path`."""
    from charloom.report.plots import save_figure
    from charloom.report.unit_map import units_figure

    save_figure(units_figure(seen), path)
    say(
        f"wrote {path}: {count(seen.values.shape[1] * seen.values.shape[2])} units over "
        f"{count(len(seen.characters))} characters."
    )
