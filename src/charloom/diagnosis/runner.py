"""Calls the user's function on every trial and in sequences, and collects the results.

It runs in the process of the user's code: a separate one (`sandbox.py`), or this one if the user
passed a Python function. It does not check the results.
"""

import linecache
import sysconfig
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from charloom.diagnosis import call_forms
from charloom.diagnosis.call_options import Options
from charloom.diagnosis.faulty_network import Problem, answer
from charloom.diagnosis.outcome import Call, Outcome
from charloom.diagnosis.trials import PLANS, Plan, make_trial, make_trials, moved, window
from charloom.errors import DoctorError

# Files whose lines are left out of a traceback: charloom, Python and installed packages.
NOT_THE_USERS: Final = (
    str(Path(__file__).parents[1]),
    "<frozen",
    *(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")),
)
NUMERICAL_TRIALS: Final = (1, 5)  # small ones: a numerical gradient needs two losses per entry
OTHER: Final = 50  # seeds the numbers of the problem that has the first trial's sizes
QUICK_LOAD: Final = 0.1  # seconds; a file that loads faster is loaded again for each trial
SHOWN_LINES: Final = 12  # lines of a traceback that are shown at its start, and at its end


@dataclass(frozen=True)
class Job:
    """The options of the function, the seed of the trials and their plans."""

    options: Options
    seed: int = 0
    plans: tuple[Plan, ...] = PLANS


class Caller(Protocol):
    """A function with the way to call it."""

    cell: str
    sizes: tuple[int | None, int | None]

    def find_call_form(self, problem: Problem, loss: float) -> str:
        """Find out how to call the function, and return a description of the call."""

    def with_function(self, function: Any) -> "Caller":
        """Return a caller that calls another function in the same way."""

    def call(self, problem: Problem) -> Call:
        """Call the function."""


class FunctionCaller:
    """A Python function on arrays, called by a convention of `call_forms.py`."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function, self.options, self.cell = function, options, options.cell or "rnn"
        self.sizes: tuple[int | None, int | None] = (None, None)
        self.convention = call_forms.Convention()

    def find_call_form(self, problem: Problem, loss: float) -> str:
        self.convention = call_forms.find_convention(self.function, problem, loss, self.options)
        return self.convention.in_words()

    def with_function(self, function: Any) -> "FunctionCaller":
        caller = FunctionCaller(function, self.options)
        caller.convention = self.convention
        return caller

    def call(self, problem: Problem) -> Call:
        reply, prepared = call_forms.call(self.function, problem, self.convention, self.options)
        changed = tuple(prepared.changed())
        after = prepared.parameters() if "parameters-changed" in changed else {}
        return Call(reply.loss, reply.gradients, changed, after, reply.float32)


Load = Callable[[], tuple[Any, Any]]  # returns the function and the numerical one (or None)
Report = Callable[[str], None]  # gets a description of each call before it is made


def run(load: Load, job: Job, report: Report, reload: bool = True) -> Outcome:
    """Make all calls and return their results.

    Args:
        load: returns the user's functions.
        job: the options and the trials.
        report: is called before each step, with its description.
        reload: whether `load` returns functions that remember nothing of earlier calls.

    Raises:
        DoctorError: the function raised an exception (the message has the user's lines of the
            traceback), or returned something without gradients.
    """
    report("loading the file")
    started = time.perf_counter()
    function, numerical = guarded("while it was loaded", load)
    quick = time.perf_counter() - started < QUICK_LOAD
    caller = caller_of(function, job.options)
    trials = make_trials(caller.cell, job.seed, caller.sizes, job.plans)
    first, description = trials[0].problem, trials[0].description()
    report(f"the first call ({description})")
    exact = answer(first).loss
    convention = guarded(description, lambda: caller.find_call_form(first, exact))
    outcome = Outcome(caller.cell, caller.sizes, convention)

    def fresh() -> Caller:
        """Return a caller of a newly loaded function, or the same caller if loading again is too slow.

        Without `reload` it is always the same caller.
        """
        return caller.with_function(load()[0]) if reload and quick else caller

    def call(caller: Caller, problem: Problem, where: str) -> Call:
        report(where)
        result: Call = guarded(where, lambda: caller.call(problem))
        return result

    same = fresh()
    for number in range(3):
        outcome.repeats.append(call(same, first, f"call {number + 1} with the same arguments"))
    other = make_trial(caller.cell, job.seed, OTHER, job.plans[0], caller.sizes).problem
    outcome.repeats.append(call(same, other, "a call with other arguments after it"))
    outcome.fresh.append(call(fresh(), other, "a first call with those arguments"))
    for trial in trials:
        outcome.trials.append(call(fresh(), trial.problem, trial.description()))
    for length in range(1, len(first.x) + 1):
        outcome.windows.append(call(fresh(), window(first, length), f"a window of length {length}"))
    outcome.moved.append(call(fresh(), moved(first), "a call with slightly changed weights"))
    if numerical is not None:
        for trial in (trials[number] for number in NUMERICAL_TRIALS):
            where = f"the numerical gradient, {trial.description()}"
            outcome.numerical.append(call(caller.with_function(numerical), trial.problem, where))
    return outcome


def caller_of(function: Any, options: Options) -> Caller:
    """Return the caller of a function on arrays, or of a module of PyTorch."""
    if options.form == "torch" or (options.form == "auto" and is_module(function)):
        from charloom.diagnosis.pytorch_module import ModuleCaller

        return ModuleCaller(function, options)
    if not callable(function):
        raise DoctorError(
            f"the given object is not a function but of the type {type(function).__name__}; name a "
            "function."
        )
    return FunctionCaller(function, options)


def is_module(function: Any) -> bool:
    """Return True for a torch.nn.Module or a subclass of it. Does not import PyTorch."""
    kinds = function.__mro__ if isinstance(function, type) else type(function).__mro__
    return any(kind.__module__ == "torch.nn.modules.module" for kind in kinds)


def guarded(where: str, work: Callable[[], Any]) -> Any:
    """Call `work`, which runs the user's code; raise its exceptions as DoctorError.

    The message has the user's lines of the traceback, and `where` says what was being done.
    """
    try:
        return work()
    except (DoctorError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise DoctorError(f"the function failed ({where}):\n{users_traceback(error)}") from error


def users_traceback(error: BaseException) -> str:
    """Return the traceback of an error without the lines of charloom, Python and packages."""
    if isinstance(error, SyntaxError) and error.filename:
        line = (error.text or "").strip()
        return f'  File "{error.filename}", line {error.lineno}\n    {line}\n{type(error).__name__}: {error.msg}'
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(NOT_THE_USERS)
    ]
    linecache.checkcache()
    lines = "".join(traceback.format_list(frames)).rstrip("\n").splitlines()
    if len(lines) > 2 * SHOWN_LINES:
        lines = [*lines[:SHOWN_LINES], "    …", *lines[-SHOWN_LINES:]]
    if isinstance(error, SystemExit):
        last = f"it ended the Python process: SystemExit({error.code!r})"
    else:
        last = "".join(traceback.format_exception_only(error)).strip()
    return "\n".join([*lines, last[:2000]])
