"""What all commands share that use a trained model."""

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.cli.options import given_path
from charloom.cli.terminal import explain_terminal_input, say, say_sentences
from charloom.config import STDIN, Config, without_effect
from charloom.errors import ConfigError, EncodingError, TextError
from charloom.formatting import shortened

if TYPE_CHECKING:
    from charloom.api import Model
    from charloom.sampling import SampleOptions
    from charloom.text import UnknownPolicy


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
