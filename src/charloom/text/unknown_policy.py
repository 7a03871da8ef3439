"""The policy for characters of a text that a model's vocabulary does not have."""

from dataclasses import dataclass
from typing import Final

from charloom.config import UNKNOWNS, replacement_error, require_one_of


@dataclass(frozen=True)
class UnknownPolicy:
    """What to do with the symbols of a text that a vocabulary does not have.

    Whether the vocabulary has the replacement is checked later, when a symbol must be replaced.

    Attributes:
        unknown: "refuse", "skip", "replace" or "add". With "add", a text to train a model further adds its symbols to
            the vocabulary.
        replacement: the known character that replaces unknown ones; one byte for a byte vocabulary.

    Raises:
        ConfigError: `unknown` has another value, or `replacement` is not a str.
    """

    unknown: str = "refuse"
    replacement: str = ""

    def __post_init__(self) -> None:
        require_one_of("unknown", self.unknown, UNKNOWNS)
        if not isinstance(self.replacement, str):
            raise replacement_error(self.replacement)


REFUSE: Final = UnknownPolicy()
SKIP: Final = UnknownPolicy("skip")
