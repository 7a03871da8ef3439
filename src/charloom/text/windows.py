"""How a text is cut into windows: T characters in, the same shifted by one out.

A window at e reads x = text[e : e+T] and predicts y = text[e+1 : e+T+1]. The next starts at e+T.
When e > len - T - 1 the epoch ends and e returns to 0 (SPEC: Windows). It does not hold the text.
"""

from dataclasses import dataclass

from charloom.errors import TextError


@dataclass(frozen=True)
class Windows:
    """The windows of one epoch over a text of `length` characters.

    Raises:
        TextError: the text is shorter than one window and its last target.
    """

    length: int
    seq_length: int

    def __post_init__(self) -> None:
        if self.length < self.seq_length + 1:
            raise TextError(
                f"the text has {self.length} characters; a window of {self.seq_length} steps needs "
                f"at least {self.seq_length + 1}. Give a longer text or a smaller --seq-length."
            )

    @property
    def per_epoch(self) -> int:
        """Windows, and so updates, in one epoch."""
        return (self.length - self.seq_length - 1) // self.seq_length + 1

    def left_in_epoch(self, position: int) -> int:
        """Windows from `position` to the epoch's end, that at `position` included."""
        return self.per_epoch - position // self.seq_length

    def ends_epoch(self, position: int) -> bool:
        """Whether no further window starts at `position`."""
        return position > self.length - self.seq_length - 1
