"""A learner is everything that training changes, as plain data: nothing here computes.

An engine takes a learner and changes its arrays; the store writes it and reads it back to the
same bytes, so that a resumed run continues bit for bit (spec/mathematics.md: What repeats bit for bit).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.config import Config
from charloom.model.memory import require_memory
from charloom.model.optimizers import SLOTS
from charloom.model.parameters import STATES, Parameters, initial_parameters
from charloom.text.vocabulary import Vocabulary

State = dict[str, NDArray[Any]]


@dataclass
class Learner:
    """The whole of a training: config, parameters, slots, state and counters.

    Attributes:
        config: the settings.
        vocabulary: the characters, K of them.
        parameters: by name; shapes as in `parameter_shapes`.
        slots: optimizer slots by slot name, then by parameter name, shaped like the parameters.
        state: recurrent state, `h` of shape (layers, B, H), and for the LSTM `cell` likewise.
        position: where each stream's next window starts, in characters from the stream's start.
        epoch: epochs completed.
        update: updates applied.
        smooth_loss: nats per window; None before the first update.
        best_loss: the lowest nats per character on the validation part, or where nothing is held
            out the lowest smooth loss at a record; None before the first judgement.
        best_update: the update of that judgement.
        judgements_since_best: judgements on the validation part since the best one.
        rollbacks: how often training went back to a checkpoint because a number was not finite.
        pending_loss: the sum of the losses since the last record, in nats.
        pending_updates: how many they are.
        learning_rate_factor: multiplies the learning rate; steered from outside.
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
    pending_loss: float = field(default=0.0)
    pending_updates: int = 0
    learning_rate_factor: float = 1.0


def new_learner(config: Config, vocabulary: Vocabulary) -> Learner:
    """A learner before its first update.

    Raises:
        ConfigError: it would not fit into the memory that this process may have.
    """
    require_memory(config, len(vocabulary))
    parameters = initial_parameters(config, len(vocabulary))
    slots = zero_slots(config, parameters)
    return Learner(config, vocabulary, parameters, slots, zero_state(config, config.batch_size))


def zero_slots(config: Config, parameters: Parameters) -> dict[str, Parameters]:
    """The optimizer's memory before the first update."""
    return {
        # Not zeros_like, which writes every zero: a model that is only read has slots too.
        slot: {name: np.zeros(p.shape, p.dtype) for name, p in parameters.items()}
        for slot in SLOTS[config.optimizer]
    }


def zero_state(config: Config, streams: int = 1) -> State:
    """The recurrent state before the first character, arrays of shape (layers, streams, H)."""
    shape = (config.layers, streams, config.hidden_size)
    return {name: np.zeros(shape, dtype=config.dtype) for name in STATES[config.cell]}


def copy_learner(learner: Learner) -> Learner:
    """A copy that shares no array with the original."""
    values = dict(vars(learner))
    values["parameters"] = {name: p.copy() for name, p in learner.parameters.items()}
    values["slots"] = {
        slot: {name: p.copy() for name, p in arrays.items()}
        for slot, arrays in learner.slots.items()
    }
    values["state"] = {name: s.copy() for name, s in learner.state.items()}
    return Learner(**values)


def stream_state(state: State, stream: int = 0) -> State:
    """A copy of one stream's state, arrays of shape (layers, 1, H)."""
    return {name: s[:, stream : stream + 1].copy() for name, s in state.items()}


def put_back(learner: Learner, earlier: Learner) -> None:
    """Make a learner what an earlier one was, but for its settings; they share no array."""
    vars(learner).update({**vars(copy_learner(earlier)), "config": learner.config})
