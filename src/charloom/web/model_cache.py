"""Keeps the most recently used models in memory, so that a second request does not load them again.

A checkpoint never changes, so a model in memory stays correct. A request names a model by its key in the list of runs
and model files.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from charloom.api.training_plan import planned_minutes
from charloom.engines import Engine, open_engine
from charloom.errors import DamagedError, NotAModelError, message_of
from charloom.finetune import tuned_config
from charloom.hidden_units.gate_values import value_names
from charloom.model import Learner
from charloom.registered_cells import is_registered
from charloom.run_file_names import BEST, LATEST
from charloom.store import load_model, update_of_file, which_of_run
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

# The key of a model in memory: the model's path, and the inode, modification time and size of its file. For a
# checkpoint, which is a directory, the file is MANIFEST.
Stamp = tuple[Path, int, int, int]


@dataclass(frozen=True, eq=False)
class OpenModel:
    """A model in memory.

    Attributes:
        id: the key with which the request named the model.
        learner: the model, without the state of its optimizer.
        engine: the engine, with one thread, because requests share the processors.
        update: the update at which the weights were saved; 0 if a model file does not contain this number.
    """

    id: str
    learner: Learner
    engine: Engine
    update: int

    def head(self) -> dict[str, Any]:
        """Return two fields for a response: the id of the model, and the update at which the model was saved.

        Two responses come from the same weights if they have the same id and the same update.
        """
        return {"model": self.id, "update": self.update}

    def about(self) -> ModelDetail:
        """Return the response body that describes the model."""
        config, vocabulary = self.learner.config, self.learner.vocabulary
        further = tuned_config(config)
        return ModelDetail(
            id=self.id,
            update=self.update,
            cell=config.cell,
            hidden_size=config.hidden_size,
            layers=config.layers,
            ngram_order=config.ngram_order,
            input_pairs=config.input_pairs,
            tokens=config.tokens,
            vocabulary="".join(vocabulary.characters),
            parameters=sum(array.size for array in self.learner.parameters.values()),
            recipe=config.recipe,
            settings=further.to_dict(),
            minutes=planned_minutes(further, None),
            whats=list(value_names(config.cell)),
        )

    def require_known(
        self, text: str, unknown: str, param: str, advice: str | None = SKIP_ADVICE
    ) -> None:
        """Check that all characters of `text` are in the vocabulary, unless `unknown` is "skip".

        Args:
            text: the text.
            unknown: "refuse" or "skip".
            param: the name of the request's field that has the text, for the error.
            advice: a sentence saying how a program can let the model skip characters, for the error. None if
                the route cannot skip characters.

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
        run_index: the list of runs and model files. It finds the path of a model by the model's key.
    """

    def __init__(self, run_index: RunIndex) -> None:
        self.run_index = run_index
        # protects _models and _reading; is released while a model is loaded
        self._lock = threading.Lock()
        self._models: OrderedDict[Stamp, Learner] = OrderedDict()
        self._reading: dict[Stamp, threading.Lock] = {}
        self._engine = open_engine("auto", 1)

    def open(self, key: str) -> OpenModel:
        """Return the model with the key `key`. Load it if it is not in memory.

        Raises:
            NotFoundError: no model has this key, or its checkpoint no longer exists.
            DamagedError: the checkpoint or the model file is damaged.
        """
        place, which = self.run_index.model(key)
        if which == "file":
            learner = self._file(place.path)
            return OpenModel(
                key, learner, self._engine_for(learner), update_of_file(place.path) or 0
            )
        learner = self._run(place.path, which)
        return OpenModel(key, learner, self._engine_for(learner), learner.update)

    def _engine_for(self, learner: Learner) -> Engine:
        """Return the engine that computes a model: the engine torch for a registered cell."""
        if is_registered(learner.config.cell):
            return open_engine("auto", 1, cell=learner.config.cell)
        return self._engine

    def open_for(self, body: TextRequest) -> OpenModel:
        """Return the model that the request `body` names; load it if it is not in memory.

        Raises:
            UnknownCharactersError: the text in `body` has characters that are not in the model's vocabulary,
                and `body` does not ask to skip them.
            NotFoundError: the model does not exist, or its checkpoint no longer exists.
            DamagedError: the checkpoint or the model file is damaged.
        """
        model = self.open(body.model)
        model.require_known(body.text, body.unknown, "text")
        return model

    def path_of(self, key: str) -> Path:
        """Return the path of the model with the key `key`, for a training run that starts from it.

        The path of a run's default model is that of the run. If the key names the other of a run's best and latest
        model, the path is that of the checkpoint. A run that continues removes this checkpoint after it has saved
        newer ones.

        Raises:
            NotFoundError: no run or model file has this key, or the run has not saved a model yet.
        """
        place, which = self.run_index.model(key)
        path = place.path.resolve()
        if which in (None, "file", which_of_run(path)):
            return path
        if which not in (LATEST, BEST):
            return checkpoint_path(path, int(which))
        update = named_update(path, which)
        if update is None:
            raise not_saved(path)
        return checkpoint_path(path, update)

    def _file(self, path: Path) -> Learner:
        """Return the model in the model file `path`.

        Raises:
            NotFoundError: the file cannot be read.
            OSError: there is no free file descriptor.
        """
        try:
            return self._cached(path, path, load_model)
        except OSError as error:
            if is_shortage(error):
                raise
            raise NotFoundError(
                f"the model file {path.name} cannot be read; check that it exists and that you may read it."
            ) from None

    def _run(self, path: Path, which: str | None) -> Learner:
        """Return a model of the run at `path`.

        `which` selects the checkpoint: "latest", "best" or the number of its update. None selects the
        checkpoint that the run uses by default.
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

        Return a `Damage`, which says what is wrong, if the checkpoint cannot be loaded, or if `update` is
        None because the run has not saved a checkpoint.

        Raises:
            OSError: there is no free file descriptor.
        """
        if update is None:
            return Damage(f"{path} has not saved a model yet.", missing=True)
        checkpoint = checkpoint_path(path, update)
        try:
            # The path does not identify the checkpoint, because a run may have been deleted and trained again.
            # So also compare the file MANIFEST of the checkpoint.
            return self._cached(checkpoint, checkpoint / MANIFEST, learner_of)
        except DamagedError as error:
            return Damage(error.message)
        except (NotAModelError, OSError) as error:
            if is_shortage(error):
                raise
            return Damage(message_of(error), missing=True)

    def _cached(self, path: Path, compared: Path, read: Callable[[Path], Learner]) -> Learner:
        """Return the model at `path` from memory, or load it with `read(path)` if it is not in memory.

        Load the model again, too, if the file `compared` was replaced or changed since the model was loaded.

        Raises:
            OSError: the file `compared` does not exist.
        """
        stat = compared.stat()
        stamp = (path, stat.st_ino, stat.st_mtime_ns, stat.st_size)
        with self._lock:
            reading = self._reading.setdefault(stamp, threading.Lock())
        # Requests that need the same model at the same time wait here, so that only one of them loads it.
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
        """Store `learner` in memory as the most recently used model, under the key `stamp`.

        Drop the least recently used models while more than `KEPT` models are in memory, or while they
        have more than `KEPT_BYTES` bytes together. One model always stays.
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

    `which` is "latest" or "best". The file of this name in the run contains the update. If the file `best` is
    missing, return the update in the file `latest`. If the file `latest` is missing, return None.
    """
    update = read_pointer(path, which)
    return read_pointer(path, LATEST) if update is None else update


def load_again(path: Path, which: str) -> Learner:
    """Try once more to load a model of the run at `path`, and return it.

    This is called after loading failed. It succeeds if the run has saved a new checkpoint since then.
    Otherwise the error says what to do. `which` is "latest" or "best".

    Raises:
        NotFoundError: the run has not saved a model yet.
        DamagedError: a file of the run is missing or damaged; the message names the file.
    """
    try:
        return load_model(path, "best" if which == BEST else "latest")
    except NotAModelError:
        raise not_saved(path) from None


def not_saved(path: Path) -> NotFoundError:
    """Return the error for the run at `path` if it has no model yet."""
    return NotFoundError(f"{path.name} has not saved a model yet; try again in a moment.")


def learner_of(checkpoint: Path) -> Learner:
    """Return the learner (the model with its counters) in the directory of a checkpoint."""
    return load_model(checkpoint)


def size(learner: Learner) -> int:
    """Return the total size of a model's parameters, n-grams and pairs in bytes."""
    parameters = sum(array.nbytes for array in learner.parameters.values())
    ngrams = learner.ngrams.nbytes if learner.ngrams else 0
    return parameters + ngrams + (learner.pairs.ids.nbytes if learner.pairs else 0)
