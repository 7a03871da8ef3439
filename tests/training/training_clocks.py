"""An engine and a clock whose seconds the test sets."""

from charloom.engines.reference import ReferenceEngine
from charloom.training import in_run_directory


class Timed(ReferenceEngine):
    """An engine with a clock. A call that trains takes a second, and one that generates takes an hour."""

    seconds = 0.0

    def train(self, *given, **named):
        self.seconds += 1.0
        return super().train(*given, **named)

    def generate(self, *given, **named):
        self.seconds += 3_600.0
        return super().generate(*given, **named)


class Waiting:
    """A clock on which only waiting takes time. It calls `action` after `seconds` of waiting."""

    def __init__(self, monkeypatch, seconds=0.0, action=lambda: None):
        self.now, self.waited, self._seconds, self._action = 0.0, 0.0, seconds, action
        monkeypatch.setattr(in_run_directory.time, "monotonic", self.clock)
        monkeypatch.setattr(in_run_directory.time, "sleep", self.sleep)

    def clock(self):
        self.now += 1e-6  # so that saves fall due
        return self.now

    def sleep(self, seconds):
        before, self.waited = self.waited, self.waited + seconds
        self.now += seconds
        if before < self._seconds <= self.waited:
            self._action()
