"""The commands that make runs and look after them: reproduce, train, resume, report, control."""

import dataclasses
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from charloom.cli.options import SETTINGS, Json, Minutes, NewRun, Run, Texts, takes_settings
from charloom.cli.outcome import Outcome, finish, follow, introduce
from charloom.cli.reading import ReadingProgress, say_left_out
from charloom.cli.terminal import say, show, show_json
from charloom.config import Config, without_effect
from charloom.messages import for_command_line
from charloom.recipes import CLASSIC, DEFAULT_RECIPE

# Settings that a resumed run may have otherwise, for they are no part of what it computes.
UNCHANGING: Final = ("engine", "threads", "save_seconds")


@takes_settings(*SETTINGS)
def reproduce(
    text: Texts = None,
    run: NewRun = None,
    minutes: Minutes = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Do the classic experiment: check, train, write, report.

    Without a TEXT it reads a built-in one: the New Testament where the extra
    corpora is installed, else the Python documentation. A wrong gradient ends
    in exit code 1.

    \b
    Example:
      charloom reproduce book.txt --run runs/book
    """
    from charloom import api

    began, settings = time.monotonic(), settings or {}
    api.new_run(run)
    if text:
        corpus = api.text_to_learn(text, default=CLASSIC, **settings)
    else:
        corpus = api.demo_text(settings.get("tokens") or "characters")
    config = api.settle(
        corpus, minutes, default=CLASSIC, began=began, tell=say_sentence, **settings
    )
    warn_without_effect(config, settings)
    with api.begin(corpus, config, run) as training:
        introduce(training)
        say("checking the gradients …")
        outcome = follow(training, whole=True)
        finish(training, outcome, as_json)


@takes_settings(*SETTINGS, recipe=DEFAULT_RECIPE)
def train(
    text: Texts = None,
    from_model: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="a model to train further, with its own vocabulary; of a run, its best with a "
            "validation part, else its last",
        ),
    ] = None,
    run: NewRun = None,
    minutes: Minutes = None,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Train a model on a text, in a new run directory.

    Ctrl-C saves and ends; charloom resume goes on from there.

    \b
    Example:
      charloom train book.txt --run runs/book --epochs 3
    """
    from charloom import api

    began = time.monotonic()
    api.new_run(run)
    model, settings = api.learner_of(from_model), settings or {}
    corpus = api.text_to_learn(text or [], model=model, **settings)
    config = api.settle(corpus, minutes, model=model, began=began, tell=say_sentence, **settings)
    warn_without_effect(config, settings)
    if model is None and "unknown" in settings:
        say("--unknown has no effect: without --from, the model learns whatever the text holds.")
    if model is not None and "recipe" not in settings:
        say(
            f"the model keeps its own settings, which began as the recipe {config.recipe}; "
            f"--recipe names others."
        )
    with api.begin(corpus, config, run, model) as training:
        introduce(training)
        finish(training, follow(training), as_json)


def say_sentence(told: str) -> None:
    """Say a sentence that came without its point."""
    say(f"{told}.")


def warn_without_effect(config: Config, settings: dict[str, Any]) -> None:
    """Say which options were given in vain."""
    for sentence in without_effect(config, settings):
        say_sentence(sentence)


@takes_settings(*UNCHANGING, **dict.fromkeys(UNCHANGING, "the run's"))
def resume(
    run: Run,
    text: Annotated[
        list[str] | None,
        typer.Option(metavar="TEXT", help="where the text is now, if it was moved; repeatable"),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="a new end, in epochs from the start")] = None,
    updates: Annotated[
        int | None, typer.Option(help="a new end, in updates from the start")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="go on for about this long")] = None,
    allow_older: Annotated[
        bool,
        typer.Option(
            "--allow-older",
            help="where checkpoints or records are damaged, go on from what is whole",
        ),
    ] = False,
    as_json: Json = False,
    settings: dict[str, Any] | None = None,
) -> None:
    """Go on with a run from its last checkpoint.

    On a machine of the same kind (processor, instruction set, threads, engine,
    versions of charloom and NumPy) it ends with the same bits as without a break.

    A finished run is left as it is, unless --minutes, --epochs or --updates
    give it a new end.

    \b
    Example:
      charloom resume runs/book --minutes 5
    """
    from charloom import api

    changes = {"allow_older": allow_older, **(settings or {})}
    with api.reopen(run, text, epochs, updates, minutes, tell=say_sentence, **changes) as training:
        if training.finished:
            say(
                f"{run} is finished, at update {training.learner.update:,}; nothing to do. "
                f"To train it further, say for how long with --minutes, or give --epochs or --updates a "
                f"new end, counted from the start."
            )
            outcome = Outcome()
        else:
            introduce(training)
            # Where there is a gradient check, even an unfinished one, reproduce began the run: its
            # last step is the report.
            outcome = follow(training, whole=(run / "gradcheck.json").exists())
        finish(training, outcome, as_json)


def report(
    run: Run,
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="write the page there, and nothing into the run"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a run's report.html, loss.svg and loss.png.

    \b
    Example:
      charloom report runs/book
    """
    from charloom.report import write_report

    damage: list[str] = []
    path = write_report(run, output, damage.append, ReadingProgress())
    for told in damage:
        say_left_out(told)
    if as_json:
        show_json({"report": str(path), "damage": list(map(for_command_line, damage))})
    else:
        show(str(path))


def control(
    run: Run,
    command: Annotated[
        str, typer.Argument(metavar="[run|pause|stop]", help="What the training shall do.")
    ],
    learning_rate_factor: Annotated[
        float | None,
        typer.Option(help="multiply the settings' learning rate by this from now on"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Pause, continue, stop or steer a run that another process trains.

    A stopped run is saved; charloom resume goes on with it.

    \b
    Example:
      charloom control runs/book run --learning-rate-factor 0.5
    """
    from charloom import api

    sent = api.control(run, command, learning_rate_factor=learning_rate_factor)
    if as_json:
        show_json(dataclasses.asdict(sent))
    else:
        factor = sent.learning_rate_factor
        asked = "" if factor is None else f", and the settings' learning rate times {factor:g}"
        say(f"told {run}: {sent.command}{asked}.")
