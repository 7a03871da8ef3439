"""Training runs whose updates take seconds of a clock that the test sets, with a time limit."""

from charloom.engines.reference import ReferenceEngine
from charloom.training import in_run_directory, train_in_memory, train_run
from charloom.training.run_costs import Costs
from charloom.training.time_limit import TimeLimit
from small_runs import calls_without_clock, create

SECONDS = 1_000.0
# Planned for a second per update, so for `SECONDS` in all.
SETTINGS = {
    "updates": 1_000,
    "hidden_size": 2,
    "seq_length": 2,
    "schedule": "cosine",
    "warmup": 20,
    "learning_rate": 0.01,
    "optimizer": "adam",
    "report_every": 20,
    "sample_until": 0,
    "save_seconds": 1e9,
}


class Paced(ReferenceEngine):
    """An engine with a clock. Only updates, generated characters and waiting take time on it.

    Args:
        pace: a function that returns how many seconds an update takes, by its number from 0.
        generating: seconds for each generated character.
    """

    def __init__(self, monkeypatch, pace, generating=0.0):
        self.now, self._pace, self._generating = 0.0, pace, generating
        monkeypatch.setattr(in_run_directory.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(in_run_directory.time, "sleep", self.sleep)

    def sleep(self, seconds):
        self.now += seconds

    def train(self, learner, tokens, plan):
        first, count = learner.update, len(plan.learning_rates)
        self.now += sum(map(self._pace, range(first, first + count)))
        return super().train(learner, tokens, plan)

    def generate(self, learner, first, sampler, numbers, state):
        self.now += self._generating * len(numbers)
        return super().generate(learner, first, sampler, numbers, state)


def time_limit(engine, seconds=SECONDS, **costs):
    """Return a limit of `seconds` from the present time of the engine's clock, planned for a second per update."""
    return TimeLimit(seconds, engine.now + seconds, Costs(**{"update": 1.0, **costs}))


def train_paced(path, engine, limit, **settings):
    """Train a new run with a time limit, and yield its events."""
    writer, learner, corpus = create(path, **{**SETTINGS, **settings})
    with writer, calls_without_clock():
        yield from train_run(writer, learner, corpus, engine, limit=limit)


def train_paced_in_memory(learner, corpus, engine, limit):
    """Train a learner with a time limit and without a run directory, and return the events."""
    with calls_without_clock():
        return list(train_in_memory(learner, corpus.ids, engine, limit=limit))
