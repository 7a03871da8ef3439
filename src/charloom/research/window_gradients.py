"""The loss and the gradients of one window, as arrays, before anything has changed."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Engine
from charloom.errors import DivergedError
from charloom.model import Learner, State, zero_state
from charloom.model.gradient_step import gradient_norm, training_gradients
from charloom.model.parameters import Parameters
from charloom.model.schedule import Schedule
from charloom.text.all_ids import AllIds
from charloom.training.loop import begin_epoch_if_due
from charloom.training.window_plan import planned_windows


@dataclass(frozen=True, eq=False)
class WindowGradients:
    """The loss and the gradients of the window that a learner reads next. Shapes: T steps, B streams.

    Attributes:
        update: the number of the update for which the window is read, from 1.
        x: the ids that the network reads, shape (T, B).
        y: the ids that it predicts, shape (T, B).
        loss: the cross-entropy in nats, summed over T and averaged over B, whatever the setting `reduction` is.
        gradients: the exact gradient by parameter name, in the shape of the parameter, before clipping. It is
            the gradient of `loss`; with the setting `reduction` "mean", of `loss` divided by T.
        norm: the Euclidean norm of all gradients together.
        state: the state after the window.
    """

    update: int
    x: NDArray[Any]
    y: NDArray[Any]
    loss: float
    gradients: Parameters
    norm: float
    state: State


def gradients_of_next_window(
    learner: Learner, ids: AllIds, engine: Engine, schedule: Schedule
) -> WindowGradients:
    """Return the gradients of the window that a learner reads next, with the dropout masks of that update.

    Args:
        learner: its weights do not change. At the end of an epoch, or before a window that begins from zero, its
            state and position are set to the beginning of the window.
        ids: the whole text, shape (characters,).
        engine: computes the gradients.
        schedule: the windows of the text.

    Raises:
        DivergedError: the loss or the norm is not finite.
    """
    begin_epoch_if_due(learner, schedule.windows)
    tokens, plan = planned_windows(learner, ids, schedule, np.zeros(1))
    if plan.resets is not None and plan.resets[0]:
        learner.state = zero_state(learner.config, learner.config.batch_size)
    starts, places = plan.window_starts(0, learner.position)
    steps = np.arange(learner.config.seq_length + 1)[:, np.newaxis]
    read = tokens[starts + steps]
    x, y = read[:-1], read[1:]
    columns = None
    if learner.ngrams:
        at = (starts + steps)[1:]
        given = None if plan.columns is None else plan.columns[at].astype(np.int32)
        columns = learner.ngrams.columns((places + steps)[1:]) if given is None else given
    update = learner.update + 1
    loss, gradients, state = engine.loss_and_gradients(learner, x, y, update, columns)
    gradients = training_gradients(learner.config, gradients)
    norm = gradient_norm(gradients)
    if not math.isfinite(loss + norm):
        raise DivergedError(
            f"update {update:,} has the loss {loss:g} and the gradient norm {norm:g}."
        )
    return WindowGradients(update, x, y, loss, gradients, norm, state)
