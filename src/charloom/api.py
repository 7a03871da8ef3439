"""charloom in Python: what the commands do, as functions that take and return values.

It knows in which order things are done. It prints nothing: who wants to see a training as it goes
gives a `listener`, or takes the steps one by one as the command line does.
"""

import re
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from charloom import evaluation, sampling
from charloom.config import Config, require_number
from charloom.engines import Engine, Plan, native_problem, open_engine
from charloom.errors import ConfigError, MissingPartError
from charloom.evaluation import Evaluation
from charloom.gradcheck import GradientCheck, check_gradients, fresh_problem, gradcheck
from charloom.model import Learner, new_learner, zero_state
from charloom.model.parameters import Parameters
from charloom.model.schedule import Schedule
from charloom.recipes import configure
from charloom.store import RunWriter, load_model, model_bytes, read_run, replace_file
from charloom.store.layout import is_run
from charloom.store.view import Which
from charloom.text import Corpus, Vocabulary
from charloom.training import Ended, Item, learn, train_run
from charloom.training.signals import Halt

__all__ = [
    "Evaluation",
    "GradientCheck",
    "Model",
    "Reproduction",
    "gradcheck",
    "load",
    "reproduce",
    "resume",
    "train",
]

Text = str | Path | Sequence[str | Path]
Listener = Callable[[Item | GradientCheck], None]
Asked = Callable[[], str | None]

RUNS: Final = Path("runs")
DEMO_TEXTS: Final = ("kjv-nt", "python-docs")  # the first that is installed
SMALL: Final = (5, 3)  # H and T of the course's gradient check
CALIBRATION_SECONDS: Final = 1.0
CALL_SECONDS: Final = 0.1  # of one call of the engine, so that Ctrl-C feels immediate


def ignore(item: Item | GradientCheck) -> None:
    """The listener of who does not listen."""


def never() -> str | None:
    """The halt of who lets a training come to its end."""
    return None


# The public functions


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, ready to write and to be measured.

    Attributes:
        learner: all of it, as plain data.
        engine: what computes.
        run: the run directory that it belongs to, if one was written.
    """

    learner: Learner
    engine: Engine
    run: Path | None = None

    @property
    def config(self) -> Config:
        """Its settings."""
        return self.learner.config

    @property
    def vocabulary(self) -> Vocabulary:
        """The characters that it knows, K of them."""
        return self.learner.vocabulary

    @property
    def parameters(self) -> Parameters:
        """Its arrays by name: `layers.0.U` (H, K), `layers.0.W` (H, H), `layers.0.b` (H),
        `V` (K, H), `c` (K)."""
        return self.learner.parameters

    def __repr__(self) -> str:
        return (
            f"<charloom.Model: {self.config.cell}, H={self.config.hidden_size}, "
            f"K={len(self.vocabulary)}, update {self.learner.update:,}>"
        )

    def sample(
        self, prompt: str = "", length: int = 200, temperature: float = 1.0, seed: int = 0
    ) -> str:
        """The text that it writes after a prompt, which is not part of it.

        Args:
            prompt: what it reads first.
            length: characters to write.
            temperature: divides the logits; 0 takes the likeliest character each time.
            seed: decides the text; the same on every engine.

        Raises:
            ConfigError: a value out of its range.
            UnknownCharacterError: the prompt has a character that it never read.
        """
        return "".join(self.stream(prompt, length, temperature, seed))

    def stream(
        self, prompt: str = "", length: int = 200, temperature: float = 1.0, seed: int = 0
    ) -> Iterator[str]:
        """The text of `sample` in pieces, the first of them soon; same arguments and errors."""
        return sampling.stream(
            self.learner,
            self.engine,
            prompt=prompt,
            length=length,
            temperature=temperature,
            seed=seed,
        )

    def evaluate(self, text: Text | None = None, *, string: str | None = None) -> Evaluation:
        """How well it predicts a text: nats and bits per character, and perplexity.

        Args:
            text: paths, or the name of a built-in text.
            string: the text itself, instead of `text`.

        Raises:
            TextError: the text cannot be read, or has fewer than two characters.
            UnknownCharacterError: the text has a character that the model never read.
        """
        corpus = open_text(text, string, self.vocabulary)
        return evaluation.evaluate(self.learner, self.engine, corpus.ids)

    def save(self, path: str | Path) -> Path:
        """Write the whole model into a single file, which `load` opens again.

        Raises:
            WriteError: the disk refused; what was there before is as it was.
        """
        replace_file(Path(path), model_bytes(self.learner))
        return Path(path)


@dataclass(frozen=True)
class Reproduction:
    """The outcome of the whole experiment.

    Attributes:
        checks: the gradient checks, small and full size, by engine and dtype.
        model: the model with the lowest smooth loss.
        run: the run directory.
        report: the report in it; None where another process stopped the training.
    """

    checks: tuple[GradientCheck, ...]
    model: Model
    run: Path
    report: Path | None

    @property
    def passed(self) -> bool:
        """Whether every gradient was right."""
        return all(check.passed for check in self.checks)


def train(
    text: Text | None = None,
    run: str | Path | None = None,
    *,
    string: str | None = None,
    minutes: float | None = None,
    listener: Listener = ignore,
    **settings: Any,
) -> Model:
    """Train a model on a text.

    Args:
        text: the path of a file, or several, read one after another; or the name of a built-in
            text.
        run: the run directory to make, in which everything is kept; None keeps nothing on disk.
        string: the text itself, instead of `text`.
        minutes: train about this long, measured beforehand, instead of `epochs` or `updates`.
        listener: called with each record, sample and so on as it comes.
        **settings: any setting of `Config`, and `recipe`, the preset to start from.

    Returns:
        The model after the last update; `load(run, which="best")` opens the one with the lowest
        smooth loss.

    Raises:
        ConfigError: no such setting, or a value out of its range.
        TextError: the text is missing, empty, too short, or of one character.
        RunExistsError: something is at `run` already.
        DivergedError: the loss stopped being finite.
        WriteError: the disk refused.
    """
    corpus = open_text(text, string)
    config = settle(corpus, minutes, **settings)
    if run is None:
        return train_in_memory(corpus, config, listener)
    with begin(corpus, config, Path(run)) as training:
        training.to_the_end(listener)
        return training.model()


def resume(
    run: str | Path,
    *,
    text: Text | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    engine: str | None = None,
    listener: Listener = ignore,
) -> Model:
    """Go on with a run from its last checkpoint; one that is finished is only opened.

    Args:
        run: the run directory.
        text: where the text is now, if it was moved.
        epochs: a new end for the run, in epochs from its start.
        updates: a new end for the run, in updates from its start.
        engine: another engine than the run's; the bits of the results are then others.
        listener: called with each record, sample and so on as it comes.

    Returns:
        The model after the last update; `load(run, which="best")` opens the one with the lowest
        smooth loss.

    Raises:
        NotAModelError: no run is there.
        RunInUseError: another process trains it.
        DamagedError: its last checkpoint is not what was written.
        TextError: its text is gone, or is another one now.
        ConfigError: the new end is not ahead of where the run is.
    """
    with reopen(Path(run), text, epochs, updates, engine) as training:
        if not training.finished:
            training.to_the_end(listener)
        return training.model()


def load(path: str | Path, *, which: Which = "latest", engine: str = "auto") -> Model:
    """Open a model.

    Args:
        path: a run directory, a checkpoint directory or a model file.
        which: of a run, the "latest" checkpoint, or the "best": the one with the lowest smooth loss.
        engine: auto, native or reference.

    Raises:
        NotAModelError: nothing of the three is there.
        DamagedError: it is not what was written.
        MissingPartError: the native engine was asked for by name and is not there.
    """
    learner = load_model(path, which)
    opened = open_engine(engine, learner.config.threads)
    return Model(learner, opened, Path(path) if is_run(Path(path)) else None)


def reproduce(
    text: Text | None = None,
    run: str | Path | None = None,
    *,
    string: str | None = None,
    listener: Listener = ignore,
    **settings: Any,
) -> Reproduction:
    """The whole classic experiment: prove the gradients, train, write, and report.

    Args:
        text: as for `train`; by default a built-in text.
        run: the run directory to make; by default a new one under runs/.
        string: the text itself, instead of `text`.
        listener: called with each gradient check, record, sample and so on as it comes.
        **settings: as for `train`.

    Raises:
        The same as `train`. A wrong gradient raises nothing: it is in the result and the report.
    """
    corpus = demo_text() if text is None and string is None else open_text(text, string)
    config = settle(corpus, **settings)
    with begin(corpus, config, free_run(corpus) if run is None else Path(run)) as training:
        checks: list[GradientCheck] = []
        report = None
        with Halt() as halt, closing(reproduction(training, halt)) as items:
            for item in items:
                if isinstance(item, Path):
                    report = item
                    continue
                if isinstance(item, GradientCheck):
                    checks.append(item)
                listener(item)
        halt.send_on()
        return Reproduction(tuple(checks), training.model(), training.run, report)


# The steps that they are made of


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
    """

    def __init__(self, writer: RunWriter, learner: Learner, corpus: Corpus, engine: Engine) -> None:
        self.run = writer.path
        self.writer = writer
        self.learner = learner
        self.corpus = corpus
        self.engine = engine
        self.finished = writer.finished

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
        yield from train_run(self.writer, self.learner, self.corpus, self.engine, halt)

    def to_the_end(self, listener: Listener) -> None:
        """Train to the end; at Ctrl-C, or where the listener fails, what was learnt is saved first."""
        with Halt() as halt, closing(self.items(halt)) as items:
            for item in items:
                listener(item)
        halt.send_on()

    def model(self) -> Model:
        """The model as it is now."""
        return Model(self.learner, self.engine, self.run)


def begin(corpus: Corpus, config: Config, run: Path) -> Training:
    """A new training in a new run directory; errors as `train`."""
    engine = open_engine(config.engine, config.threads)
    learner = new_learner(config, corpus.vocabulary)
    return Training(RunWriter.create(run, learner, corpus), learner, corpus, engine)


def reopen(
    run: Path,
    text: Text | None = None,
    epochs: int | None = None,
    updates: int | None = None,
    engine: str | None = None,
) -> Training:
    """A training that goes on; arguments and errors as `resume`."""
    require_one_end(epochs=epochs, updates=updates)
    sources = None if text is None else as_sources(text)
    writer, learner, corpus = RunWriter.resume(run, text=sources, epochs=epochs, updates=updates)
    try:
        opened = open_engine(engine or learner.config.engine, learner.config.threads)
    except BaseException:
        writer.close()
        raise
    return Training(writer, learner, corpus, opened)


def reproduction(training: Training, halt: Asked = never) -> Generator[GradientCheck | Item | Path]:
    """The experiment step by step: gradient checks, what training tells, the report's path.

    A halt in time, or a command to the run, ends it before the report.
    """
    if not (read_run(training.run).gradcheck or {}).get("checks"):
        # An empty list stands for checks that were begun: a resumed run does them again.
        training.writer.write_gradcheck([])
        checks = []
        for check in gradient_checks(training.corpus, training.learner.config):
            checks.append(check)
            yield check
            if halt() is not None:
                break
        else:
            training.writer.write_gradcheck([check.to_dict() for check in checks])
    for item in training.items(halt):
        yield item
        if isinstance(item, Ended) and item.state != "finished":
            return
    from charloom.report import write_report

    yield write_report(training.run)


def gradient_checks(corpus: Corpus, config: Config) -> Iterator[GradientCheck]:
    """The checks that go before an experiment: each engine that it could use, both dtypes, the
    course's small network and the full one, on the text's first window."""
    engines = ["reference"]
    if config.engine != "reference" and native_problem() is None:
        engines.append("native")
    for hidden_size, seq_length in (SMALL, (config.hidden_size, config.seq_length)):
        for dtype in ("float64", "float32"):
            learner, x, y = fresh_problem(
                hidden_size=hidden_size,
                seq_length=seq_length,
                sigma=config.sigma,
                dtype=dtype,
                seed=config.seed,
                corpus=corpus,
            )
            yield from check_gradients(
                learner, x, y, engines=engines, seed=config.seed, text=corpus.name
            )


def train_in_memory(corpus: Corpus, config: Config, listener: Listener) -> Model:
    """Train without a disk."""
    engine = open_engine(config.engine, config.threads)
    learner = new_learner(config, corpus.vocabulary)
    for item in learn(learner, corpus.ids, engine):
        listener(item)
    return Model(learner, engine)


def settle(corpus: Corpus, minutes: float | None = None, **settings: Any) -> Config:
    """The settings of a training, `minutes` turned into updates; errors as `train`."""
    config = configure(settings.pop("recipe", None), **settings)
    require_one_end(minutes=minutes, epochs=settings.get("epochs"), updates=settings.get("updates"))
    if minutes is None:
        return config
    require_number("minutes", minutes, above=0.0)
    return config.replace(updates=max(1, int(60 * minutes * updates_per_second(corpus, config))))


def require_one_end(**ends: float | None) -> None:
    """Refuse two settings that both say when a training ends."""
    given = [name for name, value in ends.items() if value is not None]
    if len(given) > 1:
        raise ConfigError(f"{' and '.join(given)} each say when to end; give one of them.")


def updates_per_second(corpus: Corpus, config: Config) -> float:
    """How fast these settings learn on this machine, from a short training that is thrown away."""
    learner = new_learner(config, corpus.vocabulary)
    windows = Schedule.of(config, len(corpus)).windows
    engine = open_engine(config.engine, config.threads)
    size, done, seconds = 1, 0, 0.0
    while seconds < CALIBRATION_SECONDS:
        if windows.ends_epoch(learner.position):
            learner.position, learner.state = 0, zero_state(config)
        updates = min(size, windows.left_in_epoch(learner.position))
        plan = Plan(np.full(updates, config.learning_rate), config.clip, config.epsilon)
        started = time.perf_counter()
        trace = engine.train(learner, corpus.ids, plan)
        seconds += time.perf_counter() - started
        done += len(trace.losses)
        if trace.stopped:
            break  # the training itself will say so
        size = max(1, min(4 * size, int(done / seconds * CALL_SECONDS)))
    return done / seconds


def open_text(
    text: Text | None, string: str | None = None, vocabulary: Vocabulary | None = None
) -> Corpus:
    """A corpus from what people give: paths, a name, or the text itself.

    Raises:
        ConfigError: both or neither were given.
        TextError: the text is missing, empty, or of one character.
    """
    if (text is None) == (string is None):
        raise ConfigError("give either text (paths, or a built-in text's name) or string.")
    if string is not None:
        return Corpus.from_text(string, vocabulary=vocabulary)
    assert text is not None
    return Corpus.open(as_sources(text), vocabulary)


def as_sources(text: Text) -> Sequence[str | Path]:
    """A list of paths or names, where one may stand for a list."""
    return [text] if isinstance(text, (str, Path)) else text


def demo_text() -> Corpus:
    """The built-in text for who gives none: prose where it is installed."""
    for name in DEMO_TEXTS[:-1]:
        try:
            return Corpus.open([name])
        except MissingPartError:
            continue
    return Corpus.open(DEMO_TEXTS[-1:])


def free_run(corpus: Corpus, folder: Path = RUNS) -> Path:
    """The first of runs/NAME-1, runs/NAME-2, … that is free."""
    stem = Path(corpus.name.split(" + ")[0]).stem
    name = re.sub(r"[^\w.]+", "-", stem).strip("-.")[:40] or "text"
    return next(path for n in count(1) if not (path := folder / f"{name}-{n}").exists())
