"""The plan of a study: its runs, each with a key that names the same run in every version of the specification."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from charloom.canonical_form import canonical_json
from charloom.config import MACHINE_SETTINGS, Config
from charloom.errors import CharloomError, ConfigError
from charloom.formatting import shortened
from charloom.messages import argument, for_file
from charloom.model.memory_limit import parameter_count
from charloom.model.schedule import Schedule
from charloom.recipes import configure
from charloom.studies.compared_parts import Part, measured_part, require_same_part
from charloom.studies.spec import SAVING, Settings, StudySpec
from charloom.text import Corpus

KEY_LENGTH: Final = 16  # hexadecimal digits
DEFAULTS: Final = Config().to_dict()
# A run gets a directory if it needs more multiplications than this, about half a minute of one core.
LONG_RUN: Final = 1.5e11
# Forward and backward need about this many multiplications for each weight and character.
MULTIPLICATIONS: Final = 3


@dataclass(frozen=True)
class PlannedRun:
    """A run of a study.

    Attributes:
        number: its number in the plan, from 0.
        key: 16 hexadecimal digits, which depend on its text and on all settings that determine its result.
        text: the index of its text.
        settings: the settings that the study sets, with the seed.
        directory: whether it gets a run directory of its own.
    """

    number: int
    key: str
    text: int
    settings: Settings
    directory: bool = False

    def config(self, recipe: str) -> Config:
        """Return all settings of the run. It uses one thread."""
        return configure(recipe, **self.settings, threads=1)

    def to_dict(self) -> dict[str, Any]:
        """Return the line of the run in plan.jsonl as plain data."""
        return {
            "run": self.number,
            "key": self.key,
            "text": self.text,
            "settings": self.settings,
            "directory": self.directory,
        }

    @classmethod
    def from_dict(cls, line: dict[str, Any]) -> "PlannedRun":
        """Return the run of a line in plan.jsonl."""
        return cls(line["run"], line["key"], line["text"], line["settings"], line["directory"])


def plan_runs(spec: StudySpec, corpora: Sequence[Corpus]) -> list[PlannedRun]:
    """Return the runs of a study in the order of the specification. Of equal runs, only the first is kept.

    Args:
        spec: the specification.
        corpora: its texts, in the same order.

    Raises:
        ConfigError: the settings of a run are not valid; the message names the settings. Or runs on the same text
            have their losses on different parts of it.
        TextError: a text is too short for a run.
    """
    planned: dict[str, PlannedRun] = {}
    parts: dict[int, Part] = {}
    for text, settings in spec.combinations():
        corpus = corpora[text]
        config = checked_config(spec.recipe, settings, corpus)
        part = measured_part(vars(config))
        require_same_part(parts.setdefault(text, part), part)
        directory = spec.directories == "all" or (
            spec.directories == "auto" and is_long(config, corpus)
        )
        if config.save_every and not directory:
            raise ConfigError(
                f"the study sets save_every, but its runs without a run directory ({in_words(settings)}) keep no "
                f'checkpoints. Give directories = "all" in the section keep, or leave out save_every.'
            )
        common = common_part(config, corpus.fingerprint)
        for seed in spec.seeds:
            key = run_key(common, seed)
            run = PlannedRun(len(planned), key, text, {**settings, "seed": seed}, directory)
            planned.setdefault(key, run)
    return list(planned.values())


def checked_config(recipe: str, settings: Settings, corpus: Corpus) -> Config:
    """Return the settings of a run, and check that the text is long enough for it.

    Raises:
        ConfigError, TextError: the run is not possible; the message begins with its settings.
    """
    try:
        config = configure(recipe, **settings)
        Schedule.of(config, len(corpus))
    except CharloomError as error:
        raise type(error)(f"the run with {in_words(settings)}: {for_file(error.message)}") from None
    if config.has_items:
        raise ConfigError(
            f"the study sets items to {config.items}, but a study reads each text as one stream; train the runs one by "
            f"one with {argument('items', config.items)}."
        )
    if config.tokens != corpus.vocabulary.tokens:
        raise ConfigError(
            f"the study sets tokens to {config.tokens} in only some of its runs; give it in the section settings."
        )
    return config


def in_words(settings: Settings) -> str:
    """Return the settings of a run for a message."""
    given = ", ".join(f"{name} = {shortened(value)}" for name, value in settings.items())
    return given or "the settings of its recipe"


def is_long(config: Config, corpus: Corpus) -> bool:
    """Return True if a run needs more than about half a minute of one core."""
    characters = Schedule.of(config, len(corpus)).updates * config.seq_length * config.batch_size
    weights = parameter_count(config, len(corpus.vocabulary))
    return MULTIPLICATIONS * characters * weights > LONG_RUN


def common_part(config: Config, fingerprint: str) -> bytes:
    """Return the bytes on which the key of a run depends, without its seed.

    They hold the settings that differ from the defaults, so a new setting in a later version changes no key.
    """
    changed = {
        name: value
        for name, value in config.to_dict().items()
        if value != DEFAULTS[name] and name not in (*MACHINE_SETTINGS, *SAVING, "recipe", "seed")
    }
    return canonical_json({"settings": changed, "text": fingerprint})


def with_seed(config: Config, seed: int) -> Config:
    """Return settings with another seed. It is much faster than `Config.replace`, which checks all settings again."""
    changed = object.__new__(Config)
    changed.__dict__.update(config.__dict__, seed=seed)
    return changed


def run_key(common: bytes, seed: int) -> str:
    """Return the key of the run with the seed `seed`; `common` is the result of `common_part`."""
    return hashlib.sha256(b"%b seed %d" % (common, seed)).hexdigest()[:KEY_LENGTH]


def key_of(config: Config, fingerprint: str) -> str:
    """Return the key of a run with the settings `config` on the text with the fingerprint `fingerprint`."""
    return run_key(common_part(config, fingerprint), config.seed)
