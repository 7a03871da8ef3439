"""The options that all ways to look at the hidden units of a model share."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charloom.api import TextChoice
    from charloom.text import UnknownPolicy


@dataclass(frozen=True)
class UnitRequest:
    """Which model, text and units to look at, and how to show the result.

    Attributes:
        path: the path of the model.
        which: the checkpoint of a run.
        text: the names of the text; empty for the model's own.
        string: the text itself.
        split: the part of the text.
        layer: only this layer.
        unit: only this unit.
        top: number of units to list; None for the default.
        picture: the file for the plot; None for no plot.
        as_json: True prints the result as JSON.
    """

    path: Path
    which: str | None
    text: list[str]
    string: str | None
    split: str | None
    layer: int | None
    unit: int | None
    top: int | None
    picture: Path | None
    as_json: bool

    def text_choice(self, policy: "UnknownPolicy | None") -> "TextChoice":
        """Return the choice of the text, with a policy for unknown characters."""
        from charloom.api import TextChoice

        return TextChoice(self.text or None, self.string, self.split, policy)
