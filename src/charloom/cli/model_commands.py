"""The command `score`, and what all commands share that use a trained model."""

import dataclasses
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from charloom.cli import model_options
from charloom.cli.colours import NO_COLOURS, paint
from charloom.cli.options import AModel, Json, Which, given_path
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import explain_terminal_input, say, say_sentences, show_json
from charloom.config import STDIN, Config, without_effect
from charloom.errors import ConfigError, EncodingError, TextError
from charloom.formatting import shortened

if TYPE_CHECKING:
    from charloom.api import Model
    from charloom.sampling import SampleOptions
    from charloom.surprisal import Surprise
    from charloom.text import UnknownPolicy

# Pairs (smallest number of bits, style), in ascending order. A character has the style of the last pair whose
# number of bits it reaches.
SURPRISE_STYLES: Final = (
    (0.0, "dim"),
    (1.0, ""),
    (2.0, "black on color(229)"),
    (4.0, "black on color(215)"),
    (6.0, "white on color(160)"),
)


def require_one_text(named: bool, string: str | None) -> None:
    """Raise ConfigError if the user gave two texts.

    Args:
        named: True if the user gave the argument TEXT.
        string: the value of the option --text; None if the user did not give it.
    """
    if named and string is not None:
        raise ConfigError("TEXT and --text both give a text; give only one of them.")


def open_model(model: Path, which: str | None, settings: dict[str, Any]) -> "Model":
    """Open the model at the path `model`.

    Args:
        model: a run, a checkpoint directory or a model file.
        which: "latest" or "best" checkpoint of a run. None takes the best checkpoint if the run has a
            validation part, else the latest.
        settings: the settings that the user gave. If `engine` is one of them, it chooses the engine.
    """
    from charloom import api

    return api.load(model, which=which, engine=settings.get("engine", "auto"))  # type: ignore[arg-type]


def say_reading_problem(opened: "Model") -> None:
    """Print a message if the model predicts the first characters of a text badly, because it begins in the zero state."""
    problem = opened.reading_problem()
    if problem is not None:
        say(problem)


def policy_of(settings: dict[str, Any]) -> "UnknownPolicy":
    """Return how to treat unknown characters, from the settings that the user gave.

    Print a message if the user gave a replacement that has no effect.
    """
    from charloom.text import UnknownPolicy

    policy = UnknownPolicy(settings.get("unknown", "refuse"), settings.get("replacement", ""))
    if "replacement" in settings and policy.unknown != "replace":
        say_sentences(without_effect(Config(unknown=policy.unknown), ["replacement"]))
    return policy


def flat_options(options: "SampleOptions") -> dict[str, Any]:
    """Return the options for writing a text as one dict, to print as JSON.

    The dict also has the fields of `options.sampler` and `options.policy`, but no nested dicts.
    """
    return {
        "length": options.length,
        **dataclasses.asdict(options.sampler),
        "stop": list(options.stop),
        "seed": options.seed,
        "start": options.start,
        **dataclasses.asdict(options.policy),
    }


def model_identity(model: Path, opened: "Model") -> dict[str, Any]:
    """Return a dict with the fields `model`, `which` and `update`, to print as JSON.

    `model` is the path. `which` is "latest" or "best" for a run, otherwise None. `update` is the update
    of the weights; None for a model file that does not contain it.
    """
    return {"model": str(model), "which": opened.which, "update": opened.update}


@takes_settings("engine", "unknown", "replacement")
def score(
    settings: dict[str, Any],
    model: AModel,
    file: model_options.ScoredFile = STDIN,
    text: model_options.TextItself = None,
    which: Which = None,
    as_json: Json = False,
) -> None:
    """Show how well a model predicts each character of a text.

    A terminal shows the text coloured by the bits of each character: more bits mean
    a more surprising character. A pipe or a file gets only the text. --json prints
    the numbers. The text is read from the zero state.

    \b
    Example:
      charloom score runs/book --text "To be, or not to be"
    """
    require_one_text(file != STDIN, text)
    from charloom.surprisal import surprise

    policy = policy_of(settings)
    read = read_text(file) if text is None else text
    opened = open_model(model, which, settings)
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
            }
        )
        return
    more = "" if paint_surprise(result) else NO_COLOURS
    say(
        f"{result.mean_bits:.4f} bits per character "
        f"({result.mean_bits * math.log(2):.4f} nats), {len(result.characters) - 1:,} predicted by "
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
    # The first character has no bits, because it is not predicted.
    styles = ["underline", *map(surprise_style, result.bits.tolist()[1:])]
    return paint(result.characters, styles, "bits", spans)


def surprise_style(bits: float) -> str:
    """Return the style for a character whose surprise is `bits`."""
    return [style for least, style in SURPRISE_STYLES if bits >= least][-1]


def read_text(source: str) -> str:
    """Return the text of a file, or of standard input if `source` is "-", without a byte-order mark.

    Raise EncodingError if the text is not UTF-8, and TextError if it cannot be read.
    """
    name = "standard input" if source == STDIN else source
    explain_terminal_input([source])
    try:
        data = sys.stdin.buffer.read() if source == STDIN else given_path(source).read_bytes()
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise EncodingError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start:,} "
            f"({error.reason}). Convert it to UTF-8.",
            error.start,
        ) from None
    except (OSError, ValueError) as error:  # a path with a NUL byte raises ValueError
        reason = getattr(error, "strerror", None) or error
        raise TextError(f"{shortened(name)} cannot be read: {reason}.") from None
