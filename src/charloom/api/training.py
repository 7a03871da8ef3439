"""Starts and resumes training: `train` and `resume`, and the `Training` that both return.

Who wants to see it as it goes gives a `listener`, or takes the items one by one as the command
line does.
"""

import time
import warnings
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path
from typing import Any, Self

from charloom.api.model import Model, judged, stage
from charloom.api.settling import (
    Tell,
    end_after,
    require_one_end,
    settle,
    text_to_learn,
    with_threads,
)
from charloom.api.texts import Text, as_path, as_sources, free_run, new_run
from charloom.config import Config
from charloom.engines import Engine, engine_for
from charloom.errors import ConfigError, RunExistsError, RunInUseError
from charloom.finetune import tuned_learner
from charloom.gradcheck import GradientCheck
from charloom.messages import argument
from charloom.model import Learner, new_learner
from charloom.model.schedule import Schedule
from charloom.spelling import shortened
from charloom.store import RunWriter, Which, load_model, which_of
from charloom.store.opening import open_about
from charloom.store.run import unless_in_use
from charloom.text import Corpus
from charloom.training import Best, Item, train_in_memory, train_run
from charloom.training.signals import Halt

Listener = Callable[[Item | GradientCheck], None]
Asked = Callable[[], str | None]


def ignore(item: Item | GradientCheck) -> None:
    """The listener of who does not listen."""


def never() -> str | None:
    """The halt of who lets a training come to its end."""
    return None


def train(
    text: Text | None = None,
    run: str | Path | None = None,
    *,
    string: str | None = None,
    from_model: str | Path | Model | None = None,
    minutes: float | None = None,
    which: Which | None = None,
    listener: Listener = ignore,
    **settings: Any,
) -> Model:
    """Train a model on a text.

    Args:
        text: the path of a file, or several, read one after another; of a directory, for the
            texts in it; a pattern such as `**/*.txt`; or the name of a built-in text.
        run: the run directory to make, in which everything is kept; None keeps nothing on disk.
        string: the text itself, instead of `text`.
        from_model: a model to train further, in a new run from update 0: a run (its model as `load`
            opens it), a checkpoint, a model file or a model. Network, vocabulary and weights are
            its own, and the settings as well, where no recipe is named; those of a network that
            `import_model` made are the recipe "quick"'s.
        minutes: train about this long, reading the text and measuring how fast it is learnt
            included, instead of `epochs` or `updates`.
        which: the model to return, "best" or "latest", as for `load`. Without a run there is a "best"
            only where a validation part judges it.
        listener: called with each record, sample and so on as it comes.
        **settings: any setting of `Config`, and `recipe`, the preset to start from: "quick" where
            none is named.

    Without a run Ctrl-C ends the training with a warning, and what was learnt is returned; with
    one it is saved and the KeyboardInterrupt goes on.

    Returns:
        With a validation part the model that was best on it, without one the model after the last
        update; `which` asks for the other. A run keeps both, and goes on from the last.

    Raises:
        ConfigError: no such setting, a value out of its range, or one that contradicts the model.
        TextError: the text is missing, empty, too short, or of one character.
        UnknownCharacterError: the text has a character that the model to begin with never read,
            and the setting `unknown` is neither "skip" nor "replace".
        RunExistsError: something is at `run` already.
        DivergedError: the loss stopped being finite.
        WriteError: the disk refused.
    """
    began = time.monotonic()
    require_which(which)
    place = new_run(run)
    model = learner_of(from_model)
    corpus = text_to_learn(text, string, model=model, **settings)
    config = settle(corpus, minutes, model=model, began=began, **settings)
    require_which(which, config if place is None else None)
    if place is None:
        return train_without_run(corpus, config, listener, model, which)
    with begin(corpus, config, place, model) as training:
        training.to_the_end(listener)
        return training.model(which)


def resume(
    run: str | Path,
    *,
    text: Text | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    minutes: float | None = None,
    engine: str | None = None,
    threads: int | None = None,
    save_seconds: float | None = None,
    allow_older: bool = False,
    which: Which | None = None,
    listener: Listener = ignore,
) -> Model:
    """Go on with a run from its last checkpoint; one that is finished is only opened.

    Args:
        run: the run directory.
        text: where the text is now, if it was moved.
        epochs: a new end for the run, in epochs from its start.
        updates: a new end for the run, in updates from its start.
        minutes: go on for about this long, measured beforehand, instead of to a given end.
        engine: another engine than the run's; the bits of the results are then others.
        threads: another number of them than the run's, 0 for as many as there are processors.
        save_seconds: between two checkpoints, in this training; the run keeps its own setting.
        allow_older: whether to go on from the newest whole checkpoint where the last is damaged, and
            with what is left of records and samples where some are lost.
        which: the model to return, as for `load`.
        listener: called with each record, sample and so on as it comes.

    Returns:
        With a validation part the model that was best on it, without one the model after the last
        update; `which` asks for the other.

    Raises:
        NotAModelError: no run is there.
        RunInUseError: another process trains it.
        DamagedError: its last checkpoint is not what was written.
        TextError: its text is gone, or is another one now.
        ConfigError: the new end is not ahead of where the run is, or `which` is neither of the two.
    """
    require_which(which)
    with reopen(
        as_path(run), text, epochs, updates, minutes, engine, threads, save_seconds, allow_older
    ) as training:
        if not training.finished:
            training.to_the_end(listener)
        return training.model(which)


class Training:
    """A run directory that is held, and all that is needed to train it; made by `begin` or
    `reopen`. Use it in a `with` statement.

    Attributes:
        run: the directory.
        learner: what is learning.
        corpus: the text.
        engine: what computes.
        writer: what writes the directory.
        finished: whether there is nothing left to do.
        save_seconds: between two checkpoints, where it is not the run's setting.
    """

    def __init__(
        self,
        writer: RunWriter,
        learner: Learner,
        corpus: Corpus,
        engine: Engine,
        save_seconds: float | None = None,
    ) -> None:
        self.run = writer.path
        self.writer = writer
        self.learner = learner
        self.corpus = corpus
        self.engine = engine
        self.finished = writer.finished
        self.save_seconds = save_seconds

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    @property
    def updates(self) -> int:
        """Updates in the whole run."""
        return Schedule.of(self.learner.config, len(self.corpus)).updates

    def items(self, halt: Asked = never) -> Generator[Item]:
        """Train to the end, or until `halt` gives a reason; see `charloom.training.train_run`."""
        yield from train_run(
            self.writer, self.learner, self.corpus, self.engine, halt, self.save_seconds
        )

    def to_the_end(self, listener: Listener) -> None:
        """Train to the end; at Ctrl-C, or where the listener fails, what was learnt is saved first."""
        with Halt() as halt, closing(self.items(halt)) as items:
            for item in items:
                listener(item)
        halt.send_on()

    @property
    def which(self) -> Which:
        """Which model is the run's: the best where a validation part judges it, else the latest."""
        return which_of(self.learner.config)

    def stage(self) -> str:
        """Which model is the run's, in words; see `Model.stage`."""
        which, learner = judged(self.which, self.learner), self.learner
        update = learner.best_update if which == "best" else learner.update
        return stage(which, 0, update or 0, self.updates)

    def model(self, which: Which | None = None) -> Model:
        """The run's model as it is now, or its "best" or "latest" one.

        Raises:
            DamagedError: the best checkpoint is not what was written.
        """
        which, learner = which or self.which, self.learner
        if which == "best" and learner.best_update not in (None, learner.update):
            learner = self.writer.load_best()
        return Model(learner, self.engine, self.run, judged(which, learner), self.updates)


def learner_of(model: str | Path | Model | None) -> Learner | None:
    """The learner of a model, wherever it is; None where there is none."""
    if model is None:
        return None
    return model.learner if isinstance(model, Model) else load_model(model)


def begin(
    corpus: Corpus, config: Config, run: Path | None = None, model: Learner | None = None
) -> Training:
    """A new training in a new run directory, by default a free one under runs/, of a new network
    or of a model's; errors as `train`."""
    learner = tuned_learner(config, model) if model else new_learner(config, corpus.vocabulary)
    engine = engine_for(config)
    while True:
        path = free_run(corpus) if run is None else run
        try:
            return Training(RunWriter.create(path, learner, corpus), learner, corpus, engine)
        except (RunExistsError, RunInUseError):
            # Another process may take the same free name at the same moment.
            if run is not None:
                raise


def reopen(
    run: Path,
    text: Text | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    minutes: float | None = None,
    engine: str | None = None,
    threads: int | None = None,
    save_seconds: float | None = None,
    allow_older: bool = False,
    tell: Tell = str,
) -> Training:
    """A training that goes on; arguments and errors as `resume`, `tell` as `settle` has it."""
    began = time.monotonic()
    require_one_end(epochs=epochs, updates=updates, minutes=minutes)
    sources = None if text is None else as_sources(text)
    # Resuming changes the directory: an engine that is not there is found before.
    config = unless_in_use(run, lambda: open_about(run, sources, allow_older))[0]
    asked = {"engine": engine, "threads": threads, "save_seconds": save_seconds}
    changed = {name: value for name, value in asked.items() if value is not None}
    machine = with_threads(config.replace(**changed))
    opened = engine_for(machine)

    def measured(learner: Learner, corpus: Corpus) -> int:
        here = learner.config.replace(**{name: getattr(machine, name) for name in asked})
        return end_after(minutes or 0.0, corpus, here, learner.update, began=began, tell=tell)

    writer, learner, corpus = RunWriter.resume(
        run,
        text=sources,
        epochs=epochs,
        updates=updates if minutes is None else measured,
        allow_older=allow_older,
    )
    return Training(writer, learner, corpus, opened, machine.save_seconds)


def require_which(which: Which | None, config: Config | None = None) -> None:
    """Refuse what is no model of a training; `config` is that of one without a run.

    Raises:
        ConfigError: `which` is neither best nor latest, or best, and nothing tells which that is.
    """
    if which not in ("best", "latest", None):
        raise ConfigError(f"{argument('which')} is {shortened(which)}; it must be best or latest.")
    if which == "best" and config is not None and not config.validation:
        raise ConfigError(
            f"{argument('which')} is 'best', but nothing is held out to judge by, and nothing is kept on disk; give "
            f"{argument('validation', 0.1)}, or {argument('run')}."
        )


def train_without_run(
    corpus: Corpus,
    config: Config,
    listener: Listener,
    model: Learner | None = None,
    which: Which | None = None,
) -> Model:
    """Train without a disk; Ctrl-C ends it with a warning, and what was learnt is returned."""
    learner = tuned_learner(config, model) if model else new_learner(config, corpus.vocabulary)
    engine = engine_for(config)
    best, which = Best(), which or which_of(config)
    with Halt() as halt:
        for item in train_in_memory(learner, corpus.ids, engine, halt, best):
            listener(item)
    kept = (best.learner if which == "best" else None) or learner
    updates = Schedule.of(config, len(corpus)).updates
    found = Model(kept, engine, None, judged(which, kept), updates, corpus=corpus)
    if halt() == "SIGINT":
        warnings.warn(
            f"interrupted at update {learner.update:,}; {found.stage} is returned.", stacklevel=3
        )
    else:
        halt.send_on()
    return found
