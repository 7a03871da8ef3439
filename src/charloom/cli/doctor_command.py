"""The command `doctor`: diagnoses a user's backpropagation, and prints text or JSON."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Final

import typer

from charloom.cell_table import CELL_NAMES
from charloom.cli import check_options
from charloom.cli.class_command import ClassOutput, judge_class
from charloom.cli.error_exit import CHECK_FAILED, USAGE_ERROR
from charloom.cli.options import Json
from charloom.cli.terminal import WIDTH, say, show, show_json
from charloom.cli.waiting import waiting_line
from charloom.errors import CharloomError, ConfigError, SeveralFunctionsError
from charloom.formatting import capitalized, excerpt, number_of, shortened
from charloom.messages import argument, for_command_line, terminal_command

if TYPE_CHECKING:
    from charloom.diagnosis import Diagnosis, Found

# largest number of characters of the function's name in the line that is shown while the function runs
NAME_WIDTH: Final = 40
OWN_SECONDS: Final = 60.0  # the default time limit of `charloom.doctor`
RIGHT: Final = "·"  # the character that shows an error so small that it is only rounding
# Pairs (bound, character that shows an error below the bound). The character █ shows a larger error.
SHADES: Final = ((1e-3, "░"), (1e-2, "▒"), (1e-1, "▓"))
# The labels of what is said about a mistake, and about a difference of the network.
MISTAKE_LABELS: Final = ("your code", "in detail", "right", "to fix it")
DIFFERENCE_LABELS: Final = ("your code", "in detail", "specification", "to match it")
TABLE_SIDES: Final = "<>><<>>"  # to which side each column of the table is aligned
TEMPLATES: Final = {"numpy": "my_rnn.py", "course": "my_course_rnn.py", "torch": "my_torch_rnn.py"}


def doctor(
    given: check_options.Function = None,
    function: check_options.FunctionName = None,
    form: check_options.CallForm = "auto",
    cell: check_options.CheckedCell = None,
    gates: check_options.GateOrder = "",
    network: check_options.WantedNetwork = None,
    numerical: check_options.NumericalFunction = None,
    names: check_options.ParameterNames = None,
    gradients: check_options.ReturnedItems = None,
    arguments: check_options.ArgumentOrder = None,
    reduction: check_options.LossReduction = "sum",
    dtype: check_options.CheckedDtype = "auto",
    seed: check_options.TrialSeed = 0,
    time_limit: check_options.TimeLimit = None,
    known: check_options.ListMistakes = False,
    template: check_options.Template = None,
    output: check_options.TemplateFile = None,
    adapt: check_options.WrapperFile = None,
    html: check_options.DiagnosisPage = None,
    whole: check_options.AllTables = False,
    strict: check_options.Strict = False,
    csv: check_options.ClassTable = None,
    gradescope: check_options.GradescopeFile = None,
    include: check_options.Included = None,
    one_submission: check_options.OneSubmission = False,
    resume: check_options.ResumedVerdicts = None,
    jobs: check_options.Jobs = None,
    memory: check_options.SubmissionMemory = None,
    as_json: Json = False,
) -> None:
    """Find the mistakes in your own backpropagation, or in that of a class.

    Your functions compute the loss and gradients of the classic network. They run
    in a separate process. If a gradient is wrong, the exit code is 1. If each gradient
    is exactly that of your loss, but your network is another one, it is 0; with
    --strict it is 1. --adapt writes a wrapper for functions in another form.

    A folder, a pattern or the zip of a course system is a class: each submission
    is judged in a sandbox of its own, and gets a row of a table.

    \b
    Example:
      charloom doctor my_rnn.py
      charloom doctor my_rnn.py:loss_and_gradients
      charloom doctor handins --function loss_and_gradients --csv verdicts.csv
    """
    if known:
        list_mistakes(as_json)
        return
    if template is not None:
        write_template(template, cell or "rnn", output)
        return
    options: dict[str, Any] = {"form": form, "cell": cell, "reduction": reduction, "dtype": dtype}
    options |= {"seed": seed, "gates": gates, "numerical": numerical, "names": pairs_of(names)}
    options |= {"gradients": parts_of(gradients), "arguments": parts_of(arguments)}
    options |= {"network": parts_of(network)} | without_none({"time_limit": time_limit})
    class_options = without_none(
        {
            "include": include,
            "one_submission": one_submission or None,
            "resume": resume,
            "jobs": jobs,
            "memory": memory,
        }
    )
    with json_of_errors(as_json):
        given = required(given)
        if adapt is not None:
            write_wrapper(with_function(given[0], function), adapt, cell, time_limit)
        elif names_a_class(given) or class_options or csv is not None or gradescope is not None:
            options |= class_options | {"strict": strict}
            judge_class(given, function, ClassOutput(csv, html, gradescope, as_json), options)
        else:
            found = judge_file(with_function(given[0], function), options, html, whole, as_json)
            if any(not one.passed or (strict and one.verdict != "right") for one in found):
                raise typer.Exit(CHECK_FAILED)


def without_none(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are not None."""
    return {name: value for name, value in options.items() if value is not None}


def required(given: list[str] | None) -> list[str]:
    """Return the given files, folders or patterns; raise ConfigError if there are none."""
    if not given:
        raise ConfigError(
            "no file is given: name one as FILE.py or FILE.py:FUNCTION. --template numpy writes a file to "
            "start from, and --list lists the known mistakes."
        )
    return given


def judge_file(
    function: str, options: dict[str, Any], html: Path | None, whole: bool, as_json: bool
) -> "list[Diagnosis]":
    """Judge a function, or each function to check in a file, print the diagnoses, and return them.

    If the file has several functions to check, one that fails does not end the others; its error is
    raised at the end.
    """
    try:
        return [judge_one(function, options, html, whole, as_json)]
    except SeveralFunctionsError as several:
        if html is not None:
            raise
        names = several.functions
    say(f"{Path(function).name} has {number_of(len(names), 'function')} to check.")
    results: list[Diagnosis | CharloomError] = [
        result_of(f"{function}:{name}", options, whole, as_json) for name in names
    ]
    found = [one for one in results if not isinstance(one, CharloomError)]
    failed = [one for one in results if isinstance(one, CharloomError)]
    if as_json:
        show_json(json_of_several(names, results))
    if failed and not as_json:
        raise failed[0]
    if failed:
        raise typer.Exit(USAGE_ERROR)
    return found


def result_of(
    function: str, options: dict[str, Any], whole: bool, as_json: bool
) -> "Diagnosis | CharloomError":
    """Judge one of several functions of a file; print its diagnosis or its error unless JSON is wanted."""
    if not as_json:
        show(f"\n=== {Path(function).name}\n")
    try:
        return (
            diagnosed(function, options)
            if as_json
            else judge_one(function, options, None, whole, False)
        )
    except CharloomError as error:
        return error


def json_of_several(
    names: Sequence[str], results: "Sequence[Diagnosis | CharloomError]"
) -> dict[str, Any]:
    """Return the diagnoses of several functions as JSON data, with the worst verdict."""
    parts: list[dict[str, Any]] = []
    for name, one in zip(names, results, strict=True):
        if isinstance(one, CharloomError):
            part = {"verdict": "error", "passed": False, "mistakes": [], "error": one.message}
        else:
            part = one.to_dict(for_command_line)
        parts.append({"function": name, **part})
    order = ("error", "wrong", "right for its own network", "right")
    worst = min(parts, key=lambda part: order.index(part["verdict"]))
    return {
        "verdict": worst["verdict"],
        "passed": all(not isinstance(one, CharloomError) and one.passed for one in results),
        "results": parts,
    }


def judge_one(
    function: str, options: dict[str, Any], html: Path | None, whole: bool, as_json: bool
) -> "Diagnosis":
    """Judge one function, print the diagnosis, and return it."""
    diagnosis = diagnosed(function, options)
    if as_json:
        show_json(diagnosis.to_dict(for_command_line))
    else:
        show("\n".join(diagnosis_lines(diagnosis, whole)))
    if html is not None:
        from charloom.report import write_diagnosis

        say(f"the page is in {write_diagnosis(diagnosis, html, for_command_line)}")
    return diagnosis


def diagnosed(function: str, options: dict[str, Any]) -> "Diagnosis":
    """Judge one function, and show meanwhile that the command waits for it."""
    from charloom import api

    limit = options.get("time_limit", OWN_SECONDS)
    waiting = f"waiting for {excerpt(Path(function).name, NAME_WIDTH)}, which is stopped after {limit:g} s"
    with waiting_line(waiting):
        return api.doctor(function, **options)


@contextmanager
def json_of_errors(as_json: bool) -> Iterator[None]:
    """If `as_json` is True, print an error of the `with` block as JSON to stdout too."""
    try:
        yield
    except CharloomError as error:
        if as_json:
            show_json({"verdict": "error", "passed": False, "mistakes": [], "error": error.message})
        raise


def names_a_class(given: Sequence[str]) -> bool:
    """Return True if the arguments of the command name several submissions, not one function."""
    from charloom.diagnosis.submissions import is_class, without_function

    return len(given) > 1 or is_class(without_function(given[0])[0])


def with_function(given: str, function: str | None) -> str:
    """Return `given`, followed by the function that --function names, if it names one.

    Raises:
        ConfigError: `given` names a function too.
    """
    if function is None:
        return given
    file, colon, _ = given.rpartition(":")
    if colon and file.endswith((".py", ".ipynb")):
        raise ConfigError(
            f"{shortened(given)} names a function already; leave out {argument('function')}."
        )
    return f"{given}:{function}"


def parts_of(given: str | None) -> tuple[str, ...]:
    """Return the entries of the comma-separated list `given`, without spaces around them.

    Return () if `given` is None.
    """
    return tuple(part.strip() for part in given.split(",")) if given else ()


def pairs_of(given: str | None) -> dict[str, str]:
    """Return a dict from charloom's names of parameters to the user's names.

    `given` is a list of pairs such as "U=Wxh,W=Whh". Raise ConfigError if an entry is not such a pair.
    """
    found = {}
    for part in parts_of(given):
        ours, equals, own = part.partition("=")
        if not equals or ours not in ("U", "W", "b", "d", "V", "c") or not own:
            raise ConfigError(
                f"--names has {shortened(part)}; it must be pairs with U, W, b, V, c (GRU: also d) on the "
                "left, separated by commas: --names U=Wxh,W=Whh,b=bh,V=Why,c=by."
            )
        found[ours] = own
    return found


def list_mistakes(as_json: bool) -> None:
    """Print each mistake that `doctor` can find, with its id."""
    from charloom.diagnosis import MISTAKES

    if as_json:
        names = ("id", "title", "does", "right", "section", "fix", "cells")
        show_json([{name: getattr(m, name) for name in names} for m in MISTAKES])
        return
    width = max(len(m.id) for m in MISTAKES)
    for m in MISTAKES:
        cells = "" if m.cells == CELL_NAMES else f" ({', '.join(m.cells)})"
        show(f"{m.id:<{width}}  {m.title}{cells}")


def write_template(kind: str, cell: str, output: Path | None) -> None:
    """Write a template of a user's function to a new file.

    Args:
        kind: numpy, course or torch.
        cell: rnn, lstm or gru.
        output: the file; None chooses a name that depends on `kind` and `cell`.

    Raises:
        ConfigError: the file exists, or there is no such template.
    """
    from charloom.config import require_one_of
    from charloom.diagnosis.template_files import template_of

    require_one_of("template", kind, tuple(TEMPLATES))
    require_one_of("cell", cell, CELL_NAMES)
    if kind == "course" and cell != "rnn":
        raise ConfigError(
            f"the template course is only for the cell rnn, not for {cell}. Use --template "
            f"numpy --cell {cell}."
        )
    path = output or Path(TEMPLATES[kind].replace("rnn", cell))
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(template_of(kind, cell))
    except FileExistsError:
        raise ConfigError(f"{path} exists already; name another file with --output.") from None
    name = "Model" if kind == "torch" else "loss_and_gradients"
    options = {} if cell == "rnn" else {"cell": cell}
    say(f"wrote {path}; check it with: {terminal_command('doctor', f'{path}:{name}', **options)}")


def write_wrapper(function: str, path: Path, cell: str | None, time_limit: float | None) -> None:
    """Write a wrapper around the functions of a user's file to a new file, and say the next command.

    Raises:
        ConfigError: the file of the wrapper exists, or its name does not end in .py.
        DoctorError: see `charloom.diagnosis.adapt`.
    """
    from charloom import api

    if path.suffix != ".py":
        raise ConfigError(f"--adapt is {shortened(path)}; its name must end in .py.")
    if path.exists():
        raise ConfigError(f"{shortened(path)} exists already; name another file with --adapt.")
    wrapper = api.adapt(function, path, cell=cell, time_limit=time_limit or OWN_SECONDS)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(wrapper.text)
    except FileExistsError:
        raise ConfigError(
            f"{shortened(path)} exists already; name another file with --adapt."
        ) from None
    for note in wrapper.notes:
        say("\n".join(wrap(note, WIDTH)))
    if wrapper.blanks:
        say(f"fill in {number_of(wrapper.blanks, 'line')} of {path}:")
        for number, line in wrapper.lines_to_fill_in():
            say(f"  line {number}: {line}")
    options = {} if cell is None else {"cell": cell}
    say(f"wrote {path}; check it with: {terminal_command('doctor', f'{path}:checked', **options)}")


def diagnosis_lines(diagnosis: "Diagnosis", whole: bool = False) -> Iterator[str]:
    """Yield the lines of a diagnosis: verdict, mistakes, clues, table and picture of the errors, notes.

    If the user's function is right, leave out the table and the picture, unless `whole` is True.
    """
    yield from wrap(diagnosis.headline(), WIDTH)
    yield ""
    for names in diagnosis.names:
        yield from wrap(capitalized(names), WIDTH)
        yield ""
    differences = diagnosis.named_differences if diagnosis.verdict != "right" else ()
    alone = len(differences) + sum(map(len, diagnosis.explanations)) == 1
    if diagnosis.passed:
        for difference in differences:
            yield from mistake_lines(difference, DIFFERENCE_LABELS, alone)
    yield from explanation_lines(diagnosis, alone)
    if differences and not diagnosis.passed:
        yield from difference_lines(differences)
    for clue in diagnosis.hints:
        yield from wrap(f"- {clue}", WIDTH, subsequent_indent="  ")
    if diagnosis.hints:
        yield ""
    if diagnosis.rows and (whole or not diagnosis.passed):
        yield from table(diagnosis)
        yield from trial_lines(diagnosis)
        yield ""
        yield from picture(diagnosis)
        yield ""
    for note in (
        f"your function was called with {diagnosis.tried.convention}.",
        *diagnosis.other_notes,
    ):
        yield from wrap(f"Note: {note}", WIDTH, subsequent_indent="  ")
    if diagnosis.passed:
        yield ""
        yield diagnosis.certificate()


def explanation_lines(diagnosis: "Diagnosis", alone: bool) -> Iterator[str]:
    """Yield the lines of each explanation; `alone` says whether the verdict has the only title already."""
    for number, explanation in enumerate(diagnosis.explanations):
        if number:
            yield from ("Or this one, which fits all trials as well as the one above:", "")
        for found in explanation:
            yield from mistake_lines(found, MISTAKE_LABELS, alone)
    if not diagnosis.passed and not diagnosis.exact and diagnosis.found:
        yield from wrap(
            "This explains the wrong gradients, but not every number of every trial: there may be "
            "another mistake.",
            WIDTH,
        )
        yield ""


def difference_lines(differences: "Sequence[Found]") -> Iterator[str]:
    """Yield one line for each difference of the network of a function that is wrong for another reason."""
    yield "Your network differs from the specification, which is not the mistake:"
    for one in differences:
        detail = f" ({one.detail})" if one.detail else ""
        yield from wrap(f"  {one.id}: {one.title}{detail}", WIDTH, subsequent_indent="    ")
    yield ""


def mistake_lines(found: "Found", labels: Sequence[str], alone: bool) -> Iterator[str]:
    """Yield lines about a mistake that was found, or about a difference of the network.

    They say what the user's code computes, what is right, and how to fix it. `labels` are the labels of these
    texts. If the mistake stands `alone`, the verdict has its title already.
    """
    mistake = found.mistake
    right = f"{' '.join(found.right.split())}   (docs/spec/mathematics.md, {mistake.section})"
    yield f"  {mistake.id}" if alone else f"  {mistake.id}: {found.title}"
    texts = (found.does, found.detail, right, for_command_line(found.marked_fix))
    width = max(map(len, labels)) + 2
    for label, text in zip(labels, texts, strict=True):
        first = f"    {label:<{width}}"
        yield from wrap(text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first))
    yield ""


def table(diagnosis: "Diagnosis") -> Iterator[str]:
    """Yield the lines of a table: its heading, a row for the gradient of each parameter and one for the loss.

    A row shows the error in a single trial: the trial in which it is largest. A trial is one network with
    its data, on which the user's function was checked. Of a result that is right in all trials, it shows only
    the error. The page and the JSON have the other errors too.
    """
    from charloom.gradient_errors import rank

    trials = diagnosis.tried.trials
    lines: list[tuple[str, ...]] = [
        ("", "wrong in", "relative error", "in the trial", "worst entry", "yours", "right")
    ]
    for name in dict.fromkeys(row.parameter for row in diagnosis.rows):
        rows = [row for row in diagnosis.rows if row.parameter == name]
        worst = max(rows, key=lambda row: rank(row.norm_relative))
        failed = sum(not row.passed for row in rows)
        label = name if name == "loss" else f"d{name}"
        cells = [label, f"{failed} of {len(rows)}", f"{worst.norm_relative:.1e}"]
        if failed:
            place = f"[{', '.join(map(str, worst.index))}]" if worst.index else ""
            entry = (place, f"{worst.given:.6g}", f"{worst.exact:.6g}")
            lines.append((*cells, trials[worst.trial].name, *entry))
        else:
            lines.append((*cells, "", "", "", ""))
    columns = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        entries = zip(line, columns, TABLE_SIDES, strict=True)
        yield "  ".join(f"{entry:{side}{width}}" for entry, width, side in entries).rstrip()


def trial_lines(diagnosis: "Diagnosis") -> Iterator[str]:
    """Yield a line for each trial that the table names, with its sizes, weights and initial state."""
    from charloom.gradient_errors import rank

    worst: dict[str, Any] = {}
    for row in diagnosis.rows:
        known = worst.get(row.parameter)
        if known is None or rank(row.norm_relative) > rank(known.norm_relative):
            worst[row.parameter] = row
    shown = sorted({row.trial for row in worst.values() if not row.passed})
    for trial in (diagnosis.tried.trials[number] for number in shown):
        yield f"trial {trial.name}: {trial.description()}"


def picture(diagnosis: "Diagnosis") -> Iterator[str]:
    """Yield the lines of a picture made of characters: a row for each gradient, a column for each time step.

    Each character shows the size of an error: of the gradients of each step, given what the step receives
    from the step after it. Without them, it is the error of the gradient of each step's loss alone.
    """
    from charloom.diagnosis.error_patterns import STEP_LIMITS

    limit = STEP_LIMITS[diagnosis.tried.dtype]
    rows, of_places = diagnosis.errors_in_steps(limit)
    if not rows:  # the network is not known, so there is nothing right to compare with
        return
    if of_places:
        yield "The errors made at each step t, without those that later steps pass back to it:"
    else:
        yield "The errors of the gradients if only the loss of step t counts:"
    steps = len(next(iter(rows.values())))
    yield f"{'t':<6}" + " ".join(f"{t:>2}" for t in range(1, steps + 1))
    for name, errors in rows.items():
        yield f"{name:<6}" + " ".join(f" {shade(error, limit)}" for error in errors)
    yield f"{RIGHT} right   ░ below 0.1 %   ▒ below 1 %   ▓ below 10 %   █ more"


def shade(error: float, limit: float) -> str:
    """Return the character that shows the size of `error`: `RIGHT` if the error is at most `limit`."""
    if error <= limit:
        return RIGHT
    return next((sign for below, sign in SHADES if error < below), "█")
