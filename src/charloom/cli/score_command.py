"""The command `score`, which shows how well a model predicts each character or each item of a text."""

import math
from typing import TYPE_CHECKING, Any, Final

from charloom.cli import model_options
from charloom.cli.colours import NO_COLOURS, paint
from charloom.cli.model_commands import (
    model_identity,
    open_model,
    policy_of,
    read_text,
    require_one_text,
    say_reading_problem,
)
from charloom.cli.options import AModel, Json, Which
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import say, show_json
from charloom.config import STDIN

if TYPE_CHECKING:
    from charloom.surprisal import Surprise

# Pairs (smallest number of bits, style), in ascending order. A character has the style of the last pair whose
# number of bits it reaches.
SURPRISE_STYLES: Final = (
    (0.0, "dim"),
    (1.0, ""),
    (2.0, "black on color(229)"),
    (4.0, "black on color(215)"),
    (6.0, "white on color(160)"),
)


@takes_settings("engine", "unknown", "replacement", "items", "separator", "field")
def score(
    settings: dict[str, Any],
    model: AModel,
    file: model_options.ScoredFile = STDIN,
    text: model_options.TextItself = None,
    each: model_options.EachLine = False,
    which: Which = None,
    as_json: Json = False,
) -> None:
    """Show how well a model predicts each character of a text.

    A terminal shows the text coloured by the bits of each character: more bits mean
    a more surprising character. A pipe or a file gets only the text. --json prints
    the numbers. The text is read from the zero state. --each and --items print one
    line for each item, with its nats and its bits per character.

    \b
    Example:
      charloom score runs/book --text "To be, or not to be"
      charloom score runs/book book.txt --each
    """
    require_one_text(file != STDIN, text)
    from charloom.surprisal import surprise

    policy = policy_of(settings)
    if each or settings.get("items"):
        from charloom.cli.item_scores import score_items

        score_items(model, file, text, settings, policy, which, as_json)
        return
    read = read_text(file) if text is None else text
    opened = open_model(model, which, settings)
    if opened.vocabulary.boundary is not None:
        read = read.removesuffix("\n")
    result = surprise(opened.learner, opened.engine, read, policy)
    if result.unknowns.total:
        say(f"{result.unknowns.sentence}.")
    say_reading_problem(opened)
    if as_json:
        show_json(
            {
                **model_identity(model, opened),
                "mean_bits": result.mean_bits,
                "characters": list(result.characters),
                "nats": result.nats.tolist(),
                "bits": result.bits.tolist(),
                "end_nats": result.end_nats,
            }
        )
        return
    more = "" if paint_surprise(result) else NO_COLOURS
    say(
        f"{result.mean_bits:.4f} bits per character "
        f"({result.mean_bits * math.log(2):.4f} nats), {result.predicted:,} predicted by "
        f"{model}, {opened.stage}{more}."
    )


def paint_surprise(result: "Surprise") -> bool:
    """Print a text with each character coloured by its bits.

    If the terminal has no colours, print the text without them and return False. Otherwise return True.
    """
    spans = [
        (f"{least:g}-{most:g}" if most < math.inf else f"{least:g} and more", style)
        for (least, style), (most, _) in zip(
            SURPRISE_STYLES, (*SURPRISE_STYLES[1:], (math.inf, "")), strict=True
        )
    ]
    # A character that was not predicted has no bits: the first one of a stream.
    styles = [
        "underline" if math.isnan(bits) else surprise_style(bits) for bits in result.bits.tolist()
    ]
    return paint(result.characters, styles, "bits", spans)


def surprise_style(bits: float) -> str:
    """Return the style for a character whose surprise is `bits`."""
    return [style for least, style in SURPRISE_STYLES if bits >= least][-1]
