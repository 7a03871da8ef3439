"""Print the texts of the source code, for a reader who has not seen the code.

    python benchmarks/sentences.py docstrings --count 100 --seed 13
    python benchmarks/sentences.py help | errors | messages | page | comments

There are many docstrings, comments and messages: `--count` and `--seed` select some of them at random. A
placeholder in a message is printed in braces: "{path} holds no run". A comment at the end of a line is
printed with that line.
"""

import argparse
import ast
import io
import random
import re
import signal
import tokenize
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

SOURCES = Path(__file__).parents[1] / "src" / "charloom"
STATIC = SOURCES / "web" / "static"
WORDS = re.compile(r"[A-Za-z]\S*\s+\S+\s+\S")  # fewer than three words are not a sentence
JS_STRING = re.compile(r'"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`|\'((?:[^\'\\\n]|\\.)*)\'')
JS_COMMENT = re.compile(r"(?m)^\s*(?://|\*|/\*\*?)\s?(.*?)(?:\s*\*/)?$")

DIRECTIVE = re.compile(r"(?:#\s*)?(?:fmt:|noqa|type:|pragma:|ruff:)")  # comments for tools
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

Text = tuple[str, str]  # the place and the text


def modules() -> Iterator[tuple[str, ast.Module, str]]:
    """Yield each Python module's name, syntax tree and source."""
    for path in sorted(SOURCES.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        yield str(path.relative_to(SOURCES)), ast.parse(source), source


def docstrings() -> Iterator[Text]:
    """Yield the docstring of each module, class and function."""
    for name, tree, _ in modules():
        text = ast.get_docstring(tree)
        if text:
            yield f"{name} ", text
        yield from ((f"{name} {head}", text) for head, text in definitions(tree, ""))


def definitions(node: ast.AST, outer: str) -> Iterator[Text]:
    """Yield the signature and the docstring of each definition in `node`.

    The names of a class's methods begin with `outer`, the name of the class and a full stop.
    """
    for child in ast.iter_child_nodes(node):
        inner = outer
        if isinstance(child, Definition):
            text = ast.get_docstring(child)
            if text:
                yield signature(child, outer), text
            inner = f"{outer}{child.name}." if isinstance(child, ast.ClassDef) else outer
        yield from definitions(child, inner)


def signature(node: Definition, outer: str) -> str:
    """Return the name of a class, or a function's name with its parameters."""
    if isinstance(node, ast.ClassDef):
        return f"class {outer}{node.name}"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{outer}{node.name}({ast.unparse(node.args)}){returns}"


def comments() -> Iterator[Text]:
    """Yield each block of comments, and each comment at the end of a line together with the line."""
    for name, _, source in modules():
        yield from ((name, text) for text in comments_in(source) if WORDS.search(text))


def comments_in(source: str) -> Iterator[str]:
    """Yield the comments of a module. Comments for tools, such as noqa, are left out."""
    block: list[str] = []
    last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        text, (number, column) = token.string.lstrip("#!: "), token.start
        if token.type != tokenize.COMMENT or DIRECTIVE.match(text):
            continue
        code = token.line[:column].strip()
        if block and (code or number != last + 1):
            yield " ".join(block)
            block = []
        if code:
            yield f"{text}\n    {code}"
        else:
            block.append(text)
        last = number
    if block:
        yield " ".join(block)


def spelled(node: ast.AST) -> str:
    """Return a string expression's words, with placeholders in braces; "" for another expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            f"{{{ast.unparse(part.value)}}}"
            if isinstance(part, ast.FormattedValue)
            else spelled(part)
            for part in node.values
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return spelled(node.left) + spelled(node.right)
    return ""


def strings(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the kind ("help", "errors" or "messages") and the text of each string with words."""

    def visit(node: ast.AST, kind: str) -> Iterator[tuple[str, str]]:
        text = spelled(node)
        if text:
            if WORDS.search(text):
                yield kind, text
            return
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            return  # a docstring
        if isinstance(node, ast.Raise):
            kind = "errors"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called.endswith(("Error", "Mistake", "Refusal")):
                kind = "errors"
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.keyword) and child.arg == "help":
                yield from visit(child.value, "help")
            else:
                yield from visit(child, kind)

    yield from visit(tree, "messages")


def texts(kind: str) -> Iterator[Text]:
    """Yield the strings of one kind: help, errors or messages."""
    for name, tree, _ in modules():
        yield from ((name, text) for found, text in strings(tree) if found == kind)


class VisibleText(HTMLParser):
    """Collects the texts that a page shows, and those for screen readers."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.hidden += tag in {"script", "style"}
        self.found += [
            value
            for name, value in attrs
            if name in {"title", "placeholder", "aria-label", "alt"} and value
        ]

    def handle_endtag(self, tag: str) -> None:
        self.hidden -= tag in {"script", "style"}

    def handle_data(self, data: str) -> None:
        if not self.hidden and data.strip():
            self.found.append(" ".join(data.split()))


def page() -> Iterator[Text]:
    """Yield each text of the page, including the texts in its scripts."""
    for path in sorted(STATIC.glob("*.html")):
        reader = VisibleText()
        reader.feed(path.read_text(encoding="utf-8"))
        yield from ((path.name, text) for text in reader.found)
    for path in sorted(STATIC.glob("*.js")):
        code = re.sub(r"(?m)^\s*(//|\*|/\*).*$", "", path.read_text(encoding="utf-8"))
        for groups in JS_STRING.findall(code):
            text = next((group for group in groups if group), "")
            if WORDS.search(text):
                yield path.name, text


def main() -> None:
    """Print the selected texts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "kind", choices=["docstrings", "comments", "help", "errors", "messages", "page"]
    )
    parser.add_argument(
        "--count", type=int, help="number of texts to select at random; default: all"
    )
    parser.add_argument("--seed", type=int, default=13, help="seed of the selection")
    parser.add_argument(
        "--within", default="", help="only files with this path prefix, such as web/"
    )
    options = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a traceback
    kinds = {"docstrings": docstrings, "comments": comments, "page": page}
    found = list(kinds[options.kind]() if options.kind in kinds else texts(options.kind))
    found = [text for text in found if text[0].startswith(options.within)]
    drawn = found
    if options.count is not None and options.count < len(found):
        drawn = random.Random(options.seed).sample(found, options.count)
    print(f"{len(drawn)} of {len(found)} {options.kind}\n")
    for number, (where, text) in enumerate(drawn, 1):
        print(f"[{number}] {where}\n{text}\n")


if __name__ == "__main__":
    main()
