"""The doctor itself: it examines a function and returns a diagnosis.

A function named FILE.py:FUNCTION runs in a process of its own, with a time limit; one that is given
as such runs in this process, with none.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from charloom.config import SEED_LIMIT, require_number, require_one_of, require_whole
from charloom.diagnosis import call_forms, runner
from charloom.diagnosis.call_forms import Options
from charloom.diagnosis.diagnosis_result import Diagnosis
from charloom.diagnosis.faulty_network import GATES
from charloom.diagnosis.runner import Job
from charloom.diagnosis.sandbox import place_of, run_apart
from charloom.diagnosis.trials import PLANS, Plan
from charloom.diagnosis.verdict import diagnose
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument

CELLS: Final = ("rnn", "lstm", "gru")
DTYPES: Final = ("auto", "float64", "float32")
REDUCTIONS: Final = ("sum", "mean")
FLOOD: Final = 1_000_000  # bytes printed that are worth a word


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
    """Judge somebody's loss and gradients of the classic network, and name the mistake in them.

    Args:
        function: computes loss and gradients of one window of one layer (spec/mathematics.md: The network, B = 1).
            "FILE.py:FUNCTION", which runs in a process of its own; or a function, which runs in
            this one. Its forms: f(params, x, y, h0) -> (loss, gradients) with a dict of U (H, K),
            W (H, H), b (H), V (K, H), c (K), ids x and y (T,), and h0 (H); the course's, with
            one-hot X and Y (K, T) and columns; a module of PyTorch. An LSTM's fourth argument is the
            pair (h0, c0) of hidden state and cell, each (H); f(params, x, y, h0, c0) does as well.
            Its U, W and b have 4 H rows, the gates i, f, g, o; those of a GRU have 3 H, r, z, n,
            and it has a bias d (H) of its own beside W_n h (spec/mathematics.md: The cells).
        form: "natural", "course" or "torch"; "auto" tries.
        cell: "rnn", "lstm" or "gru"; None: that of the module, "rnn" for a function.
        numerical: the user's own numerical gradient, called like the function; a name in the same
            file, or a function. It is judged too.
        names: what the parameters are called, where it is nothing usual: {"U": "Wxh", …}.
        gradients: what the items of a returned tuple are: parameters, "loss", "_" for others.
        arguments: the roles of the arguments in their order, "params", "x", "y", "h0".
        reduction: whether the loss is meant to be the "sum" over time, as in spec/mathematics.md, or "mean".
        dtype: "float32" judges by what float32 can do; "auto" does so if float32 arrays come back.
        seed: decides the numbers of all trials.
        time_limit: seconds, in all; only for FILE.py:FUNCTION.
        gates: the order in which the gates' blocks stand, where it is not charloom's "ifgo" (LSTM)
            or "rzn" (GRU).
        plans: what the trials are like (None: PLANS); the first is looked at step by step, the
            second is the smallest.

    Returns:
        The diagnosis; `verdict` is "right" or "wrong", `mistakes` the ids, likeliest first.

    Raises:
        ConfigError: an option out of its range.
        DoctorError: there is no such function, it crashed or took too long, or what it returned
            holds no gradients.
    """
    started = time.perf_counter()
    require_one_of("form", form, call_forms.FORMS)
    if cell is not None:
        require_one_of("cell", cell, CELLS)
    require_gates(gates, cell)
    require_one_of("reduction", reduction, REDUCTIONS)
    require_one_of("dtype", dtype, DTYPES)
    seed = require_whole("seed", seed, least=0, below=SEED_LIMIT)
    seconds = require_number("time_limit", time_limit, above=0.0, below=1e9)
    options = Options(
        form=form,
        cell=cell or "",
        names=tuple((names or {}).items()),
        gradients=tuple(gradients),
        arguments=tuple(arguments),
        reduction=reduction,
        gates="" if gates == GATES.get(cell or "") else gates,
    )
    job = Job(options, seed, PLANS if plans is None else plans)
    notes: tuple[str, ...] = ()
    if isinstance(function, str):
        if numerical is not None and not isinstance(numerical, str):
            raise ConfigError(
                f"{argument('numerical')} is {shortened(numerical)}; it must be the name of a function "
                "in the same file, because the function to judge is named FILE.py:FUNCTION."
            )
        ran = run_apart(place_of(function), numerical, job, seconds)
        outcome, subject = ran.outcome, function
        if ran.printed > FLOOD:
            notes = (f"the function printed {ran.printed:,} bytes, which are not shown.",)
    else:
        if isinstance(numerical, str):
            raise ConfigError(
                f"{argument('numerical')} is {shortened(numerical)}; it must be a function, because the "
                "function to judge is given as one."
            )
        given = function, numerical
        outcome = runner.run(lambda: given, job, lambda _: None, anew=False)
        subject = getattr(function, "__name__", type(function).__name__)
    return diagnose(outcome, job, dtype, subject, started, notes)


def require_gates(gates: str, cell: str | None) -> None:
    """Refuse an order of the gates without the cell that has them, or of other gates.

    Raises:
        ConfigError: see above.
    """
    if not isinstance(gates, str):
        raise ConfigError(f"{argument('gates')} is {shortened(gates)}; it must be text, a str.")
    if gates and cell is None:
        raise ConfigError(
            f"{argument('gates')} is {shortened(gates)}, but the cell is missing: give "
            f"{argument('cell', 'lstm')} or {argument('cell', 'gru')} too."
        )
    if gates and (cell == "rnn" or sorted(gates) != sorted(GATES[cell or ""])):
        raise ConfigError(
            f"{argument('gates')} is {shortened(gates)}; it must be the letters of ifgo in your order "
            f"with {argument('cell', 'lstm')}, or of rzn with {argument('cell', 'gru')}."
        )
