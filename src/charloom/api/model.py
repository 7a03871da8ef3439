"""A model in memory, which can write text and can be evaluated and saved. `load` opens a model."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from charloom.api.evaluation_text import TextChoice, choose_part, evaluate_baselines, evaluate_part
from charloom.api.export_file import (
    Export,
    ExportOptions,
    Target,
    edited_card,
    exported_learner,
    output_path,
    target_of,
)
from charloom.api.item_writing import (
    MAX_LENGTH,
    Check,
    ItemWishes,
    WrittenItems,
    item_writer,
)
from charloom.api.notebook_model import model_card, own_beginning
from charloom.api.python_warnings import warn_user
from charloom.api.text_arguments import Text, as_file, as_path
from charloom.baselines import Baselines
from charloom.config import (
    DYNAMIC_RATE,
    GRID_TEMPERATURES,
    GRID_TOP_PS,
    Config,
    require_number,
    require_string,
)
from charloom.engines import Engine, Sampler, open_engine
from charloom.errors import CharloomError, ConfigError
from charloom.evaluation import Evaluation
from charloom.formatting import counted
from charloom.hidden_units import Activity, activity, choose
from charloom.messages import argument
from charloom.mixture_weights import NGramUse, ngram_use
from charloom.model import DEFAULT_START, Learner, Start
from charloom.model.clamp import Clamp
from charloom.model.mixture_parts import network_alone, ngrams_alone
from charloom.model.parameters import Parameters
from charloom.model.schedule import Schedule
from charloom.model.unit_clamps import clamped
from charloom.pattern_matches import require_regex
from charloom.run_file_names import CHECKPOINTS
from charloom.sampling import DEFAULT_SAMPLER, SampleOptions, Writing
from charloom.sampling_grid import GridAxes, SampleGrid, write_grid
from charloom.store import (
    Which,
    load_model,
    model_blocks,
    replace_file,
    update_of_file,
    which_of_run,
)
from charloom.store.model_directory import CARD, model_file_of
from charloom.store.run_directory import is_run
from charloom.store.run_settings import read_settings
from charloom.surprisal import Surprise, surprise
from charloom.text import Corpus, UnknownPolicy, Vocabulary
from charloom.training.start_message import bad_export, bad_reading, bad_start


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network that can write text and be evaluated. A notebook shows its sizes and losses.

    Attributes:
        learner: the network and its training state as plain data.
        engine: the engine that computes.
        run: the run directory of the model, also of a checkpoint in it; None if it has none.
        which: kind of checkpoint in its run, "best" or "latest"; None for a checkpoint directory or
            a model file.
        updates: number of updates of the whole training run; None if it is not known.
        before: number of updates that the weights already had when `learner.update` was 0. For a model
            file it is the number in the file, or None if the file holds no number. Otherwise 0.
        corpus: the text that the model was trained on, if it was trained without a run directory.
        edited: True if `clamp` changed the weights since the model was opened.
    """

    learner: Learner
    engine: Engine
    run: Path | None = None
    which: Which | None = None
    updates: int | None = None
    before: int | None = 0
    corpus: Corpus | None = field(default=None, repr=False)
    edited: bool = False
    # The learner's update and the checksum of its weights when this object was created. They show whether
    # the weights have changed since then.
    _opened: tuple[int, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_opened", (self.learner.update, checksum(self.parameters)))

    @property
    def config(self) -> Config:
        """The settings of the model."""
        return self.learner.config

    @property
    def clamps(self) -> tuple[Clamp, ...]:
        """The hidden units that are held at a value; see `clamp`. A saved model has them when it is loaded again."""
        return self.learner.clamps

    @property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary of the model, with K characters."""
        return self.learner.vocabulary

    @property
    def parameters(self) -> Parameters:
        """The parameters of the model: arrays by name.

        Each layer has `layers.0.U` of shape (G·H, K), or (G·H, H) above layer 0, `layers.0.W` (G·H, H)
        and `layers.0.b` (G·H); a GRU also has `layers.0.d` (H). The output has `V` (K, H) and `c` (K),
        and with n-grams also `ngram.weight` (1, H) and `ngram.bias` (1). With pairs there is also
        `pairs.weight` (R, G·H), the inputs of the R pairs. G is the number of gates: rnn 1, lstm 4, gru 3.
        """
        return self.learner.parameters

    @property
    def update(self) -> int | None:
        """The number of updates after which the model has its present weights.

        None if it is not known, because the weights were changed in place or the model file does not hold
        the number.
        """
        update = self.learner.update
        if self.before is None or (update == self._opened[0] and self._changed):
            return None
        return self.before + update

    @property
    def stage(self) -> str:
        """The stage of training in words, such as "the best model (update 138 of 2,000)"."""
        opened = stage(self.which, self.before, self._opened[0], self.updates)
        if not self._changed:
            return opened + self._held_phrase
        return (
            f"changed by hand since {opened}" if self.update is None else f"update {self.update:,}"
        )

    @property
    def _held_phrase(self) -> str:
        """The number of held units in words, such as ", with 2 hidden units held"; "" if there is none."""
        return (
            f", with {counted(len(self.clamps), 'hidden unit')} held at a value"
            if self.clamps
            else ""
        )

    @property
    def _changed(self) -> bool:
        """True if the weights have changed since this object was created."""
        return checksum(self.parameters) != self._opened[1]

    def __repr__(self) -> str:
        config = self.config
        ngrams = f"N={config.ngram_order}, " if config.ngram_order else ""
        pairs = f"{counted(config.input_pairs, 'pair')}, " if config.input_pairs else ""
        return (
            f"<charloom.Model: {config.cell}, H={config.hidden_size}, {ngrams}{pairs}"
            f"K={len(self.vocabulary)}, {self.stage}>"
        )

    def _repr_html_(self) -> str:
        """Return the sizes and losses of the model, and how to go on, as HTML for a notebook."""
        has_text = self.run is not None or self.corpus is not None
        beginning = own_beginning(self.vocabulary, self.corpus, self.run)
        return model_card(self.measured_learner, self.stage, self.run, has_text, beginning)

    def sample(
        self,
        prompt: str = "",
        length: int = 200,
        temperature: float = 1.0,
        seed: int = 0,
        *,
        top_k: int = DEFAULT_SAMPLER.top_k,
        top_p: float = DEFAULT_SAMPLER.top_p,
        min_p: float = DEFAULT_SAMPLER.min_p,
        repetition_penalty: float = DEFAULT_SAMPLER.repetition_penalty,
        repetition_window: int = DEFAULT_SAMPLER.repetition_window,
        stop: str | Sequence[str] = (),
        unknown: str = "refuse",
        replacement: str = "",
        number: int = 0,
        start: Start = DEFAULT_START,
    ) -> str:
        """Return a text that the model writes after the prompt, without the prompt.

        Args:
            prompt: text that the model reads first.
            length: largest number of characters to write, or of bytes for a model of bytes.
            temperature: divides the logits; 0 always takes the likeliest character.
            seed: seed of the random draws. The same seed gives the same text with the same model,
                engine and kind of machine.
            top_k: draw only from the k likeliest characters; 0 means all.
            top_p: draw only from the likeliest characters that together have this probability.
            min_p: leave out characters whose probability is below this fraction of the highest
                probability.
            repetition_penalty: above 1, characters in the repetition window become less likely.
            repetition_window: number of latest characters to which the repetition penalty applies.
            stop: one string or several; the text ends before the first of them that appears.
            unknown: what to do with a character of the prompt outside the vocabulary: "refuse",
                "skip" or "replace".
            replacement: the character that replaces unknown characters.
            number: number of the text, from 0. With the same seed, each number gives another text.
            start: "text" begins at the beginning of a line, in the state that the model has from its training
                text. "zero" begins in the zero state, as does a model file without a state.

        Warns with a UserWarning if training measured that the model writes badly from this start.

        Raises:
            ConfigError: a value is out of range.
            UnknownCharacterError: the prompt has a character outside the vocabulary.
        """
        sampler = Sampler(temperature, top_k, top_p, min_p, repetition_penalty, repetition_window)
        policy = UnknownPolicy(unknown, replacement)
        options = SampleOptions(length, seed, sampler, stop, policy, start)
        return "".join(self._writing(prompt, options, number))

    def stream(
        self,
        prompt: str = "",
        length: int = 200,
        temperature: float = 1.0,
        seed: int = 0,
        *,
        top_k: int = DEFAULT_SAMPLER.top_k,
        top_p: float = DEFAULT_SAMPLER.top_p,
        min_p: float = DEFAULT_SAMPLER.min_p,
        repetition_penalty: float = DEFAULT_SAMPLER.repetition_penalty,
        repetition_window: int = DEFAULT_SAMPLER.repetition_window,
        stop: str | Sequence[str] = (),
        unknown: str = "refuse",
        replacement: str = "",
        number: int = 0,
        start: Start = DEFAULT_START,
    ) -> Writing:
        """Return an iterator over the pieces of a text while it is written.

        Arguments and errors are those of `sample`. After the last piece, the attribute `ended` of the
        iterator says why the text ended: "length" or "stop".
        """
        sampler = Sampler(temperature, top_k, top_p, min_p, repetition_penalty, repetition_window)
        policy = UnknownPolicy(unknown, replacement)
        options = SampleOptions(length, seed, sampler, stop, policy, start)
        return self._writing(prompt, options, number)

    def items(
        self,
        count: int = 20,
        *,
        prompt: str = "",
        new: bool = False,
        distinct: bool = False,
        matching: str | None = None,
        check: Check | None = None,
        max_length: int = MAX_LENGTH,
        temperature: float = 1.0,
        seed: int = 0,
        top_k: int = DEFAULT_SAMPLER.top_k,
        top_p: float = DEFAULT_SAMPLER.top_p,
        min_p: float = DEFAULT_SAMPLER.min_p,
        unknown: str = "refuse",
        replacement: str = "",
    ) -> WrittenItems:
        """Return items that the model writes, if it was trained on a collection. The model ends each of them itself.

        The result is a sequence of strings; it also says how many items were left out, and why. Writing stops after
        200 items for each wanted one.

        Args:
            count: how many items to return.
            prompt: the beginning of every item.
            new: leave out items that the collection contains.
            distinct: leave out items that were written before.
            matching: a regular expression; keep only items that it matches as a whole.
            check: a function; keep only items for which it returns True.
            max_length: the largest number of characters of an item; a longer one is left out.
            temperature: as for `sample`.
            seed: as for `sample`.
            top_k: as for `sample`.
            top_p: as for `sample`.
            min_p: as for `sample`.
            unknown: as for `sample`.
            replacement: as for `sample`.

        Raises:
            ConfigError: the model learned a stream; or a value is out of range.
            UnknownCharacterError: the prompt has a character outside the vocabulary.
            TextError: the items must be new, and the collection cannot be read.
        """
        sampler = Sampler(temperature, top_k, top_p, min_p)
        policy = UnknownPolicy(unknown, replacement)
        options = SampleOptions(max_length, seed, sampler, policy=policy)
        pattern = None if matching is None else require_regex(matching)
        wishes = ItemWishes(new, distinct, pattern, check)
        writer = item_writer(self, options, count, wishes, prompt)
        for _ in writer:
            pass
        return writer.result

    def sample_grid(
        self,
        prompt: str = "",
        length: int = 200,
        temperatures: Sequence[float] = GRID_TEMPERATURES,
        top_ps: Sequence[float] = GRID_TOP_PS,
        seed: int = 0,
        *,
        top_k: int = DEFAULT_SAMPLER.top_k,
        min_p: float = DEFAULT_SAMPLER.min_p,
        repetition_penalty: float = DEFAULT_SAMPLER.repetition_penalty,
        repetition_window: int = DEFAULT_SAMPLER.repetition_window,
        stop: str | Sequence[str] = (),
        unknown: str = "refuse",
        replacement: str = "",
        start: Start = DEFAULT_START,
    ) -> SampleGrid:
        """Return a table of texts: one for each temperature (rows) and top-p (columns), all from one seed.

        Each text is that of `sample` with the same arguments, this temperature and this top-p. A terminal and a
        notebook show the result as a table.

        Args:
            prompt: text that the model reads first.
            length: as for `sample`.
            temperatures: the temperatures, in the order of the rows.
            top_ps: the values of top-p, in the order of the columns.
            seed: as for `sample`.
            top_k: as for `sample`.
            min_p: as for `sample`.
            repetition_penalty: as for `sample`.
            repetition_window: as for `sample`.
            stop: as for `sample`.
            unknown: as for `sample`.
            replacement: as for `sample`.
            start: as for `sample`.

        Warns with a UserWarning if training measured that the model writes badly from this start.

        Raises:
            ConfigError: a value is out of range, or a list has no number or more than 20.
            UnknownCharacterError: the prompt has a character outside the vocabulary.
        """
        sampler = Sampler(
            top_k=top_k,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            repetition_window=repetition_window,
        )
        policy = UnknownPolicy(unknown, replacement)
        options = SampleOptions(length, seed, sampler, stop, policy, start)
        axes = GridAxes(temperatures, top_ps)
        grid = write_grid(self.learner, self.engine, prompt, options, axes)
        warn_user(self.start_problem(options.start, prompt))
        return grid

    def start_problem(self, start: Start, prompt: str) -> str | None:
        """Return a message that the model writes badly from a start; None if it writes well.

        The message has marks (see `charloom.messages`). Return None also if training did not measure it, or if
        the weights have changed since. The arguments are those of `sample`.
        """
        return self._unless_changed(bad_start(self.learner, start, bool(prompt)))

    def _writing(self, prompt: str, options: SampleOptions, number: int) -> Writing:
        """Return an iterator over a text's pieces. Warn if the model writes badly from the start of the text."""
        writing = Writing(self.learner, self.engine, prompt, options, number=number)
        warn_user(self.start_problem(options.start, prompt), stacklevel=3)
        return writing

    def evaluate(
        self,
        text: Text | None = None,
        *,
        string: str | None = None,
        split: str | None = None,
        streams: int | None = None,
        dynamic: bool = False,
        dynamic_rate: float = DYNAMIC_RATE,
        unknown: str = "refuse",
        replacement: str = "",
        seed: int = 0,
    ) -> Evaluation:
        """Return how well the model predicts a text: nats and bits per character, and perplexity.

        The text is read from the zero state. To compare the result with n-gram models and compressors on the
        same text, call `baselines`. To evaluate the two parts of a model with n-grams separately, call
        `network_alone().evaluate(…)` and `ngrams_alone().evaluate(…)`.

        Args:
            text: paths, or the name of a built-in text. Without `text` and `string`, the text that
                the model was trained on.
            string: the text itself, instead of `text`.
            split: part of the text: "train", "validation" or "test", divided as in training, or "all".
                The default for the text that the model was trained on is "validation", or "train" if
                it has no validation part. The default for any other text is "all".
            streams: number of parallel streams that the part is divided into. 1 is exact; None
                chooses a number that suits the length of the part.
            dynamic: let a copy of the model learn from each 32 characters after it has predicted them. The
                text is then read as one stream. Do not compare the result with that of a model that does
                not learn.
            dynamic_rate: the learning rate for `dynamic`; it has no effect without it.
            unknown: what to do with a character outside the vocabulary: "refuse", "skip" or "replace".
            replacement: the character that replaces unknown characters.
            seed: seed of the bootstrap interval.

        Raises:
            TextError: the text cannot be read or has fewer than two characters. Or no text is given, and
                the model was opened from a checkpoint directory or a model file, which do not hold the
                text that it was trained on.
            UnknownCharacterError: the text has a character outside the vocabulary.
            ConfigError: the text has no such part, or a value is out of range.
            DivergedError: the loss is not finite.
        """
        choice = TextChoice(text, string, split, UnknownPolicy(unknown, replacement))
        part, rate = choose_part(self, choice), dynamic_rate if dynamic else None
        return evaluate_part(self.learner, self.engine, part, streams, seed, rate)

    def baselines(
        self,
        text: Text | None = None,
        *,
        string: str | None = None,
        split: str | None = None,
        unknown: str = "refuse",
        replacement: str = "",
    ) -> Baselines:
        """Return how well n-gram models and compressors predict a part of a text.

        The n-gram models and compressors first learn from the training part of the same text. One
        exception: if the part is a whole text on which the model was not trained, they first learn from
        the training part of the text on which the model was trained. The arguments are those of `evaluate`,
        which also lists more errors.

        Raises:
            ConfigError: the part is the training part, or contains it.
        """
        choice = TextChoice(text, string, split, UnknownPolicy(unknown, replacement))
        return evaluate_baselines(self, choose_part(self, choice))

    def network_alone(self) -> "Model":
        """Return the network of a model with n-grams as a model of its own, without the n-grams.

        The network learned to correct the n-grams, not to predict alone. So its loss is often far higher
        than that of a network that was trained with `ngram_order` 0.

        Raises:
            ConfigError: the model has no n-grams.
        """
        return replace(self, learner=network_alone(self.learner))

    def ngrams_alone(self) -> "Model":
        """Return the n-grams of a model as a model of its own, without the network.

        It predicts with the probabilities that were counted in the training text.

        Raises:
            ConfigError: the model has no n-grams.
        """
        return replace(self, learner=ngrams_alone(self.learner))

    def clamp(self, layer: int, unit: int, value: float = 0.0) -> "Model":
        """Return a copy of the model in which a hidden unit is held at a value at every step.

        Everything that reads the unit's hidden state h reads `value` instead: the recurrent weights, the layer
        above or the output, and the weight of the n-grams (spec/mathematics.md: Held units). This model is not
        changed. To hold several units, call `clamp` on the result. All methods work with the result, and it can be
        saved, exported and trained further. A saved model still has its held units when it is loaded again.

        Args:
            layer: number of the layer, from 0.
            unit: number of the unit in its layer, from 0.
            value: a finite number. A unit's h is always between -1 and 1, so other values are outside what the
                network has learned.

        Raises:
            ConfigError: there is no such layer or unit, the value is not a finite number, or the unit is held
                already.
        """
        choice = choose(self.learner, layer, unit, "h")
        clamp = Clamp(choice.layers[0], choice.units[0], require_number("value", value))
        return replace(self, learner=clamped(self.learner, clamp), edited=True)

    def score(self, text: str, *, unknown: str = "refuse", replacement: str = "") -> Surprise:
        """Return the loss of each character of a text, given all characters before it, in nats and in bits.

        The text is read from the zero state.

        Args:
            text: the text itself.
            unknown: as for `evaluate`.
            replacement: as for `evaluate`.

        Raises:
            TextError: the text has fewer than two characters.
            UnknownCharacterError: the text has a character outside the vocabulary.
        """
        return surprise(self.learner, self.engine, text, UnknownPolicy(unknown, replacement))

    def ngram_use(self, text: str, *, unknown: str = "refuse", replacement: str = "") -> NGramUse:
        """Return how much the model relies on its n-grams when it predicts each character of a text.

        Args:
            text: the text itself.
            unknown: as for `evaluate`.
            replacement: as for `evaluate`.

        Raises:
            ConfigError: the model has no n-grams.
            TextError: the text is empty.
            UnknownCharacterError: the text has a character outside the vocabulary.
        """
        return ngram_use(self.learner, self.engine, text, UnknownPolicy(unknown, replacement))

    def activity(
        self,
        text: str,
        *,
        layer: int | None = None,
        unit: int | None = None,
        what: str = "h",
        unknown: str = "refuse",
        replacement: str = "",
    ) -> Activity:
        """Return the values of the model's hidden units after each character of a text, read from the zero state.

        `charloom.neurons` finds the units that follow a property of the text. For a unit that is held (`clamp`),
        h is the held value. Nothing reads its other values: its candidate and its LSTM cell state are 0, and its
        other gates are what they would be.

        Args:
            text: the text itself.
            layer: number of the layer from 0; None means all layers.
            unit: number of the unit from 0 in each layer. None means all units, which needs memory for
                characters × layers × units numbers.
            what: the name of the value of each unit: h, the hidden state; for an LSTM also cell and the
                gates i, f, g, o; for a GRU also the gates r, z, n.
            unknown: as for `evaluate`.
            replacement: as for `evaluate`.

        Raises:
            ConfigError: a layer, unit or value does not exist.
            TextError: the text is empty.
            UnknownCharacterError: the text has a character outside the vocabulary.
            DivergedError: a value is not finite.
        """
        choice = choose(self.learner, layer, unit, what)
        policy = UnknownPolicy(unknown, replacement)
        encoded = self.vocabulary.encode_with(require_string("text", text), policy)
        return activity(self.learner, self.engine, encoded.ids, choice, encoded.unknown)

    def export(
        self,
        path: str | Path,
        to: str = "torch",
        *,
        network_alone: bool = False,
        about: str | None = None,
        license: str | None = None,
        weights: str = "auto",
        optimizer: bool = False,
    ) -> Path:
        """Write the model for another framework, a hub or a browser; see `charloom.export`."""
        options = ExportOptions(network_alone, about, license, weights, optimizer)
        return self.write_export(path, to, options)

    def to_html(
        self,
        path: str | Path,
        *,
        network_alone: bool = False,
        about: str | None = None,
        weights: str = "auto",
    ) -> Path:
        """Write the model as one HTML file that writes text in a browser; see `charloom.export` with to="html"."""
        return self.write_export(path, "html", ExportOptions(network_alone, about, weights=weights))

    def write_export(self, path: str | Path, to: str, options: ExportOptions) -> Path:
        """Write the model for the target `to`; `export` and `to_html` make its `options`.

        A README.md that a user has edited is kept. Warns about this, and if the model writes badly from the state in
        which it begins there.
        """
        target = target_of(to, options)
        export = self.prepared_export(output_path(path, target), options)
        card = edited_card(export.path, target)
        target.write(replace(export, card=card))
        if card is not None:
            warn_user(
                f"{export.path / CARD} was edited, so it is kept; delete it to get a new one.",
                stacklevel=3,
            )
        warn_user(self.export_problem(export.learner, target), stacklevel=3)
        return export.path

    def prepared_export(self, path: Path, options: ExportOptions) -> Export:
        """Return what the method `write` of a target needs to write the model to `path`."""
        if options.optimizer and (self.edited or self.update is None):
            raise ConfigError(
                "the weights of the model were changed by hand, so the state of the optimizer does not belong to them; "
                f"leave out {argument('optimizer')}."
            )
        learner = exported_learner(self.measured_learner, options.network_alone)
        return Export(self, learner, self.update, path, options)

    def export_problem(self, exported: Learner, target: Target) -> str | None:
        """Return a message that an exported model writes badly from the state in which it begins.

        The message has marks (see `charloom.messages`). Return None if it writes well, if training did not
        measure it, or if the weights have changed since. `exported` is the learner that was written.
        """
        if target.has_start:
            return self._unless_changed(bad_start(exported, DEFAULT_START, prompt=True))
        return self._unless_changed(bad_export(exported.start_losses))

    @property
    def measured_learner(self) -> Learner:
        """The learner; if its weights have changed, without the losses that were measured before."""
        if not self._changed:
            return self.learner
        return replace(self.learner, start_losses=None, best_loss=None, best_update=None)

    def reading_problem(self) -> str | None:
        """Return a message that the model predicts the first characters of a text badly from the zero state.

        `score` and `activity` read a text from the zero state. The message has marks, and is None in the cases
        of `export_problem`.
        """
        return self._unless_changed(bad_reading(self.learner.start_losses))

    def _unless_changed(self, problem: str | None) -> str | None:
        """Return a message about measured losses; None if the weights have changed since they were measured."""
        # Compare the weights only if there is a problem, because this reads all of them.
        return None if problem is not None and self._changed else problem

    def save(self, path: str | Path) -> Path:
        """Write the model to one file, which `load` opens again, and return its path.

        The file also holds the number of updates, if it is known, and the state in which the model begins to
        write. An existing file is replaced.

        Raises:
            ConfigError: the path is not valid, or is a directory.
            WriteError: the file cannot be written; an existing file is unchanged.
        """
        path = as_file(path)
        replace_file(path, model_blocks(self.measured_learner, self.update))
        return path


def learner_of(model: str | Path | Model | None) -> Learner | None:
    """Return the learner of a model, which may be given as a path for `load`; None if `model` is None."""
    if model is None:
        return None
    if isinstance(model, Model):
        return model.learner
    return load_model(as_path(model, "from_model"))


def stage(which: Which | None, before: int | None, update: int, updates: int | None = None) -> str:
    """Return the stage of training in words, such as "the best model (update 138 of 2,000)".

    Args:
        which: the kind of checkpoint, "best" or "latest"; None leaves it out.
        before: number of updates that the weights already had when `update` was 0; None if it is not known.
        update: the update of the learner, counted from 0.
        updates: number of updates of the whole training run; None leaves it out.
    """
    if before is None:
        return "after an unknown number of updates"
    at = f"update {before + update:,}" + ("" if updates is None else f" of {updates:,}")
    return at if which is None else f"the {which} model ({at})"


def checksum(parameters: Parameters) -> int:
    """Return the CRC-32 checksum of all weights, which shows whether they change later."""
    found = 0
    for _, array in sorted(parameters.items()):
        found = zlib.crc32(np.ascontiguousarray(array).data, found)
    return found


def load(path: str | Path, *, which: Which | None = None, engine: str = "auto") -> Model:
    """Open a model.

    Args:
        path: a run directory, a checkpoint directory, a model file, or a directory with a model file that
            `export` wrote for a hub.
        which: for a run, the "latest" or the "best" checkpoint. The best has the lowest validation
            loss or, if there is no validation part, the lowest smooth loss. Before the run has computed
            this loss, the best is the latest. None means the best if the run has a validation part, else
            the latest.
        engine: auto, native, reference or torch. The engine torch takes a GPU if there is one.

    Raises:
        NotAModelError: the path is none of these.
        DamagedError: a file of the model is damaged.
        ConfigError: the engine or the checkpoint does not exist, or the path is not valid.
        MissingPartError: `engine` is native, and the native engine is not installed.
    """
    path = as_path(path)
    if not is_run(path):
        path = model_file_of(path)
        learner = load_model(path, which)
        before = 0 if path.is_dir() else update_of_file(path)
        opened, run = (
            open_engine(engine, learner.config.threads, cell=learner.config.cell),
            run_around(path),
        )
        updates = None if run is None else updates_of(run)
        return Model(learner, opened, run, updates=updates, before=before)
    which = which or which_of_run(path)
    learner = load_model(path, which)
    opened = open_engine(engine, learner.config.threads, cell=learner.config.cell)
    return Model(learner, opened, path, available_which(which, learner), updates_of(path))


def run_around(path: Path) -> Path | None:
    """Return the run directory of a checkpoint in its directory `checkpoints`; None if the path is not in one."""
    folder = path.parent if path.parent.name else path.absolute().parent
    run = folder.parent
    return run if folder.name == CHECKPOINTS and path.is_dir() and is_run(run) else None


def available_which(which: Which, learner: Learner) -> Which:
    """Return `which`, or "latest" if the run has no best checkpoint yet."""
    return "latest" if learner.best_update is None else which


def updates_of(run: Path) -> int | None:
    """Return the planned number of updates of a run; None if its config.json cannot be read."""
    try:
        settings = read_settings(run)
        return Schedule.of(settings.config, settings.text.characters).updates
    except CharloomError:
        return None
