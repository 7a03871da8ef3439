"""Messages between training processes survive the way through bytes, and nothing in them can execute."""

import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

from compared_engines import TORCH

if not TORCH:
    pytest.skip("PyTorch is not installed", allow_module_level=True)

from charloom.engines import Plan
from charloom.engines.torch import process_group
from charloom.engines.torch.message_bytes import PART_ALIGNMENT, SIZE_BYTES, from_bytes, to_bytes
from charloom.engines.torch.rank_messages import (
    CloseParts,
    LoadPart,
    OpenPart,
    TrainedPart,
    TrainPart,
)
from charloom.errors import EngineError
from divided_networks import KINDS, learner_of


def same(ours, theirs) -> bool:
    """Return True if two messages, or two parts of them, have the same types and values."""
    if isinstance(theirs, np.ndarray):
        equal = np.array_equal(ours, theirs, equal_nan=theirs.dtype.kind == "f")
        return ours.dtype == theirs.dtype and ours.shape == theirs.shape and equal
    if isinstance(theirs, dict):
        return list(ours) == list(theirs) and all(same(ours[n], theirs[n]) for n in theirs)
    if type(ours) is not type(theirs):
        return False
    names = getattr(theirs, "__dataclass_fields__", None)
    if names is None:
        return ours == theirs or (ours != ours and theirs != theirs)
    return all(same(getattr(ours, name), getattr(theirs, name)) for name in names)


@pytest.mark.parametrize("kind", KINDS)
def test_a_message_with_a_whole_network_is_read_as_it_was_sent(kind):
    learner = learner_of(kind)
    tables = learner.ngrams, learner.pairs
    opening = OpenPart(3, learner.config, learner.vocabulary, *tables, 1, 2, 5)
    found = from_bytes(bytes(to_bytes(opening)))
    assert (found.ngrams is None) == (learner.ngrams is None) == ("n-grams" not in kind)
    assert same(found, opening)
    assert same(from_bytes(bytes(to_bytes(LoadPart(3, learner.state)))), LoadPart(3, learner.state))


@pytest.mark.parametrize(
    "message",
    [
        TrainPart(1, 7, np.arange(9, dtype=np.uint16), Plan(np.ones(2), np.zeros(3, np.int64))),
        TrainPart(
            1, 7, np.arange(3, dtype=np.uint8),
            Plan(np.ones(1), np.zeros((1, 2), np.int64), np.ones((1, 2), np.int64), np.ones(1, bool)),
        ),
        CloseParts((1, 2)),
        TrainedPart(np.array([0.5]), float("nan"), {"h": np.zeros((1, 0, 3), np.float32)}),
        TrainedPart(np.empty(0), float("inf"), {}),
    ],
    ids=lambda message: type(message).__name__,
)  # fmt: skip
def test_every_kind_of_message_is_read_as_it_was_sent(message):
    assert same(from_bytes(bytes(to_bytes(message))), message)


def test_a_changed_value_is_seen_by_the_comparison_of_these_tests():
    one, other = (TrainedPart(np.array([value]), 0.0, {}) for value in (0.5, 0.25))
    assert not same(from_bytes(bytes(to_bytes(one))), other)


class Planted:
    """Would run code if anything unpickled it."""

    def __reduce__(self):
        return pytest.fail, ("a message ran code",)


def with_head(head: object, rest: bytes = b"") -> bytes:
    """Return bytes with the form of a message, and this JSON."""
    words = json.dumps(head).encode()
    start = len(words).to_bytes(SIZE_BYTES, "little")
    return start + bytes(-len(start) % PART_ALIGNMENT) + words + rest


LARGE = {"dtype": "<f8", "shape": [10**15]}
WRONG = {
    "a pickle": pickle.dumps(Planted()),
    "nothing": b"",
    "no JSON": with_head("")[:-2] + b"{[",
    "another class": with_head({"kind": "Path", "values": {"x": 1}}),
    "a part of a message": with_head({"kind": "Plan", "values": {"learning_rates": 1, "starts": 1}}),
    "an unknown field": with_head({"kind": "CloseParts", "values": {"numbers": [1], "more": 1}}),
    "an array of objects": with_head({"kind": "CloseParts", "values": {"numbers": {"dtype": "O", "shape": [1]}}}),
    "an array without its bytes": with_head({"kind": "CloseParts", "values": {"numbers": LARGE}}),
    "bytes after the end": with_head({"kind": "CloseParts", "values": {"numbers": [1]}}, b"x"),
}  # fmt: skip


@pytest.mark.parametrize("data", WRONG.values(), ids=WRONG)
def test_other_bytes_are_refused_in_one_sentence(data):
    with pytest.raises(EngineError, match="Use the same version of charloom in all processes"):
        from_bytes(data)


def test_nothing_between_processes_is_pickled():
    for path in (process_group.__file__, to_bytes.__code__.co_filename):
        text = Path(path).read_text(encoding="utf-8")
        assert not re.search(r"import pickle|_object_list|all_gather_object|\beval\(", text)
