"""A report reads the right records of a run in one pass, with bounded memory."""

import math
import tracemalloc
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.even_sample import EvenSample
from charloom.report.records import (
    MOST_ENDS,
    MOST_JUDGED,
    MOST_POINTS,
    OrderedRecords,
    Record,
    Records,
    gather,
)
from charloom.report.samples import MOST_SAMPLES, gather_samples

PER_EPOCH = 100


def record(update: int, loss: float = 50.0, nats: float | None = None) -> Record:
    return Record(update, update / PER_EPOCH, 25 * update, update / 1000, loss, loss / 25, nats)


def gathered(records: list[Record], wanted: tuple[int, ...] = ()) -> Records:
    found = gather(iter(records), wanted)
    assert found is not None
    return found


def test_no_record_gives_nothing() -> None:
    assert gather([]) is None


def test_the_first_of_several_lowest_and_best_records_is_kept() -> None:
    losses = [9.0, 4.0, 7.0, 4.0, 5.0]
    many = [record(10 * n, loss, loss) for n, loss in enumerate(losses, 1)]
    found = gathered(many)
    assert (found.first, found.last) == (many[0], many[-1])
    assert found.lowest == found.best == many[1]
    assert gathered([record(1)]).best is None


def test_for_each_update_that_is_asked_for_the_record_before_it_is_kept() -> None:
    many = [record(n) for n in (10, 20, 30)]
    found = gathered(many, (0, 10, 15, 20, 29, 30, 99, 15))
    assert found.at == {
        0: None, 10: many[0], 15: many[0], 20: many[1], 29: many[1], 30: many[2], 99: many[2],
    }  # fmt: skip


def test_the_last_whole_epoch_is_averaged_by_characters() -> None:
    many = [
        Record(update, epoch, int(100 * epoch), 1.0, 50.0, nats)
        for update, epoch, nats in (
            (2, 0.5, 9.0), (4, 1.0, 9.0), (5, 1.25, 4.0), (8, 2.0, 2.0), (9, 2.25, 7.0),
        )
    ]  # fmt: skip
    assert gathered(many).training.nats == pytest.approx((25 * 4 + 75 * 2) / 100)
    assert gathered(many[:2]).training.nats == pytest.approx(9)
    assert gathered(many[:1]).training.epoch is None


def test_many_epochs_and_judgements_are_thinned_and_counted() -> None:
    many = [record(PER_EPOCH * n, 50.0, 3.0 if n == 777 else 4.0) for n in range(1, 3_001)]
    found = gathered(many)
    assert (found.epochs, found.judgements) == (3_000, 3_000)
    assert len(found.ends) <= MOST_ENDS
    assert len(found.judged) <= MOST_JUDGED + 1
    assert found.ends[0] == found.judged[0] == many[0]
    assert found.ends[-1] == found.judged[-1] == many[-1]
    assert found.best == many[776]
    assert found.best in found.judged


def test_the_curve_keeps_its_extremes_however_long_it_is() -> None:
    """Takes a second: a long run has so many records that the curve is thinned on the way."""
    count, peak, dip = 200_000, 70_001, 150_003
    losses = {peak: 99.0, dip: 1.0}
    found = gather(record(n, losses.get(n, 50.0)) for n in range(1, count + 1))
    assert found is not None
    points = dict(zip(found.updates.tolist(), found.losses.tolist(), strict=True))
    assert points[peak] == 99.0
    assert points[dip] == 1.0
    assert (min(points), max(points)) == (1, count)
    assert len(points) < 4_000


def peak_bytes(count: int) -> int:
    """Return the peak memory in bytes while `count` records are collected."""
    tracemalloc.start()
    try:
        gather(record(n, nats=2.0) for n in range(1, count + 1))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_twice_as_many_records_take_no_more_memory() -> None:
    """Two seconds: even the half is so many that the curve is thinned, and each allocation is traced."""
    half = MOST_POINTS + 5_000
    assert peak_bytes(2 * half) < 1.1 * peak_bytes(half)


UPDATES = st.lists(st.integers(0, 50), max_size=30)


@given(UPDATES)
def test_ordered_records_rise_and_each_other_one_is_counted(updates: list[int]) -> None:
    ordered = OrderedRecords(map(record, updates))
    found = [one.update for one in ordered]
    assert found == sorted(set(found))
    assert len(found) + ordered.left_out == len(updates)
    if updates == sorted(set(updates)):
        assert found == updates


@pytest.mark.parametrize(
    ("updates", "kept"),
    [
        ([1, 2, 90, 3, 4], [1, 2, 3, 4]),  # a digit too many hides nothing that follows
        ([1, 2, 3, 1, 4], [1, 2, 3, 4]),
        ([90, 1, 2], [1, 2]),
        ([1, 2, 2, 3], [1, 2, 3]),
    ],
)
def test_one_record_out_of_order_is_left_out_alone(updates: list[int], kept: list[int]) -> None:
    ordered = OrderedRecords(map(record, updates))
    assert [one.update for one in ordered] == kept
    assert ordered.left_out == 1


@given(st.integers(0, 300), st.integers(3, 20))
def test_a_spread_keeps_the_first_and_the_last_at_even_distances(count: int, most: int) -> None:
    spread: EvenSample[int] = EvenSample(most)
    for thing in range(count):
        spread.add(thing)
    kept = spread.kept()
    assert spread.total == count
    assert len(kept) <= most
    assert kept[:1] + kept[-1:] == ([0, count - 1] if count else [])
    distances = {after - before for before, after in pairwise(kept[:-1])}
    assert len(distances) <= 1
    if count <= most - 1:
        assert kept == list(range(count))


def test_of_many_samples_some_are_shown() -> None:
    def lines() -> Iterator[dict[str, object]]:
        yield from ({"update": n, "text": str(n)} for n in range(1_000))

    samples = gather_samples(lines())
    assert samples.drawn == 1_000
    assert len(samples.shown) <= MOST_SAMPLES
    assert [samples.shown[0].update, samples.shown[-1].update] == [0, 999]


def test_a_loss_of_zero_can_be_the_best() -> None:
    many = [record(1, nats=2.0), record(2, nats=0.0), record(3, nats=1.0)]
    assert gathered(many).best == many[1]
    assert math.isclose(gathered(many).judged[1].validation_nats or 0.0, 0.0)
