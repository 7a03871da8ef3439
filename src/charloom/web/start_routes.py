"""The routes that start or resume a run in a separate process.

The process runs `charloom train` or `charloom resume`, and continues when the server stops. A lock ensures that only one
request at a time checks the number of processes and starts another process.
"""

import os
import re
import unicodedata
from collections.abc import Iterator
from itertools import count
from typing import Any, Final, NamedTuple

from fastapi import APIRouter

from charloom.api.learning_rate import refuse_given_rate
from charloom.api.training_plan import initial_config
from charloom.config import ARGUMENT_HELP
from charloom.errors import ConfigError, DamagedError, NotAModelError, RunExistsError, RunInUseError
from charloom.finetune import UNKNOWN_CHARACTERS
from charloom.formatting import counted, shortened
from charloom.messages import argument, option
from charloom.model import Learner
from charloom.recipes import DEFAULT_RECIPE, RECIPES
from charloom.store.run_lock import acquire
from charloom.web import schemas as wire
from charloom.web.concurrency import Busy
from charloom.web.error_responses import NameTakenError, NotAllowedError, NotFoundError
from charloom.web.model_cache import ModelCache
from charloom.web.run_index import RunIndex
from charloom.web.runs_folder import key_of
from charloom.web.text_routes import FOLDER, TextIndex
from charloom.web.training_jobs import Jobs

MOST_AT_ONCE: Final = 4
RETRY_SECONDS: Final = 30
ENDS: Final = ("epochs", "updates", "minutes")


def routes(run_index: RunIndex, texts: TextIndex, models: ModelCache, jobs: Jobs) -> APIRouter:
    """Return the routes that start, resume and dismiss runs."""
    router = APIRouter(tags=["training"])

    @router.post("/api/runs", status_code=202)
    def start(new: wire.NewRun) -> wire.Started:
        """Start a run in a separate process, with random weights or with those of a model.

        If the process cannot use the text, the run gets the state `failed`, and its reason says why.
        """
        text = texts.find(new.text)
        beginning = beginning_of(new, models)
        if new.name is not None:
            require_name(new.name)
        with jobs.turn:
            require_free_process(jobs)
            for name in names(text.about.name) if new.name is None else (new.name,):
                path = run_index.folder.resolve() / name
                command = ["train", *text.sources, option("run"), str(path), *beginning.options]
                try:
                    if os.path.lexists(path):
                        raise RunExistsError(
                            f"a run {shortened(name)} exists already; give another name."
                        )
                    jobs.start(name, command, text.about.name, beginning.recipe, beginning.request)
                except RunExistsError as error:
                    if new.name is not None:
                        raise NameTakenError(error.message) from None
                else:
                    break
        run_index.read_list(refresh=True)  # the list must have the new run before the next request
        return wire.Started(run=name)

    @router.post("/api/runs/{run}/resume", status_code=202)
    def resume(run: wire.Key, further: wire.ResumeRequest) -> wire.Started:
        """Start a separate process that resumes a run; refuse if a process trains the run already."""
        ends = further.model_dump(exclude_none=True)
        if len(ends) > 1:
            raise NotAllowedError(
                f"{' and '.join(map(argument, ends))} each set the end of training; give only one.",
                [*ends][1],
            )
        options = options_of(ends)
        with jobs.turn:
            require_free_process(jobs)
            run_index.read_list(refresh=True)
            place, listed = run_index.place(run), run_index.run(run)
            require_resumable(listed, ends)
            if (job := jobs.all().get(run)) is not None and job.alive:
                raise RunInUseError(f"{run} is in use: process {job.pid} trains it; wait a moment.")
            # `acquire` raises RunInUseError if a process trains the run.
            acquire(place.path).release()
            jobs.start(run, ["resume", str(place.path.resolve()), *options], listed.text)
        run_index.read_list(refresh=True)
        return wire.Started(run=run)

    @router.post("/api/runs/{run}/dismiss")
    def dismiss(run: wire.Key, _: wire.EmptyRequest) -> wire.Dismissed:
        """Remove from the list a run whose start failed or was stopped, and delete the log of its process.

        The start ended before the run had a directory. A run that has a directory is never removed.
        """
        with jobs.turn:
            run_index.read_list(refresh=True)
            if not run_index.run(run).dismissible:
                raise NotAllowedError(
                    f"{run} is not a failed start; only failed starts can be dismissed."
                )
            jobs.forget(jobs.all()[run])
        run_index.read_list(refresh=True)
        return wire.Dismissed(run=run)

    return router


class Beginning(NamedTuple):
    """How a requested run begins.

    Attributes:
        recipe: the recipe to show for the run until it has a config.
        request: the request as JSON, with the recipe unless the run has the settings of its model.
        options: the options of `charloom train` that the request gives.
    """

    recipe: str
    request: dict[str, Any]
    options: list[str]


def beginning_of(new: wire.NewRun, models: ModelCache) -> Beginning:
    """Return how the run in the request `new` begins, or raise an error if its process would refuse the request.

    Raises:
        NotAllowedError: the model to start from does not exist or is damaged; or see `require_settings`.
        ConfigError: see `require_settings`.
    """
    model, options, named = None, list[str](), new.recipe
    recipe = named or DEFAULT_RECIPE
    if new.from_model is None:
        named = recipe
    else:
        try:
            model = models.open(new.from_model).learner
            path = models.path_of(new.from_model)
        except (NotFoundError, DamagedError, NotAModelError) as error:
            raise NotAllowedError(
                f"the run cannot start from this model; choose another. The reason: {error.message}",
                "from_model",
            ) from None
        options = [option("from_model"), str(path)]
        recipe = named or model.config.recipe
    given = new.settings.model_dump(exclude_none=True)
    require_settings(named, given, model)
    request = new.model_copy(update={"recipe": named}).model_dump(exclude_none=True)
    if named is not None:
        options += [option("recipe"), named]
    return Beginning(recipe, request, options + options_of(given))


def options_of(given: dict[str, Any]) -> list[str]:
    """Return the options of a command for the settings in `given`. An option that is true has no value."""
    words = []
    for name, value in given.items():
        if value is True:
            words.append(option(name))
        elif value is not False:
            words += [option(name), str(value)]
    return words


def require_resumable(run: wire.Run, ends: dict[str, float]) -> None:
    """Raise NotAllowedError if a run cannot be resumed.

    A run cannot be resumed if a process trains it, if it is damaged, or if it has reached its end and the request
    gives no later end.

    Args:
        run: the run.
        ends: the new end of training from the request, by its name: `epochs`, `updates` or `minutes`. Empty if
            the request gives no end.
    """
    if not run.resumable:
        raise NotAllowedError(
            f"{run.key} is {run.state}; only an intact run that no process trains can be resumed."
        )
    if run.update is not None and ends.get("updates", run.update + 1) <= run.update:
        raise NotAllowedError(
            f"{run.key} has {counted(run.update, 'update')} already; give more than that.",
            "updates",
        )
    if run.state == "finished" and not ends:
        raise NotAllowedError(
            f"{run.key} is finished, at update {run.update:,}; to train it further, give minutes, or a "
            f"larger number of epochs or updates.",
            "minutes",
        )


def require_name(name: str) -> None:
    """Raise NotAllowedError if a run cannot have the name `name`.

    A name may have only letters, digits, `_`, `.` and `-`, and no `.` or `-` at either end. No run can have the
    name of the folder with the uploaded texts.
    """
    if key_of(name) != name or name.casefold() == FOLDER:
        raise NotAllowedError(
            f"a run cannot have the name {shortened(name)}; use letters and digits, and between them _, . and -.",
            "name",
        )


def require_free_process(jobs: Jobs) -> None:
    """Raise Busy if the number of training processes that this server started has reached its limit."""
    running = sum(job.alive for job in jobs.all().values())
    if running >= MOST_AT_ONCE:
        raise Busy(
            f"{running} runs that this server started are training, which is the limit; stop one, or wait.",
            RETRY_SECONDS,
            status=429,
        )


def require_settings(recipe: str | None, given: dict[str, Any], model: Learner | None) -> None:
    """Raise an error if the process of a new run would refuse the recipe or the settings in `given`.

    Args:
        recipe: the recipe; None takes the settings of the model.
        given: the settings that the request changes.
        model: the model to start from; None begins with random weights.

    Raises:
        NotAllowedError: there is no such recipe, more than one setting says when training ends, the learning
            rate is given although it is to be found, or a setting for unknown characters is given without a model.
        ConfigError: a value is out of its range, or settings contradict each other or the model.
    """
    if recipe is not None and recipe not in RECIPES:
        raise NotAllowedError(
            f"there is no recipe {shortened(recipe)}; use one of {', '.join(RECIPES)}.", "recipe"
        )
    ends = [end for end in ENDS if end in given]
    if len(ends) > 1:
        raise NotAllowedError(
            f"{' and '.join(map(argument, ends))} each set the end of training; give only one of them.",
            f"settings.{ends[1]}",
        )
    if given.get("find_learning_rate"):
        try:
            refuse_given_rate(given)
        except ConfigError as error:
            raise NotAllowedError(error.message, "settings.learning_rate") from None
    replacement = given.get("replacement")
    # A command cannot have a null character.
    if model and replacement and (replacement not in model.vocabulary or replacement == "\0"):
        raise NotAllowedError(
            f"{argument('replacement')} is {shortened(replacement)}, which the model does not know.",
            "settings.replacement",
        )
    for name in UNKNOWN_CHARACTERS:
        if model is None and name in given:
            raise NotAllowedError(
                f"{argument(name)} has no meaning without a model to start from.",
                f"settings.{name}",
            )
    initial_config(
        DEFAULT_RECIPE,
        model,
        recipe=recipe,
        **{name: v for name, v in given.items() if name not in ARGUMENT_HELP},
    )


def names(text: str) -> Iterator[str]:
    """Return an endless iterator over possible names for a new run that trains on the text named `text`.

    For the text "Über.txt", the names are Uber-1, Uber-2, and so on.
    """
    letters = unicodedata.normalize("NFKD", text.removesuffix(".txt"))
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    plain = re.sub(r"[^A-Za-z0-9_-]+", "-", bare).strip("-")[:40]
    return (f"{plain or 'text'}-{n}" for n in count(1))
