"""The files in the directory of a checkpoint, and its MANIFEST, which verifies them (spec/formats.md:
Checkpoints).

Files may be untrusted. This module does not know what the model and the training state contain.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.errors import DamagedError, NotAModelError
from charloom.formatting import name_differences
from charloom.run_file_names import CHECKPOINTS
from charloom.store.atomic_files import Data, blocks_of, read_file, require_directory
from charloom.store.damage import Damage, attempt, require
from charloom.store.format_versions import STATE_FORMAT, require_format
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_STATE
from charloom.store.json_numbers import is_count

MODEL: Final = "model.safetensors"
TRAINING: Final = "training.safetensors"
STATE: Final = "state.json"
MANIFEST: Final = "MANIFEST"
FILES: Final = (MODEL, STATE, TRAINING)

MOST_MANIFEST: Final = 1 << 12  # bytes
USE_ANOTHER: Final = "Use another checkpoint, or a copy."


def manifest_of(files: Mapping[str, Data]) -> bytes:
    """Return the contents of MANIFEST: per file, sorted by name, SHA-256, length in bytes and name."""
    lines = []
    for name, data in sorted(files.items()):
        digest, length = hashlib.sha256(), 0
        for block in blocks_of(data):
            digest.update(block)
            length += len(block)
        lines.append(f"{digest.hexdigest()} {length} {name}\n")
    return "".join(lines).encode("ascii")


@dataclass(frozen=True)
class CheckpointHeader:
    """The two small files of a checkpoint, which identify it; each was read once.

    Attributes:
        directory: the checkpoint directory.
        manifest: the bytes of MANIFEST; None if it does not exist.
        state: the bytes of state.json; None if it does not exist.
    """

    directory: Path
    manifest: bytes | Damage | None
    state: bytes | Damage | None

    def fields(self) -> dict[str, Any] | None:
        """Return the fields of state.json; None if MANIFEST does not confirm its bytes.

        Raises:
            DamagedError: state.json or MANIFEST is not a plain file, or state.json is not a JSON object.
        """
        state, manifest = require(self.state) or b"", require(self.manifest) or b""
        if manifest_of({STATE: state}).strip() not in manifest.splitlines():
            return None
        return parse_object(state, str(self.directory / STATE))

    @property
    def best_update(self) -> int | None:
        """The update of the best checkpoint when this one was saved; None if it is not known."""
        best = self.counters.get("best_update")
        return best if is_count(best) else None

    @property
    def counters(self) -> dict[str, Any]:
        """The counters of the learner in state.json, not checked; empty if they cannot be read."""
        with suppress(DamagedError):
            counters = (self.fields() or {}).get("counters")
            return counters if isinstance(counters, dict) else {}
        return {}

    def refuse_newer(self) -> None:
        """Raise NewerFormatError if a later version of charloom wrote the checkpoint.

        The format number is in state.json. It counts only if MANIFEST confirms the bytes of that file.
        """
        with suppress(DamagedError):
            state = self.fields()
            if state is not None:
                require_format(state, STATE_FORMAT, str(self.directory / STATE))


def read_header(directory: Path) -> CheckpointHeader:
    """Read MANIFEST and state.json of a checkpoint, and no other file.

    Raises:
        ReadError: the disk failed while reading.
    """
    linked = attempt(lambda: require_no_link(directory))
    if isinstance(linked, Damage):
        return CheckpointHeader(directory, linked, linked)
    return CheckpointHeader(
        directory,
        attempt(lambda: read_file(directory / MANIFEST, MOST_MANIFEST)),
        attempt(lambda: read_file(directory / STATE, MOST_STATE)),
    )


def read_verified(header: CheckpointHeader) -> dict[str, bytes]:
    """Return the files of a checkpoint by name, verified against its MANIFEST.

    The files that `header` has are not read again.

    Raises:
        NotAModelError: the directory does not exist or is not a checkpoint.
        NewerFormatError: a later version of charloom wrote it.
        ReadError: the disk failed while reading.
        DamagedError: its bytes were changed.
    """
    try:
        return read_confirmed(header)
    except DamagedError:
        header.refuse_newer()  # files of a later version can look like damage
        raise


def read_confirmed(header: CheckpointHeader) -> dict[str, bytes]:
    """Return the files of a checkpoint of a known format by name; see `read_verified`."""
    directory = header.directory
    require_checkpoint(directory)
    known = {MANIFEST: header.manifest, STATE: header.state}
    files = {}
    for name in sorted((*FILES, MANIFEST)):
        data = require(known[name]) if name in known else read_file(directory / name)
        if data is None:
            raise DamagedError(f"checkpoint {directory} is damaged: missing {name}. {USE_ANOTHER}")
        files[name] = data
    manifest = files.pop(MANIFEST)
    if manifest_of(files) != manifest:
        lines = manifest.splitlines()
        wrong = [name for name in FILES if manifest_of({name: files[name]}).strip() not in lines]
        problem = (
            f"{', '.join(wrong)} and {MANIFEST} disagree"
            if wrong
            else f"the lines of {MANIFEST} are not the sorted ones of the checkpoint's files"
        )
        raise DamagedError(f"checkpoint {directory} is damaged: {problem}. {USE_ANOTHER}")
    return files


def require_checkpoint(directory: Path) -> None:
    """Raise unless a directory exists and has exactly the files of a checkpoint.

    Raises:
        NotAModelError: it does not exist or is not a checkpoint.
        DamagedError: it is a link, or files are missing or unexpected.
    """
    require_no_link(directory)
    try:
        found = sorted(path.name for path in directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        raise NotAModelError(f"checkpoint {directory} is missing.") from None
    if not {MANIFEST, MODEL} & set(found):
        raise NotAModelError(f"{directory} is not a checkpoint: it has no {MANIFEST}.")
    wanted = sorted((*FILES, MANIFEST))
    if found != wanted:
        raise DamagedError(
            f"checkpoint {directory} is damaged: {name_differences(wanted, found)}. {USE_ANOTHER}"
        )


def require_no_link(directory: Path) -> None:
    """Raise DamagedError if a checkpoint, or a run's checkpoints directory, is a link."""
    if directory.parent.name == CHECKPOINTS:
        require_directory(directory.parent)
    require_directory(directory)
