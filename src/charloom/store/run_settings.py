"""Reads and writes config.json: the settings of a run and the description of its text.

The file may be untrusted. This module does not know checkpoints.
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from charloom.canonical_form import SEAL, canonical_json, seal_of
from charloom.config import Config
from charloom.errors import DamagedError, NotAModelError, TextError
from charloom.messages import argument
from charloom.model.schedule import Schedule
from charloom.run_file_names import CONFIG
from charloom.store.atomic_files import read_file
from charloom.store.format_versions import CONFIG_FORMAT, require_fields, require_sealed_format
from charloom.store.json_format import parse_object
from charloom.store.json_limits import require_modest
from charloom.store.json_numbers import is_count
from charloom.store.model_directory import MODEL_TYPE, OUR_TYPE
from charloom.store.model_file import parse_config
from charloom.text import Corpus

BUILTIN: Final = "builtin:"
MOST_SETTINGS: Final = 8 << 20  # largest size in bytes of config.json, which may name many texts
FIELDS: Final = frozenset(
    {"format", "config", "text", "version"}
)  # the fields of config.json, without the checksum


@dataclass(frozen=True, kw_only=True)
class TextIdentity:
    """The properties of a text that identify it in a run.

    Attributes:
        name: the name of the text.
        sources: the absolute paths of the text's files, or names of built-in texts, in the order in which
            they are read; empty if the text is in the run directory.
        fingerprint: the fingerprint of the text, as in `Corpus.fingerprint`.
        vocabulary_size: number of entries of the vocabulary.
    """

    name: str
    sources: tuple[str, ...]
    fingerprint: str
    vocabulary_size: int


@dataclass(frozen=True, kw_only=True)
class TextDescription(TextIdentity):
    """The description of a run's text in config.json.

    Attributes:
        characters: length of the text in characters or bytes.
    """

    characters: int

    @classmethod
    def of(cls, corpus: Corpus) -> "TextDescription":
        """Return the description of a text."""
        return cls(
            name=corpus.name,
            sources=corpus.sources,
            fingerprint=corpus.fingerprint,
            vocabulary_size=len(corpus.vocabulary),
            characters=len(corpus),
        )


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """The contents of config.json.

    Attributes:
        config: the settings.
        text: the description of the text.
        version: the version of charloom that created the run.
    """

    config: Config
    text: TextDescription
    version: str

    @classmethod
    def of(cls, config: Config, corpus: Corpus, version: str | None = None) -> "RunSettings":
        """Return the contents of config.json for a run with these settings and this text.

        `version` is the version of charloom that created the run; None means the installed version.
        """
        if version is None:
            version = charloom_version()
        return cls(config=config, text=TextDescription.of(corpus), version=version)


def charloom_version() -> str:
    """Return the version of the installed charloom; "0+unknown" if charloom is not installed."""
    import importlib.metadata  # takes 0.02 s, and a worker process of a study needs no version

    try:
        return importlib.metadata.version("charloom")
    except importlib.metadata.PackageNotFoundError:
        return "0+unknown"


def read_settings(run: Path) -> RunSettings:
    """Return the contents of the config.json of a run.

    Raises:
        NotAModelError: the directory is not a run.
        NewerFormatError: a later version of charloom wrote the file.
        ReadError: the disk failed while reading.
        DamagedError: the file was changed after it was written.
    """
    path = run / CONFIG
    return parse_settings(read_file(path, MOST_SETTINGS), path)


def parse_settings(data: bytes | None, path: Path) -> RunSettings:
    """Parse the bytes of config.json, and return its contents.

    Raises the errors of `read_settings`, but no ReadError.

    Args:
        data: the bytes of the file; None if it does not exist.
        path: the path of the file.
    """
    if data is None:
        raise NotAModelError(f"{path.parent} is not a run: it has no {CONFIG}.")
    if not data.strip():
        raise DamagedError(f"{path} is damaged: it is empty.")
    require_modest(data, str(path))
    values = parse_object(data, str(path))
    if values.get(MODEL_TYPE) == OUR_TYPE:
        raise NotAModelError(
            f"{path.parent} is not a run: it has a model that was exported to a hub. To train the model further, give "
            f"{argument('from_model', path.parent)} with a text."
        )
    number = require_sealed_format(values, CONFIG_FORMAT, seal_of, str(path))
    sealed = values.pop(SEAL, None)
    if sealed is not None and sealed != seal_of(values):
        raise DamagedError(f"{path} is damaged: it was changed after it was written.")
    require_fields(values, sealed, FIELDS, number, f"{path} is damaged: it")
    config = parse_config(values.get("config"), str(path))
    text = values.get("text")
    if not isinstance(text, dict) or not text_makes_sense(text):
        raise DamagedError(f"{path} is damaged: it does not describe the text of the run.")
    version = values.get("version")
    if not isinstance(version, str):
        raise DamagedError(
            f"{path} is damaged: it does not name the version of charloom that made the run."
        )
    described = TextDescription(**{**text, "sources": tuple(text["sources"])})
    return RunSettings(config=config, text=described, version=version)


def schedule_of(settings: RunSettings | None) -> Schedule | None:
    """Return the schedule of a run; None if `settings` is None or does not fit the length of the text."""
    with suppress(TextError):
        if settings is not None:
            return Schedule.of(settings.config, settings.text.characters)
    return None


def settings_bytes(settings: RunSettings) -> bytes:
    """Return the bytes of config.json, with the checksum that reveals damage."""
    text = asdict(settings.text)
    values = {
        "format": CONFIG_FORMAT,
        "config": settings.config.to_dict(),
        "text": {**text, "sources": list(settings.text.sources)},
        "version": settings.version,
    }
    return canonical_json({**values, SEAL: seal_of(values)})


def text_makes_sense(text: Mapping[str, Any]) -> bool:
    """Return True if the fields in `text` have the types and values of a `TextDescription`."""
    sources = text.get("sources")
    return (
        set(text) == {field.name for field in fields(TextDescription)}
        and isinstance(text.get("name"), str)
        and isinstance(text.get("fingerprint"), str)
        and isinstance(sources, list)
        and all(isinstance(source, str) and is_valid_source(source) for source in sources)
        and is_count(text.get("characters"))
        and is_count(text.get("vocabulary_size"))
    )


def is_valid_source(source: str) -> bool:
    """Return True if `source` is the name of a built-in text, or an absolute path of Unix or Windows."""
    return (
        source.startswith(BUILTIN)
        or PurePosixPath(source).is_absolute()
        or PureWindowsPath(source).is_absolute()
    )
