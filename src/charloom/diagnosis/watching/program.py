"""Runs a user's program from its beginning, with changed numbers in its source, and watches its steps.

A watcher sees each line and each return of the user's own functions, and may stop the program.
"""

import ast
import contextlib
import os
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from charloom.diagnosis.watching.literal_texts import Literal, called_name
from charloom.diagnosis.watching.surroundings import Surroundings

# A program that does not come to an end is stopped after so many lines, or after so much processor time (s).
MOST_EVENTS: Final = 2_000_000
MOST_SECONDS: Final = 3.0
BETWEEN: Final = 1000  # number of lines and calls after which the time is looked at
SAMPLING: Final = (
    "sample",
    "generate",
    "write",
    "predict",
)  # parts of the names of functions that write texts
SHORT: Final = 3  # number of characters of a sample
# Functions whose whole numbers are not sizes.
NO_SIZES: Final = ("clip", "clamp", "clamp_", "clip_", "clip_grad_norm_", "clip_grad_value_", "seed", "manual_seed", "round", "print")  # fmt: skip


class OrderedSet(set[Any]):
    """A set whose characters come in their order, so that each text gives them the same ids."""

    def __iter__(self) -> Iterator[Any]:
        items = list(super().__iter__())
        return iter(sorted(items) if all(isinstance(one, str) for one in items) else items)


# A whole number in the source: its line and its column.
Spot = tuple[int, int]


class Stop(BaseException):
    """Stops a program; no code of the user catches it by accident."""


class Watcher(Protocol):
    """Sees a program run."""

    def watches(self, frame: types.FrameType) -> bool:
        """Return True if lines and the return of a function that begins now are to be seen; others cost no time.

        It sets `frame.f_trace_lines` to False if only the return is to be seen.
        """

    def line(self, frame: types.FrameType) -> None:
        """See that `frame` is about to run its line `frame.f_lineno`; may raise `Stop`."""

    def returned(self, frame: types.FrameType, value: Any) -> None:
        """See that a function returns `value`; may raise `Stop`."""

    def derived(self, loss: Any) -> None:
        """See that PyTorch has computed the gradients of a loss."""


@dataclass
class Loop:
    """A loop in the source.

    Attributes:
        line: the line that runs at the beginning of each iteration.
        end: the last line.
        targets: the variables that a for loop sets before each iteration.
    """

    line: int
    end: int
    targets: frozenset[str] = frozenset()


@dataclass
class Program:
    """A user's file as a program.

    Attributes:
        path: the file.
        tree: its source.
        loops: its loops, by the line that runs at the beginning of each iteration.
        numbers: the whole numbers in its source that may be sizes.
        named: those of them that have a name.
        literal: the text in its source that is replaced, too, if it reads no file.
    """

    path: Path
    tree: ast.Module
    loops: dict[int, Loop] = field(default_factory=dict)
    numbers: dict[Spot, int] = field(default_factory=dict)
    named: set[Spot] = field(default_factory=set)
    literal: Literal | None = None
    _code: dict[tuple[Any, ...], types.CodeType] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for node in ast.walk(self.tree):
            if isinstance(node, (ast.For, ast.While)):
                # A test such as True is not run, so the first statement marks the iterations of a while loop.
                line = node.body[0].lineno if isinstance(node, ast.While) else node.lineno
                self.loops[line] = Loop(line, node.end_lineno or node.lineno, targets_of(node))
        shorten_samples(self.tree)
        for node in possible_sizes(self.tree):
            self.numbers[node.lineno, node.col_offset] = int(str(node.value))
        self.named = named_numbers(self.tree)

    def code(self, changed: Mapping[Spot, int], text: str) -> types.CodeType:
        """Return the program's code with changed numbers, and with another text in its source."""
        key = (*sorted(changed.items()), text if self.literal else "")
        if key not in self._code:
            new: list[tuple[ast.Constant, Any]] = [
                (node, changed[node.lineno, node.col_offset])
                for node in ast.walk(self.tree)
                if isinstance(node, ast.Constant) and (node.lineno, node.col_offset) in changed
            ]
            if self.literal is not None:
                new += self.literal.nodes(text)
            old = [node.value for node, _ in new]
            for node, value in new:
                node.value = value
            try:
                self._code[key] = compile(self.tree, str(self.path), "exec", dont_inherit=True)
            finally:
                for (node, _), value in zip(new, old, strict=True):
                    node.value = value
        return self._code[key]

    def run(self, text: str, watcher: Watcher, changed: Mapping[Spot, int]) -> BaseException | None:
        """Run the program until it ends or `watcher` stops it; return the error that ended it, or None."""
        module = types.ModuleType("__main__")
        module.__file__ = str(self.path)
        vars(module)["set"] = OrderedSet
        code = self.code(changed, text)
        before = set(sys.modules)
        main = sys.modules["__main__"]
        surroundings = Surroundings(text, self.path.parent)
        try:
            sys.modules["__main__"] = module
            with surroundings.active(), traced(self.path.parent, watcher):
                exec(code, vars(module))
        except Stop:
            return None
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            return error
        finally:
            sys.modules["__main__"] = main
            for name in set(sys.modules) - before:
                source = getattr(sys.modules[name], "__file__", None)
                if source and Path(source).parent == self.path.parent:
                    del sys.modules[name]
        return None


@contextlib.contextmanager
def traced(folder: Path, watcher: Watcher) -> Any:
    """Tell `watcher` what the code of a folder does during the `with` block."""
    start = str(folder) + os.sep
    left = MOST_EVENTS
    stopped = False
    begun = time.thread_time()

    def tell(see: Callable[..., Any], *seen: Any) -> Any:
        nonlocal stopped, left
        left -= 1
        late = left % BETWEEN == 0 and time.thread_time() - begun > MOST_SECONDS
        if stopped or left < 0 or late:
            stopped = True
            raise Stop
        try:
            return see(*seen)
        except Stop:
            stopped = True
            raise

    def local(frame: types.FrameType, event: str, value: Any) -> Any:
        if event == "line":
            tell(watcher.line, frame)
        elif event == "return":
            tell(watcher.returned, frame, value)
        return local

    def trace(frame: types.FrameType, _event: str, _value: Any) -> Any:
        if not frame.f_code.co_filename.startswith(start):
            return None
        return local if tell(watcher.watches, frame) else None

    torch = sys.modules.get("torch")
    old = sys.gettrace()
    real: Any = torch.Tensor.backward if torch is not None else None

    def backward(loss: Any, *args: Any, **options: Any) -> None:
        real(loss, *args, **options)
        tell(watcher.derived, loss)

    try:
        if torch is not None:
            torch.Tensor.backward = backward
        sys.settrace(trace)
        yield
    finally:
        sys.settrace(old)
        if torch is not None:
            torch.Tensor.backward = real


def targets_of(node: ast.For | ast.While) -> frozenset[str]:
    """Return the variables that a for loop sets before each iteration; none for a while loop."""
    names = ast.walk(node.target) if isinstance(node, ast.For) else ()
    return frozenset(one.id for one in names if isinstance(one, ast.Name))


def possible_sizes(tree: ast.Module) -> Iterable[ast.Constant]:
    """Yield the whole numbers in a program that are larger than 1, without limits and seeds."""
    others = {
        id(part)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and called_name(node) in NO_SIZES
        for argument in (*node.args, *(keyword.value for keyword in node.keywords))
        for part in outside_calls(argument)
    }
    for node in ast.walk(tree):
        size = node.value if isinstance(node, ast.Constant) and id(node) not in others else 0
        if isinstance(node, ast.Constant) and type(size) is int and size > 1:
            yield node


def shorten_samples(tree: ast.Module) -> None:
    """Let a program write short samples: they take most of the time of an iteration, and nobody reads them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and any(w in called_name(node).lower() for w in SAMPLING):
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                if (
                    isinstance(argument, ast.Constant)
                    and type(argument.value) is int
                    and argument.value > SHORT
                ):
                    argument.value = SHORT


def outside_calls(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the parts of an expression that are not in a call inside it."""
    yield node
    if not isinstance(node, ast.Call):
        for part in ast.iter_child_nodes(node):
            yield from outside_calls(part)


def named_numbers(tree: ast.Module) -> set[Spot]:
    """Return the whole numbers that a program gives a name: by assignment, as a default, as an argument, or in a dict."""
    found: list[Any] = []
    for node in ast.walk(tree):
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            value = node.value
            found += value.elts if isinstance(value, (ast.Tuple, ast.List)) else [value]
        elif isinstance(node, ast.arguments):
            found += [*node.defaults, *node.kw_defaults]
        elif isinstance(node, ast.Call):
            found += [*node.args, *(keyword.value for keyword in node.keywords)]
        elif isinstance(node, ast.Dict):
            found += node.values
    return {(one.lineno, one.col_offset) for one in found if isinstance(one, ast.Constant)}
