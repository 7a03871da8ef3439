"""Refuses to call a function wrong if its results show rather that the doctor calls it in a wrong way.

This concerns only functions that the doctor calls by a wrapper of its own. A loss that does not change with V,
and gradients without a loss none of which is right, are signs that the wrapper passes something else than the
code wants.
"""

from typing import Final

import numpy as np

from charloom.diagnosis.blocks import blocks_of
from charloom.diagnosis.fitted_pairs import norm
from charloom.diagnosis.outcome import Outcome
from charloom.diagnosis.places import Location
from charloom.diagnosis.reasons import Reasons
from charloom.errors import DoctorError
from charloom.messages import Placeholder, terminal_command

ZERO_SLOPE: Final = (
    1e-9  # a derivative below this share of all derivatives is zero except for rounding
)


def require_understood(reasons: Reasons, location: Location, outcome: Outcome) -> None:
    """Raise DoctorError if the results are wrong in a way that the doctor's own wrapper may have caused."""
    if not outcome.wrapper or reasons.gradient_is_right:
        return
    command = terminal_command("doctor", Placeholder("FILE.py"), adapt="wrapper.py")
    advice = f"{command} writes the calls as a file, which you can change and let the doctor check."
    if not reasons.network_known and loss_ignores_output(outcome):
        raise DoctorError(
            "the returned loss does not change with the output matrix V, so the doctor probably passes the "
            f"parameters in a wrong way. {advice}"
        )
    unexplained = not reasons.explanations and not any(place.mistake for place in location.places)
    nothing = nothing_returned(outcome) or (unexplained and nothing_right(location, outcome))
    if outcome.trials[0].loss is None and nothing:
        raise DoctorError(
            "the function returned no loss, and none of its gradients is that of a network that the doctor knows, so "
            f"the doctor probably calls it in a wrong way. Return the loss too, or change the calls: {advice}"
        )


def loss_ignores_output(outcome: Outcome) -> bool:
    """Return True if the derivatives of the function's own loss with respect to V are zero, except for rounding."""
    found = [call.gradients for call in outcome.derivatives]
    return bool(found) and all(
        float(np.linalg.norm(slopes["V "])) <= ZERO_SLOPE * float(norm(list(slopes.values())))
        for slopes in found
    )


def nothing_returned(outcome: Outcome) -> bool:
    """Return True if all gradients of all trials are zero."""
    return not any(g.any() for call in outcome.trials for g in call.gradients.values())


def nothing_right(location: Location, outcome: Outcome) -> bool:
    """Return True if every block of every gradient is wrong."""
    every = [block for block, _ in blocks_of(outcome.cell, outcome.trials[0].gradients)]
    return set(every) <= set(location.wrong)
