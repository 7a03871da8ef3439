"""The commands `runs`, `runs rm` and `runs rename`: list, remove and rename runs."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from charloom.cli.completion import run_names
from charloom.cli.default_command import group_with_default
from charloom.cli.error_exit import CHECK_FAILED, fail
from charloom.cli.options import Json, Run, choice_option, given_path
from charloom.cli.runs_table import run_fields, run_lines
from charloom.cli.setting_options import CommandWithHeadings
from charloom.cli.terminal import clear_line, say, show, show_json
from charloom.errors import CharloomError
from charloom.formatting import counted, harmless, megabytes, shortened
from charloom.messages import quoted
from charloom.run_file_names import RUNS

if TYPE_CHECKING:
    from charloom.store import RunRemoval, RunSummary

# How the runs are sorted, and which run comes first.
ORDERS: Final = {
    "changed": "latest first",
    "name": "alphabetical",
    "state": "alphabetical",
    "updates": "most first",
    "loss": "lowest first",
    "size": "largest first",
}

ListedFolder = Annotated[
    Path | None,
    typer.Argument(
        metavar="DIR", parser=given_path, help="The folder that holds your runs. [default: runs]"
    ),
]
Sort = Annotated[
    str,
    choice_option(
        choices=ORDERS,
        help="how to sort: " + ", ".join(f"{name} ({first})" for name, first in ORDERS.items()),
        show_default=True,
    ),
]
SomeRuns = Annotated[
    list[Path],
    typer.Argument(
        metavar="RUN", parser=given_path, autocompletion=run_names, help="Run directories."
    ),
]
NewName = Annotated[
    str, typer.Argument(metavar="NEW", help="The new name of the directory, without a path.")
]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]


runs = typer.Typer(
    name="runs",
    cls=group_with_default("list"),
    subcommand_metavar="[DIR] | COMMAND [ARGS]...",
    rich_markup_mode=None,
    help="""List your runs, or remove or rename them.

    Without a command, list the runs in the folder DIR, with the options of the
    command list. If DIR has the name of a command, write ./ before it.

    \b
    Example:
      charloom runs
      charloom runs rm runs/book-1
      charloom runs rename runs/book-2 novel
    """,
)


def list_(folder: ListedFolder = None, sort: Sort = "changed", as_json: Json = False) -> None:
    """List the runs in a folder and its subfolders, the latest first.

    The loss is the validation loss of the best checkpoint. In a run without a
    validation part it is the training loss, the mean of the last whole epoch.

    \b
    Example:
      charloom runs list runs --sort loss
    """
    from charloom.store import list_runs

    if sort not in ORDERS:
        fail(f"--sort is {shortened(sort)}; it must be one of {', '.join(ORDERS)}.")
    listed = list_runs(folder)
    found = sorted(listed.runs, key=lambda run: sort_key(run, sort))
    for message in listed.unread:
        say(message)
    if as_json:
        show_json([run_fields(run) for run in found])
    elif found:
        for line in run_lines(found):
            show(line)
        for problem in (problem for run in found for problem in run.problems):
            say(problem)
    else:
        say(f"there are no runs in {folder or RUNS}.")


def sort_key(run: "RunSummary", order: str) -> tuple[Any, ...]:
    """Return the key by which a run is sorted. Runs without the value come last, and equal ones by name."""
    values: dict[str, Any] = {
        "changed": run.changed and -run.changed,
        "name": str(run.path),
        "state": run.state,
        "updates": run.update and -run.update,
        "loss": run.best_nats,
        "size": run.bytes and -run.bytes,
    }
    value = values[order]
    return value is None, value if value is not None else 0, str(run.path)


def rm(run: SomeRuns, yes: Yes = False, as_json: Json = False) -> None:
    """Remove runs with all their files.

    A run that a process trains is refused, and so is a directory that is not a
    run. Links are removed and not followed.

    \b
    Example:
      charloom runs rm runs/book-1 runs/book-2
    """
    from charloom.store import remove_run

    try:
        removals = plan_removals(run)
    except CharloomError:
        if len(run) > 1:
            say("nothing was removed.")
        raise
    for removal in removals:
        say(removal_sentence(removal))
    these = "this run" if len(removals) == 1 else f"these {len(removals)} runs"
    confirm(f"Remove {these}?", yes, "nothing was removed")
    removed: list[str] = []
    for removal in removals:
        try:
            remove_run(removal)
        except CharloomError:
            if removed:
                say(f"these runs were removed before the error: {', '.join(removed)}.")
            raise
        removed.append(quoted(removal.path))
        if not as_json:
            show(f"removed {removed[-1]}")
    if as_json:
        show_json([removed_fields(removal) for removal in removals])


def plan_removals(paths: list[Path]) -> list["RunRemoval"]:
    """Return what the removal of each run would remove, once for a run that several paths name."""
    from charloom.store import plan_removal

    plans: dict[Path, RunRemoval] = {}
    for path in paths:
        plan = plan_removal(path)
        plans.setdefault(path.resolve(), plan)
    return list(plans.values())


def removal_sentence(removal: "RunRemoval") -> str:
    """Return a sentence that says what the removal of a run removes, and how much."""
    from charloom.store.control_files import AT_WORK

    files = counted(removal.contents.files, "file")
    sentence = f"{quoted(removal.path)}: {files}, {megabytes(removal.contents.bytes)}"
    status = removal.head.status
    if status is not None:
        state = "interrupted" if status.state in AT_WORK else status.state
        sentence += f"; {state} at update {status.update:,} of {status.updates:,}"
    if removal.others:
        sentence += f"; also what charloom did not write: {', '.join(map(quoted, removal.others))}"
    return sentence


def removed_fields(removal: "RunRemoval") -> dict[str, Any]:
    """Return what `runs rm --json` prints about a removed run."""
    contents = removal.contents
    return {"run": str(removal.path), "files": contents.files, "bytes": contents.bytes}


def rename(run: Run, new: NewName, yes: Yes = False, as_json: Json = False) -> None:
    """Rename a run. It stays in its folder.

    A run that a process trains is refused, and so is a name that exists.

    \b
    Example:
      charloom runs rename runs/book-1 novel
    """
    from charloom.store import rename_run
    from charloom.store.run_renaming import require_name, require_renamable

    require_renamable(run)
    target = run.with_name(require_name(new))
    confirm(f"Rename {quoted(run)} to {quoted(target)}?", yes, "nothing was renamed")
    rename_run(run, new)
    if as_json:
        show_json({"run": str(target), "before": str(run)})
    else:
        show(f"renamed {quoted(run)} to {quoted(target)}")


def confirm(question: str, yes: bool, consequence: str) -> None:
    """Ask the user a question, and exit if the answer is not yes.

    Args:
        question: the question, with its question mark.
        yes: True asks nothing.
        consequence: what did not happen, such as "nothing was removed".
    """
    if yes:
        return
    if not can_ask():
        fail(
            f"standard input is not a terminal, so nobody can confirm; {consequence}. Give --yes to do it without a "
            f"question."
        )
    print(f"charloom: {harmless(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        clear_line()
        say(f"{consequence}.")
        raise typer.Exit(CHECK_FAILED)


def can_ask() -> bool:
    """Return True if standard input is a terminal, so that a user can answer a question."""
    return sys.stdin is not None and sys.stdin.isatty()


runs.command("list", cls=CommandWithHeadings)(list_)
runs.command("rm", cls=CommandWithHeadings)(rm)
runs.command("rename", cls=CommandWithHeadings)(rename)
