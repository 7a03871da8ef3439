"""What makes a text a collection of items: its kind of items, and the seed that draws their order.

This module does not read texts (spec/mathematics.md: Items).
"""

from dataclasses import dataclass

from charloom.config import Config


@dataclass(frozen=True)
class Collection:
    """How a text is divided into items, and in which order they are laid out.

    Attributes:
        kind: a value of the setting `items`, except "stream".
        separator: the text between two items if `kind` is "separator".
        field: the column or field with the items if `kind` is "csv" or "jsonl".
        seed: seed of the order of the items.
    """

    kind: str
    separator: str = ""
    field: str = ""
    seed: int = 0

    @classmethod
    def of(cls, config: Config) -> "Collection | None":
        """Return the collection that `config` describes; None if the text is a stream."""
        if not config.has_items:
            return None
        return cls(config.items, config.separator, config.field, config.seed)

    @property
    def between(self) -> str:
        """The text that is written between two items."""
        if self.kind == "separator":
            return "\n" + self.separator.strip("\r\n") + "\n"
        return "\n\n" if self.kind == "paragraphs" else "\n"
