"""Writes the numbers of docs/backpropagation-by-hand.md, those of `charloom trace --seed 1`, between its marks.

python scripts/lesson_by_hand.py
"""

import re
from itertools import groupby
from pathlib import Path
from typing import Final

import charloom
from charloom.network_trace import Trace
from charloom.network_trace.trace_text import value_lines

LESSON: Final = Path(__file__).parent.parent / "docs" / "backpropagation-by-hand.md"
SEED: Final = 1  # of the network of the lesson
MARKED: Final = re.compile(r"<!-- trace: ([\w ]+) -->\n.*?<!-- /trace -->", re.DOTALL)
# The names in the marks of the parts that belong to no step.
WHOLE: Final = {
    "given": "given", "forward": "loss", "backward": "after the last step", "gradients": "gradients",
}  # fmt: skip


def blocks_of(trace: Trace) -> dict[str, str]:
    """Return the values of each part and step of a trace as a block of Markdown, by the name in its mark."""
    blocks = {}
    for (part, step), group in groupby(trace.values, key=lambda value: (value.part, value.step)):
        lines = [line[2:] for value in group for line in value_lines(value)]
        name = WHOLE[part] if step is None else f"{part} {step}"
        blocks[name] = "```\n" + "\n".join(lines) + "\n```\n"
    return blocks


def with_numbers(text: str, trace: Trace) -> str:
    """Return the text of the lesson with the values of the trace between its marks."""
    blocks = blocks_of(trace)
    return MARKED.sub(
        lambda found: f"<!-- trace: {found[1]} -->\n{blocks[found[1]]}<!-- /trace -->", text
    )


def main() -> None:
    """Write the numbers into the lesson."""
    text = LESSON.read_text(encoding="utf-8")
    LESSON.write_text(with_numbers(text, charloom.trace(seed=SEED)), encoding="utf-8")


if __name__ == "__main__":
    main()
