"""Format a table as lines of text: the first column is left-aligned, the others right-aligned."""

from collections.abc import Sequence


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: first the line of `heads`, then a line for each row in `rows`.

    Each column is as wide as its widest entry.
    """
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        "  ".join(
            f"{entry:>{width}}" if column else f"{entry:<{width}}"
            for column, (entry, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
