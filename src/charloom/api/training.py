"""Starts and resumes training runs: `train` and `resume`, and the class `Training`.

To follow a run, give a `listener`, or iterate over the events of a `Training` as the command line does.
"""

import time
import warnings
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Self, Unpack, cast

from charloom.api.existing_run import GivenTraining, changes_to_continue, run_to_continue
from charloom.api.learning_rate import refuse_given_rate, search_before_training
from charloom.api.model import Model, available_which, learner_of, stage
from charloom.api.notebook_display import Listener, TrainingDisplay
from charloom.api.process_argument import several_processes
from charloom.api.python_warnings import warn_user
from charloom.api.run_changes import NO_CHANGES, RunChanges, new_cosine_message
from charloom.api.run_listening import listening, one_listener
from charloom.api.settings_help import with_settings_help
from charloom.api.text_arguments import Text, as_path, free_run, new_run
from charloom.api.training_plan import (
    FoundRate,
    MessageListener,
    TrainingPlan,
    end_after,
    initial_config,
    plan_training,
    text_to_learn,
)
from charloom.config import Config
from charloom.engines import Engine, engine_for
from charloom.errors import ConfigError, RunExistsError, RunInUseError, WriteError
from charloom.finetune import tuned_learner
from charloom.formatting import one_of, shortened
from charloom.gradient_check import GradientCheck
from charloom.messages import argument, command
from charloom.model import Learner, finished_model, new_learner
from charloom.model.ngrams import NGrams
from charloom.model.schedule import Schedule
from charloom.recipes import DEFAULT_RECIPE
from charloom.run_file_names import METRICS
from charloom.settings_types import Settings
from charloom.store import (
    RunWriter,
    TrainingEnd,
    Which,
    hold_existing_lock,
    inspect_run,
    plan_to_resume,
    unless_in_use,
    which_of,
)
from charloom.store.journal_lines import is_record
from charloom.store.journal_objects import sound_objects
from charloom.store.training_loss import TrainingLoss
from charloom.text import Corpus
from charloom.training import (
    Best,
    Callback,
    Callbacks,
    Ended,
    TrainingEvent,
    train_in_memory,
    train_run,
)
from charloom.training.callbacks import NO_CALLBACKS
from charloom.training.learning_rate_search import LearningRateSearch
from charloom.training.ngram_counting import (
    count_missing,
    set_counted_ngrams,
)
from charloom.training.schedule_message import unwanted_schedule
from charloom.training.start_message import bad_starts
from charloom.training.stop_signals import Halt
from charloom.training.time_limit import TimeLimit

HaltCheck = Callable[[], str | None]


def ignore(item: TrainingEvent | GradientCheck) -> None:
    """Ignore every event."""


def no_halt() -> str | None:
    """Return None, so that training never stops early."""
    return None


@with_settings_help(DEFAULT_RECIPE)
def train(
    text: Text | None = None,
    run: str | Path | None = None,
    *,
    exist: str = "refuse",
    string: str | None = None,
    from_model: str | Path | Model | None = None,
    minutes: float | None = None,
    find_learning_rate: bool = False,
    which: Which | None = None,
    listener: Listener | Sequence[Listener] = ignore,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
    processes: int | None = None,
    **settings: Unpack[Settings],
) -> Model:
    """Train a model on a text. In a notebook, show the progress, the losses and the latest sample.

    Args:
        text: one path or several, which are joined in this order, or the name of a built-in text. A path may be a
            directory, which means all texts in it, or a pattern such as `**/*.txt`.
        run: the run directory to create; None creates none and stores nothing about the training.
        exist: what to do if `run` exists: "refuse", or "resume" to continue it, if the settings and the text
            are the same. The machine's settings may differ, and `epochs` or `updates` may give a later end.
        string: the text itself, instead of `text`.
        from_model: the model to start from, in a new run from update 0: a `Model`, or the path of a run, a checkpoint
            or a model file. The new run takes its network, vocabulary and weights, and its settings unless a recipe
            is named. A model from `import_model` has the settings in its file, or else those of the recipe "quick".
        minutes: train for about this many minutes, instead of `epochs` or `updates`. The minutes include
            the time for reading the text and for measuring the speed. If the speed changes, the end moves.
        find_learning_rate: first search for a good learning rate, in a tenth of the minutes. A run keeps the search.
        which: the model to return, "best" or "latest", as for `load`. Without a run, "best" needs a validation part.
        listener: called with each event, such as a record or a sample; or a list of such functions.
            `charloom.listeners` has three, which log the run to TensorBoard, W&B and MLflow.
        callbacks: functions that receive the learner after exact updates (`charloom.Callback`).
        progress: False shows nothing in a notebook. Outside a notebook, nothing is ever shown.
        processes: divide the streams among this number of processes on this machine; the engine becomes torch.
        **settings: any setting of `Config`, and `recipe`, the preset to start from; by default "quick".

    On Ctrl-C, a run saves and raises KeyboardInterrupt; without one, the model is returned as it is, with a warning.

    Returns:
        The model with the lowest validation loss; without a validation part, the last model; or the one that
        `which` selects. A run directory keeps both, and `resume` continues from the last model.

    Raises:
        ConfigError: a setting does not exist, is out of range, or contradicts the model, the run that exists or the
            processes; the minutes are too few to search for a learning rate; or `save_every` is given without `run`.
        TextError: the text is missing, empty or too short, or has only one distinct character.
        UnknownCharacterError: `from_model` does not know a character, and `unknown` is "refuse".
        RunExistsError, RunInUseError: `run` has a run or other files, or another process uses it.
        MissingPartError: the engine is not installed.
        DivergedError: the loss is no longer finite, also in all trials of a search for a learning rate.
        WriteError: a file cannot be written.
    """
    began, called, heard = time.monotonic(), Callbacks(callbacks), one_listener(listener)
    if find_learning_rate:
        refuse_given_rate(settings)
    old = run_to_continue(run, exist)
    place, model = new_run(run) if old is None else old, learner_of(from_model)
    require_place(place, which, initial_config(DEFAULT_RECIPE, model, **settings), settings)
    with several_processes(processes, cast("dict[str, Any]", settings)):
        if old is not None:
            given = GivenTraining(text, string, model, minutes, find_learning_rate, settings)
            changes = changes_to_continue(old, given)
            return continue_run(old, changes, which, heard, called, progress)
        with TrainingDisplay(progress) as display:
            display.prepare("Reading the text and planning the run")
            corpus = text_to_learn(text, string, model=model, **settings)
            found = search_first(corpus, minutes, model, display, settings, find_learning_rate)
            plan = plan_training(corpus, minutes, model=model, began=began, found=found, **settings)
            warn_user(unwanted_schedule(plan.config, len(corpus)))
            if place is None:
                return train_without_run(corpus, plan, heard, display, model, which, called)
            rates = found.search if found else None
            begun = begin(corpus, plan.config, place, model, plan.limit, plan.ngrams, rates)
            with begun as training:
                training.callbacks = called
                training.to_the_end(heard, display)
                return training.model(which)


def resume(
    run: str | Path,
    *,
    text: Text | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    minutes: float | None = None,
    engine: str | None = None,
    device: str | None = None,
    threads: int | None = None,
    save_seconds: float | None = None,
    allow_older: bool = False,
    which: Which | None = None,
    listener: Listener | Sequence[Listener] = ignore,
    callbacks: Iterable[Callback] = (),
    progress: bool = True,
    processes: int | None = None,
) -> Model:
    """Continue a run from its last checkpoint, and return its model. A notebook shows the progress.

    If the run is finished and gets no new end, return its model without training.

    Args:
        run: the run directory.
        text: the new path of the text, if it was moved.
        epochs: a new end of the run, in epochs from its start.
        updates: a new end of the run, in updates from its start.
        minutes: continue for about this many minutes, instead of to a given end; the speed is measured
            first, and the end of the run moves if the speed changes.
        engine: use this engine instead of the run's. The weights then differ slightly by rounding.
        device: use this device instead of the run's; only the engine torch has one.
        threads: use this number of threads instead of the run's; 0 means one per processor, but at most
            one per stream.
        save_seconds: time between two checkpoints until this call ends; the run's setting stays.
        allow_older: if the last checkpoint is damaged, continue from the newest intact one; if records
            or samples are lost, continue with the remaining ones.
        which: the model to return, as for `load`.
        listener: as for `train`.
        callbacks: as for `train`. A run does not remember them, so give them again.
        progress: False shows nothing in a notebook, as for `train`.
        processes: as for `train`; they may be other ones than before.

    Returns:
        The model with the lowest validation loss; without a validation part, the last model. The argument
        `which` can select the other model.

    Raises:
        NotAModelError: `run` is not a run directory.
        RunInUseError: another process trains the run.
        DamagedError: the last checkpoint is damaged.
        TextError: the text is missing, or has changed.
        ConfigError: the new end is not after the present update, or `which` is not valid.
    """
    require_which(which)
    called, heard = Callbacks(callbacks), one_listener(listener)
    machine: dict[str, Any] = {"engine": engine}
    with several_processes(processes, machine):
        changes = RunChanges(
            text, epochs, updates, minutes, machine["engine"], device, threads, save_seconds, allow_older
        )  # fmt: skip
        return continue_run(as_path(run, "run"), changes, which, heard, called, progress)


def continue_run(
    run: Path,
    changes: RunChanges,
    which: Which | None,
    listener: Listener,
    callbacks: Callbacks,
    progress: bool,
) -> Model:
    """Continue a run, unless it is finished, and return its model. `resume` describes the arguments and the errors."""
    with reopen(run, changes) as training:
        if not training.finished:
            schedule = unwanted_schedule(training.learner.config, len(training.corpus))
            warn_user(schedule, stacklevel=3)
            training.callbacks = callbacks
            with TrainingDisplay(progress) as display:
                training.to_the_end(listener, display, stacklevel=4)
        return training.model(which)


class Training:
    """A training run that this process can train. It holds the lock of the run directory.

    `begin` and `reopen` create a `Training`. Use it in a `with` statement, which releases the lock.

    Attributes:
        run: the run directory.
        learner: the network and its training state.
        corpus: the text.
        engine: the engine that computes.
        writer: writes the run directory.
        finished: True if the run has reached its end.
        save_seconds: seconds between two checkpoints; None means the run's setting.
        limit: the time at which training must end; None if only its end in updates counts.
        callbacks: the functions to call between two updates.
    """

    def __init__(
        self,
        writer: RunWriter,
        learner: Learner,
        corpus: Corpus,
        engine: Engine,
        save_seconds: float | None = None,
        limit: TimeLimit | None = None,
    ) -> None:
        self.run = writer.path
        self.writer = writer
        self.learner = learner
        self.corpus = corpus
        self.engine = engine
        self.finished = writer.finished
        self.save_seconds = save_seconds
        self.limit = limit
        self.callbacks = NO_CALLBACKS

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.writer.close()

    @property
    def updates(self) -> int:
        """The number of updates of the whole run."""
        return Schedule.of(self.learner.config, len(self.corpus)).updates

    def items(self, halt: HaltCheck = no_halt) -> Generator[TrainingEvent]:
        """Train and yield the events of `charloom.training.train_run`, which also describes `halt`."""
        yield from train_run(
            self.writer,
            self.learner,
            self.corpus,
            self.engine,
            halt,
            self.save_seconds,
            self.limit,
            callbacks=self.callbacks,
        )

    def to_the_end(self, listener: Listener, display: TrainingDisplay, stacklevel: int = 3) -> None:
        """Train to the end of the run, and show it in a notebook.

        Warn if the model then writes badly from a state in which it can begin; `stacklevel` says whose line the
        warning names, as for `warn_user`. On Ctrl-C or an error of `listener` or a callback, save a checkpoint
        and then raise.
        """
        config = self.learner.config
        shown = display.begin(config, self.run, listener)
        with (
            listening(listener, config, self.run),
            Halt() as halt,
            closing(self.items(halt)) as items,
        ):
            for item in items:
                shown(item)
                if isinstance(item, Ended):
                    warn_user(bad_starts(item.start_losses), stacklevel)
        halt.raise_received()

    def loss(self) -> TrainingLoss:
        """Return the training loss of the run so far, from its records. Damaged and lost records are left out."""
        loss = TrainingLoss()
        for record in sound_objects(self.run / METRICS, is_record, []):
            fields = (record[name] for name in ("update", "epoch", "characters", "train_nats"))
            loss.add(*fields)
        return loss

    @property
    def which(self) -> Which:
        """The kind of checkpoint to use: "best" with a validation part, else "latest"."""
        return which_of(self.learner.config)

    def stage(self) -> str:
        """Return a description of the model of this run, such as "the best model (update 138 of 2,000)".

        It is the best model if the run has a validation part and a best checkpoint, else the latest model.
        """
        which, learner = available_which(self.which, self.learner), self.learner
        update = learner.best_update if which == "best" else learner.update
        return stage(which, 0, update or 0, self.updates)

    def model(self, which: Which | None = None) -> Model:
        """Return the best or the latest model of the run.

        Args:
            which: "best" or "latest"; None means "best" if the run has a validation part, else "latest".
                If the run has no best checkpoint yet, "best" also returns the latest model.

        Raises:
            DamagedError: the best checkpoint is damaged.
        """
        which, learner = which or self.which, self.learner
        if which == "best" and learner.best_update not in (None, learner.update):
            learner = self.writer.load_best()
        model = finished_model(learner)
        return Model(model, self.engine, self.run, available_which(which, learner), self.updates)


def begin(
    corpus: Corpus,
    config: Config,
    run: Path | None = None,
    model: Learner | None = None,
    limit: TimeLimit | None = None,
    ngrams: NGrams | None = None,
    search: LearningRateSearch | None = None,
) -> Training:
    """Create a run directory and return a new training run in it. The errors are those of `train`.

    Args:
        corpus: the text.
        config: the settings.
        run: the run directory; None means a free one under runs/.
        model: the model to start from; None trains a new network.
        limit: the time at which training must end; None if only its end in updates counts.
        ngrams: the n-grams of the text, if `plan_training` counted them; None counts them here.
        search: the search that found the learning rate in `config`, to be stored; None if there was none.
    """
    learner = first_learner(corpus, config, model, ngrams)
    engine = engine_for(config)
    # Count before the run directory is created: every checkpoint has the n-grams and pairs, and an interruption
    # leaves nothing.
    count_missing(learner, corpus.ids, engine)
    while True:
        path = free_run(corpus) if run is None else run
        try:
            writer = RunWriter.create(path, learner, corpus)
            training = Training(writer, learner, corpus, engine, limit=limit)
            break
        except (RunExistsError, RunInUseError):
            # Another process may create a run at `path` at the same moment. Then try the next free path.
            if run is not None:
                raise
    if search is not None:
        store_search(training, search)
    return training


def store_search(training: Training, search: LearningRateSearch) -> None:
    """Write a search for a learning rate, and its picture, into the directory of a new run.

    If the picture cannot be written, training goes on without it; a report draws it again.

    Raises:
        WriteError: the search cannot be written. The run is then closed.
    """
    from charloom.report.learning_rate_plot import save_search_pictures

    try:
        training.writer.write_learning_rates(search.to_dict())
        with suppress(WriteError):
            save_search_pictures(search, one_of(training.learner.config.tokens), training.run)
    except WriteError as error:
        training.writer.close()
        raise WriteError(
            f"{error.message} The run exists and can be trained: {command('resume', training.run)}."
        ) from None
    except BaseException:
        training.writer.close()
        raise


def first_learner(
    corpus: Corpus, config: Config, model: Learner | None, ngrams: NGrams | None
) -> Learner:
    """Return a learner before its first update. `begin` describes the arguments."""
    learner = (
        tuned_learner(config, model, corpus.vocabulary)
        if model
        else new_learner(config, corpus.vocabulary)
    )
    learner.ngrams = ngrams or learner.ngrams
    return learner


def reopen(
    run: Path,
    changes: RunChanges = NO_CHANGES,
    on_message: MessageListener = str,
    began: float | None = None,
) -> Training:
    """Open a run to continue it, and return it as a `Training`.

    The errors are those of `resume`. The arguments `on_message` and `began` are described in
    `plan_training`.
    """
    began = time.monotonic() if began is None else began
    with unless_in_use(run):
        inspection = inspect_run(run)
    # Hold the lock while the text is read and the speed is measured, which may take long. The lock keeps
    # other processes from training the run.
    with hold_existing_lock(run) as lock:
        plan = plan_to_resume(
            inspection,
            text=changes.sources,
            text_argument=changes.text_argument,
            allow_older=changes.allow_older,
            locked=lock is not None,
        )
        config = changes.on_this_machine(plan.learner.config)
        # Open the engine before the run directory changes: a missing engine must not leave a changed run.
        engine = engine_for(config)
        updates, limit = changes.updates, None
        if changes.minutes is not None:
            updates, limit, ngrams = end_after(
                changes.minutes,
                plan.corpus,
                config,
                plan.learner.update,
                trained=plan.seconds,
                began=began,
                on_message=on_message,
            )
            set_counted_ngrams(plan.learner, ngrams)
        before = Schedule.of(plan.learner.config, len(plan.corpus))
        factor_before = plan.learner.learning_rate_factor
        writer = RunWriter.reopen(plan, TrainingEnd(changes.epochs, updates), lock)
    after = Schedule.of(plan.learner.config, len(plan.corpus))
    message = new_cosine_message(before, after, plan.learner, factor_before)
    if message is not None:
        on_message(message)
    return Training(writer, plan.learner, plan.corpus, engine, config.save_seconds, limit)


def search_first(
    corpus: Corpus,
    minutes: float | None,
    model: Learner | None,
    display: TrainingDisplay,
    settings: Settings,
    find_learning_rate: bool,
) -> FoundRate | None:
    """Search for a learning rate, put it into `settings`, and return the search. The errors are those of `train`.

    Return None if `find_learning_rate` is False.
    """
    if not find_learning_rate:
        return None
    found = search_before_training(
        corpus, minutes, model=model, listener=display.searched, **settings
    )
    settings["learning_rate"] = found.search.learning_rate
    return found


def require_place(
    run: Path | None, which: Which | None, config: Config, settings: Settings
) -> None:
    """Check that a training run can keep what the user wants of it.

    Args:
        run: the run directory; None if there is none.
        which: the model to return.
        config: all settings.
        settings: the settings that the user gave.

    Raises:
        ConfigError: there is no run directory for the best model or for checkpoints; or `which` is not valid.
    """
    require_which(which, None if run else config)
    every = settings.get("save_every")
    if every and run is None:
        raise ConfigError(
            f"{argument('save_every', every)} saves checkpoints, but without a run directory there is no place for them; "
            f"give {argument('run')} a path."
        )


def require_which(which: Which | None, config: Config | None = None) -> None:
    """Check that training can return the model that `which` names.

    Args:
        which: "best" or "latest"; None leaves the choice to charloom.
        config: the settings of a training run without a run directory; None if the run has a directory.

    Raises:
        ConfigError: `which` is not "best", "latest" or None. Or it is "best", and the run has neither a
            run directory nor a validation part.
    """
    if which not in ("best", "latest", None):
        raise ConfigError(f"{argument('which')} is {shortened(which)}; it must be best or latest.")
    if which == "best" and config is not None and not config.validation:
        raise ConfigError(
            f"{argument('which')} is 'best', but without a run directory the best model is kept only if there "
            f"is a validation part; give {argument('validation', 0.1)}, or {argument('run')}."
        )


def train_without_run(
    corpus: Corpus,
    plan: TrainingPlan,
    listener: Listener,
    display: TrainingDisplay,
    model: Learner | None = None,
    which: Which | None = None,
    callbacks: Callbacks = NO_CALLBACKS,
) -> Model:
    """Train without a run directory and return the model. On Ctrl-C, warn and return the model as it is."""
    learner = first_learner(corpus, plan.config, model, plan.ngrams)
    engine = engine_for(plan.config)
    best, which = Best(), which or which_of(plan.config)
    shown = display.begin(plan.config, None, listener)
    with listening(listener, plan.config, None), Halt() as halt:
        items = train_in_memory(
            learner, corpus.ids, engine, halt, best, plan.limit, callbacks=callbacks
        )
        for item in items:
            shown(item)
    kept = finished_model((best.learner if which == "best" else None) or learner)
    updates = Schedule.of(learner.config, len(corpus)).updates
    found = Model(kept, engine, None, available_which(which, kept), updates, corpus=corpus)
    warn_user(bad_starts(kept.start_losses), stacklevel=3)
    if halt() == "SIGINT":
        warnings.warn(
            f"interrupted at update {learner.update:,}; returning {found.stage}.", stacklevel=3
        )
    else:
        halt.raise_received()
    return found
