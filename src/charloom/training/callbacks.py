"""Calls functions of the user between two updates of a training run, at exact updates.

This module does not know how training works, and does not use the disk.
"""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from charloom.config import as_whole
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.model import Learner
from charloom.model.changed_parameters import require_sound_parameters
from charloom.model.schedule import next_multiple


@dataclass(frozen=True)
class Callback:
    """A function that training calls between two updates, after the records and samples of the update.

        charloom.train("book.txt", callbacks=[charloom.Callback(watch, every=100, at=(0, 1, 10))])

    Give `every`, `at`, or both.

    Attributes:
        function: receives the `charloom.research.Learner` that is trained. It may read everything, and change
            the arrays in place. If it returns a string that is not empty, training stops for this reason. Every
            other value continues.
        every: call the function after each multiple of this number of updates.
        at: also call it after these numbers of updates; 0 is before the first update.

    Raises:
        ConfigError: `function` cannot be called, or a number is out of its range, or neither `every` nor `at`
            is given.
    """

    function: Callable[[Learner], object]
    every: int | None = None
    at: Collection[int] = ()

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ConfigError(
                f"the function of a callback is {shortened(self.function)}; it must be a function that takes the learner."
            )
        if self.every is not None:
            object.__setattr__(self, "every", self._whole("every", self.every, least=1))
        if not isinstance(self.at, Iterable) or isinstance(self.at, str | bytes):
            raise ConfigError(
                f"at is {shortened(self.at)}; it must be a list of updates, such as (1, 10)."
            )
        updates = {self._whole("at", update, least=0) for update in self.at}
        object.__setattr__(self, "at", tuple(sorted(updates)))
        if self.every is None and not self.at:
            raise ConfigError(
                "a callback needs to know after which updates it is called: give every=100, at=(1, 10), or both."
            )

    def _whole(self, name: str, value: object, least: int) -> int:
        """Return `value`, a number of updates in the argument `name`, as a plain int. Raise ConfigError if it is not one."""
        whole = as_whole(value)
        if whole is None or whole < least:
            raise ConfigError(
                f"{name} is {shortened(value)}; it must be a whole number of updates from {least} on."
            )
        return whole

    def is_due(self, update: int) -> bool:
        """Return True if the function must be called after update `update`."""
        regular = self.every is not None and update > 0 and update % self.every == 0
        return regular or update in self.at

    def next_due(self, update: int) -> int | None:
        """Return the next update after `update` at which the function must be called; None if there is none."""
        ahead = [due for due in self.at if due > update][:1]
        if self.every is not None:
            ahead.append(next_multiple(update, self.every))
        return min(ahead, default=None)


class Callbacks:
    """The callbacks of one training run.

    Attributes:
        error: the exception that a callback raised; None if none did.

    Args:
        callbacks: the callbacks in the order in which they are called.

    Raises:
        ConfigError: `callbacks` is not a list of `Callback`.
    """

    def __init__(self, callbacks: Iterable[Callback] = ()) -> None:
        given: list[object] = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
        self._callbacks = [item for item in given if isinstance(item, Callback)]
        if not isinstance(callbacks, Iterable) or len(self._callbacks) < len(given):
            raise ConfigError(
                f"callbacks is {shortened(callbacks)}; it must be a list of charloom.Callback, such "
                f"as [charloom.Callback(function, every=100)]."
            )
        self.error: Exception | None = None

    def next_due(self, update: int) -> int | None:
        """Return the next update after `update` at which a callback must be called; None if there is none."""
        ahead = [callback.next_due(update) for callback in self._callbacks]
        return min((due for due in ahead if due is not None), default=None)

    def call(self, learner: Learner) -> str | None:
        """Call all callbacks that are due after the learner's last update, in their order.

        If they change the parameters, the learner forgets the losses that were measured with the earlier ones.

        Returns:
            The first reason to stop that one of them returned; None if training continues.

        Raises:
            ConfigError: a callback gave a parameter another shape or dtype.
            DivergedError: a callback gave a parameter numbers that are not finite.
        """
        due = [callback for callback in self._callbacks if callback.is_due(learner.update)]
        if not due:
            return None
        measured = {} if learner.start_losses is None else copies(learner)
        try:
            returned = [callback.function(learner) for callback in due]
            require_sound_parameters(learner)
        except Exception as error:
            self.error = error
            raise
        if measured and not same_arrays(measured, learner):
            learner.start_losses = None
        return next((value for value in returned if isinstance(value, str) and value), None)


def copies(learner: Learner) -> dict[str, np.ndarray]:
    """Return a copy of each parameter of a learner, by name."""
    return {name: array.copy() for name, array in learner.parameters.items()}


def same_arrays(before: dict[str, np.ndarray], learner: Learner) -> bool:
    """Return True if the parameters of a learner equal the copies in `before`."""
    return all(np.array_equal(array, learner.parameters[name]) for name, array in before.items())


NO_CALLBACKS: Final = Callbacks()
