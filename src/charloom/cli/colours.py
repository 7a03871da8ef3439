"""Prints a text in colours with a legend. If the terminal has no colours, it prints only the text.

The caller chooses what the colours mean.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Final

from charloom.cli.terminal import show
from charloom.formatting import harmless

# Part of a message, for output without colours
NO_COLOURS: Final = "; this terminal shows no colours, --json prints the numbers"


def paint(
    characters: Sequence[str], styles: Sequence[str], title: str, legend: Sequence[tuple[str, str]]
) -> bool:
    """Print a legend, and then a text with each character in its style.

    Args:
        characters: the characters of the text.
        styles: for each character, a style in the syntax of the library rich; an empty string is the
            terminal's default.
        title: heading of the legend.
        legend: pairs (meaning, style): the words that explain a style, and the style.

    Returns:
        True if colours and the legend were printed; False if the terminal has no colours.
    """
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    painted = Text()
    pairs = zip(styles, characters, strict=True)
    for style, alike in groupby(pairs, key=itemgetter(0)):
        painted.append(harmless("".join(character for _, character in alike)), style=style)
    if console.no_color or console.color_system is None:
        show(painted.plain)
        return False
    legend_line = Text(f"{title}: ")
    for meaning, style in legend:
        legend_line.append(f" {meaning} ", style)
        legend_line.append(" ")
    console.print(legend_line, soft_wrap=True)
    console.print(painted, soft_wrap=True)
    return True
