"""Checks the finished pages of the site: their links, and that they load nothing from other machines."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

# The attributes with which an element loads a file when the page is opened.
LOADS: Final = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "iframe": ("src",),
    "embed": ("src",),
    "object": ("data",),
    "link": ("href",),
    "use": ("href", "xlink:href"),
    "image": ("href", "xlink:href"),
}
# A `link` with one of these relations loads nothing.
ONLY_NAMED: Final = {
    "index",
    "search",
    "next",
    "prev",
    "canonical",
    "author",
    "license",
    "alternate",
}
IN_STYLE: Final = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")
ELSEWHERE: Final = re.compile(r"\s*(?:[a-z]+:)?//", re.IGNORECASE)


class PageParser(HTMLParser):
    """Reads a page and collects its ids, its links, and the addresses that it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self._in_style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        self._in_style = tag == "style"
        self.loaded += in_style(given.get("style", ""))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if tag != "link" or not ONLY_NAMED & set(given.get("rel", "").split()):
            for name in LOADS.get(tag, ()):
                self.loaded += [
                    part.split()[0] for part in given.get(name, "").split(",") if part.strip()
                ]

    def handle_endtag(self, tag: str) -> None:
        self._in_style = False

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.loaded += in_style(data)


def in_style(text: str) -> list[str]:
    """Return the addresses that a style sheet loads, without `data:` addresses."""
    found = [first or second for first, second in IN_STYLE.findall(text)]
    return [address for address in found if not address.startswith("data:")]


def loads_elsewhere(folder: Path) -> Iterator[str]:
    """Yield a sentence for each address on another machine that a page or a style sheet loads."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".html":
            loaded = PageParser(path.read_text(encoding="utf-8")).loaded
        elif path.suffix in (".css", ".svg"):
            loaded = in_style(path.read_text(encoding="utf-8"))
        else:
            continue
        for address in loaded:
            if ELSEWHERE.match(address):
                yield f"{path.relative_to(folder)} loads {address}"


def broken_links(folder: Path) -> Iterator[str]:
    """Yield a sentence for each link to a page or place of the site that does not exist."""
    pages = {
        path: PageParser(path.read_text(encoding="utf-8"))
        for path in sorted(folder.rglob("*.html"))
    }
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            anchor = unquote(parts.fragment)
            known = target.is_file() and (
                not anchor or target not in pages or anchor in pages[target].ids
            )
            if not known:
                yield f"{path.relative_to(folder)} links to {link}, which does not exist"


def problems(folder: Path) -> list[str]:
    """Return a sentence for each problem of the site in `folder`."""
    return [*loads_elsewhere(folder), *broken_links(folder)]
