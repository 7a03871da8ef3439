"""The commands `study` and `study work`, which train many networks, and those that show and compare them."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from charloom.cli.default_command import group_with_default
from charloom.cli.error_exit import CHECK_FAILED, INTERRUPTED
from charloom.cli.model_options import Force
from charloom.cli.options import Json, given_path, path_option
from charloom.cli.setting_options import CommandWithHeadings
from charloom.cli.study_output import StudyDisplay, study_lines, summary_fields
from charloom.cli.terminal import clear_line, say, show, show_json
from charloom.errors import ConfigError
from charloom.formatting import counted, listing
from charloom.run_file_names import REPORT

if TYPE_CHECKING:
    from charloom.studies import Study, StudyProgress

BEST_SHOWN: Final = 20
RUNS_IN_A_TASK: Final = 50
SLURM: Final = "SLURM"  # a heading of the help

Specification = Annotated[
    Path,
    typer.Argument(
        metavar="SPEC",
        parser=given_path,
        help="The specification, a TOML file; or the directory of a study, to continue it.",
    ),
]
StudyDirectory = Annotated[
    Path, typer.Argument(metavar="STUDY", parser=given_path, help="The directory of a study.")
]
NewDirectory = Annotated[
    Path | None,
    path_option(
        "--out", metavar="DIR", help="the directory of the study [default: studies/NAME of SPEC]"
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="number of processes [default: one for each processor]"),
]
Change = Annotated[
    bool,
    typer.Option("--change", help="give an existing study the changed specification"),
]
Retry = Annotated[bool, typer.Option("--retry", help="train the failed runs once more")]
All = Annotated[bool, typer.Option("--all", help=f"show all rows, not only the best {BEST_SHOWN}")]
Scheduler = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="train on the workers of the Dask scheduler at this address, such as tcp://10.0.0.1:8786",
    ),
]
SlurmScript = Annotated[
    Path | None,
    path_option(
        help="do not train: plan the study, and write the script of a SLURM array job that trains it",
        rich_help_panel=SLURM,
    ),
]
PerTask = Annotated[
    int | None,
    typer.Option(
        min=1,
        help=f"runs in each task of the array job [default: {RUNS_IN_A_TASK}]",
        rich_help_panel=SLURM,
    ),
]
MinutesPerTask = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="time limit of a task in minutes, at least 2; a minute before, the task saves and ends",
        rich_help_panel=SLURM,
    ),
]
Partition = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="partition of the cluster", rich_help_panel=SLURM),
]
Part = Annotated[int, typer.Option(min=0, help="number of the part, from 0", show_default=True)]
Size = Annotated[int, typer.Option(min=1, help="runs in each part", show_default=True)]
PlanDigest = Annotated[
    str | None,
    typer.Option(
        "--plan",
        metavar="DIGEST",
        help="end if the study has other runs than when --slurm-script wrote this digest",
    ),
]
ReportFile = Annotated[
    Path | None,
    path_option("--output", help="the file to write [default: report.html in the study]"),
]
Curves = Annotated[
    bool, typer.Option("--curves", help="a row for each record, instead of one for each run")
]
TableFile = Annotated[
    Path,
    typer.Argument(
        metavar="FILE", parser=given_path, help="The file to write; it ends in .csv or .parquet."
    ),
]

study = typer.Typer(
    name="study",
    cls=group_with_default("run"),
    subcommand_metavar="[SPEC] | COMMAND [ARGS]...",
    rich_markup_mode=None,
    help="""Train many networks on all cores, and compare them.

    Without a command, run the study that the file SPEC describes, with the options
    of the command run. If it was interrupted, it continues.

    \b
    Example:
      charloom study sizes.toml
      charloom study table studies/sizes
      charloom study best studies/sizes
      charloom study report studies/sizes
      charloom study export studies/sizes runs.csv
    """,
)


def run(
    spec: Specification,
    out: NewDirectory = None,
    workers: Workers = None,
    change: Change = False,
    retry: Retry = False,
    on: Scheduler = None,
    slurm_script: SlurmScript = None,
    per_task: PerTask = None,
    minutes_per_task: MinutesPerTask = None,
    partition: Partition = None,
    as_json: Json = False,
) -> None:
    """Run a study: train all its runs that have no result yet.

    Each run uses one core, and has the same bits as a run of charloom train with
    its settings and --threads 1. Ctrl-C keeps all results; the same command
    continues. The exit code is 1 if a run failed.

    \b
    Example:
      charloom study run sizes.toml --workers 4

    \b
    The file sizes.toml can be:
      text = "book.txt"
      seeds = 5
      [settings]
      updates = 2000
      validation = 0.1
      [grid]
      cell = ["rnn", "lstm", "gru"]
      hidden_size = [32, 64, 128]

    With a section [search] instead of [grid], Optuna chooses the settings and ends
    runs that are worse than others; docs/guides/study.md explains it.
    """
    from charloom.cli.slurm_script import require_scriptable
    from charloom.cpu_limits import processors
    from charloom.studies.one_study import usual_directory
    from charloom.studies.running import prepare

    for_script = {
        "--per-task": per_task is not None,
        "--minutes-per-task": minutes_per_task is not None,
        "--partition": partition is not None,
    }
    for_training = {"--on": on is not None, "--retry": retry, "--json": as_json}
    if slurm_script is None:
        refuse_options(for_script, "only for a script; give its path with --slurm-script, too")
    else:
        refuse_options(for_training, "for training, but --slurm-script only writes a script")
        require_scriptable(out or usual_directory(spec), minutes_per_task, partition)
    found = prepare(spec, out, change)
    if slurm_script is not None:
        size = per_task or RUNS_IN_A_TASK
        write_slurm_script(found, slurm_script, size, workers or 1, minutes_per_task, partition)
        return
    _, code = train_runs(found, workers or processors(), retry, on=on)
    show_study(found, BEST_SHOWN, as_json)
    if code:
        raise typer.Exit(code)


def refuse_options(options: dict[str, bool], why: str) -> None:
    """Raise ConfigError if one of `options` was given; `why` continues the sentence that names them."""
    given = [name for name, is_given in options.items() if is_given]
    if given:
        raise ConfigError(f"{listing(given)} {'is' if len(given) == 1 else 'are'} {why}.")


def train_runs(
    study: "Study", workers: int, retry: bool, numbers: range | None = None, on: str | None = None
) -> tuple["StudyProgress", int]:
    """Train runs of a study, and show the progress. Return the last progress, and the exit code."""
    from charloom.training.stop_signals import Halt

    with StudyDisplay() as display, Halt(say) as halt:
        for progress in study.train(workers, halt, retry, numbers, on):
            display.take(progress)
    if halt() is not None:
        clear_line()
        say(
            f"interrupted; {counted(progress.left, 'run')} of {progress.runs:,} are left. The same command continues."
        )
        return progress, halt.exit_code or INTERRUPTED
    return progress, CHECK_FAILED if progress.failed else 0


def write_slurm_script(
    study: "Study",
    script: Path,
    size: int,
    workers: int,
    minutes: int | None,
    partition: str | None,
) -> None:
    """Write the script of an array job, and say how to submit it."""
    from charloom.cli.slurm_script import array_job
    from charloom.store import replace_file

    text = array_job(study, size, workers, minutes, partition)
    replace_file(script, text.encode(), durable=False)
    say(f"wrote {script}; submit it with: sbatch {shlex.quote(str(script))}")


def work(
    study: StudyDirectory,
    part: Part = 0,
    size: Size = RUNS_IN_A_TASK,
    workers: Workers = None,
    retry: Retry = False,
    plan: PlanDigest = None,
) -> None:
    """Train one part of a study, as each task of a SLURM array job does.

    Part 0 with --size 50 has the runs 0 to 49. Parts can be trained at the same
    time on several machines that share the directory of the study. Runs that have
    a result are left out. On SIGTERM, long runs save a checkpoint and the command
    ends.

    \b
    Example:
      charloom study work studies/sizes --part 0 --size 50
    """
    from charloom.cli.slurm_script import part_of
    from charloom.cpu_limits import processors
    from charloom.studies import open_study

    found = open_study(study)
    progress, code = train_runs(
        found, workers or processors(), retry, part_of(found, part, size, plan)
    )
    say(f"part {part}: {progress.finished} of {counted(progress.runs, 'run')} finished.")
    if code:
        raise typer.Exit(code)


def table(study: StudyDirectory, whole: All = False, as_json: Json = False) -> None:
    """Show the results of a study, also while it runs.

    Runs that differ only in their seeds are one row: the mean of their bits per
    character, the standard deviation over the seeds, and the 95 % interval of the
    mean (Student's t). The bits are the lowest on the validation part; without
    one, those of the training text, the mean over the updates of the last record.
    A warning has another figure, the smooth loss. A trial of a search that was
    ended early is shown as pruned.

    \b
    Example:
      charloom study table studies/sizes
    """
    from charloom.studies import open_study

    show_study(open_study(study), sys.maxsize if whole else BEST_SHOWN, as_json)


def best(study: StudyDirectory, as_json: Json = False) -> None:
    """Show the best settings of a study, and the command that trains them again.

    \b
    Example:
      charloom study best studies/sizes
    """
    from charloom.studies import open_study
    from charloom.studies.best_runs import best_of

    found = best_of(open_study(study))
    if as_json:
        show_json([best.to_dict() for best in found])
        return
    for number, best in enumerate(found):
        for line in ["", *best.lines()] if number else best.lines():
            show(line)


def report(study: StudyDirectory, output: ReportFile = None) -> None:
    """Make the report of a study, one HTML file, also while it runs.

    It has the table, the curves with bands over the seeds, the effect of each
    setting with fitted power laws, and parallel coordinates.

    \b
    Example:
      charloom study report studies/sizes
    """
    from charloom.studies import open_study
    from charloom.studies.study_page import write_study

    path = write_study(open_study(study), output or study / REPORT)
    say(f"wrote {path}.")


def export(
    study: StudyDirectory, file: TableFile, curves: Curves = False, force: Force = False
) -> None:
    """Write the runs of a study into a table, for a spreadsheet or for pandas.

    \b
    Example:
      charloom study export studies/sizes runs.csv
      charloom study export studies/sizes curves.parquet --curves
    """
    from charloom.studies import open_study
    from charloom.studies.table_files import require_table_path, write_table

    require_table_path(file)
    if file.exists() and not force:
        raise ConfigError(f"{file} exists; name another file, or give --force to overwrite it.")
    rows = write_table(open_study(study), file, curves)
    say(f"wrote {counted(rows, 'row')} into {file}.")


def show_study(study: "Study", most: int, as_json: bool) -> None:
    """Print the results of a study."""
    from charloom.studies.run_notes import failure_notes, warning_notes
    from charloom.studies.summary import summarize

    summary = summarize(study)
    if as_json:
        show_json(summary_fields(study, summary))
        return
    for line in study_lines(study, summary, most):
        show(line)
    failures, warnings = failure_notes(summary), warning_notes(summary)
    for note in failures[:BEST_SHOWN]:
        say(f"{note.name} failed: {note.message}")
    hidden = sum(len(note.runs) for note in failures[BEST_SHOWN:])
    if hidden:
        say(f"{hidden:,} more runs failed; study export lists them with their reasons.")
    for note in warnings[:BEST_SHOWN]:
        say(f"{note.name}: {note.message}")
    hidden = sum(len(note.runs) for note in warnings[BEST_SHOWN:])
    if hidden:
        say(f"{hidden:,} more runs have warnings; study export lists them.")


study.command("run", cls=CommandWithHeadings)(run)
study.command("work", cls=CommandWithHeadings)(work)
study.command("table", cls=CommandWithHeadings)(table)
study.command("best", cls=CommandWithHeadings)(best)
study.command("report", cls=CommandWithHeadings)(report)
study.command("export", cls=CommandWithHeadings)(export)
