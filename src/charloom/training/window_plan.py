"""Plans which windows of a text an engine reads next, and provides the ids that they need in memory.

See spec/mathematics.md: Windows; Items.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from charloom.engines import Plan
from charloom.engines.base import Ids
from charloom.model import Learner
from charloom.model.schedule import Schedule
from charloom.text.all_ids import AllIds
from charloom.text.epoch_items import tokens_of_epoch
from charloom.text.item_ids import ItemIds


def planned_windows(
    learner: Learner, ids: AllIds, schedule: Schedule, rates: NDArray[np.float64]
) -> tuple[Ids, Plan]:
    """Return the ids and the plan for one update at each of the learning rates `rates`, all in the learner's epoch.

    Args:
        learner: its epoch and position say which windows come next.
        ids: the whole text.
        schedule: the windows of the text.
        rates: the learning rate of each update, shape (updates,).

    Returns:
        An array in memory, and the plan for this array.
    """
    if isinstance(ids, ItemIds):
        return windows_of_items(learner, ids, schedule, rates)
    return ids_in_memory(ids, next_windows(learner, schedule, rates), learner)


def windows_of_items(
    learner: Learner, ids: ItemIds, schedule: Schedule, rates: NDArray[np.float64]
) -> tuple[Ids, Plan]:
    """Return the ids and the plan for the next windows of a collection. `planned_windows` describes the arguments."""
    epoch = tokens_of_epoch(ids, schedule.config, schedule.windows, learner.epoch)
    position, count = learner.position, len(rates) * learner.config.seq_length + 1
    tokens, starts = epoch.read(position, count)
    if learner.ngrams is None:
        return tokens, Plan(rates, starts)
    columns = epoch.columns(ids, learner.ngrams.counted, learner.ngrams.parts, position, count)
    return tokens, Plan(rates, starts, columns=columns)


def next_windows(learner: Learner, schedule: Schedule, rates: NDArray[np.float64]) -> Plan:
    """Return the plan for one update at each of the learning rates `rates`, all in the learner's epoch.

    The plan is for the whole text, which is a stream.
    """
    order = schedule.order
    if order.one_after_another:
        return Plan(rates, schedule.windows.starts(learner.epoch))
    first, count = learner.position // learner.config.seq_length, len(rates)
    starts = order.starts(learner.epoch, first, count)
    return Plan(rates, starts, resets=order.resets(learner.epoch, first, count))


def ids_in_memory(ids: AllIds, plan: Plan, learner: Learner) -> tuple[Ids, Plan]:
    """Return an array in memory with the ids that `plan` needs, and the plan for this array.

    If `ids` is an array already, return `ids` and `plan` unchanged. If `ids` is a file, read only the ids
    that the plan needs. The returned plan then has new `starts`, and its `places` are the old ones.
    """
    if isinstance(ids, np.ndarray):
        return ids, plan
    if not plan.one_after_another:
        size = learner.config.seq_length + 1
        begins = plan.starts.ravel()
        windows = ids.stretches(begins, begins + size, size)
        at = size * np.arange(len(begins), dtype=np.int64)
        return windows.ravel(), replace(
            plan, starts=at.reshape(plan.starts.shape), places=plan.starts
        )
    starts = plan.starts + learner.position
    count = len(plan.learning_rates) * learner.config.seq_length + 1
    read = ids.stretches(starts, starts + count, count)
    rows = count * np.arange(len(starts), dtype=np.int64) - learner.position
    return read.ravel(), Plan(plan.learning_rates, rows, places=plan.starts)
