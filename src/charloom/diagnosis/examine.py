"""Holds the public function `doctor`, which checks a user's function and returns a diagnosis.

A function that is named as FILE.py:FUNCTION runs in a separate process with a time limit. A Python
function runs in this process without a time limit.
"""

import contextlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from charloom.cell_table import CELL_NAMES, CELLS
from charloom.config import REDUCTIONS, SEED_LIMIT, require_number, require_one_of, require_whole
from charloom.diagnosis import runner
from charloom.diagnosis.call_options import FORMS, Options
from charloom.diagnosis.diagnosis_result import Diagnosis
from charloom.diagnosis.networks import differences_named
from charloom.diagnosis.outcome import Outcome
from charloom.diagnosis.runner import Job
from charloom.diagnosis.sandbox import parse_function, run_in_process
from charloom.diagnosis.trials import FEW_SHAPES, PLANS, Plan
from charloom.diagnosis.verdict import diagnose
from charloom.errors import ConfigError, DoctorError
from charloom.formatting import shortened
from charloom.messages import argument

DTYPES: Final = ("auto", "float64", "float32")
MUCH_OUTPUT: Final = 1_000_000  # largest number of printed bytes without a note in the diagnosis


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
    network: Sequence[str] = (),
    plans: tuple[Plan, ...] | None = None,
) -> Diagnosis:
    """Check the loss and gradients that a user's function computes, and name the mistakes in it.

    Args:
        function: computes loss and gradients of one window of a network with one layer
            (spec/mathematics.md: The network, with B = 1). A Python function runs in this process.
            A string "FILE.py:FUNCTION" names a function that runs in a separate process; "FILE.py"
            lets the doctor look for it, and functions in a file may have many other forms. A Python
            function has one of three forms. The natural form is f(params, x, y, h0) -> (loss,
            gradients): params is a dict of U (H, K), W (H, H), b (H), V (K, H) and c (K); x and y
            are ids (T,); h0 is (H). The course's form has one-hot X and Y (K, T), and vectors as
            columns. The third form is a module of PyTorch. An LSTM has two initial states, h0 and
            c0, each (H). The function takes them as the pair (h0, c0) or as two arguments. U, W and
            b of an LSTM have 4 H rows, with the gates i, f, g, o. For a GRU, U, W and b have 3 H
            rows, with r, z, n, and the further parameter d (H) is the bias beside W_n h
            (spec/mathematics.md: The cells).
        form: "natural", "course" or "torch"; "auto" finds out the form.
        cell: "rnn", "lstm" or "gru". None means the cell of the module, or "rnn" for a function.
        numerical: the user's numerical gradient, which is then checked too. It is a function with
            the same arguments as `function`, or the name of a function in the same file.
        names: the function's names of the parameters, if they are unusual, such as {"U": "Wxh"}.
        gradients: for each item of the tuple that the function returns: the parameter whose
            gradient it is, "loss", or "_" for anything else.
        arguments: the roles "params", "x", "y" and "h0" in the order of the function's arguments.
        reduction: whether the loss is meant to be the "sum" over time, as in spec/mathematics.md,
            or the "mean".
        dtype: "float64" or "float32", the precision whose tolerance is used. "auto" uses that of
            float32 if all returned gradients are float32 arrays.
        seed: seed of the random numbers of all trials.
        time_limit: largest number of seconds of processor time for all calls, only for "FILE.py:FUNCTION".
        gates: the order that the function's gates are meant to have, such as "ifgo" (LSTM) or "rzn" (GRU).
            If it is empty, the doctor finds out the order, and any order is right.
        network: the differences from the specification that the network is meant to have, such as
            ["reset-before-product", "activation-differs=relu"]: ids in `MISTAKES`, with variants.
        plans: the settings of the trials; None for the settings in `PLANS`. The first trial is
            checked step by step, and the second trial must be the smallest.

    Returns:
        The diagnosis, with the verdict, the mistakes and the differences of the network.

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
        names=dict(names or {}),
        gradients=tuple(gradients),
        arguments=tuple(arguments),
        reduction=reduction,
        gates=gates,
        network=differences_named(network, cell),
    )
    job = Job(options, seed, plans_for(function) if plans is None else plans)
    if isinstance(function, str):
        outcome, notes = call_in_file(function, numerical, job, seconds)
        return diagnose(outcome, job, dtype, function, started, notes)
    name = getattr(function, "__name__", type(function).__name__)
    return diagnose(call_here(function, numerical, job), job, dtype, name, started)


def plans_for(function: object) -> tuple[Plan, ...]:
    """Return the settings of the trials for a function; few shapes for a file that imports JAX."""
    if isinstance(function, str):
        with contextlib.suppress(DoctorError, OSError):
            source = parse_function(function).file.read_bytes()
            if re.search(rb"^\s*(import|from) jax\b", source, re.MULTILINE):
                return FEW_SHAPES
    return PLANS


def require_choices(form: str, cell: str | None, reduction: str, dtype: str, gates: str) -> None:
    """Raise ConfigError if one of the arguments has a value that `doctor` does not accept."""
    require_one_of("form", form, FORMS)
    if cell is not None:
        require_one_of("cell", cell, CELL_NAMES)
    require_gates(gates, cell)
    require_one_of("reduction", reduction, REDUCTIONS)
    require_one_of("dtype", dtype, DTYPES)


def call_in_file(
    function: str, numerical: object, job: Job, seconds: float
) -> tuple[Outcome, tuple[str, ...]]:
    """Call the function FILE.py:FUNCTION in a separate process.

    `numerical` is the name of the user's numerical gradient in the same file; None if there is none.

    Returns:
        First the results of all calls. Second the notes for the diagnosis: one note if the function
        printed much, or none.

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
        return result.outcome, tuple(result.outcome.notes)
    return result.outcome, (
        *result.outcome.notes,
        f"the function printed {result.printed:,} bytes; they are not shown here.",
    )


def call_here(function: Callable[..., Any], numerical: Any, job: Job) -> Outcome:
    """Call a Python function in this process; return the results of all calls.

    `numerical` is the user's numerical gradient, a Python function too; None if there is none.

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
    """Raise ConfigError unless `gates` is empty or is an order of the gates of `cell`.

    Raises:
        ConfigError: `gates` is not a string, `cell` is None although `gates` is not empty, or
            `gates` does not have the letters of the gates of `cell`.
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
