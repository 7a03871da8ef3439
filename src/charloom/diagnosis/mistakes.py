"""Lists the known mistakes in hand-written backpropagation, sorted by how likely they are.

The modules of `known_mistakes/` have their titles, equations and fixes, one module for each family. They compute
nothing: `faulty_network.py` computes the gradients that code with a mistake returns, and `call_sequences.py` finds
the mistakes that show only in several calls.
"""

from typing import Final

from charloom.diagnosis.known_mistakes.carries import CARRIES
from charloom.diagnosis.known_mistakes.formulas import FORMULAS
from charloom.diagnosis.known_mistakes.gates import GATES
from charloom.diagnosis.known_mistakes.mistake import Mistake
from charloom.diagnosis.known_mistakes.numerical_mistakes import NUMERICAL
from charloom.diagnosis.known_mistakes.other_networks import OTHER_NETWORKS
from charloom.diagnosis.known_mistakes.output_and_loss import OUTPUT_AND_LOSS
from charloom.diagnosis.known_mistakes.several_calls import SEVERAL_CALLS
from charloom.diagnosis.known_mistakes.steps_of_window import STEPS_OF_WINDOW
from charloom.diagnosis.known_mistakes.sums_and_steps import SUMS_AND_STEPS
from charloom.diagnosis.known_mistakes.whole_gradients import WHOLE_GRADIENTS

# The likeliest family comes first, and in each family the likeliest mistake.
MISTAKES: Final[tuple[Mistake, ...]] = (
    *SUMS_AND_STEPS,
    *CARRIES,
    *OUTPUT_AND_LOSS,
    *STEPS_OF_WINDOW,
    *OTHER_NETWORKS,
    *GATES,
    *FORMULAS,
    *WHOLE_GRADIENTS,
    *SEVERAL_CALLS,
    *NUMERICAL,
)
BY_ID: Final = {mistake.id: mistake for mistake in MISTAKES}
RANK: Final = {mistake.id: rank for rank, mistake in enumerate(MISTAKES)}
