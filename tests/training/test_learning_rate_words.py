"""The optimizer and the schedule of the learning rate are said in words."""

import pytest

from charloom.config import OPTIMIZERS, Config
from charloom.training.learning_rate_words import TITLES, learning_rate_sentence


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "It uses AdaGrad, learning rate 0.1."),
        (
            {"schedule": "cosine", "warmup_epochs": 0.5},
            "It uses AdaGrad, learning rate 0.1, which first rises over 0.5 epochs, cosine schedule: falls to 0 along a "
            "cosine.",
        ),
        (
            {"schedule": "step", "step_factor": 0.5, "step_after_updates": 5000, "step_every": 1},
            "It uses AdaGrad, learning rate 0.1, step schedule: ×0.5 after 5,000 updates and then every epoch.",
        ),
        (
            {"optimizer": "sgd", "momentum": 0.9, "warmup": 1},
            "It uses SGD with momentum 0.9, learning rate 0.1, which first rises over 1 update.",
        ),
    ],
)
def test_the_sentence_says_what_the_settings_do(settings, sentence):
    assert learning_rate_sentence(Config(**settings)) == sentence


def test_every_optimizer_has_a_title():
    assert set(TITLES) == set(OPTIMIZERS)
