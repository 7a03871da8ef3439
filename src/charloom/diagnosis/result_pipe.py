"""Carries the results of the child process to its parent through a pipe.

The pipe is the standard output that the child process was started with. Before the user's code runs, the
child process moves the pipe to another file descriptor, so that nothing that is printed goes into it.
Each message is a line that begins with a random token. Lines without the token are ignored.
"""

import base64
import io
import json
import os
import threading
import zipfile
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any, Final

import numpy as np

MOST: Final = 64_000_000  # largest number of bytes of all messages; a genuine diagnosis needs 2 MB


def take_stdout() -> int:
    """Return a file descriptor of the pipe that is the standard output.

    From now on, the standard output goes where the standard error goes. Programs that the user's code
    starts do not inherit the descriptor.
    """
    pipe = os.dup(1)
    os.dup2(2, 1)
    return pipe


class ResultWriter:
    """Writes messages to a pipe.

    Args:
        pipe: the file descriptor of the pipe.
        token: the text at the start of each message.
    """

    def __init__(self, pipe: int, token: str) -> None:
        self._pipe, self._token = pipe, token

    def send(self, **fields: Any) -> None:
        """Write a message with these fields, which must be JSON data. Ignore a closed pipe."""
        data = f"\n{self._token}{json.dumps(fields)}\n".encode()
        with suppress(OSError):
            while data:
                data = data[os.write(self._pipe, data) :]


class ResultReader(threading.Thread):
    """A thread that reads the messages of a child process.

    Args:
        pipe: the pipe from which they are read.
        token: the text at the start of each message.
        too_much: called when the messages are larger than `MOST`, to end the process that sends them.
    """

    def __init__(
        self, pipe: IO[bytes], token: str, too_much: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(daemon=True)
        self._pipe, self._token, self._data = pipe, token.encode(), bytearray()
        self._too_much = too_much
        self.start()

    def run(self) -> None:
        with suppress(OSError, ValueError):
            while block := os.read(self._pipe.fileno(), 1 << 16):
                if self.is_full:
                    continue
                self._data += block
                if len(self._data) > MOST:
                    self._too_much()

    @property
    def is_full(self) -> bool:
        """Whether the messages are larger than `MOST`; then they are ignored."""
        return len(self._data) > MOST

    def finish(self, timeout: float = 2.0) -> list[dict[str, Any]]:
        """Return all messages. Wait at most `timeout` seconds for the end of the pipe, then close it."""
        self.join(timeout)
        with suppress(OSError):
            self._pipe.close()
        if self.is_full:
            return []
        found = []
        for line in bytes(self._data).split(b"\n"):
            if line.startswith(self._token):
                with suppress(ValueError, RecursionError):
                    found.append(json.loads(line[len(self._token) :]))
        return [message for message in found if isinstance(message, dict)]


def packed(arrays: dict[str, Any]) -> str:
    """Return arrays as text."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return base64.b64encode(buffer.getvalue()).decode()


def unpacked(text: str) -> dict[str, Any]:
    """Return the arrays that `packed` made a text of.

    Raises:
        ValueError: the text has another form, or holds more bytes when it is unpacked.
    """
    data = base64.b64decode(text, validate=True)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > len(data):
                raise ValueError("the arrays are compressed.")
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return dict(arrays)
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise ValueError(str(error)) from None
