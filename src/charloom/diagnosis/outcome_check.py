"""Checks that the results of a child process have the form of genuine results.

The user's code can change everything in its own process, also the results. The verdict does not depend on
that, because the parent process compares the numbers with the right ones. This module refuses results
that would make this comparison fail, or that are for other trials than those of the job.
"""

from charloom.cell_table import CELLS
from charloom.diagnosis.outcome import CHANGES, SCRIPTS, Call, Outcome
from charloom.diagnosis.runner import NUMERICAL_TRIALS, Job
from charloom.diagnosis.trials import make_trials, shapes

LARGEST_SIZE = 1_000  # largest H or K that a function may ask for
LONGEST_TEXT = 2_000  # characters of the description of a call


def require_genuine_form(outcome: Outcome, job: Job, numerical: bool) -> None:
    """Raise ValueError if the results do not have the form of those of `job`.

    `numerical` says whether the user gave a numerical gradient.
    """
    require(outcome.cell in CELLS and job.options.cell in ("", outcome.cell), "the cell")
    require(len(outcome.sizes) == 2 and all(map(is_size, outcome.sizes)), "the sizes")
    convention = outcome.convention
    require(isinstance(convention, str) and len(convention) <= LONGEST_TEXT, "the description")
    trials = make_trials(outcome.cell, job.seed, outcome.sizes, job.plans)
    counts = {
        "trials": len(trials),
        "windows": len(trials[0].problem.x),
        "repeats": 4,
        "fresh": 1,
        "moved": 1,
        "numerical": len(NUMERICAL_TRIALS) if numerical else 0,
    }
    for script, count in counts.items():
        require(len(getattr(outcome, script)) == count, f"the number of calls for {script}")
    names = set(shapes(outcome.cell, 1, 1))
    for script in SCRIPTS:
        require(all(is_call(call, names) for call in getattr(outcome, script)), script)


def require(condition: bool, what: str) -> None:
    """Raise ValueError about `what` unless `condition` is True."""
    if not condition:
        raise ValueError(f"{what} cannot be that of a genuine result.")


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
