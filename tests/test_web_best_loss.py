"""The validation loss of the best checkpoint is found among a run's records, in little memory."""

import pytest

from charloom.web.best_loss import BestLoss


def record(update, nats=None):
    found = {"update": update}
    return found if nats is None else {**found, "validation_nats": nats}


def test_the_best_figure_is_the_lowest_validation_loss():
    best = BestLoss()
    for line in (record(1), record(2, 1.9), record(3), record(4, 1.7), record(5, 2.0)):
        best.add(line, None)
    assert (best.of(2), best.of(4)) == (1.9, 1.7)


@pytest.mark.parametrize("update", [None, 3, 99])
def test_a_checkpoint_that_was_never_the_best_has_no_best_figure(update):
    best = BestLoss()
    for line in (record(1, 30.0), record(2, 20.0), record(3, 25.0)):
        best.add(line, None)
    assert best.of(update) is None


def test_records_that_cannot_belong_to_the_best_checkpoint_are_dropped():
    falling, saved = BestLoss(), BestLoss()
    for update in range(1, 10_001):
        falling.add(record(update, 1e5 - update), 9_000)
        saved.add(record(update, 1e5 - update), None)
    assert (len(falling), falling.of(9_000)) == (1_001, 1e5 - 9_000)
    assert (len(saved), saved.of(10_000), len(saved)) == (10_000, 9e4, 1)
    after = BestLoss()
    for update in range(10_000):
        after.add(record(update, 1 + update), 0)
    assert (len(after), after.of(0)) == (1, 1.0)
