"""Loads a user's file without its training: only imports, definitions and simple assignments are run.

Many files read a text and train at their top level, often forever. Such a file is executed statement
by statement, without loops and without calls that begin the work; a short text stands in for every file
that is read (`stand_ins.py`). A file without such statements is loaded as a whole. This module knows no
networks.
"""

import ast
import builtins
import contextlib
import io
import sys
import types
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from charloom.diagnosis.forms.file_contents import Contents, Definition, name_of
from charloom.diagnosis.forms.stand_ins import TEXT, name_for_text, with_stand_ins
from charloom.formatting import listing

# Functions that read a file, whose names say nothing else.
ASKING: Final = ("raw_input", "read_csv", "loadtxt", "genfromtxt", "read_bytes", "urlretrieve")
PRODUCTS: Final = {"dot", "matmul", "outer", "einsum"}  # functions that multiply matrices
ENDING: Final = ("exit", "quit", "_exit", "abort")  # functions that end the program
# Modules whose functions may be called at the top level: they only set something.
SETTING: Final = ("np", "numpy", "torch", "jax", "random", "sys", "warnings", "os", "config")
SETTING_CALLS: Final = (
    "exec_module",
    "append",
    "insert",
    "seed",
    "update",
    "setdefault",
    "defvjp",
    "defjvp",
    "register_pytree_node",
    "register",
    "add_argument",
    "extend",
    "setLevel",
    "basicConfig",
    "filterwarnings",
    "set_printoptions",
)
# A function with one of these words in its name does the work of the program.
WORKING: Final = (
    "train",
    "main",
    "fit",
    "run",
    "optimi",
    "sample",
    "generate",
    "test",
    "check",
    "demo",
)
NEEDED: Final = "what needs these"  # the reason for a statement that needs a skipped one
FAILED_WITH: Final = "failed with"
SHOWN: Final = 3  # number of lines that a note lists for each reason


@dataclass
class LoadedFile:
    """A module, and the statements of its file that were not run, by the reason.

    Attributes:
        module: the module with what the statements defined.
        skipped: for each statement that was left out, its first line and the reason.
        missing: the modules whose import failed, by the first line of the import.
        texts: the variables that got the stand-in text, by the first line of their statement.
        reading: the first lines of the statements that read the stand-in text.
    """

    module: Any
    skipped: list[tuple[int, str]] = field(default_factory=list)
    missing: dict[int, str] = field(default_factory=dict)
    texts: dict[int, str] = field(default_factory=dict)
    reading: list[int] = field(default_factory=list)

    def note(self, name: str) -> str:
        """Return a sentence that says which statements were skipped; "" if none was."""
        parts = [f"only the definitions of {name} were loaded, so that nothing is trained"]
        if not self.skipped and not self.reading:
            return ""
        reasons: dict[str, list[str]] = {}
        for line, reason in self.skipped:
            reasons.setdefault(reason, []).append(str(line))
        shown = [
            f"{reason} ({'line' if len(lines) == 1 else 'lines'} {', '.join(lines[:SHOWN])}{', …' if lines[SHOWN:] else ''})"
            for reason, lines in reasons.items()
            if not reason.startswith(FAILED_WITH)
        ]
        if shown:
            parts.append(f"skipped: {listing(shown)}")
        parts += [
            f"what {reason} ({lines_text(lines)}) was left out"
            for reason, lines in reasons.items()
            if reason.startswith(FAILED_WITH)
        ]
        if self.reading:
            parts.append(
                f"a short text stands in for what {lines_text(self.reading)} read{'s' if len(self.reading) == 1 else ''}"
            )
        return "; ".join(parts) + "."

    def advice(self, name: str) -> str:
        """Return what to do about imports that failed; "" if none failed."""
        if not self.missing:
            return ""
        modules = list(dict.fromkeys(self.missing.values()))
        it = "it" if len(modules) == 1 else "them"
        return (
            f"{name} imports {listing(modules)}, which the doctor does not find: put {it} beside {name} or "
            f"install {it}, or remove the import if the checked functions do not need it."
        )


def failed_with(error: BaseException) -> str:
    """Return the reason for a statement that raised an error, such as "failed with an IndexError"."""
    name = type(error).__name__
    return f"{FAILED_WITH} {'an' if name[0] in 'AEIOU' else 'a'} {name}"


def lines_text(lines: Sequence[object]) -> str:
    """Return the lines in words, such as "line 3" or "lines 3, 9"."""
    return f"{'line' if len(lines) == 1 else 'lines'} {', '.join(map(str, lines))}"


def works_at_top_level(contents: Contents) -> bool:
    """Return True if the file loops, reads a file or starts its work at the top level."""
    return any(
        reason_to_skip(node, contents) or reads(node, contents)
        for node in contents.tree.body
        if not is_main(node)
    )


def load_definitions(contents: Contents, name: str) -> LoadedFile:
    """Execute the file without its loops and its work, with a stand-in for every file that it reads.

    A statement that raises an error is skipped too, usually because it needs what was skipped before
    it. So is the import of a module that is not there. What it prints is discarded.

    Returns:
        The file's module, and what was skipped.
    """
    module = types.ModuleType(name)
    module.__file__ = str(contents.path)
    loaded = LoadedFile(module)
    sys.modules[name] = module
    with with_stand_ins(module):
        for node in contents.tree.body:
            reason = reason_to_skip(node, contents)
            if not reason and isinstance(node, ast.Try):
                reason = reason_in_try(node, contents)
            if reason:
                loaded.skipped.append((node.lineno, reason))
            else:
                execute(node, contents, loaded)
    return loaded


def execute(node: ast.stmt, contents: Contents, loaded: LoadedFile) -> None:
    """Execute one statement, and note in `loaded` if it read a stand-in or could not be executed."""
    code = compile(ast.Module([node], []), str(contents.path), "exec", dont_inherit=True)
    quiet = io.StringIO()
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            exec(code, vars(loaded.module))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if isinstance(error, ImportError) and isinstance(node, (ast.Import, ast.ImportFrom)):
            loaded.missing[node.lineno] = error.name or "a module"
            loaded.skipped.append((node.lineno, f"the import of {error.name or 'a module'}"))
        elif variable := name_for_text(node):
            vars(loaded.module)[variable] = TEXT
            loaded.texts[node.lineno] = variable
        else:
            kind = NEEDED if isinstance(error, NameError) else failed_with(error)
            loaded.skipped.append((node.lineno, kind))
            return
    if reads(node, contents):
        loaded.reading.append(node.lineno)


def reads(node: ast.stmt, contents: Contents) -> bool:
    """Return True if a statement at the top level reads a file or asks the user, maybe in a function of the file."""
    if isinstance(node, (*Definition.__args__, ast.ClassDef, ast.Import, ast.ImportFrom)):
        return False
    calls = set(called_names(node))
    users = [contents.functions[name] for name in calls & set(contents.functions)]
    calls |= {name for f in users for one in contents.reached_from(f) for name in one.called}
    return bool(calls & {"open", "input", "read_text", "urlopen", "parse_args", *ASKING})


def reason_in_try(node: ast.Try, contents: Contents) -> str:
    """Return the reason to skip a statement `try`: that of the first such statement in it; "" if none."""
    return next((r for child in node.body if (r := reason_to_skip(child, contents))), "")


def reason_to_skip(node: ast.stmt, contents: Contents) -> str:
    """Return why a statement at the top level is not run, in some words; "" if it is run."""
    if isinstance(node, (Definition, ast.ClassDef, ast.Import, ast.ImportFrom)):
        return ""
    if isinstance(node, ast.While):
        return "a loop"
    if is_main(node):
        return "the main part"
    calls = list(called_names(node))
    if ending := [name for name in calls if name in ENDING]:
        return f"the call of {ending[0]}"
    if isinstance(node, (ast.For, ast.With, ast.If)) and any(
        isinstance(n, ast.While) for n in ast.walk(node)
    ):
        return "a loop"
    users = [c for c in calls if c in contents.functions]
    working = [
        name_of(n.func)
        for n in ast.walk(node)
        if isinstance(n, ast.Call)
        and any(word in name_of(n.func).lower() for word in WORKING)
        and not hasattr(builtins, name_of(n.func))
        and root_name(n.func) not in SETTING
    ]
    if isinstance(node, ast.For) and (users or working or is_training(node)):
        return "a loop"
    if working:
        return f"the call of {working[0]}"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return reason_of_call(node.value, users)
    return ""


def is_training(loop: ast.For) -> bool:
    """Return True if a loop has another loop in it and products of matrices: it trains without calling a function."""
    inside = [node for statement in loop.body for node in ast.walk(statement)]
    products = (isinstance(n, ast.BinOp) and isinstance(n.op, ast.MatMult) for n in inside)
    called = set(called_names(loop)) & PRODUCTS
    return any(isinstance(n, ast.For) for n in inside) and (any(products) or bool(called))


def reason_of_call(call: ast.Call, users: list[str]) -> str:
    """Return why a call that stands alone is not made; "" if it only sets something, such as a seed."""
    root = root_name(call.func)
    if (
        root in SETTING
        or name_of(call.func) in SETTING_CALLS
        or (isinstance(call.func, ast.Name) and call.func.id == "print" and not users)
    ):
        return ""
    return f"the call of {name_of(call.func) or root}"


def is_main(node: ast.stmt) -> bool:
    """Return True for `if __name__ == "__main__":`."""
    return isinstance(node, ast.If) and any(
        isinstance(n, ast.Name) and n.id == "__name__" for n in ast.walk(node.test)
    )


def called_names(node: ast.AST) -> Iterator[str]:
    """Yield the name of each function and method that a statement calls."""
    for n in ast.walk(node):
        if isinstance(n, ast.Call) and (name := name_of(n.func)):
            yield name


def root_name(node: ast.expr) -> str:
    """Return the first name of an expression, such as "np" for `np.random.seed`; "" if there is none."""
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
