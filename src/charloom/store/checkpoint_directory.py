"""Reads the files in a checkpoint directory and verifies them against its MANIFEST (spec/formats.md:
Checkpoints).

MANIFEST is a file with the SHA-256 of each other file. Files may be untrusted. This module does not know
what the model and the training state contain.
"""

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from charloom.errors import DamagedError, NotAModelError
from charloom.formatting import name_differences
from charloom.run_file_names import CHECKPOINTS, MODEL
from charloom.store.atomic_files import Data, blocks_of, read_file, require_directory
from charloom.store.damage import Damage, attempt, require
from charloom.store.format_versions import STATE_FORMAT, require_format
from charloom.store.json_format import parse_object
from charloom.store.json_limits import MOST_STATE
from charloom.store.json_numbers import is_count

TRAINING: Final = "training.safetensors"
STATE: Final = "state.json"
MANIFEST: Final = "MANIFEST"
FILES: Final = (MODEL, STATE, TRAINING)

MOST_MANIFEST: Final = 1 << 12  # largest size of MANIFEST in bytes
USE_ANOTHER: Final = "Use another checkpoint, or a copy."


def manifest_of(files: Mapping[str, Data]) -> bytes:
    """Return the contents of MANIFEST for `files`: a line for each file, sorted by file name.

    A line holds the file's SHA-256, its length in bytes and its name.
    """
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
    """The two small files of a checkpoint, MANIFEST and state.json, as they were read.

    Attributes:
        directory: the checkpoint directory.
        manifest: the bytes of MANIFEST. None if the file does not exist; a `Damage` if it could not be
            read.
        state: the bytes of state.json. None if the file does not exist; a `Damage` if it could not be
            read.
    """

    directory: Path
    manifest: bytes | Damage | None
    state: bytes | Damage | None

    def fields(self) -> dict[str, Any] | None:
        """Return the fields of state.json; None if MANIFEST does not list the SHA-256 of state.json.

        Raises:
            DamagedError: state.json or MANIFEST is not a plain file, or state.json is not a JSON object.
        """
        state, manifest = require(self.state) or b"", require(self.manifest) or b""
        if manifest_of({STATE: state}).strip() not in manifest.splitlines():
            return None
        return parse_object(state, str(self.directory / STATE))

    @property
    def best_update(self) -> int | None:
        """The update with the lowest loss up to this checkpoint.

        None if no loss was recorded yet, or if state.json is missing or damaged.
        """
        best = self.counters.get("best_update")
        return best if is_count(best) else None

    @property
    def counters(self) -> dict[str, Any]:
        """The unchecked counters of the learner in state.json; empty if the file is missing or damaged."""
        with suppress(DamagedError):
            counters = (self.fields() or {}).get("counters")
            return counters if isinstance(counters, dict) else {}
        return {}

    def refuse_newer(self) -> None:
        """Raise NewerFormatError if a later version of charloom wrote the checkpoint.

        The format number is in state.json. It is ignored if MANIFEST does not list the SHA-256 of
        state.json.
        """
        with suppress(DamagedError):
            state = self.fields()
            if state is not None:
                require_format(state, STATE_FORMAT, str(self.directory / STATE))


def read_header(directory: Path) -> CheckpointHeader:
    """Read MANIFEST and state.json of the checkpoint in `directory`, and no other file.

    If a file is damaged, no error is raised: the header holds a `Damage` instead of the bytes.

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
    """Return the bytes of each file of a checkpoint except MANIFEST, by file name.

    The bytes are verified against MANIFEST. The files that `header` holds are not read again.

    Raises:
        NotAModelError: the directory does not exist or is not a checkpoint.
        NewerFormatError: a later version of charloom wrote the checkpoint.
        ReadError: the disk failed while reading.
        DamagedError: a file is missing or unexpected, or its bytes were changed.
    """
    try:
        return read_complete(header)
    except DamagedError:
        # A checkpoint of a later version of charloom can seem damaged. If it is one, report its version.
        header.refuse_newer()
        raise


def read_complete(header: CheckpointHeader) -> dict[str, bytes]:
    """Return the bytes of each file of a checkpoint except MANIFEST, by file name.

    Raises DamagedError if a file is missing or does not match MANIFEST, even if a later version of
    charloom wrote the checkpoint.
    """
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
    """Raise an error unless `directory` exists and has exactly the files of a checkpoint.

    Raises:
        NotAModelError: the directory does not exist or is not a checkpoint.
        DamagedError: the directory is a link, or files are missing or unexpected.
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
    """Raise DamagedError if a checkpoint directory or the directory `checkpoints` above it is a link."""
    if directory.parent.name == CHECKPOINTS:
        require_directory(directory.parent)
    require_directory(directory)
