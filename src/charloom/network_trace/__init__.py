"""Every value of a small network over one window, and a check of a student's own values."""

from charloom.network_trace.given_numbers import GivenNumbers, read_numbers
from charloom.network_trace.number_check import NumberCheck, check_numbers
from charloom.network_trace.small_network import (
    Problem,
    learner_problem,
    random_ids,
    random_problem,
    require_small,
)
from charloom.network_trace.whole_trace import Trace, trace_problem

__all__ = [
    "GivenNumbers",
    "NumberCheck",
    "Problem",
    "Trace",
    "check_numbers",
    "learner_problem",
    "random_ids",
    "random_problem",
    "read_numbers",
    "require_small",
    "trace_problem",
]
