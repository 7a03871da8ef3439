"""Suggestions have the names that a user may have meant, and no others."""

import pytest

from charloom.config import Config
from charloom.name_suggestions import did_you_mean

NAMES = tuple(Config.__dataclass_fields__)


@pytest.mark.parametrize(
    ("given", "question"),
    [
        ("hiden_size", "did you mean hidden_size?"),
        ("hiddensize", "did you mean hidden_size?"),
        ("update", "did you mean updates?"),
        ("learnig_rate", "did you mean learning_rate?"),
        ("colour", ""),
        ("", ""),
    ],
)
def test_a_suggestion_has_only_what_may_be_meant(given, question):
    assert did_you_mean(given, NAMES) == question


def test_names_that_are_equally_similar_are_all_suggested():
    assert did_you_mean("h_3", ["h_1", "h_2", "x"]) in (
        "did you mean h_1 or h_2?",
        "did you mean h_2 or h_1?",
    )
