"""Prints how well a model predicts each item of a text, one line for each item."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from charloom.cli.model_commands import model_identity, open_model
from charloom.cli.terminal import explain_terminal_input, say, show, show_json
from charloom.config import Config
from charloom.errors import ConfigError, TextError, UnknownCharacterError
from charloom.formatting import counted, one_line
from charloom.surprisal import Surprise, surprise
from charloom.text.collection import Collection
from charloom.text.item_reader import ItemReader
from charloom.text.sources import find_sources, string_source

if TYPE_CHECKING:
    from charloom.api import Model
    from charloom.text import UnknownPolicy

HEAD = "nats\tbits per character\titem"


def score_items(
    model: Path,
    file: str,
    text: str | None,
    settings: dict[str, Any],
    policy: "UnknownPolicy",
    which: str | None,
    as_json: bool,
) -> None:
    """Print the nats and the bits per character of each item.

    Args:
        model: the path of the model.
        file: the file with the items, or "-" for standard input.
        text: the text itself, instead of `file`.
        settings: the settings that the user gave; `items`, `separator` and `field` say what an item is, by default a
            line.
        policy: what to do with unknown characters.
        which: the checkpoint, as for `open_model`.
        as_json: print JSON.
    """
    items = items_of(file, text, settings)
    opened = open_model(model, which, settings)
    scored = scores(opened, items, policy)
    if as_json:
        rows = [
            {
                "text": item,
                "nats": found.total_nats,
                "bits_per_character": found.mean_bits,
                "characters_predicted": found.predicted,
                "unknown_characters": found.unknowns.total,
            }
            for item, found in scored
        ]
        show_json({**model_identity(model, opened), "items": rows})
        return
    say(f"columns: {HEAD}".replace("\t", ", "))
    nats, predicted, count = 0.0, 0, 0
    for item, found in scored:
        show(f"{found.total_nats:.4f}\t{found.mean_bits:.4f}\t{one_line(item)}")
        nats, predicted, count = nats + found.total_nats, predicted + found.predicted, count + 1
    say(
        f"{counted(count, 'item')}: {nats / count:.4f} nats per item, {nats / predicted:.4f} nats "
        f"({nats / predicted / np.log(2):.4f} bits) per character, by {model}, {opened.stage}."
    )


def items_of(file: str, text: str | None, settings: dict[str, Any]) -> Iterator[str]:
    """Return the items of a text that are not empty. The arguments are those of `score_items`."""
    division = {
        name: settings.pop(name) for name in ("items", "separator", "field") if name in settings
    }
    collection = Collection.of(Config(**{"items": "lines", **division}))
    if collection is None:
        raise ConfigError("--each takes each line by itself; leave out --items stream.")
    if text is not None:
        sources = [string_source(text, "the text")]
    else:
        explain_terminal_input([file])
        sources = [piece for one in find_sources([file], any_bytes=False) for piece in one.pieces]
    return filter(None, ItemReader(collection, "characters").items(sources))


def scores(
    opened: "Model", items: Iterator[str], policy: "UnknownPolicy"
) -> Iterator[tuple[str, Surprise]]:
    """Yield each item with the surprise of the model; an error names the item's number.

    Raises:
        TextError: there is no item, or an item cannot be scored.
    """
    number = 0
    for number, item in enumerate(items, start=1):
        try:
            yield item, surprise(opened.learner, opened.engine, item, policy)
        except (TextError, UnknownCharacterError) as error:
            raise TextError(f"item {number:,}: {error.message}") from None
    if not number:
        raise TextError("there is no item to score; give a text with at least one line.")
