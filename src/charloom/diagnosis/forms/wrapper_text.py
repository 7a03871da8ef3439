"""Writes a wrapper: Python source with a function `checked(params, x, y, h0)` around a user's functions.

The text is for people to read and change. It needs NumPy and the user's file, nothing of charloom.
"""

import json
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from charloom.cell_table import CELLS
from charloom.diagnosis.forms.notebook_reader import reader_source
from charloom.diagnosis.forms.stand_ins import ANSWER, REPEATS, TEXT
from charloom.diagnosis.notebook_code import is_notebook

WIDTH: Final = 96
BLANK: Final = "...  # fill in: "

LOAD: Final = '''
def load(path):
    """Run the definitions of a file: no loops and no calls that train; a short text stands in for files."""
    module = types.ModuleType("net")
    module.open = lambda *_, **__: io.StringIO(TEXT)
    module.input = lambda *_: ANSWER
    for node in ast.parse(path.read_bytes()).body:
        if node.lineno in SKIPPED_LINES:
            continue
        with contextlib.suppress(Exception, SystemExit):  # what needs a skipped line is skipped too
            exec(compile(ast.Module([node], []), str(path), "exec"), vars(module))
    return module
'''

# The line of `load` that gives variables the text, for statements that read files in other ways.
TEXTS: Final = """        if node.lineno in TEXTS:
            setattr(module, TEXTS[node.lineno], TEXT)
            continue
"""

ORDER: Final = '''
def rows(array, old="{ours}", new="{yours}"):
    """Return the rows of the gates in another order."""
    blocks = dict(zip(old, np.split(array, {count})))
    return np.concatenate([blocks[gate] for gate in new])
'''

BOTH: Final = '''
def both(first, second):
    """Return the gradient of both biases of a gate, which must be the same; the second one if it differs."""
    return first if np.allclose(first, second) else second
'''

FIXED: Final = '''
def fixed(array):
    """Return an array of the same shape with numbers that are the same in every call."""
    return np.linspace(-0.5, 0.5, np.size(array)).reshape(np.shape(array))
'''

OUTPUT: Final = '''
def output_layer(hs, y, V, c):
    """Return the loss of softmax(V h + c), and the gradients of hs (T, H), V and c."""
    o = hs @ V.T + c
    p = np.exp(o - o.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    loss = -np.log(p[np.arange(len(y)), y]).sum()
    p[np.arange(len(y)), y] -= 1
    return loss, p @ V, p.T @ hs, p.sum(axis=0)
'''


@dataclass(frozen=True)
class Source:
    """The user's file, as a wrapper loads it.

    Attributes:
        path: the file.
        skipped: the lines whose statements are not run.
        partly: whether only the definitions of the file are run; otherwise it is imported as a whole.
        texts: the variables that get the stand-in text instead of their statements, by the lines.
        near: whether the wrapper is in the folder of the file.
    """

    path: Path
    skipped: tuple[int, ...] = ()
    partly: bool = False
    texts: tuple[tuple[int, str], ...] = ()
    near: bool = True

    @property
    def importable(self) -> bool:
        """Whether `import` finds the file: it is in the same folder, and its name is a Python name."""
        return self.near and self.path.stem.isidentifier()

    @property
    def place(self) -> str:
        """The expression for the path of the file."""
        name = json.dumps(self.path.name if self.near else str(self.path))
        return f"Path(__file__).with_name({name})" if self.near else f"Path({name})"


def wrapper_source(
    source: Source,
    title: str,
    notes: Sequence[str],
    body: Sequence[str],
    helpers: Iterable[str] = (),
) -> str:
    """Return the source of a wrapper.

    Args:
        source: the user's file.
        title: what the file was recognised as.
        notes: sentences about the wrapper, for its docstring.
        body: the lines of `checked` without indentation.
        helpers: definitions that the body needs.
    """
    text = "\n".join(body)
    parts = [docstring(source, title, notes), imports(source, text + "".join(helpers)), *helpers]
    loading = ["\n".join(loading_lines(source))] if source.partly else []
    lines = [f"    {line}" if line else "" for line in body]
    function = [
        "def checked(params, x, y, h0):",
        '    """Return the loss and a dict of the gradients. x and y are ids (T,), h0 is (H,)."""',
        *lines,
    ]
    # What loads the file comes last, because the function is what people read.
    every = (*parts, "\n".join(function), *loading)
    return "\n\n".join(part.strip("\n") + "\n" for part in every)


def alias_source(source: Source, function: str) -> str:
    """Return the source of a wrapper for a function that the doctor can call as it is."""
    title = f"the doctor calls {function} as it is"
    loading = ["\n".join(loading_lines(source))] if source.partly else []
    parts = [
        docstring(source, title, []),
        imports(source, ""),
        *loading,
        f"checked = net.{function}",
    ]
    return "\n\n".join(part.strip("\n") + "\n" for part in parts)


def docstring(source: Source, title: str, notes: Sequence[str]) -> str:
    """Return the docstring of a wrapper's module."""
    text = f"Calls {source.path.name} in the form that the doctor of charloom checks: {title}."
    paragraphs = [
        textwrap.fill(text, WIDTH),
        *(textwrap.fill(note[:1].upper() + note[1:], WIDTH) for note in notes),
    ]
    paragraphs.append("Let the doctor check the function `checked` of this file.")
    return '"""' + "\n\n".join(paragraphs) + '\n"""'


def imports(source: Source, text: str) -> str:
    """Return the lines that import what a wrapper needs, and the user's file as `net` if it is run as a whole."""
    lines = []
    if source.partly:
        lines += [
            "import ast",
            "import contextlib",
            "import io",
            *(["import json", "import re"] if is_notebook(source.path) else []),
            "import types",
            "from pathlib import Path",
        ]
    elif not source.importable:
        lines += ["import importlib.util", "from pathlib import Path"]
    if "copy.deepcopy" in text:
        lines.insert(0, "import copy")
    if "types.SimpleNamespace" in text and not source.partly:
        lines += ["import types"]
    lines += ["", "import numpy as np"] if "np." in text.replace("jnp.", "") else [""]
    if "jax." in text:
        lines += ["import jax", "import jax.numpy as jnp"]
    if "torch." in text:
        lines += ["import torch"]
    if source.partly:
        return "\n".join(lines)
    if source.importable:
        lines += ["", f"import {source.path.stem} as net"]
    else:
        lines += [
            "",
            f'spec = importlib.util.spec_from_file_location("net", {source.place})',
            "net = importlib.util.module_from_spec(spec)",
            "spec.loader.exec_module(net)",
        ]
    return "\n".join(lines)


def loading_lines(source: Source) -> list[str]:
    """Return the lines of a wrapper that run only the definitions of the user's file."""
    load = LOAD.replace("ANSWER", json.dumps(ANSWER))
    if is_notebook(source.path):
        load = f"{reader_source()}\n{load.replace('path.read_bytes()', 'code_of(path)')}"
    text = f"TEXT = {json.dumps(TEXT[: len(TEXT) // REPEATS])} * {REPEATS}"
    lines = ["", f"SKIPPED_LINES = {set_text(source.skipped)}", text]
    if source.texts:
        lines.append(f"TEXTS = {dict(source.texts)}")
        before = "        with contextlib"
        load = load.replace(before, TEXTS + before)
    return [*lines, "", load, "", f"net = load({source.place})"]


def set_text(lines: Sequence[int]) -> str:
    """Return a set of line numbers as Python source."""
    return "{" + ", ".join(map(str, lines)) + "}" if lines else "set()"


def call_text(callee: str, arguments: Sequence[str]) -> list[str]:
    """Return the lines of a call, one line if it is short enough."""
    one = f"{callee}({', '.join(arguments)})"
    if len(one) <= WIDTH and BLANK not in one:
        return [one]
    return [f"{callee}(", *(f"    {with_comma(argument)}" for argument in arguments), ")"]


def with_comma(argument: str) -> str:
    """Return an argument with a comma, which stands before the comment of one to fill in."""
    before, blank, name = argument.partition(BLANK)
    return f"{before}...,  # fill in: {name}" if blank else f"{argument},"


def order_helper(cell: str, order: str) -> str:
    """Return the helper `rows`, for gates in another order."""
    ours = CELLS[cell].blocks
    return ORDER.format(ours=ours, yours=order, count=len(ours))
