"""The learner: everything that training changes, as plain data. This module does not train.

An engine changes a learner's arrays. The store writes a learner and reads back the same bytes. So a
resumed run continues bit for bit (spec/mathematics.md: What repeats bit for bit).
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.cell_table import CELLS
from charloom.config import Config
from charloom.model.memory_limit import require_memory
from charloom.model.optimizers import SLOTS
from charloom.model.parameters import Parameters, initial_parameters
from charloom.model.start_losses import StartLosses
from charloom.text.vocabulary import Vocabulary

State = dict[str, NDArray[Any]]


@dataclass
class Learner:
    """The complete state of a training run: config, parameters, optimizer, hidden state, counters.

    Attributes:
        config: the settings.
        vocabulary: the K characters of the model.
        parameters: the parameters by name; shapes as in `parameter_shapes`.
        slots: the optimizer's arrays (slots) by slot name, then by parameter name. Each has the
            shape of its parameter.
        state: hidden state; `h` of shape (layers, B, H), and for the LSTM also `cell` of that
            shape.
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
        start_losses: how well the model predicts its text from the states in which it can begin to write.
            None if this was not measured with the present weights.
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
    start_losses: StartLosses | None = None


def new_learner(config: Config, vocabulary: Vocabulary) -> Learner:
    """Return a learner before its first update.

    Raises:
        ConfigError: the learner does not fit into the memory that this process may use.
    """
    require_memory(config, len(vocabulary))
    parameters = initial_parameters(config, len(vocabulary))
    slots = zero_slots(config, parameters)
    return Learner(config, vocabulary, parameters, slots, zero_state(config, config.batch_size))


def zero_slots(config: Config, parameters: Parameters) -> dict[str, Parameters]:
    """Return the optimizer's arrays (slots) before the first update: zeros.

    The result maps the name of each slot to a dict with an array for each parameter.
    """
    return {
        # np.zeros only reserves memory. np.zeros_like would write every zero and so use memory,
        # even for a model that is never trained.
        slot: {name: np.zeros(p.shape, p.dtype) for name, p in parameters.items()}
        for slot in SLOTS[config.optimizer]
    }


def state_shapes(config: Config, streams: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array of a hidden state: (layers, streams, H)."""
    shape = (config.layers, streams, config.hidden_size)
    return dict.fromkeys(CELLS[config.cell].states, shape)


def zero_state(config: Config, streams: int = 1) -> State:
    """Return the hidden state before the first character: zeros, in arrays as `state_shapes` says."""
    shapes = state_shapes(config, streams)
    return {name: np.zeros(shape, dtype=config.dtype) for name, shape in shapes.items()}


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


def first_stream_state(state: State) -> State:
    """Return a copy of the hidden state of the first stream, arrays of shape (layers, 1, H)."""
    return {name: s[:, :1].copy() for name, s in state.items()}


def restore_learner(learner: Learner, earlier: Learner) -> None:
    """Set all fields of `learner`, except its config, to copies of the fields of `earlier`."""
    vars(learner).update({**vars(copy_learner(earlier)), "config": learner.config})
