"""Checks that the results of a child process have the form of genuine results.

The user's code can change everything in its own process, also the results. The verdict does not depend on
that, because the parent process compares the numbers with the right ones. This module refuses results
that would make this comparison fail, or that are for other trials than those of the job.
"""

from collections.abc import Sequence

from charloom.cell_table import CELLS
from charloom.diagnosis.batch_calls import TEXTS
from charloom.diagnosis.blocks import blocks_of
from charloom.diagnosis.loss_derivative import DERIVATIVE_TRIALS, DIRECTIONS, NOISE_POINTS, WHOLE
from charloom.diagnosis.outcome import CHANGES, SCRIPTS, Call, Outcome
from charloom.diagnosis.peephole_probes import probe_problems
from charloom.diagnosis.runner import NUMERICAL_TRIALS, Job
from charloom.diagnosis.trials import (
    MOVES,
    Fixed,
    Trial,
    every_trial,
    make_trials,
    prefix_problems,
    shapes,
)

LARGEST_SIZE = 1_000  # largest H or K that a function may ask for
LONGEST_TEXT = 2_000  # characters of the description of a call, or of a note
LONGEST_WRAPPER = 100_000  # characters of the source of a wrapper
MOST_NOTES = 20


def require_genuine_form(outcome: Outcome, job: Job, numerical: bool) -> None:
    """Raise ValueError if the results do not have the form of those of `job`.

    `numerical` says whether the user gave a numerical gradient. A job that only writes a wrapper has no
    results.
    """
    require(len(outcome.wrapper) <= LONGEST_WRAPPER, "the wrapper")
    require(all(len(note) <= LONGEST_TEXT for note in outcome.notes[:MOST_NOTES]), "the notes")
    require(len(outcome.notes) <= MOST_NOTES, "the number of notes")
    if job.adapt:
        return
    require(outcome.cell in CELLS and job.options.cell in ("", outcome.cell), "the cell")
    require(is_fixed(outcome.sizes), "the sizes")
    convention = outcome.convention
    require(isinstance(convention, str) and len(convention) <= LONGEST_TEXT, "the description")
    trials = make_trials(outcome.cell, job.seed, outcome.sizes, job.plans)
    probed = every_trial(trials, job.seed, outcome.sizes)
    counts = {
        "trials": len(trials),
        "windows": len(trials[0].problem.x) - outcome.sizes.shortest + 1,
        "repeats": 4,
        "fresh": 1,
        "moved": len(MOVES),
        "numerical": len(NUMERICAL_TRIALS) if numerical else 0,
    }
    for script, count in counts.items():
        require(len(getattr(outcome, script)) == count, f"the number of calls for {script}")
    names = set(shapes(outcome.cell, 1, 1))
    for script in SCRIPTS:
        if script not in ("derivatives", "slopes", "steps", "texts", "later"):
            require(all(is_call(call, names) for call in getattr(outcome, script)), script)
    require_derivatives(outcome, trials)
    require_steps(outcome, probed[-1])
    require(len(outcome.probes) in (0, len(probe_problems(probed))), "the number of probes")
    require(len(outcome.batch) in (0, TEXTS + 1), "the number of calls on a batch")
    require_training(outcome, trials)
    require(len(outcome.separate) <= 1, "the number of separate calls")
    prefixes = len(prefix_problems(trials, outcome.sizes))
    require(len(outcome.prefixes) in (0, prefixes), "the number of prefixes")
    require(len(outcome.nearby) in (0, NOISE_POINTS), "the number of nearby calls")


def require_derivatives(outcome: Outcome, trials: Sequence[Trial]) -> None:
    """Raise ValueError if the derivatives of the function's loss do not have the right form."""
    require(len(outcome.slopes) in (0, 2 * len(trials)), "the number of slopes")
    for call in outcome.slopes:
        require(set(call.gradients) == {WHOLE}, "the names of the slopes")
        require(call.gradients[WHOLE].shape == (1,), "the shapes of the slopes")
    found = outcome.derivatives
    require(len(found) in range(0, 2 * len(DERIVATIVE_TRIALS) + 1, 2), "the number of derivatives")
    parameters = trials[0].problem.parameters
    names = {" ".join(block) for block, _ in blocks_of(outcome.cell, parameters)}
    for call in found:
        require(set(call.gradients) == names, "the names of the derivatives")
        shapes_of = {array.shape for array in call.gradients.values()}
        require(shapes_of == {(DIRECTIONS,)}, "the shapes of the derivatives")


def require_training(outcome: Outcome, trials: Sequence[Trial]) -> None:
    """Raise ValueError if what a batch and the second iteration show does not have the right form."""
    require(len(outcome.texts) in (0, 2), "the number of calls on several texts")
    require(len(outcome.later) in (0, 3), "the number of calls in the second iteration")
    parameters = trials[0].problem.parameters
    names = {" ".join(block) for block, _ in blocks_of(outcome.cell, parameters)}
    for call in (*outcome.texts, *outcome.later):
        require(set(call.gradients) == names, "the names of the gradients in the training")
        shapes_of = {array.shape for array in call.gradients.values()}
        require(shapes_of == {(1,)}, "the shapes of the gradients in the training")


def require_steps(outcome: Outcome, separate: Trial) -> None:
    """Raise ValueError if the derivatives in each step do not have the right form."""
    require(len(outcome.steps) in (0, 2), "the number of derivatives in steps")
    U = separate.problem.parameters["U"]
    names = {" ".join(block) for block, _ in blocks_of(outcome.cell, {"U": U})}
    for call in outcome.steps:
        require(set(call.gradients) == names, "the names of the derivatives in steps")
        shapes_of = {array.shape for array in call.gradients.values()}
        require(shapes_of == {separate.problem.x.shape}, "the shapes of the derivatives in steps")


def require(condition: bool, what: str) -> None:
    """Raise ValueError about `what` unless `condition` is True."""
    if not condition:
        raise ValueError(f"{what} cannot be that of a genuine result.")


def is_fixed(fixed: object) -> bool:
    """Return True for what code can fix of the trials."""
    return (
        isinstance(fixed, Fixed)
        and is_size(fixed.H)
        and is_size(fixed.K)
        and type(fixed.windows) is type(fixed.zero_state) is bool
        and fixed.shortest in (1, 2)
    )


def is_size(size: object) -> bool:
    """Return True for None and for a possible H or K."""
    return size is None or (type(size) is int and 0 < size <= LARGEST_SIZE)


def is_call(call: Call, names: set[str]) -> bool:
    """Return True if a call has real gradients of the parameters `names`."""
    arrays = [*call.gradients.values(), *call.after.values()]
    return (
        set(call.gradients) == names
        and set(call.after) <= names
        and set(call.changed) <= set(CHANGES)
        and all(array.dtype.kind in "fiu" for array in arrays)
    )
