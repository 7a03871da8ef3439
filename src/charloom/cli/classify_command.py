"""The command `classify`, which tells which of several models predicts a text best."""

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cli import model_options
from charloom.cli.colours import NO_COLOURS, paint
from charloom.cli.completion import model_names
from charloom.cli.model_commands import open_model, read_text
from charloom.cli.options import Json, Which, given_path, path_option
from charloom.cli.setting_options import takes_settings
from charloom.cli.terminal import say, show, show_json
from charloom.cli.waiting import waiting_line
from charloom.config import STDIN
from charloom.errors import ConfigError

if TYPE_CHECKING:
    from charloom.api.text_classification import Classification, ClassifiedText

SomeModels = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="MODEL...",
        parser=given_path,
        autocompletion=model_names,
        help="At least two runs, checkpoint directories, model files, or directories from export --to hub.",
    ),
]
NamedModels = Annotated[
    list[Path] | None,
    typer.Option(
        "--models",
        metavar="MODEL",
        parser=given_path,
        autocompletion=model_names,
        help="a model to compare; it is placed before those without this option; repeatable",
    ),
]
TextFile = Annotated[
    str,
    typer.Option("--file", metavar="TEXT", help="a file with the text, or - for standard input"),
]
UnknownBits = Annotated[
    float,
    typer.Option(help="what a character costs a model that does not know it, in bits"),
]
Table = Annotated[Path | None, path_option("--csv", help="write the results as a CSV table")]

# Pairs (smallest contribution in bits, style), in ascending order. A character has the style of the last pair whose
# bits it reaches.
STYLES: Final = (
    (-float("inf"), "white on color(25)"),
    (-3.0, "black on color(110)"),
    (-1.0, ""),
    (1.0, "black on color(215)"),
    (3.0, "white on color(160)"),
)


@takes_settings("engine")
def classify(
    settings: dict[str, Any],
    model: SomeModels = None,
    models: NamedModels = None,
    text: model_options.TextItself = None,
    file: TextFile = STDIN,
    each: model_options.EachLine = False,
    unknown_bits: UnknownBits = 10.0,
    table: Table = None,
    which: Which = None,
    as_json: Json = False,
) -> None:
    """Tell which of several models a text belongs to, such as authors or languages.

    The model that needs the fewest bits for the whole text is the best. A terminal
    shows the text coloured by what each character contributed. A character that a
    model does not know is not refused: it costs this model a fixed number of bits.

    \b
    Example:
      charloom classify runs/book-1 runs/book-2 --text "It was late"
      charloom classify runs/book-1 runs/book-2 --file book.txt --each
    """
    from charloom.api.text_classification import classification_of, require_classifiable
    from charloom.cli.item_scores import items_of

    if text is not None and file != STDIN:
        raise ConfigError("--text and --file both give a text; give only one of them.")
    read = read_text(file) if text is None else text
    texts = list(items_of(STDIN, read, {})) if each else [read.removesuffix("\n")]
    paths = [*(models or []), *(model or [])]
    names = [str(path) for path in paths]
    require_classifiable(names, texts, unknown_bits)
    opened = [open_model(path, which, settings) for path in paths]
    with waiting_line("reading the text with each model"):
        found = classification_of(opened, names, texts, unknown_bits)
    if table is not None:
        write_table(found, table)
    if as_json:
        show_json(found.to_json())
        return
    for line in found.lines():
        show(line)
    if len(found.texts) == 1:
        show("")
        if not paint_contributions(found.texts[0]):
            say(f"the colours of the characters are left out{NO_COLOURS}.")


def write_table(found: "Classification", path: Path) -> None:
    """Write the results as CSV to the file `path`, and print a message about it."""
    from charloom.store import replace_file

    rows = io.StringIO()
    csv.writer(rows, lineterminator="\n").writerows(found.csv_rows())
    # Excel reads UTF-8 only if the file begins with a byte order mark.
    replace_file(path, rows.getvalue().encode("utf-8-sig", "replace"), durable=False)
    say(f"wrote {path}.")


def paint_contributions(found: "ClassifiedText") -> bool:
    """Print a text with each character coloured by the bits that it adds to the lead of the best model.

    If the terminal has no colours, print the text without them and return False. Otherwise return True.
    """
    second = found.models[found.order[1]]
    legend = [
        (f"3 bits for {second}", STYLES[0][1]),
        ("1 bit", STYLES[1][1]),
        ("1 bit", STYLES[3][1]),
        (f"3 bits for {found.best}", STYLES[4][1]),
    ]
    styles = [
        [style for least, style in STYLES if not bits < least][-1] if bits == bits else "underline"
        for bits in found.contributions.tolist()
    ]
    return paint(found.characters, styles, "a character speaks for", legend)
