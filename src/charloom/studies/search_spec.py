"""The section [search] of a specification: what a search with Optuna draws, how long, and where it keeps its trials.

This module does not need Optuna.
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from charloom.canonical_form import canonical_json
from charloom.config import SEED_LIMIT, require_whole
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.studies.compared_parts import MEASURING
from charloom.studies.known_settings import require_known
from charloom.studies.random_settings import Choice, Range, parse_draw

SAMPLERS: Final = ("tpe", "random")
PRUNERS: Final = ("median", "hyperband", "none")
FIELDS: Final = ("trials", "sampler", "pruner", "storage", "seed", "repeat")  # not settings
MOST_TRIALS: Final = 100_000
REPEATED: Final = 5  # settings that are repeated with the other seeds, if the study has several
VALUES: Final = (bool, int, float, str, type(None))  # types of the values in a list

Draws = tuple[tuple[str, Range | Choice], ...]


@dataclass(frozen=True)
class SearchSpec:
    """What a search does.

    Attributes:
        trials: number of trials.
        draws: what is drawn for each setting.
        sampler: "tpe" (tree-structured Parzen estimator) or "random".
        pruner: "median", "hyperband" or "none".
        storage: where Optuna keeps the trials: the URL of a database; None means a file in the study's directory.
        seed: seed of the sampler.
        repeat: number of the best settings that are trained with all other seeds when the trials are done.
    """

    trials: int
    draws: Draws
    sampler: str = "tpe"
    pruner: str = "median"
    storage: str | None = None
    seed: int = 0
    repeat: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the search as plain data."""
        draws = {
            name: list(draw.values) if isinstance(draw, Choice) else vars(draw)
            for name, draw in self.draws
        }
        return {**vars(self), "draws": draws}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "SearchSpec":
        """Return the search of `to_dict`."""
        draws = tuple((name, parse_draw(name, one)) for name, one in values["draws"].items())
        return cls(**{**values, "draws": draws})

    def name(self, *rest: Any) -> str:
        """Return the name of the search in Optuna's storage.

        It depends on all that the trials depend on, and not on their number. `rest` is what else they depend on: the
        text, the settings and so on.
        """
        fields = self.to_dict()
        for field in ("trials", "storage", "repeat"):
            del fields[field]
        digest = hashlib.sha256(canonical_json([fields, *rest])).hexdigest()
        return f"charloom-{digest[:16]}"

    def examples(self) -> list[dict[str, Any]]:
        """Return drawn settings that together have the limits of each range and each value of each list."""
        middle = {name: draw.value(0.5) for name, draw in self.draws}
        found = []
        for name, draw in self.draws:
            ends = draw.values if isinstance(draw, Choice) else (draw.low, draw.high)
            found += [{**middle, name: value} for value in ends]
        return found


def parse_search(given: dict[str, Any], seeds: int) -> SearchSpec | None:
    """Return what the section [search] says; None if it is empty.

    Args:
        given: the section.
        seeds: the number of seeds of the study.

    Raises:
        ConfigError: a field is missing, or has a value that is not valid.
    """
    if not given:
        return None
    require_known("search", given, FIELDS)
    draws = tuple(
        (name, parse_draw(name, one, "search")) for name, one in given.items() if name not in FIELDS
    )
    require_draws(draws)
    if "trials" not in given:
        raise ConfigError("the section search does not say how many trials; give trials = 100.")
    storage = given.get("storage")
    if storage is not None and not (isinstance(storage, str) and "://" in storage):
        raise ConfigError(
            f"search.storage is {shortened(storage)}; it must be the URL of a database, such as "
            f'"postgresql://user@host/database". Without it, the trials are kept in the study\'s directory.'
        )
    return SearchSpec(
        require_whole("search.trials", given["trials"], least=1, below=MOST_TRIALS + 1),
        draws,
        one_of("search.sampler", given.get("sampler", SAMPLERS[0]), SAMPLERS),
        one_of("search.pruner", given.get("pruner", PRUNERS[0]), PRUNERS),
        storage,
        require_whole("search.seed", given.get("seed", 0), least=0, below=SEED_LIMIT),
        repeat_in(given, seeds),
    )


def require_draws(draws: Draws) -> None:
    """Raise ConfigError if a search draws no setting, or one that it cannot search over."""
    if not draws:
        raise ConfigError(
            "the section search draws no setting; give lists or ranges, such as hidden_size = { low = 16, high = 128 }."
        )
    for name, draw in draws:
        wrong = [v for v in draw.values if not isinstance(v, VALUES)] if isinstance(draw, Choice) else []  # fmt: skip
        if wrong:
            raise ConfigError(
                f"search.{name} has the value {shortened(wrong[0])}; it must be a number, a string, true or false."
            )
    measuring = [name for name in MEASURING if name in dict(draws)]
    if measuring:
        raise ConfigError(
            f"the search draws {measuring[0]}, but losses on different validation parts cannot be compared; give it in the "
            "section settings."
        )


def repeat_in(given: dict[str, Any], seeds: int) -> int:
    """Return how many settings are repeated with the other seeds."""
    if "repeat" not in given:
        return REPEATED if seeds > 1 else 0
    count = require_whole("search.repeat", given["repeat"], least=0, below=MOST_TRIALS + 1)
    if count and seeds == 1:
        raise ConfigError(
            "search.repeat trains the best settings with all seeds, but the study has one; give seeds = 5."
        )
    return count


def one_of(name: str, given: object, choices: tuple[str, ...]) -> str:
    """Return `given` if it is one of `choices`; otherwise raise ConfigError."""
    if given not in choices:
        raise ConfigError(f"{name} is {shortened(given)}; it must be one of {', '.join(choices)}.")
    return str(given)
