"""The commands that use a model: sample, evaluate."""

import dataclasses
import sys
from typing import Annotated, Any

import typer

from charloom.cli.options import AModel, Json, Which, takes_settings
from charloom.cli.terminal import harmless, say, show, show_json


@takes_settings("seed", "engine")
def sample(
    model: AModel,
    prompt: Annotated[
        str,
        typer.Option(help="what it reads first, shown before its text; without one, a line feed"),
    ] = "",
    length: Annotated[int, typer.Option(help="characters to write")] = 200,
    temperature: Annotated[
        float, typer.Option(help="below 1 safer, above 1 wilder; 0 always takes the likeliest")
    ] = 1.0,
    which: Which = "latest",
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Let a model write.

    The same seed gives the same text.

    \b
    Example:
      charloom sample runs/book --prompt "It was " --length 500 --temperature 0.8
    """
    from charloom import api

    chosen = settings or {}
    seed = chosen.pop("seed", 0)
    opened = api.load(model, which=which, **chosen)  # type: ignore[arg-type]
    pieces = opened.stream(prompt, length, temperature, seed)
    if as_json:
        text = "".join(pieces)
        show_json(
            {
                "model": str(model),
                "update": opened.learner.update,
                "prompt": prompt,
                "text": text,
                "temperature": temperature,
                "seed": seed,
            }
        )
        return
    if sys.stderr.isatty():
        say(f"{model} after update {opened.learner.update:,} writes:")
    spell = harmless if sys.stdout.isatty() else str
    sys.stdout.write(spell(prompt))
    for piece in pieces:
        sys.stdout.write(spell(piece))
        sys.stdout.flush()
    sys.stdout.write("\n")


@takes_settings("engine")
def evaluate(
    model: AModel,
    text: Annotated[
        list[str],
        typer.Argument(
            metavar="TEXT...", help="Files, read one after another; or a built-in text."
        ),
    ],
    which: Which = "latest",
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Measure how well a model predicts a text, per character.

    It reads the whole text from the zero state; the first character is not predicted.

    \b
    Example:
      charloom evaluate runs/book other-book.txt
    """
    from charloom import api

    opened = api.load(model, which=which, **(settings or {}))  # type: ignore[arg-type]
    result = opened.evaluate(text)
    if as_json:
        update = opened.learner.update
        show_json(
            {"model": str(model), "update": update, "text": text, **dataclasses.asdict(result)}
        )
        return
    show(f"model:      {harmless(str(model))}, after update {opened.learner.update:,}")
    show(f"text:       {harmless(' + '.join(text))}, the whole of it")
    show(f"characters: {result.characters:,} predicted")
    show(f"nats:       {result.nats:.4f} per character")
    show(f"bits:       {result.bits:.4f} per character")
    show(f"perplexity: {result.perplexity:.3f}")
