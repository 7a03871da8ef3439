"""Reads the checkpoints of a run and the pointers to them, each file at most once.

This module does not know the run's other files.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

from charloom.errors import DamagedError
from charloom.run_file_names import CHECKPOINTS, METRICS, SAMPLES
from charloom.store.atomic_files import read_file, reading, require_directory
from charloom.store.checkpoint import Checkpoint, parse_checkpoint
from charloom.store.checkpoint_directory import (
    MANIFEST,
    CheckpointHeader,
    read_header,
    read_verified,
)
from charloom.store.checkpoint_pointer import MOST_POINTER, Pointer, parse_pointer
from charloom.store.damage import Damage, attempt, intact, require
from charloom.store.intact_checkpoints import IntactCheckpoints, stamps_in
from charloom.store.run_directory import updates_in


class RunCheckpoints:
    """Reads the checkpoints of a run, and remembers them, so that no file is read twice.

    Args:
        folder: the directory of the checkpoints. Another process may be writing it.
        known: checkpoints that are known to be intact. The method `problem` reads a known checkpoint only
            if it has changed.
    """

    def __init__(self, folder: Path, known: IntactCheckpoints | None = None) -> None:
        self.folder = folder
        self._known = known or IntactCheckpoints()
        self._headers: dict[int, CheckpointHeader] = {}
        self._files: dict[int, dict[str, bytes] | Damage] = {}
        self._loaded: dict[int, Checkpoint | Damage] = {}

    @cached_property
    def updates(self) -> tuple[int, ...]:
        """The update numbers of all checkpoints in ascending order.

        Raises:
            ReadError: the disk failed while reading.
        """
        return tuple(updates_in(self.folder))

    def path(self, update: int) -> Path:
        """Return the path of the checkpoint of `update`. The checkpoint need not exist."""
        return self.folder / str(update)

    def header(self, update: int) -> CheckpointHeader:
        """Return MANIFEST and state.json of the checkpoint of `update`. The checkpoint need not exist."""
        if update not in self._headers:
            self._headers[update] = read_header(self.path(update))
        return self._headers[update]

    def refuse_newer(self) -> None:
        """Raise NewerFormatError if a later version of charloom wrote one of the checkpoints."""
        for update in self.updates:
            self.header(update).refuse_newer()

    def pointer(self, name: str) -> int | None:
        """Return the update of the checkpoint to which the pointer `name` ("latest" or "best") refers.

        Returns None if the pointer does not exist.

        Raises:
            DamagedError: the pointer does not contain an update, or the checksum in it does not match
                the checkpoint.
            ReadError: the disk failed while reading.
        """
        require_directory(self.folder)
        path = self.folder / name
        data = read_file(path, MOST_POINTER)
        if data is None:
            return None
        pointer = parse_pointer(data, path)
        if pointer.seal is not None:
            # If MANIFEST is missing, accept the pointer: loading its checkpoint raises the error.
            manifest = require(self.header(pointer.update).manifest)
            if manifest is not None and not pointer.fits(manifest):
                self._refuse_pointer(pointer)
        return pointer.update

    def _refuse_pointer(self, pointer: Pointer) -> None:
        """Raise DamagedError for a pointer whose checksum does not match its checkpoint."""
        # If the checkpoint is damaged, the pointer may be intact. So report only the damaged checkpoint.
        problem = self.problem(pointer.update)
        if problem is not None and not problem.missing:
            raise DamagedError(f"{problem.message} {pointer.path} refers to it.")
        raise DamagedError(
            f"{pointer.path} is damaged: it and {self.path(pointer.update) / MANIFEST} disagree."
        )

    def problem(self, update: int) -> Damage | None:
        """Return a `Damage` that says why a checkpoint is damaged or missing; None if it is intact.

        Raises:
            NewerFormatError: a later version of charloom wrote the checkpoint.
            ReadError: the disk failed while reading.
        """
        if update not in self._loaded and update not in self._files:
            path = self.path(update)
            stamps = stamps_in(path)
            if self._known.has(path, stamps):
                return None
            self._files[update] = attempt(lambda: self._read(update))
            if not isinstance(self._files[update], Damage):
                self._known.add(path, stamps)
        found = self._loaded.get(update, self._files.get(update))
        return found if isinstance(found, Damage) else None

    def load(self, update: int) -> Checkpoint | Damage:
        """Return the checkpoint of `update`, or a `Damage` that says why it is damaged or missing.

        Raises:
            NewerFormatError: a later version of charloom wrote the checkpoint.
            ReadError: the disk failed while reading.
        """
        if update not in self._loaded:
            if update not in self._files:
                self._files[update] = attempt(lambda: self._read(update))
            # Keep no reference to the bytes, so that their memory is free after they are parsed.
            files = self._files.pop(update)
            self._loaded[update] = attempt(lambda: self._parse(update, require(files)))
        return self._loaded[update]

    def _read(self, update: int) -> dict[str, bytes]:
        """Return the bytes of each file of the checkpoint of `update`, by name; see `read_verified`."""
        directory = self.path(update)
        with reading(directory):
            require_directory(self.folder)
            require_directory(directory)
            return read_verified(self.header(update))

    def _parse(self, update: int, files: Mapping[str, bytes]) -> Checkpoint:
        """Make the checkpoint of `update` from the bytes of its files, and return it.

        Raises:
            DamagedError: the files contradict each other, or belong to another update or another run.
        """
        checkpoint = parse_checkpoint(self.header(update), files)
        if checkpoint.learner.update != update or set(checkpoint.lengths) != {METRICS, SAMPLES}:
            raise DamagedError(
                f"{self.path(update)} is damaged: it is not the checkpoint of update "
                f"{update:,} of this run."
            )
        return checkpoint

    def newest_intact(
        self, fits: Callable[[Checkpoint], bool] = lambda _: True
    ) -> Checkpoint | None:
        """Return the newest intact checkpoint for which `fits` returns True; None if no checkpoint fits.

        Does not read the pointer `latest`.

        Raises:
            NewerFormatError: the search met a checkpoint that a later version of charloom wrote.
        """
        for update in reversed(self.updates):
            checkpoint = intact(self.load(update))
            if checkpoint is not None and fits(checkpoint):
                return checkpoint
        return None


def read_pointer(run: Path, name: str) -> int | None:
    """Return the update of the checkpoint to which a run's file `latest` or `best` refers.

    `name` is the name of the file. Returns None if the file does not exist. The errors are those of
    `RunCheckpoints.pointer`.
    """
    return RunCheckpoints(run / CHECKPOINTS).pointer(name)


def load_at(run: Path, update: int) -> Checkpoint:
    """Return the checkpoint of `update` in a run directory.

    Raises:
        NotAModelError: the checkpoint does not exist.
        NewerFormatError: a later version of charloom wrote the checkpoint.
        ReadError: the disk failed while reading.
        DamagedError: the checkpoint was changed after it was written, or belongs to another update or run.
    """
    return require(RunCheckpoints(run / CHECKPOINTS).load(update))
