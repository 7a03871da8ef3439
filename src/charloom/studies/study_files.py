"""The files of a study directory, and how they are read and written (spec/formats.md: Studies).

Only whole lines count in a journal, so a killed process leaves at most a line that nobody reads.
"""

import json
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, Final

from charloom.canonical_form import canonical_json
from charloom.errors import ConfigError, DamagedError, NotAModelError, WriteError
from charloom.formatting import shortened
from charloom.run_file_names import RUNS
from charloom.store import replace_file
from charloom.store.atomic_files import make_directories, read_file, writing
from charloom.store.format_versions import STUDY_FORMAT, require_format
from charloom.store.journal import whole_lines
from charloom.store.json_format import parse_object
from charloom.studies.plan import PlannedRun
from charloom.studies.planned_search import PlannedSearch
from charloom.studies.results import RunResult, merged
from charloom.text import Corpus

SPEC_FILE: Final = "study.toml"
HEADER: Final = "study.json"
PLAN: Final = "plan.jsonl"
RESULTS: Final = "results"
WEIGHTS: Final = "weights"
WEIGHTS_ENDING: Final = ".safetensors"
FORMAT_WITHOUT_SEARCH: Final = (
    1  # of a study.json without a search, which earlier versions read too
)


@dataclass(frozen=True)
class StudyText:
    """A text of a study.

    Attributes:
        paths: its paths or names, as `charloom.train` takes them.
        name: a short name.
        fingerprint: the fingerprint of its contents.
        characters: its length.
        symbols: the number of distinct characters (or bytes) in it.
    """

    paths: tuple[str, ...]
    name: str
    fingerprint: str
    characters: int
    symbols: int

    @classmethod
    def of(cls, corpus: Corpus, paths: tuple[str, ...]) -> "StudyText":
        """Return the description of a text that was read."""
        paths = tuple(corpus.sources) or paths
        symbols = len(corpus.vocabulary)
        return cls(paths, corpus.name, corpus.fingerprint, len(corpus), symbols)


@dataclass(frozen=True)
class StudyHeader:
    """What study.json holds.

    Attributes:
        recipe: the recipe with whose settings each run begins.
        tokens: "characters" or "bytes".
        texts: the texts.
        weights: whether the weights of runs without a directory are kept.
        varied: the names of the settings in which the runs of the specification differ, without the seed.
        search: the search; None if the study is not a search.
    """

    recipe: str
    tokens: str
    texts: tuple[StudyText, ...]
    weights: bool
    varied: tuple[str, ...]
    search: PlannedSearch | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the contents of study.json as plain data."""
        texts = [{**vars(text), "paths": list(text.paths)} for text in self.texts]
        fields = {**vars(self), "texts": texts, "varied": list(self.varied)}
        if self.search is None:
            del fields["search"]
            return {"format": FORMAT_WITHOUT_SEARCH, **fields}
        return {"format": STUDY_FORMAT, **fields, "search": self.search.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, Any], path: Path) -> "StudyHeader":
        """Return the contents of study.json at `path`."""
        require_format(values, STUDY_FORMAT, str(path))
        try:
            texts = tuple(
                StudyText(**{**text, "paths": tuple(text["paths"])}) for text in values["texts"]
            )
            return cls(
                values["recipe"],
                values["tokens"],
                texts,
                values["weights"],
                tuple(values["varied"]),
                PlannedSearch.from_dict(values["search"]) if "search" in values else None,
            )
        except (KeyError, TypeError, ConfigError) as error:
            raise DamagedError(f"{path} is damaged: {error}.") from None


@dataclass(frozen=True)
class StudyFiles:
    """The files of the study directory `path`."""

    path: Path

    @property
    def runs(self) -> Path:
        """The folder of the runs that have a directory of their own."""
        return self.path / RUNS

    @property
    def exists(self) -> bool:
        """Whether the directory holds a study."""
        return (self.path / HEADER).is_file()

    def run_path(self, run: PlannedRun) -> Path:
        """Return the run directory of a run that has one.

        A changed specification can give the run another number, so the directory has the key of the run as its name.
        """
        return self._numbered_runs.get(run.key, self.runs / run.key)

    def weights_path(self, run: PlannedRun) -> Path:
        """Return the model file of a run without a directory."""
        path = self.path / WEIGHTS / f"{run.key}{WEIGHTS_ENDING}"
        return self._numbered_weights.get(path.name, path)

    def model_path(self, run: PlannedRun) -> Path | None:
        """Return the run directory or the model file of a run; None if its weights were not kept."""
        paths = (self.run_path(run), self.weights_path(run))
        return next((path for path in paths if path.exists()), None)

    @cached_property
    def _numbered_runs(self) -> dict[str, Path]:
        """The run directories with the names of earlier versions, by key."""
        return numbered_paths(self.runs)

    @cached_property
    def _numbered_weights(self) -> dict[str, Path]:
        """The model files with the names of earlier versions, by their present names."""
        return numbered_paths(self.path / WEIGHTS)

    def require_study(self) -> None:
        """Raise NotAModelError if the directory holds no study."""
        if not self.exists:
            raise NotAModelError(
                f"{shortened(self.path)} is not a study: it has no {HEADER}. Give the directory of a study."
            )

    def write(self, spec: bytes, header: StudyHeader, runs: list[PlannedRun]) -> None:
        """Write the plan, the header and the specification, in this order: a directory with a header is whole."""
        for folder in (self.path, self.path / RESULTS, self.runs):
            make_directories(folder)
        if header.weights:
            make_directories(self.path / WEIGHTS)
        self.write_plan(runs)
        replace_file(self.path / HEADER, canonical_json(header.to_dict()))
        replace_file(self.path / SPEC_FILE, spec)

    def write_plan(self, runs: list[PlannedRun]) -> None:
        """Write the planned runs."""
        lines = b"".join(canonical_json(run.to_dict()) + b"\n" for run in runs)
        replace_file(self.path / PLAN, lines)

    def spec_bytes(self) -> bytes:
        """Return the bytes of study.toml."""
        return read_file(self.path / SPEC_FILE) or b""

    def header(self) -> StudyHeader:
        """Return the contents of study.json.

        Raises:
            NotAModelError: the directory holds no study.
            DamagedError: the file is damaged.
        """
        self.require_study()
        path = self.path / HEADER
        return StudyHeader.from_dict(parse_object(read_file(path) or b"", str(path)), path)

    def plan(self) -> list[PlannedRun]:
        """Return the runs of the plan."""
        return self.parsed_runs(self.plan_lines())

    def plan_lines(self) -> list[bytes]:
        """Return the lines of plan.jsonl, one for each run of the plan, with consecutive numbers.

        Raises:
            DamagedError: the file is missing. Every study has it, also a search without other runs than trials.
        """
        path = self.path / PLAN
        data = read_file(path)
        if data is None:
            raise DamagedError(f"{path} is missing. Start the study again with its specification.")
        return whole_lines(data)

    def parsed_runs(self, lines: list[bytes]) -> list[PlannedRun]:
        """Return the runs of lines of plan.jsonl.

        Raises:
            DamagedError: a line is damaged.
        """
        try:
            # Parsing the lines as one array takes 0.6 times as long as parsing each of them.
            return [PlannedRun.from_dict(one) for one in json.loads(b"[%b]" % b",".join(lines))]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedError(
                f"{self.path / PLAN} is damaged: {error}. Start the study again with its specification."
            ) from None

    def journals(self) -> list[Path]:
        """Return the journals of all worker processes, sorted by name."""
        return sorted((self.path / RESULTS).glob("*.jsonl"))

    def each_result(self) -> Iterator[RunResult]:
        """Yield the results in all journals. Lines that are damaged or not whole are left out."""
        for path in self.journals():
            for values in json_values(whole_lines(read_file(path) or b"")):
                with suppress(TypeError, AttributeError):
                    yield RunResult.from_dict(values)

    def results(self) -> dict[str, RunResult]:
        """Return the result of each run that has one, by key."""
        return merged(self.each_result())

    def new_journal(self, number: int) -> Path:
        """Create an empty journal with a name that no other process uses, on any machine, and return its path."""
        host = machine_name(platform.node())
        for attempt in count():
            path = self.path / RESULTS / f"{host}-{os.getpid()}-{number}-{attempt}.jsonl"
            try:
                with writing(path):
                    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
            except WriteError as error:
                if isinstance(error.__cause__, FileExistsError):
                    continue
                raise
            return path
        raise AssertionError


def json_values(lines: list[bytes]) -> list[Any]:
    """Return the values in lines of JSON. Lines that are damaged are left out."""
    with suppress(ValueError):  # as one array, because parsing each line takes 1.6 times as long
        values: list[Any] = json.loads(b"[%b]" % b",".join(lines))
        if len(values) == len(lines):
            return values
    values = []
    for line in lines:
        with suppress(ValueError):
            values.append(json.loads(line))
    return values


def numbered_paths(folder: Path) -> dict[str, Path]:
    """Return the paths in a folder whose names are NUMBER-NAME, by NAME.

    Earlier studies named runs in this way, with their number in the plan. A run can have two such paths, if a changed
    specification gave it another number; the one that was changed last counts. A path without a number counts first.
    """
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    splits = [(folder / name, *name.partition("-")[::2]) for name in names]
    old = [
        (path, rest) for path, number, rest in splits if number.isdecimal() and rest not in names
    ]
    return {rest: path for path, rest in sorted(old, key=lambda one: changed_at(one[0]))}


def changed_at(path: Path) -> float:
    """Return when a path was changed last; 0 if it does not exist any more."""
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def machine_name(node: str) -> str:
    """Return the name of a machine as the names of journals have it."""
    return "".join(c if c.isalnum() else "-" for c in node)[:40] or "host"
