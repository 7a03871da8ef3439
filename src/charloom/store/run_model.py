"""Opens the model of a run, of a checkpoint or of a model file (spec/formats.md: Runs).

Nothing is locked: another process may be writing the run.
"""

from pathlib import Path
from typing import Literal

from charloom.config import Config
from charloom.errors import ConfigError, DamagedError, NotAModelError
from charloom.formatting import shortened
from charloom.messages import argument
from charloom.model import Learner, averaged
from charloom.run_file_names import BEST, CHECKPOINTS, CONFIG, LATEST
from charloom.store.atomic_files import reading
from charloom.store.checkpoint import load_checkpoint
from charloom.store.checkpoint_directory import MANIFEST
from charloom.store.checkpoint_pointer import follow_pointer
from charloom.store.control_files import read_status
from charloom.store.damage import Damage, attempt, require
from charloom.store.lost_checkpoints import intact_checkpoint, why_no_latest
from charloom.store.model_directory import model_file_of
from charloom.store.model_file import load_model_file
from charloom.store.newer_formats import refuse_newer_run
from charloom.store.run_checkpoints import RunCheckpoints, load_at, read_pointer
from charloom.store.run_directory import is_run
from charloom.store.run_settings import read_settings

Which = Literal["best", "latest"]


def which_of(config: Config) -> Which:
    """Return which checkpoint is the model of a run with this config: "best" or "latest".

    With a validation part, the model is the best checkpoint; without one, it is the latest checkpoint.
    """
    return "best" if config.validation else "latest"


def which_of_run(path: Path) -> Which:
    """Return which checkpoint is the model of the run at `path`: "best" or "latest"; see `which_of`.

    If config.json is damaged, the config comes from the newest intact checkpoint.

    Raises:
        DamagedError: config.json is damaged, and no checkpoint is intact.
    """
    settings = attempt(lambda: read_settings(path))
    if not isinstance(settings, Damage):
        return which_of(settings.config)
    whole = RunCheckpoints(path / CHECKPOINTS).newest_intact()
    if whole is not None:
        return which_of(whole.learner.config)
    return "latest" if settings.missing else which_of(require(settings).config)


def load_model(path: str | Path, which: Which | None = None) -> Learner:
    """Return the model of a run directory, a checkpoint directory, a model directory or a single model file.

    If its training averages the weights, the model has the averaged weights.

    Args:
        path: the directory or file.
        which: the checkpoint of a run, "latest" or "best". The best has the lowest validation loss or, if
            there is no validation part, the lowest smooth loss; until a loss is recorded, it is the
            latest. None means the best if the run has a validation part, else the latest.

    Raises:
        ConfigError: `which` is neither best nor latest.
        NotAModelError: the path is not a run, a checkpoint or a model file.
        NewerFormatError: a later version of charloom wrote the run, checkpoint or file.
        ReadError: the disk failed while reading.
        DamagedError: the run, checkpoint or file is damaged.
    """
    path = Path(path)
    if which not in ("best", "latest", None):
        raise ConfigError(f"{argument('which')} is {shortened(which)}; it must be best or latest.")
    with reading(path):
        return averaged(load_from_anywhere(path, which))


def load_from_anywhere(path: Path, which: Which | None) -> Learner:
    """Return the result of `load_model`, but raise an error of the disk as OSError, not as ReadError."""
    path = model_file_of(path)
    if is_run(path):
        return load_from_run(path, which or which_of_run(path))
    if path.is_dir():
        if (path / CHECKPOINTS).is_dir():
            raise NotAModelError(
                f"{path} has checkpoints but no {CONFIG}, so it is not a run; give one of its "
                f"checkpoints, or restore {CONFIG}. {intact_checkpoint(RunCheckpoints(path / CHECKPOINTS))}".rstrip()
            )
        if not (path / MANIFEST).exists():
            raise NotAModelError(
                f"{shortened(path)} is neither a run directory nor a checkpoint directory; "
                f"give one of these, or a model file."
            )
        return load_checkpoint(path).learner
    if not path.exists():
        raise NotAModelError(
            f"{shortened(path)} does not exist; give a run directory, a checkpoint or a model file."
        )
    return load_model_file(path)


def load_from_run(path: Path, which: Which) -> Learner:
    """Return the learner in the latest or the best checkpoint of a run.

    If another process replaces this checkpoint by a newer one while it is read, the newer checkpoint is
    loaded.
    """
    refuse_newer_run(path)
    followed = follow_pointer(
        lambda: read_pointer(path, which), lambda update: load_named(path, which, update)
    )
    learner = followed.found
    if not isinstance(learner, Damage):
        return learner
    if learner.missing:
        learner.refuse()
    named = "" if followed.update is None else f" {path / CHECKPOINTS / which} refers to it."
    advice = intact_checkpoint(RunCheckpoints(path / CHECKPOINTS))
    raise DamagedError(f"{learner.message}{named} {advice}".rstrip())


def load_named(path: Path, which: Which, update: int | None) -> Learner | Damage:
    """Return the learner of the checkpoint that a run's pointer names.

    If the pointer `best` is missing, the latest checkpoint says which checkpoint is the best.

    Args:
        path: the run directory.
        which: the name of the pointer, "latest" or "best".
        update: the update that the pointer names; None if the pointer is missing.

    Returns:
        The learner, or a `Damage` that says why it cannot be loaded. The attribute `missing` of the Damage
        is True only if the run has not saved a model yet.
    """
    try:
        if update is None and which == BEST:
            update = best_of_latest(path)
        if update is None:
            return why_no_model(path)
        return load_at(path, update).learner
    except (NotAModelError, DamagedError) as error:
        return Damage(error.message)


def why_no_model(path: Path) -> Damage:
    """Return a `Damage` that says why a run without the pointer `latest` has no model."""
    problem = why_no_latest(path, RunCheckpoints(path / CHECKPOINTS), read_status(path))
    settings = attempt(lambda: read_settings(path)) if problem.missing else None
    return settings if isinstance(settings, Damage) else problem


def best_of_latest(path: Path) -> int | None:
    """Return the update of a run's best checkpoint according to its latest checkpoint.

    This is needed if the pointer `best` is missing, because a save writes `latest` before `best`. Until a
    loss is recorded, the best checkpoint is the latest. Returns None if `latest` is missing.
    """
    latest = read_pointer(path, LATEST)
    if latest is None:
        return None
    best = load_at(path, latest).learner.best_update
    return latest if best is None else best
