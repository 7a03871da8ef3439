"""Finds what a reader notices in the loss curve of a run (jumps, rollbacks, changes, a pattern), for the text and the plot.

A jump is found in the points of the plot, so that the text reports what the plot shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from charloom.formatting import count, decimals, listing
from charloom.report.records import Records
from charloom.store.journal_lines import is_finite

# A jump is a rise of the smooth loss within a fiftieth of the run, but at least within 1,000 updates. It is at least
# three times as high as nine tenths of such rises in the run, and at least a tenth of the loss before it.
SPAN, LEAST_SPAN = 0.02, 1000
USUAL_SHARE, USUAL_FACTOR, LEAST_RISE = 90, 3.0, 0.1
MOST_MARKS: Final = 12  # of one kind of event in the plot
# A pattern that repeats in each epoch: the last two epochs are compared at so many places. Their losses, without the
# trend, correlate at least so much, and their range is at least such a fraction of the loss.
PLACES: Final = 64
LEAST_CORRELATION: Final = 0.8
LEAST_RANGE: Final = 0.03


@dataclass(frozen=True)
class Jump:
    """A jump of the smooth loss.

    Attributes:
        start: the update before the jump.
        end: the update at which the loss is highest.
        before: the smooth loss before the jump, in nats per window.
        after: the highest smooth loss of the jump.
        recovered: the first later update with a loss of at most `before`; None if there is none.
    """

    start: int
    end: int
    before: float
    after: float
    recovered: int | None


def event_story(records: Records, events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a list with one paragraph about the events in the loss curve; an empty list if there are none.

    Args:
        records: the records of the run.
        events: the events of the run (spec/formats.md: Steering).
    """
    sentences = [
        *jump_sentences(jumps(records)),
        *rollback_sentences(events),
        *rate_sentences(events),
        *pattern_sentences(records),
    ]
    return [" ".join(sentences)] if sentences else []


def event_marks(records: Records, events: Sequence[Mapping[str, Any]]) -> dict[str, Sequence[int]]:
    """Return the updates of the events to mark in the plot, by the words of its legend. The arguments are those above."""
    marks = {
        "jump": [jump.end for jump in jumps(records)],
        "rollback": [event["update"] for event in events if event["event"] == "rolled_back"],
        "new rate": [event["update"] for event in rate_changes(events)],
    }
    return {name: even_selection(updates) for name, updates in marks.items() if updates}


def even_selection(updates: Sequence[int]) -> Sequence[int]:
    """Return at most `MOST_MARKS` of these updates, evenly spread, with the last one."""
    stride = -(-len(updates) // MOST_MARKS)
    return updates[::-1][::stride][::-1]


def jumps(records: Records) -> list[Jump]:
    """Return the jumps of the smooth loss, in the order of their updates."""
    updates, losses = records.updates, records.losses
    if len(updates) < 2:
        return []
    span = max(SPAN * (updates[-1] - updates[0]), LEAST_SPAN)
    firsts = np.searchsorted(updates, updates - span)
    lowest = [first + int(losses[first : at + 1].argmin()) for at, first in enumerate(firsts)]
    rises = losses - losses[lowest]
    limit = USUAL_FACTOR * np.percentile(rises, USUAL_SHARE)
    found: list[Jump] = []
    high = np.flatnonzero((rises > limit) & (rises > LEAST_RISE * losses[lowest]))
    # The points of one jump lie close together.
    for group in np.split(high, np.flatnonzero(np.diff(updates[high]) > span) + 1):
        if len(group):
            top = int(group[losses[group].argmax()])
            found.append(_jump(records, lowest[group[0]], top))
    return found


def _jump(records: Records, start: int, top: int) -> Jump:
    """Return the jump from point `start` of the curve to point `top`."""
    updates, losses = records.updates, records.losses
    later = np.flatnonzero(losses[top:] <= losses[start])
    recovered = int(updates[top + later[0]]) if len(later) else None
    return Jump(
        int(updates[start]), int(updates[top]), float(losses[start]), float(losses[top]), recovered
    )


def jump_sentences(found: Sequence[Jump]) -> list[str]:
    """Return sentences about the number of jumps and the largest of them; none if there is no jump."""
    if not found:
        return []
    largest = max(found, key=lambda jump: jump.after - jump.before)
    how = (
        f"jumps from {decimals(largest.before, 2)} at update {count(largest.start)} to {decimals(largest.after, 2)} at update "
        f"{count(largest.end)}"
    )
    first = f"The smooth loss {how}."
    if len(found) > 1:
        first = f"The smooth loss jumps {count(len(found))} times. In the largest jump, it {how}."
    if largest.recovered is None:
        return [first, "After that, it does not fall to this level again."]
    return [first, f"It falls to this level again at update {count(largest.recovered)}."]


def rollback_sentences(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return sentences about the returns to a checkpoint after a number that was not finite."""
    updates = [count(event["update"]) for event in events if event["event"] == "rolled_back"]
    if not updates:
        return []
    times = "once" if len(updates) == 1 else f"{count(len(updates))} times"
    each = "" if len(updates) == 1 else " each time"
    return [
        f"Training was rolled back {times}, because a number was not finite: it went back to update "
        f"{listing(updates)} and continued with half the learning rate{each}."
    ]


def rate_sentences(events: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence about the changes of the learning rate by a user."""
    changes = [
        f"multiplied by {event['learning_rate_factor']:g} from update {count(event['update'])} on"
        for event in rate_changes(events)
    ]
    return [f"The planned learning rate was {listing(changes)}."] if changes else []


def rate_changes(events: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the events in which a user changed the learning rate."""
    return [
        event
        for event in events
        if event["event"] == "learning_rate_factor" and is_finite(event.get("learning_rate_factor"))
    ]


def pattern_sentences(records: Records) -> list[str]:
    """Return a sentence saying that the loss goes up and down in the same way in each epoch, if it does."""
    last = records.ends[-1] if records.ends else None
    if last is None or last.epoch < 3:
        return []
    length = last.update / last.epoch
    if np.count_nonzero(records.updates > last.update - length) < PLACES / 2:
        return []
    places = np.linspace(0, length, PLACES)
    epochs = [
        np.interp(last.update - back * length + places, records.updates, records.losses)
        for back in (2, 1)
    ]
    slope = (epochs[1].mean() - epochs[0].mean()) / length
    flat = [losses - slope * places for losses in epochs]
    span = float(np.ptp(flat[1]))
    if (
        span < LEAST_RANGE * epochs[1].mean()
        or np.corrcoef(flat[0], flat[1])[0, 1] < LEAST_CORRELATION
    ):
        return []
    return [
        f"In each epoch the loss goes up and down in much the same way, by {span:.1f} nats per window in the "
        f"last one. Some parts of the text are harder to predict than others."
    ]
