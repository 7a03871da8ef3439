"""Holds the public function `doctor`, which checks a user's function and returns a diagnosis.

A function that is named as FILE.py:FUNCTION runs in a separate process with a time limit. A Python
function runs in this process without a time limit.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from charloom.cell_table import CELL_NAMES, CELLS
from charloom.config import REDUCTIONS, SEED_LIMIT, require_number, require_one_of, require_whole
from charloom.diagnosis import runner
from charloom.diagnosis.call_options import FORMS, Options
from charloom.diagnosis.diagnosis_result import Diagnosis
from charloom.diagnosis.outcome import Outcome
from charloom.diagnosis.runner import Job
from charloom.diagnosis.sandbox import parse_function, run_in_process
from charloom.diagnosis.trials import PLANS, Plan
from charloom.diagnosis.verdict import diagnose
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument

DTYPES: Final = ("auto", "float64", "float32")
MUCH_OUTPUT: Final = 1_000_000  # bytes; more is mentioned in a note


def doctor(
    function: str | Callable[..., Any],
    *,
    form: str = "auto",
    cell: str | None = None,
    numerical: str | Callable[..., Any] | None = None,
    names: Mapping[str, str] | None = None,
    gradients: Sequence[str] = (),
    arguments: Sequence[str] = (),
    reduction: str = "sum",
    dtype: str = "auto",
    seed: int = 0,
    time_limit: float = 60.0,
    gates: str = "",
    plans: tuple[Plan, ...] | None = None,
) -> Diagnosis:
    """Check a user's loss and gradients of the classic network, and name the mistakes in them.

    Args:
        function: computes loss and gradients of one window of a network with one layer
            (spec/mathematics.md: The network, B = 1). A function runs in this process;
            "FILE.py:FUNCTION" runs in a separate process. It has one of these forms: f(params, x, y,
            h0) -> (loss, gradients), where params is a dict of U (H, K), W (H, H), b (H), V (K, H)
            and c (K), x and y are ids (T,), and h0 is (H); the course's form, with one-hot X and Y
            (K, T) and columns; or a module of PyTorch. For an LSTM, the fourth argument is the pair
            (h0, c0) of hidden state and cell, each (H), or there are five arguments. U, W and b
            have 4 H rows, with the gates i, f, g, o. For a GRU they have 3 H rows, with r, z, n,
            and d (H) is the bias beside W_n h (spec/mathematics.md: The cells).
        form: "natural", "course" or "torch"; "auto" tries them.
        cell: "rnn", "lstm" or "gru"; None: the cell of the module, or "rnn" for a function.
        numerical: the user's numerical gradient, to check it too: a function that is called like
            the other one, or the name of one in the same file.
        names: the function's names of the parameters, if they are unusual: {"U": "Wxh", …}.
        gradients: the items of a returned tuple: parameters, "loss", or "_" for anything else.
        arguments: the roles of the arguments, in order: "params", "x", "y", "h0".
        reduction: whether the loss is meant to be the "sum" over time, as in spec/mathematics.md,
            or the "mean".
        dtype: "float32" uses the tolerance of float32; "auto" does so for float32 arrays.
        seed: seed of the numbers of all trials.
        time_limit: seconds in total, for FILE.py:FUNCTION only.
        gates: the order of the function's gates, if it is not "ifgo" (LSTM) or "rzn" (GRU).
        plans: the settings of the trials (None: PLANS). The first trial is checked step by step,
            and the second one must be the smallest.

    Returns:
        The diagnosis. `verdict` is "right" or "wrong", `mistakes` are the ids, likeliest first.

    Raises:
        ConfigError: an argument has a value that is not valid.
        DoctorError: the function does not exist, crashed, took too long, or returned no gradients.
    """
    started = time.perf_counter()
    require_choices(form, cell, reduction, dtype, gates)
    seed = require_whole("seed", seed, least=0, below=SEED_LIMIT)
    seconds = require_number("time_limit", time_limit, above=0.0, below=1e9)
    options = Options(
        form=form,
        cell=cell or "",
        names=tuple((names or {}).items()),
        gradients=tuple(gradients),
        arguments=tuple(arguments),
        reduction=reduction,
        gates="" if cell is not None and gates == CELLS[cell].gates else gates,
    )
    job = Job(options, seed, PLANS if plans is None else plans)
    if isinstance(function, str):
        outcome, notes = call_in_file(function, numerical, job, seconds)
        return diagnose(outcome, job, dtype, function, started, notes)
    name = getattr(function, "__name__", type(function).__name__)
    return diagnose(call_here(function, numerical, job), job, dtype, name, started)


def require_choices(form: str, cell: str | None, reduction: str, dtype: str, gates: str) -> None:
    """Raise ConfigError if one of these arguments has a value that is not valid."""
    require_one_of("form", form, FORMS)
    if cell is not None:
        require_one_of("cell", cell, CELL_NAMES)
    require_gates(gates, cell)
    require_one_of("reduction", reduction, REDUCTIONS)
    require_one_of("dtype", dtype, DTYPES)


def call_in_file(
    function: str, numerical: object, job: Job, seconds: float
) -> tuple[Outcome, tuple[str, ...]]:
    """Call a function of a file in a separate process; return the results and the notes.

    Raises:
        ConfigError: `numerical` is not the name of a function.
        DoctorError: see `run_in_process`.
    """
    if numerical is not None and not isinstance(numerical, str):
        raise ConfigError(
            f"{argument('numerical')} is {shortened(numerical)}; it must be the name of a function "
            "in the same file, because the function to check is given as FILE.py:FUNCTION."
        )
    result = run_in_process(parse_function(function), numerical, job, seconds)
    if result.printed <= MUCH_OUTPUT:
        return result.outcome, ()
    return result.outcome, (
        f"the function printed {result.printed:,} bytes; they are not shown here.",
    )


def call_here(function: Callable[..., Any], numerical: Any, job: Job) -> Outcome:
    """Call a Python function in this process; return the results.

    Raises:
        ConfigError: `numerical` is the name of a function.
        DoctorError: see `runner.run`.
    """
    if isinstance(numerical, str):
        raise ConfigError(
            f"{argument('numerical')} is {shortened(numerical)}; it must be a function, because the "
            "function to check is given as a function too."
        )
    return runner.run(lambda: (function, numerical), job, lambda _: None, reload=False)


def require_gates(gates: str, cell: str | None) -> None:
    """Check the order of the gates.

    Raises:
        ConfigError: `gates` is not a string, `cell` is missing, or they do not belong together.
    """
    if not isinstance(gates, str):
        raise ConfigError(f"{argument('gates')} is {shortened(gates)}; it must be a string.")
    gated = [known for known in CELLS.values() if known.gates]
    if gates and cell is None:
        raise ConfigError(
            f"{argument('gates')} is {shortened(gates)}, but the cell is missing: give "
            f"{' or '.join(argument('cell', known.name) for known in gated)} too."
        )
    if gates and cell is not None and sorted(gates) != sorted(CELLS[cell].gates):
        orders = (f"{known.gates} with {argument('cell', known.name)}" for known in gated)
        raise ConfigError(
            f"{argument('gates')} is {shortened(gates)}; it must be the letters of "
            f"{', or of '.join(orders)}, in your order."
        )
