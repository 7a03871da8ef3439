"""Named networks to time: their sizes, and the arithmetic that a step of them needs.

It measures nothing.
"""

from dataclasses import dataclass
from typing import Final, Literal

from charloom.config import Config
from charloom.model.parameters import GATES

CHARACTERS: Final = 65  # as Tiny Shakespeare has
ROUNDS: Final = 7
FEW_ROUNDS: Final = 3  # where one step takes seconds
LONG_TEXT: Final = 100_000


@dataclass(frozen=True)
class Workload:
    """A network and what is timed of it.

    Attributes:
        kind: "step": forward, backward, clipping by the global norm and Adam on one window of
            every stream; "writing": characters of one stream.
        vocabulary_size: K.
        rounds: turns of each contestant where none are asked for.
        turn: seconds of a turn, at least one step.
        length: of the long text, for "writing".
    """

    name: str
    cell: str
    hidden_size: int
    layers: int = 1
    batch_size: int = 1
    seq_length: int = 25
    vocabulary_size: int = CHARACTERS
    kind: Literal["step", "writing"] = "step"
    rounds: int = ROUNDS
    turn: float = 0.25
    length: int = LONG_TEXT

    @property
    def config(self) -> Config:
        """The settings: the loss per character, clipped by its norm, descended by Adam."""
        return Config(
            recipe=self.name,
            cell=self.cell,
            hidden_size=self.hidden_size,
            layers=self.layers,
            batch_size=self.batch_size,
            seq_length=self.seq_length,
            init="uniform",
            optimizer="adam",
            learning_rate=1e-3,
            clip=1.0,
            clip_by="norm",
            reduction="mean",
        )

    @property
    def matrix_entries(self) -> int:
        """Weights that a character is multiplied by: L G H H recurrent, (L - 1) G H H between the
        layers, K H at the output. Layer 0's input is a look-up."""
        H, L = self.hidden_size, self.layers
        return (2 * L - 1) * GATES[self.cell] * H * H + self.vocabulary_size * H

    @property
    def operations(self) -> int:
        """Useful floating-point operations of a step, 6 for each entry, step and stream: a multiply
        and an add forward, for the gradient of the inputs, and for that of the weights. Of a
        written character: 2."""
        if self.kind == "writing":
            return 2 * self.matrix_entries
        return 6 * self.matrix_entries * self.batch_size * self.seq_length

    @property
    def title(self) -> str:
        """What it is, in a line."""
        network = f"{self.cell} {self.layers}×{self.hidden_size}, K = {self.vocabulary_size}"
        if self.kind == "writing":
            return f"writing from {network}: one stream"
        return f"training step of {network}: B = {self.batch_size}, T = {self.seq_length}"


CLASSIC: Final = "classic"
WORKLOADS: Final = {
    workload.name: workload
    for workload in (
        Workload("lstm-100", "lstm", 100),
        Workload("gru-100", "gru", 100),
        Workload("lstm-128", "lstm", 128, batch_size=32, seq_length=64),
        Workload("gru-128", "gru", 128, batch_size=32, seq_length=64),
        Workload("rnn-128", "rnn", 128, batch_size=32, seq_length=64),
        Workload("lstm-2x128", "lstm", 128, layers=2, batch_size=50, seq_length=50),
        Workload("lstm-256", "lstm", 256, batch_size=64, seq_length=128, rounds=5),
        *(
            Workload(
                f"{cell}-2x512", cell, 512, 2, batch_size=64, seq_length=128, rounds=FEW_ROUNDS
            )
            for cell in ("lstm", "gru", "rnn")
        ),
        Workload("sample-2x512", "lstm", 512, 2, kind="writing"),
    )
}
