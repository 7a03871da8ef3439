"""Reads the items of a collection from its sources, in the order of the sources.

The rules are in spec/mathematics.md: Items. An item never continues in the next source. Items are strings; if the
tokens are bytes, each character of such a string stands for the byte with the same number. This module does not
know vocabularies.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from charloom.formatting import shortened
from charloom.text.block_reader import Block, source_blocks, text_of
from charloom.text.collection import Collection
from charloom.text.csv_items import csv_values
from charloom.text.jsonl_items import jsonl_values
from charloom.text.sources import Source

BLANKS: Final = " \t\r\f\v"  # a line of these characters is blank
TABLES: Final = (
    "csv",
    "jsonl",
)  # kinds of items that are values in a text, which is UTF-8 also for bytes
# Called with each block of bytes that is read.
BlockListener = Callable[[Block], object]


@dataclass(frozen=True)
class ItemReader:
    """Reads the items of a collection.

    Attributes:
        collection: how the text is divided into items.
        tokens: "characters" or "bytes".
        on_block: called with each block of bytes.
    """

    collection: Collection
    tokens: str
    on_block: BlockListener = lambda _: None

    def items(self, sources: Iterable[Source]) -> Iterator[str]:
        """Yield all items, also those that are empty.

        Raises:
            TextError: a source cannot be read, or a line of it is broken, or it lacks the column or field.
            EncodingError: the tokens are characters, or the source is CSV or JSON lines, and it is not UTF-8.
        """
        for source in sources:
            yield from self._items_of(source)

    def _items_of(self, source: Source) -> Iterator[str]:
        """Yield the items of one source."""
        kind, collection = self.collection.kind, self.collection
        if kind == "lines":
            return lines(self._texts(source))
        if kind == "paragraphs":
            return paragraphs(lines(self._texts(source)))
        if kind == "files":
            return iter([without_last_newline("".join(self._texts(source)))])
        if kind == "separator":
            separator = with_plain_newlines(self._as_symbols(collection.separator))
            return separated(self._texts(source), separator)
        values = csv_values if kind == "csv" else jsonl_values
        label = shortened(PurePath(source.name))
        # The values are text, also if the tokens are bytes.
        pieces = self._pieces(source, "characters")
        return map(self._as_symbols, values(lines(pieces, ends=True), label, collection.field))

    def _texts(self, source: Source) -> Iterator[str]:
        """Yield the text of a source in pieces. Its line ends are plain newlines; bytes are characters below U+0100."""
        return newlines_made_plain(self._pieces(source, self.tokens))

    def _pieces(self, source: Source, tokens: str) -> Iterator[str]:
        """Yield the text of a source in pieces, and tell the listener each block of bytes."""
        for block in source_blocks(source, tokens):
            self.on_block(block)
            yield text_of(block, tokens)

    def _as_symbols(self, text: str) -> str:
        """Return a text of characters in the form of an item: bytes are characters below U+0100."""
        if self.tokens == "characters":
            return text
        return text.encode("utf-8", "surrogatepass").decode("latin-1")


def with_plain_newlines(text: str) -> str:
    """Return `text` with a newline for each pair of a carriage return and a newline."""
    return text.replace("\r\n", "\n")


def without_last_newline(text: str) -> str:
    """Return `text` without the newline at its end, if there is one."""
    return text.removesuffix("\n")


def newlines_made_plain(pieces: Iterable[str]) -> Iterator[str]:
    """Yield a text in pieces, with a newline for each pair of a carriage return and a newline."""
    rest = ""
    for piece in pieces:
        text = rest + piece
        rest = "\r" if text.endswith("\r") else ""
        yield with_plain_newlines(text.removesuffix("\r"))
    if rest:
        yield rest


def split_text(pieces: Iterable[str], separator: str) -> Iterator[str]:
    """Yield the parts of a text between separators, and the part after the last one.

    A long part is joined only once, however many pieces it has.
    """
    waiting, tail = list[str](), ""  # the present part; its end, in which a separator may begin
    keep = len(separator) - 1
    for piece in pieces:
        first, *others = (tail + piece).split(separator)
        if others:
            yield "".join([*waiting, first])
            waiting = []
            yield from others[:-1]
            first = others[-1]
        cut = max(len(first) - keep, 0)
        waiting.append(first[:cut])
        tail = first[cut:]
    yield "".join([*waiting, tail])


def lines(pieces: Iterable[str], ends: bool = False) -> Iterator[str]:
    """Yield the lines of a text without their newlines; with `ends`, each line that has a newline keeps it.

    After the last newline, nothing is yielded if no character follows.
    """
    end, before = "\n" if ends else "", None
    for line in split_text(pieces, "\n"):
        if before is not None:
            yield before + end
        before = line
    if before:
        yield before


def paragraphs(all_lines: Iterable[str]) -> Iterator[str]:
    """Yield the paragraphs of a text: lines between blank lines. A line of white space is blank."""
    found: list[str] = []
    for line in all_lines:
        if not line.strip(BLANKS):
            if found:
                yield "\n".join(found)
            found = []
        else:
            found.append(line)
    if found:
        yield "\n".join(found)


def separated(pieces: Iterable[str], separator: str) -> Iterator[str]:
    """Yield the parts of a text between separators, without a newline at the beginning and at the end of each.

    A separator at the end of the text begins no other part.
    """
    before: str | None = None
    for part in split_text(pieces, separator):
        if before is not None:
            yield before
        before = part.removeprefix("\n").removesuffix("\n")
    if before:
        yield before
