"""Training from the page: a new run or one that goes on, each in a process of its own.

It is `charloom train` and `charloom resume`, as a terminal would start them; the server's end is not
theirs. It knows nothing of how training works.
"""

import re
from itertools import count
from typing import Final

from fastapi import APIRouter

from charloom.config import Config
from charloom.errors import RunExistsError
from charloom.recipes import DEFAULT_RECIPE, RECIPES, configure
from charloom.web import contract as wire
from charloom.web.jobs import Jobs
from charloom.web.limits import Busy
from charloom.web.mistakes import NotAllowedError
from charloom.web.shelf import Shelf
from charloom.web.texts import TextShelf

MOST_AT_ONCE: Final = 4
AT_WORK: Final = ("starting", "training", "paused")
RETRY_SECONDS: Final = 30
ENDS: Final = ("epochs", "updates", "minutes")


def routes(shelf: Shelf, texts: TextShelf, jobs: Jobs) -> APIRouter:
    """The routes that start a training."""
    router = APIRouter(tags=["training"])

    @router.post("/api/runs", status_code=202)
    def start(new: wire.NewRun) -> wire.Started:
        """Start a training in a process of its own. What is wrong with the text itself shows as
        the run's state `failed`, with the reason."""
        require_room(shelf, jobs)
        recipe = new.recipe or DEFAULT_RECIPE
        text = texts.find(new.text)
        given = new.settings.model_dump(exclude_none=True)
        settle(recipe, given)
        if new.name is not None:
            if (shelf.folder / new.name).exists() or new.name in jobs.all():
                raise RunExistsError(f"there is a run {new.name!r} already; give another name.")
            name = new.name
        else:
            name = free_name(shelf, jobs, text.about.name)
        options = [
            word
            for setting, value in given.items()
            for word in (f"--{setting.replace('_', '-')}", str(value))
        ]
        path = shelf.folder.resolve() / name
        command = ["train", *text.sources, "--run", str(path), "--recipe", recipe, *options]
        jobs.start(name, command, text.about.name, recipe)
        return wire.Started(run=name)

    @router.post("/api/runs/{run}/resume", status_code=202)
    def resume(run: wire.Key, further: wire.GoOn) -> wire.Started:
        """Go on with a run that no process trains, in a process of its own."""
        require_room(shelf, jobs)
        place, told = shelf.place(run), shelf.run(run)
        if not told.resumable:
            raise NotAllowedError(
                f"{run} is {told.state}; only a run that no process trains can go on."
            )
        ends = further.model_dump(exclude_none=True)
        if told.state == "finished" and not ends:
            raise NotAllowedError(
                f"{run} is finished, at update {told.update:,}; to train it further, say to how "
                f"many epochs or updates.",
                "updates",
            )
        if len(ends) > 1:
            raise NotAllowedError("epochs and updates each say when to end; give one.", "updates")
        options = [word for end, value in ends.items() for word in (f"--{end}", str(value))]
        jobs.start(run, ["resume", str(place.path.resolve()), *options], told.text)
        return wire.Started(run=run)

    return router


def require_room(shelf: Shelf, jobs: Jobs) -> None:
    """Refuse a training where enough that were started here are at work."""
    started = jobs.all()
    running = sum(run.state in AT_WORK and run.key in started for run in shelf.runs())
    if running >= MOST_AT_ONCE:
        raise Busy(
            f"{running} trainings that were started here are at work; stop one, or wait.",
            RETRY_SECONDS,
            status=429,
        )


def settle(recipe: str, given: dict[str, object]) -> Config:
    """The settings as they will be, so that what is wrong with them shows now.

    Raises:
        NotAllowedError: no such recipe, or more than one end.
        ConfigError: a value out of its range, or settings that contradict each other.
    """
    if recipe not in RECIPES:
        raise NotAllowedError(
            f"there is no recipe {recipe!r}; there are {', '.join(RECIPES)}.", "recipe"
        )
    ends = [end for end in ENDS if end in given]
    if len(ends) > 1:
        raise NotAllowedError(
            f"{' and '.join(ends)} each say when to end; give one of them.", f"settings.{ends[1]}"
        )
    return configure(recipe, **{name: v for name, v in given.items() if name != "minutes"})


def free_name(shelf: Shelf, jobs: Jobs, text: str) -> str:
    """The first of TEXT-1, TEXT-2, … that no run has."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", text.removesuffix(".txt")).strip("-")[:40] or "text"
    taken = jobs.all()
    return next(
        name
        for n in count(1)
        if (name := f"{plain}-{n}") not in taken and not (shelf.folder / name).exists()
    )
