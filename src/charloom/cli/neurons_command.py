"""The command `neurons`, which finds units of a model that follow a property of a text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cli import model_options
from charloom.cli.ablation_output import show_ablation
from charloom.cli.colours import NO_COLOURS, paint
from charloom.cli.model_commands import (
    model_identity,
    open_model,
    policy_of,
    require_one_text,
    say_reading_problem,
)
from charloom.cli.options import AModel, Json, Which
from charloom.cli.probe_output import show_probe
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import explain_terminal_input, say, say_sentences, show, show_json
from charloom.cli.unit_request import UnitRequest
from charloom.errors import ConfigError
from charloom.formatting import count

if TYPE_CHECKING:
    from charloom.api import Model
    from charloom.api.unit_search import Neurons
    from charloom.engines.base import Ids
    from charloom.hidden_units import Activity, Finding, Unit

# The styles from the lowest values to the highest: blue, no colour, orange. Each style with a background
# also sets the colour of the letters, so that they are readable on light and dark terminals.
SCALE: Final = (
    "bright_white on color(25)",
    "black on color(74)",
    "black on color(153)",
    "",
    "black on color(223)",
    "black on color(215)",
    "bright_white on color(130)",
)


def list_properties(wanted: bool) -> None:
    """If `wanted`, print the built-in properties and exit."""
    if wanted:
        from charloom.hidden_units.text_properties import PROPERTIES

        for found in PROPERTIES:
            show(f"{found.name:<20}{found.description}")
        raise typer.Exit


ListProperties = Annotated[
    bool,
    typer.Option(
        "--list", callback=list_properties, is_eager=True, help="list the properties and exit"
    ),
]


@takes_settings("engine", "unknown", "replacement")
def neurons(
    settings: dict[str, Any],
    model: AModel,
    text: model_options.SearchedText = None,
    string: model_options.TextItself = None,
    split: model_options.Split = None,
    properties: model_options.Properties = None,
    pattern: model_options.Pattern = None,
    layer: model_options.OnlyLayer = None,
    unit: model_options.OnlyUnit = None,
    what: model_options.UnitValue = None,
    top: model_options.TopUnits = None,
    limit: model_options.MostCharacters = 50_000,
    shown: model_options.ShownCharacters = 1_000,
    colour: model_options.Colour = False,
    ablate: model_options.Ablate = None,
    characters: model_options.AblatedCharacters = None,
    probe: model_options.Probed = None,
    png: model_options.UnitPlot = None,
    listed: ListProperties = False,  # noqa: ARG001 - its callback does the work
    which: Which = None,
    as_json: Json = False,
) -> None:
    """Find the units of a model that follow a property of the text.

    For each property, list the units that correlate with it best: layer:unit, the
    value, and the correlation r. The column "by chance" is the best r after the
    property is shifted along the text: an r that is not larger means nothing.
    With --unit or --colour, the text is coloured by the value of a unit. The text
    is read from the zero state. With --ablate, one unit after another is held
    instead, and the cost of this in bits per character is listed. With --probe, a
    linear function of all units is fitted to a property.

    \b
    Example:
      charloom neurons runs/book
      charloom neurons runs/book --property in-quotes --colour
      charloom neurons runs/book --layer 0 --unit 17 --what cell
      charloom neurons runs/book --ablate zero
      charloom neurons runs/book --probe in-word
    """
    require_one_text(bool(text), string)
    wanted = UnitRequest(model, which, text or [], string, split, layer, unit, top, png, as_json)
    search = {"--property": properties, "--pattern": pattern, "--colour": colour}
    if ablate is not None:
        refuse_others("--ablate", {**search, "--probe": probe, "--what": what})
        show_ablation(wanted, ablate, characters, settings)
    elif characters is not None:
        raise ConfigError("--characters is for --ablate; to read fewer characters, give --limit.")
    elif probe:
        refuse_others("--probe", {**search, "--unit": unit is not None, "--png": png, "--top": top})
        show_probe(wanted, probe, what, limit, settings)
    else:
        options = SearchOptions(properties, pattern, what, limit, shown, colour)
        search_units(wanted, options, settings)


def refuse_others(mode: str, given: Mapping[str, object]) -> None:
    """Raise ConfigError if the user gave one of the options in `given`, which the option `mode` does not use."""
    for name, value in given.items():
        if value:
            raise ConfigError(f"{name} has no meaning with {mode}; give only one of both.")


@dataclass(frozen=True)
class SearchOptions:
    """The options of a search for units that follow properties.

    Attributes:
        properties: names of built-in properties; None for all.
        pattern: a regular expression.
        what: only this value of each unit.
        limit: largest number of characters to read.
        shown: number of characters to colour or plot.
        colour: True colours the text by the best unit.
    """

    properties: list[str] | None
    pattern: str | None
    what: str | None
    limit: int
    shown: int
    colour: bool


def search_units(wanted: UnitRequest, search: SearchOptions, settings: dict[str, Any]) -> None:
    """Find the units that follow properties, and print them. `settings` are those that the user gave."""
    from charloom.api.unit_search import (
        TOP,
        Neurons,
        find_units,
        open_search_text,
        requested_properties,
    )
    from charloom.config import require_whole
    from charloom.hidden_units import Activity, choose
    from charloom.hidden_units.ranking import LEAST_CHARACTERS

    require_whole("show", search.shown, least=1)
    top = require_whole("top", TOP if wanted.top is None else wanted.top, least=1)
    requested = requested_properties(search.properties, search.pattern)
    policy = policy_of(settings) if "unknown" in settings else None
    opened = open_model(wanted.path, wanted.which, settings)
    unit, what, png = wanted.unit, search.what, wanted.picture
    layer = layer_of_unit(opened, wanted.layer, unit)
    choice = choose(opened.learner, layer, unit, what)
    require_plot_name(png)
    explain_terminal_input(wanted.text)
    search_text = open_search_text(opened, wanted.text_choice(policy), search.limit)
    say_sentences(search_text.notes)
    say_reading_problem(opened)
    activity_of = partial(values_of, opened, search_text.texts[0][: search.shown])
    found: Neurons | None = None
    if unit is None or len(search_text) >= LEAST_CHARACTERS:
        found = find_units(opened, search_text, requested, choice, top)
    else:
        say(
            f"to find what the unit follows, give a text of at least {LEAST_CHARACTERS} characters."
        )
    seen: Activity | None = None
    if unit is not None:
        seen = activity_of(layer, unit, what)
    elif search.colour and found is not None and (best := best_unit(found)) is not None:
        seen = activity_of(best.layer, best.unit, best.what)
    if png is not None:
        draw(activity_of(layer, None, what), png)
    if wanted.as_json:
        findings = {} if found is None else {**found.to_json(), "notes": list(search_text.notes)}
        about = model_identity(wanted.path, opened)
        show_json({**about, **findings, "activity": None if seen is None else seen.to_json()})
        return
    if found is not None:
        show_units(found, wanted.path, opened, by_size=unit is not None)
    if seen is not None:
        if found is not None:
            show()
        paint_unit(seen)
    elif search.colour and found is not None:
        say("no unit follows the property; the text is not coloured.")


def layer_of_unit(model: "Model", layer: int | None, unit: int | None) -> int | None:
    """Return the layer to search; None means all layers.

    If `unit` is given without `layer`, return 0, the only layer of the model.

    Raises:
        ConfigError: `unit` is given without `layer`, and the model has several layers.
    """
    if unit is None or layer is not None:
        return layer
    if model.config.layers > 1:
        raise ConfigError(
            f"this model has {model.config.layers} layers; give the layer of the unit with --layer."
        )
    return 0


def values_of(
    model: "Model", ids: "Ids", layer: int | None, unit: int | None, what: str | None
) -> "Activity":
    """Return the values of the selected units after each of `ids`.

    Args:
        model: the model.
        ids: the text as ids of the vocabulary.
        layer: the layer; None takes all layers.
        unit: the unit; None takes all units of the layer or layers.
        what: the quantity of a unit: h, cell or a gate. None takes h, the hidden state.
    """
    from charloom.hidden_units import activity, choose

    choice = choose(model.learner, layer, unit, what or "h")
    return activity(model.learner, model.engine, ids, choice)


def best_unit(found: "Neurons") -> "Unit | None":
    """Return the best unit of the first property for which units were found.

    Return None if no units were found for any property.
    """
    return next((finding.units[0] for finding in found.findings if finding.units), None)


def show_units(found: "Neurons", path: Path, model: "Model", by_size: bool) -> None:
    """Print the model, the text that it read, and the units found.

    Args:
        found: the units found for each property.
        path: the path of the model.
        model: the model.
        by_size: True sorts the properties by the absolute value of their best correlation, in
            descending order.
    """
    tokens = model.config.tokens
    show(f"model:      {path}, {model.stage}")
    show(f"text:       {found.text}, {found.split}: {count(found.characters)} {tokens} read")
    show_findings(found.findings, by_size)


def show_findings(findings: Sequence["Finding"], by_size: bool) -> None:
    """Print a line for each property: the correlation by chance, and the best units.

    The correlation by chance is the best correlation after the property is shifted along the text.

    Args:
        findings: the units found for each property.
        by_size: True sorts the properties by the absolute value of their best correlation, in
            descending order.
    """
    if by_size:
        findings = sorted(findings, key=lambda f: -abs(f.units[0].r) if f.units else 1.0)
    show()
    show(f"{'property':<20}{'by chance':>9}   best units: layer:unit, value, r")
    for finding in findings:
        if not finding.units:
            show(f"{finding.property:<20}{'-':>9}   {finding.why_none}")
            continue
        units = "   ".join(f"{unit_address(unit):<11} {unit.r:+.2f}" for unit in finding.units)
        show(f"{finding.property:<20}{finding.by_chance:9.2f}   {units}")


def unit_address(unit: "Unit") -> str:
    """Return the layer, the number and the quantity of a unit as text, such as "0:17 cell"."""
    return f"{unit.layer}:{unit.unit} {unit.what}"


def paint_unit(seen: "Activity") -> None:
    """Print the text, coloured by the values of one unit."""
    from charloom.hidden_units.gate_values import meaning

    values = seen.values[:, 0, 0].tolist()
    styles, legend = coloured(values)
    title = f"layer {seen.layers[0]}, unit {seen.units[0]}, {seen.what}"
    painted = paint(seen.characters, styles, title, legend)
    spread = f"{min(values):.3g} to {max(values):.3g}"
    more = "" if painted else NO_COLOURS
    say(f"{title} ({meaning(seen.what)}): from {spread}{more}.")


def coloured(values: Sequence[float]) -> tuple[list[str], list[tuple[str, str]]]:
    """Return two lists: the style of each value, and the legend as pairs (values as text, style).

    The range from the 1st to the 99th percentile of the values is divided into intervals of equal width,
    one for each style in `SCALE`. If all values are equal, no value gets a colour.
    """
    from charloom.hidden_units.value_range import usual_range

    found = usual_range(values)
    if found is None:
        return [""] * len(values), [(f"always {values[0]:.2g}", "")]
    low, high = found
    step = (high - low) / len(SCALE)
    places = [min(max(int((value - low) / step), 0), len(SCALE) - 1) for value in values]
    half = (len(SCALE) - 1) / 2
    meanings = [f"{(low + high) / 2 + (n - half) * step:.2g}" for n in range(len(SCALE))]
    meanings[0], meanings[-1] = f"<{low + step:.2g}", f">{high - step:.2g}"
    return [SCALE[place] for place in places], list(zip(meanings, SCALE, strict=True))


def require_plot_name(path: Path | None) -> None:
    """Raise ConfigError if `path` is not None and does not end in .png or .svg."""
    if path is not None:
        from charloom.report.plot_files import require_image

        require_image(path)


def draw(seen: "Activity", path: Path) -> None:
    """Write a plot of the values of units over a text to the file `path`, and print a message about it."""
    from charloom.report.plot_files import save_figure
    from charloom.report.unit_map import units_figure

    save_figure(units_figure(seen), path)
    say(
        f"wrote {path}: {count(seen.values.shape[1] * seen.values.shape[2])} units over "
        f"{count(len(seen.characters))} characters."
    )
