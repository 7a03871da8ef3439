"""Compares an engine's analytic gradient with numerical gradients, and returns the errors.

Only the numerical gradient by the complex step decides whether the analytic gradient is right.
Central differences are reported too, because they show why a right gradient can look wrong
(spec/mathematics.md: The gradient check).
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from charloom.config import SEED_LIMIT, Config, require_one_of, require_whole
from charloom.engines import Engine, open_engine
from charloom.engines.reference.ngram_counts import count
from charloom.errors import EngineError
from charloom.gradient_check.check_result import (
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
from charloom.gradient_check.numerical import (
    DROPOUT_UPDATE,
    Numerical,
    Window,
    affordable_entries,
    nothing,
    numerical_gradients,
)
from charloom.gradient_errors import Errors, distances, errors, rank
from charloom.model import Learner, hidden_arrays, new_learner
from charloom.model.input_pairs import PAIRS, most_frequent_pairs
from charloom.model.parameters import Parameters, short_name
from charloom.random import uniforms
from charloom.text import Corpus, Vocabulary
from charloom.text.all_ids import side_by_side
from charloom.text.windows import windows_of

Array = NDArray[Any]
Entries = int | Literal["auto"] | None

STATES: Final = ("zero", "non-zero")

# The largest errors of a right gradient. In float64, the analytic gradient and the gradient by the
# complex step both have rounding errors of 1e-16 in each of a few hundred terms. In float32, only the
# analytic gradient has rounding errors, of 6e-8. An entry may lose most of its digits in float32 when
# its terms cancel, so in float32 only the norm-relative error has a limit.
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
    ngram_order: int = 0,
    input_pairs: int = 0,
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
    """Check the gradient of a freshly initialized network over one window, and return the result.

    `fresh_problem` creates the network and the window, and `check_gradients` checks the gradient.

    Args:
        cell: "rnn", "lstm" or "gru".
        layers: number L of recurrent layers.
        hidden_size: number H of hidden units.
        seq_length: number T of steps of the window.
        batch_size: number B of streams of the window.
        vocabulary_size: vocabulary size K of a random window. It is not used with `corpus`, which
            has a vocabulary of its own.
        ngram_order: length N of the n-grams, which are counted in the window; 0 for none.
        input_pairs: number of pairs of characters with a learned input, the most frequent ones of the window; 0
            for none.
        dropout: share of each layer's outputs to drop, with the dropout masks of update 1.
        init: how the weights are initialized: "normal", "uniform", "orthogonal" or "course".
        sigma: standard deviation of the initial weights with init "normal".
        state: initial state of the window, "zero" or "non-zero" (uniform in [-1, 1)).
        dtype: dtype of the gradient under test, "float64" or "float32".
        engine: name of the engine under test, or the engine itself.
        entries: how many entries of each parameter to check. None checks all. "auto" checks 200,
            or fewer when the network is so large that 200 would take more than ten seconds.
        seed: seed of the network, the random window and the choice of entries.
        corpus: text whose first window is used; None for a random window.

    Raises:
        ConfigError: a setting is out of its range, or the network does not fit into memory.
        EngineError: the engine returned no gradient of a parameter, or a gradient of a wrong shape.
        MissingPartError: `engine` names the native engine, which is not installed.
        TextError: the text of `corpus` is too short for one window of each stream.
    """
    config = Config(
        cell=cell,
        layers=layers,
        hidden_size=hidden_size,
        seq_length=seq_length,
        batch_size=batch_size,
        ngram_order=ngram_order,
        input_pairs=input_pairs,
        dropout=dropout,
        init=init,
        sigma=sigma,
        dtype=dtype,
        seed=seed,
    )
    learner, x, y = fresh_problem(config, vocabulary_size, state, corpus)
    text = "" if corpus is None else corpus.name
    (check,) = check_gradients(
        learner, x, y, engines=(engine,), entries=entries, seed=seed, text=text
    )
    return check


def fresh_problem(
    config: Config, vocabulary_size: int = 80, state: str = "zero", corpus: Corpus | None = None
) -> tuple[Learner, Array, Array]:
    """Return an untrained learner, the input ids x of one window, and the target ids y of the window.

    x and y have the shape (T, B) each. The ids are random, or those of the first window of
    `corpus`. With n-grams or pairs, the window is also the text that is counted, and `ngram.weight` or
    `pairs.weight` is random. `config` has the sizes of the network and the window. The other arguments and the
    errors are those of `gradcheck`.
    """
    require_one_of("state", state, STATES)
    T, B = config.seq_length, config.batch_size
    if corpus is None:
        vocabulary_size = require_whole("vocabulary_size", vocabulary_size, least=2, below=0x110000)
        vocabulary = Vocabulary(map(chr, range(vocabulary_size)))
        numbers = uniforms(config.seed, "gradcheck", (T + 1) * B) * vocabulary_size
        window = numbers.astype(vocabulary.id_dtype).reshape(B, T + 1).T
    else:
        vocabulary, starts = corpus.vocabulary, windows_of(config, corpus.ids).starts(0)
        window = side_by_side(corpus.ids, starts, starts + T + 1, T + 1)
    learner = new_learner(config, vocabulary)
    text, segments = _streams_of(window)
    K = len(vocabulary)
    if config.ngram_order:
        learner.ngrams = count(config.ngram_order, K, text, segments, boundary=vocabulary.boundary)
        # Its initial value, 0, would hide an error in the gradient that reaches h through the weight.
        numbers = uniforms(config.seed, "gradcheck", config.hidden_size, stream=4)
        learner.parameters["ngram.weight"][0] = (2 * numbers - 1) / np.sqrt(config.hidden_size)
    if config.input_pairs:
        P = learner.parameters[PAIRS]
        learner.pairs = most_frequent_pairs(
            lambda start, end: text[start:end], segments.tolist(), len(P), K, vocabulary.boundary
        )
        # With its initial value, 0, the loss would not depend on which row is read.
        numbers = uniforms(config.seed, "gradcheck", P.size, stream=5)
        P[...] = ((2 * numbers - 1) / np.sqrt(config.hidden_size)).reshape(P.shape)
    if state == "non-zero":
        for place, array in enumerate(hidden_arrays(learner.state).values()):
            numbers = uniforms(config.seed, "gradcheck", array.size, stream=1, layer=place)
            array[...] = 2 * numbers.reshape(array.shape) - 1
    return learner, window[:-1], window[1:]


def _streams_of(window: Array) -> tuple[Array, NDArray[np.int64]]:
    """Return the streams of a window of ids (T + 1, B), one after another, and where each begins and ends."""
    T, B = len(window), window.shape[1]
    ends = np.arange(B + 1, dtype=np.int64) * T
    return window.T.ravel(), np.stack([ends[:-1], ends[1:]], axis=1)


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
    """Check the gradient of any learner over one window that starts from the learner's state.

    The gradient by the complex step counts as the true gradient. It is computed in complex128 from
    the learner's parameters, whatever their dtype is. Central differences are computed in the
    learner's dtype, with every step size in `STEPS`, for the first 200 checked entries.

    The entries to check are drawn with `seed`, without replacement. In the first layer's U, at
    least half of the entries are in columns that the window reads; all other columns have a zero
    gradient. The same holds for the rows of `pairs.weight`. An entry of an engine's gradient that is not finite is always found, even if it was
    not drawn.

    Args:
        learner: the learner; it is not changed. Its dropout applies, with the masks of update 1.
        x: input ids, shape (T,) or (T, B).
        y: target ids, the same shape as `x`.
        engines: names of the engines under test, or the engines themselves. The slow numerical
            gradients are computed once for all engines.
        entries: how many entries of each parameter to check. None checks all. "auto" means the same
            as in `gradcheck`.
        seed: seed of the choice of entries.
        text: name of the text that the window comes from.
        between: function that is called repeatedly during the check, for example to let the caller
            cancel it. If it raises an exception, the check ends with this exception.

    Returns:
        The result of the check for each engine, in the order of `engines`.

    Raises:
        ConfigError: an engine is unknown, `entries` is not a whole number of at least 1, or `seed`
            is out of its range.
        MissingPartError: `engines` names the native engine, which is not installed.
        EngineError: `x` and `y` have wrong shapes or ids, or an engine returned no gradient of a
            parameter, or a gradient of a wrong shape.
    """
    x, y = _window_of(learner, x, y)
    seed = require_whole("seed", seed, least=0, below=SEED_LIMIT)
    if entries == "auto":
        entries = affordable_entries(learner, x)
    elif entries is not None:
        entries = require_whole("entries", entries, least=1)
    opened = [open_engine(each) if isinstance(each, str) else each for each in engines]
    settings = _settings(learner, x, text, entries, seed)
    dropped: dict[str, Any] = {"update": DROPOUT_UPDATE} if learner.config.dropout else {}
    checks = []
    # An overflow makes an error NaN, so the check fails; a warning would add nothing.
    with np.errstate(all="ignore"):
        truths = numerical_gradients(learner, Window.of(learner, x, y), entries, seed, between)
        for engine in opened:
            _, gradients, _ = engine.loss_and_gradients(learner, x, y, **dropped)
            _require_shapes(gradients, learner.parameters)
            rows = tuple(
                _row(truth, gradients[truth.name], learner.config.dtype) for truth in truths
            )
            own = dataclasses.replace(settings, engine=engine.name)
            checks.append(GradientCheck(settings=own, rows=rows))
    return tuple(checks)


def _window_of(learner: Learner, x: Array, y: Array) -> tuple[Array, Array]:
    """Return `x` and `y`, the ids of a window, as two arrays of shape (T, B).

    Raises:
        EngineError: x and y have different shapes, an id is out of range, or the window has another
            number of streams than the learner's state.
    """
    x, y = (np.ascontiguousarray(ids).reshape(len(ids), -1) for ids in (x, y))
    K, B = len(learner.vocabulary), learner.state["h"].shape[1]
    if x.shape != y.shape or not 0 <= min(x.min(), y.min()) <= max(x.max(), y.max()) < K:
        raise EngineError(
            f"x has shape {x.shape} and y has shape {y.shape}; they must have the same shape and "
            f"contain ids from 0 to {K - 1:,}."
        )
    if x.shape[1] != B:
        raise EngineError(
            f"the window has {x.shape[1]} streams, but the learner's state has {B}; they must be "
            f"the same."
        )
    return x, y


def _settings(learner: Learner, x: Array, text: str, entries: int | None, seed: int) -> Settings:
    """Return the settings of a check on the window `x` of shape (T, B).

    The name of the engine is left empty; the caller sets it.
    """
    config = learner.config
    return Settings(
        text=text,
        cell=config.cell,
        layers=config.layers,
        hidden_size=config.hidden_size,
        seq_length=len(x),
        batch_size=x.shape[1],
        vocabulary_size=len(learner.vocabulary),
        ngram_order=config.ngram_order,
        input_pairs=config.input_pairs,
        dropout=config.dropout,
        init=config.init,
        sigma=config.sigma,
        state="non-zero" if any(s.any() for s in hidden_arrays(learner.state).values()) else "zero",
        dtype=config.dtype,
        engine="",
        entries=entries,
        seed=seed,
    )


def _row(truth: Numerical, gradient: Array, dtype: str) -> Row:
    """Return the result of the check for one parameter.

    `truth` has the numerical gradients of the parameter, with which its analytic gradient
    `gradient` is compared. `dtype` is the learner's dtype, which determines how large the errors of
    a right gradient may be.
    """
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
    """Return the first entry that is not finite; else the checked entry with the largest error.

    The error is the elementwise error. The result has the entry's index, its analytic value and its
    numerical value. If the parameter has no entries, the index is empty, and both values are 0.

    Args:
        truth: numerical gradients of one parameter.
        values: all values of the parameter's analytic gradient, in a flat array.
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


def _limits(dtype: str, rounding: Errors) -> tuple[float, float | None]:
    """Return the limits of the norm-relative error and of the elementwise error of a right gradient.

    Both limits are larger than usual if `rounding`, the measured effect of rounding, is large. The
    elementwise limit is None if the dtype has no such limit.
    """
    norm, entries = NORM_LIMITS[dtype], ELEMENTWISE_LIMITS[dtype]
    widened = max(norm, min(WIDEST_NORM_LIMIT, ROUNDING_MARGIN * rounding.norm_relative))
    if entries is None:
        return widened, None
    return widened, max(entries * widened / norm, ENTRY_MARGIN * rounding.elementwise)


def _require_shapes(gradients: Mapping[str, Array], parameters: Parameters) -> None:
    """Raise EngineError unless `gradients` has the same names and shapes as `parameters`."""
    found = {name: gradient.shape for name, gradient in gradients.items()}
    wanted = {name: parameter.shape for name, parameter in parameters.items()}
    for name in {**wanted, **found}:
        if found.get(name) != wanted.get(name):
            raise EngineError(
                f"the engine's gradient of {name} has shape {found.get(name)}, but the parameter has "
                f"shape {wanted.get(name)}; they must be the same."
            )
