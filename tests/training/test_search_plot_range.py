"""A plot of a search shows every rate up to the last one with a loss that fits, and names the larger ones."""

import pytest

from charloom.training.learning_rate_search import LearningRateSearch, SearchRound
from charloom.training.search_plot_range import HALF_STEP, plot_range


def search(*losses, rate=0.01, rates=(0.001, 0.01, 0.1, 1.0)):
    """Return a search with one round."""
    return LearningRateSearch(rate, (SearchRound(6, rates, losses),))


@pytest.mark.parametrize(
    ("losses", "end", "left_out"),
    [
        ((4.0, 3.0, 90.0, None), 0.1, (0.1, 1.0)),
        ((4.0, 3.0, 3.5, None), 1.0, (1.0,)),
        ((4.0, 3.0, 3.5, 4.5), HALF_STEP, ()),
        ((4.0, 3.0, None, 3.5), HALF_STEP, ()),  # the curve comes back into the plot
        ((4.0, None, None, None), 0.1, (0.1, 1.0)),  # the chosen rate is always shown
        ((None, None, None, None), 0.1, (0.1, 1.0)),
    ],
)
def test_the_axis_of_the_rates_ends_where_no_loss_fits(losses, end, left_out):
    shown = plot_range(search(*losses))
    assert shown.left_out == left_out
    assert shown.learning_rates == pytest.approx((0.001 / HALF_STEP, end))


def test_the_axis_of_the_losses_shows_the_lowest_and_those_of_a_network_that_learned_nothing():
    low, high = plot_range(search(4.0, 3.0, 90.0, None)).losses
    assert low < 3.0
    assert 4.0 < high < 5.0


@pytest.mark.parametrize("loss", [0.0, 3.0, None])
def test_equal_losses_have_a_range(loss):
    low, high = plot_range(search(*4 * [loss])).losses
    assert low < (loss or 0.0) < high


def test_a_chosen_rate_that_no_trial_had_is_in_the_plot():
    low, high = plot_range(search(4.0, 3.0, 2.0, 3.0, rate=7.0)).learning_rates
    assert low < 7.0 < high
