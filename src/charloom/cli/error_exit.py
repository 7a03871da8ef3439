"""Reports an error as one sentence and an exit code, so that no command prints a traceback.

Exit codes: 0 success, 1 a check failed, 2 a user's mistake, 130 after SIGINT, 143 after SIGTERM. After
any other signal that made a training run save and stop, the code is 128 plus the signal's number.
"""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from charloom.cli.reading_line import reading_display
from charloom.cli.terminal import clear_line, say
from charloom.errors import CharloomError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.reading_progress import reading_shown_by

CHECK_FAILED: Final = 1
USAGE_ERROR: Final = 2
INTERRUPTED: Final = 130


class ErrorReportingGroup(TyperGroup):
    """The group of all commands. If a command raises an error, the group prints it and sets the exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            with reading_shown_by(reading_display):
                result = super().invoke(ctx)
            sys.stdout.flush()  # this raises OSError if the disk is full or the pipe is closed
        except CharloomError as error:
            fail(error.message)
        except typer.BadParameter as error:
            sentence = wrong_number(error)
            if sentence is None:
                raise
            fail(sentence)
        except BrokenPipeError:
            # The reader of stdout, such as `| head`, closed the pipe: this is not a failure.
            discard_stdout()
            raise typer.Exit(0) from None
        except MemoryError:
            smaller = argument("hidden_size")
            fail(f"there is not enough memory; use a smaller {smaller} or a shorter text.")
        except KeyboardInterrupt:
            interrupt("interrupted.")
        except OSError as error:
            # An error of the system for which charloom has no message, such as a lost network drive or
            # too many open files.
            try:
                sys.stdout.flush()
            except OSError:
                discard_stdout()
            where = f"{shortened(Path(str(error.filename)))}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}.")
        return result


def wrong_number(error: typer.BadParameter) -> str | None:
    """Return a sentence saying that an option needs a number and got another value.

    Return None if this is not the cause of `error`.
    """
    # `error.__cause__` is an error of the library Pydantic, which checks the values of options.
    details: list[dict[str, Any]] = getattr(error.__cause__, "errors", list)()
    if not details or error.param is None:
        return None
    wanted = {"int": "a whole number", "float": "a number"}.get(details[0]["type"].split("_")[0])
    if wanted is None:
        return None
    return f"{error.param.opts[0]} is {shortened(details[0]['input'])}; it must be {wanted}."


def fail(sentence: str) -> NoReturn:
    """Print `sentence` and exit with code 2, which means a user's mistake."""
    clear_line()
    say(sentence)
    raise typer.Exit(USAGE_ERROR) from None


def interrupt(sentence: str, code: int = INTERRUPTED) -> NoReturn:
    """Print `sentence` and exit with `code`, by default 130, which means that the user pressed Ctrl-C."""
    clear_line()
    say(sentence)
    raise typer.Exit(code) from None


@contextmanager
def interruption_message(consequence: str) -> Iterator[Callable[[], None]]:
    """If a signal such as Ctrl-C's ends the `with` block, print that and exit with the signal's code.

    Yield a function that ends the block if a signal was received; long work calls it now and then
    (`ImmediateHalt`).

    Args:
        consequence: the end of the message, such as "no run was made".
    """
    from charloom.training.stop_signals import ImmediateHalt, SignalReceived

    with ImmediateHalt() as halt:
        try:
            yield halt.raise_received
            halt.raise_received()
        except (KeyboardInterrupt, SignalReceived):
            by = "" if halt() in (None, "SIGINT") else f" by {halt()}"
            interrupt(f"interrupted{by}; {consequence}.", halt.exit_code or INTERRUPTED)


def discard_stdout() -> None:
    """Discard buffered output, which Python would otherwise try to write when it exits."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
