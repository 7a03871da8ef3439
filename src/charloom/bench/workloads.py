"""Lists the named workloads: the networks that benchmarks time, and how many operations a step needs.

This module measures nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from charloom.cell_table import CELLS
from charloom.config import Config

CHARACTERS: Final = 65  # the vocabulary size of Tiny Shakespeare


@dataclass(frozen=True)
class Workload:
    """A network to time, and whether its training or its sampling is timed.

    Attributes:
        name: name of the workload.
        cell: rnn, lstm or gru.
        hidden_size: hidden units H.
        layers: recurrent layers L.
        batch_size: streams B.
        seq_length: steps T of a window.
        vocabulary_size: characters K of the vocabulary.
        kind: "step" times training steps: forward pass, backward pass, clipping by the global norm
            and Adam on one window of every stream. "writing" times sampling in one stream.
        rounds: how many times to time charloom, and how many times to time PyTorch, by default.
        turn: approximate seconds of one measurement, which has at least one step.
        length: number of characters of the long text; used only for the kind "writing".
    """

    name: str
    cell: str
    hidden_size: int
    layers: int = 1
    batch_size: int = 1
    seq_length: int = 25
    vocabulary_size: int = CHARACTERS
    kind: Literal["step", "writing"] = "step"
    rounds: int = 7
    turn: float = 0.25
    length: int = 100_000

    @property
    def config(self) -> Config:
        """Return the settings of a training run of this network.

        They have the mean loss, clipping by the global norm, and Adam.
        """
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
        """Return the number of weights that take part in multiplications for each character.

        For G blocks of weights in a cell, L·G·H² weights are recurrent, (L - 1)·G·H² connect the
        layers, and K·H are at the output. The input of the first layer is a look-up, without
        multiplications.
        """
        H, L = self.hidden_size, self.layers
        return (2 * L - 1) * len(CELLS[self.cell].blocks) * H * H + self.vocabulary_size * H

    @property
    def operations(self) -> int:
        """Return the number of useful floating-point operations of a training step or a sampled character.

        In training, each weight needs 6 operations for each step of each stream: a multiplication
        and an addition in the forward pass, again for the gradient of the inputs, and again for the
        gradient of the weights. In sampling, each weight needs 2 operations per character.
        """
        if self.kind == "writing":
            return 2 * self.matrix_entries
        return 6 * self.matrix_entries * self.batch_size * self.seq_length

    def to_dict(self, rounds: int) -> dict[str, Any]:
        """Return all fields by name, and also the title and the number of operations of the workload.

        `rounds` replaces the default number of rounds.
        """
        derived = {"title": self.title, "rounds": rounds, "operations": self.operations}
        return {**asdict(self), **derived}

    @property
    def title(self) -> str:
        """Return a description of the workload in one line."""
        network = f"{self.cell} {self.layers}×{self.hidden_size}, K = {self.vocabulary_size}"
        if self.kind == "writing":
            return f"sampling from {network}: one stream"
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
            Workload(f"{cell}-2x512", cell, 512, 2, batch_size=64, seq_length=128, rounds=3)
            for cell in ("lstm", "gru", "rnn")
        ),
        Workload("sample-2x512", "lstm", 512, 2, kind="writing"),
    )
}
