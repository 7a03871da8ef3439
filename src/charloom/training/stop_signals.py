"""Turns signals into a request to stop: training finishes its call of the engine, saves and ends.

Before training, when there is nothing to save, a signal ends the work immediately.

A second Ctrl-C ends the process immediately, without saving. One key press can send SIGINT twice: once
from the terminal and once from the program that started this process. So two SIGINTs within a second
count as one (spec/formats.md: Steering).
"""

import ctypes
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, Final, Self

# The signals that end training, in the order of their causes: Ctrl-C, kill, a closed terminal, Ctrl-Break, and
# three signals that batch systems send before a time limit. SIGQUIT is not among them, so that users can end a
# process without saving.
SIGNAL_NAMES: Final = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK", "SIGXCPU", "SIGUSR1", "SIGUSR2")
# Signals that programs may use for their own purposes. `Halt` handles them only if no other handler is set.
USER_SIGNALS: Final = ("SIGUSR1", "SIGUSR2")

# A function of Python's C API. It returns the address of the system's handler for a signal, or None for
# the default handler.
handler_of_system: Final = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_int)(
    ("PyOS_getsig", ctypes.pythonapi)
)

ONE_PRESS_SECONDS: Final = 1.0


def available_signals(module: object = signal) -> tuple[signal.Signals, ...]:
    """Return the signals of `SIGNAL_NAMES` that this system has. Windows has three of them."""
    return tuple(getattr(module, name) for name in SIGNAL_NAMES if hasattr(module, name))


def is_handled(number: signal.Signals) -> bool:
    """Return True if a handler is set for the signal `number`, in Python or in C.

    `signal.getsignal` does not show a handler that was set in C, for example by `faulthandler.register`.
    """
    return signal.getsignal(number) is not signal.SIG_DFL or handler_of_system(number) is not None


class Halt:
    """Receives signals within a `with` statement.

    A call of the object returns the name of the received signal; None if there was no signal. Python allows
    signal handlers only in the main thread of the main interpreter. Anywhere else, the object receives no
    signals.

    Args:
        on_message: called with a message for the user at the first signal.
    """

    def __init__(self, on_message: Callable[[str], object] = str) -> None:
        self._on_message = on_message
        self._signal: signal.Signals | None = None
        self._received_at = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        for number in available_signals() if main else ():
            before = signal.getsignal(number)
            # A background process of a shell ignores SIGINT, and must continue to ignore it. If the present
            # handler was not set in Python, `before` is None, and `__exit__` could not restore the handler.
            taken = before in (signal.SIG_IGN, None) or (
                number.name in USER_SIGNALS and is_handled(number)
            )
            if not taken:
                # Python raises ValueError in a subinterpreter, where it does not allow signal handlers.
                with suppress(ValueError):
                    signal.signal(number, self._receive)
                    self._before[number] = before
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def __call__(self) -> str | None:
        return None if self._signal is None else self._signal.name

    def raise_received(self) -> None:
        """Raise KeyboardInterrupt if SIGINT was received, and SystemExit if another signal was received."""
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self._signal is not None:
            raise SystemExit(self.exit_code)

    @property
    def exit_code(self) -> int:
        """The exit code that a shell shows for the received signal; 0 if no signal was received."""
        return 0 if self._signal is None else 128 + self._signal

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        again = self._signal is not None and number == signal.SIGINT
        if again and now - self._received_at >= ONE_PRESS_SECONDS:
            raise KeyboardInterrupt
        if self._signal is None:
            self._received_at = now
            self._signal = signal.Signals(number)
            hint = "; press again to quit without saving" if number == signal.SIGINT else ""
            with suppress(OSError):
                self._on_message(f"{self._signal.name}: saving{hint} …")


class SignalReceived(BaseException):
    """A signal asked the process to end.

    This is not a KeyboardInterrupt: after one has passed through `exec` of a string, as in the import of a module
    with a dataclass, `python -m` ends with the exit code of SIGINT, even if the KeyboardInterrupt was caught.
    """


class ImmediateHalt(Halt):
    """Receives signals as `Halt` does, and raises SignalReceived at the first one. For work that saves nothing.

    An exception of a signal handler is lost if Python or a library ignores the exceptions of the code that runs then,
    such as a callback. So also call `raise_received` now and then.
    """

    def raise_received(self) -> None:
        """Raise SignalReceived if a signal was received."""
        if self._signal is not None:
            raise SignalReceived

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._signal is not None and now - self._received_at < ONE_PRESS_SECONDS:
            return
        self._received_at = now
        self._signal = signal.Signals(number)
        raise SignalReceived
