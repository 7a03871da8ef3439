"""The result of a run of a study: a line in the journal of the worker process that trained it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from charloom.formatting import bits_per_character

FINISHED, FAILED, PRUNED = "finished", "failed", "pruned"
# The fields of a record that the curve of a result has.
CURVE: Final = ("update", "train_nats", "validation_nats")


@dataclass(frozen=True)
class RunResult:
    """The result of a run. Losses are in nats per character.

    Attributes:
        key: the key of the run in the plan.
        state: "finished", "failed" or "pruned" (a trial of a search that was ended because it was worse than others).
        updates: number of applied updates.
        seconds: how long training took, with its evaluations and samples.
        characters: the number of characters that training read.
        train_nats: the training loss at the last record, the mean since the record before it.
        validation_nats: the lowest validation loss; None without a validation part.
        best_update: the update of `validation_nats`.
        curve: the records by field of `CURVE`; validation losses that were not computed are None.
        reason: why the run failed or ended early; None if it did not.
        warnings: what went wrong although the run continued, such as a return to an earlier update.
        search: the name of the search to which the run belongs; None if it is not a trial of a search.
        trial: the number of the trial in the search.
        settings: the settings of the trial.
    """

    key: str
    state: str
    updates: int = 0
    seconds: float = 0.0
    characters: int = 0
    train_nats: float | None = None
    validation_nats: float | None = None
    best_update: int | None = None
    curve: dict[str, list[Any]] | None = None
    reason: str | None = None
    warnings: tuple[str, ...] = ()
    search: str | None = None
    trial: int | None = None
    settings: dict[str, Any] | None = None

    @property
    def nats(self) -> float | None:
        """The loss by which runs are compared: the lowest validation loss, or without one the last training loss."""
        return self.train_nats if self.validation_nats is None else self.validation_nats

    @property
    def bits(self) -> float | None:
        """The loss by which runs are compared, in bits per character."""
        return None if self.nats is None else bits_per_character(self.nats)

    def to_dict(self) -> dict[str, Any]:
        """Return the line of the result as plain data, without fields that are empty."""
        fields = {name: value for name, value in vars(self).items() if value not in (None, ())}
        return {**fields, "warnings": list(self.warnings)} if self.warnings else fields

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> "RunResult":
        """Return the result of a line; fields that a later version added are ignored."""
        if not isinstance(line.get("key"), str):
            raise TypeError("a result has no key")
        known = cls.__dataclass_fields__
        fields = line
        if not line.keys() <= known.keys():
            fields = {name: line[name] for name in known if name in line}
        return cls(**{**fields, "warnings": tuple(line.get("warnings", ()))})


def merged(results: Iterable[RunResult]) -> dict[str, RunResult]:
    """Return one result for each key: a finished one, or else the last one.

    A run may have several results, because it failed and was tried again, or because two machines trained it
    at the same time; finished ones are then equal.
    """
    found: dict[str, RunResult] = {}
    for result in results:
        before = found.get(result.key)
        if before is None or before.state != FINISHED:
            found[result.key] = result
    return found
