"""The commands `reproduce`, `train`, `resume`, `report` and `control`, which work on runs."""

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from charloom.cli import run_options
from charloom.cli.error_exit import fail, interruption_message
from charloom.cli.grid_output import axes_of
from charloom.cli.model_options import Grid, Temperatures, TopPs
from charloom.cli.options import Json, Minutes, NewRun, Run, Texts
from charloom.cli.process_options import may_use_processes
from charloom.cli.process_start import command_start
from charloom.cli.report_output import ReadingProgress, say_left_out
from charloom.cli.search_output import search_rate
from charloom.cli.setting_options import SETTINGS, takes_settings
from charloom.cli.terminal import (
    explain_terminal_input,
    say,
    say_sentence,
    say_sentences,
    show,
    show_json,
)
from charloom.cli.training_outcome import Outcome
from charloom.cli.training_output import finish, follow, introduce
from charloom.cli.waiting import waiting_line
from charloom.config import MACHINE_SETTINGS, without_effect
from charloom.formatting import shortened
from charloom.messages import argument, for_command_line, terminal_command
from charloom.messages import command as command_mark
from charloom.recipes import CLASSIC, DEFAULT_RECIPE
from charloom.run_file_names import COMMANDS, GRADCHECK, LEARNING_RATES_SVG

if TYPE_CHECKING:
    from charloom.api import LearningRateSearch, RunChanges
    from charloom.api.training_plan import TrainingPlan
    from charloom.model import Learner
    from charloom.text import Corpus


@takes_settings(*SETTINGS)
@may_use_processes
def reproduce(
    settings: dict[str, Any],
    text: Texts = None,
    run: NewRun = None,
    minutes: Minutes = None,
    as_json: Json = False,
) -> None:
    """Do the classic experiment: check gradients, train, write text and a report.

    Without TEXT it reads a built-in text: the New Testament if the extra corpora is
    installed, else the Python documentation. A wrong gradient gives exit code 1.

    \b
    Example:
      charloom reproduce book.txt --run runs/book
    """
    from charloom import api

    began = command_start()
    with interruption_message("no run was made"):
        api.new_run(run)
        explain_terminal_input(text or [])
        if text:
            corpus = api.text_to_learn(text, default=CLASSIC, **settings)
        else:
            corpus = api.demo_text(settings.get("tokens") or "characters")
        plan = api.plan_training(
            corpus, minutes, default=CLASSIC, began=began, on_message=say_sentence, **settings
        )
        say_sentences(without_effect(plan.config, settings))
        plan = counted(plan, corpus)
    train_new_run(corpus, plan, run, as_json, whole=True)


@takes_settings(*SETTINGS, recipe=DEFAULT_RECIPE)
@may_use_processes
def train(
    settings: dict[str, Any],
    text: Texts = None,
    from_model: run_options.FromModel = None,
    run: NewRun = None,
    exist: run_options.Exist = "refuse",
    minutes: run_options.TrainingMinutes = None,
    find_learning_rate: run_options.FindLearningRate = False,
    as_json: Json = False,
) -> None:
    """Train a model on a text, in a new run directory.

    Ctrl-C saves a checkpoint and stops; charloom resume continues from it. So does
    the same command with --exist resume.

    \b
    Example:
      charloom train book.txt --run runs/book --epochs 3
    """
    from charloom import api

    began, found = command_start(), None
    if find_learning_rate:
        api.refuse_given_rate(settings)
    old = api.run_to_continue(run, exist)
    if old is not None:
        model = api.learner_of(from_model)
        given = api.GivenTraining(text or [], None, model, minutes, find_learning_rate, settings)
        explain_terminal_input(text or [])
        continue_run(old, api.changes_to_continue(old, given), as_json)
        return
    with interruption_message("no run was made") as end_if_interrupted:
        api.new_run(run)
        model = api.learner_of(from_model)
        explain_terminal_input(text or [])
        corpus = api.text_to_learn(text or [], model=model, **settings)
        if find_learning_rate:
            found = search_rate(corpus, minutes, model, settings, end_if_interrupted)
            settings["learning_rate"] = found.search.learning_rate
        plan = api.plan_training(
            corpus,
            minutes,
            model=model,
            began=began,
            found=found,
            on_message=say_sentence,
            **settings,
        )
        say_sentences(without_effect(plan.config, settings))
        if model is None and "unknown" in settings:
            say("--unknown has no effect without --from: the vocabulary is made from the text.")
        if model is not None and "recipe" not in settings:
            say(
                f"the model keeps its settings, which started from the recipe {plan.config.recipe}; give "
                f"--recipe to use another."
            )
        plan = counted(plan, corpus)
    train_new_run(corpus, plan, run, as_json, model, found.search if found else None)


def counted(plan: "TrainingPlan", corpus: "Corpus") -> "TrainingPlan":
    """Return `plan` with the n-grams of the text. Show on a terminal that they are counted."""
    from charloom.api.training_plan import with_counted_ngrams

    if not plan.config.ngram_order or plan.ngrams is not None:
        return plan
    with waiting_line("counting the n-grams of the text"):
        return with_counted_ngrams(plan, corpus)


def train_new_run(
    corpus: "Corpus",
    plan: "TrainingPlan",
    run: Path | None,
    as_json: bool,
    model: "Learner | None" = None,
    search: "LearningRateSearch | None" = None,
    *,
    whole: bool = False,
) -> None:
    """Create a run, train it, and print the results.

    A signal that arrives while the run is created stops it before its first update, so that it can be resumed.

    Args:
        corpus: the text.
        plan: the settings, the time limit and the n-grams of the run.
        run: the run directory; None means a free one under runs/.
        as_json: True prints the results as JSON.
        model: the model to start from; None trains a new network.
        search: the search that found the learning rate; None if there was none.
        whole: True also checks the gradients first and writes the report at the end.
    """
    from charloom import api
    from charloom.training.stop_signals import Halt

    config, limit, ngrams = plan
    with ExitStack() as stack:
        with Halt(say) as halt:
            training = stack.enter_context(
                api.begin(corpus, config, run, model, limit, ngrams, search)
            )
            introduce(training)
            if search is not None:
                picture = training.run / LEARNING_RATES_SVG
                say(f"a picture of the search for the learning rate: {picture}")
            if whole:
                say("checking the gradients …")
            outcome = follow(training, halt, whole)
        outcome.search = search
        finish(training, outcome, as_json)


@takes_settings(*MACHINE_SETTINGS, **dict.fromkeys(MACHINE_SETTINGS, "the run's"))
@may_use_processes
def resume(
    settings: dict[str, Any],
    run: Run,
    text: run_options.MovedText = None,
    epochs: run_options.UntilEpochs = None,
    updates: run_options.UntilUpdates = None,
    minutes: run_options.MoreMinutes = None,
    allow_older: run_options.AllowOlder = False,
    find_learning_rate: run_options.NoLearningRate = False,
    as_json: Json = False,
) -> None:
    """Continue a run from its last checkpoint.

    On a machine of the same kind (processor, instruction set, threads, engine,
    versions of charloom and NumPy) the result is bit for bit the same as without a
    stop.

    A finished run does not change, unless --minutes, --epochs or --updates gives it
    a new end. If the learning rate follows a cosine, it then follows the cosine to
    the new end: at first it rises again.

    \b
    Example:
      charloom resume runs/book --minutes 5
    """
    from charloom import api

    if find_learning_rate:
        fail(
            f"a run that is continued keeps its learning rate, so {argument('find_learning_rate')} is only for "
            f"{terminal_command('train')}. To change the rate of {run} while it trains: "
            f"{command_mark('control', run, 'run', learning_rate_factor=0.5)}."
        )
    changes = api.RunChanges(text, epochs, updates, minutes, allow_older=allow_older, **settings)
    explain_terminal_input(text or [])
    continue_run(run, changes, as_json)


def continue_run(run: Path, changes: "RunChanges", as_json: bool) -> None:
    """Continue a run, unless it is finished, and print the results; `as_json` prints them as JSON."""
    from charloom import api
    from charloom.training.stop_signals import Halt

    with api.reopen(run, changes, say_sentence, command_start()) as training:
        if training.finished:
            say(
                f"{run} is finished at update {training.learner.update:,}; there is nothing to do. "
                f"To train it further, give --minutes, or a new end with --epochs or --updates, "
                f"counted from the start of the run."
            )
            outcome = Outcome()
        else:
            introduce(training)
            # If the run has a file of gradient checks, even an unfinished one, `charloom reproduce` started
            # the run. Such a run ends with a report.
            with Halt(say) as halt:
                outcome = follow(training, halt, whole=(run / GRADCHECK).exists())
        finish(training, outcome, as_json)


def report(
    run: Run,
    output: run_options.ReportFile = None,
    grid: Grid = False,
    temperatures: Temperatures = None,
    top_ps: TopPs = None,
    as_json: Json = False,
) -> None:
    """Write the report of a run: report.html, loss.svg and loss.png.

    With --grid, the model of the run also writes a table of texts by temperature
    and top-p for the report, from seed 0.

    \b
    Example:
      charloom report runs/book
      charloom report runs/book --grid
    """
    from charloom.report import write_report

    damage: list[str] = []
    axes = axes_of(grid, temperatures, top_ps)
    path = write_report(run, output, damage.append, ReadingProgress(), axes)
    for message in damage:
        say_left_out(message)
    if as_json:
        show_json({"report": str(path), "damage": list(map(for_command_line, damage))})
    else:
        show(str(path))


def control(
    run: Run,
    command: run_options.ControlCommand = None,
    learning_rate_factor: run_options.LearningRateFactor = None,
    as_json: Json = False,
) -> None:
    """Pause, continue, stop or steer a run that another process trains.

    A stopped run saves a checkpoint; charloom resume continues it.

    \b
    Example:
      charloom control runs/book run --learning-rate-factor 0.5
    """
    from charloom import api
    from charloom.api.run_control import require_status, state_sentence

    if command is None:
        if learning_rate_factor is not None:
            fail("a learning-rate factor needs a command: run, pause or stop.")
        if as_json:
            show_json(dataclasses.asdict(require_status(run)))
        else:
            show(state_sentence(run))
        return
    if command not in COMMANDS:
        fail(
            f"the command is {shortened(command)}; it must be one of {', '.join(COMMANDS)}, or left out to "
            f"print the state of the run."
        )
    sent = api.control(run, command, learning_rate_factor=learning_rate_factor)
    if as_json:
        show_json(dataclasses.asdict(sent))
    else:
        factor = sent.learning_rate_factor
        change = "" if factor is None else f", with the settings' learning rate times {factor:g}"
        say(f"sent {sent.command} to {run}{change}.")
