"""Selects a limited number of a run's records for the curves of the page.

The selected records are evenly spread. Records at the end of an epoch and records with a validation loss are preferred.
A record here is a valid line of metrics.jsonl, the journal of losses (see `journal_lines.is_record`).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from charloom.even_sample import EvenSample

Record = dict[str, Any]


def sample_records(records: Iterable[Record], most: int) -> tuple[list[Record], int]:
    """Return evenly spread records, from which `thinned` can select, and the number of all records.

    At most `2 * most` of the returned records are at the end of an epoch or have a validation loss; at most
    `2 * most` are other records. `records` may yield millions of records: only the returned records are kept
    in memory.
    """
    preferred, others = EvenSample[Record](2 * most), EvenSample[Record](2 * most)
    for record in records:
        (preferred if is_preferred(record) else others).add(record)
    kept = [*preferred.kept(), *others.kept()]
    return sorted(kept, key=lambda record: int(record["update"])), preferred.total + others.total


def thinned(records: list[Record], most: int) -> list[Record]:
    """Return at most `most` evenly spread records, in order.

    The last record is always returned; the first record is returned if `most` is 3 or more. At most half of the
    result is reserved for records at the end of an epoch and records with a validation loss.
    """
    if len(records) <= most:
        return records
    preferred = [n for n, record in enumerate(records) if is_preferred(record)]
    if len(preferred) > most // 2:
        preferred = spread(preferred, most // 2)
    kept = {*preferred, *spread(range(len(records)), most - len(preferred))}
    return [records[n] for n in sorted(kept)]


def is_preferred(record: Record) -> bool:
    """Return True if a record is at the end of an epoch or has a validation loss."""
    return is_end(record["epoch"]) or record.get("validation_nats") is not None


def is_end(epoch: float) -> bool:
    """Return True if `epoch`, the number of epochs trained so far, is a whole number of at least 1."""
    return epoch >= 1 and float(epoch).is_integer()


def spread(indices: Sequence[int], count: int) -> list[int]:
    """Return `count` evenly spread elements of the sequence `indices`, including its first and its last element.

    If `count` is 1 or less, return only the last element.
    """
    if count <= 1:
        return [indices[-1]]
    return [indices[round(n * (len(indices) - 1) / (count - 1))] for n in range(count)]
