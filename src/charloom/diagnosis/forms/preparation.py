"""Prepares a user's file for the doctor: loads it, and finds the function to check or makes a wrapper.

A function in the natural form, in the course's form or as a module of PyTorch is checked as it is. For
other forms it writes a wrapper and loads it like a file of the user. It runs in the child process.
"""

import contextlib
import importlib.util
import inspect
import linecache
import re
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, Final, NamedTuple

from charloom.cell_table import CELLS
from charloom.diagnosis import runner
from charloom.diagnosis.call_forms import is_right_loss
from charloom.diagnosis.faulty_network import exact_loss
from charloom.diagnosis.forms.double_precision import compute_in_double
from charloom.diagnosis.forms.file_contents import (
    Contents,
    FunctionFacts,
    leftovers_of_python_2,
    read_contents,
)
from charloom.diagnosis.forms.file_listing import functions_to_outline, listed
from charloom.diagnosis.forms.gradient_sources import stripped
from charloom.diagnosis.forms.jax_compilation import compiled
from charloom.diagnosis.forms.module_advice import advice_on_modules
from charloom.diagnosis.forms.name_roles import GRADIENT_HOLDERS, is_numerical, short
from charloom.diagnosis.forms.outline_of_wrapper import outline
from charloom.diagnosis.forms.partial_loading import (
    LoadedFile,
    load_definitions,
    works_at_top_level,
)
from charloom.diagnosis.forms.recognition import Recognised, recognised
from charloom.diagnosis.forms.trying import FAILED, RELATED
from charloom.diagnosis.forms.wrapper_text import Source, alias_source
from charloom.diagnosis.notebook_code import is_notebook
from charloom.diagnosis.returned_value import LISTED, more
from charloom.diagnosis.runner import CHOOSING, WRAPPER, Job, Load
from charloom.diagnosis.trials import make_trial
from charloom.diagnosis.watching.form_of_program import program_form
from charloom.errors import DoctorError
from charloom.messages import argument, terminal_command

# Functions of PyTorch and JAX that compute gradients.
DERIVING: Final = ("backward", "grad", "value_and_grad", "vjp", "jacrev", "jacfwd", "jacobian")
# A part of the name of a function that is meant to return gradients.
GRADIENT_NAME: Final = re.compile(r"loss|grad|backprop|bptt|backward|checked", re.IGNORECASE)


class UsersFile:
    """A user's file, which can be loaded again and again.

    Attributes:
        path: the file.
        contents: what it defines.
        loaded: the module that was loaded last, and what was skipped.
        watched: the form of the training as a whole, after `training`.
    """

    def __init__(self, path: Path, wrapper: str = "") -> None:
        """Read the file. `wrapper` is the path of the wrapper that is written; "" if none is."""
        self.path = path
        self.wrapper_folder = Path(wrapper).parent if wrapper else path.parent
        self.contents = read_contents(path)
        self.partly = works_at_top_level(self.contents) or is_notebook(path)
        self._before = set(sys.modules)
        self.loaded = LoadedFile(None)
        self._trained = False
        self.watched: Recognised | None = None

    def load(self) -> Any:
        """Load the file and the modules of its folder again, and return the module.

        A file that imports JAX is loaded once, because JAX keeps what it compiled for each function.
        """
        if self.loaded.module is not None and self.contents.imports("jax"):
            return self.loaded.module
        self.forget()
        if not self.partly:
            try:
                self.loaded = LoadedFile(load_whole(self.path))
                return self.loaded.module
            except ImportError as error:
                if missing_library(error) is not None:
                    raise
                self.partly = True
        self.loaded = load_definitions(self.contents, self.path.stem)
        return self.loaded.module

    def forget(self) -> None:
        """Forget the modules of the file's folder, so that they are loaded again."""
        for name in set(sys.modules) - self._before:
            source = getattr(sys.modules[name], "__file__", None)
            if source and Path(source).parent == self.path.parent:
                del sys.modules[name]

    def training(self, job: Job, report: Callable[[str], None]) -> Recognised | None:
        """Return the form of the file's training as a whole; None if it cannot be watched."""
        if is_notebook(self.path) or is_adapted(job):
            return None
        if not self._trained:
            report("watching the program train")
            self.forget()
            with contextlib.suppress(Exception):
                form = program_form(self.path, self.wrapper_folder == self.path.parent)
                if form is not None and job.options.cell in ("", form.cell):
                    self.watched = form
            self._trained = True
        return self.watched

    def notes(self) -> list[str]:
        """Return a note about the statements that were skipped, if there were any."""
        note = self.loaded.note(self.path.name)
        return [note] if note else []

    @property
    def source(self) -> Source:
        """The file as a wrapper loads it."""
        return Source(
            self.path,
            tuple(line for line, _ in self.loaded.skipped),
            self.partly,
            tuple(self.loaded.texts.items()),
            self.wrapper_folder == self.path.parent,
        )


class Prepared(NamedTuple):
    """What the doctor checks.

    Attributes:
        load: loads the file again, and returns the function and the numerical gradient.
        job: the job with the cell that was found out.
        notes: sentences about how the function was found.
        form: the form that was recognised; None if the function is checked as it is.
        wrapper: the source of the wrapper.
        advice: what to do about imports that failed, for an error of a name that is not defined.
        load_text: loads the source of another wrapper, and returns its function; None without a form.
        instead: returns what to check if the calls fail: the program as a whole, or None.
    """

    load: Load
    job: Job
    notes: list[str]
    form: Recognised | None
    wrapper: str
    advice: str = ""
    load_text: Callable[[str], Any] | None = None
    instead: "Callable[[], Prepared | None]" = lambda: None


@dataclass(frozen=True)
class Names:
    """The names that the user gave: of the function, "" if none, and of the numerical gradient."""

    function: str
    numerical: str | None


# Libraries that compute gradients and that the doctor does not know; they must be installed.
OTHER_LIBRARIES: Final = {"autograd": "autograd", "tinygrad": "tinygrad", "flax": "Flax", "equinox": "Equinox", "haiku": "Haiku", "tensorflow": "TensorFlow", "keras": "Keras", "mlx": "MLX"}  # fmt: skip


def missing_library(error: ImportError) -> DoctorError | None:
    """Return the error for a file that imports a library which is not installed; None if it is unknown."""
    root = (error.name or "").split(".")[0]
    known = {"torch": "PyTorch", "jax": "JAX"}
    if root in known:
        return DoctorError(
            f"the file imports {known[root]}, which is not installed beside charloom. Install it with: pip install "
            f"{root}."
        )
    if root in OTHER_LIBRARIES:
        return DoctorError(
            f"the file imports {OTHER_LIBRARIES[root]}, which is not installed beside charloom, and whose modules "
            "the doctor does not know. It checks functions that take arrays of NumPy and return the loss "
            "and a dict of gradients, and code in PyTorch or JAX. Install the library, and write a function "
            "checked(params, x, y, h0) that returns both as arrays of NumPy."
        )
    return None


def prepared(path: Path, names: Names, job: Job, report: Callable[[str], None]) -> Prepared:
    """Return what to check in a file.

    Raises:
        DoctorError: the file has no function that can be checked, or several.
    """
    report("loading the file")
    file = UsersFile(path, job.adapt)
    compute_in_double(file.contents)
    try:
        module = file.load()
    except ImportError as error:
        raise missing_library(error) or error from None
    find = for_function if names.function else for_file
    try:
        ready = find(file, module, names, job, report)
        if ready.form is not None and ready.form.rank > RELATED and not names.function:
            ready = as_program(file, job, report, ready.form.rank) or ready
    except DoctorError as error:
        if not names.function and (watched := as_program(file, job, report)) is not None:
            return watched
        if advice := file.loaded.advice(path.name):
            error.args = (f"{error.message}\n{advice}", *error.args[1:])
        raise
    ready = ready._replace(advice=file.loaded.advice(path.name))
    if names.function or (ready.form is not None and ready.form is file.watched):
        return ready
    return ready._replace(instead=lambda: as_program(file, job, report))


def as_program(
    file: UsersFile, job: Job, report: Callable[[str], None], below: int = FAILED
) -> Prepared | None:
    """Return the file's training as something to check; None if it cannot be watched or does not fit well enough.

    `below` is the rank of another form, which the program must fit better.
    """
    form = file.training(job, report)
    return None if form is None or form.rank >= below else with_wrapper(file, form, job)


def for_function(
    file: UsersFile, module: Any, names: Names, job: Job, report: Callable[[str], None]
) -> Prepared:
    """Return what to check for the function that the user named."""
    function = compiled(named(module, names.function, file.path), file.contents)
    direct: Prepared | None = None
    try:
        found = cell_of(function, job, report)
        direct = as_it_is(file, names, with_cell(job, found.cell))
    except Exception as error:
        problem = error
    # An order of the gates is said of the function as it is.
    if direct is not None and (found.right or is_adapted(job) or job.options.gates):
        return direct
    report("looking for another form of the function")
    forms = recognised(file.contents, module, file.source, names.function)
    if direct is not None:
        fits = [form for form in forms if form.rank <= RELATED and not form.blanks]
        return with_wrapper(file, fits[0], job) if fits and names.numerical is None else direct
    takes_others = isinstance(problem, DoctorError) or not inspect.isfunction(function)
    fits = [form for form in forms if form.rank != FAILED or takes_others]
    if fits and fits[0].rank == FAILED and (old := python_2_error(file)) is not None:
        raise old
    if fits and names.numerical is None and (job.adapt or not fits[0].blanks):
        return with_wrapper(file, fits[0], job)
    if (reason := reason_of(problem, file)) is not None:
        raise reason
    if advice := advice_on_modules(file.contents, module, names.function):
        raise DoctorError(advice)
    facts = file.contents.functions.get(names.function)
    if job.adapt and facts is not None:
        return with_wrapper(file, outline(facts, file.source), job)
    # The first call fails again, and its error says where.
    return as_it_is(file, names, job)


def for_file(
    file: UsersFile, module: Any, names: Names, job: Job, report: Callable[[str], None]
) -> Prepared:
    """Return what to check in a file, for which the user named no function."""
    direct = []
    failing: dict[str, Exception] = {}
    for name in candidates(file.contents):
        try:
            function = compiled(named(module, name, file.path), file.contents)
            found = cell_of(function, job, report)
        except Exception as error:
            failing[name] = error
            continue
        direct.append((name, found))
    if len(direct) == 1 and direct[0][1].right and direct[0][0] in file.contents.made_functions:
        return recognised_directly(file, direct[0], names, job)
    report("looking for the form of the functions")
    forms = recognised(file.contents, module, file.source, "", lambda: file.training(job, report))
    inner = {n for name, _ in direct for n in used_by(file.contents, name)}
    functions = [f for name, _ in direct if (f := file.contents.functions.get(name)) is not None]
    inner |= {r.name for f in functions for r in file.contents.reached_from(f)[1:]}
    forms = [form for form in forms if not set(form.names) <= inner]
    direct = [d for d in direct if d[0] not in {n for form in forms for n in form.helpers}]
    whole = [form for form in forms if not form.blanks and not set(form.names) & set(dict(direct))]
    better = [form for form in forms if form.rank <= RELATED and not form.blanks]
    if len(direct) == 1 and not direct[0][1].right and len(better) == 1 and not names.numerical:
        return with_wrapper(file, better[0], job)
    if len(direct) == 1 and not whole:
        return recognised_directly(file, direct[0], names, job)
    failed = bool(whole) and whole[0].rank == FAILED
    if failed and not direct and (old := python_2_error(file)) is not None:
        raise old
    if (len(whole) == 1 or failed) and not direct and names.numerical is None:
        return with_wrapper(file, whole[0], job)
    if job.adapt and len(forms) == 1 and not direct:
        return with_wrapper(file, forms[0], job)
    if not direct and not whole and (old := python_2_error(file)) is not None:
        raise old
    whole = [form for form in forms if not set(form.names) & set(dict(direct))]
    meant = [name for name in failing if GRADIENT_NAME.search(name)]
    alone = not direct and not whole and len(meant) == 1
    if alone and job.adapt == CHOOSING:
        raise failing[meant[0]]
    if job.adapt and not direct and not whole and (facts := likeliest(file.contents)) is not None:
        return with_wrapper(file, outline(facts, file.source), job)
    if not direct and not forms and (advice := advice_on_modules(file.contents, module)):
        raise DoctorError(advice)
    if alone and not job.adapt:
        # The first call fails again, and its error says where.
        return as_it_is(file, Names(meant[0], names.numerical), job)
    raise listed(file.contents, [name for name, _ in direct], whole)


def likeliest(contents: Contents) -> FunctionFacts | None:
    """Return the function that most likely computes the loss and the gradients; None if there is none."""
    words = ("grad", "back", "bptt", "bprop", "loss")
    return max(
        functions_to_outline(contents),
        key=lambda f: (
            any(word in f.name.lower() for word in words),
            len(f.returned),
            len(f.arguments),
        ),
        default=None,
    )


def recognised_directly(
    file: UsersFile, direct: "tuple[str, Direct]", names: Names, job: Job
) -> Prepared:
    """Return a function that the user did not name, and that needs no wrapper, as something to check."""
    name, found = direct
    ready = as_it_is(file, Names(name, names.numerical), with_cell(job, found.cell))
    return ready._replace(notes=[f"recognised: {name}.", *ready.notes])


def as_it_is(file: UsersFile, names: Names, job: Job) -> Prepared:
    """Return a function that needs no wrapper, as something to check."""

    def load() -> tuple[Any, Any]:
        module = file.load()
        function = compiled(named(module, names.function, file.path), file.contents)
        numerical = names.numerical
        return function, None if numerical is None else named(module, numerical, file.path)

    wrapper = alias_source(file.source, names.function)
    return Prepared(load, job, file.notes(), None, wrapper)


def with_wrapper(file: UsersFile, form: Recognised, job: Job) -> Prepared:
    """Return the wrapper of a form, as something to check.

    Raises:
        DoctorError: the user gave another cell than that of the form.
    """
    given: str = job.options.cell
    if given and given != form.cell:
        raise DoctorError(
            f"{file.path.name} has {CELLS[form.cell].title}, but {argument('cell')} is {given}. Leave "
            f"{argument('cell')} out, or set {argument('cell', form.cell)}."
        )

    def load_text(text: str) -> Any:
        file.forget()
        linecache.cache[WRAPPER] = (len(text), None, text.splitlines(True), WRAPPER)
        module = types.ModuleType("wrapper")
        module.__file__ = str(file.path.with_name("wrapper.py"))
        exec(compile(text, WRAPPER, "exec"), vars(module))
        return module.checked

    def load() -> tuple[Any, Any]:
        return form.function or load_text(form.text), None

    others = [] if form is file.watched else file.notes()
    notes = [f"recognised: {form.title}.", *form.notes, *others]
    options = replace(job.options, cell=form.cell, form="natural", gates="", sizes=form.sizes)
    checked = replace(job, options=options)
    return Prepared(load, checked, notes, form, form.text, load_text=load_text)


def candidates(contents: Contents) -> list[str]:
    """Return the names of the functions and the modules of PyTorch that may be checked as they are."""
    functions = [
        name
        for name, facts in contents.functions.items()
        if len(facts.arguments) >= 4
        and not name.startswith("_")
        and not is_numerical(name)
        and gives_gradients(contents, facts)
    ]
    classes = [
        name
        for name, facts in contents.classes.items()
        if any(base.split(".")[-1] == "Module" for base in facts.bases)
    ]
    return [*functions, *classes, *contents.made_functions]


def used_by(contents: Contents, name: str) -> frozenset[str]:
    """Return the functions of the file that a function calls, differentiates, or is made of."""
    facts = contents.functions.get(name)
    if facts is None:
        return contents.made_functions.get(name, frozenset())
    read = {n for one in contents.reached_from(facts) for n in one.read_globals}
    made = {n for one in read for n in contents.made_functions.get(one, ())}
    return frozenset((read | made) & set(contents.functions))


def gives_gradients(contents: Contents, facts: FunctionFacts) -> bool:
    """Return False for a function that gives only a loss, from which PyTorch or JAX computes the gradient."""
    if not (contents.imports("torch") or contents.imports("jax")):
        return True
    called = {name for one in contents.reached_from(facts) for name in one.called}
    named = any(short(name) in GRADIENT_HOLDERS or stripped(name) for name in facts.returned)
    return named or bool(facts.nested) or bool(called & {*DERIVING, *contents.made_functions})


class Direct(NamedTuple):
    """The cell with which a function can be called as it is, and whether its loss is then right.

    The cell is "" for a module of PyTorch, and for a plain cell if the user named none.
    """

    cell: str
    right: bool


def is_adapted(job: Job) -> bool:
    """Return True if the user said how to call the function, so that no other form is tried."""
    options = job.options
    return bool(options.names or options.gradients or options.arguments) or options.form != "auto"


def cell_of(function: Any, job: Job, report: Callable[[str], None]) -> Direct:
    """Return the cell with which a function can be called as it is.

    Without a cell in the job's options, all cells are tried.

    Raises:
        Exception: the function cannot be called; the error is that of the first cell.
    """
    first: Exception | None = None
    given: str = job.options.cell
    for cell in [given] if given else list(CELLS):
        options = replace(job.options, cell=cell if given or cell != "rnn" else "")
        try:
            caller = runner.caller_of(function, options)
            trial = make_trial(caller.cell, job.seed, 0, job.plans[0], caller.sizes)
            report(f"the first call ({trial.info.description()})")
            loss = exact_loss(trial.problem)
            caller.find_call_form(trial.problem, loss)
            given_loss = caller.call(trial.problem).loss
        except Exception as error:
            first = first or error
            continue
        return Direct(
            options.cell,
            given_loss is None or is_right_loss(given_loss, loss, len(trial.problem.x)),
        )
    assert first is not None
    raise first


def with_cell(job: Job, cell: str) -> Job:
    """Return the job with a cell."""
    return replace(job, options=replace(job.options, cell=cell))


def reason_of(problem: Exception, file: UsersFile) -> DoctorError | None:
    """Return the error for a function that cannot be called, if its file shows the reason."""
    old = python_2_error(file)
    if old is not None and isinstance(problem, (NameError, AttributeError)):
        return old
    if isinstance(problem, NameError) and file.loaded.skipped and not file.loaded.missing:
        return DoctorError(f"{problem}; {file.notes()[0]}")
    if isinstance(problem, NameError) and file.loaded.missing:
        return DoctorError(f"{problem}.")
    return None


def python_2_error(file: UsersFile) -> DoctorError | None:
    """Return the error for a file that uses names of Python 2; None if it uses none."""
    found = leftovers_of_python_2(file.contents)
    if not found:
        return None
    name, line = next(iter(found.items()))
    new = {"xrange": "range", "raw_input": "input", "unicode": "str", "has_key": "in"}.get(
        name, name[4:]
    )
    return DoctorError(
        f"{file.path.name} is written for Python 2: line {line} has {name}. Python 3 calls it {new}; "
        "replace it, and check print and the division of whole numbers too."
    )


def load_whole(path: Path) -> Any:
    """Run a whole file, and return its module."""
    loader = SourceFileLoader(path.stem, str(path))  # also for a name that ends in .PY
    spec = importlib.util.spec_from_file_location(path.stem, path, loader=loader)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def named(module: Any, name: str, path: Path) -> Any:
    """Return the object called `name` in the user's module; raise DoctorError if there is none.

    `name` may be that of a method, such as RNN.bptt.
    """
    owner, _, method = name.partition(".")
    if not hasattr(module, owner):
        owners = [
            n
            for n, v in vars(module).items()
            if inspect.isclass(v) and not method and hasattr(v, owner)
        ]
        if owners:
            suggested = terminal_command("doctor", f"{path}:{owners[0]}.{owner}")
            raise DoctorError(
                f"{path.name} has no function {owner}, but the class {owners[0]} has a method of that name: "
                f"{suggested}"
            )
        functions = [
            other
            for other, value in vars(module).items()
            if callable(value) and not other.startswith("_")
        ]
        raise DoctorError(
            f"{path.name} has no {owner}; it has {', '.join(functions[:LISTED]) or 'no function'}"
            f"{more(functions)}."
        )
    found = getattr(module, owner)
    if method and not hasattr(found, method):
        raise DoctorError(f"the class {owner} of {path.name} has no method {method}.")
    return getattr(found, method) if method else found
