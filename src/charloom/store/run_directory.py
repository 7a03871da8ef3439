"""The run directory: the names of its files, and the one-line files that name a checkpoint.

config.json  metrics.jsonl  samples.jsonl  events.jsonl  gradcheck.json  passage.txt
status.json  control.json  lock  text.txt (only if the text was not read from a file)
damaged-events.jsonl (only if lines of events.jsonl could not be read)
checkpoints/<update>/  checkpoints/damaged-<update>/  checkpoints/latest  checkpoints/best
"""

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from charloom.canonical_form import SEAL, canonical_json, seal_of
from charloom.config import Config
from charloom.errors import DamagedError, NotAModelError
from charloom.store.atomic_files import read_file, reading, require_directory
from charloom.store.checkpoint import (
    FOLDER,
    MANIFEST,
    MOST_MANIFEST,
    Checkpoint,
    is_count,
    load_checkpoint,
    parse_config,
    read_verified,
    refuse_newer,
    require_modest,
)
from charloom.store.format_versions import CONFIG_FORMAT, SEALED, require_sealed_format
from charloom.store.json_format import parse_object

CONFIG: Final = "config.json"
METRICS: Final = "metrics.jsonl"
SAMPLES: Final = "samples.jsonl"
EVENTS: Final = "events.jsonl"
DAMAGED_EVENTS: Final = "damaged-events.jsonl"
GRADCHECK: Final = "gradcheck.json"
PASSAGE: Final = "passage.txt"
STATUS: Final = "status.json"
CONTROL: Final = "control.json"
LOCK: Final = "lock"
TEXT: Final = "text.txt"
CHECKPOINTS: Final = FOLDER
LATEST: Final = "latest"
BEST: Final = "best"

DAMAGED: Final = "damaged-"
BUILTIN: Final = "builtin:"

UPDATE_NAME: Final = re.compile("0|[1-9][0-9]{0,18}")
POINTER: Final = re.compile(rb"(?P<update>0|[1-9][0-9]{0,18})(?: (?P<seal>[0-9a-f]{64}))?\n")
MOST_POINTER: Final = 256  # bytes
MOST_ABOUT: Final = 8 << 20  # bytes of config.json, which may name many texts
ABOUT: Final = frozenset({"format", "config", "text", "version"})  # fields besides the seal
TEXT_FIELDS: Final = frozenset({"name", "sources", "characters", "fingerprint", "vocabulary_size"})


def is_run(path: Path) -> bool:
    """Return True if a path is a run directory.

    Raises:
        ReadError: the disk failed while reading.
    """
    with reading(path / CONFIG):
        return (path / CONFIG).is_file()


def checkpoint_path(run: Path, update: int) -> Path:
    """Return the path of the checkpoint of an update."""
    return run / CHECKPOINTS / str(update)


def pointer_line(run: Path, name: str, update: int) -> bytes:
    """Return the contents of the pointer `name` ("latest" or "best") to the checkpoint of an update.

    A seal ties them to this pointer and this checkpoint. If the checkpoint is missing or damaged, there is
    no seal; loading the checkpoint reports that.
    """
    try:
        manifest = read_manifest(run, update)
    except DamagedError:
        manifest = None
    if manifest is None:
        return f"{update}\n".encode("ascii")
    return f"{update} {pointer_seal(name, update, manifest)}\n".encode("ascii")


def pointer_seal(name: str, update: int, manifest: bytes) -> str:
    """Return the SHA-256 of a pointer's name, its update and its checkpoint's MANIFEST."""
    return hashlib.sha256(f"{name} {update}\n".encode("ascii") + manifest).hexdigest()


def read_manifest(run: Path, update: int) -> bytes | None:
    """Return the MANIFEST of a run's checkpoint; None if it does not exist.

    Raises:
        DamagedError: it is not a plain file, or one of its directories is a link.
    """
    require_own_directories(run, update)
    return read_file(checkpoint_path(run, update) / MANIFEST, MOST_MANIFEST)


def require_own_directories(run: Path, update: int | None = None) -> None:
    """Raise DamagedError if a run's checkpoints directory, or the checkpoint of `update`, is a link."""
    require_directory(run / CHECKPOINTS)
    if update is not None:
        require_directory(checkpoint_path(run, update))


def read_pointer(run: Path, name: str) -> int | None:
    """Return the update that the pointer `name` ("latest" or "best") names; None if it does not exist.

    Raises:
        DamagedError: the pointer does not contain an update, or its seal does not fit the checkpoint.
            A path in it is never followed.
    """
    require_own_directories(run)
    path = run / CHECKPOINTS / name
    data = read_file(path, MOST_POINTER)
    if data is None:
        return None
    found = POINTER.fullmatch(data)
    if not found:
        raise DamagedError(
            f"{path} is damaged: it must contain the number of a checkpoint in the same directory."
        )
    update, seal = int(found["update"]), found["seal"]  # None in runs of earlier versions
    if seal is not None:
        manifest = read_manifest(run, update)
        # If the MANIFEST is missing, loading the checkpoint reports it.
        if manifest is not None and pointer_seal(name, update, manifest) != seal.decode("ascii"):
            require_whole(run, update, path)
            raise DamagedError(
                f"{path} is damaged: it and {checkpoint_path(run, update) / MANIFEST} disagree."
            )
    return update


def require_whole(run: Path, update: int, pointer: Path) -> None:
    """Raise DamagedError if the checkpoint itself is damaged, so that the pointer may be intact."""
    try:
        read_verified(checkpoint_path(run, update))
    except DamagedError as error:
        refuse_newer(checkpoint_path(run, update))
        raise DamagedError(f"{error.message} {pointer} names it.") from None
    except NotAModelError:
        pass  # another process has just removed it


def load_at(run: Path, update: int) -> Checkpoint:
    """Return the checkpoint of an update of a run.

    Raises:
        NotAModelError: it does not exist.
        NewerFormatError: a later version of charloom wrote it.
        ReadError: the disk failed while reading.
        DamagedError: it was changed after it was written, or belongs to another update or run.
    """
    require_own_directories(run, update)
    directory = checkpoint_path(run, update)
    checkpoint = load_checkpoint(directory)
    if checkpoint.learner.update != update or set(checkpoint.lengths) != {METRICS, SAMPLES}:
        raise DamagedError(
            f"{directory} is damaged: it is not the checkpoint of update {update} of this run."
        )
    return checkpoint


def newest_whole(
    run: Path, fits: Callable[[Checkpoint], bool] = lambda _: True
) -> Checkpoint | None:
    """Return the newest intact checkpoint for which `fits` is True, or None. Ignores `latest`.

    Raises:
        NewerFormatError: a later version of charloom wrote a newer checkpoint, which is not damage.
    """
    for update in reversed(saved_updates(run)):
        with suppress(DamagedError, NotAModelError):
            checkpoint = load_at(run, update)
            if fits(checkpoint):
                return checkpoint
    return None


def saved_updates(run: Path) -> list[int]:
    """Return the updates of all checkpoints in ascending order; links do not count.

    Raises:
        ReadError: the disk failed while reading.
    """
    folder = run / CHECKPOINTS
    with reading(folder):
        if folder.is_symlink() or not folder.is_dir():
            return []
        with os.scandir(folder) as entries:
            found = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    return sorted(int(name) for name in found if UPDATE_NAME.fullmatch(name))


def read_about(run: Path) -> tuple[Config, dict[str, Any], str]:
    """Return the contents of config.json: the config, the text's description, and charloom's version.

    Raises:
        NotAModelError: the directory is not a run.
        NewerFormatError: a later version of charloom wrote it.
        DamagedError: config.json was changed after it was written.
    """
    path = run / CONFIG
    data = read_file(path, MOST_ABOUT)
    if data is None:
        raise NotAModelError(f"{run} is not a run: it has no {CONFIG}.")
    if not data.strip():
        raise DamagedError(f"{path} is damaged: it is empty.")
    require_modest(data, str(path))
    values = parse_object(data, str(path))
    number = require_sealed_format(values, CONFIG_FORMAT, seal_of, str(path))
    sealed = values.pop(SEAL, None)
    if sealed is not None and sealed != seal_of(values):
        raise DamagedError(f"{path} is damaged: it was changed after it was written.")
    if set(values) != ABOUT or (sealed is None and number >= SEALED):
        raise DamagedError(
            f"{path} is damaged: it has the wrong fields {', '.join(sorted(values))}."
        )
    config = parse_config(values.get("config"), str(path))
    text = values.get("text")
    if not isinstance(text, dict) or not text_makes_sense(text):
        raise DamagedError(f"{path} is damaged: it does not describe the text of the run.")
    version = values.get("version")
    if not isinstance(version, str):
        raise DamagedError(
            f"{path} is damaged: it does not name the version of charloom that made the run."
        )
    return config, text, version


def about_bytes(config: Config, text: dict[str, Any], version: str) -> bytes:
    """Return the contents of config.json, with the seal that reveals damage."""
    about = {"format": CONFIG_FORMAT, "config": config.to_dict(), "text": text, "version": version}
    return canonical_json({**about, SEAL: seal_of(about)})


def text_makes_sense(text: dict[str, Any]) -> bool:
    """Return True if these fields can describe a text."""
    sources = text.get("sources")
    return (
        set(text) == TEXT_FIELDS
        and isinstance(text.get("name"), str)
        and isinstance(text.get("fingerprint"), str)
        and isinstance(sources, list)
        and all(isinstance(source, str) and is_place(source) for source in sources)
        and is_count(text.get("characters"))
        and is_count(text.get("vocabulary_size"))
    )


def is_place(source: str) -> bool:
    """Return True if `source` is the name of a built-in text or an absolute path of any system."""
    return (
        source.startswith(BUILTIN)
        or PurePosixPath(source).is_absolute()
        or PureWindowsPath(source).is_absolute()
    )
