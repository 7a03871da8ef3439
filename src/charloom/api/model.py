"""An opened model: it writes, is evaluated, and is saved as one file."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from charloom.api.parts import Part, choose_part, judge, judge_others
from charloom.api.texts import Text, as_file, as_path
from charloom.baselines import Baselines
from charloom.config import Config
from charloom.engines import Engine, Sampler, open_engine
from charloom.errors import CharloomError
from charloom.evaluation import Evaluation
from charloom.model import Learner
from charloom.model.parameters import Parameters
from charloom.model.schedule import Schedule
from charloom.neurons import Activity, activity, choose
from charloom.sampling import AS_IT_IS, Writing
from charloom.store import (
    Which,
    load_model,
    model_blocks,
    replace_file,
    update_of_file,
    which_of_run,
)
from charloom.store.layout import is_run, read_about
from charloom.surprise import Surprise, surprise
from charloom.text import Corpus, Vocabulary


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network, ready to write and to be measured.

    Attributes:
        learner: all of it, as plain data.
        engine: what computes.
        run: the run directory that it belongs to, if one was written.
        which: which model of its training it is, "best" or "latest"; None for a checkpoint directory
            or a model file.
        updates: of the whole training, where that is known.
        before: updates that made the weights and that `learner.update` does not count: those of a
            model file; None where it does not tell them.
        corpus: the text that it was trained on, of a training without a run; a run knows its text.
    """

    learner: Learner
    engine: Engine
    run: Path | None = None
    which: Which | None = None
    updates: int | None = None
    before: int | None = 0
    corpus: Corpus | None = field(default=None, repr=False)
    _opened: tuple[int, int] = field(init=False, repr=False)  # update and weights when it was made

    def __post_init__(self) -> None:
        object.__setattr__(self, "_opened", (self.learner.update, checksum(self.parameters)))

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
        """Its arrays by name: of each layer `layers.0.U` (G·H, K; above layer 0 G·H, H),
        `layers.0.W` (G·H, H), `layers.0.b` (G·H), of the GRU `layers.0.d` (H); then `V` (K, H),
        `c` (K). The gates G: rnn 1, lstm 4, gru 3."""
        return self.learner.parameters

    @property
    def update(self) -> int | None:
        """How many updates made its weights; None where nobody counted them: they were changed in
        place, or come from a file that does not tell."""
        update = self.learner.update
        if self.before is None or (update == self._opened[0] and self._changed):
            return None
        return self.before + update

    @property
    def stage(self) -> str:
        """Which model of its training it is, in words: the best model (update 138 of 2,000)."""
        then = stage(self.which, self.before, self._opened[0], self.updates)
        if not self._changed:
            return then
        return f"changed by hand since {then}" if self.update is None else f"update {self.update:,}"

    @property
    def _changed(self) -> bool:
        """Whether its weights are others than when it was made."""
        return checksum(self.parameters) != self._opened[1]

    def __repr__(self) -> str:
        return (
            f"<charloom.Model: {self.config.cell}, H={self.config.hidden_size}, "
            f"K={len(self.vocabulary)}, {self.stage}>"
        )

    def sample(
        self,
        prompt: str = "",
        length: int = 200,
        temperature: float = 1.0,
        seed: int = 0,
        *,
        top_k: int = AS_IT_IS.top_k,
        top_p: float = AS_IT_IS.top_p,
        min_p: float = AS_IT_IS.min_p,
        repetition_penalty: float = AS_IT_IS.repetition_penalty,
        repetition_window: int = AS_IT_IS.repetition_window,
        stop: str | Sequence[str] = (),
        unknown: str = "refuse",
        replacement: str = "",
        number: int = 0,
    ) -> str:
        """The text that it writes after a prompt, which is not part of it.

        Args:
            prompt: what it reads first.
            length: characters to write at most; of a model of bytes, bytes.
            temperature: divides the logits; 0 takes the likeliest character each time.
            seed: decides the draws; the same text comes from the same model, engine and kind of
                machine.
            top_k: draw among the k likeliest characters; 0 takes all.
            top_p: draw among the likeliest that together have this probability.
            min_p: draw among those with at least this share of the likeliest's probability.
            repetition_penalty: above 1 makes characters read lately less likely.
            repetition_window: how many of the last characters were read lately.
            stop: the text ends before the first of these strings that it completes.
            unknown: what to do with a character of the prompt that it never read: "refuse", "skip"
                or "replace".
            replacement: the known character that is read instead.
            number: which of the texts of this seed; every one is another text.

        Raises:
            ConfigError: a value out of its range.
            UnknownCharacterError: the prompt has a character that it never read.
        """
        return "".join(
            self.stream(
                prompt,
                length,
                temperature,
                seed,
                top_k=top_k,
                top_p=top_p,
                min_p=min_p,
                repetition_penalty=repetition_penalty,
                repetition_window=repetition_window,
                stop=stop,
                unknown=unknown,
                replacement=replacement,
                number=number,
            )
        )

    def stream(
        self,
        prompt: str = "",
        length: int = 200,
        temperature: float = 1.0,
        seed: int = 0,
        *,
        top_k: int = AS_IT_IS.top_k,
        top_p: float = AS_IT_IS.top_p,
        min_p: float = AS_IT_IS.min_p,
        repetition_penalty: float = AS_IT_IS.repetition_penalty,
        repetition_window: int = AS_IT_IS.repetition_window,
        stop: str | Sequence[str] = (),
        unknown: str = "refuse",
        replacement: str = "",
        number: int = 0,
    ) -> Writing:
        """The text of `sample` in pieces, the first of them soon; same arguments and errors.

        The iterator that it returns says why the text ended: its `ended` is "length" or "stop".
        """
        sampler = Sampler(temperature, top_k, top_p, min_p, repetition_penalty, repetition_window)
        return Writing(
            self.learner,
            self.engine,
            prompt=prompt,
            length=length,
            sampler=sampler,
            seed=seed,
            number=number,
            stop=stop,
            unknown=unknown,
            replacement=replacement,
        )

    def evaluate(
        self,
        text: Text | None = None,
        *,
        string: str | None = None,
        split: str | None = None,
        streams: int | None = None,
        unknown: str = "refuse",
        replacement: str = "",
        seed: int = 0,
    ) -> Evaluation:
        """How well it predicts a text: nats and bits per character, and perplexity.

        Args:
            text: paths, or the name of a built-in text; without it, and without `string`, the text
                that it was trained on.
            string: the text itself, instead of `text`.
            split: which part of the text: "train", "validation", "test", as its training divides
                a text, or "all". By default of the text that it was trained on, given or not, the
                validation part, or where nothing was held out the training part; all of any other.
            streams: in how many pieces the part is read side by side; 1 is exact; None lets its
                length decide.
            unknown: what to do with a character that it never read: "refuse", "skip" or "replace".
            replacement: the known character that is read instead.
            seed: decides the bootstrap interval.

        Raises:
            TextError: the text cannot be read, has fewer than two characters, or is not known: a
                model file does not tell what it was trained on.
            UnknownCharacterError: the text has a character that the model never read.
            ConfigError: no such split, or a value out of its range.
        """
        part = self._part(text, string, split, unknown, replacement)
        return judge(self.learner, self.engine, part, streams, seed)

    def baselines(
        self,
        text: Text | None = None,
        *,
        string: str | None = None,
        split: str | None = None,
        unknown: str = "refuse",
        replacement: str = "",
    ) -> Baselines:
        """What n-grams and compressors make of the same part of a text, having read the training
        part; arguments and errors as `evaluate`, and

        Raises:
            ConfigError: the part is what they would learn from.
        """
        part = self._part(text, string, split, unknown, replacement)
        return judge_others(self, part)

    def score(self, text: str, *, unknown: str = "refuse", replacement: str = "") -> Surprise:
        """What each character of a text costs it, in nats and bits, given all before it.

        Args:
            text: the text itself.
            unknown: as for `evaluate`, and `replacement` too.

        Raises:
            TextError: fewer than two characters.
            UnknownCharacterError: the text has a character that the model never read.
        """
        return surprise(self.learner, self.engine, text, unknown, replacement)

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
        """What units of it do at each character of a text; `charloom.neurons` finds units that are
        worth a look.

        Args:
            text: the text itself.
            layer: from 0; None takes all.
            unit: of each layer, from 0; None takes all, which for a long text takes memory:
                characters × layers × units numbers.
            what: h; of an LSTM also cell and the gates i, f, g, o; of a GRU the gates r, z, n.
            unknown: as for `evaluate`, and `replacement` too.

        Raises:
            ConfigError: no such layer, unit or value.
            TextError: the text is empty.
            UnknownCharacterError: the text has a character that the model never read.
            DivergedError: a value is not finite.
        """
        choice = choose(self.learner, layer, unit, what)
        encoded = self.vocabulary.encode_with(text, unknown, replacement)
        return activity(self.learner, self.engine, encoded.ids, choice, encoded.unknown)

    def _part(
        self,
        text: Text | None,
        string: str | None,
        split: str | None,
        unknown: str,
        replacement: str,
    ) -> Part:
        """The part of a text that it is judged on."""
        return choose_part(
            self,
            text,
            string=string,
            split=split,
            unknown=unknown,
            replacement=replacement,
        )

    def export(self, path: str | Path, to: str = "torch") -> Path:
        """Write the model for another framework; see `charloom.export`."""
        from charloom.api.exchange import export

        return export(self, path, to=to)

    def save(self, path: str | Path) -> Path:
        """Write the whole model into a single file, which `load` opens again. It tells how many updates
        made the weights, where that is known.

        Raises:
            ConfigError: it is no path, or a directory's.
            WriteError: the disk refused; what was there before is as it was.
        """
        path = as_file(path)
        replace_file(path, model_blocks(self.learner, self.update))
        return path


def stage(which: Which | None, before: int | None, update: int, updates: int | None = None) -> str:
    """Which model of a training it is, in words; arguments as the attributes of `Model`."""
    if before is None:
        return "after updates that its file does not count"
    at = f"update {before + update:,}" + ("" if updates is None else f" of {updates:,}")
    return at if which is None else f"the {which} model ({at})"


def checksum(parameters: Parameters) -> int:
    """A number that tells weights from others."""
    found = 0
    for _, array in sorted(parameters.items()):
        found = zlib.crc32(np.ascontiguousarray(array).data, found)
    return found


def load(path: str | Path, *, which: Which | None = None, engine: str = "auto") -> Model:
    """Open a model.

    Args:
        path: a run directory, a checkpoint directory or a model file.
        which: of a run, the "latest" checkpoint, or the "best": on the validation part, or where
            nothing is held out the one with the lowest smooth loss. By default the best of a run with
            a validation part, and the latest of one without.
        engine: auto, native or reference.

    Raises:
        NotAModelError: nothing of the three is there.
        DamagedError: it is not what was written.
        ConfigError: no such engine, no such checkpoint, or what is no path.
        MissingPartError: the native engine was asked for by name and is not there.
    """
    path = as_path(path)
    if not is_run(path):
        learner = load_model(path, which)
        before = 0 if path.is_dir() else update_of_file(path)
        return Model(learner, open_engine(engine, learner.config.threads), before=before)
    which = which or which_of_run(path)
    learner = load_model(path, which)
    opened = open_engine(engine, learner.config.threads)
    return Model(learner, opened, path, judged(which, learner), updates_of(path))


def judged(which: Which, learner: Learner) -> Which:
    """What was asked for, or "latest" where nothing has judged the learner yet."""
    return "latest" if learner.best_update is None else which


def updates_of(run: Path) -> int | None:
    """Updates in a whole run; None where its config.json does not tell."""
    try:
        config, text, _ = read_about(run)
        return Schedule.of(config, text["characters"]).updates
    except CharloomError:
        return None
