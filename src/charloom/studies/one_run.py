"""Trains one run of a study, in memory or in a run directory."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from charloom.config import Config
from charloom.cooperative import run_all_slices
from charloom.engines import Engine, engine_for
from charloom.errors import CharloomError, DamagedError
from charloom.messages import for_file
from charloom.model import Learner, averaged, new_learner
from charloom.model.learner import finished_model
from charloom.run_file_names import METRICS
from charloom.store import replace_file
from charloom.store.journal import read_lines
from charloom.store.model_file import model_bytes
from charloom.store.run_inspection import read_events
from charloom.studies.results import CURVE, FAILED, FINISHED, PRUNED, RunResult
from charloom.text import Corpus, windows_of
from charloom.training import Best, Ended, Record, Warned, train_in_memory
from charloom.training.start_measurement import measure_starts

HaltCheck = Callable[[], str | None]
# Returns True if a run must end because its validation loss (in nats) after an update is too high.
PruneCheck = Callable[[int, float], bool]


class Curve:
    """The records of a run as columns."""

    def __init__(self) -> None:
        self.columns: dict[str, list[float | None]] = {name: [] for name in CURVE}

    def add(self, **record: float | None) -> None:
        """Add a record. Remove those that it repeats, because training went back to an earlier update."""
        update = record["update"]
        assert update is not None
        updates = self.columns["update"]
        while updates and updates[-1] is not None and updates[-1] >= update:
            for column in self.columns.values():
                column.pop()
        for name, column in self.columns.items():
            column.append(record.get(name))

    def fields(self) -> dict[str, Any]:
        """Return the fields of a result that follow from the records."""
        validated = [
            (nats, update)
            for nats, update in zip(
                self.columns["validation_nats"], self.columns["update"], strict=True
            )
            if nats is not None
        ]
        best = min(validated, default=(None, None))
        last = self.columns["train_nats"][-1] if self.columns["train_nats"] else None
        curve = dict(self.columns)
        if not validated:
            del curve["validation_nats"]
        return {
            "curve": curve,
            "train_nats": last,
            "validation_nats": best[0],
            "best_update": best[1],
        }


def failed(key: str, error: Exception, seconds: float) -> RunResult:
    """Return the result of a run that an error ended."""
    if isinstance(error, CharloomError):
        reason = for_file(error.message)
    else:
        reason = f"{type(error).__name__}: {error}"
    return RunResult(key, FAILED, seconds=round(seconds, 4), reason=reason)


def never(_update: int, _nats: float) -> bool:
    """Return False: a run is not pruned."""
    return False


def train_in_memory_only(
    key: str,
    config: Config,
    corpus: Corpus,
    halt: HaltCheck,
    weights: Path | None = None,
    prune: PruneCheck = never,
    memory: float | None = None,
) -> RunResult | None:
    """Train a run without a directory, and return its result; None if `halt` interrupted it.

    Args:
        key: the key of the run.
        config: its settings.
        corpus: its text.
        halt: returns the reason to interrupt the run, or None; called about ten times a second.
        weights: the file to which the model of a finished run is written; None writes none.
        prune: called with each validation loss; if it returns True, the run ends and counts as pruned.
        memory: the memory in bytes that this process may use; None measures it.
    """
    started, curve, warnings = time.perf_counter(), Curve(), list[str]()
    learner, engine = new_learner(config, corpus.vocabulary, memory), engine_for(config)
    best = Best()
    state, reason = FINISHED, None
    for item in train_in_memory(learner, corpus.ids, engine, halt, best, curve_only=True):
        if isinstance(item, Record):
            curve.add(**{name: getattr(item, name) for name in CURVE})
            nats = item.validation_nats
            if nats is not None and prune(item.update, nats):
                state = PRUNED
                break
        elif isinstance(item, Warned):
            warnings.append(for_file(item.marked))
        elif isinstance(item, Ended):
            if item.state == "interrupted":
                return None
            reason = item.reason
    if weights is not None and state == FINISHED:
        write_weights(weights, best.learner or learner, corpus, engine)
    return RunResult(
        key,
        state,
        learner.update,
        round(time.perf_counter() - started, 4),
        learner.update * config.seq_length * config.batch_size,
        reason=reason,
        warnings=tuple(warnings),
        **curve.fields(),
    )


def write_weights(path: Path, learner: Learner, corpus: Corpus, engine: Engine) -> None:
    """Write the model of a finished run, with the same bytes as in a run directory."""
    windows = windows_of(learner.config, corpus.ids)
    measuring = measure_starts(averaged(learner), corpus.ids, windows, engine)
    learner.start_losses = run_all_slices(measuring)
    replace_file(path, model_bytes(finished_model(learner)), durable=False)


def train_in_directory(
    key: str, config: Config, corpus: Corpus, halt: HaltCheck, path: Path
) -> RunResult | None:
    """Train a run in the run directory `path`, or continue it; return its result, None if it was interrupted."""
    from charloom.api.training import begin, reopen  # takes 0.1 s, and most runs have no directory

    training = reopen(path) if path.exists() else begin(corpus, config, path)
    ended = None
    with training:
        if not training.finished:
            with closing(training.items(halt)) as items:
                for item in items:
                    ended = item if isinstance(item, Ended) else ended
            if ended is None or ended.state == "interrupted":
                return None
        update = training.learner.update
    curve, seconds = Curve(), 0.0
    for record in read_lines(path / METRICS):
        curve.add(**{name: record.get(name) for name in CURVE})
        seconds = record["seconds"]
    if not curve.columns["update"]:
        raise DamagedError(f"{path} has no records.")
    reason, warnings = reason_and_warnings(path)
    return RunResult(
        key,
        FINISHED,
        update,
        seconds,
        update * config.seq_length * config.batch_size,
        reason=reason,
        warnings=warnings,
        **curve.fields(),
    )


def reason_and_warnings(path: Path) -> tuple[str | None, tuple[str, ...]]:
    """Return why a finished run directory ended early, or None, and its warnings, also those before an interruption."""
    lines = read_events(path)
    events = lines.objects if lines is not None else ()
    reasons = [event.get("reason") for event in events if event.get("event") == "finished"]
    warnings = (event.get("reason") for event in events if event.get("event") == "warning")
    once = dict.fromkeys(one for one in warnings if isinstance(one, str))
    return reasons[-1] if reasons else None, tuple(once)
