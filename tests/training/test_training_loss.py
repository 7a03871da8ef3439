"""The training loss of a run is that of its last updates, and not of a short last record."""

import pytest

from charloom.training.training_loss import TrainingLoss


@pytest.mark.parametrize(
    ("records", "nats"),
    [
        ([], None),
        ([(1, 4.0)], 4.0),
        ([(1, 4.0), (101, 2.0)], 2.0),
        ([(1, 4.0), (101, 3.0), (201, 2.0)], 2.0),
        ([(100, 3.0), (200, 2.0), (220, 5.0)], 2.5),  # 100 updates with 2 and 20 with 5
        ([(100, 3.0), (200, 2.0), (220, 5.0), (320, 1.0)], 1.0),
        ([(200, 2.0), (100, 3.0)], (2.0 * 200 + 3.0) / 201),  # the run was set back
    ],
)
def test_a_short_last_record_is_averaged_with_the_one_before(records, nats):
    loss = TrainingLoss()
    for update, train_nats in records:
        loss.add(update, train_nats)
    assert loss.nats == (nats if nats is None else pytest.approx(nats))
