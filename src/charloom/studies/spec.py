"""The specification of a study: which runs it has. It is a TOML file, or a dict with the same contents.

This module knows nothing of texts or of files other than the specification.
"""

import itertools
import tomllib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.config import (
    MACHINE_SETTINGS,
    SEED_LIMIT,
    as_whole,
    require_whole,
)
from charloom.errors import ConfigError, ReadError
from charloom.formatting import counted, listing, shortened
from charloom.messages import for_file
from charloom.name_suggestions import did_you_mean
from charloom.recipes import CLASSIC, recipe_of
from charloom.studies.known_settings import require_known
from charloom.studies.plain_values import plain_section
from charloom.studies.random_settings import Choice, Range, drawn_settings, parse_draw
from charloom.studies.search_spec import SearchSpec, parse_search

SECTIONS: Final = (
    "text",
    "texts",
    "recipe",
    "seeds",
    "settings",
    "grid",
    "runs",
    "random",
    "search",
    "keep",
)
DIRECTORIES: Final = ("auto", "all", "none")
KEEP_FIELDS: Final = ("weights", "directories")
DRAWS, DRAW_SEED = "draws", "seed"  # two fields of the section [random] that are not settings
MOST_RUNS: Final = 1_000_000

Settings = dict[str, Any]
SAVING: Final = (
    "save_every",
    "keep_saved",
)  # settings that say which checkpoints stay, and change no number


@dataclass(frozen=True)
class StudySpec:
    """The specification of a study. Its runs are all combinations of texts, listed runs, grid, draws and seeds.

    If it is a search, its runs are trials, whose settings depend on the results of earlier ones.

    Attributes:
        texts: the texts; each is a tuple of paths or names that are joined.
        recipe: the recipe with whose settings each run begins.
        seeds: the seeds.
        settings: the settings that all runs share.
        grid: the values of each setting of which every combination is run.
        runs: the settings of listed runs; empty if none is listed.
        draws: the drawn settings of each random run; empty if none is drawn.
        weights: whether to keep the weights of runs without a directory.
        directories: which runs get a run directory: "auto" (long ones), "all" or "none".
        search: the search; None if the study is not a search.
    """

    texts: tuple[tuple[str, ...], ...]
    recipe: str = CLASSIC
    seeds: tuple[int, ...] = (0,)
    settings: tuple[tuple[str, Any], ...] = ()
    grid: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    runs: tuple[tuple[tuple[str, Any], ...], ...] = ()
    draws: tuple[tuple[tuple[str, Any], ...], ...] = ()
    weights: bool = False
    directories: str = "auto"
    search: SearchSpec | None = None

    def combinations(self) -> Iterator[tuple[int, Settings]]:
        """Yield the index of the text and the settings, without the seed, of every combination."""
        shared = dict(self.settings)
        names = [name for name, _ in self.grid]
        points = list(itertools.product(*(values for _, values in self.grid)))
        for text in range(len(self.texts)):
            for run in self.runs or ((),):
                for point in points:
                    for draw in self.draws or ((),):
                        yield (
                            text,
                            {
                                **shared,
                                **dict(run),
                                **dict(zip(names, point, strict=True)),
                                **dict(draw),
                            },
                        )

    @property
    def varied(self) -> list[str]:
        """The names of the settings that the sections grid, runs, random and search set, in their order."""
        names = [name for run in self.runs for name, _ in run]
        names += [name for name, _ in self.grid]
        names += [name for draw in self.draws[:1] for name, _ in draw]
        names += [name for name, _ in self.search.draws] if self.search else []
        return list(dict.fromkeys(names))


def read_spec(path: Path) -> tuple[StudySpec, bytes]:
    """Return the specification in a TOML file, and the bytes of the file.

    The paths of texts in it are relative to its folder.

    Raises:
        ConfigError: the file is not a valid specification.
        ReadError: the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReadError(f"{shortened(path)} cannot be read: {error.strerror}.") from None
    try:
        values = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{shortened(path)} is not valid TOML: {error}.") from None
    return parse_spec(values, path.parent), data


def parse_spec(values: Settings, folder: Path) -> StudySpec:
    """Return the specification in a dict, such as the contents of a TOML file.

    Args:
        values: the sections.
        folder: the folder to which paths of texts are relative.

    Raises:
        ConfigError: a section is unknown or missing, or has a value that is not valid.
    """
    try:
        return parsed(values, folder)
    except ConfigError as error:
        raise ConfigError(for_file(error.message)) from None


def parsed(values: Settings, folder: Path) -> StudySpec:
    """Return the specification in a dict, as `parse_spec` does."""
    values = plain_section(values)
    require_known_names(values)
    grid = section(values, "grid")
    draws, count, draw_seed = drawn_section(section(values, "random"))
    keep, seeds = section(values, "keep"), seeds_in(values.get("seeds", 1))
    spec = StudySpec(
        texts=texts_in(values, folder),
        recipe=values.get("recipe", CLASSIC),
        seeds=seeds,
        settings=tuple(section(values, "settings").items()),
        grid=tuple((name, values_of(name, given)) for name, given in grid.items()),
        runs=tuple(tuple(run.items()) for run in listed_runs(values.get("runs", []))),
        draws=tuple(tuple(draw.items()) for draw in drawn_settings(draws, count, draw_seed)),
        weights=boolean("keep.weights", keep.get("weights", False)),
        directories=keep.get("directories", "auto"),
        search=parse_search(section(values, "search"), len(seeds)),
    )
    require_valid(spec, keep)
    return spec


def require_known_names(values: Settings) -> None:
    """Raise ConfigError if a section, or a setting in one, does not exist."""
    for name in values:
        if name not in SECTIONS:
            meant = did_you_mean(name, SECTIONS)
            raise ConfigError(
                f"the study has the section {shortened(name)}; {meant or 'it must be one of ' + ', '.join(SECTIONS) + '.'} "
                f"Settings that all runs share belong in the section settings."
            )
    for name in ("settings", "grid"):
        require_known(name, section(values, name))
    for run in listed_runs(values.get("runs", [])):
        require_known("runs", run)


def require_valid(spec: StudySpec, keep: Settings) -> None:
    """Raise ConfigError if the parts of a specification contradict each other."""
    recipe_of(spec.recipe)
    unknown = [name for name in keep if name not in KEEP_FIELDS]
    if unknown:
        raise ConfigError(
            f"keep.{unknown[0]} is unknown; "
            f"{did_you_mean(unknown[0], KEEP_FIELDS) or f'the section keep has {listing(KEEP_FIELDS)}.'}"
        )
    if spec.directories not in DIRECTORIES:
        raise ConfigError(
            f"keep.directories is {shortened(spec.directories)}; it must be one of {', '.join(DIRECTORIES)}."
        )
    parts = {
        "settings": {name for name, _ in spec.settings},
        "runs": {name for run in spec.runs for name, _ in run},
        "grid": {name for name, _ in spec.grid},
        "random": {name for draw in spec.draws[:1] for name, _ in draw},
        "search": {name for name, _ in spec.search.draws} if spec.search else set(),
    }
    if spec.search is not None:
        require_search_alone(spec, parts)
    for first, second in itertools.combinations(parts, 2):
        both = sorted(parts[first] & parts[second])
        if both and (first, second) != ("settings", "runs"):
            raise ConfigError(
                f"the sections {first} and {second} both set {both[0]}; give it in one of them."
            )
    every = set().union(*parts.values())
    if "seed" in every:
        raise ConfigError("the study sets seed; give the seeds of all runs with seeds = [0, 1, 2].")
    for name in sorted(every & set(MACHINE_SETTINGS) - {"engine"}):
        raise ConfigError(
            f"the study sets {name}, which the study itself determines. Leave it out."
        )
    for name in SAVING:
        varying = [part for part in parts if part != "settings" and name in parts[part]]
        if varying:
            raise ConfigError(
                f"the section {varying[0]} sets {name}, but runs that differ only in what they save count as the same run; "
                f"give it in the section settings."
            )
    apart = [name for name in parts if name != "settings" and "engine" in parts[name]]
    if apart:
        raise ConfigError(
            f"the section {apart[0]} sets engine, but runs that differ only in their engine count as the same run; give "
            f"it in the section settings."
        )
    if "recipe" in every:
        raise ConfigError(
            'the study sets recipe in a section; give it once, at the top: recipe = "quick".'
        )
    runs = len(spec.texts) * len(spec.seeds) * max(1, len(spec.runs)) * max(1, len(spec.draws))
    for _, values in spec.grid:
        runs *= len(values)
    if runs > MOST_RUNS:
        raise ConfigError(f"the study has {runs:,} runs; it can have at most {MOST_RUNS:,}.")
    ends = {"updates", "epochs"} & every
    if recipe_of(spec.recipe).minutes is not None and not ends:
        raise ConfigError(
            f"the recipe {spec.recipe} trains for some minutes, so its runs depend on the speed of the machine; "
            f"give updates or epochs in the section settings."
        )


def require_search_alone(spec: StudySpec, parts: dict[str, set[str]]) -> None:
    """Raise ConfigError if a search has sections or texts that do not go together with it."""
    others = [name for name in ("runs", "grid", "random") if parts[name]]
    if others:
        raise ConfigError(
            f"the study has the sections search and {others[0]}; a search chooses the settings of its runs itself, so "
            f"use one of them."
        )
    if len(spec.texts) > 1:
        raise ConfigError(
            f"the search has {len(spec.texts)} texts, but losses on different texts cannot be compared; give one text."
        )
    if spec.directories == "all":
        raise ConfigError(
            'the trials of a search have no run directories; leave out directories = "all". With weights = true in the '
            "section keep, the weights of the trials are kept."
        )


def section(values: Settings, name: str) -> Settings:
    """Return a section of the specification; {} if it is missing. Raise ConfigError if it is not a table."""
    found = values.get(name, {})
    if not isinstance(found, dict):
        raise ConfigError(
            f"{name} is {shortened(found)}; it must be a section, [{name}], with a line for each setting."
        )
    return found


def texts_in(values: Settings, folder: Path) -> tuple[tuple[str, ...], ...]:
    """Return the texts of a specification: `text` is one, `texts` is a list of several."""
    if ("text" in values) == ("texts" in values):
        raise ConfigError(
            'the study must have either text = "book.txt", or texts = ["one.txt", "two.txt"] to run on several texts.'
        )
    given = [values["text"]] if "text" in values else values["texts"]
    if not isinstance(given, list) or not given:
        raise ConfigError(f"texts is {shortened(given)}; it must be a list of texts.")
    return tuple(paths_of(one, folder) for one in given)


def paths_of(given: object, folder: Path) -> tuple[str, ...]:
    """Return the paths or names of a text: a string, or a list of strings that are joined."""
    parts = [given] if isinstance(given, str) else given
    if not isinstance(parts, list) or not parts or not all(isinstance(p, str) for p in parts):
        raise ConfigError(
            f"a text of the study is {shortened(given)}; it must be a path, the name of a built-in text, or a list "
            f"of these, which are joined."
        )
    return tuple(str(beside) if (beside := folder / p).exists() else p for p in parts)


def seeds_in(given: object) -> tuple[int, ...]:
    """Return the seeds: a whole number n means 0 to n - 1; a list gives them one by one."""
    count = as_whole(given)
    if count is not None:
        return tuple(range(require_whole("seeds", count, least=1, below=MOST_RUNS + 1)))
    if not isinstance(given, list) or not given:
        raise ConfigError(
            f"seeds is {shortened(given)}; it must be their number, or a list of them."
        )
    seeds = [require_whole("seeds", one, least=0, below=SEED_LIMIT) for one in given]
    repeated = [seed for seed, times in Counter(seeds).items() if times > 1]
    if repeated:
        raise ConfigError(f"seeds has {repeated[0]} more than once; give each seed once.")
    return tuple(seeds)


def values_of(name: str, given: object) -> tuple[Any, ...]:
    """Return the values of a setting in the grid."""
    if not isinstance(given, list) or not given:
        raise ConfigError(
            f"grid.{name} is {shortened(given)}; it must be a list of values, such as [16, 32]."
        )
    return tuple(given)


def listed_runs(given: object) -> list[Settings]:
    """Return the settings of the listed runs."""
    if not isinstance(given, list) or not all(isinstance(run, dict) for run in given):
        raise ConfigError(
            f"runs is {shortened(given)}; write [[runs]] before the settings of each run."
        )
    return given


def drawn_section(given: Settings) -> tuple[dict[str, Range | Choice], int, int]:
    """Return what the section [random] draws, how often, and with which seed."""
    require_known("random", given, (DRAWS, DRAW_SEED))
    if not given:
        return {}, 0, 0
    if DRAWS not in given:
        raise ConfigError(
            f"the section random draws {counted(len(given), 'setting')}, but does not say how often; give draws = 100."
        )
    count = require_whole("random.draws", given[DRAWS], least=1, below=MOST_RUNS + 1)
    seed = require_whole("random.seed", given.get(DRAW_SEED, 0), least=0, below=SEED_LIMIT)
    names = [name for name in given if name not in (DRAWS, DRAW_SEED)]
    if not names:
        raise ConfigError(
            "the section random draws no setting; give lists or ranges, such as hidden_size = { low = 16, high = 128 }."
        )
    return {name: parse_draw(name, given[name]) for name in names}, count, seed


def boolean(name: str, given: object) -> bool:
    """Return `given` if it is true or false; otherwise raise ConfigError."""
    if not isinstance(given, bool):
        raise ConfigError(f"{name} is {shortened(given)}; it must be true or false.")
    return given
