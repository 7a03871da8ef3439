"""The sentence about the order of the windows says when the hidden state is reset."""

import pytest

from charloom.config import Config
from charloom.training.order_message import order_sentence


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "reads the text in sequence; the hidden state is reset only before each epoch."),
        ({"batch_size": 3}, "reads the 3 streams in sequence"),
        ({"order": "chunks"}, "reads 10 chunks of the text, in a new random order"),
        ({"order": "chunks", "chunks": 1}, "reads 1 chunk of the text"),
        ({"order": "chunks", "batch_size": 3}, "10 chunks of each stream"),
        ({"order": "chunks"}, "the hidden state is reset before each chunk."),
        ({"order": "random"}, "the hidden state is reset before each window"),
    ],
    ids=str,
)
def test_the_order_and_the_resets_are_named(settings, words):
    assert words in order_sentence(Config(**settings))
