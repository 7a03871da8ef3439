"""Turns an error into an exit code and one sentence: no command shows a traceback to a user.

0 done, 1 a check that failed, 2 a user's mistake, 130 after SIGINT, 143 after SIGTERM, 128 and its
number after any other signal that a training saved at.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import typer
from typer.core import TyperGroup

from charloom.cli.terminal import say
from charloom.errors import CharloomError
from charloom.spelling import shortened

CHECK_FAILED: Final = 1
MISTAKE: Final = 2
INTERRUPTED: Final = 130


class Guarded(TyperGroup):
    """The group of all commands: what they raise ends as a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a disk that is full, or a pipe that is closed, shows here
        except CharloomError as error:
            fail(error.message)
        except BrokenPipeError:
            # The reader of stdout has enough (`| head`): that is no failure.
            forget_stdout()
            raise typer.Exit(0) from None
        except MemoryError:
            fail("there is not enough memory for this; use a smaller --hidden-size or text.")
        except KeyboardInterrupt:
            with suppress(OSError):
                say("interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except OSError as error:
            # What the parts did not foresee: a device, a network drive, a limit of the system.
            try:
                sys.stdout.flush()
            except OSError:
                forget_stdout()
            where = f"{shortened(Path(str(error.filename)))}: " if error.filename else ""
            fail(f"{where}{error.strerror or error}.")
        return result


def fail(sentence: str) -> NoReturn:
    """One sentence, and the exit code of a user's mistake."""
    with suppress(OSError):
        say(sentence)
    raise typer.Exit(MISTAKE) from None


def forget_stdout() -> None:
    """Let what still waits for stdout go nowhere: Python writes it when it ends, in vain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
