"""Shows a text in colours with a legend, or the text alone where there are no colours. What the
colours stand for is the caller's.
"""

from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter

from charloom.cli.terminal import show
from charloom.spelling import harmless


def paint(
    characters: Sequence[str], styles: Sequence[str], title: str, legend: Sequence[tuple[str, str]]
) -> bool:
    """Show a text, each character in its style.

    Args:
        characters: the text.
        styles: as rich has them, one for each character; empty leaves it as the terminal has it.
        title: what the legend is of.
        legend: what each style means, with the style.

    Returns:
        Whether there were colours, and a legend.
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
    told = Text(f"{title}: ")
    for meaning, style in legend:
        told.append(f" {meaning} ", style)
        told.append(" ")
    console.print(told, soft_wrap=True)
    console.print(painted, soft_wrap=True)
    return True
