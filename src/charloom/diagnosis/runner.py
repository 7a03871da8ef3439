"""Calls the function under test on every trial, and in sequences; collects what it answered.

It runs beside the user's code: in a process of its own (`sandbox.py`) or, for a function that is
given as such, in this one. It judges nothing.
"""

import linecache
import sysconfig
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from charloom.diagnosis import call_forms
from charloom.diagnosis.call_forms import Options
from charloom.diagnosis.faulty_network import Arrays, Problem, answer
from charloom.diagnosis.trials import PLANS, Plan, Trial, make_trial, make_trials, moved, window
from charloom.errors import DoctorError

# What is no line of the user's: charloom's own, Python's, and what is installed.
OTHERS: Final = (
    str(Path(__file__).parents[1]),
    "<frozen",
    *(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")),
)
NUMERICAL_TRIALS: Final = (1, 5)  # small ones: a numerical gradient takes two calls an entry
OTHER: Final = 50  # the place of the numbers of the problem that is of the first trial's sizes
QUICK_LOAD: Final = 0.1  # seconds; a file that loads so quickly is loaded anew for each trial
LEAST_LINES: Final = 12  # of a traceback that are shown


SCRIPTS: Final = ("trials", "windows", "repeats", "fresh", "moved", "numerical")  # of an `Outcome`


class Call(NamedTuple):
    """One call: what it returned, which arguments it changed, and the parameters after it."""

    loss: float | None
    gradients: Arrays
    changed: tuple[str, ...]
    after: Arrays
    float32: bool


@dataclass
class Outcome:
    """All that the function did.

    `trials`: one call for each trial. `windows`: one for each length 1 … T of the first trial's
    window. `repeats`: three calls with the first trial's arguments, then one with those of `other`,
    without anything in between; `fresh`: that last one alone. `moved`: one with the first trial's
    weights moved a little. `numerical`: the user's numerical gradients of `NUMERICAL_TRIALS`.
    """

    cell: str
    sizes: tuple[int | None, int | None]
    convention: str
    trials: list[Call] = field(default_factory=list)
    windows: list[Call] = field(default_factory=list)
    repeats: list[Call] = field(default_factory=list)
    fresh: list[Call] = field(default_factory=list)
    moved: list[Call] = field(default_factory=list)
    numerical: list[Call] = field(default_factory=list)


@dataclass(frozen=True)
class Job:
    """What is to be run: how the function is called, and on which problems."""

    options: Options
    seed: int = 0
    plans: tuple[Plan, ...] = PLANS


class Caller(Protocol):
    """A function with the way to call it."""

    cell: str
    sizes: tuple[int | None, int | None]

    def settle(self, problem: Problem, loss: float) -> str:
        """Find out how it wants to be called; in words."""

    def renewed(self, function: Any) -> "Caller":
        """The same way of calling with another function."""

    def call(self, problem: Problem) -> Call:
        """Call it."""


class FunctionCaller:
    """A Python function on arrays, called by a convention of `call_forms.py`."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function, self.options, self.cell = function, options, options.cell or "rnn"
        self.sizes: tuple[int | None, int | None] = (None, None)
        self.convention = call_forms.Convention()

    def settle(self, problem: Problem, loss: float) -> str:
        self.convention = call_forms.settle(self.function, problem, loss, self.options)
        return self.convention.told()

    def renewed(self, function: Any) -> "FunctionCaller":
        made = FunctionCaller(function, self.options)
        made.convention = self.convention
        return made

    def call(self, problem: Problem) -> Call:
        reply, made = call_forms.call(self.function, problem, self.convention, self.options)
        changed = tuple(made.changed())
        after = made.parameters() if "parameters-changed" in changed else {}
        return Call(reply.loss, reply.gradients, changed, after, reply.float32)


Load = Callable[[], tuple[Any, Any]]  # the function and the numerical one (or None), fresh


def run(load: Load, job: Job, tell: Callable[[str], None], anew: bool = True) -> Outcome:
    """Run everything. `tell` hears what is being done, for whoever has to end it; `anew`: `load`
    gives a function that remembers nothing of earlier calls.

    Raises:
        DoctorError: the function raised an exception (with its own lines of the traceback), or
            returned something that holds no gradients.
    """
    tell("loading the file")
    started = time.perf_counter()
    function, numerical = guarded("while it was loaded", load)
    anew = anew and time.perf_counter() - started < QUICK_LOAD
    caller = caller_of(function, job.options)
    trials = make_trials(caller.cell, job.seed, caller.sizes, job.plans)
    first = trials[0].problem
    tell(f"the first call ({told(trials[0])})")
    exact = answer(first).loss
    convention = guarded(told(trials[0]), lambda: caller.settle(first, exact))
    outcome = Outcome(caller.cell, caller.sizes, convention)

    def fresh() -> Caller:
        """The function with nothing left of earlier calls, called as before."""
        if not anew:
            return caller
        return caller.renewed(load()[0])

    def one(made: Caller, problem: Problem, where: str) -> Call:
        tell(where)
        found: Call = guarded(where, lambda: made.call(problem))
        return found

    again = fresh()
    for number in range(3):
        outcome.repeats.append(one(again, first, f"call {number + 1} with the same arguments"))
    other = make_trial(caller.cell, job.seed, OTHER, job.plans[0], caller.sizes).problem
    outcome.repeats.append(one(again, other, "a call with other arguments after it"))
    outcome.fresh.append(one(fresh(), other, "a first call with those arguments"))
    for trial in trials:
        outcome.trials.append(one(fresh(), trial.problem, told(trial)))
    for length in range(1, len(first.x) + 1):
        outcome.windows.append(one(fresh(), window(first, length), f"a window of {length}"))
    outcome.moved.append(one(fresh(), moved(first), "a call with weights moved a little"))
    if numerical is not None:
        for place in NUMERICAL_TRIALS:
            where = f"the numerical gradient, {told(trials[place])}"
            outcome.numerical.append(one(caller.renewed(numerical), trials[place].problem, where))
    return outcome


def caller_of(function: Any, options: Options) -> Caller:
    """The way to call what the user gave: a function on arrays, or a module of PyTorch."""
    if options.form == "torch" or (options.form == "auto" and is_module(function)):
        from charloom.diagnosis.pytorch_module import ModuleCaller

        return ModuleCaller(function, options)
    if not callable(function):
        raise DoctorError(
            f"what you named is no function but of the type {type(function).__name__}; name a function."
        )
    return FunctionCaller(function, options)


def is_module(function: Any) -> bool:
    """Whether this is a module of PyTorch, or a class of them; PyTorch is not imported for it."""
    kinds = function.__mro__ if isinstance(function, type) else type(function).__mro__
    return any(kind.__module__ == "torch.nn.modules.module" for kind in kinds)


def told(trial: Trial) -> str:
    """A trial in words."""
    return (
        f"H = {trial.hidden_size}, T = {trial.seq_length}, K = {trial.vocabulary_size}, "
        f"sigma {trial.sigma:g}, {trial.state} state"
    )


def guarded(where: str, work: Callable[[], Any]) -> Any:
    """Do something with the user's code; what it raises becomes a DoctorError with its own lines."""
    try:
        return work()
    except DoctorError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise DoctorError(f"the function failed ({where}):\n{own_lines(error)}") from error


def own_lines(error: BaseException) -> str:
    """The traceback of an error without the lines of charloom and of Python's own loading."""
    if isinstance(error, SyntaxError) and error.filename:
        line = (error.text or "").strip()
        return f'  File "{error.filename}", line {error.lineno}\n    {line}\n{type(error).__name__}: {error.msg}'
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(OTHERS)
    ]
    linecache.checkcache()
    lines = "".join(traceback.format_list(frames)).rstrip("\n").splitlines()
    if len(lines) > 2 * LEAST_LINES:
        lines = [*lines[:LEAST_LINES], "    …", *lines[-LEAST_LINES:]]
    if isinstance(error, SystemExit):
        last = f"it ended Python itself: SystemExit({error.code!r})"
    else:
        last = "".join(traceback.format_exception_only(error)).strip()
    return "\n".join([*lines, last[:2000]])
