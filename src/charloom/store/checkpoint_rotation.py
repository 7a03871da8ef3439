"""Writes the checkpoints of a run and the pointers to them, and removes old checkpoints.

This module does not know the run's other files.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from charloom.errors import ReadError, WriteError
from charloom.run_file_names import BEST, DAMAGED, LATEST
from charloom.store.atomic_files import remove_directory, replace_file, writing
from charloom.store.checkpoint import Checkpoint, save_checkpoint
from charloom.store.checkpoint_directory import read_header
from charloom.store.checkpoint_pointer import pointer_line
from charloom.store.damage import intact
from charloom.store.run_directory import updates_in

NEWEST_KEPT: Final = 2


class CheckpointRotation:
    """Writes the checkpoints of a run, and keeps only the newest two, the best, and those at exact updates.

    Attributes:
        folder: the directory of the checkpoints. No other process may write in it.
        latest: the update of the last saved checkpoint; None before the first save.
        keep_every: keep the checkpoints of all multiples of this number, 0 included; with 0, keep none of them.
    """

    def __init__(self, folder: Path, keep_every: int = 0) -> None:
        self.folder = folder
        self.keep_every = keep_every
        self.latest: int | None = None
        # True if writing the file `latest` failed: it may name another checkpoint than the last saved one.
        self._latest_is_unclear = False

    def path(self, update: int) -> Path:
        """Return the path of the checkpoint of `update`. The checkpoint need not exist."""
        return self.folder / str(update)

    def updates(self) -> list[int]:
        """Return the update numbers of all checkpoints in ascending order.

        Raises:
            ReadError: the disk failed while reading.
        """
        return updates_in(self.folder)

    def write(self, checkpoint: Checkpoint) -> None:
        """Save a checkpoint. If a failed save left a checkpoint of the same update, replace it.

        No pointer may name the replaced checkpoint.
        """
        directory = self.path(checkpoint.learner.update)
        if os.path.lexists(directory):
            remove_directory(directory)
        save_checkpoint(directory, checkpoint.learner, checkpoint.lengths, checkpoint.fingerprint)

    def point(self, name: str, update: int) -> None:
        """Make the pointer `name`, "latest" or "best", refer to the checkpoint of `update`."""
        manifest = intact(read_header(self.path(update)).manifest)
        replace_file(self.folder / name, pointer_line(name, update, manifest))

    def make_latest(self, update: int) -> None:
        """Make the pointer `latest` name the checkpoint of `update`, which must have been written.

        Raises:
            WriteError: the disk failed. The pointer may name either this checkpoint or the previous one.
        """
        self._latest_is_unclear = True
        self.point(LATEST, update)
        self._latest_is_unclear = False
        self.latest = update

    def repair_latest(self) -> None:
        """Write the pointer `latest` again if the last attempt to write it failed.

        The pointer then names the last checkpoint whose save succeeded. So `write` may replace a newer
        checkpoint whose save failed, because no pointer names the newer checkpoint.
        """
        if self._latest_is_unclear and self.latest is not None:
            self.point(LATEST, self.latest)
            self._latest_is_unclear = False

    def remove(self, updates: Iterable[int]) -> None:
        """Remove the checkpoints of these updates. No pointer may name one of these checkpoints."""
        for update in updates:
            remove_directory(self.path(update))

    def remove_old(self, best_update: int | None) -> None:
        """Remove all checkpoints except the newest two, the best, and those that `keep_every` keeps."""
        with suppress(ReadError):
            for update in self.updates()[:-NEWEST_KEPT]:
                kept = self.keep_every > 0 and update % self.keep_every == 0
                if update != best_update and not kept:
                    # A checkpoint that cannot be removed does no harm; the next save tries again.
                    with suppress(WriteError):
                        remove_directory(self.path(update))

    def set_aside(self, updates: Iterable[int]) -> None:
        """Rename the damaged checkpoints of these updates to damaged-UPDATE, so that they are ignored.

        They are not removed, because a user may still recover data from their bytes.
        """
        for update in updates:
            aside = self.folder / f"{DAMAGED}{update}"
            if os.path.lexists(aside):
                remove_directory(aside)
            with writing(aside):
                self.path(update).rename(aside)

    def restore_best(self, named: int | None, best_update: int | None) -> None:
        """Make the pointer `best` name the best checkpoint; remove it if there is no best checkpoint.

        Args:
            named: the update that the pointer names now; None if the pointer is missing or damaged.
            best_update: the update of the best checkpoint; None if there is no best checkpoint.
        """
        if best_update is None:
            with writing(self.folder / BEST):
                (self.folder / BEST).unlink(missing_ok=True)
        elif named != best_update:
            self.point(BEST, best_update)
