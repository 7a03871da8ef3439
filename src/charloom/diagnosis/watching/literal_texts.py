"""Finds the texts that stand in a program's source, for programs that train on such a text and read no file."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

SHORTEST_TEXT: Final = 20  # a shorter text, with its repetitions, is not a text to train on
MOST_TEXTS: Final = 2
# Functions whose texts are shown, or are names of files or formats.
SHOWING: Final = ("print", "format", "add_argument", "ArgumentParser", "open", "write", "title", "label", "einsum")  # fmt: skip


@dataclass(frozen=True)
class Literal:
    """A text in the source.

    Attributes:
        texts: the strings that are the text.
        factors: the numbers by which the text is repeated.
        alphabets: other strings with the same characters, each once.
    """

    texts: tuple[ast.Constant, ...]
    factors: tuple[ast.Constant, ...]
    alphabets: tuple[ast.Constant, ...]

    def nodes(self, text: str) -> Iterator[tuple[ast.Constant, object]]:
        """Yield what to put in place of each part, such that the program trains on `text`."""
        yield from ((node, text) for node in self.texts)
        yield from ((node, 1) for node in self.factors)
        yield from ((node, "".join(sorted(set(text)))) for node in self.alphabets)


def text_literals(tree: ast.Module) -> list[Literal]:
    """Return the texts that a program may train on, the longest first."""
    strings: dict[ast.Constant, str] = {
        node: text
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and (text := text_of(node))
    }
    hidden = {id(node) for node in no_texts(tree)}
    found: dict[str, tuple[int, Literal]] = {}
    repeated = {id(node): factor for node, factor in repetitions(tree)}
    for node, text in strings.items():
        factor = repeated.get(id(node))
        times = factor.value if factor is not None else 1
        length = len(text) * (times if isinstance(times, int) else 1)
        letters = set(text)
        if id(node) in hidden or length < SHORTEST_TEXT or len(letters) == len(text):
            continue
        alphabets = tuple(
            one
            for one, other in strings.items()
            if set(other) == letters and len(other) == len(letters) and id(one) not in hidden
        )
        literal = Literal((node,), (factor,) if factor else (), alphabets)
        found.setdefault(text, (length, literal))
    ordered = sorted(found.values(), key=lambda one: -one[0])
    return [literal for _, literal in ordered[:MOST_TEXTS]]


def text_of(node: ast.AST) -> str:
    """Return the text of a string in the source; "" for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def repetitions(tree: ast.Module) -> Iterator[tuple[ast.Constant, ast.Constant]]:
    """Yield each string that is multiplied by a whole number, with the number."""
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
            for one, other in ((node.left, node.right), (node.right, node.left)):
                if (
                    text_of(one)
                    and isinstance(other, ast.Constant)
                    and isinstance(other.value, int)
                ):
                    yield one, other  # type: ignore[misc]


def no_texts(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield the strings that are not a text to train on: docstrings, formats, and what is printed or asked."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield from node.values
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
            yield node.left
        elif isinstance(node, ast.Raise) or (
            isinstance(node, ast.Call) and called_name(node) in SHOWING
        ):
            yield from ast.walk(node)


def called_name(node: ast.Call) -> str:
    """Return the last name of what is called, such as "clip" for `np.clip(...)`."""
    return getattr(node.func, "attr", getattr(node.func, "id", ""))
