"""Keeps a learner's numbers in the layout of the kernels, from one call of the native engine to the next.

Copying the weights of a small network into this layout and back takes longer than an update. So a learner that
is trained lacks its arrays until somebody reads them (`charloom.model.learner.ArrayKeeper`). What is read then
are new arrays. But if something besides the learner holds one of the arrays, such as
`W = learner.parameters["layers.0.W"]`, the numbers are copied before and after each call: W shows each update, and
what is written into it counts.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from sys import getrefcount
from threading import RLock
from typing import Any, Final, Protocol, TypeAlias
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from charloom import _native
from charloom.config import Config
from charloom.engines.base import Array, Ids, Plan
from charloom.engines.native_arguments import (
    Shapes,
    checked_arrays,
    checked_plan,
    checked_slots,
    checked_states,
    checked_text,
)
from charloom.model import Learner, state_arrays
from charloom.model.input_pairs import PAIRS
from charloom.model.learner import ARRAYS, KEEPER
from charloom.model.optimizers import slot_names
from charloom.model.parameters import Parameters

Numbers = NDArray[np.float64]
Network: TypeAlias = "_native._Training[np.float32] | _native._Training[np.float64]"


@dataclass(frozen=True)
class OpenNetwork:
    """A network of the kernels, for the numbers of a learner.

    Attributes:
        network: the network.
        config: the settings for which it was opened.
        shapes: the shape of each parameter by name.
        dtype: the dtype of the parameters.
        pair_inputs: the arrays of the parameter `pairs.weight` by slot name, that of the weights under "". The
            kernels work in these arrays, so they are never copied.
    """

    network: Network
    config: Config
    shapes: Shapes
    dtype: np.dtype[Any]
    pair_inputs: dict[str, Array] = field(default_factory=dict)

    def load(self, learner: Learner) -> None:
        """Copy the numbers of a learner that has all its arrays into this network.

        Raises:
            EngineError: an array is missing, or the kernels cannot use it.
        """
        self.network.load(
            weights=checked_arrays(learner, learner.parameters, self.shapes),
            slots=checked_slots(learner, self.shapes),
            state=checked_states(learner, learner.state, learner.config.batch_size),
        )
        if PAIRS in self.shapes:
            slots = {slot: arrays[PAIRS] for slot, arrays in learner.slots.items()}
            self.pair_inputs.update({"": learner.parameters[PAIRS], **slots})

    def store(self, held: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy the numbers into arrays, and return these as the attributes ARRAYS of a learner.

        `held` has the parameters and slots that must get the numbers; None makes new ones.
        """
        names, streams = slot_names(self.config), self.config.batch_size
        held = held or {
            "parameters": self._new_arrays(""),
            "slots": {name: self._new_arrays(name) for name in names},
        }
        state = {
            name: np.empty(shape, dtype)
            for name, (shape, dtype) in state_arrays(self.config, streams).items()
        }
        self.network.store(
            weights=tuple(held["parameters"].values()),
            slots=tuple(tuple(held["slots"][name].values()) for name in names),
            state=tuple(state.values()),
        )
        return {**held, "state": state}

    def train(
        self,
        learner: Learner,
        text: _native.Text,
        plan: Plan,
        position: int,
        results: Numbers,
        checked: bool = False,
    ) -> _native.TrainResult | None:
        """Apply updates, as `KeptNetwork.train` does.

        The kernels check everything that they read. Only if they refuse it, find the reason, or convert it.
        `checked` says that this was done. `position` is added to the indices of a plan with one start per stream.
        """
        try:
            return self.network.train(
                text=text,
                starts=plan.starts,
                places=plan.places,
                resets=plan.resets,
                position=position,
                learning_rates=plan.learning_rates,
                update=learner.update,
                results=results,
            )
        except (TypeError, ValueError):
            if checked:
                raise
        plan = checked_plan(plan, self.config, position, text.length)
        return self.train(learner, text, plan, 0, results, checked=True)

    def _new_arrays(self, slot: str) -> Parameters:
        """Return arrays for the numbers of a slot; "" stands for the parameters."""
        return {
            name: self.pair_inputs[slot] if name == PAIRS else np.empty(shape, self.dtype)
            for name, shape in self.shapes.items()
        }


class NetworkOpener(Protocol):
    """The part of the native engine that opens networks."""

    threads: int

    def open_network(self, learner: Learner) -> OpenNetwork:
        """Return a network without numbers for a learner that has all its arrays."""


class KeptNetwork:
    """The numbers of one learner in the layout of the kernels, while the learner lacks its arrays."""

    def __init__(self) -> None:
        self._lock = RLock()  # so that no thread reads the learner's arrays while it is trained
        self._network: OpenNetwork | None = None
        self._tokens: Ids | None = None  # of the last call
        self._text: _native.Text  # the same for the kernels
        # Everything on which the network depends, except for the dtype.
        self._made_for: tuple[object, ...] = ()
        KEPT.add(self)

    def unlock(self) -> None:
        """Let the network be used in a forked process, in which the thread that had locked it does not exist."""
        self._lock = RLock()

    def give_back(self, learner: Learner) -> None:
        """Give the learner those of its arrays that it lacks."""
        values = vars(learner)
        with self._lock:
            if self._network is not None and any(name not in values for name in ARRAYS):
                for name, arrays in self._network.store().items():
                    values.setdefault(name, arrays)

    def release(self, learner: Learner) -> None:
        """Give the learner its arrays, and leave it; the next `train` makes it the learner's keeper again."""
        with self._lock:
            self.give_back(learner)
            vars(learner).pop(KEEPER, None)
            self._network = self._tokens = None

    def train(
        self, learner: Learner, engine: NetworkOpener, tokens: Ids, plan: Plan, results: Numbers
    ) -> _native.TrainResult | None:
        """Apply the updates of a plan, and write their losses and norms to the rows of `results`, (2, updates).

        Returns:
            None if all updates were applied; otherwise how many were, and why no more.

        Raises:
            EngineError: an array of the learner, the plan or the text does not suit the kernels.
        """
        made_for = (
            learner.config,
            learner.vocabulary,
            learner.ngrams,
            learner.pairs,
            engine,
            engine.threads,
        )
        values = vars(learner)
        self._lock.acquire()  # `with` would take 0.1 µs longer
        try:
            text = self._text if tokens is self._tokens else self._kept_text(tokens)
            network, held = self._network, None
            if (
                network is None
                or self._made_for != made_for
                or "parameters" in values
                or "slots" in values
                or "state" in values
            ):
                network = self._loaded(learner, engine, made_for)
                values[KEEPER] = (
                    self  # before the arrays are gone, because it may have been released
                )
                held = take_arrays(values)
            try:
                return network.train(learner, text, plan, learner.position, results)
            finally:
                if held is not None:
                    values.update(network.store(held))
        finally:
            self._lock.release()

    def _kept_text(self, tokens: Ids) -> _native.Text:
        """Return a text for the kernels, and keep it for the next call."""
        self._tokens, self._text = None, _native.Text(ids=checked_text(tokens))
        self._tokens = tokens
        return self._text

    def _loaded(
        self, learner: Learner, engine: NetworkOpener, made_for: tuple[object, ...]
    ) -> OpenNetwork:
        """Give the learner all its arrays, and return a network with their numbers."""
        self.give_back(learner)
        network, dtype = self._network, learner.parameters["V"].dtype
        if network is None or (self._made_for, network.dtype) != (made_for, dtype):
            network = self._network = engine.open_network(learner)
            self._made_for = made_for
        network.load(learner)
        return network


KEPT: Final[WeakSet[KeptNetwork]] = WeakSet()  # all networks that exist


def unlock_all() -> None:
    """Unlock all networks, in a forked process."""
    for kept in list(KEPT):
        kept.unlock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=unlock_all)


def take_arrays(values: dict[str, Any]) -> dict[str, Any] | None:
    """Take the arrays from the attributes of a learner.

    Return its parameters and slots if something else holds one of them, otherwise None.
    """
    del values["state"]  # training replaces the state, so nobody expects to see an old one change
    taken = {name: values.pop(name) for name in ("parameters", "slots")}
    return taken if are_held(taken) else None


def are_held(arrays: Mapping[str, Any]) -> bool:
    """Return True if something besides `arrays` may hold one of its arrays, or the memory of one.

    `arrays` has arrays, or mappings of arrays. The inputs of pairs do not matter, because they are never copied.
    """
    for name in arrays:
        if name == PAIRS:
            continue
        if references(arrays, name) > ONE_HOLDER:
            return True
        value = arrays[name]
        if isinstance(value, dict):
            if are_held(value):
                return True
        elif type(value) is not np.ndarray or not value.flags.owndata:
            return True
    return False


def references(arrays: Mapping[str, Any], name: str) -> int:
    """Return how many references to a value the interpreter counts, with those of this function."""
    value = arrays[name]
    return getrefcount(value)


ONE_HOLDER: Final = references({"": np.empty(0)}, "")
