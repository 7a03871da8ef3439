"""The pieces of HTML with which a notebook shows results: sentences, tables, verdicts and coloured texts.

All text is escaped, and long texts and tables are cut. The HTML has only style attributes: no style sheet,
script or link. It suits light and dark notebooks, because text keeps the notebook's colour. This module does
not know what the results mean.
"""

import html
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from charloom.formatting import counted, harmless

MOST_CHARACTERS: Final = 2_000  # of a text
MOST_ROWS: Final = 60  # of a table
MOST_CELL: Final = 300  # characters of a table cell
MONO: Final = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
CELL: Final = (
    "padding:3px 14px 3px 0;border:0;background:none;vertical-align:top;white-space:normal"
)
QUIET: Final = "opacity:0.72"
LINE: Final = "1px solid rgba(128,128,128,0.4)"
# The colours of a verdict, which are those of the reports. They are visible on white and on black.
GOOD: Final = "#087f5c"
BAD: Final = "#d0021b"


def escaped(text: str) -> str:
    """Return a text as HTML: escaped, with visible signs instead of control characters."""
    return html.escape(harmless(text.replace("\r\n", "\n")))


def shortened_cell(text: str, most: int = MOST_CELL) -> str:
    """Return a text of at most `most` characters; "…" stands for the rest."""
    return text if len(text) <= most else text[: most - 1] + "…"


def card(title: str, *pieces: str) -> str:
    """Return a result as HTML: its title, and below it the pieces, which are HTML."""
    heading = f'<div style="font-weight:600;margin-bottom:4px">{escaped(title)}</div>'
    style = "max-width:56em;line-height:1.45;overflow-wrap:break-word;text-align:left"
    return f'<div style="{style}">{heading}{"".join(pieces)}</div>'


def sentence(text: str, quiet: bool = False) -> str:
    """Return a sentence as a paragraph. A quiet one is paler."""
    style = f"margin:4px 0{f';{QUIET}' if quiet else ''}"
    return f'<p style="{style}">{escaped(shortened_cell(text, MOST_CHARACTERS))}</p>'


def verdict(text: str, passed: bool) -> str:
    """Return a verdict as a paragraph with a green bar if the check passed, else with a red bar."""
    style = f"margin:6px 0;padding:4px 12px;border-left:4px solid {GOOD if passed else BAD};white-space:pre-line"
    return f'<p style="{style}">{escaped(shortened_cell(text, MOST_CHARACTERS))}</p>'


def code(*lines: str) -> str:
    """Return lines of code, such as commands that a user can run."""
    text = "\n".join(escaped(shortened_cell(line)) for line in lines)
    return f'<pre style="margin:6px 0;padding:0;background:none;{MONO};font-size:0.92em;white-space:pre-wrap">{text}</pre>'


def cell(text: str, heading: str = "", style: str = "") -> str:
    """Return a cell of a table. A heading has the scope `heading`: "row" or "col"."""
    tag = f'th scope="{heading}"' if heading else "td"
    shown = escaped(shortened_cell(text))
    return f'<{tag} style="{CELL};text-align:left{style}">{shown}</{tag[:2]}>'


def figures(pairs: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table with two columns."""
    rows = "".join(
        '<tr style="background:none">'
        f"{cell(name, 'row', ';font-weight:400;' + QUIET)}{cell(value)}</tr>"
        for name, value in pairs
    )
    return table_of("", rows)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], bold: Iterable[int] = ()) -> str:
    """Return a table. The first cell of each row is the row's heading.

    Of more than `MOST_ROWS` rows, only the first are shown, and a sentence says so.

    Args:
        headings: the heading of each column.
        rows: the cells of each row.
        bold: the numbers of the rows to show in bold, from 0.
    """
    strong = frozenset(bold)
    head = "".join(cell(heading, "col", f";font-weight:400;{QUIET}") for heading in headings)
    body = "".join(
        f'<tr style="background:none;border-top:{LINE}">'
        + cell(first, "row", f";font-weight:{600 if n in strong else 400}")
        + "".join(cell(text, style=";font-weight:600" if n in strong else "") for text in rest)
        + "</tr>"
        for n, (first, *rest) in enumerate(rows[:MOST_ROWS])
    )
    cut = f"The table shows the first {MOST_ROWS} of {counted(len(rows), 'row')}."
    more = sentence(cut, quiet=True) if len(rows) > MOST_ROWS else ""
    return table_of(f'<thead><tr style="background:none">{head}</tr></thead>', body) + more


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table whose cells are long texts, with their line breaks. The first cell of each row is its heading.

    Of a text that is longer than `MOST_CHARACTERS`, only the beginning is shown, with "…".
    """
    head = "".join(cell(heading, "col", f";font-weight:400;{QUIET}") for heading in headings)
    body = "".join(
        f'<tr style="background:none;border-top:{LINE}">{cell(first, "row")}'
        + "".join(map(text_cell, rest))
        + "</tr>"
        for first, *rest in rows
    )
    return table_of(f'<thead><tr style="background:none">{head}</tr></thead>', body)


def text_cell(text: str) -> str:
    """Return a cell of a table with a long text."""
    style = f"margin:0;padding:0;background:none;{MONO};font-size:0.86em;white-space:pre-wrap;overflow-wrap:anywhere"
    shown = escaped(shortened_cell(text, MOST_CHARACTERS))
    # Browsers leave out the first line break of a pre element.
    return f'<td style="{CELL};text-align:left;min-width:11em"><pre dir="auto" style="{style}">\n{shown}</pre></td>'


def table_of(head: str, rows: str) -> str:
    """Return a table from the HTML of its head and of its rows. A wide table scrolls."""
    style = "border-collapse:collapse;border:0;margin:4px 0;color:inherit;font-size:inherit;font-variant-numeric:tabular-nums"
    return f'<div style="overflow-x:auto"><table style="{style}">{head}<tbody>{rows}</tbody></table></div>'


def plain_text(text: str) -> str:
    """Return the beginning of a text, in a frame."""
    return coloured_text(text, [""] * len(text))


def coloured_text(characters: Sequence[str], colours: Sequence[str], legend: str = "") -> str:
    """Return a text in a frame, with a colour behind each character, and its legend.

    Of more than `MOST_CHARACTERS` characters, only the first are shown, and a sentence says so.

    Args:
        characters: the text, one string per character.
        colours: for each character a CSS colour; "" for no colour.
        legend: the HTML of the legend; "" for none.
    """
    pairs = zip(colours[:MOST_CHARACTERS], characters[:MOST_CHARACTERS], strict=True)
    spans = [
        (colour, escaped("".join(character for _, character in alike)))
        for colour, alike in groupby(pairs, key=itemgetter(0))
    ]
    text = "".join(f'<span style="background:{c}">{t}</span>' if c else t for c, t in spans)
    style = f"margin:6px 0;padding:8px 12px;border:{LINE};border-radius:6px;background:none;{MONO};font-size:0.92em;line-height:1.6"
    # A pre element keeps its spaces also in programs that parse and write HTML again. Browsers leave out its first
    # line break.
    frame = f'<pre dir="auto" style="{style};white-space:pre-wrap;tab-size:4">\n{text}</pre>'
    cut = f"The first {MOST_CHARACTERS:,} of {len(characters):,} characters are shown."
    more = sentence(cut, quiet=True) if len(characters) > MOST_CHARACTERS else ""
    return legend + frame + more


def colour_legend(low: str, colours: Sequence[str], high: str) -> str:
    """Return a legend: the colours from the lowest to the highest, between the words `low` and `high`."""
    box = "display:inline-block;width:14px;height:0.9em;vertical-align:-0.1em"
    boxes = "".join(
        f'<span style="{box};background:{colour or "none"}"></span>' for colour in colours
    )
    return (
        f'<p style="margin:4px 0"><span style="{QUIET}">{escaped(low)}</span> '
        f'<span style="border:{LINE};margin:0 4px;display:inline-block;line-height:1">{boxes}</span> '
        f'<span style="{QUIET}">{escaped(high)}</span></p>'
    )
