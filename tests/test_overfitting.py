"""Overfitting: the validation loss keeps rising while the training loss falls."""

import random
import tracemalloc

import pytest

from charloom.training import Overfitting, overfitting


def records(validation, train=None):
    """Return records every ten updates, each with a validation loss. By default, the training loss falls."""
    train = train or [2.0 - 0.1 * n for n in range(len(validation))]
    return [
        {"update": 10 * (n + 1), "train_nats": t, "validation_nats": v}
        for n, (v, t) in enumerate(zip(validation, train, strict=True))
    ]


def test_records_are_read_one_after_another_in_little_memory():
    many = (
        {"update": n, "train_nats": 1 / n, "validation_nats": 1 + n / 1e4} for n in range(1, 50_000)
    )
    tracemalloc.start()
    found = overfitting(many)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (found.update, peak < 100_000) == (1, True)


def test_a_validation_loss_that_keeps_rising_is_overfitting():
    found = overfitting(records([2.0, 1.3, 1.5, 1.7, 1.82]))
    assert found is not None
    assert (found.update, round(found.rise, 9)) == (20, 0.52)
    assert found.share == pytest.approx(0.4)


def test_records_without_a_validation_loss_are_ignored():
    judged = records([2.0, 1.3, 1.5, 1.7, 1.82])
    between = [{"update": r["update"] + 5, "train_nats": 0.0} for r in judged]
    mixed = sorted([*judged, *between], key=lambda record: record["update"])
    assert overfitting(mixed) == overfitting(judged)
    assert overfitting(between) is None


@pytest.mark.parametrize(
    ("validation", "train"),
    [
        ([2.0, 1.5, 1.3, 1.2, 1.1], None),  # still better
        ([2.0, 1.3, 1.34, 1.35, 1.36], None),  # within 5 %
        ([2.0, 1.3, 1.5, 1.31, 1.5], None),  # one of the last three is as good
        ([1.3, 1.5, 1.7], None),  # judged too seldom
        ([2.0, 1.3, 1.5, 1.7, 1.9], [2.0, 1.3, 1.5, 1.7, 1.9]),  # both rise: no overfitting
    ],
)
def test_other_losses_are_not_overfitting(validation, train):
    assert overfitting(records(validation, train)) is None


def test_noise_around_a_level_is_not_called_overfitting():
    """Checks a thousand runs of fifty evaluations whose losses vary by 1 % (standard deviation)."""
    numbers = random.Random(1)
    count = 0
    for _ in range(1_000):
        levels = [max(1.5, 3.0 - 0.1 * n) for n in range(50)]
        noisy = [level * (1 + 0.01 * numbers.gauss(0, 1)) for level in levels]
        count += overfitting(records(noisy)) is not None
    assert count == 0


def test_of_equal_best_losses_the_first_is_the_best():
    assert overfitting(records([2.0, 1.0, 1.0, 1.5, 1.5, 1.5])) == Overfitting(20, 0.5, 0.5)


def test_losses_that_both_rise_are_not_called_overfitting():
    """The training losses vary by 5 %. Only a few of a thousand runs may be called overfitted."""
    numbers = random.Random(1)
    found = 0
    for _ in range(1_000):
        levels = [max(1.5, 3.0 - 0.1 * n) + 0.05 * max(0, n - 24) for n in range(50)]
        validation = [level + 0.015 * numbers.gauss(0, 1) for level in levels]
        train = [(level - 0.1) * (1 + 0.05 * numbers.gauss(0, 1)) for level in levels]
        found += overfitting(records(validation, train)) is not None
    assert found <= 5


def test_a_training_loss_that_rises_at_last_does_not_hide_overfitting():
    validation = [1.2, 0.86, 0.94, 0.95, 1.03, 1.08, 1.12, 1.12]
    train = [0.9, 0.24, 0.18, 0.1, 0.09, 0.16, 0.26, 0.29]  # resumed with a higher learning rate
    found = overfitting(records(validation, train))
    assert found is not None
    assert (found.update, round(found.rise, 9)) == (20, 0.26)


def test_a_new_best_forgets_earlier_overfitting():
    validation = [1.0, 1.2, 1.3, 1.4, 0.9, 1.2, 1.2, 1.2]
    train = [1.0, 0.5, 0.4, 0.3, 0.2, 0.3, 0.3, 0.3]
    assert overfitting(records(validation, train)) is None
