"""The run directory: what lies where, and the one-line files that name a checkpoint.

config.json  metrics.jsonl  samples.jsonl  events.jsonl  gradcheck.json  passage.txt
status.json  control.json  lock  text.txt (only where the text has no file of its own)
checkpoints/<update>/  checkpoints/damaged-<update>/  checkpoints/latest  checkpoints/best
"""

import hashlib
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final

from charloom.config import Config
from charloom.errors import DamagedError, NotAModelError
from charloom.store.canonical import parse_object
from charloom.store.checkpoint import (
    MANIFEST,
    MOST_MANIFEST,
    Checkpoint,
    is_count,
    load_checkpoint,
    parse_config,
    require_format,
)
from charloom.store.files import read_file

CONFIG: Final = "config.json"
METRICS: Final = "metrics.jsonl"
SAMPLES: Final = "samples.jsonl"
EVENTS: Final = "events.jsonl"
GRADCHECK: Final = "gradcheck.json"
PASSAGE: Final = "passage.txt"
STATUS: Final = "status.json"
CONTROL: Final = "control.json"
LOCK: Final = "lock"
TEXT: Final = "text.txt"
CHECKPOINTS: Final = "checkpoints"
LATEST: Final = "latest"
BEST: Final = "best"

DAMAGED: Final = "damaged-"
BUILTIN: Final = "builtin:"

UPDATE_NAME: Final = re.compile("0|[1-9][0-9]{0,18}")
POINTER: Final = re.compile(rb"(?P<update>0|[1-9][0-9]{0,18})(?: (?P<seal>[0-9a-f]{64}))?\n")
MOST_POINTER: Final = 256  # bytes
MOST_ABOUT: Final = 8 << 20  # bytes of config.json, which may name many texts


def is_run(path: Path) -> bool:
    """Whether a path is a run directory."""
    return (path / CONFIG).is_file()


def checkpoint_path(run: Path, update: int) -> Path:
    """Where the checkpoint of an update lies."""
    return run / CHECKPOINTS / str(update)


def pointer_line(run: Path, name: str, update: int) -> bytes:
    """What the file `name` holds to name the checkpoint of an update: its seal tells it from the
    other pointer, and that checkpoint from any other. One that somebody removed or broke has none;
    whoever loads it will find that."""
    try:
        manifest = read_file(checkpoint_path(run, update) / MANIFEST, MOST_MANIFEST)
    except DamagedError:
        manifest = None
    if manifest is None:
        return f"{update}\n".encode("ascii")
    return f"{update} {pointer_seal(name, update, manifest)}\n".encode("ascii")


def pointer_seal(name: str, update: int, manifest: bytes) -> str:
    """SHA-256 of a pointer's name, its update and the MANIFEST of what it names."""
    return hashlib.sha256(f"{name} {update}\n".encode("ascii") + manifest).hexdigest()


def read_pointer(run: Path, name: str) -> int | None:
    """The update that `latest` or `best` names; None where there is no such file.

    Raises:
        DamagedError: it names no update, or another checkpoint than lies there under that name; a
            path in it is never followed.
    """
    path = run / CHECKPOINTS / name
    data = read_file(path, MOST_POINTER)
    if data is None:
        return None
    found = POINTER.fullmatch(data)
    if not found:
        raise DamagedError(
            f"{path} is damaged: it must hold the name of a checkpoint beside it, a number."
        )
    update, seal = int(found["update"]), found["seal"]  # none in runs of before there were any
    if seal is not None:
        manifest = read_file(checkpoint_path(run, update) / MANIFEST, MOST_MANIFEST)
        # Where there is none, whoever loads the checkpoint will say so.
        if manifest is not None and pointer_seal(name, update, manifest) != seal.decode("ascii"):
            raise DamagedError(
                f"{path} is damaged: it and {checkpoint_path(run, update) / MANIFEST} disagree."
            )
    return update


def load_at(run: Path, update: int) -> Checkpoint:
    """The checkpoint of an update of a run.

    Raises:
        NotAModelError: there is none.
        DamagedError: it is not what was written, or was written elsewhere.
    """
    directory = checkpoint_path(run, update)
    checkpoint = load_checkpoint(directory)
    if checkpoint.learner.update != update or set(checkpoint.lengths) != {METRICS, SAMPLES}:
        raise DamagedError(f"{directory} is damaged: checkpoint {update} is not one of this run.")
    return checkpoint


def newest_whole(
    run: Path, fits: Callable[[Checkpoint], bool] = lambda _: True
) -> Checkpoint | None:
    """The newest checkpoint that is as it was written and fits, whatever `latest` says; or None."""
    for update in reversed(saved_updates(run)):
        with suppress(DamagedError, NotAModelError):
            checkpoint = load_at(run, update)
            if fits(checkpoint):
                return checkpoint
    return None


def saved_updates(run: Path) -> list[int]:
    """The updates of all checkpoints, rising."""
    names = (path.name for path in (run / CHECKPOINTS).glob("*") if path.is_dir())
    return sorted(int(name) for name in names if UPDATE_NAME.fullmatch(name))


def read_about(run: Path) -> tuple[Config, dict[str, Any], str]:
    """What config.json says: the config, about the text, the charloom that made the run.

    Raises:
        NotAModelError: the directory is no run.
        DamagedError: config.json is not as it was written.
    """
    path = run / CONFIG
    data = read_file(path, MOST_ABOUT)
    if data is None:
        raise NotAModelError(f"{run} is no run: it has no {CONFIG}.")
    values = parse_object(data, str(path))
    require_format(values, str(path))
    config = parse_config(values.get("config"), str(path))
    text = values.get("text")
    if not isinstance(text, dict) or not text_makes_sense(text):
        raise DamagedError(f"{path} is damaged: it does not say which text the run reads.")
    return config, text, str(values.get("version"))


def text_makes_sense(text: dict[str, Any]) -> bool:
    """Whether these fields can describe a text."""
    sources = text.get("sources")
    return (
        isinstance(text.get("name"), str)
        and isinstance(text.get("fingerprint"), str)
        and isinstance(sources, list)
        and all(isinstance(source, str) and is_place(source) for source in sources)
        and is_count(text.get("characters"))
        and is_count(text.get("vocabulary_size"))
    )


def is_place(source: str) -> bool:
    """Whether this can say where a text is: built in, or an absolute path, of whatever system."""
    return (
        source.startswith(BUILTIN)
        or PurePosixPath(source).is_absolute()
        or PureWindowsPath(source).is_absolute()
    )
