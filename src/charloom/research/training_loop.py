"""Trains a network in a loop that the user writes: update by update, with access to everything in between."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from charloom.api.model import Model
from charloom.api.text_arguments import as_path
from charloom.api.training_plan import with_threads
from charloom.config import Config, require_number, require_whole
from charloom.cooperative import run_all_slices
from charloom.engines import Trace, engine_for
from charloom.errors import CharloomError, ConfigError, DivergedError, NotAModelError, TextError
from charloom.formatting import counted, shortened
from charloom.messages import argument
from charloom.model import Learner, copy_learner, finished_model, new_learner
from charloom.model.changed_parameters import require_sound_parameters
from charloom.model.gradient_step import apply_gradients, gradient_norm
from charloom.model.optimizers import AVERAGE, average, averaging_rate
from charloom.model.parameters import Parameters
from charloom.model.schedule import Schedule
from charloom.research.window_gradients import WindowGradients, gradients_of_next_window
from charloom.run_file_names import LATEST
from charloom.store import load_checkpoint, save_checkpoint
from charloom.store.run_checkpoints import read_pointer
from charloom.store.run_directory import checkpoint_path, is_run
from charloom.text import Corpus
from charloom.training.loop import apply_updates, count_losses, sample
from charloom.training.ngram_counting import count_missing
from charloom.training.progress_records import validation_in_slices

Rates = NDArray[np.float64]  # learning rates, shape (updates,)


class TrainingLoop:
    """Trains a network on a text. Each call of `step` applies updates; between two calls, everything may change.

        loop = TrainingLoop(Corpus.open(["book.txt"]), Config(hidden_size=50, updates=2000))
        while not loop.finished:
            loss = loop.step().losses[-1]
        print(loop.sample(200))

    With the same settings and without changes in between, the weights have the same bits after every update as
    those of `charloom.train`, however the updates are divided into calls.

    Attributes:
        corpus: the text.
        learner: the network, the optimizer's arrays, the hidden state and the counters. Its arrays may be
            changed in place at any time. If training averages the weights, see `restart_average`.
        engine: computes.
        schedule: the learning rates and the windows of the text. A window is T steps of B streams.

    Args:
        corpus: the text, from `Corpus.open` or `Corpus.from_text`.
        config: the settings; None means those of `learner`, or the defaults of `Config`. With threads 0, the loop uses
            as many threads as `charloom.train`.
        learner: continue with this learner, in place; None makes a new one.
        frozen: the names of parameters that must not change.

    Raises:
        ConfigError: `corpus` is not a `Corpus`, or both `config` and `learner` are given, a frozen parameter does not exist, or the network
            does not fit into memory.
        TextError: the text is too short, or has another vocabulary than the learner.
        EngineError, MissingPartError: the engine cannot train with these settings, or is not installed.
    """

    def __init__(
        self,
        corpus: Corpus,
        config: Config | None = None,
        *,
        learner: Learner | None = None,
        frozen: Collection[str] = (),
    ) -> None:
        if config is not None and learner is not None:
            raise ConfigError(
                "settings and a learner were given, but a learner has its own settings. Give only one of the two."
            )
        require_corpus(corpus)
        if learner is not None:
            require_vocabulary(corpus, learner)
        self.corpus = corpus
        self.learner = learner or new_learner(with_threads(config or Config()), corpus.vocabulary)
        self.engine = engine_for(with_threads(self.learner.config))
        self.schedule = Schedule.of_text(self.learner.config, corpus.ids)
        self.frozen = frozen
        count_missing(self.learner, corpus.ids, self.engine)

    @classmethod
    def load(
        cls, directory: str | Path, corpus: Corpus, frozen: Collection[str] = ()
    ) -> "TrainingLoop":
        """Return a loop that continues from a checkpoint directory.

        Args:
            directory: a directory of `save`, or one in the directory `checkpoints` of a run.
            corpus: the text on which the checkpoint was trained.
            frozen: the names of parameters that must not change.

        Raises:
            NotAModelError, DamagedError, NewerFormatError: the directory is not a checkpoint that can be read.
            TextError: the checkpoint belongs to another text.
        """
        path = as_path(directory)
        require_corpus(corpus)
        if is_run(path):
            newest = checkpoint_path(path, read_pointer(path, LATEST) or 0)
            raise NotAModelError(
                f"{shortened(path)} is a run directory, not a checkpoint. Give one of its checkpoints, such as "
                f"{shortened(newest)}, or continue the run with charloom.resume."
            )
        checkpoint = load_checkpoint(path)
        if checkpoint.fingerprint != corpus.fingerprint:
            raise TextError(
                f"the checkpoint {shortened(path)} was trained on another text than the given one, "
                f"{shortened(corpus.name)}. Give the text on which it was trained."
            )
        # A copy has its memory for itself, so it trains faster than arrays that share that of the file.
        return cls(corpus, learner=copy_learner(checkpoint.learner), frozen=frozen)

    def save(self, directory: str | Path) -> None:
        """Write a checkpoint directory, from which `load` continues with the same bits.

        Raises:
            WriteError: the disk failed, or the directory exists. A checkpoint is never overwritten.
            DivergedError: a number in the learner is not finite; nothing was written.
        """
        self._average_first_weights()
        save_checkpoint(as_path(directory), self.learner, {}, self.corpus.fingerprint)

    @property
    def frozen(self) -> frozenset[str]:
        """The names of the parameters that do not change; see `step`. It may be set at any time."""
        return self._frozen

    @frozen.setter
    def frozen(self, names: Collection[str]) -> None:
        if isinstance(names, str):
            raise ConfigError(
                f"frozen is {shortened(names)}; it must be a list of names, such as ['V']."
            )
        require_names(names, self.learner.parameters)
        self._frozen = frozenset(names)

    @property
    def finished(self) -> bool:
        """True if all updates of the settings `updates` or `epochs` are applied. You may continue all the same."""
        return self.learner.update >= self.updates

    @property
    def updates(self) -> int:
        """The number of updates of the settings `updates` or `epochs`."""
        return self.schedule.updates

    @property
    def learning_rate(self) -> float:
        """The learning rate that the next update has if you give none."""
        rates = self.schedule.learning_rates(self.learner.update, 1)
        return float(rates[0]) * self.learner.learning_rate_factor

    def step(
        self,
        learning_rate: float | Sequence[float] | Rates | None = None,
        *,
        updates: int | None = None,
    ) -> Trace:
        """Apply the next updates, and return the loss and the gradient norm of each.

        Frozen parameters and their optimizer's arrays keep their bits, and the averaged weights have the same values
        for them. Their gradients still count for the gradient norm, also for clipping by norm.

        Args:
            learning_rate: the learning rate of these updates, or a learning rate for each of them; None means
                those of the settings.
            updates: how many updates to apply; None means 1, or as many as there are learning rates. One call with many
                updates is faster than many calls.

        Returns:
            The losses in nats, summed over T and averaged over B, and the gradient norms, of shape (updates,).

        Raises:
            ConfigError: an argument is out of its range, or you have given a parameter another shape or dtype.
            DivergedError: a loss, a gradient or a parameter is not finite; this update was not applied.
        """
        count = None if updates is None else require_whole("updates", updates, 1)
        rates = None if learning_rate is None else given_rates(learning_rate, count)
        count = count or 1 if rates is None else len(rates)
        if count == 1 and not self._frozen:
            return self._applied(1, rates)
        traces, done = list[Trace](), 0
        while done < count:
            now = 1 if self.frozen else min(count - done, self._updates_to_epoch_end())
            part = None if rates is None else rates[done : done + now]
            traces.append(self._apply(now, part))
            done += now
        if len(traces) == 1:
            return traces[0]
        losses, norms = (
            [getattr(t, name) for t in traces] for name in ("losses", "gradient_norms")
        )
        return Trace(np.concatenate(losses), np.concatenate(norms))

    def restart_average(self, names: Collection[str] | None = None) -> None:
        """Set the averaged weights to the present weights, after you have changed weights in place.

        With the setting `averaging`, the model that `evaluate`, `sample`, `model` and `save` use has averaged weights, to
        which a change in place comes only slowly, with the next updates. As long as the average spans at most 16 updates,
        it has the change by itself. Without the setting, do nothing.

        Args:
            names: the parameters that you have changed; None means all.

        Raises:
            ConfigError: there is no such parameter, or one has another shape or dtype.
            DivergedError: a parameter has numbers that are not finite.
        """
        parameters = self.learner.parameters
        chosen = parameters if names is None else [names] if isinstance(names, str) else names
        require_names(chosen, parameters)
        require_sound_parameters(self.learner)
        for name in chosen if AVERAGE in self.learner.slots else ():
            self.learner.slots[AVERAGE][name][...] = parameters[name]

    def gradients(self) -> WindowGradients:
        """Return the loss and the exact gradients of the window that the learner reads next. No weight changes.

        Raises:
            DivergedError: the loss or a gradient is not finite.
        """
        return gradients_of_next_window(self.learner, self.corpus.ids, self.engine, self.schedule)

    def apply(
        self,
        window: WindowGradients,
        gradients: Mapping[str, NDArray[Any]] | None = None,
        learning_rate: float | None = None,
    ) -> None:
        """Apply one update with gradients of your own: clip them, let the optimizer step, and go to the next window.

        NumPy computes the update, so the weights may differ from those of `step` by rounding.

        Args:
            window: the window, from `gradients`.
            gradients: a gradient for each parameter that shall change, in its shape and with the meaning of
                `window.gradients`; None means those. Frozen parameters and those without a gradient keep their bits.
            learning_rate: the learning rate; None means that of the settings.

        Raises:
            ConfigError: the window is not the learner's next one, or a gradient has a wrong name or shape.
            DivergedError: a gradient is not finite; nothing has changed.
        """
        learner = self.learner
        if window.update != learner.update + 1:
            raise ConfigError(
                f"the window belongs to update {window.update:,}, but the next update is {learner.update + 1:,}; call "
                f"the method `gradients` before each update."
            )
        given = window.gradients if gradients is None else gradients
        require_names(given, learner.parameters)
        for name, array in given.items():
            require_shape(name, array, learner.parameters[name])
        norm = gradient_norm(dict(given))
        if not math.isfinite(norm):
            raise DivergedError(
                f"the norm of the given gradients is {norm:g}; they must be finite."
            )
        rate = self._rate(learning_rate)
        learner.start_losses = None
        chosen = {name: array for name, array in given.items() if name not in self.frozen}
        apply_gradients(learner, chosen, rate, window.x, norm)
        self._average_others(chosen)
        learner.state = window.state
        learner.position += learner.config.seq_length
        learner.update += 1
        count_losses(learner, Trace(np.array([window.loss]), np.array([window.norm])))
        if self.schedule.windows.ends_epoch(learner.position):
            learner.epoch += 1

    def states(self) -> dict[str, NDArray[Any]]:
        """Return the hidden states after each step of the window that the learner reads next.

        Returns:
            Arrays of shape (T, L, B, H): `h`, and for an LSTM also `cell`. Dropout is off.
        """
        window = self.gradients()
        streams = []
        for s in range(window.x.shape[1]):
            state = {
                name: np.ascontiguousarray(a[:, s : s + 1])
                for name, a in self.learner.state.items()
            }
            ids = np.ascontiguousarray(window.x[:, s])
            streams.append(self.engine.activations(self.learner, ids, state)[0])
        return {name: np.stack([one[name] for one in streams], axis=2) for name in streams[0]}

    def evaluate(self) -> float:
        """Return the loss on the validation part of the text, in nats per character.

        Raises:
            ConfigError: the setting `validation` is 0, so there is no such part.
            DivergedError: the loss is not finite.
        """
        if not self.learner.config.validation:
            raise ConfigError(
                f"{argument('validation', 0)} leaves no part of the text to evaluate; use a setting such as "
                f"{argument('validation', 0.1)}."
            )
        self._average_first_weights()
        windows = self.schedule.windows
        return run_all_slices(
            validation_in_slices(self.learner, self.corpus.ids, windows, self.engine)
        )

    def sample(self, length: int = 200) -> str:
        """Return `length` characters that the network writes now; the same characters for the same update and seed."""
        length = require_whole("length", length, 1)
        self._average_first_weights()
        learner = copy_learner(self.learner)
        learner.config = learner.config.replace(sample_length=length)
        return sample(learner, self.corpus.ids, self.schedule.windows, self.engine)

    def model(self) -> Model:
        """Return a copy of the network as a model, which can write, be evaluated, saved and exported."""
        self._average_first_weights()
        kept = copy_learner(finished_model(self.learner))
        return Model(kept, self.engine, updates=self.updates, corpus=self.corpus)

    def _apply(self, count: int, rates: Rates | None) -> Trace:
        """Apply updates of one epoch in one call of the engine; frozen parameters do not change."""
        learner = self.learner
        if not self._frozen:
            return self._applied(count, rates)
        kept = {name: learner.parameters[name].copy() for name in self.frozen}
        # The average of a frozen parameter is the parameter itself, also if it was changed by hand before.
        slots = {
            slot: kept if slot == AVERAGE else {name: arrays[name].copy() for name in self.frozen}
            for slot, arrays in learner.slots.items()
        }
        trace = self._applied(count, rates)
        for name, array in kept.items():
            learner.parameters[name][...] = array
            for slot, arrays in slots.items():
                learner.slots[slot][name][...] = arrays[name]
        return trace

    def _applied(self, count: int, rates: Rates | None) -> Trace:
        """Apply updates in one call of the engine; if it fails, name the parameter that is wrong."""
        learner = self.learner
        try:
            return apply_updates(learner, self.corpus.ids, self.engine, self.schedule, count, rates)
        except (CharloomError, AttributeError, KeyError, TypeError, ValueError):
            require_sound_parameters(learner)
            raise

    def _average_others(self, changed: Collection[str]) -> None:
        """Move the averages of the parameters that an update did not change; those of frozen ones are the parameters."""
        learner = self.learner
        for name, array in learner.parameters.items():
            if AVERAGE not in learner.slots or name in changed:
                continue
            slots = {AVERAGE: learner.slots[AVERAGE][name]}
            if name in self.frozen:
                slots[AVERAGE][...] = array
            else:
                average(learner.config, array, slots, learner.update + 1)

    def _average_first_weights(self) -> None:
        """Let the averaged weights be the present ones as long as the averages have only the last update's weights."""
        learner = self.learner
        if (
            AVERAGE in learner.slots
            and averaging_rate(learner.config.averaging, learner.update) == 1
        ):
            self.restart_average()

    def _updates_to_epoch_end(self) -> int:
        """Return how many updates may follow in one call of the engine: those to the end of the epoch."""
        windows = self.schedule.windows
        done = self.learner.position // windows.seq_length
        return windows.per_epoch - done if done < windows.per_epoch else windows.per_epoch

    def _rate(self, learning_rate: float | None) -> float:
        """Return the learning rate of the next update: the given one, or that of the settings."""
        if learning_rate is None:
            return self.learning_rate
        return require_number("learning_rate", learning_rate, least=0)


def given_rates(learning_rate: float | Sequence[float] | Rates, updates: int | None) -> Rates:
    """Return the learning rate of each update, shape (updates,); `TrainingLoop.step` describes the arguments.

    Raises:
        ConfigError: a learning rate is not a number of at least 0, there are none, or there are not `updates` of them.
    """
    if isinstance(learning_rate, float) and 0 <= learning_rate < math.inf:
        return np.array([learning_rate] * (updates or 1))
    wrong = ConfigError(
        f"{argument('learning_rate')} is {shortened(learning_rate)}; it must be a number of at least 0, or a list of such "
        f"numbers, one for each update."
    )
    try:
        rates = np.array(learning_rate, dtype=np.float64)
    except (TypeError, ValueError):
        raise wrong from None
    if rates.ndim > 1 or not rates.size or not (np.isfinite(rates) & (rates >= 0)).all():
        raise wrong
    if rates.ndim == 0:
        return np.full(updates or 1, float(rates))
    if updates not in (None, len(rates)):
        raise ConfigError(
            f"{argument('updates')} is {updates}, but there are {counted(len(rates), 'learning rate')}, one for each "
            f"update. Leave {argument('updates')} out."
        )
    return rates


def require_corpus(corpus: object) -> None:
    """Raise ConfigError unless `corpus` is a corpus."""
    if not isinstance(corpus, Corpus):
        raise ConfigError(
            f"corpus is {shortened(corpus)}; it must be a Corpus. Open a text with Corpus.open('book.txt')."
        )


def require_vocabulary(corpus: Corpus, learner: Learner) -> None:
    """Raise TextError unless a text has the vocabulary of a learner."""
    if corpus.vocabulary != learner.vocabulary:
        raise TextError(
            f"the text {corpus.name} has another vocabulary ({len(corpus.vocabulary):,} {corpus.vocabulary.tokens}) than the "
            f"learner ({len(learner.vocabulary):,}). Open the text with learner.vocabulary as the vocabulary."
        )


def require_names(names: Collection[str], parameters: Parameters) -> None:
    """Raise ConfigError if a name is not that of a parameter."""
    wrong = sorted(set(names) - set(parameters))
    if wrong:
        raise ConfigError(
            f"there is no parameter {shortened(wrong[0])}; the parameters are {', '.join(parameters)}."
        )


def require_shape(name: str, gradient: NDArray[Any], parameter: NDArray[Any]) -> None:
    """Raise ConfigError unless a gradient has the shape of its parameter."""
    if np.shape(gradient) != parameter.shape:
        raise ConfigError(
            f"the gradient of {name} has shape {np.shape(gradient)}; it must have the shape of the parameter, "
            f"{parameter.shape}."
        )
