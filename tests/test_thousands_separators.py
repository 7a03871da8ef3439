"""Counts in messages have separators for thousands: 12,000 characters."""

import numpy as np
import pytest

from charloom.config import Config
from charloom.engines import native_problem, open_engine
from charloom.engines.base import Plan, Trace
from charloom.errors import ConfigError, DamagedError, DivergedError, EngineError, TextError
from charloom.evaluation import Evaluation
from charloom.gradient_check import check_gradients
from charloom.model import new_learner
from charloom.store.atomic_files import read_file
from charloom.store.resume_plan import require_place
from charloom.store.tensor_reader import header_of
from charloom.text import UnknownPolicy, Vocabulary
from charloom.text.windows import Windows
from charloom.training.loop import divergence_error

MANY = [chr(point) for point in range(0x4E00, 0x4E00 + 2_000)]


@pytest.fixture(scope="module")
def learner():
    """Return a network of 2,000 characters after 12,000 updates."""
    found = new_learner(Config(hidden_size=2, seq_length=5), Vocabulary(MANY))
    found.update = 12_000
    return found


def test_a_file_that_is_too_large_is_refused_with_its_size(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 2_000)
    with pytest.raises(DamagedError, match="it has 2,000 bytes; at most 1,000 are allowed"):
        read_file(tmp_path / "file", most=1_000)


def test_a_header_that_is_too_large_is_refused_with_its_size():
    with pytest.raises(DamagedError, match="header has 9,000,000 bytes; at most 8,388,608 are"):
        header_of((9_000_000).to_bytes(8, "little") + b"{", "model")


def test_a_checkpoint_at_another_position_is_refused_with_both_positions(tmp_path, learner):
    with pytest.raises(DamagedError) as caught:
        require_place(tmp_path, learner, 1_000_001)
    assert "after update 12,000 it must be at character 60,000 of epoch 0." in str(caught.value)


def test_a_text_that_is_too_short_is_refused_with_the_streams_and_the_steps():
    with pytest.raises(TextError, match="a window of 2,000 steps in each of 100,000 streams needs"):
        Windows.of(Config(batch_size=100_000, seq_length=2_000), 60_000)


def test_an_update_that_was_not_applied_is_named(learner):
    trace = Trace(np.empty(0), np.empty(0), "non-finite", np.inf, np.inf)
    assert str(divergence_error(learner, trace, 0.1)).startswith("update 12,001, at")
    assert isinstance(divergence_error(learner, trace, 0.1), DivergedError)


def test_an_unknown_character_is_named_with_its_place_and_the_size_of_the_vocabulary():
    text = MANY[0] * 1_499 + "x"
    with pytest.raises(TextError, match=r"character 1,500 is .* vocabulary of 2,000 characters"):
        Vocabulary(MANY).encode(text)
    with pytest.raises(ConfigError, match="one of the 2,000 characters that the model knows"):
        Vocabulary(MANY).encode_with(text, UnknownPolicy("replace", "y"))


def test_ids_out_of_range_are_refused_with_the_range(learner):
    ids = np.array([0, 2_500])
    with pytest.raises(EngineError, match="contain ids from 0 to 1,999"):
        check_gradients(learner, ids, ids)


@pytest.mark.skipif(native_problem() is not None, reason="not built here")
def test_the_native_engine_states_counts_in_its_errors(learner):
    engine, ids = open_engine("native"), np.zeros(1_500, dtype=np.uint16)
    with pytest.raises(EngineError, match=r"1,000 windows of 5 .* need 5,001 .* has 1,500"):
        engine.train(learner, ids, Plan(np.full(1_000, 0.1), np.zeros(1, np.int64)))
    with pytest.raises(EngineError, match=r"from 2,500 to 2,500; the model has 2,000 .* 1,999"):
        engine.step(learner, np.array([2_500], dtype=np.uint16), learner.state)


def test_the_streams_of_an_evaluation_are_counted():
    segments = tuple((n, n + 1) for n in range(1_024))
    found = Evaluation("validation", 9, 1.0, 1.4, None, 2.7, segments=segments)
    assert found.part == "validation: a part of each of 1,024 streams"
