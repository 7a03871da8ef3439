"""All errors that a user can cause.

Each message says what was given, what was wanted and how to fix it. The errors do not depend on
the command line, which prints the message and chooses the exit code.

    CharloomError
    ├── ConfigError               a setting out of its range, or settings that contradict each other
    ├── TextError                 a text that cannot be trained on
    │   ├── EncodingError         bytes that are not UTF-8 text (has .offset, in bytes)
    │   └── UnknownCharacterError a character outside the vocabulary (has .character, .position)
    ├── EngineError               arrays that do not fit: shape, dtype, contiguity, ids out of range
    ├── DivergedError             a loss or a gradient stopped being finite
    ├── MissingPartError          an optional part is not installed
    ├── HubError                  a hub of models refused the files, or could not be reached
    ├── StudyError                a study that cannot be continued, or whose worker processes fail
    ├── DoctorError               a function under the doctor crashed, or returned no gradients
    │   └── SeveralFunctionsError a file has several functions to check (has .functions)
    └── StoreError                a problem with runs, checkpoints or models on disk
        ├── NotAModelError        the path is not a run, a checkpoint or a model
        ├── DamagedError          a checkpoint or model has other bytes than were written
        ├── UnregisteredCellError a model names a cell that is not registered
        ├── NewerFormatError      a later charloom wrote the file; this one cannot read it
        ├── RunExistsError        the directory for a new run already holds one
        ├── RunInUseError         another process writes this run
        ├── ReadError             reading from disk failed: faulty disk, missing, no permission
        └── WriteError            writing to disk failed: disk full, read-only, gone
"""

from collections.abc import Sequence
from typing import Any

from charloom.messages import for_python


class CharloomError(Exception):
    """The base class of all errors that a user can cause.

    `str(error)` is the message as Python users read it. In `error.message`, marks stand for the
    names of arguments and commands, because the command line and the web page name them differently
    (`charloom.messages`).
    """

    @property
    def message(self) -> str:
        """Return the message with marks that stand for the names of arguments and commands."""
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return for_python(self.message)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy the error with its attributes, without calling its constructor."""
        return _made_again, (type(self), self.args), self.__dict__


def _made_again(kind: type[CharloomError], args: tuple[Any, ...]) -> CharloomError:
    """Return an error of class `kind` with the arguments `args` and no other attributes."""
    error = kind.__new__(kind)
    error.args = args
    return error


class ConfigError(CharloomError):
    """A setting is out of its range, or two settings contradict each other."""


class TextError(CharloomError):
    """A text that cannot be trained on: missing, empty, too short, or with only one character."""


class EncodingError(TextError):
    """Bytes that are not UTF-8 text; `offset` is the index of the first bad byte, from 0."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class UnknownCharacterError(TextError):
    """A character outside the vocabulary; `position` is its index in the text, from 0."""

    def __init__(self, message: str, character: str, position: int) -> None:
        super().__init__(message)
        self.character = character
        self.position = position


class EngineError(CharloomError):
    """Arrays that do not fit the learner: shape, dtype, contiguity, or ids out of range."""


class DivergedError(CharloomError):
    """A loss or a gradient is no longer finite; the update was not applied."""


class MissingPartError(CharloomError):
    """An optional package is not installed; the message has the pip command that installs it."""


class HubError(CharloomError):
    """A hub of models refused the files, or could not be reached; the message has its reason."""


class StudyError(CharloomError):
    """A study cannot be continued, or its worker processes fail."""


class StoreError(CharloomError):
    """A problem with runs, checkpoints or models on disk."""


class NotAModelError(StoreError):
    """The path is not a run directory, a checkpoint directory, a model directory or a model file."""


class DamagedError(StoreError):
    """A checkpoint or model on disk has other bytes than were written."""


class NewerFormatError(StoreError):
    """A later charloom wrote the file, so this one cannot read it. The file is intact."""


class UnregisteredCellError(StoreError):
    """A model or a run names a cell that is neither built in nor registered here. The file is intact."""


class RunExistsError(StoreError):
    """The directory for a new run already holds a run."""


class RunInUseError(StoreError):
    """Another process holds the lock of this run."""


class ReadError(StoreError):
    """Reading from disk failed. The data may still be intact, so nothing may be deleted."""


class WriteError(StoreError):
    """Writing to disk failed: the disk is full, read-only or gone."""


class DoctorError(CharloomError):
    """The doctor cannot check a function: it crashed, ran too long, or returned no gradients."""


class SeveralFunctionsError(DoctorError):
    """A file has several functions that the doctor could check.

    Attributes:
        functions: their names, in the order of the file.
    """

    def __init__(self, message: str, functions: Sequence[str]) -> None:
        super().__init__(message)
        self.functions = tuple(functions)


def message_of(error: BaseException) -> str:
    """Return the message of an error, to be put into another message.

    In the message of a CharloomError, marks stand for the names of arguments and commands
    (`CharloomError.message`).
    """
    return error.message if isinstance(error, CharloomError) else str(error)
