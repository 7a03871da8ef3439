"""Reads strings in which the user may write a line feed as backslash and n, because a shell makes it hard to type."""

from typing import Final

MEANINGS: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}
# What an option with such a string adds to its help.
ESCAPES_HELP: Final = "\\n is a line feed, \\t a tab, \\\\ a backslash"


def unescaped(text: str) -> str:
    """Return `text` with the line feeds, tabs, carriage returns and backslashes that it writes with a backslash.

    A backslash before any other character stays as it is.
    """
    characters, found = iter(text), []
    for character in characters:
        if character != "\\":
            found.append(character)
            continue
        following = next(characters, "")
        found.append(MEANINGS.get(following, "\\" + following))
    return "".join(found)
