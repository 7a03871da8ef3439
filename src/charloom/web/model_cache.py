"""Keeps the most recently used models in memory, so that a second request does not load them again.

A checkpoint never changes, so a loaded model stays correct. A model is requested by its key in the list of runs and
model files.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from charloom.engines import Engine, open_engine
from charloom.errors import DamagedError, NotAModelError, message_of
from charloom.hidden_units.gate_values import WHATS
from charloom.model import Learner
from charloom.run_file_names import BEST, LATEST
from charloom.store import load_model, update_of_file, which_of_run
from charloom.store.checkpoint import load_checkpoint
from charloom.store.checkpoint_directory import MANIFEST
from charloom.store.checkpoint_pointer import follow_pointer
from charloom.store.damage import Damage
from charloom.store.run_checkpoints import read_pointer
from charloom.store.run_directory import checkpoint_path
from charloom.text import UnknownPolicy
from charloom.text.vocabulary import Encoded
from charloom.web.error_responses import NotFoundError, UnknownCharactersError
from charloom.web.file_descriptors import is_shortage
from charloom.web.run_index import RunIndex
from charloom.web.schemas import ModelDetail, TextRequest

KEPT_BYTES: Final = 512 * 1024 * 1024
KEPT: Final = 8
SKIP_ADVICE: Final = 'Or set "unknown" to "skip", and the model skips them.'
NAMED: Final = 20  # largest number of unknown characters that an error lists

Stamp = tuple[
    Path, int, int, int
]  # a model's path, and the inode, modification time and size of its file


@dataclass(frozen=True, eq=False)
class OpenModel:
    """A model in memory.

    Attributes:
        id: the id of the model in the request.
        learner: the model, without the state of its optimizer.
        engine: the engine, with one thread, because requests share the processors.
        update: the update of the weights; 0 for a model file that does not contain it.
    """

    id: str
    learner: Learner
    engine: Engine
    update: int

    def head(self) -> dict[str, Any]:
        """Return the fields of a response that name the model: its id, and the update of its weights.

        If both fields of two responses are equal, the responses come from the same weights.
        """
        return {"model": self.id, "update": self.update}

    def about(self) -> ModelDetail:
        """Return a description of the model as a response body."""
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

    def require_known(
        self, text: str, unknown: str, param: str, advice: str | None = SKIP_ADVICE
    ) -> None:
        """Check that all characters of `text` are in the vocabulary, unless `unknown` is "skip".

        Args:
            text: the text.
            unknown: "refuse" or "skip".
            param: for the error, the name of the request's field that has the text.
            advice: for the error, a sentence saying how a program can let the model skip characters; None if
                the route has no way to do this.

        Raises:
            UnknownCharactersError: some characters are not in the vocabulary; the error lists them.
        """
        if unknown != "refuse":
            return
        vocabulary = self.learner.vocabulary
        strange = [c for c in dict.fromkeys(text) if c not in vocabulary]
        if strange:
            named = ", ".join(map(repr, strange[:NAMED])) + (", …" if strange[NAMED:] else "")
            raise UnknownCharactersError(
                f"the {param} has characters that the model has never read: {named}. Leave them out.",
                strange[:NAMED],
                param,
                advice,
            )

    def encode(self, body: TextRequest) -> Encoded:
        """Return the ids of the text in the request `body`, and the characters that are not in the vocabulary."""
        return self.learner.vocabulary.encode_with(body.text, UnknownPolicy(body.unknown))


class ModelCache:
    """The models in memory.

    Args:
        run_index: the list of runs and model files, which finds a model by its key.
    """

    def __init__(self, run_index: RunIndex) -> None:
        self.run_index = run_index
        self._lock = (
            threading.Lock()
        )  # protects _models and _reading; not held while a model is loaded
        self._models: OrderedDict[Stamp, Learner] = OrderedDict()
        self._reading: dict[Stamp, threading.Lock] = {}
        self._engine = open_engine("auto", 1)

    def open(self, key: str) -> OpenModel:
        """Return the model with the key `key`. Load it if it is not in memory.

        Raises:
            NotFoundError: there is no such model, or its checkpoint no longer exists.
            DamagedError: the checkpoint or the file is damaged.
        """
        place, which = self.run_index.model(key)
        if which == "file":
            learner = self._file(place.path)
            return OpenModel(key, learner, self._engine, update_of_file(place.path) or 0)
        learner = self._run(place.path, which)
        return OpenModel(key, learner, self._engine, learner.update)

    def open_for(self, body: TextRequest) -> OpenModel:
        """Return the model that the request `body` names.

        Raises:
            UnknownCharactersError: the text has characters that are not in the model's vocabulary, and the
                request does not skip them.
            NotFoundError, DamagedError: as in `open`.
        """
        model = self.open(body.model)
        model.require_known(body.text, body.unknown, "text")
        return model

    def _file(self, path: Path) -> Learner:
        """Return the model in the model file `path`.

        Raises:
            NotFoundError: the file cannot be read.
            OSError: there is no free file descriptor.
        """
        try:
            return self._kept(path, path, load_model)
        except OSError as error:
            if is_shortage(error):
                raise
            raise NotFoundError(
                f"the model file {path.name} cannot be read; check that it exists and that you may read it."
            ) from None

    def _run(self, path: Path, which: str | None) -> Learner:
        """Return a model of the run at `path`.

        `which` is "latest", "best" or an update; None takes the run's default model.
        """
        which = which or which_of_run(path)
        if which in (LATEST, BEST):
            followed = follow_pointer(
                lambda: named_update(path, which), lambda update: self._checkpoint(path, update)
            )
            if isinstance(followed.found, Damage):
                return without_slots(load_again(path, which))
            return followed.found
        learner = self._checkpoint(path, int(which))
        if not isinstance(learner, Damage):
            return learner
        if not learner.missing:
            learner.refuse()
        raise NotFoundError(
            f"{path.name} has no checkpoint {which} any more: a run keeps its two newest and its best; "
            f"GET /api/models lists them."
        )

    def _checkpoint(self, path: Path, update: int | None) -> Learner | Damage:
        """Return the model in the checkpoint that the run at `path` saved at `update`.

        If the checkpoint cannot be loaded, return a `Damage` that says why. `update` is None if the run has
        no checkpoint.

        Raises:
            OSError: there is no free file descriptor.
        """
        if update is None:
            return Damage(f"{path} has not saved a model yet.", missing=True)
        checkpoint = checkpoint_path(path, update)
        try:
            # The manifest identifies the checkpoint: a run that was deleted and trained again has the same path.
            return self._kept(checkpoint, checkpoint / MANIFEST, learner_of)
        except DamagedError as error:
            return Damage(error.message)
        except (NotAModelError, OSError) as error:
            if is_shortage(error):
                raise
            return Damage(message_of(error), missing=True)

    def _kept(self, path: Path, witness: Path, read: Callable[[Path], Learner]) -> Learner:
        """Return the model at `path` from memory. If it is not in memory, load it with `read(path)`.

        Also load it if the file `witness` has changed, because there is another model at `path` then.

        Raises:
            OSError: the file `witness` does not exist.
        """
        stat = witness.stat()
        stamp = (path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        with self._lock:
            reading = self._reading.setdefault(stamp, threading.Lock())
        # Simultaneous requests for the same model must not load it several times.
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
        """Keep a model as the most recently used model.

        Drop the least recently used models while there are more than `KEPT` models, or while the models
        have more than `KEPT_BYTES` together.
        """
        with self._lock:
            self._models[stamp] = learner
            self._models.move_to_end(stamp)
            while len(self._models) > 1 and (
                len(self._models) > KEPT or sum(map(size, self._models.values())) > KEPT_BYTES
            ):
                self._models.popitem(last=False)


def without_slots(learner: Learner) -> Learner:
    """Return a copy of the learner without the optimizer's state, which is large and not needed for sampling."""
    return replace(learner, slots={})


def named_update(path: Path, which: str) -> int | None:
    """Return the update of the latest or the best checkpoint of the run at `path`.

    `which` is "latest" or "best", which is also the name of the file with the update. If the file `best` is
    missing, return the update in the file `latest`. If that is missing too, return None.
    """
    update = read_pointer(path, which)
    return read_pointer(path, LATEST) if update is None else update


def load_again(path: Path, which: str) -> Learner:
    """Return the "latest" or "best" model of a run whose checkpoint could not be loaded.

    Loading succeeds if the run has saved a new checkpoint since the first attempt. Otherwise the error names
    the damaged file and what to do.

    Raises:
        NotFoundError: the run has saved no model yet.
        DamagedError: a file of the run is missing or damaged; the message names it.
    """
    try:
        return load_model(path, "best" if which == BEST else "latest")
    except NotAModelError:
        raise NotFoundError(
            f"{path.name} has not saved a model yet; try again in a moment."
        ) from None


def learner_of(checkpoint: Path) -> Learner:
    """Return the learner (the model with its counters) in the directory of a checkpoint."""
    return load_checkpoint(checkpoint).learner


def size(learner: Learner) -> int:
    """Return the total size of a model's parameters in bytes."""
    return sum(array.nbytes for array in learner.parameters.values())
