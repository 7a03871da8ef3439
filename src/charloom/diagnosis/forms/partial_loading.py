"""Loads a user's file without its training: only imports, definitions and simple assignments are run.

Many files read a text and train at their top level, often forever. Such a file is executed statement
by statement, without loops, without statements that read files, and without calls that begin the
work. A file without such statements is loaded as a whole. This module knows no networks.
"""

import ast
import builtins
import contextlib
import io
import sys
import types
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from charloom.diagnosis.forms.file_contents import Contents, Definition, name_of
from charloom.formatting import listing

# Functions that read, ask, show, or end the program.
READING: Final = (
    "open",
    "input",
    "parse_args",
    "raw_input",
    "exit",
    "quit",
    "read_csv",
    "loadtxt",
    "genfromtxt",
)
# Modules whose functions may be called at the top level: they only set something.
SETTING: Final = ("np", "numpy", "torch", "jax", "random", "sys", "warnings", "os", "config")
SETTING_CALLS: Final = (
    "exec_module",
    "append",
    "insert",
    "seed",
    "update",
    "setdefault",
    "register",
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
SHOWN: Final = 3  # number of lines that a note lists for each reason


@dataclass
class LoadedFile:
    """A module, and the statements of its file that were not run, by the reason.

    Attributes:
        module: the module with what the statements defined.
        skipped: for each statement that was left out, its first line and the reason.
    """

    module: Any
    skipped: list[tuple[int, str]] = field(default_factory=list)

    def note(self, name: str) -> str:
        """Return a sentence that says which statements were skipped; "" if none was."""
        if not self.skipped:
            return ""
        reasons: dict[str, list[str]] = {}
        for line, reason in self.skipped:
            reasons.setdefault(reason, []).append(str(line))
        shown = [
            f"{reason} ({'line' if len(lines) == 1 else 'lines'} {', '.join(lines[:SHOWN])}{', …' if lines[SHOWN:] else ''})"
            for reason, lines in reasons.items()
        ]
        return f"only the definitions of {name} were loaded, so that nothing is trained; skipped: {listing(shown)}."


def works_at_top_level(contents: Contents) -> bool:
    """Return True if the file loops, reads a file or starts its work at the top level."""
    return any(reason_to_skip(node, contents) for node in contents.tree.body if not is_main(node))


def load_definitions(contents: Contents, name: str) -> LoadedFile:
    """Execute the file without its loops, its reading of files and its work; return its module.

    A statement that raises an error is skipped too, usually because it needs what was skipped before
    it. What it prints is discarded.

    Raises:
        Exception: an import of the file failed.
    """
    module = types.ModuleType(name)
    module.__file__ = str(contents.path)
    loaded = LoadedFile(module)
    sys.modules[name] = module
    for node in contents.tree.body:
        reason = reason_to_skip(node, contents)
        if not reason and isinstance(node, ast.Try):
            reason = reason_in_try(node, contents)
        if reason:
            loaded.skipped.append((node.lineno, reason))
            continue
        code = compile(ast.Module([node], []), str(contents.path), "exec", dont_inherit=True)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                exec(code, vars(module))
        except (KeyboardInterrupt, ImportError):
            raise
        except BaseException as error:
            kind = NEEDED if isinstance(error, NameError) else f"an error, {type(error).__name__}"
            loaded.skipped.append((node.lineno, kind))
    return loaded


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
    if "open" in calls:
        return "the reading of a file"
    if asking := [name for name in calls if name in READING]:
        return f"the call of {asking[0]}"
    if isinstance(node, (ast.For, ast.With, ast.If)) and any(
        isinstance(n, ast.While) for n in ast.walk(node)
    ):
        return "a loop"
    users = [c for c in calls if c in contents.functions]
    working = [
        c for c in calls if any(word in c.lower() for word in WORKING) and not hasattr(builtins, c)
    ]
    if isinstance(node, ast.For) and (users or working):
        return "a loop"
    if working and root_of_call(node) not in SETTING:
        return f"the call of {working[0]}"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return reason_of_call(node.value, users)
    return ""


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


def root_of_call(node: ast.stmt) -> str:
    """Return the first name of a call that stands alone, such as "np" for `np.random.seed(0)`; or ""."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        return root_name(node.value.func)
    return ""


def root_name(node: ast.expr) -> str:
    """Return the first name of an expression, such as "np" for `np.random.seed`; "" if there is none."""
    while isinstance(node, (ast.Attribute, ast.Call, ast.Subscript)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""
