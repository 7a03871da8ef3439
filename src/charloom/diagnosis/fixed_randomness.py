"""Makes a user's function repeatable whose wrapper makes an object with random numbers in each call.

A class often has parameters that the doctor does not know, such as peephole weights, and sets them to random
numbers. Its results then differ from call to call although its code is right. This module runs in the same
process as the user's code.
"""

import random
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from charloom.diagnosis.call_sequences import same
from charloom.diagnosis.outcome import Outcome
from charloom.diagnosis.runner import Load

NOTE: Final = (
    "your code makes random numbers, so its results differ from call to call; the doctor sets their seed before "
    "each call."
)


def answers_differ(outcome: Outcome) -> bool:
    """Return True if calls with the same arguments returned different results."""
    return not (same(*outcome.repeats[:2]) and same(*outcome.repeats[1:3]))


def with_fixed_seed(load: Load) -> Load:
    """Return a function that loads what `load` loads, but sets the seeds of random numbers before each call of it."""

    def loaded() -> tuple[Any, Any]:
        function, numerical = load()
        return seeded(function), numerical

    return loaded


def seeded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that sets the seeds of random numbers before it calls `function`."""

    def called(params: Any, x: Any, y: Any, h0: Any) -> Any:
        random.seed(0)
        np.random.seed(0)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(0)
        return function(params, x, y, h0)

    return called
