"""The routes that remove and rename runs. They refuse a run that a process trains."""

from pathlib import Path

from fastapi import APIRouter

from charloom.errors import ConfigError, RunExistsError, RunInUseError
from charloom.formatting import shortened
from charloom.store import RunRemoval, plan_removal, remove_run, rename_run
from charloom.store.run_renaming import require_name
from charloom.web import schemas as wire
from charloom.web.error_responses import NameTakenError, NotAllowedError
from charloom.web.run_index import RunIndex
from charloom.web.runs_folder import key_of
from charloom.web.text_routes import FOLDER


def routes(run_index: RunIndex) -> APIRouter:
    """Return the routes that remove and rename runs."""
    router = APIRouter(tags=["runs"])
    jobs = run_index.jobs

    @router.get("/api/runs/{run}/removal")
    def removal(run: wire.Key) -> wire.Removal:
        """Return what the removal of a run would remove. Change nothing."""
        return removal_of(run, plan_removal(unused_run(run_index, run)))

    @router.post("/api/runs/{run}/remove")
    def remove(run: wire.Key, shown: wire.RemovalRequest) -> wire.Removal:
        """Remove a run with all its files, and return what was removed. Links are removed and not followed."""
        with jobs.turn:
            planned = plan_removal(unused_run(run_index, run))
            require_as_shown(run, planned, shown)
            remove_run(planned)
            run_index.read_list(refresh=True)
        return removal_of(run, planned)

    @router.post("/api/runs/{run}/rename")
    def rename(run: wire.Key, new: wire.NewName) -> wire.Renamed:
        """Rename a run, which stays in its folder, and return its new key."""
        require_new_name(new.name)
        with jobs.turn:
            run_index.read_list(refresh=True)
            path = unused_run(run_index, run)
            target = path.with_name(new.name).relative_to(run_index.folder)
            key = key_of(target.as_posix())
            if (
                key in jobs.all()
            ):  # a start that failed or is not yet done has no directory, but has the name
                raise NameTakenError(
                    f"a run {shortened(new.name)} was started already; give another name."
                )
            try:
                rename_run(path, new.name)
            except RunExistsError as error:
                raise NameTakenError(error.message) from None
            run_index.read_list(refresh=True)
        return wire.Renamed(run=key)

    return router


def unused_run(run_index: RunIndex, run: str) -> Path:
    """Return the directory of a run that may be removed or renamed, as far as the server knows.

    Raises:
        NotFoundError: no run with a directory has the key `run`.
        NotAllowedError: the run is behind a link to another folder.
        RunInUseError: a process that this server started trains the run, or is about to.
    """
    path = run_index.place(run).path
    folder = run_index.folder.resolve()
    if path.resolve() != folder / path.relative_to(run_index.folder):
        raise NotAllowedError(
            f"{run} is behind a link; remove or rename it in the folder to which the link leads."
        )
    job = run_index.jobs.all().get(run)
    if job is not None and job.alive:
        raise RunInUseError(f"{run} is in use: process {job.pid} trains it. Stop it first.")
    return path


def require_new_name(name: str) -> None:
    """Raise NotAllowedError if a run cannot be renamed to `name`.

    `charloom runs rename` accepts the same names, except that of the folder with the uploaded texts.
    """
    try:
        require_name(name)
    except ConfigError as error:
        raise NotAllowedError(error.message, "name") from None
    if name.casefold() == FOLDER:
        raise NotAllowedError(
            f"the name {shortened(name)} is kept for the folder with the uploaded texts; give another name.",
            "name",
        )


def require_as_shown(run: str, planned: RunRemoval, shown: wire.RemovalRequest) -> None:
    """Raise RunInUseError if a run has other files than the user was shown."""
    contents = planned.contents
    if shown.files not in (None, contents.files) or shown.bytes not in (None, contents.bytes):
        raise RunInUseError(
            f"{run} is not removed: its files changed after they were shown. Look at the run again."
        )


def removal_of(run: str, planned: RunRemoval) -> wire.Removal:
    """Return the response about the removal of a run."""
    contents = planned.contents
    return wire.Removal(
        run=run, files=contents.files, bytes=contents.bytes, others=list(planned.others)
    )
