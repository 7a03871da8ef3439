"""The learner: everything that training changes, as plain data. This module does not train.

An engine changes a learner's arrays. The store writes a learner and reads back the same bytes. So a
resumed run continues bit for bit (spec/mathematics.md: What repeats bit for bit).
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.errors import EngineError
from charloom.formatting import counted
from charloom.messages import argument
from charloom.model.clamp import Clamp
from charloom.model.input_pairs import InputPairs, no_pairs, pair_rows
from charloom.model.memory_limit import require_memory
from charloom.model.ngrams import NGrams, no_ngrams
from charloom.model.optimizers import AVERAGE, SLOTS
from charloom.model.parameters import Parameters, initial_parameters
from charloom.model.start_losses import StartLosses
from charloom.registered_cells import cell_named
from charloom.text.vocabulary import Vocabulary

State = dict[str, NDArray[Any]]
ARRAYS: Final = ("parameters", "slots", "state")  # the attributes of a learner that hold arrays
KEEPER: Final = "_keeper"  # the attribute with the `ArrayKeeper`, if there is one
RECENT: Final = "recent"  # the array of a state that holds the ids that each stream read last
NO_ID: Final = -1  # stands in that array for a character before the first one


class ArrayKeeper(Protocol):
    """Keeps the numbers of a learner in another layout, in which an engine trains it."""

    def give_back(self, learner: "Learner") -> None:
        """Give the learner those of its attributes ARRAYS that it lacks, with the present numbers."""

    def release(self, learner: "Learner") -> None:
        """Give the learner its arrays, and leave it."""


@dataclass
class Learner:
    """The complete state of a training run: config, parameters, optimizer, hidden state, counters.

    While an engine trains a learner, it may keep the numbers in a layout of its own. The learner then lacks the
    attributes ARRAYS, and gets them back when one is read. So all arrays are true whenever they are read.

    Attributes:
        config: the settings.
        vocabulary: the K characters of the model.
        parameters: the parameters by name; shapes as in `parameter_shapes`.
        slots: the optimizer's arrays (slots) by slot name, then by parameter name. Each has the
            shape of its parameter. During training with the setting `averaging`, the slot "average" holds
            the averaged weights; `averaged` returns the model that has these weights.
        state: hidden state; `h` of shape (layers, B, H), and for the LSTM also `cell` of that
            shape. With n-grams or pairs also `recent`, the last ids that each stream read, int32 of
            shape (1, B, `recent_length(config)`), the latest last; -1 stands for no id.
        position: number of characters that each stream has read in the current epoch; its next
            window starts there.
        epoch: number of completed epochs.
        update: number of applied updates.
        smooth_loss: smoothed training loss in nats per window; None before the first update.
        best_loss: the lowest validation loss so far in nats per character. Without a validation
            part, the lowest `smooth_loss` at a record. None before the first evaluation or record.
        best_update: the update at which `best_loss` was reached.
        judgements_since_best: number of evaluations on the validation part since `best_update`.
        rollbacks: how often training went back to an earlier state because a number was not finite.
        pending_loss: the sum of the training losses of the updates since the last record, in nats.
        pending_updates: the number of updates since the last record.
        learning_rate_factor: multiplies the learning rate; the user can change it during a run.
        ngrams: the n-grams of the training text; never changed in place, so copies of a learner share
            them. None if the setting `ngram_order` is 0.
        pairs: the pairs of characters that have a row in the parameter `pairs.weight`; never changed in
            place. None if the setting `input_pairs` is 0.
        start_losses: how well the model predicts its text from the states in which it can begin to write.
            None if this was not measured with the present weights.
        clamps: the hidden units that are held at a value. The parameters have their values in the biases.
    """

    config: Config
    vocabulary: Vocabulary
    parameters: Parameters
    slots: dict[str, Parameters]
    state: State
    position: int = 0
    epoch: int = 0
    update: int = 0
    smooth_loss: float | None = None
    best_loss: float | None = None
    best_update: int | None = None
    judgements_since_best: int = 0
    rollbacks: int = 0
    pending_loss: float = 0.0
    pending_updates: int = 0
    learning_rate_factor: float = 1.0
    ngrams: NGrams | None = None
    pairs: InputPairs | None = None
    start_losses: StartLosses | None = None
    clamps: tuple[Clamp, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Return all attributes for pickling and copying, without the `ArrayKeeper`."""
        arrays = {name: getattr(self, name) for name in ARRAYS}
        return {name: value for name, value in vars(self).items() if name != KEEPER} | arrays


class LackedArrays:
    """Reads an attribute that a learner lacks. An attribute of its own that a learner has comes first."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, learner: Learner | None, owner: type[Learner]) -> Any:
        """Give the learner its arrays back, and return the value of the attribute."""
        if learner is None:
            return self
        keeper: ArrayKeeper | None = vars(learner).get(KEEPER)
        if keeper is None:
            raise AttributeError(f"this learner has no attribute {self._name}")
        keeper.give_back(learner)
        return vars(learner)[self._name]


for _name in ARRAYS:
    setattr(Learner, _name, LackedArrays(_name))  # dataclass would take it for a default


def release_arrays(learner: Learner) -> None:
    """Give a learner back all its arrays, and the memory in which an engine kept them to the system."""
    keeper: ArrayKeeper | None = vars(learner).get(KEEPER)
    if keeper is not None:
        keeper.release(learner)


def new_learner(config: Config, vocabulary: Vocabulary, memory: float | None = None) -> Learner:
    """Return a learner before its first update.

    Args:
        config: its settings.
        vocabulary: its characters.
        memory: the memory in bytes that this process may use; None measures it.

    Raises:
        ConfigError: the learner does not fit into the memory that this process may use.
    """
    characters = len(vocabulary)
    require_memory(config, characters, memory)
    parameters = initial_parameters(config, characters)
    slots = first_slots(config, parameters)
    state = zero_state(config, config.batch_size)
    ngrams = no_ngrams(config.ngram_order, characters) if config.ngram_order else None
    pairs = no_pairs(pair_rows(config, characters), characters) if config.input_pairs else None
    return Learner(config, vocabulary, parameters, slots, state, ngrams=ngrams, pairs=pairs)


def first_slots(config: Config, parameters: Parameters) -> dict[str, Parameters]:
    """Return the slots before the first update: zeros and, with averaging, a copy of the parameters."""
    slots = zero_slots(config, parameters)
    if config.averaging:
        slots[AVERAGE] = {name: p.copy() for name, p in parameters.items()}
    return slots


def averaged(learner: Learner) -> Learner:
    """Return the model of a learner: with the averaged weights if training averages the weights.

    The result shares arrays with `learner`. It has no slot "average", so it cannot continue the training.
    Without that slot, `learner` itself is the model.
    """
    if AVERAGE not in learner.slots:
        return learner
    slots = {slot: arrays for slot, arrays in learner.slots.items() if slot != AVERAGE}
    return replace(learner, parameters=learner.slots[AVERAGE], slots=slots)


def finished_model(learner: Learner) -> Learner:
    """Return the model of a learner whose training is over.

    It is the result of `averaged`, with only those columns of the n-grams that a model needs. The columns for
    training need several times as much memory. `count_missing_ngrams` counts them again if the training continues.
    """
    release_arrays(learner)
    model = averaged(learner)
    if model.ngrams is None or not model.ngrams.parts:
        return model
    return replace(model, ngrams=model.ngrams.whole())


def zero_slots(config: Config, parameters: Parameters) -> dict[str, Parameters]:
    """Return the optimizer's arrays (slots) before the first update, without averaged weights: zeros.

    The result maps the name of each slot to a dict with an array for each parameter.
    """
    return {
        # np.zeros only reserves memory. np.zeros_like would write every zero and so use memory,
        # even for a model that is never trained.
        slot: {name: np.zeros(p.shape, p.dtype) for name, p in parameters.items()}
        for slot in SLOTS[config.optimizer]
    }


def zero_state(config: Config, streams: int = 1) -> State:
    """Return the hidden state before the first character: zeros, and with n-grams or pairs no recent ids."""
    return {
        name: np.full(shape, NO_ID if name == RECENT else 0, dtype)
        for name, (shape, dtype) in state_arrays(config, streams).items()
    }


def state_arrays(config: Config, streams: int) -> dict[str, tuple[tuple[int, ...], np.dtype[Any]]]:
    """Return the shape and the dtype of each array of a state. Every state has this order."""
    shape: tuple[int, ...] = (config.layers, streams, config.hidden_size)
    arrays = {name: (shape, np.dtype(config.dtype)) for name in cell_named(config.cell).states}
    if config.ngram_order or config.input_pairs:
        arrays[RECENT] = (1, streams, recent_length(config)), np.dtype(np.int32)
    return arrays


def recent_length(config: Config) -> int:
    """Return how many ids of each stream a state keeps: N - 1 for n-grams, and at least 1 for pairs."""
    return max(config.ngram_order - 1, 1 if config.input_pairs else 0)


def state_for(config: Config, state: State) -> State:
    """Return a state without the recent ids that a network with the settings `config` does not need.

    `state` is a state of the same network with more n-grams or pairs. The arrays are not copied.
    """
    kept = hidden_arrays(state)
    if config.ngram_order or config.input_pairs:
        recent = state[RECENT]
        kept[RECENT] = recent[..., recent.shape[-1] - recent_length(config) :]
    return kept


def hidden_arrays(state: Mapping[str, NDArray[Any]]) -> State:
    """Return the arrays of a state that hold hidden units: all except the recent ids."""
    return {name: array for name, array in state.items() if name != RECENT}


def copy_learner(learner: Learner) -> Learner:
    """Return a copy of `learner` that shares no array with it."""

    def copied(arrays: Parameters) -> Parameters:
        return {name: array.copy() for name, array in arrays.items()}

    return replace(
        learner,
        parameters=copied(learner.parameters),
        slots={slot: copied(arrays) for slot, arrays in learner.slots.items()},
        state=copied(learner.state),
    )


def required_ngrams(learner: Learner) -> NGrams | None:
    """Return the n-grams of a learner; None if its config has no n-grams.

    Raises:
        EngineError: the learner has no n-grams although its config has, or those of another order or of
            another vocabulary size.
    """
    order, characters = learner.config.ngram_order, len(learner.vocabulary)
    ngrams = learner.ngrams if order else None
    if order and ngrams is None:
        raise EngineError(
            f"the learner has no n-grams, but {argument('ngram_order', order)} needs them; count a text with "
            f"the engine's method count_ngrams, and set learner.ngrams."
        )
    if ngrams is not None and (ngrams.order, ngrams.characters) != (order, characters):
        raise EngineError(
            f"the learner has n-grams of order {ngrams.order} of {counted(ngrams.characters, 'character')}; they "
            f"must be of order {order} of {counted(characters, 'character')}."
        )
    return ngrams


def required_pairs(learner: Learner) -> InputPairs | None:
    """Return the pairs of a learner; None if its config has no pairs.

    Raises:
        EngineError: the learner has no pairs although its config has, or another number of them, or those
            of another vocabulary size.
    """
    characters = len(learner.vocabulary)
    rows = pair_rows(learner.config, characters)
    if not rows:
        return None
    pairs = learner.pairs
    if pairs is None:
        raise EngineError(
            f"the learner has no pairs, but {argument('input_pairs', learner.config.input_pairs)} needs them; choose "
            f"them in a text with most_frequent_pairs, and set learner.pairs."
        )
    if (pairs.ids.shape, pairs.characters) != ((rows, 2), characters):
        raise EngineError(
            f"the learner's pairs are an array of shape {pairs.ids.shape} of {counted(pairs.characters, 'character')}; "
            f"it must have shape {(rows, 2)}, of {counted(characters, 'character')}."
        )
    return pairs


def first_stream_state(state: State) -> State:
    """Return a copy of the hidden state of the first stream, arrays of shape (layers, 1, H)."""
    return {name: s[:, :1].copy() for name, s in state.items()}


def restore_learner(learner: Learner, earlier: Learner) -> None:
    """Set the fields of `learner`, except its config and n-grams, to copies of the fields of `earlier`.

    `earlier` is a learner of the same run, so its n-grams are the same, but they may lack the columns that
    training needs.
    """
    kept = {"config": learner.config, "ngrams": learner.ngrams}
    vars(learner).update({**vars(copy_learner(earlier)), **kept})
