"""The commands that use a model: sample, evaluate, score."""

import dataclasses
import math
import sys
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cli.colours import paint
from charloom.cli.options import AModel, Json, Which, takes_settings
from charloom.cli.terminal import say, show, show_json
from charloom.errors import ConfigError, EncodingError, TextError
from charloom.spelling import harmless, one_of, shortened

if TYPE_CHECKING:
    from charloom.api import Model
    from charloom.baselines import Baselines
    from charloom.evaluation import Evaluation
    from charloom.surprise import Surprise

STDIN: Final = "-"

# How surprising characters look: from so many bits on.
HEAT: Final = (
    (0.0, "dim"),
    (1.0, ""),
    (2.0, "black on color(229)"),
    (4.0, "black on color(215)"),
    (6.0, "white on color(160)"),
)


@takes_settings("seed", "engine", "unknown", "replacement")
def sample(
    model: AModel,
    prompt: Annotated[
        str,
        typer.Option(
            help="what it reads first, shown before its text; - reads it from standard input; "
            "without one, a line feed"
        ),
    ] = "",
    prompt_file: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a file that holds the prompt instead")
    ] = None,
    length: Annotated[int, typer.Option(help="characters to write at most")] = 200,
    temperature: Annotated[
        float, typer.Option(help="below 1 safer, above 1 wilder; 0 always takes the likeliest")
    ] = 1.0,
    top_k: Annotated[int, typer.Option(help="draw among the k likeliest; 0: among all")] = 0,
    top_p: Annotated[
        float, typer.Option(help="draw among the likeliest that together have this probability")
    ] = 1.0,
    min_p: Annotated[
        float,
        typer.Option(help="draw among those with this share of the likeliest's probability"),
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="above 1 makes characters read lately less likely")
    ] = 1.0,
    repetition_window: Annotated[
        int, typer.Option(help="how many of the last characters were read lately")
    ] = 64,
    stop: Annotated[
        list[str] | None,
        typer.Option(metavar="STRING", help="end before this string; repeatable"),
    ] = None,
    samples: Annotated[int, typer.Option("-n", "--samples", help="how many texts to write")] = 1,
    which: Which = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Let a model write.

    The same seed gives the same texts on a machine of the same kind.

    \b
    Example:
      charloom sample runs/book --prompt "It was " --length 500 --temperature 0.8
    """
    from charloom import api
    from charloom.config import require_whole

    require_whole("samples", samples, least=1)
    chosen = settings or {}
    engine = {"engine": chosen.pop("engine")} if "engine" in chosen else {}
    begun = prompt_text(prompt, prompt_file)
    opened = api.load(model, which=which, **engine)  # type: ignore[arg-type]
    drawing = {
        "length": length,
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "repetition_window": repetition_window,
        "stop": stop or [],
        "seed": 0,
        "unknown": "refuse",
        "replacement": "",
        **chosen,
    }
    write = partial(opened.stream, begun, **drawing)
    first = write(number=0)  # what is wrong with a request shows here
    writings = chain([first], (write(number=number) for number in range(1, samples)))
    if first.unknowns.total:
        say(f"{first.unknowns.sentence} in the prompt.")
    if as_json:
        told = [
            {"number": number, "text": "".join(writing), "ended": writing.ended}
            for number, writing in enumerate(writings)
        ]
        show_json({**identity(model, opened), "prompt": begun, **drawing, "samples": told})
        return
    say(f"{model}, {opened.stage}, writes:")
    spell = harmless if sys.stdout.isatty() else str
    for number, writing in enumerate(writings, start=1):
        if samples > 1:
            show(f"--- {number} of {samples}")
        sys.stdout.write(spell(begun))
        for piece in writing:
            sys.stdout.write(spell(piece))
            sys.stdout.flush()
        sys.stdout.write("\n")


@takes_settings("seed", "engine", "unknown", "replacement")
def evaluate(
    model: AModel,
    text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TEXT",
            help="Files, directories and so on, as for train. Without one, the model's own text.",
        ),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option(
            metavar="[train|validation|test|all]",
            help="which part of it, divided as in training [default: of the model's own text, given "
            "or not, the validation part, or where it has none, train; all of any other]",
        ),
    ] = None,
    streams: Annotated[
        int | None,
        typer.Option(
            help="in how many pieces it is read side by side; 1 is exact [default: 64 at most]"
        ),
    ] = None,
    baselines: Annotated[
        bool,
        typer.Option("--baselines", help="show what n-grams and compressors make of the same part"),
    ] = False,
    which: Which = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Measure how well a model predicts a text, per character.

    The first character is not predicted. The interval holds the bits of texts
    like this one in 95 of 100 cases, as resampling the text in blocks tells.

    \b
    Example:
      charloom evaluate runs/book --split validation --baselines
    """
    from charloom import api

    chosen = settings or {}
    seed = chosen.pop("seed", 0)
    engine = {"engine": chosen.pop("engine")} if "engine" in chosen else {}
    opened = api.load(model, which=which, **engine)  # type: ignore[arg-type]
    learner = opened.learner
    part = api.choose_part(opened, text or None, split=split, **chosen)
    for note in part.corpus.notes:
        say(f"{note}.")
    result = api.judge(learner, opened.engine, part, streams, seed)
    others = api.judge_others(opened, part) if baselines else None
    if as_json:
        about = {
            **identity(model, opened),
            "unknown": part.corpus.unknown.total,
        }
        told = None if others is None else {"baselines": dataclasses.asdict(others)}
        show_json({**about, **dataclasses.asdict(result), **(told or {})})
        return
    show(f"model:      {model}, {opened.stage}")
    show(f"text:       {result.text}, {result.part}")
    tokens, one = learner.config.tokens, one_of(learner.config.tokens)
    show(f"{tokens + ':':<11} {result.characters:,} predicted")
    show(f"nats:       {result.nats:.4f} per {one}")
    show(f"bits:       {result.bits:.4f} per {one}{between(result)}")
    show(f"perplexity: {result.perplexity:.3f}")
    if others is not None:
        show_others(result, others, tokens)


def identity(model: Path, opened: "Model") -> dict[str, Any]:
    """Which model it is, for programs; `which` is null for a checkpoint or a file, `update` where a
    file does not tell it."""
    return {"model": str(model), "which": opened.which, "update": opened.update}


def between(result: "Evaluation") -> str:
    """The interval, for people; nothing where there is none."""
    if result.interval is None:
        return ""
    low, high = result.interval
    return f", 95 % between {low:.4f} and {high:.4f}"


def show_others(result: "Evaluation", others: "Baselines", tokens: str) -> None:
    """The model's bits among those of the baselines, the fewest first."""
    one = one_of(tokens)
    best = others.best_order
    rows = [("this model", result.bits), (f"{best}-gram, the best order", others.ngrams[best])]
    for name, compressed in others.compressors.items():
        rows += [(f"{name} after the training part", compressed.bits)]
        rows += [(f"{name} alone", compressed.alone)]
    show()
    show(
        f"Bits per {one} of others, which first read {others.learnt:,} {tokens} of the training part:"
    )
    for name, bits in sorted(rows, key=lambda row: row[1]):
        show(f"  {name:<28} {bits:7.4f}")
    orders = ", ".join(f"{bits:.3f}" for bits in others.ngrams.values())
    show(f"n-grams of order 1 to {len(others.ngrams)}: {orders}")
    if others.judged < result.characters:
        show(f"They were judged on the first {others.judged:,} {tokens} alone.")


@takes_settings("engine", "unknown", "replacement")
def score(
    model: AModel,
    file: Annotated[
        str, typer.Argument(metavar="TEXT", help="A file, or - for standard input.")
    ] = STDIN,
    text: Annotated[str | None, typer.Option(help="the text itself, instead of a file")] = None,
    which: Which = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Show what surprises a model in a text, character by character.

    In a terminal the text is coloured by its bits; --json has the numbers.

    \b
    Example:
      charloom score runs/book --text "To be, or not to be"
    """
    from charloom import api

    if text is not None and file != STDIN:
        raise ConfigError("TEXT and --text both name a text; give one of them.")
    chosen = settings or {}
    engine = {"engine": chosen.pop("engine")} if "engine" in chosen else {}
    read = read_text(file) if text is None else text
    opened = api.load(model, which=which, **engine)  # type: ignore[arg-type]
    result = opened.score(read, **chosen)
    if result.unknowns.total:
        say(f"{result.unknowns.sentence}.")
    if as_json:
        show_json(
            {
                **identity(model, opened),
                "mean_bits": result.mean_bits,
                "characters": list(result.characters),
                "nats": result.nats.tolist(),
                "bits": result.bits.tolist(),
            }
        )
        return
    paint_surprise(result)
    say(
        f"{result.mean_bits:.4f} bits per character "
        f"({result.mean_bits * math.log(2):.4f} nats), {len(result.characters) - 1:,} predicted by "
        f"{model}, {opened.stage}."
    )


def paint_surprise(result: "Surprise") -> None:
    """A text coloured by its bits; where colours are not wanted the text alone."""
    spans = [
        (f"{least:g}-{most:g}" if most < math.inf else f"{least:g} and more", style)
        for (least, style), (most, _) in zip(HEAT, (*HEAT[1:], (math.inf, "")), strict=True)
    ]
    styles = ["underline", *map(heat, result.bits.tolist()[1:])]  # the first is not predicted
    paint(result.characters, styles, "bits", spans)


def heat(bits: float) -> str:
    """The style of so much surprise."""
    return [style for least, style in HEAT if bits >= least][-1]


def prompt_text(prompt: str, file: Path | None) -> str:
    """The prompt, wherever it is."""
    if prompt and file is not None:
        raise ConfigError("--prompt and --prompt-file both name a prompt; give one of them.")
    if file is not None:
        return read_text(str(file))
    return read_text(STDIN) if prompt == STDIN else prompt


def read_text(source: str) -> str:
    """The text of a file or of standard input, without byte-order mark, all else as it is."""
    name = "standard input" if source == STDIN else source
    if source == STDIN and sys.stdin.isatty():
        key = "Ctrl-Z and Enter" if sys.platform == "win32" else "Ctrl-D"
        say(
            f"reading the text from the terminal: type it, and end it with {key} on a line of its own."
        )
    try:
        data = sys.stdin.buffer.read() if source == STDIN else Path(source).read_bytes()
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        raise EncodingError(
            f"{name} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start:,} "
            f"({error.reason}).",
            error.start,
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the path
        reason = getattr(error, "strerror", None) or error
        raise TextError(f"{shortened(name)} cannot be read: {reason}.") from None
