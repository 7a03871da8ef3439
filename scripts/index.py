"""Writes docs/modules.md: one line for each module, with the module's first sentence.

    sh scripts/index            # write it
    sh scripts/index --check    # change nothing; exit with 1 if it is out of date

The sentence is the first one of a Python module's docstring, or of the comment at the head of a
JavaScript, CSS or C++ file. The script needs only Python.
"""

import ast
import re
import sys
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
INDEX: Final = "docs/modules.md"
SUFFIXES: Final = (".py", ".pyi", ".js", ".css", ".hpp", ".cpp")
FOLDERS: Final = ("src/charloom", "cpp", "examples", "reliability", "benchmarks", "scripts")
# "programs" holds code as students write it, which the doctor judges; it has no sentences.
LEFT_OUT: Final = ("__pycache__", "programs")
HEAD: Final = """# The modules

What each module holds or does: the sentence that it begins with. `sh scripts/index` writes this file; change a
sentence in the module, not here. How the modules fit together is in [ARCHITECTURE.md](../ARCHITECTURE.md).
"""
CITATION: Final = re.compile(r"\s*\([^()]*spec/\w+\.md[^()]*\)")  # (spec/formats.md: Runs)
SENTENCE: Final = re.compile(r".+?[.?!](?=\s|$)")


class NoSentenceError(Exception):
    """A module does not begin with a sentence."""


def modules(root: Path) -> list[str]:
    """Return the paths of all modules. A package's `__init__.py` comes before its other files."""
    found = [
        path.relative_to(root)
        for folder in FOLDERS
        for path in (root / folder).rglob("*")
        if path.suffix in SUFFIXES and not set(LEFT_OUT) & set(path.parts)
    ]
    order = {name: place for place, name in enumerate(FOLDERS)}
    places = [next(n for n in FOLDERS if path.is_relative_to(n)) for path in found]
    keyed = [
        (order[place], path.parent.as_posix(), path.name != "__init__.py", path.as_posix())
        for place, path in zip(places, found, strict=True)
    ]
    return [path for *_, path in sorted(keyed)]


def opening(name: str, source: str) -> str:
    """Return the docstring of a Python file, or the comment at the head of another file."""
    if name.endswith((".py", ".pyi")):
        return ast.get_docstring(ast.parse(source)) or ""
    if source.startswith("/*"):
        return source[2:].partition("*/")[0]
    lines = takewhile(lambda line: line.startswith("//"), source.splitlines())
    return "\n".join(line.removeprefix("//").strip() for line in lines)


def sentence_of(name: str, source: str) -> str:
    """Return the first sentence of a module on one line, without references to the specification.

    Raises:
        NoSentenceError: the module does not begin with a sentence.
    """
    paragraph = opening(name, source).strip().split("\n\n")[0]
    words = CITATION.sub("", " ".join(paragraph.split()))
    found = SENTENCE.match(words)
    if not found or words[0].islower() or " " not in found[0]:
        raise NoSentenceError(
            f"{name} begins with {words[:60]!r}; it must begin with a sentence: a capital or a name "
            "in backticks, and a full stop, question mark or exclamation mark at its end"
        )
    return found[0]


def lines(root: Path) -> Iterator[str]:
    """Yield the lines of the index, with a heading for each folder."""
    folder = ""
    for path in modules(root):
        if (parent := path.rpartition("/")[0]) != folder:
            folder = parent
            yield f"\n## {folder}\n"
        name = path.rpartition("/")[2]
        sentence = sentence_of(path, (root / path).read_text(encoding="utf-8"))
        yield f"- [`{name}`](../{path}): {sentence}"


def index(root: Path = ROOT) -> str:
    """Return the text of docs/modules.md."""
    return "\n".join([HEAD.rstrip("\n"), *lines(root), ""])


def main(words: list[str]) -> int:
    """Write the index, or check with --check that it is up to date. Return the exit code."""
    try:
        text = index()
    except NoSentenceError as error:
        print(error, file=sys.stderr)
        return 1
    if words == ["--check"]:
        kept = ROOT / INDEX
        if kept.exists() and kept.read_text(encoding="utf-8") == text:
            return 0
        print(f"{INDEX} is out of date; run: sh scripts/index", file=sys.stderr)
        return 1
    (ROOT / INDEX).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
