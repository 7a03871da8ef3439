"""Checks what a caller gives to an engine: a learner's arrays, ids, and a plan.

Compiled code would crash on an array with a wrong shape or an id outside the vocabulary, so each function here
raises a clear error instead.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.engines.base import Array, Ids, Plan
from charloom.errors import EngineError
from charloom.formatting import counted
from charloom.messages import argument
from charloom.model import Learner, State, state_arrays
from charloom.model.learner import NO_ID, RECENT
from charloom.model.optimizers import slot_names
from charloom.model.parameters import Parameters

MAX_ID_BITS: Final = 32
Shapes = dict[str, tuple[int, ...]]  # of the parameters, by name


def checked_windows(
    plan: Plan, streams: int, position: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the windows of a plan begin, in the tokens and in the whole text, in the shape of `plan.starts`.

    With shape (B,), the indices are those of the first update, and `position`, the learner's position, is in them.

    Raises:
        EngineError: an array of the plan has a wrong shape.
    """
    starts = _checked_indices(plan.starts, "starts", len(plan.learning_rates), streams)
    places = starts
    if plan.places is not None:
        places = _checked_indices(plan.places, "places", len(plan.learning_rates), streams)
        if places.shape != starts.shape:
            raise EngineError(
                f"the array `places` of the plan has shape {places.shape}; it must have the shape of "
                f"`starts`, {starts.shape}."
            )
    if plan.one_after_another:
        return starts + position, places + position
    return starts, places


def _checked_indices(indices: Array, name: str, updates: int, streams: int) -> NDArray[np.int64]:
    """Return an array of a plan as int64; raise EngineError unless it has one index per stream or window."""
    if indices.shape not in ((streams,), (updates, streams)):
        raise EngineError(
            f"the array `{name}` of the plan has shape {indices.shape}; it must have shape "
            f"{(streams,)}, one index per stream, or {(updates, streams)}, one per window."
        )
    return np.ascontiguousarray(indices, dtype=np.int64)


def checked_plan(plan: Plan, config: Config, position: int, length: int) -> Plan:
    """Return a plan whose arrays an engine can use; the learner's position is in its indices.

    Args:
        plan: the plan.
        config: the learner's settings.
        position: the learner's position.
        length: the number of tokens in the text.

    Raises:
        EngineError: an array of the plan is wrong, or a window reaches beyond the text.
    """
    count, T = len(plan.learning_rates), config.seq_length
    starts, places = checked_windows(plan, config.batch_size, position)
    if starts.size:
        require_long_text(starts, (count if plan.one_after_another else 1, T), length)
    rates = np.ascontiguousarray(plan.learning_rates, dtype=np.float64)
    return Plan(rates, starts, places, checked_resets(plan), checked_token_columns(plan, length))


def checked_token_columns(plan: Plan, length: int) -> NDArray[np.uint8] | None:
    """Return the columns of a plan; None if the places of its windows give the columns.

    Raises:
        EngineError: the columns are not uint8, or the plan has another number of them than tokens, which is `length`.
    """
    if plan.columns is None:
        return None
    if plan.columns.shape != (length,) or plan.columns.dtype != np.uint8:
        raise EngineError(
            f"the array `columns` of the plan is {plan.columns.dtype} of shape {plan.columns.shape}; it must be "
            f"uint8 of shape {(length,)}, one per token."
        )
    return np.ascontiguousarray(plan.columns)


def checked_resets(plan: Plan) -> NDArray[np.bool_] | None:
    """Return the resets of a plan; None if no state is reset.

    Raises:
        EngineError: the plan has another number of resets than updates, or they are not bools.
    """
    if plan.resets is None:
        return None
    if plan.resets.shape != plan.learning_rates.shape or plan.resets.dtype != np.bool_:
        raise EngineError(
            f"the array `resets` of the plan is {plan.resets.dtype} of shape {plan.resets.shape}; it must be "
            f"bool of shape {plan.learning_rates.shape}, one per update."
        )
    return np.ascontiguousarray(plan.resets)


def require_long_text(starts: NDArray[np.int64], windows: tuple[int, int], length: int) -> None:
    """Raise EngineError if a window reaches beyond a text of `length` tokens.

    `windows` says how many windows follow one another from each start, and how many steps each has.
    """
    count, steps = windows
    if starts.min() < 0:
        raise EngineError(
            f"a window of the plan begins at the index {starts.min():,}; an index must be at least 0."
        )
    end = int(starts.max()) + count * steps + 1
    if end > length:
        raise EngineError(
            f"{counted(count, 'window')} of {counted(steps, 'step')} from position "
            f"{starts.max():,} need {counted(end, 'character')}, but the text has "
            f"{length:,}. Give a longer text, or fewer updates."
        )


def checked_arrays(learner: Learner, arrays: Parameters, shapes: Shapes) -> tuple[Array, ...]:
    """Return `arrays` in the order of the learner's parameters, after checking their shapes.

    `arrays` has an array for each parameter, with its name and shape.

    Raises:
        EngineError: an array is missing, or the engine cannot use it.
    """
    dtype = learner.parameters["V"].dtype
    if list(arrays) != list(shapes):
        raise EngineError(
            f"the arrays are {', '.join(arrays)}; they must be {', '.join(shapes)}, in this order."
        )
    for name, shape in shapes.items():
        require_array(name, arrays[name], shape, dtype)
    return tuple(arrays.values())


def checked_slots(learner: Learner, shapes: Shapes) -> tuple[tuple[Array, ...], ...]:
    """Return the arrays of each optimizer slot, after checking them.

    The order of the slots is that of `slot_names`; the order of the arrays is that of the parameters.

    Raises:
        EngineError: a slot or an array is missing, or the engine cannot use an array.
    """
    names = slot_names(learner.config)
    if sorted(learner.slots) != sorted(names):
        raise EngineError(
            f"the optimizer's slots are {', '.join(learner.slots)}; they must be {', '.join(names)}."
        )
    return tuple(checked_arrays(learner, learner.slots[name], shapes) for name in names)


def checked_states(learner: Learner, state: State, streams: int) -> tuple[Array, ...]:
    """Return the arrays of a hidden state, after checking them.

    They are h, for an LSTM also cell, and with n-grams or pairs also recent.

    Raises:
        EngineError: an array is missing, or the engine cannot use it.
    """
    wanted = state_arrays(learner.config, streams)
    if list(state) != list(wanted):
        raise EngineError(
            f"the arrays of the state are {', '.join(state)}; they must be {', '.join(wanted)}, in "
            f"this order."
        )
    for name, (shape, dtype) in wanted.items():
        require_array(f"the state {name}", state[name], shape, dtype)
    recent, K = state.get(RECENT), len(learner.vocabulary)
    if recent is not None and recent.size and (recent.min() < NO_ID or recent.max() >= K):
        raise EngineError(
            f"the state {RECENT} has ids from {recent.min():,} to {recent.max():,}; the model has "
            f"{K:,} characters, so they must be from 0 to {K - 1:,}, or {NO_ID} for no id."
        )
    return tuple(state.values())


def checked_columns(
    learner: Learner, shape: tuple[int, ...], columns: NDArray[Any] | None
) -> NDArray[np.int32]:
    """Return the columns of the n-grams for the targets of a window, int32 of the window's `shape`.

    Raises:
        EngineError: the columns have another shape, or are not those of the learner's n-grams.
    """
    if columns is None:
        return np.zeros(shape, np.int32)
    count = 1 + (learner.ngrams.parts if learner.ngrams else 0)
    if columns.shape != shape or columns.dtype.kind not in "ui":
        raise EngineError(
            f"the columns are {columns.dtype} of shape {columns.shape}; they must be integers of "
            f"shape {shape}, one per target."
        )
    if columns.min() < 0 or columns.max() >= count:
        raise EngineError(
            f"the columns are from {columns.min():,} to {columns.max():,}; the model's n-grams have "
            f"{counted(count, 'column')}, so they must be from 0 to {count - 1:,}."
        )
    return np.ascontiguousarray(columns, dtype=np.int32)


def require_same_dtype(config: Config) -> None:
    """Raise EngineError if training must compute in another dtype than that of the weights."""
    if config.compute_dtype != "same":
        raise EngineError(
            f"{argument('compute_dtype')} is {config.compute_dtype}, which only the engine torch can compute. Use "
            f"{argument('engine', 'torch')}, or {argument('compute_dtype', 'same')}."
        )


def copied_state(state: State) -> State:
    """Return a copy of `state`, so that an engine may change the copy in place."""
    return {name: array.copy(order="C") for name, array in state.items()}


def require_array(name: str, array: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raise EngineError unless the array has the right shape, dtype and memory layout for the engine."""
    if array.shape != shape or array.dtype != dtype:
        raise EngineError(
            f"{name} is {array.dtype} of shape {array.shape}; it must be {dtype} of shape {shape}."
        )
    if not array.flags.c_contiguous:
        raise EngineError(
            f"{name} is not C-contiguous; replace it with a copy from numpy.ascontiguousarray."
        )
    if not array.flags.writeable:
        raise EngineError(f"{name} is read-only; replace it with a copy.")


def checked_text(tokens: Ids) -> Ids:
    """Return the ids of a text as a plain NumPy array, without copying them.

    The ids may be in a memory-mapped file, which may be larger than the memory. The engines
    check each id when they read it.

    Raises:
        EngineError: the ids are not contiguous uint8, uint16 or uint32 with one axis.
    """
    if (
        tokens.ndim != 1
        or tokens.dtype.kind != "u"
        or tokens.dtype.itemsize > MAX_ID_BITS // 8
        or not tokens.flags.c_contiguous
    ):
        raise EngineError(
            f"the ids are {tokens.dtype} of shape {tokens.shape}; they must be a contiguous array "
            f"of uint8, uint16 or uint32 with one axis."
        )
    return tokens.view(np.ndarray)


def checked_ids(ids: Ids, learner: Learner) -> NDArray[np.int32]:
    """Return ids as a contiguous int32 array.

    Raises:
        EngineError: the ids are not integers, or an id is not in the model's vocabulary.
    """
    if ids.dtype.kind not in "ui":
        raise EngineError(f"the ids are {ids.dtype}; they must be integers.")
    K = len(learner.vocabulary)
    if ids.size and (ids.min() < 0 or ids.max() >= K):
        raise EngineError(
            f"the ids are from {ids.min():,} to {ids.max():,}; the model has {K:,} characters, "
            f"so they must be from 0 to {K - 1:,}."
        )
    return np.ascontiguousarray(ids, dtype=np.int32)
