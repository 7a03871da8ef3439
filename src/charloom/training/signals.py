"""Treats signals as a request to stop: training ends its call, saves, and says so (spec/formats.md:
Steering).

The second Ctrl-C leaves at once; the last checkpoint is then what remains. One key press can send
SIGINT twice, by the terminal and by a program that started us: what comes within a second is one.
"""

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import Any, Final, Self

# Ctrl-C, a polite kill, a terminal that was closed, Ctrl-Break, and what schedulers of batch jobs and
# the system send before a limit of time. SIGQUIT is left alone: it ends a process that shall not
# save.
NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "SIGXCPU", "SIGUSR1", "SIGUSR2")
# A program gives these its own meaning: they are heard only where it did not.
FREE: Final = ("SIGUSR1", "SIGUSR2")

# A function of Python's C API: the address of the handler that the system has for a signal, None for
# the default one.
handler_of_system: Final = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int)(
    ("PyOS_getsig", ctypes.pythonapi)
)

ONE_PRESS_SECONDS: Final = 1.0


def known(module: object = signal) -> tuple[signal.Signals, ...]:
    """The signals that are heard, as far as this system has them: Windows has three."""
    return tuple(getattr(module, name) for name in NAMES if hasattr(module, name))


def is_handled(number: signal.Signals) -> bool:
    """Whether a program handles a signal, also where Python takes its handler for the default one: that
    of `faulthandler.register` is set below Python."""
    return signal.getsignal(number) is not signal.SIG_DFL or handler_of_system(number) is not None


class Halt:
    """Listens to the signals within a `with` statement; called, it says which came, or None.

    `tell` is given a sentence for people when the first comes. Python lets only the main thread of
    the main interpreter listen; anywhere else it hears nothing.
    """

    def __init__(self, tell: Callable[[str], object] = str) -> None:
        self._tell = tell
        self._signal: signal.Signals | None = None
        self._heard_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        for number in known() if main else ():
            before = signal.getsignal(number)
            # A shell starts what runs in the background deaf to Ctrl-C; deaf it stays. A handler that
            # Python does not know, None, could not be given back.
            taken = before in (signal.SIG_IGN, None) or (number.name in FREE and is_handled(number))
            if not taken:
                with suppress(ValueError):  # the main thread of a subinterpreter
                    signal.signal(number, self._hear)
                    self._before[number] = before
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def __call__(self) -> str | None:
        return None if self._signal is None else self._signal.name

    def send_on(self) -> None:
        """Do to the caller what the signal that came would have done: interrupt or end it."""
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self._signal is not None:
            raise SystemExit(self.exit_code)

    @property
    def exit_code(self) -> int:
        """What a shell shows for a process that this signal ended; 0 without one."""
        return 0 if self._signal is None else 128 + self._signal

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        again = self._signal is not None and number == signal.SIGINT
        if again and now - self._heard_at >= ONE_PRESS_SECONDS:
            raise KeyboardInterrupt
        if self._signal is None:
            self._heard_at = now
            self._signal = signal.Signals(number)
            hint = "; again: leave at once" if number == signal.SIGINT else ""
            with suppress(OSError):
                self._tell(f"{self._signal.name}: saving{hint} …")
