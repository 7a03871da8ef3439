"""Describes damage to a part of a run as a value, so that functions can return it and need not raise.

A part is a file or a checkpoint. The inspection of a run reads all of its parts. The code that resumes or
shows the run decides which damage matters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from charloom.errors import DamagedError, NotAModelError

T = TypeVar("T")


@dataclass(frozen=True)
class Damage:
    """The reason why a part of a run, such as a file or a checkpoint, cannot be used.

    Attributes:
        message: a sentence that names the file or checkpoint. It may contain marks that
            `charloom.messages` replaces by the names of arguments and commands.
        missing: True if the part does not exist, False if it exists but is damaged.
    """

    message: str
    missing: bool = False

    def refuse(self, advice: str = "") -> NoReturn:
        """Raise an error with `message`, followed by `advice`.

        Raises:
            NotAModelError: the file or checkpoint that this object describes is missing.
            DamagedError: this file or checkpoint is damaged.
        """
        message = f"{self.message} {advice}" if advice else self.message
        raise NotAModelError(message) if self.missing else DamagedError(message)


def attempt(read: Callable[[], T]) -> T | Damage:
    """Return the result of `read`. If it raises DamagedError or NotAModelError, return a `Damage`.

    Other errors of `read` are not caught.
    """
    try:
        return read()
    except DamagedError as error:
        return Damage(error.message)
    except NotAModelError as error:
        return Damage(error.message, missing=True)


def require(part: T | Damage) -> T:
    """Return `part`; if `part` is a `Damage`, raise the error that it describes."""
    if isinstance(part, Damage):
        part.refuse()
    return part


def intact(part: T | Damage) -> T | None:
    """Return `part`; None if `part` is a `Damage`."""
    return None if isinstance(part, Damage) else part
