"""Keeps a learner's numbers in the layout of an engine, from one call of `train` to the next.

Copying the weights into this layout and back may take longer than an update. So a learner that
is trained lacks its arrays until somebody reads them (`charloom.model.learner.ArrayKeeper`). What is read then
are new arrays. But if something besides the learner holds one of the arrays, such as
`W = learner.parameters["layers.0.W"]`, the numbers are copied before and after each call: W shows each update, and
what is written into it counts.
"""

import os
from collections.abc import Mapping
from sys import getrefcount
from threading import RLock
from typing import Any, Final, Protocol
from weakref import WeakSet

import numpy as np
from numpy.typing import NDArray

from charloom.engines.base import Ids, Plan
from charloom.model import Learner
from charloom.model.learner import ARRAYS, KEEPER

Numbers = NDArray[np.float64]


class Stopped(Protocol):
    """Why not all updates of a call were applied.

    Attributes:
        updates: how many were applied.
        loss: the loss of the next one, which is not finite, or whose gradient is not.
        norm: the norm of its gradient.
        bad_id: True if the next window has an id outside the vocabulary; it then has no loss.
    """

    @property
    def updates(self) -> int: ...
    @property
    def loss(self) -> float: ...
    @property
    def norm(self) -> float: ...
    @property
    def bad_id(self) -> bool: ...


class OpenNetwork(Protocol):
    """A network in the layout of an engine, for the numbers of a learner.

    Attributes:
        dtype: the dtype of the parameters.
        never_copied: the parameters whose arrays the engine itself works in.
    """

    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def never_copied(self) -> frozenset[str]: ...

    def load(self, learner: Learner) -> None:
        """Copy the numbers of a learner that has all its arrays into this network.

        Raises:
            EngineError: an array is missing, or the engine cannot use it.
        """

    def store(self, held: dict[str, Any] | None = None) -> dict[str, Any]:
        """Copy the numbers into arrays, and return these as the attributes ARRAYS of a learner.

        `held` has the parameters and slots that must get the numbers; None makes new ones.
        """

    def train(
        self, learner: Learner, text: Any, plan: Plan, position: int, results: Numbers
    ) -> Stopped | None:
        """Apply updates, as `KeptNetwork.train` does.

        `text` is a text of the engine. `position` is added to the indices of a plan with one start per stream.
        """


class NetworkOpener(Protocol):
    """The part of an engine that opens networks and texts."""

    threads: int

    def open_network(self, learner: Learner) -> OpenNetwork:
        """Return a network without numbers for a learner that has all its arrays."""

    def open_text(self, tokens: Ids) -> Any:
        """Return the ids of a text in the form for the engine."""


class KeptNetwork:
    """The numbers of one learner in the layout of an engine, while the learner lacks its arrays."""

    def __init__(self) -> None:
        self._lock = RLock()  # so that no thread reads the learner's arrays while it is trained
        self._network: OpenNetwork | None = None
        self._tokens: Ids | None = None  # of the last call
        self._text: Any  # the same for the engine
        self._reader: NetworkOpener | None = None  # the engine that opened the text
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
    ) -> Stopped | None:
        """Apply the updates of a plan, and write their losses and norms to the rows of `results`, (2, updates).

        Returns:
            None if all updates were applied; otherwise how many were, and why no more.

        Raises:
            EngineError: an array of the learner, the plan or the text does not suit the engine.
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
            known = tokens is self._tokens and engine is self._reader
            text = self._text if known else self._kept_text(tokens, engine)
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
                held = take_arrays(values, network.never_copied)
            try:
                return network.train(learner, text, plan, learner.position, results)
            finally:
                if held is not None:
                    values.update(network.store(held))
        finally:
            self._lock.release()

    def _kept_text(self, tokens: Ids, engine: NetworkOpener) -> Any:
        """Return a text for the engine, and keep it for the next call."""
        self._tokens, self._text = None, engine.open_text(tokens)
        self._tokens, self._reader = tokens, engine
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


def keeper_of(learner: Learner) -> KeptNetwork:
    """Return what keeps the learner's numbers in the layout of an engine."""
    kept: KeptNetwork | None = vars(learner).get(KEEPER)
    return vars(learner).setdefault(KEEPER, KeptNetwork()) if kept is None else kept


def take_arrays(values: dict[str, Any], never_copied: frozenset[str]) -> dict[str, Any] | None:
    """Take the arrays from the attributes of a learner.

    Return its parameters and slots if something else holds one of them, otherwise None. The arrays of the
    parameters in `never_copied` do not matter.
    """
    del values["state"]  # training replaces the state, so nobody expects to see an old one change
    taken = {name: values.pop(name) for name in ("parameters", "slots")}
    return taken if are_held(taken, never_copied) else None


def are_held(arrays: Mapping[str, Any], never_copied: frozenset[str]) -> bool:
    """Return True if something besides `arrays` may hold one of its arrays, or the memory of one.

    `arrays` has arrays, or mappings of arrays. Those with a name in `never_copied` do not matter.
    """
    for name in arrays:
        if name in never_copied:
            continue
        if references(arrays, name) > ONE_HOLDER:
            return True
        value = arrays[name]
        if isinstance(value, dict):
            if are_held(value, never_copied):
                return True
        elif type(value) is not np.ndarray or not value.flags.owndata:
            return True
    return False


def references(arrays: Mapping[str, Any], name: str) -> int:
    """Return how many references to a value the interpreter counts, with those of this function."""
    value = arrays[name]
    return getrefcount(value)


ONE_HOLDER: Final = references({"": np.empty(0)}, "")
