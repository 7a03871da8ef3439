"""Compares an engine's analytic gradient with the numerical ones: what is checked, and the verdict.

The complex step decides; central differences show why a right gradient can look wrong
(spec/mathematics.md: The gradient check).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from charloom.config import ENGINES, SEED_LIMIT, Config, require_one_of, require_whole
from charloom.engines import Engine, open_engine
from charloom.errors import EngineError
from charloom.gradcheck.numerical import (
    DROPOUT_UPDATE,
    Numerical,
    Window,
    affordable_entries,
    nothing,
    numerical_gradients,
)
from charloom.gradcheck.result import (
    ENTRY_MARGIN,
    ROUNDING_MARGIN,
    STEPS,
    WIDEST_NORM_LIMIT,
    Central,
    GradientCheck,
    Row,
    Settings,
    Worst,
)
from charloom.measures import Errors, distances, errors, rank
from charloom.model import Learner, new_learner
from charloom.model.parameters import Parameters, short_name
from charloom.random import uniforms
from charloom.text import Corpus, Vocabulary
from charloom.text.id_file import side_by_side
from charloom.text.windows import Windows

Array = NDArray[Any]
Entries = int | Literal["auto"] | None

STATES: Final = ("zero", "non-zero")

# What a right gradient keeps. In float64 both sides round at 1e-16 and sum some hundred terms. In
# float32 the analytic side alone rounds, at 6e-8, and an entry that is a cancelled sum may lose
# most of its digits: there the norm decides, and the elementwise error is reported only.
NORM_LIMITS: Final = {"float64": 1e-12, "float32": 1e-5}
ELEMENTWISE_LIMITS: Final = {"float64": 1e-10, "float32": None}


def gradcheck(
    *,
    cell: str = "rnn",
    layers: int = 1,
    hidden_size: int = 100,
    seq_length: int = 25,
    batch_size: int = 1,
    vocabulary_size: int = 80,
    dropout: float = 0.0,
    init: str = "normal",
    sigma: float = 0.01,
    state: str = "zero",
    dtype: str = "float64",
    engine: str | Engine = "reference",
    entries: Entries = "auto",
    seed: int = 0,
    corpus: Corpus | None = None,
) -> GradientCheck:
    """Check the gradient of a fresh network over one window: `fresh_problem`, `check_gradients`.

    Args:
        cell: rnn, lstm or gru.
        layers: recurrent layers L.
        hidden_size: hidden units H.
        seq_length: steps T of the window.
        batch_size: streams B of the window.
        vocabulary_size: characters K of the random window; a text brings its own.
        dropout: share of each layer's outputs to drop, by the masks of update 1.
        init: how the weights begin.
        sigma: standard deviation of the weights of init "normal".
        state: the window starts from a "zero" state, or a "non-zero" one: uniform in (-1, 1).
        dtype: of the gradient under test, "float64" or "float32".
        engine: the engine under test, by name or itself.
        entries: how many entries of each parameter to check; None for all of them; "auto" for
            200, or fewer where the network is so large that those would take over ten seconds.
        seed: decides the network, the random window and which entries are checked.
        corpus: the text whose first window to take instead of a random one.

    Raises:
        ConfigError: a setting out of its range.
        EngineError: the engine's gradient lacks a parameter, or has one of another shape.
        MissingPartError: the native engine was asked for by name and is not there.
        TextError: the text is shorter than one window of each stream.
    """
    learner, x, y = fresh_problem(
        cell=cell,
        layers=layers,
        hidden_size=hidden_size,
        seq_length=seq_length,
        batch_size=batch_size,
        vocabulary_size=vocabulary_size,
        dropout=dropout,
        init=init,
        sigma=sigma,
        state=state,
        dtype=dtype,
        seed=seed,
        corpus=corpus,
    )
    text = "" if corpus is None else corpus.name
    (check,) = check_gradients(
        learner, x, y, engines=(engine,), entries=entries, seed=seed, text=text
    )
    return check


def fresh_problem(
    *,
    vocabulary_size: int = 80,
    state: str = "zero",
    dtype: str = "float64",
    seed: int = 0,
    corpus: Corpus | None = None,
    **settings: Any,
) -> tuple[Learner, Array, Array]:
    """A learner as training begins with, and one window: ids x and y of shape (T, B).

    The window is random, or the first one of a text. Arguments and errors as in `gradcheck`;
    `settings` are any further ones of `Config`.
    """
    require_one_of("state", state, STATES)
    config = Config(dtype=dtype, seed=seed, **settings)
    T, B = config.seq_length, config.batch_size
    if corpus is None:
        vocabulary_size = require_whole("vocabulary_size", vocabulary_size, least=2, below=0x110000)
        vocabulary = Vocabulary(map(chr, range(vocabulary_size)))
        numbers = uniforms(config.seed, "gradcheck", (T + 1) * B) * vocabulary_size
        window = numbers.astype(vocabulary.id_dtype).reshape(B, T + 1).T
    else:
        vocabulary, starts = corpus.vocabulary, Windows.of(config, len(corpus)).starts(0)
        window = side_by_side(corpus.ids, starts, starts + T + 1, T + 1)
    learner = new_learner(config, vocabulary)
    if state == "non-zero":
        for place, array in enumerate(learner.state.values()):
            numbers = uniforms(config.seed, "gradcheck", array.size, stream=1, layer=place)
            array[...] = 2 * numbers.reshape(array.shape) - 1
    return learner, window[:-1], window[1:]


def check_gradients(
    learner: Learner,
    x: Array,
    y: Array,
    *,
    engines: Sequence[str | Engine] = ("reference",),
    entries: Entries = "auto",
    seed: int = 0,
    text: str = "",
    between: Callable[[], None] = nothing,
) -> tuple[GradientCheck, ...]:
    """Check the gradient of any learner over one window, from the learner's own state.

    The truth is the complex step on the same parameter values in complex128, whatever the
    learner's dtype; central differences are taken in the learner's dtype, over `STEPS`, on the
    first 200 of the checked entries. Entries are drawn without replacement by seed; of the first
    layer's U, half are drawn from the columns that the window reads, since all others have
    gradient zero. An entry that is not finite is always found, drawn or not.

    Args:
        learner: is not changed. Its dropout applies, by the masks of update 1.
        x: ids read, shape (T,) or (T, B).
        y: ids to predict, same shape.
        engines: the engines under test, by name or themselves; the numerical gradients, which
            take the time, are computed once for all of them.
        entries: how many entries of each parameter to check; None for all of them; "auto" as in
            `gradcheck`.
        seed: decides which entries are checked.
        text: the name of the text that the window is of.
        between: called after each few networks that are computed; what it raises ends the check.

    Returns:
        A check for each engine.

    Raises:
        ConfigError: no such engine, or `entries` is no whole number of at least 1.
        EngineError: x and y do not fit, or an engine's gradient lacks a parameter or has one of
            another shape.
    """
    x, y = (np.ascontiguousarray(ids).reshape(len(ids), -1) for ids in (x, y))
    seed = require_whole("seed", seed, least=0, below=SEED_LIMIT)
    if entries == "auto":
        entries = affordable_entries(learner, x)
    elif entries is not None:
        entries = require_whole("entries", entries, least=1)
    K, B = len(learner.vocabulary), learner.state["h"].shape[1]
    if x.shape != y.shape or not 0 <= min(x.min(), y.min()) <= max(x.max(), y.max()) < K:
        raise EngineError(
            f"x has shape {x.shape}, y {y.shape}; they must have one shape, with ids below {K}."
        )
    if x.shape[1] != B:
        raise EngineError(f"the window has {x.shape[1]} streams, the learner's state {B}.")
    opened = [_opened(engine) for engine in engines]
    config = learner.config
    dropped = {"update": DROPOUT_UPDATE} if config.dropout else {}
    checks = []
    # What overflows shows as an error that is no number, and fails; it needs no warning besides.
    with np.errstate(all="ignore"):
        truths = numerical_gradients(learner, Window.of(learner, x, y), entries, seed, between)
        for engine in opened:
            _, gradients, _ = engine.loss_and_gradients(learner, x, y, **dropped)
            _require_shapes(gradients, learner.parameters)
            settings = Settings(
                text=text,
                cell=config.cell,
                layers=config.layers,
                hidden_size=config.hidden_size,
                seq_length=len(x),
                batch_size=B,
                vocabulary_size=K,
                dropout=config.dropout,
                init=config.init,
                sigma=config.sigma,
                state="non-zero" if any(s.any() for s in learner.state.values()) else "zero",
                dtype=config.dtype,
                engine=engine.name,
                entries=entries,
                seed=seed,
            )
            rows = tuple(_row(truth, gradients[truth.name], config.dtype) for truth in truths)
            checks.append(GradientCheck(settings=settings, rows=rows))
    return tuple(checks)


def _row(truth: Numerical, gradient: Array, dtype: str) -> Row:
    """One parameter's analytic gradient held to its numerical ones."""
    values = gradient.ravel()
    analytic = values[truth.entries].astype(np.float64)
    found = errors(analytic, truth.exact)
    if not np.isfinite(values).all():
        found = Errors(absolute=math.nan, elementwise=math.nan, norm_relative=math.nan)
    swept = analytic[: truth.central.shape[1]]
    sweep = [errors(swept, differences) for differences in truth.central]
    best = min(range(len(STEPS)), key=lambda step: rank(sweep[step].norm_relative))
    norm_limit, elementwise_limit = _limits(dtype, truth.rounding)
    return Row(
        parameter=short_name(truth.name),
        shape=truth.shape,
        checked=len(analytic),
        total=len(values),
        absolute=found.absolute,
        elementwise=found.elementwise,
        norm_relative=found.norm_relative,
        rounding=truth.rounding.norm_relative,
        norm_limit=norm_limit,
        elementwise_limit=elementwise_limit,
        worst=_worst(truth, values),
        central=Central(step=STEPS[best], checked=len(swept), **vars(sweep[best])),
        curve=tuple(at_step.norm_relative for at_step in sweep),
    )


def _worst(truth: Numerical, values: Array) -> Worst:
    """The entry of a gradient, given as all its values, that is the furthest from the truth.

    A parameter without entries has none: its index is empty, and both its values are zero.
    """
    if not len(values):
        return Worst(index=(), analytic=0.0, numeric=0.0)
    if np.isfinite(values).all():
        analytic = values[truth.entries].astype(np.float64)
        worst = int(np.argmax(distances(analytic, truth.exact)))
        place, numeric = int(truth.entries[worst]), float(truth.exact[worst])
    else:
        place, numeric = int(np.argmin(np.isfinite(values))), math.nan
    index = tuple(map(int, np.unravel_index(place, truth.shape)))
    return Worst(index=index, analytic=float(values[place]), numeric=numeric)


def _opened(engine: str | Engine) -> Engine:
    """An engine, opened if it was named."""
    if not isinstance(engine, str):
        return engine
    require_one_of("engine", engine, ENGINES)
    return open_engine(engine)


def _limits(dtype: str, rounding: Errors) -> tuple[float, float | None]:
    """Norm-relative and elementwise limit, where one rounding moves the gradient so far."""
    norm, entries = NORM_LIMITS[dtype], ELEMENTWISE_LIMITS[dtype]
    widened = max(norm, min(WIDEST_NORM_LIMIT, ROUNDING_MARGIN * rounding.norm_relative))
    if entries is None:
        return widened, None
    return widened, max(entries * widened / norm, ENTRY_MARGIN * rounding.elementwise)


def _require_shapes(gradients: Mapping[str, Array], parameters: Parameters) -> None:
    """Refuse gradients that are not named and shaped like the parameters."""
    found = {name: gradient.shape for name, gradient in gradients.items()}
    wanted = {name: parameter.shape for name, parameter in parameters.items()}
    for name in {**wanted, **found}:
        if found.get(name) != wanted.get(name):
            raise EngineError(
                f"the engine's gradient of {name} has shape {found.get(name)}; "
                f"the parameter has {wanted.get(name)}, and they must be the same."
            )
