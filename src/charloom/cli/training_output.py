"""Prints the messages before, during and after a training run, and its result."""

import dataclasses
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import typer

from charloom.cli.error_exit import CHECK_FAILED
from charloom.cli.hints import (
    found_bad_starts,
    found_divergence,
    found_overfitting,
    no_better_than_frequencies,
)
from charloom.cli.process_start import seconds_since_start
from charloom.cli.report_output import ReadingProgress, say_left_out
from charloom.cli.terminal import say, say_sentences, show, show_json
from charloom.cli.training_outcome import Outcome
from charloom.formatting import bits_per_character, counted, decimals, duration, excerpt, one_of
from charloom.messages import argument, command, for_command_line, terminal_command
from charloom.run_file_names import PASSAGE

if TYPE_CHECKING:
    from charloom.api import Training
    from charloom.gradient_check import GradientCheck
    from charloom.model import Learner
    from charloom.store.training_loss import TrainingLoss
    from charloom.text import Corpus
    from charloom.training import Overfitting
    from charloom.training.stop_signals import Halt


FEW_UPDATES: Final = 1_000  # with fewer updates, the smooth loss still depends on its first value


def introduce(training: "Training") -> None:
    """Print the text, the number of updates, the engine and the run directory before training."""
    from charloom.engines import native_problem
    from charloom.model.schedule import Schedule
    from charloom.training.item_messages import item_sentences
    from charloom.training.order_message import order_sentence
    from charloom.training.schedule_message import late_schedule

    config, corpus = training.learner.config, training.corpus
    problem = native_problem()
    if config.engine == "auto" and training.engine.name == "reference" and problem:
        say(
            f"{problem}. charloom uses the reference engine, which is many times slower. For the "
            f"native engine, install a C++20 compiler and then charloom again."
        )
    say_sentences(corpus.notes)
    after = f"update {training.learner.update:,} of " if training.learner.update else ""
    say(
        f"{corpus.name}: {size_of(corpus)}, {len(corpus.vocabulary.characters):,} distinct; "
        f"{after}{counted(training.updates, 'update')}; {training.engine.describe()}, {config.dtype}; "
        f"run directory {training.run}"
    )
    say_sentences(item_sentences(config, corpus))
    if config.order != "sequential":
        say(order_sentence(config))
    if (problem := late_schedule(Schedule.of(config, len(corpus)))) is not None:
        say(problem)
    factor = training.learner.learning_rate_factor
    if factor != 1:
        say(
            f"the learning rate is {factor:g} × that of the settings, because of an earlier command, a new end of the run, or a loss that was not finite. To "
            f"change it during training: "
            f"{command('control', training.run, 'run', learning_rate_factor=1)}."
        )
    if config.updates is None and training.updates < FEW_UPDATES:
        say(
            f"{counted(training.updates, 'update')} are too few: to learn a text this short takes about "
            f"{10 * FEW_UPDATES:,} ({argument('updates', 10 * FEW_UPDATES)})."
        )


def size_of(corpus: "Corpus") -> str:
    """Return the length of a text: its items, if it is a collection, and its characters or bytes."""
    tokens = corpus.vocabulary.tokens
    if corpus.items is None:
        return f"{len(corpus):,} {tokens}"
    return f"{counted(corpus.items, 'item')} with {len(corpus) - corpus.items - 1:,} {tokens}"


def follow(training: "Training", halt: "Halt", whole: bool = False) -> Outcome:
    """Train, show the progress, and return the results.

    Args:
        training: the run.
        halt: receives the signals that stop training.
        whole: True also checks the gradients first and writes the report at the end.
    """
    from charloom.api import Reported, reproduction
    from charloom.cli.progress import ProgressDisplay
    from charloom.gradient_check import GradientCheck
    from charloom.training.recent_loss import RecentLoss

    outcome, learner = Outcome(), training.learner
    outcome.recent = RecentLoss(learner.config.smoothing, learner.update)
    try:
        progress = ProgressDisplay(
            training.updates, learner.update, learner.config, run=training.run
        )
        with progress:
            reading = ReadingProgress()
            items = reproduction(training, halt, reading) if whole else training.items(halt)
            with closing(items):
                for item in items:
                    if isinstance(item, GradientCheck):
                        outcome.checks.append(item)
                        if not item.passed:
                            say(item.verdict())
                    elif isinstance(item, Reported):
                        outcome.report, outcome.damage = item.path, item.damage
                    else:
                        progress(item)
                        outcome.note(item)
            if outcome.ended is not None and outcome.ended.state == "interrupted":
                outcome.exit_code = halt.exit_code
    except KeyboardInterrupt:
        say(
            f"stopped immediately; updates since the last checkpoint are lost. To continue from it: "
            f"{command('resume', training.run)}"
        )
        raise
    for message in outcome.damage:
        say_left_out(message)
    return outcome


def finish(training: "Training", outcome: Outcome, as_json: bool) -> None:
    """Print the results. Raise typer.Exit if a signal stopped the run, or a gradient is wrong."""
    ended, run = outcome.ended, training.run
    if ended is not None and ended.state != "finished":
        say(
            f"{ended.state} by {ended.reason} at update {ended.update:,} of {training.updates:,}; "
            f"saved. To continue: {command('resume', run)}"
        )
        say(f"{terminal_command('sample', run)} writes with {training.stage()}.")
    elif ended is not None and ended.reason:
        say(f"finished at update {ended.update:,} of {training.updates:,}: {ended.reason}.")
    overfitted = found_overfitting(training, outcome)
    diverged = found_divergence(training, outcome)
    if diverged is not None:
        say(diverged)
    elif overfitted is not None:
        from charloom.training.overfitting_message import overfitting_sentence

        sample = terminal_command("sample", run)
        say(overfitting_sentence(overfitted, training.learner.best_update, sample))
    elif (problem := found_bad_starts(outcome)) is not None:
        say(problem)
    if as_json:
        show_json(summary(training, outcome, overfitted))
    else:
        for line in headlines(training, outcome):
            show(line)
        if outcome.finished and outcome.report is None:
            report, sample = terminal_command("report", run), terminal_command("sample", run)
            say(f"to write a report: {report}; to write text: {sample}")
            gibberish = no_better_than_frequencies(training, outcome)
            # Do not suggest to train a model further that diverged or overfits.
            if gibberish is not None and overfitted is None and diverged is None:
                say(gibberish)
            if training.learner.config.test:
                judge = terminal_command("evaluate", run, split="test")
                say(f"to evaluate the model on the test part, which training did not use: {judge}")
    if outcome.exit_code:
        raise typer.Exit(outcome.exit_code)
    if not all(check.passed for check in outcome.checks):
        raise typer.Exit(CHECK_FAILED)


def headlines(training: "Training", outcome: Outcome) -> list[str]:
    """Return lines about the results of training: gradient checks, losses, the text written, paths.

    The lines are in the order of the sections of the report.
    """
    learner = training.learner
    one = one_of(learner.config.tokens)
    lines = []
    if outcome.checks:
        lines.append(gradients_line(outcome.checks))
    if learner.smooth_loss is not None:
        line = (
            f"smooth loss: {decimals(learner.smooth_loss, 2)} nats per window of "
            f"{learner.config.seq_length:,} at update {learner.update:,}"
        )
        if learner.best_loss is not None and not learner.config.validation:
            line += f", lowest {decimals(learner.best_loss, 2)} at update {learner.best_update:,}"
        lines.append(line)
        loss = training.loss()
        whole = loss.epoch is not None
        early = None if outcome.recent is None else outcome.recent.sentence(one, not whole)
        lines += [] if early is None else [f"             {early}"]
        lines += [training_line(loss, one)] if whole or early is None else []
    if learner.config.validation and learner.best_loss is not None:
        lines.append(validation_line(learner, outcome.validation_nats))
        lines += part_lines(training, outcome)
    passage = training.run / PASSAGE
    if outcome.finished and passage.exists():
        text = passage.read_text(encoding="utf-8", errors="replace")
        lines.append(f"it writes:   {excerpt(text)}")
        if learner.config.validation:
            lines.append(f"model:       {training.stage()}")
    if outcome.trained:
        lines.append(time_line(outcome.trained, seconds_since_start()))
    if outcome.report is not None:
        lines.append(f"report:      {outcome.report}")
    else:
        lines.append(f"run:         {training.run}")
    return lines


def training_line(loss: "TrainingLoss", one: str) -> str:
    """Return a line with the training loss of a run; `one` is character or byte."""
    return f"training:    {nats_and_bits(loss.nats or 0.0, ' nats')} per {one} of the training text, {loss.name}"


def time_line(training: float, command: float | None) -> str:
    """Return a line with the seconds of training and, if they are known, those of the whole command until now.

    `training` are the seconds of the run's last record, as the report shows them: those of all commands that trained
    the run, without gradient checks, saving and the report.
    """
    line = f"time:        {duration(training)} of training"
    return line if command is None else f"{line}; {duration(command)} since the command started"


def validation_line(learner: "Learner", last: float | None) -> str:
    """Return a line with the best validation loss and, unless `last` is None, the last one.

    `last` is in nats per character.
    """
    config, best = learner.config, learner.best_loss or 0.0
    part = f"validation part ({100 * config.validation:.3g}% of "
    part += "each stream)" if config.split == "streams" else "the text)"
    line = f"validation:  best {nats_and_bits(best, ' nats')} per {one_of(config.tokens)} of the "
    line += f"{part}, at update {learner.best_update:,}"
    return line if last is None else f"{line}; last {nats_and_bits(last)}"


def part_lines(training: "Training", outcome: Outcome) -> list[str]:
    """Return lines about how much of the validation part each validation loss uses.

    The lines also give the loss on the whole validation part, or the command that computes this loss.
    Return an empty list if each validation loss uses the whole part.
    """
    judged, all_of_it = characters_of(training)
    if judged == all_of_it:
        return []
    tokens, whole = training.learner.config.tokens, outcome.judged
    line = f"             computed on {judged:,} of its {all_of_it:,} {tokens}, spread evenly"
    if whole is None:
        evaluate = command("evaluate", training.run, split="validation", which="best")
        return [f"{line}; for all of them: {evaluate}"]
    total = f"             on all of them: {nats_and_bits(whole.nats, ' nats')}, at update {whole.update:,}"
    return [line, total]


def characters_of(training: "Training") -> tuple[int, int]:
    """Return two numbers of characters of the validation part.

    The first is the number on which each validation loss is computed. The second is the number that the
    model can predict in the whole part.
    """
    from charloom.text import windows_of
    from charloom.training.progress_records import characters_evaluated

    config = training.learner.config
    return characters_evaluated(config, windows_of(config, training.corpus.ids))


def nats_and_bits(nats: float, unit: str = "") -> str:
    """Return a loss per character as text, in nats and in bits; `unit` is written after the nats."""
    return f"{decimals(nats, 4)}{unit} ({decimals(bits_per_character(nats), 4)} bits)"


def gradients_line(checks: "list[GradientCheck]") -> str:
    """Return one line about all gradient checks."""
    wrong = [check for check in checks if not check.passed]
    if wrong:
        return f"gradients:   {len(wrong)} of {len(checks)} checks FAILED"
    exact = [check for check in checks if check.settings.dtype == "float64"]
    worst = max(row.norm_relative for check in exact for row in check.rows)
    engines = " and ".join(dict.fromkeys(check.settings.engine for check in checks))
    return (
        f"gradients:   right in all {len(checks)} checks ({engines}); largest norm-relative error in float64: "
        f"{worst:.1e}, compared with the complex step"
    )


def summary(
    training: "Training", outcome: Outcome, overfitted: "Overfitting | None" = None
) -> dict[str, Any]:
    """Return the results as a dict for JSON.

    The fields are those of spec/formats.md: Results as JSON.
    """
    learner, ended, last = training.learner, outcome.ended, outcome.validation_nats
    smooth, best = learner.smooth_loss, learner.best_loss
    judged = learner.config.validation > 0
    nats = None if smooth is None else smooth / learner.config.seq_length
    training_nats = training.loss().nats
    starts = None if ended is None else ended.start_losses
    return {
        "run": str(training.run),
        "state": "finished" if ended is None else ended.state,
        "reason": None if ended is None else ended.reason,
        "update": learner.update,
        "updates": training.updates,
        "learning_rate": learner.config.learning_rate,
        "search": None if outcome.search is None else outcome.search.to_dict(),
        "smooth_loss": smooth,
        "train_bits_per_character": bits(nats),
        "training_nats": training_nats,
        "training_bits": bits(training_nats),
        "validation_nats": last,
        "validation_bits": bits(last),
        "judged_characters": characters_of(training)[0] if judged else None,
        "whole_validation_nats": None if outcome.judged is None else outcome.judged.nats,
        "best_smooth_loss": None if judged else best,
        "best_validation_nats": best if judged else None,
        "best_validation_bits": bits(best) if judged else None,
        "best_update": learner.best_update,
        "model": training.which,
        "overfitting": None if overfitted is None else dataclasses.asdict(overfitted),
        "start_nats": None if starts is None else dataclasses.asdict(starts),
        "seconds": round(outcome.trained, 3),
        "engine": training.engine.describe(),
        "gradients_right": all(c.passed for c in outcome.checks) if outcome.checks else None,
        "report": None if outcome.report is None else str(outcome.report),
        "damage": list(map(for_command_line, outcome.damage)),
    }


def bits(nats: float | None) -> float | None:
    """Convert nats to bits; return None for None."""
    return None if nats is None else bits_per_character(nats)
