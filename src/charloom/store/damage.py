"""The outcome of reading a part of a run that is damaged or missing, as a value instead of an error.

The inspection of a run reads all of its parts. The code that resumes or shows the run decides which damage matters.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn, TypeVar

from charloom.errors import DamagedError, NotAModelError

T = TypeVar("T")


@dataclass(frozen=True)
class Damage:
    """Why a part of a run cannot be used.

    Attributes:
        message: a marked sentence that names the file.
        missing: True if the part is not there, False if it is there and damaged.
    """

    message: str
    missing: bool = False

    def refuse(self, advice: str = "") -> NoReturn:
        """Raise the error with this message, followed by `advice`.

        Raises:
            NotAModelError: the part is missing.
            DamagedError: the part is damaged.
        """
        message = f"{self.message} {advice}" if advice else self.message
        raise NotAModelError(message) if self.missing else DamagedError(message)


def attempt(read: Callable[[], T]) -> T | Damage:
    """Return the result of `read`, or the damage that it met. Other errors pass."""
    try:
        return read()
    except DamagedError as error:
        return Damage(error.message)
    except NotAModelError as error:
        return Damage(error.message, missing=True)


def require(part: T | Damage) -> T:
    """Return a part that was read; raise its error if it is damaged or missing."""
    if isinstance(part, Damage):
        part.refuse()
    return part


def intact(part: T | Damage) -> T | None:
    """Return a part that was read; None if it is damaged or missing."""
    return None if isinstance(part, Damage) else part


def damage_in(part: T | Damage) -> Damage | None:
    """Return the damage of a part; None if the part was read."""
    return part if isinstance(part, Damage) else None
