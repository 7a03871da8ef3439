"""Every error that a user can cause, each one clear sentence.

An error says what was given, what was wanted and how to mend it. It knows nothing of terminals:
the command line prints the sentence and chooses the exit code.

    CharloomError
    ├── ConfigError               a setting out of its range, or settings that contradict each other
    ├── TextError                 a text that cannot be learnt from
    │   ├── EncodingError         bytes that are not UTF-8 text (has .offset, in bytes)
    │   └── UnknownCharacterError a character outside the vocabulary (has .character, .position)
    ├── EngineError               arrays that do not fit: shape, dtype, contiguity, ids out of range
    ├── DivergedError             a loss or a gradient stopped being finite
    ├── MissingPartError          an optional part is not installed
    ├── DoctorError               a function under the doctor crashed, or returned no gradients
    └── StoreError                what is kept on disk
        ├── NotAModelError        nothing there that could be a run, a checkpoint or a model
        ├── DamagedError          a checkpoint or model whose bytes are not what was written
        ├── NewerFormatError      written by a later charloom: intact, and not for this one
        ├── RunExistsError        a new run was asked for where one exists
        ├── RunInUseError         another process writes this run
        ├── ReadError             the disk refused a read: failing, gone, not allowed
        └── WriteError            the disk refused a write: full, read-only, gone
"""

from typing import Any

from charloom.messages import for_python


class CharloomError(Exception):
    """The root of everything a user can cause.

    Its text is for people who called a Python function; `message` is the marked message, which the
    other faces spell in their own way (`charloom.messages`).
    """

    @property
    def message(self) -> str:
        """The marked message, to be spelled or to become part of another one."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return for_python(self.message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """How it is pickled and copied: with its attributes, whatever its constructor takes."""
        return _made_again, (type(self), self.args), self.__dict__


def _made_again(kind: type[CharloomError], args: tuple[Any, ...]) -> CharloomError:
    """An error of that kind that has only its arguments."""
    error = kind.__new__(kind)
    error.args = args
    return error


class ConfigError(CharloomError):
    """A setting is out of its range, or two settings contradict each other."""


class TextError(CharloomError):
    """A text that cannot be learnt from: missing, empty, too short, of one character."""


class EncodingError(TextError):
    """Bytes that are not UTF-8 text; `offset` is the position of the first bad byte."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class UnknownCharacterError(TextError):
    """A character outside the vocabulary; `position` counts characters from 0."""

    def __init__(self, message: str, character: str, position: int) -> None:
        super().__init__(message)
        self.character = character
        self.position = position


class EngineError(CharloomError):
    """Arrays that do not fit the learner: shape, dtype, contiguity, or ids out of range."""


class DivergedError(CharloomError):
    """A loss or a gradient is no longer finite; the update was not applied."""


class MissingPartError(CharloomError):
    """An optional part is not installed; the text says which extra brings it."""


class StoreError(CharloomError):
    """Something about what is kept on disk."""


class NotAModelError(StoreError):
    """The path is no run directory, no checkpoint directory and no model file."""


class DamagedError(StoreError):
    """A checkpoint or model whose bytes are not what was written."""


class NewerFormatError(StoreError):
    """A file that a later charloom wrote: it is intact, and this one must not touch it."""


class RunExistsError(StoreError):
    """A new run was asked for in a directory that already holds one."""


class RunInUseError(StoreError):
    """Another process holds the lock of this run."""


class ReadError(StoreError):
    """The disk refused a read: nothing is known about what is there, so nothing may be given up."""


class WriteError(StoreError):
    """The disk refused a write: full, read-only or gone."""


class DoctorError(CharloomError):
    """A function that the doctor cannot judge: it crashed, ran too long, or returned no gradients."""


def message_of(error: BaseException) -> str:
    """What an error says, to become part of another message; marked where it is ours."""
    return error.message if isinstance(error, CharloomError) else str(error)
