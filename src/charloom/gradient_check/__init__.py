"""The gradient check: compares an engine's analytic gradient with numerical gradients.

The reference engine computes the losses for the numerical gradients.
"""

from charloom.gradient_check.check import NORM_LIMITS, check_gradients, fresh_problem, gradcheck
from charloom.gradient_check.check_result import STEPS, GradientCheck, Row
from charloom.gradient_check.stored_checks import StoredChecks, read_checks

__all__ = [
    "NORM_LIMITS",
    "STEPS",
    "GradientCheck",
    "Row",
    "StoredChecks",
    "check_gradients",
    "fresh_problem",
    "gradcheck",
    "read_checks",
]
