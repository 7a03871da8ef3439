"""Makes calls that change the disk fail, as on a full disk, for tests."""

import errno
import os
from pathlib import Path

from reliability.calls import Calls


class FullDisk:
    """Makes the `at`-th call that changes the disk fail, counted from `arm`.

    With `forever`, every later call fails too.
    """

    CHANGES = ("open", "write", "fsync", "rename", "mkdir")

    def __init__(self, monkeypatch, code=errno.ENOSPC):
        self.armed, self.forever, self.at, self.calls, self.code = False, False, 0, 0, code
        Calls(Path("/"), before=self.count, patch=monkeypatch).__enter__()

    def count(self, call):
        """Count a call that changes the disk, and raise OSError if it must fail."""
        if self.armed and call.kind in self.CHANGES:
            self.calls += 1
            if self.calls == self.at or (self.forever and self.calls > self.at):
                raise OSError(self.code, os.strerror(self.code))

    def arm(self, at, forever=False):
        """Make the call number `at`, counted from now, fail."""
        self.armed, self.at, self.calls, self.forever = True, at, 0, forever

    def disarm(self):
        """Let all calls succeed again, and return True if a call failed since `arm`."""
        self.armed = False
        return self.calls >= self.at
