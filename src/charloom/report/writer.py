"""Finds which model wrote the passage of a run, the long sample that a run writes at its end.

The answer comes from the run's events, its records, and the files that name its latest and best checkpoint.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from charloom.report.records import Record, Records
from charloom.store import RunInspection
from charloom.store.json_numbers import is_count

# Why a run chose a model to write its passage, the long sample at its end. "latest": it was the last model.
# "best": it had the lowest validation loss. "lowest": it had the lowest smooth loss. "unknown": the run does
# not say.
Which = Literal["latest", "best", "lowest", "unknown"]


@dataclass(frozen=True)
class Writer:
    """The model that wrote the passage of a run, the long sample that a run writes at its end.

    Attributes:
        which: why this model was chosen; see `Which`.
        update: the number of updates of this model; None if it is not known.
        record: the record (line of metrics.jsonl) of this update; None if there is none.
    """

    which: Which
    update: int | None
    record: Record | None

    @classmethod
    def of(cls, view: RunInspection, records: Records | None) -> Self:
        """Return the model that wrote the passage of a run, the long sample at its end.

        Args:
            view: the run.
            records: the records of the run; None if it has none. Their attribute `at` must have a key for
                the update that `passage_update` returns, unless it returns None.
        """
        update = passage_update(view)
        record = None if records is None or update is None else records.at.get(update)
        if record is not None and record.update != update:
            # The record of `update` is lost, so `records.at` has the record of an earlier update here.
            record = None
        which = which_model(view, update)
        if which == "lowest" and update is None and records is not None:
            update, record = records.lowest.update, records.lowest
        return cls(which, update, record)


def end_of(view: RunInspection) -> Mapping[str, Any]:
    """Return the last event of type finished; an empty dict if the run has no such event."""
    ends = [event for event in view.events if event["event"] == "finished"]
    return ends[-1] if ends else {}


def passage_update(view: RunInspection) -> int | None:
    """Return the update of the model that wrote the passage, the long sample at the end of a run.

    Return None if the update is not known. Earlier versions of charloom did not store the update; they always
    used the best model.
    """
    end = end_of(view)
    update = end.get("passage")
    if is_count(update):
        return update
    return view.best if end else None


def which_model(view: RunInspection, update: int | None) -> Which:
    """Return why a run chose a model to write the passage, the long sample at the end of the run.

    `update` is the number of updates of this model; None if it is not known.
    """
    end = end_of(view)
    if not end:
        return "unknown"
    if "passage" not in end:  # earlier versions of charloom did not write this field of the event
        return "best" if view.config.validation else "lowest"
    if view.config.validation and update == view.best:
        return "best"
    return "latest" if update == end["update"] else "unknown"
