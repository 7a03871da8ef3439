"""Compares the results of two engines: converts learners to another dtype, and measures distances."""

import numpy as np

from charloom.model import Learner, copy_learner, hidden_arrays, zero_slots


def in_dtype(learner: Learner, dtype: str) -> Learner:
    """Return a copy of the learner with parameters, state and slots of another dtype; the slots are 0."""
    copy = copy_learner(learner)
    copy.config = learner.config.replace(dtype=dtype)
    copy.parameters = {name: p.astype(dtype) for name, p in copy.parameters.items()}
    copy.state |= {name: s.astype(dtype) for name, s in hidden_arrays(copy.state).items()}
    copy.slots = zero_slots(copy.config, copy.parameters)
    return copy


def distance(a, b) -> float:
    """Return the norm of the difference of two arrays, divided by the sum of their norms."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    scale = np.linalg.norm(a) + np.linalg.norm(b)
    return float(np.linalg.norm(a - b) / scale) if scale else 0.0


def assert_close(ours, theirs, limit) -> None:
    """Raise AssertionError unless two dicts of arrays have the same names, and small distances.

    With a limit for float64, the dtypes must be the same too.
    """
    assert list(ours) == list(theirs)
    for name in ours:
        assert ours[name].dtype == theirs[name].dtype or limit > 1e-10, name
        assert distance(ours[name], theirs[name]) <= limit, name
