"""Is a gradient right? An engine's analytic gradient is held to numerical ones of the reference.

Two numerical gradients stand side by side (SPEC: The gradient check). The complex step,
Im f(θ + ih)/h (Squire and Trapp 1998), subtracts nothing and is exact to rounding: it decides.
Central differences, (f(θ + s) - f(θ - s)) / 2s, subtract two nearly equal losses and get no nearer
than the bottom of a V-shaped curve of error against step: they show why a right gradient can look
wrong. This module knows nothing of files, pictures or terminals.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import ENGINES, Config, require_one_of, require_whole
from charloom.engines import Engine, open_engine
from charloom.engines.reference import losses
from charloom.errors import EngineError
from charloom.model import Learner, new_learner
from charloom.model.parameters import Parameters, short_name
from charloom.random import uniforms
from charloom.text import Corpus, Vocabulary
from charloom.text.windows import Windows

Array = NDArray[Any]

STATES: Final = ("zero", "non-zero")

COMPLEX_STEP: Final = 1e-20
STEPS: Final = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9)

# What a right gradient keeps. In float64 both sides round at 1e-16 and sum some hundred terms. In
# float32 the analytic side alone rounds, at 6e-8, and an entry that is a cancelled sum may lose
# most of its digits: there the norm decides, and the elementwise error is reported only.
NORM_LIMITS: Final = {"float64": 1e-12, "float32": 1e-5}
ELEMENTWISE_LIMITS: Final = {"float64": 1e-10, "float32": None}

# An entry of a gradient is a sum over the window; its rounding error is set by the terms, not by
# what is left of them. Entries are therefore measured against no less than this share of the
# largest entry. Under the limit of 1e-10, an entry below the floor can be off by 1e-14 of the
# largest at most: nothing hides there.
ELEMENTWISE_FLOOR: Final = 1e-4

# Some gradients cannot be had to these digits by any arithmetic of their dtype. Where a network is
# chaotic (sigma = 0.3 at H = 100 is: W then stretches by sigma·√H = 3), a rounding error grows at
# every step back through time; where a window's terms cancel in every entry, nothing but rounding
# is left. So it is measured how far one rounding of the parameters moves the exact gradient, and
# the limits give way to thirty times that, since both sides round at every operation; but never to
# more than 1e-4, a tenth of the smallest error worth the name.
ROUNDING_MARGIN: Final = 30.0
WIDEST_NORM_LIMIT: Final = 1e-4

SWEEP_ENTRIES: Final = 200
CHUNK_BYTES: Final = 5_000_000  # of perturbed parameters; measured: less wastes calls, more cache
CHUNK_NETWORKS: Final = 256


@dataclass(frozen=True, kw_only=True)
class Errors:
    """How far a gradient a is from another one n, over some entries of one parameter.

    Attributes:
        absolute: the largest |a - n|.
        elementwise: the largest |a - n| / max(|a| + |n|, 1e-4 · the largest |n|).
        norm_relative: ‖a - n‖ / (‖a‖ + ‖n‖), Euclidean norms.
    """

    absolute: float
    elementwise: float
    norm_relative: float


@dataclass(frozen=True, kw_only=True)
class Central(Errors):
    """The errors against central differences at `step`, the best of the sweep by the norm.

    `checked` is the number of entries swept: at most 200.
    """

    step: float
    checked: int


@dataclass(frozen=True, kw_only=True)
class Worst:
    """The entry with the largest elementwise error, or the first that is not finite.

    `numeric` is NaN where the entry was not drawn.
    """

    index: tuple[int, ...]
    analytic: float
    numeric: float


@dataclass(frozen=True, kw_only=True)
class Row(Errors):
    """The check of one parameter; its own errors are those against the complex step.

    Attributes:
        parameter: b, c, U, W or V.
        shape: its shape.
        checked: how many of its entries were checked with the complex step.
        total: how many it has.
        rounding: norm-relative change of the exact gradient when every parameter moves by about
            one unit in its last place: no gradient in this dtype can be held to less.
        norm_limit: what `norm_relative` must keep.
        elementwise_limit: what `elementwise` must keep; None where it is reported only.
        worst: the worst of the checked entries.
        central: the errors against central differences.
        curve: norm-relative error against central differences at each of `STEPS`.
    """

    parameter: str
    shape: tuple[int, ...]
    checked: int
    total: int
    rounding: float
    norm_limit: float
    elementwise_limit: float | None
    worst: Worst
    central: Central
    curve: tuple[float, ...]

    @property
    def excess(self) -> float:
        """The larger of the two errors over their limits: above 1 is wrong, and so is NaN."""
        norm = self.norm_relative / self.norm_limit
        limit = self.elementwise_limit
        entries = 0.0 if limit is None else self.elementwise / limit
        return math.nan if math.isnan(norm + entries) else max(norm, entries)

    @property
    def passed(self) -> bool:
        """Whether the errors keep their limits."""
        return self.excess <= 1


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was checked.

    Attributes:
        text: the name of the text whose first window was used; empty for a random window.
        hidden_size: H.
        seq_length: T.
        vocabulary_size: K.
        sigma: standard deviation of the initial weights; biases start at zero.
        state: whether the window starts from h0 = "zero" or "non-zero".
        dtype: of the analytic gradient and of the central differences.
        engine: the name of the engine that gave the analytic gradient.
        entries: entries checked of each parameter at most; None for all.
        seed: decides the network, the random window and the entries.
    """

    text: str
    hidden_size: int
    seq_length: int
    vocabulary_size: int
    sigma: float
    state: str
    dtype: str
    engine: str
    entries: int | None
    seed: int


@dataclass(frozen=True, kw_only=True)
class GradientCheck:
    """The outcome of a gradient check: a row per parameter, in the order b, c, U, W, V."""

    settings: Settings
    rows: tuple[Row, ...]
    steps: tuple[float, ...] = STEPS

    @property
    def passed(self) -> bool:
        """Whether every parameter's gradient is right."""
        return all(row.passed for row in self.rows)

    @property
    def checked(self) -> int:
        """Entries checked with the complex step, over all parameters."""
        return sum(row.checked for row in self.rows)

    @property
    def worst(self) -> Row:
        """The row that is nearest to its limit, or furthest beyond."""
        return max(self.rows, key=lambda row: _rank(row.excess))

    def verdict(self) -> str:
        """Two lines for people: whether the gradient is right, and what shows it."""
        s = self.settings
        what = (
            f"H={s.hidden_size}, T={s.seq_length}, K={s.vocabulary_size}, sigma={s.sigma:g}, "
            f"h0 {s.state}, {s.dtype}, engine {s.engine}; {self.checked:,} entries"
        )
        if self.passed:
            row = max(self.rows, key=lambda row: row.norm_relative)
            central = max(self.rows, key=lambda row: _rank(row.central.norm_relative)).central
            return (
                f"The gradient is right ({what}): {row.norm_relative:.1e} norm-relative from the "
                f"complex step at most ({row.parameter}; limit {row.norm_limit:.0e}).\n"
                f"Central differences come no nearer than {central.norm_relative:.1e}, at their best "
                f"step, {central.step:.0e}: that is their own rounding, not the gradient's error."
            )
        wrong = ", ".join(row.parameter for row in self.rows if not row.passed)
        row = self.worst
        distance = (
            f"{row.parameter} is {row.norm_relative:.1e} norm-relative from the complex step "
            f"(limit {row.norm_limit:.0e}), {row.elementwise:.1e} in its worst entry"
        )
        if row.norm_limit < row.norm_relative <= ROUNDING_MARGIN * row.rounding:
            return (
                f"The gradient is LOST IN ROUNDING in {wrong} ({what}): {distance}.\n"
                f"One rounding of the parameters moves the exact gradient of {row.parameter} by "
                f"{row.rounding:.1e}, more than {s.dtype} can carry; "
                f"take {'a smaller sigma' if s.dtype == 'float64' else 'float64'}."
            )
        place, worst = ", ".join(map(str, row.worst.index)), row.worst
        truth = "" if math.isnan(worst.numeric) else f" and should be {worst.numeric:.9g}"
        return (
            f"The gradient is WRONG in {wrong} ({what}): {distance}.\n"
            f"The worst entry, {row.parameter}[{place}], is {worst.analytic:.9g}{truth}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON; a number that is not finite becomes None."""
        rows = [{**dataclasses.asdict(row), "passed": row.passed} for row in self.rows]
        settings = dataclasses.asdict(self.settings)
        plain = {"passed": self.passed, "settings": settings, "steps": self.steps, "rows": rows}
        return {name: _plain(value) for name, value in plain.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GradientCheck":
        """The inverse of `to_dict`; a missing number becomes NaN, which passes no limit."""
        return cls(
            settings=Settings(**values["settings"]),
            rows=tuple(map(_row_from_dict, values["rows"])),
            steps=tuple(values["steps"]),
        )


def _row_from_dict(row: Mapping[str, Any]) -> Row:
    """A row from plain data."""
    worst, central = row["worst"], row["central"]
    return Row(
        parameter=row["parameter"],
        shape=tuple(row["shape"]),
        checked=row["checked"],
        total=row["total"],
        absolute=_number(row["absolute"]),
        elementwise=_number(row["elementwise"]),
        norm_relative=_number(row["norm_relative"]),
        rounding=_number(row["rounding"]),
        norm_limit=row["norm_limit"],
        elementwise_limit=row["elementwise_limit"],
        worst=Worst(
            index=tuple(worst["index"]),
            analytic=_number(worst["analytic"]),
            numeric=_number(worst["numeric"]),
        ),
        central=Central(
            step=central["step"],
            checked=central["checked"],
            absolute=_number(central["absolute"]),
            elementwise=_number(central["elementwise"]),
            norm_relative=_number(central["norm_relative"]),
        ),
        curve=tuple(map(_number, row["curve"])),
    )


def gradcheck(
    *,
    hidden_size: int = 100,
    seq_length: int = 25,
    vocabulary_size: int = 80,
    sigma: float = 0.01,
    state: str = "zero",
    dtype: str = "float64",
    engine: str | Engine = "reference",
    entries: int | None = 200,
    seed: int = 0,
    corpus: Corpus | None = None,
) -> GradientCheck:
    """Check the gradient of a fresh network over one window: `fresh_problem`, `check_gradients`.

    Args:
        hidden_size: hidden units H.
        seq_length: steps T of the window.
        vocabulary_size: characters K of the random window; a text brings its own.
        sigma: standard deviation of the weights.
        state: the window starts from h0 = "zero", or "non-zero": uniform in (-1, 1).
        dtype: of the gradient under test, "float64" or "float32".
        engine: the engine under test, by name or itself.
        entries: how many entries of each parameter to check; None for all of them.
        seed: decides the network, the random window and which entries are checked.
        corpus: the text whose first window to take instead of a random one.

    Raises:
        ConfigError: a setting out of its range.
        EngineError: the engine's gradient lacks a parameter, or has one of another shape.
        MissingPartError: the native engine was asked for by name and is not there.
        TextError: the text is shorter than one window.
    """
    learner, x, y = fresh_problem(
        hidden_size=hidden_size,
        seq_length=seq_length,
        vocabulary_size=vocabulary_size,
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
    hidden_size: int = 100,
    seq_length: int = 25,
    vocabulary_size: int = 80,
    sigma: float = 0.01,
    state: str = "zero",
    dtype: str = "float64",
    seed: int = 0,
    corpus: Corpus | None = None,
) -> tuple[Learner, Array, Array]:
    """A learner as training begins with, weights N(0, sigma²) and biases zero, and one window.

    The window, ids x and y of shape (T,), is random or the first one of a text. Arguments and
    errors as in `gradcheck`.
    """
    require_one_of("state", state, STATES)
    config = Config(
        hidden_size=hidden_size, seq_length=seq_length, sigma=sigma, dtype=dtype, seed=seed
    )
    if corpus is None:
        require_whole("vocabulary_size", vocabulary_size, least=2, below=0x110000)
        vocabulary = Vocabulary(map(chr, range(vocabulary_size)))
        window = uniforms(seed, "gradcheck", seq_length + 1) * vocabulary_size
        ids = window.astype(vocabulary.id_dtype)
    else:
        Windows(len(corpus), seq_length)  # refuses a text shorter than a window
        vocabulary, ids = corpus.vocabulary, corpus.ids
    learner = new_learner(config, vocabulary)
    if state == "non-zero":
        h = learner.state["h"]
        h[...] = 2 * uniforms(seed, "gradcheck", h.size, stream=1).reshape(h.shape) - 1
    return learner, ids[:seq_length], ids[1 : seq_length + 1]


def check_gradients(
    learner: Learner,
    x: Array,
    y: Array,
    *,
    engines: Sequence[str | Engine] = ("reference",),
    entries: int | None = 200,
    seed: int = 0,
    text: str = "",
) -> tuple[GradientCheck, ...]:
    """Check the gradient of any learner over one window, from the learner's own state.

    The truth is the complex step on the same parameter values in complex128, whatever the
    learner's dtype; central differences are taken in the learner's dtype, over `STEPS`, on the
    first 200 of the checked entries. Entries are drawn without replacement by seed; of U, half
    are drawn from the columns that the window reads, since all others have gradient zero. An
    entry that is not finite is always found, drawn or not.

    Args:
        learner: is not changed.
        x: ids read, shape (T,) or (T, B).
        y: ids to predict, same shape.
        engines: the engines under test, by name or themselves; the numerical gradients, which
            take the time, are computed once for all of them.
        entries: how many entries of each parameter to check; None for all of them.
        seed: decides which entries are checked.
        text: the name of the text that the window is of.

    Returns:
        A check for each engine.

    Raises:
        ConfigError: no such engine, or `entries` is no whole number of at least 1.
        EngineError: x and y do not fit, or an engine's gradient lacks a parameter or has one of
            another shape.
    """
    if entries is not None:
        require_whole("entries", entries, least=1)
    x, y = (np.ascontiguousarray(ids).reshape(len(ids), -1) for ids in (x, y))
    K = len(learner.vocabulary)
    if x.shape != y.shape or not 0 <= min(x.min(), y.min()) <= max(x.max(), y.max()) < K:
        raise EngineError(
            f"x has shape {x.shape}, y {y.shape}; they must have one shape, with ids below {K}."
        )
    opened = [_opened(engine) for engine in engines]
    checks = []
    # What overflows shows as an error that is no number, and fails; it needs no warning besides.
    with np.errstate(all="ignore"):
        truths = _numerical_gradients(learner, x, y, entries, seed)
        for engine in opened:
            _, gradients, _ = engine.loss_and_gradients(learner, x, y)
            _require_shapes(gradients, learner.parameters)
            settings = Settings(
                text=text,
                hidden_size=learner.config.hidden_size,
                seq_length=len(x),
                vocabulary_size=K,
                sigma=learner.config.sigma,
                state="non-zero" if learner.state["h"].any() else "zero",
                dtype=learner.config.dtype,
                engine=engine.name,
                entries=entries,
                seed=seed,
            )
            rows = tuple(_row(truth, gradients[truth.name], settings.dtype) for truth in truths)
            checks.append(GradientCheck(settings=settings, rows=rows))
    return tuple(checks)


@dataclass(frozen=True)
class _Numerical:
    """The numerical gradients of one parameter, at N of its entries.

    `entries` are flat indices (N,), `exact` the complex step (N,), `rounding` what one rounding
    does to it, `central` central differences at each step (steps, n) for the first n entries.
    """

    name: str
    shape: tuple[int, ...]
    entries: Array
    exact: Array
    rounding: float
    central: Array


def _numerical_gradients(
    learner: Learner, x: Array, y: Array, entries: int | None, seed: int
) -> list[_Numerical]:
    """The numerical gradients of every parameter: biases first, then matrices."""
    own, h = learner.parameters, learner.state["h"][0]
    exact = {name: p.astype(np.complex128) for name, p in own.items()}
    rounded = _rounded(exact, float(np.finfo(learner.config.dtype).eps), seed)
    found = []
    for place, (name, parameter) in sorted(
        enumerate(own.items()), key=lambda item: item[1][1].ndim
    ):
        columns = np.unique(x) if name == "layers.0.U" else None
        chosen = _draw_entries(parameter.shape, entries, seed, place, columns)
        swept = chosen[:SWEEP_ENTRIES]
        numeric = _complex_step(exact, name, chosen, x, y, h)
        moved = _complex_step(rounded, name, swept, x, y, h)
        found.append(
            _Numerical(
                name=name,
                shape=parameter.shape,
                entries=chosen,
                exact=numeric,
                rounding=_errors(moved, numeric[: len(swept)]).norm_relative,
                central=_central_differences(own, name, swept, x, y, h),
            )
        )
    return found


def _row(truth: _Numerical, gradient: Array, dtype: str) -> Row:
    """One parameter's analytic gradient held to its numerical ones."""
    values = gradient.ravel()
    analytic = values[truth.entries].astype(np.float64)
    errors, distances = _errors(analytic, truth.exact), _distances(analytic, truth.exact)
    worst = int(np.argmax(distances))
    place, numeric = int(truth.entries[worst]), float(truth.exact[worst])
    if not np.isfinite(values).all():
        place, numeric = int(np.argmin(np.isfinite(values))), math.nan
        errors = Errors(absolute=math.nan, elementwise=math.nan, norm_relative=math.nan)
    swept = analytic[: truth.central.shape[1]]
    sweep = [_errors(swept, differences) for differences in truth.central]
    best = min(range(len(STEPS)), key=lambda step: _rank(sweep[step].norm_relative))
    norm_limit, elementwise_limit = _limits(dtype, truth.rounding)
    return Row(
        parameter=short_name(truth.name),
        shape=truth.shape,
        checked=len(analytic),
        total=len(values),
        absolute=errors.absolute,
        elementwise=errors.elementwise,
        norm_relative=errors.norm_relative,
        rounding=truth.rounding,
        norm_limit=norm_limit,
        elementwise_limit=elementwise_limit,
        worst=Worst(
            index=tuple(map(int, np.unravel_index(place, truth.shape))),
            analytic=float(values[place]),
            numeric=numeric,
        ),
        central=Central(step=STEPS[best], checked=len(swept), **vars(sweep[best])),
        curve=tuple(at_step.norm_relative for at_step in sweep),
    )


def _opened(engine: str | Engine) -> Engine:
    """An engine, opened if it was named."""
    if not isinstance(engine, str):
        return engine
    require_one_of("engine", engine, ENGINES)
    return open_engine(engine)


def _complex_step(
    parameters: Parameters, name: str, entries: Array, x: Array, y: Array, h: Array
) -> Array:
    """Im f(θ + ih)/h for entries (N,) of one parameter, shape (N,); parameters are complex."""
    steps = np.full(len(entries), 1j * COMPLEX_STEP)
    return _perturbed_losses(parameters, name, entries, steps, x, y, h).imag / COMPLEX_STEP


def _central_differences(
    parameters: Parameters, name: str, entries: Array, x: Array, y: Array, h: Array
) -> Array:
    """(f(θ + s) - f(θ - s)) / 2s at each of `STEPS` for entries (N,), shape (steps, N)."""
    steps = np.array(STEPS)
    signed = np.concatenate([steps, -steps]).repeat(len(entries))
    everywhere = np.tile(entries, 2 * len(steps))
    f = _perturbed_losses(parameters, name, everywhere, signed, x, y, h)
    after, before = f.reshape(2, len(steps), len(entries))
    return np.asarray((after - before) / (2 * steps[:, np.newaxis]))


def _perturbed_losses(
    parameters: Parameters, name: str, entries: Array, steps: Array, x: Array, y: Array, h: Array
) -> Array:
    """The loss of N networks, shape (N,); in the nth, one entry of one parameter has its step."""
    parameter = parameters[name]
    chunk = int(np.clip(CHUNK_BYTES // parameter.nbytes, 1, CHUNK_NETWORKS))
    results = []
    for start in range(0, len(entries), chunk):
        at = entries[start : start + chunk]
        networks = np.tile(parameter.ravel(), (len(at), 1))
        networks[np.arange(len(at)), at] += steps[start : start + chunk].astype(parameter.dtype)
        perturbed = {**parameters, name: networks.reshape(-1, *parameter.shape)}
        results.append(losses(perturbed, x, y, h))
    return np.concatenate(results)


def _draw_entries(
    shape: tuple[int, ...], count: int | None, seed: int, place: int, columns: Array | None
) -> Array:
    """Flat indices of `count` entries without repeats; half of them from `columns` if given."""
    total = math.prod(shape)
    count = total if count is None else min(count, total)
    order = np.argsort(uniforms(seed, "gradcheck", total, stream=2, time=place), kind="stable")
    if columns is not None:
        read = order[np.isin(order % shape[1], columns)][: (count + 1) // 2]
        order = np.concatenate([read, order[~np.isin(order, read)]])
    return order[:count]


def _rounded(parameters: Parameters, eps: float, seed: int) -> Parameters:
    """The parameters with every entry moved by up to `eps` of itself, those of c by up to `eps`.

    For rounding the softmax changes its relative digits: that is an absolute error of the logits.
    """
    moved = {}
    for place, (name, parameter) in enumerate(parameters.items()):
        moves = 2 * uniforms(seed, "gradcheck", parameter.size, stream=3, time=place) - 1
        size = 1 if name == "c" else parameter
        moved[name] = parameter + eps * size * moves.reshape(parameter.shape)
    return moved


def _distances(a: Array, n: Array) -> Array:
    """Elementwise-relative error of each entry, shape (N,)."""
    floor = max(ELEMENTWISE_FLOOR * float(np.abs(n).max()), np.finfo(np.float64).tiny)
    return np.asarray(np.abs(a - n) / np.maximum(np.abs(a) + np.abs(n), floor))


def _errors(a: Array, n: Array) -> Errors:
    """The three errors of a against n, both of shape (N,)."""
    norms = float(np.linalg.norm(a) + np.linalg.norm(n))
    distance = float(np.linalg.norm(a - n))
    return Errors(
        absolute=float(np.abs(a - n).max()),
        elementwise=float(_distances(a, n).max()),
        norm_relative=0.0 if norms == 0 else distance / norms,
    )


def _limits(dtype: str, rounding: float) -> tuple[float, float | None]:
    """Norm-relative and elementwise limit, where one rounding moves the gradient by `rounding`."""
    norm, entries = NORM_LIMITS[dtype], ELEMENTWISE_LIMITS[dtype]
    widened = max(norm, min(WIDEST_NORM_LIMIT, ROUNDING_MARGIN * rounding))
    return widened, None if entries is None else entries * widened / norm


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


def _rank(error: float) -> float:
    """An error to compare by: one that is not a number is the worst."""
    return math.inf if math.isnan(error) else error


def _plain(value: Any) -> Any:
    """A value as JSON has it: lists for tuples, None for a number that is not finite."""
    if isinstance(value, dict):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float | None) -> float:
    """The inverse of what `_plain` does to a number."""
    return math.nan if value is None else float(value)
