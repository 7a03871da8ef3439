"""Parses an HTML page in tests: its visible contents, and words that it must not contain."""

import re
from html.parser import HTMLParser
from typing import Final

VOID = {"meta", "link", "br", "hr", "img", "input"}
CELLS = {"th", "td"}
# Words on a page that show that a value is missing or was converted wrongly.
NO_VALUE: Final = re.compile(
    r"built-in method|bound method|object at 0x|\[object Object\]|\b(undefined|NaN|nan|None|null)\b"
)


class Page(HTMLParser):
    """The contents of an HTML page; AssertionError if its tags are not balanced.

    Attributes:
        titles: the texts of the h2 elements.
        tables: for each table its rows, as lists of cell texts; includes tables in closed details.
        pres: the texts of the pre elements.
        attributes: the tag, the name and the value of each attribute.
        tags: the tags of all elements.
        words: all text except that of style elements.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.titles: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.pres: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.tags: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attributes]
        if tag not in VOID:
            self._open.append(tag)
        if tag == "h2":
            self.titles.append("")
        if tag == "pre":
            self.pres.append("")
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in CELLS:
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attributes]

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "h2" in self._open:
            self.titles[-1] += data
        if "pre" in self._open:
            self.pres[-1] += data
        if CELLS & set(self._open):
            self.tables[-1][-1][-1] += data
        if "style" not in self._open:
            self.words += data

    def table(self, *headings: str) -> list[list[str]]:
        """Return the rows below a row of headings; exactly one table must have this row."""
        (found,) = [
            table[table.index(list(headings)) + 1 :]
            for table in self.tables
            if list(headings) in table
        ]
        return found

    @property
    def samples(self) -> list[str]:
        """Return the texts of the pre elements, without the first line feed, which browsers ignore."""
        return [text.removeprefix("\n") for text in self.pres]
