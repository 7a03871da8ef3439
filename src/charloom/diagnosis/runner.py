"""Makes all calls of the user's function that a diagnosis needs, and collects the results.

The function is called once on every trial. Further calls, such as several with the same arguments,
show whether a call changes the results of later calls. This module does not check the results.

It runs in the same process as the user's code. This is a child process (`sandbox.py`), or the
user's process if the user passed a Python function.
"""

import contextlib
import linecache
import sys
import sysconfig
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from charloom.cell_table import CELLS
from charloom.diagnosis import call_forms
from charloom.diagnosis.call_options import Options
from charloom.diagnosis.case import Case
from charloom.diagnosis.clipping_limits import NO_LIMITS, Limits, limits_of
from charloom.diagnosis.derivatives_by_step import step_derivatives
from charloom.diagnosis.faulty_network import answer
from charloom.diagnosis.loss_derivative import (
    DERIVATIVE_TRIALS,
    SECONDS,
    agreement,
    allowed_complex_loss,
    derivatives,
    is_wrong_along,
    nearby,
    rounding_of,
    whole_derivatives,
)
from charloom.diagnosis.networks import is_nearly_ours
from charloom.diagnosis.outcome import Call, Outcome
from charloom.diagnosis.peephole_probes import probe_problems
from charloom.diagnosis.problem import Problem
from charloom.diagnosis.trials import (
    MOVES,
    PLANS,
    Fixed,
    Plan,
    Trial,
    every_trial,
    make_trial,
    make_trials,
    moved,
    prefix_problems,
    separate_trial,
    window,
)
from charloom.errors import DoctorError
from charloom.messages import argument

# A traceback leaves out files whose paths start with one of these texts: the files of charloom, of
# Python and of installed packages.
NOT_THE_USERS: Final = (
    str(Path(__file__).parents[1]),
    "<frozen",
    *(sysconfig.get_paths()[kind] for kind in ("stdlib", "purelib", "platlib")),
)
# Folders of installed packages, also those of an environment on which this one is based.
PACKAGE_FOLDERS: Final = frozenset({"site-packages", "dist-packages"})
# Indices of the trials of the numerical gradient. These trials are small, because a numerical
# gradient needs two losses per entry.
NUMERICAL_TRIALS: Final = (1, 5)
# Argument `place` of `make_trial` for a problem that differs from all trials; no trial has this index.
OTHER: Final = 50
QUICK_LOAD: Final = 0.1  # a file that loads in less than this time (s) is loaded for each trial
NEARLY: Final = 1e-11  # largest relative error of results whose loss is not differentiated
WRAPPER: Final = "wrapper written by the doctor"  # the file name of a wrapper in a traceback
SHOWN_LINES: Final = 12  # number of lines kept at each end of a long traceback


CHOOSING: Final = "choosing"  # the wrapper that is asked for if only the file is to be chosen


@dataclass(frozen=True)
class Job:
    """What to check: the options of the function, and the seed and the plans of the trials.

    If `adapt` is not "", nothing is checked: it is the path of a wrapper for which the text is made.
    """

    options: Options
    seed: int = 0
    plans: tuple[Plan, ...] = PLANS
    adapt: str = ""


class Caller(Protocol):
    """A user's function or module, with the way to call it.

    Attributes:
        cell: "rnn", "lstm" or "gru".
        sizes: what the function fixes of the trials, such as H and K.
    """

    cell: str
    sizes: Fixed

    def find_call_form(self, problem: Problem, loss: float) -> str:
        """Find out how to call the function, and return a description of the way to call it.

        `loss` is the right loss of `problem`.
        """

    def with_function(self, function: Any) -> "Caller":
        """Return a caller of `function` that passes the arguments in the same way as this caller."""

    def call(self, problem: Problem) -> Call:
        """Call the function on `problem`, and return its loss and its gradients."""


class FunctionCaller:
    """Calls a Python function on arrays, in the way that a `Convention` describes (`call_forms.py`)."""

    def __init__(self, function: Callable[..., Any], options: Options) -> None:
        self.function, self.options, self.cell = function, options, options.cell or "rnn"
        self.sizes = options.sizes
        self.convention = call_forms.Convention()

    def find_call_form(self, problem: Problem, loss: float) -> str:
        self.convention = call_forms.find_convention(self.function, problem, loss, self.options)
        return self.convention.in_words(self.options.has_cell_state)

    def with_function(self, function: Any) -> "FunctionCaller":
        caller = FunctionCaller(function, self.options)
        caller.convention = self.convention
        return caller

    def call(self, problem: Problem) -> Call:
        prepared = call_forms.PreparedCall(problem, self.convention)
        reply = call_forms.reply_of(self.function, prepared, self.options)
        changed = prepared.changed()
        after = prepared.parameters() if "parameters-changed" in changed else {}
        return Call(reply.loss, reply.gradients, changed, after, reply.float32)

    def complex_loss(self, problem: Problem) -> complex:
        """Return the function's loss of a problem with complex parameters; raise an error if it fails."""
        prepared = call_forms.PreparedCall(problem, self.convention)
        return call_forms.complex_loss_of(self.function, prepared, self.options)


# A function that loads the user's file. It returns the user's function, and the user's numerical
# gradient or None.
Load = Callable[[], tuple[Any, Any]]
# A function that is called before each step of `run`, with a description of the step.
Report = Callable[[str], None]


def run(load: Load, job: Job, report: Report, reload: bool = True) -> Outcome:
    """Make all calls of the user's function, and return their results.

    Args:
        load: returns the function to check, and the user's numerical gradient (None if there is
            none).
        job: the options, and the seed and plans of the trials.
        report: function that is called before each step, with a description of the step. A step is
            the loading, or a call.
        reload: whether each call of `load` loads the functions again, so that they remember nothing
            of earlier calls.

    Raises:
        DoctorError: the function raised an exception (the message has the user's lines of the
            traceback), or returned something without gradients.
    """
    report("loading the file")
    started = time.process_time()
    function, numerical = guarded("while it was loaded", load)
    # JAX forgets what it compiled if the functions are loaded again.
    quick = time.process_time() - started < QUICK_LOAD and "jax" not in sys.modules
    caller = caller_of(function, job.options)
    trials = make_trials(caller.cell, job.seed, caller.sizes, job.plans)
    first, description = trials[0].problem, trials[0].info.description()
    report(f"the first call ({description})")
    exact = answer(first).loss
    advice = cell_advice(job.options.cell)
    convention = guarded(description, lambda: caller.find_call_form(first, exact), advice)
    outcome = Outcome(caller.cell, caller.sizes, convention)

    def fresh() -> Caller:
        """Return a caller of the user's function, loaded again so that it remembers no earlier call.

        If the argument `reload` of `run` is False, or if loading is slow, load nothing and return
        the caller that `run` made first.
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
        outcome.trials.append(call(fresh(), trial.problem, trial.info.description()))
    for length in range(caller.sizes.shortest, len(first.x) + 1):
        outcome.windows.append(call(fresh(), window(first, length), f"a window of length {length}"))
    for move in MOVES:
        changed = moved(first, move)
        outcome.moved.append(call(fresh(), changed, "a call with slightly changed weights"))
    if (separate := separate_trial(caller.cell, job.seed, caller.sizes)) is not None:
        where = separate.info.description()
        outcome.separate.append(call(fresh(), separate.problem, where))
    if not all(map(nearly_right, outcome.trials, trials)):
        report("the derivative of the loss")
        guarded(
            "the derivative of the loss",
            partial(
                differentiate,
                fresh(),
                trials,
                outcome,
                every_trial(trials, job.seed, caller.sizes),
                job.options.reduction,
            ),
        )
    if numerical is not None:
        for trial in (trials[number] for number in NUMERICAL_TRIALS):
            where = f"the numerical gradient, {trial.info.description()}"
            outcome.numerical.append(call(caller.with_function(numerical), trial.problem, where))
    return outcome


def differentiate(
    caller: Caller,
    trials: Sequence[Trial],
    outcome: Outcome,
    probed: Sequence[Trial],
    reduction: str,
) -> None:
    """Add to `outcome` the calls that show rounding errors, and the derivatives of the function's own loss.

    Nothing is added if the function is slow, or fails with such arguments. Derivatives are added only for a network
    that differs much from ours: otherwise the right gradient is known. For an LSTM, constants in its gates are probed
    with the sizes of the trials `probed`. `reduction` is that of the right loss.
    """
    call, complex_loss = caller.call, getattr(caller, "complex_loss", None)
    slow = False
    with contextlib.suppress(Exception):
        limits = limits_of(outcome.trials)
        outcome.nearby = nearby(call, trials[DERIVATIVE_TRIALS[0]].problem)
        if not outcome.nearby or is_nearly_ours(Case(trials, outcome.trials, reduction)):
            return
        with contextlib.suppress(Exception):
            outcome.probes = list(map(call, probe_problems(probed)))
        for place in DERIVATIVE_TRIALS:
            begun, problem = time.process_time(), trials[place].problem
            whole = whole_derivatives(call, problem, outcome.nearby, problem.parameters, NO_LIMITS)
            complex_loss = allowed_complex_loss(complex_loss, problem, whole)
            given = outcome.trials[place].gradients
            outcome.derivatives += derivatives(
                call, problem, outcome.nearby, given, limits, complex_loss
            )
            if slow := time.process_time() - begun > SECONDS:
                break
        separate = separate_problem(probed, trials)
        if separate is not None and outcome.derivatives and is_wrong_in_U(trials, outcome, limits):
            outcome.steps = step_derivatives(call, separate, outcome.nearby)
        if slow:
            return
        outcome.complex_step = complex_loss is not None and bool(outcome.derivatives)
        if outcome.derivatives:
            for trial, result in zip(trials, outcome.trials, strict=True):
                outcome.slopes += whole_derivatives(
                    call, trial.problem, outcome.nearby, result.gradients, limits
                )
            outcome.prefixes = calls_on_prefixes(call, trials, outcome, limits)


def separate_problem(probed: Sequence[Trial], trials: Sequence[Trial]) -> Problem | None:
    """Return the problem of the trial of `separate_trial`, which is the last of `probed` if there is one."""
    return probed[-1].problem if len(probed) > len(trials) else None


def is_wrong_in_U(trials: Sequence[Trial], outcome: Outcome, limits: Limits) -> bool:
    """Return True if dU is not the derivative of the function's own loss in the first differentiated trial."""
    place = DERIVATIVE_TRIALS[0]
    one, two = (call.gradients for call in outcome.derivatives[:2])
    found = agreement(
        trials[place].problem,
        outcome.trials[place].gradients,
        (one, two),
        limits,
        rounding_of(outcome.nearby),
    )
    return any(block.parameter == "U" for block in found.wrong)


def calls_on_prefixes(
    call: Callable[[Problem], Call], trials: Sequence[Trial], outcome: Outcome, limits: Limits
) -> list[Call]:
    """Return the calls on the first steps of each window; none if all gradients are those of the loss, or if they are slow."""
    rounding = rounding_of(outcome.nearby)
    both = zip(outcome.slopes[::2], outcome.slopes[1::2], strict=True)
    if not any(
        is_wrong_along(
            trial.problem, result.gradients, (one.gradients, two.gradients), limits, rounding
        )
        for trial, result, (one, two) in zip(trials, outcome.trials, both, strict=True)
    ):
        return []
    begun, found = time.process_time(), []
    for problem in prefix_problems(trials, outcome.sizes):
        found.append(call(problem))
        if time.process_time() - begun > SECONDS:
            return []
    return found


def nearly_right(call: Call, trial: Trial) -> bool:
    """Return True if the loss and the gradients of a trial are right up to a small relative error."""
    exact = answer(trial.problem)
    near = call.loss is None or abs(call.loss - exact.loss) <= NEARLY * abs(exact.loss)
    return near and all(
        call.gradients[name].shape == right.shape
        and np.linalg.norm(call.gradients[name] - right) <= NEARLY * np.linalg.norm(right)
        for name, right in exact.gradients.items()
    )


def caller_of(function: Any, options: Options) -> Caller:
    """Return a caller for a function on arrays or for a module of PyTorch.

    Raises:
        DoctorError: `function` cannot be called, or PyTorch is needed and not installed.
    """
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
    """Return True if `function` is an instance or a subclass of torch.nn.Module.

    Does not import PyTorch.
    """
    kinds = function.__mro__ if isinstance(function, type) else type(function).__mro__
    return any(kind.__module__ == "torch.nn.modules.module" for kind in kinds)


def guarded(where: str, work: Callable[[], Any], advice: str = "") -> Any:
    """Call `work`, which runs the user's code, and return its result.

    `where` describes the call for the error message.

    Raises:
        DoctorError: the user's code raised an exception. The message has the lines of the traceback
            that belong to the user's code. If the shapes of arrays do not fit together, the message
            ends with `advice`.
    """
    try:
        return work()
    except (DoctorError, KeyboardInterrupt):
        raise
    except BaseException as error:
        message = f"the function failed ({where}):\n{users_traceback(error)}"
        if advice and is_about_shapes(error):
            message += f"\n{advice}"
        raise DoctorError(message) from error


def is_about_shapes(error: BaseException) -> bool:
    """Return True if the likely cause of an error is an array whose shape the code does not expect."""
    words = ("unpack", "shape", "mismatch", "broadcast", "dimension", "size")
    return isinstance(error, (ValueError, IndexError, RuntimeError)) and any(
        word in str(error).lower() for word in words
    )


def cell_advice(cell: str) -> str:
    """Return a sentence saying that the function may be written for another cell.

    `cell` is the cell that the user gave, or "" if the user gave none.
    """
    if not cell:
        return (
            f"The doctor gave it the parameters of a plain RNN. If it is an LSTM or a GRU, use "
            f"{argument('cell', 'lstm')} or {argument('cell', 'gru')}."
        )
    return (
        f"The doctor gave it the parameters of {CELLS[cell].title}. If it is for another cell, change "
        f"{argument('cell')}."
    )


def users_frames(error: BaseException) -> list[traceback.FrameSummary]:
    """Return the calls of the user's own functions in the traceback of `error`, the outermost first."""
    return [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((*NOT_THE_USERS, WRAPPER))
        and not PACKAGE_FOLDERS & set(Path(frame.filename).parts)
    ]


def users_traceback(error: BaseException) -> str:
    """Return the traceback of `error` without the lines of charloom, Python and installed packages.

    A long traceback is shortened in its middle.
    """
    if isinstance(error, SyntaxError) and error.filename:
        line = (error.text or "").strip()
        return f'  File "{error.filename}", line {error.lineno}\n    {line}\n{type(error).__name__}: {error.msg}'
    frames = users_frames(error) or [
        frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == WRAPPER
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
