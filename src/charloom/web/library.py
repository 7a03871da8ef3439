"""Keeps models open, so that a second request need not read them again.

A few are kept, those used last; a checkpoint never changes, so what was read stays true. It knows
models by the keys of the shelf.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from charloom.engines import Engine, open_engine
from charloom.errors import NotAModelError
from charloom.model import Learner
from charloom.neurons.gates import WHATS
from charloom.store import load_model, update_of_file, which_of_run
from charloom.store.checkpoint import MANIFEST, load_checkpoint
from charloom.store.layout import BEST, LATEST, checkpoint_path, read_pointer
from charloom.web.contract import ModelDetail
from charloom.web.descriptors import is_shortage
from charloom.web.mistakes import NotHereError, UnknownCharactersError
from charloom.web.shelf import Shelf

KEPT_BYTES: Final = 512 * 1024 * 1024
KEPT: Final = 8
ATTEMPTS: Final = 5  # a writer may move a pointer and remove a checkpoint between two reads of ours
NAMED: Final = 20  # unknown characters that an answer names

Stamp = tuple[Path, int, int, int]  # of a model: where it is, and inode, time and size of its file


@dataclass(frozen=True, eq=False)
class Open:
    """A model that is open.

    Attributes:
        id: what it was asked for by.
        learner: the model; its optimizer's memory left out.
        engine: what computes, with one thread: those that write side by side share the processors.
        update: the update that it is of; 0 where a file does not tell.
    """

    id: str
    learner: Learner
    engine: Engine
    update: int

    def about(self) -> ModelDetail:
        """It, for people and programs."""
        config, vocabulary = self.learner.config, self.learner.vocabulary
        return ModelDetail(
            id=self.id,
            update=self.update,
            cell=config.cell,
            hidden_size=config.hidden_size,
            layers=config.layers,
            tokens=config.tokens,
            vocabulary="".join(vocabulary.characters),
            parameters=sum(array.size for array in self.learner.parameters.values()),
            recipe=config.recipe,
            whats=list(WHATS[config.cell]),
        )

    def require_known(self, text: str, unknown: str, param: str) -> None:
        """Refuse a text with characters that it has never read, and name them.

        Raises:
            UnknownCharactersError: it has some, and they are not to be skipped.
        """
        if unknown != "refuse":
            return
        vocabulary = self.learner.vocabulary
        strange = [c for c in dict.fromkeys(text) if c not in vocabulary]
        if strange:
            named = ", ".join(map(repr, strange[:NAMED])) + (", …" if strange[NAMED:] else "")
            raise UnknownCharactersError(
                f"the {param} has characters that the model has never read: {named}. Leave them "
                f'out, or set "unknown" to "skip".',
                strange[:NAMED],
                param,
            )


class Library:
    """Models that are open.

    Args:
        shelf: where the keys lead.
    """

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self._lock = threading.Lock()  # of what follows; nothing is read while it is held
        self._models: OrderedDict[Stamp, Learner] = OrderedDict()
        self._reading: dict[Stamp, threading.Lock] = {}
        self._engine = open_engine("auto", 1)

    def open(self, key: str) -> Open:
        """The model of a key; reads the disk where it must.

        Raises:
            NotHereError: there is no such model, or no such checkpoint any more.
            DamagedError: it is not what was written.
        """
        place, which = self.shelf.model(key)
        if which == "file":
            learner = self._file(place.path)
            return Open(key, learner, self._engine, update_of_file(place.path) or 0)
        learner = self._run(place.path, which)
        return Open(key, learner, self._engine, learner.update)

    def _file(self, path: Path) -> Learner:
        """The model of a file, read anew when the file has changed."""
        try:
            return self._kept(path, path, load_model)
        except OSError as error:
            if is_shortage(error):
                raise
            raise NotHereError(f"{path.name} is no file that can be read.") from None

    def _run(self, path: Path, which: str | None) -> Learner:
        """A model of a run, by default the one that is its model, however often its writer moves a
        pointer."""
        which = which or which_of_run(path)
        for _ in range(ATTEMPTS):
            if which in (LATEST, BEST):
                update = read_pointer(path, which)
                if update is None:
                    update = read_pointer(path, LATEST)
                if update is None:
                    break
            else:
                update = int(which)
            checkpoint = checkpoint_path(path, update)
            try:
                # A run that was removed and trained anew has other checkpoints of the same update.
                return self._kept(checkpoint, checkpoint / MANIFEST, learner_of)
            except (NotAModelError, OSError) as error:
                if is_shortage(error):
                    raise
                if which not in (LATEST, BEST):
                    break
        if which in (LATEST, BEST):
            return without_slots(load_where_lost(path, which))
        raise NotHereError(
            f"{path.name} keeps no checkpoint {which}: a run keeps its two newest and the best; "
            f"GET /api/models has those that are there."
        )

    def _kept(self, path: Path, told_by: Path, read: Callable[[Path], Learner]) -> Learner:
        """A model that is kept, or is read and kept from now on; a file tells when it is another.

        Raises:
            OSError: there is no such file.
        """
        stat = told_by.stat()
        stamp = (path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        with self._lock:
            reading = self._reading.setdefault(stamp, threading.Lock())
        # One at a time: many who ask for the same model at once shall not all read it.
        with reading:
            try:
                with self._lock:
                    learner = self._models.get(stamp)
                if learner is None:
                    learner = without_slots(read(path))
                self._keep(stamp, learner)
            finally:
                with self._lock:
                    self._reading.pop(stamp, None)
        return learner

    def _keep(self, stamp: Stamp, learner: Learner) -> None:
        """Keep a model as the one used last, and let go of those used longest ago."""
        with self._lock:
            self._models[stamp] = learner
            self._models.move_to_end(stamp)
            while len(self._models) > 1 and (
                len(self._models) > KEPT or sum(map(size, self._models.values())) > KEPT_BYTES
            ):
                self._models.popitem(last=False)


def without_slots(learner: Learner) -> Learner:
    """The learner without what its optimizer remembers: that is large, and no model writes with it."""
    return replace(learner, slots={})


def load_where_lost(path: Path, which: str) -> Learner:
    """The learner of a run whose pointer, or what it names, is not there: the store finds what is left.

    Raises:
        NotHereError: the run has saved no model yet.
        DamagedError: with what is lost or damaged.
    """
    try:
        return load_model(path, "best" if which == BEST else "latest")
    except NotAModelError:
        raise NotHereError(f"{path.name} has saved no model yet; wait a little.") from None


def learner_of(checkpoint: Path) -> Learner:
    """The learner of a checkpoint."""
    return load_checkpoint(checkpoint).learner


def size(learner: Learner) -> int:
    """Bytes of a model's arrays."""
    return sum(array.nbytes for array in learner.parameters.values())
