"""A disk that refuses to be changed, for tests."""

import errno
import os
from pathlib import Path

from reliability.calls import Calls


class FullDisk:
    """A disk that refuses one call: the `at`-th that would change it, once `armed`.

    With `forever`, every call from that one on.
    """

    CHANGES = ("open", "write", "fsync", "rename", "mkdir")

    def __init__(self, monkeypatch, code=errno.ENOSPC):
        self.armed, self.forever, self.at, self.calls, self.code = False, False, 0, 0, code
        Calls(Path("/"), before=self.count, patch=monkeypatch).__enter__()

    def count(self, call):
        """Refuse, if this is the call."""
        if self.armed and call.kind in self.CHANGES:
            self.calls += 1
            if self.calls == self.at or (self.forever and self.calls > self.at):
                raise OSError(self.code, os.strerror(self.code))

    def arm(self, at, forever=False):
        """Refuse the call number `at`, counted from now."""
        self.armed, self.at, self.calls, self.forever = True, at, 0, forever

    def disarm(self):
        """Refuse nothing; whether anything was refused since `arm`."""
        self.armed = False
        return self.calls >= self.at
