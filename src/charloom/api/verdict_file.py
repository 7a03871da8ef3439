"""Keeps the verdicts on a class in a file, so that an interrupted command can continue.

Each line is JSON: a verdict, and a key that depends on all that the verdict depends on. So a submission that
was handed in again is judged again. This module judges nothing.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from charloom.diagnosis.class_result import Judged
from charloom.errors import ConfigError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.store import charloom_version

BLOCK: Final = 1 << 20


class VerdictFile:
    """A file of verdicts, which grows with each new one.

    Args:
        path: the file; it need not exist. None keeps nothing.

    Raises:
        ConfigError: the file has something else, or cannot be read or written.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known: dict[str, dict[str, Any]] = {}
        if path is None:
            return
        try:
            text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
            for line in text.splitlines():
                with suppress(ValueError, KeyError, TypeError):  # the last line may be incomplete
                    entry = json.loads(line)
                    self._known[entry["key"]] = dict(entry["judged"])
            with path.open("a", encoding="utf-8") as file:
                # What follows an incomplete line begins on a line of its own.
                file.write("\n" if text and not text.endswith("\n") and self._known else "")
        except OSError as error:
            raise ConfigError(
                f"{argument('resume')} is {shortened(path)}, which cannot be used: {error.strerror or error}."
            ) from None
        if text.strip() and not self._known:
            raise ConfigError(
                f"{argument('resume')} is {shortened(path)}, which has no verdicts; name a new file, or one that "
                f"{argument('resume')} wrote."
            )

    def known(self, key: str) -> dict[str, Any] | None:
        """Return the verdict with a key as JSON data; None if there is none."""
        return self._known.get(key)

    def add(self, key: str, judged: dict[str, Any]) -> None:
        """Append a verdict to the file. A full disk loses it, but does not end the work."""
        if self._path is not None:
            with suppress(OSError), self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, "judged": judged}) + "\n")


def key_of(job: dict[str, Any]) -> str:
    """Return the key of a job: a hash of its files, its options, what a verdict has, and the version."""
    files = [[target, content_hash(Path(source))] for source, target in job["files"]]
    sandbox = {name: job["sandbox"][name] for name in ("memory", "written", "processes")}
    given = {name: value for name, value in job.items() if name not in ("files", "sandbox")}
    text = json.dumps(
        [files, sandbox, given, sorted(Judged.__dataclass_fields__), charloom_version()],
        sort_keys=True,
        default=str,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def content_hash(path: Path) -> str:
    """Return a hash of the content of a file; "" if it cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                found.update(block)
    except OSError:
        return ""
    return found.hexdigest()
