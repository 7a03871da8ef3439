"""The training loss of a run is the mean of its last complete epoch, and before that of its last updates."""

import pytest

from charloom.store.training_loss import TrainingLoss


def loss_of(records, per_epoch):
    """Return the training loss of records given as (update, nats); `per_epoch` updates are an epoch."""
    loss = TrainingLoss()
    for update, train_nats in records:
        loss.add(update, update / per_epoch, 25 * update, train_nats)
    return loss


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
def test_before_the_end_of_an_epoch_a_short_last_record_is_averaged_with_the_one_before(
    records, nats
):
    loss = loss_of(records, per_epoch=1_000)
    assert loss.nats == (nats if nats is None else pytest.approx(nats))
    assert (loss.epoch, loss.name) == (None, "mean of the last updates")


def test_the_loss_is_the_mean_of_the_last_complete_epoch():
    records = [(50, 9.0), (100, 9.0), (125, 4.0), (200, 2.0), (225, 7.0)]
    loss = loss_of(records, per_epoch=100)
    assert loss.nats == pytest.approx((25 * 4 + 75 * 2) / 100)
    assert (loss.epoch, loss.name) == (2, "mean of epoch 2")
    assert loss_of(records[:2], per_epoch=100).nats == pytest.approx(9)
