"""Which model wrote the long passage of a run, as far as the run still tells.

It knows nothing of sentences: plain data from the run's events, pointers and records.
"""

from dataclasses import dataclass
from typing import Literal, Self

from charloom.report.records import Record, Records
from charloom.store import RunOutline
from charloom.store.checkpoint import is_count

# The last model of the training, the best on the validation part, that with the lowest smooth loss, or
# one of which nothing tells any more which it was.
Which = Literal["latest", "best", "lowest", "unknown"]


@dataclass(frozen=True)
class Writer:
    """The model that wrote the passage.

    Attributes:
        which: why this model wrote it.
        update: after which it was the model; None where nothing tells.
        record: of that update; None where there is none, or none any more.
    """

    which: Which
    update: int | None
    record: Record | None

    @classmethod
    def of(cls, view: RunOutline, records: Records | None) -> Self:
        """That of a run whose records were gathered with `passage_update` among the wanted ones."""
        update = passage_update(view)
        record = None if records is None or update is None else records.at.get(update)
        if record is not None and record.update != update:
            record = None  # that of the update is lost
        which = which_model(view, update)
        if which == "lowest" and update is None and records is not None:
            update, record = records.lowest.update, records.lowest
        return cls(which, update, record)


def end_of(view: RunOutline) -> dict[str, object]:
    """The last event that tells of the training's end; an empty one where none does."""
    ends = [event for event in view.events if event["event"] == "finished"]
    return ends[-1] if ends else {}


def passage_update(view: RunOutline) -> int | None:
    """The update of the model that wrote the passage; None where nothing tells.

    Earlier versions did not put it among the events: then it was the best.
    """
    end = end_of(view)
    told = end.get("passage")
    if is_count(told):
        return told
    return view.best if end else None


def which_model(view: RunOutline, update: int | None) -> Which:
    """Why the model of an update wrote the passage."""
    end = end_of(view)
    if not end:
        return "unknown"
    if "passage" not in end:  # an earlier version
        return "best" if view.config.validation else "lowest"
    if view.config.validation and update == view.best:
        return "best"
    return "latest" if update == end["update"] else "unknown"
