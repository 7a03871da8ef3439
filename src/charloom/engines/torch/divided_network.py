"""A network whose B streams are divided among processes, from the view of process 0.

Process 0 has all weights, and after each call of `train` also the states of all streams. So saving, evaluating and
resuming with another number of processes need no code of their own. It cuts the windows of each process out of the
text and sends them, so only process 0 needs the text, and no process holds more of it than it reads.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from charloom.engines.base import Ids, Plan
from charloom.engines.checked_arguments import checked_plan
from charloom.engines.torch.gradient_sum import GradientSum
from charloom.engines.torch.process_group import ProcessGroup
from charloom.engines.torch.rank_messages import (
    CloseParts,
    LoadPart,
    OpenPart,
    TrainedPart,
    TrainPart,
)
from charloom.engines.torch.torch_network import StoppedUpdates, TorchNetwork
from charloom.model import Learner, State
from charloom.process_rank import stream_slices

NUMBERS: Final = count()
# Makes a network for the streams of this process.
PartMaker = Callable[[Learner, GradientSum], TorchNetwork]


class DividedNetwork:
    """The numbers of a learner whose streams are divided among processes.

    Args:
        group: the processes; this one is process 0.
        learner: has the settings and sizes. Its numbers are not read.
        threads: the number of threads of each process.
        make: makes the network of this process's own streams.
    """

    never_copied: frozenset[str] = frozenset()

    def __init__(
        self, group: ProcessGroup, learner: Learner, threads: int, make: PartMaker
    ) -> None:
        self._group, self._config = group, learner.config
        self._characters = len(learner.vocabulary)
        streams = learner.config.batch_size
        self._slices = stream_slices(streams, group.rank.size)
        self._number = next(NUMBERS)
        steps = learner.config.seq_length
        with group.lock:
            for rank in self._others():
                part = self._part_config(rank)
                at = self._slices[rank].start
                tables = learner.ngrams, learner.pairs
                group.send(
                    rank,
                    OpenPart(self._number, part, learner.vocabulary, *tables, threads, at, streams),
                )
            self._own = make(self._part(learner), GradientSum.of(group, 0, streams, steps))
        self.dtype = self._own.dtype
        self._states: list[State] = []  # of the other processes' streams
        weakref.finalize(self, close_part, group, self._number)

    def _others(self) -> range:
        """Return the numbers of the other processes."""
        return range(1, self._group.rank.size)

    def _part_config(self, rank: int) -> Any:
        """Return the settings of a process: those of the learner, with the number of its own streams."""
        streams = self._slices[rank]
        return self._config.replace(batch_size=streams.stop - streams.start)

    def _part(self, learner: Learner) -> Learner:
        """Return a learner with the same numbers, but only this process's streams."""
        return replace(
            learner, config=self._part_config(0), state=state_of(learner.state, self._slices[0])
        )

    def load(self, learner: Learner) -> None:
        """Copy the numbers of a learner that has all its arrays into the networks of all processes.

        Raises:
            EngineError: an array is missing or has a wrong shape or dtype, or a process was lost.
        """
        self._own.load(self._part(learner))
        with self._group.lock:
            self._states = [state_of(learner.state, self._slices[rank]) for rank in self._others()]
            for rank, state in zip(self._others(), self._states, strict=True):
                self._group.send(rank, LoadPart(self._number, state))
            for numbers in self._own.all_numbers():
                self._group.copy_from_first(numbers)

    def store(self, held: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy the numbers into arrays, as `TorchNetwork.store` does. Asks no other process."""
        own = self._own.store(held)
        states = [own["state"], *self._states]
        joined = {
            name: np.concatenate([state[name] for state in states], axis=1) for name in states[0]
        }
        return {**own, "state": joined}

    def train(
        self,
        learner: Learner,
        text: Any,
        plan: Plan,
        position: int,
        results: NDArray[np.float64],
    ) -> StoppedUpdates | None:
        """Apply updates, as `KeptNetwork.train` does. The caller has turned gradients off."""
        plan = checked_plan(plan, self._config, position, text.length)
        windows, plan = self._windows(text.ids, plan)
        known = windows.max(axis=(1, 2), initial=0) < self._characters
        good = len(windows) if known.all() else int(np.argmin(known))
        stopped = None
        if good:
            part = first_updates(plan, good)
            stopped = self._train_parts(learner, windows[:good], part, results[:, :good])
        if stopped is None and good < len(windows):
            return StoppedUpdates(good, bad_id=True)
        return stopped

    def _windows(self, ids: Ids, plan: Plan) -> tuple[Ids, Plan]:
        """Return the windows of all updates, (updates, B, T + 1), and the plan with one start for each window.

        The columns of the plan get the shape of the windows.
        """
        T, updates = self._config.seq_length, len(plan.learning_rates)
        starts, places = plan.starts, plan.starts if plan.places is None else plan.places
        if plan.one_after_another:
            steps = T * np.arange(updates, dtype=np.int64)[:, np.newaxis]
            starts, places = starts + steps, places + steps
        read = starts[..., np.newaxis] + np.arange(T + 1)
        columns = None if plan.columns is None else plan.columns[read]
        return ids[read], replace(plan, starts=starts, places=places, columns=columns)

    def _train_parts(
        self, learner: Learner, windows: Ids, plan: Plan, results: NDArray[np.float64]
    ) -> StoppedUpdates | None:
        """Let each process train on its windows, and put their results together."""
        shares = [(part.stop - part.start) / self._config.batch_size for part in self._slices]
        with self._group.lock, self._whole_updates():
            for rank in self._others():
                ids, own_plan = part_of(windows, plan, self._slices[rank])
                self._group.send(rank, TrainPart(self._number, learner.update, ids, own_plan))
            ids, own_plan = part_of(windows, plan, self._slices[0])
            stopped = self._own.train_ids(learner, ids, own_plan, results)
            parts: list[TrainedPart] = [self._group.receive(rank) for rank in self._others()]
        self._states = [part.state for part in parts]
        done = results.shape[1] if stopped is None else stopped.updates
        losses = results[0, :done]
        losses *= shares[0]
        for share, part in zip(shares[1:], parts, strict=True):
            losses += share * part.losses
        if stopped is None:
            return None
        failed = [stopped.loss, *(part.failed_loss for part in parts)]
        return replace(stopped, loss=float(np.dot(shares, failed)))

    @contextmanager
    def _whole_updates(self) -> Iterator[None]:
        """If a call is interrupted, let no later call train: the other processes would wait for its rest."""
        try:
            yield
        except BaseException:
            self._group.lost = self._group.lost or "an update of several processes was interrupted"
            raise


def close_part(group: ProcessGroup, number: int) -> None:
    """Let all processes forget a network, with the next message."""
    group.later.append(CloseParts((number,)))


def state_of(state: State, streams: slice) -> State:
    """Return copies of the arrays of a state for some of the streams."""
    return {name: array[:, streams].copy() for name, array in state.items()}


def first_updates(plan: Plan, updates: int) -> Plan:
    """Return a plan with only its first updates. It has one start for each window."""
    resets, places = plan.resets, plan.places
    return Plan(
        plan.learning_rates[:updates],
        plan.starts[:updates],
        None if places is None else places[:updates],
        None if resets is None else resets[:updates],
        None if plan.columns is None else plan.columns[:updates],
    )


def part_of(windows: Ids, plan: Plan, streams: slice) -> tuple[Ids, Plan]:
    """Return the ids that some of the streams read, with one axis, and the plan for these ids.

    `windows` has shape (updates, B, T + 1); the plan has one start for each window.
    """
    own = np.ascontiguousarray(windows[:, streams])
    updates, size, length = own.shape
    starts = length * np.arange(updates * size, dtype=np.int64).reshape(updates, size)
    places = plan.starts if plan.places is None else plan.places
    columns = None if plan.columns is None else plan.columns[:, streams].ravel()
    return own.ravel(), replace(plan, starts=starts, places=places[:, streams], columns=columns)
