"""A clock for tests, on which time passes only as a test says."""


class Clock:
    """A clock whose seconds pass only when `take` is called."""

    def __init__(self, monkeypatch, *modules):
        self.now = 100.0
        for module in modules:
            monkeypatch.setattr(module.time, "monotonic", lambda: self.now)
            monkeypatch.setattr(module.time, "perf_counter", lambda: self.now)

    def take(self, seconds, result=None):
        """Let time pass, and return the result."""
        self.now += seconds
        return result
