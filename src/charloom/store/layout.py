"""The run directory: what lies where, and the one-line files that name a checkpoint.

config.json  metrics.jsonl  samples.jsonl  events.jsonl  gradcheck.json  passage.txt
status.json  control.json  lock  text.txt (only where the text has no file of its own)
checkpoints/<update>/  checkpoints/latest  checkpoints/best
"""

import re
from pathlib import Path
from typing import Any, Final

from charloom.config import Config
from charloom.errors import DamagedError, NotAModelError
from charloom.store.canonical import parse_object
from charloom.store.checkpoint import is_count, parse_config, require_format

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

UPDATE_NAME: Final = re.compile("0|[1-9][0-9]{0,18}")


def is_run(path: Path) -> bool:
    """Whether a path is a run directory."""
    return (path / CONFIG).is_file()


def checkpoint_path(run: Path, update: int) -> Path:
    """Where the checkpoint of an update lies."""
    return run / CHECKPOINTS / str(update)


def read_pointer(run: Path, name: str) -> int | None:
    """The update that `latest` or `best` names; None where there is no such file.

    Raises:
        DamagedError: it names no update; a path in it is never followed.
    """
    path = run / CHECKPOINTS / name
    try:
        found = path.read_text(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(f"{path} cannot be read: {error.strerror or error}.") from error
    if not UPDATE_NAME.fullmatch(found.removesuffix("\n")):
        raise DamagedError(
            f"{path} is damaged: it must hold the name of a checkpoint beside it, a number."
        )
    return int(found)


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
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise NotAModelError(f"{run} is no run: its {CONFIG} cannot be read ({reason}).") from None
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
        and all(isinstance(source, str) for source in sources)
        and is_count(text.get("characters"))
        and is_count(text.get("vocabulary_size"))
    )
