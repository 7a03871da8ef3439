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
from charloom.store.damage import Damage, attempt, damage_in, intact, require
from charloom.store.intact_checkpoints import IntactCheckpoints, stamps_in
from charloom.store.run_directory import updates_in


class RunCheckpoints:
    """The checkpoints of a run. What was read is kept, so that no file is read twice.

    Args:
        folder: the directory of the checkpoints. Another process may be writing it.
        known: checkpoints that `problem` need not read again, unless they have changed.
    """

    def __init__(self, folder: Path, known: IntactCheckpoints | None = None) -> None:
        self.folder = folder
        self._known = known
        self._headers: dict[int, CheckpointHeader] = {}
        self._files: dict[int, dict[str, bytes] | Damage] = {}
        self._loaded: dict[int, Checkpoint | Damage] = {}

    @cached_property
    def updates(self) -> tuple[int, ...]:
        """The updates of all checkpoints in ascending order.

        Raises:
            ReadError: the disk failed while reading.
        """
        return tuple(updates_in(self.folder))

    def path(self, update: int) -> Path:
        """Return the path of the checkpoint of an update, which need not exist."""
        return self.folder / str(update)

    def header(self, update: int) -> CheckpointHeader:
        """Return the small files of the checkpoint of an update, which need not exist."""
        if update not in self._headers:
            self._headers[update] = read_header(self.path(update))
        return self._headers[update]

    def refuse_newer(self) -> None:
        """Raise NewerFormatError if a later version of charloom wrote one of the checkpoints."""
        for update in self.updates:
            self.header(update).refuse_newer()

    def pointer(self, name: str) -> int | None:
        """Return the update that the pointer `name` ("latest" or "best") names; None without one.

        Raises:
            DamagedError: the pointer does not contain an update, or its seal does not fit the
                checkpoint.
            ReadError: the disk failed while reading.
        """
        require_directory(self.folder)
        path = self.folder / name
        data = read_file(path, MOST_POINTER)
        if data is None:
            return None
        pointer = parse_pointer(data, path)
        if pointer.seal is not None:
            # If the MANIFEST is missing, loading the checkpoint reports it.
            manifest = require(self.header(pointer.update).manifest)
            if manifest is not None and not pointer.fits(manifest):
                self._refuse_pointer(pointer)
        return pointer.update

    def _refuse_pointer(self, pointer: Pointer) -> None:
        """Raise the error of a pointer whose seal does not fit its checkpoint."""
        # The checkpoint itself may be damaged, and the pointer intact.
        problem = self.problem(pointer.update)
        if problem is not None and not problem.missing:
            raise DamagedError(f"{problem.message} {pointer.path} refers to it.")
        raise DamagedError(
            f"{pointer.path} is damaged: it and {self.path(pointer.update) / MANIFEST} disagree."
        )

    def problem(self, update: int) -> Damage | None:
        """Return why the bytes of a checkpoint are not those that were written; None if they are.

        Raises:
            NewerFormatError: a later version of charloom wrote it.
            ReadError: the disk failed while reading.
        """
        if update in self._loaded:
            return damage_in(self._loaded[update])
        if update not in self._files and self._known is not None:
            return self._problem_unless_known(update, self._known)
        return self._read_problem(update)

    def _problem_unless_known(self, update: int, known: IntactCheckpoints) -> Damage | None:
        """Return the problem of a checkpoint; do not read the bytes of one that is known as intact."""
        path = self.path(update)
        stamps = stamps_in(path)
        if known.has(path, stamps):
            return None
        problem = self._read_problem(update)
        if problem is None:
            known.add(path, stamps)
        return problem

    def _read_problem(self, update: int) -> Damage | None:
        """Read a checkpoint, unless this object has already read it, and return its problem."""
        if update not in self._files:
            self._files[update] = attempt(lambda: self._read(update))
        return damage_in(self._files[update])

    def load(self, update: int) -> Checkpoint | Damage:
        """Return the checkpoint of an update.

        Raises:
            NewerFormatError: a later version of charloom wrote it.
            ReadError: the disk failed while reading.
        """
        if update not in self._loaded:
            # The bytes are removed from memory once they are parsed.
            files = (
                self._files.pop(update)
                if update in self._files
                else attempt(lambda: self._read(update))
            )
            self._loaded[update] = attempt(lambda: self._parse(update, require(files)))
        return self._loaded[update]

    def _read(self, update: int) -> dict[str, bytes]:
        """Return the files of a checkpoint by name, verified against its MANIFEST."""
        directory = self.path(update)
        with reading(directory):
            require_directory(self.folder)
            require_directory(directory)
            return read_verified(self.header(update))

    def _parse(self, update: int, files: Mapping[str, bytes]) -> Checkpoint:
        """Return the checkpoint in the files of an update."""
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
        """Return the newest intact checkpoint for which `fits` is True, or None. Ignores `latest`.

        Raises:
            NewerFormatError: a later version of charloom wrote a newer checkpoint, which is not damage.
        """
        for update in reversed(self.updates):
            checkpoint = intact(self.load(update))
            if checkpoint is not None and fits(checkpoint):
                return checkpoint
        return None


def read_pointer(run: Path, name: str) -> int | None:
    """Return the update that a pointer of a run names; see `RunCheckpoints.pointer`."""
    return RunCheckpoints(run / CHECKPOINTS).pointer(name)


def load_at(run: Path, update: int) -> Checkpoint:
    """Return the checkpoint of an update of a run.

    Raises:
        NotAModelError: it does not exist.
        NewerFormatError: a later version of charloom wrote it.
        ReadError: the disk failed while reading.
        DamagedError: it was changed after it was written, or belongs to another update or run.
    """
    return require(RunCheckpoints(run / CHECKPOINTS).load(update))
