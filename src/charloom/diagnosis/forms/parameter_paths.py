"""Follows parameters through nested tuples, lists, dicts and objects in the source of a user's functions.

`forget, *_ = params` and `W, b = forget` show that `params[0][0]` is an array, which the user calls W of
forget. This module sees only source, and knows no networks.
"""

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from charloom.diagnosis.forms.file_contents import Contents, Definition, FunctionFacts, name_of

DEEPEST_CALLS: Final = 5  # calls inside one another that are followed
GATES: Final = 4  # largest number of gates over which a loop runs
# Attributes of arrays and methods of arrays and dicts, which are not names of parameters.
OF_ARRAYS: Final = (
    "T", "shape", "size", "ndim", "dtype", "copy", "dot", "reshape", "ravel", "flatten", "sum", "items", "keys",
    "values", "get", "append", "transpose", "tolist", "update", "setdefault", "astype", "mean", "max", "min", "pop",
)  # fmt: skip
SAME: Final = ("reshape", "copy", "astype", "asarray", "array", "list", "tuple", "transpose", "T")
UNPACKING: Final = ("reshape", "resize")


class Step(NamedTuple):
    """One step of a path: an index, a key, an attribute, or a piece of a flat vector.

    `kind` is "index", "key", "attribute" or "piece".
    """

    kind: str
    key: Any

    @property
    def source(self) -> str:
        """The step as Python source behind an expression."""
        return f".{self.key}" if self.kind == "attribute" else f"[{self.key!r}]".replace("'", '"')


class Path(NamedTuple):
    """The place of an array: the variable that holds it, and the steps from there.

    `root` is an argument, "net.NAME" for a global variable, or "self.NAME" for an attribute.
    """

    root: str
    steps: tuple[Step, ...] = ()

    def then(self, kind: str, key: Any) -> "Path":
        """Return the path one step further."""
        return Path(self.root, (*self.steps, Step(kind, key)))

    @property
    def suffix(self) -> str:
        """The steps as Python source."""
        return "".join(step.source for step in self.steps)


class Several(NamedTuple):
    """The values of a tuple or a list that a function returns or assigns."""

    items: tuple[Any, ...]


class Many(NamedTuple):
    """The paths that an expression takes while a loop runs."""

    paths: tuple[Path, ...]


class Constants(NamedTuple):
    """The constants that a variable of a loop takes."""

    values: tuple[Any, ...]


@dataclass
class PathReader:
    """Reads functions, and notes each path that they use and the variable that takes it.

    Attributes:
        contents: what the file defines.
        owner: the class whose methods are read; "" for functions.
        globals: the global variables that may hold parameters.
        read: the paths that were used, in the order of the source.
        labels: the variable that took a path first.
    """

    contents: Contents
    owner: str = ""
    globals: frozenset[str] = frozenset()
    read: dict[Path, None] = field(default_factory=dict)
    labels: dict[Path, str] = field(default_factory=dict)
    pieces: dict[int, int] = field(default_factory=dict)
    running: list[str] = field(default_factory=list)

    def run(self, facts: FunctionFacts, env: dict[str, Any]) -> Any:
        """Read a function whose arguments have the values in `env`; return the value that it returns."""
        self.running.append(facts.name)
        returned: list[Any] = []
        self.block(facts.node.body, env, returned)
        self.running.pop()
        return returned[-1] if returned else None

    def block(self, body: Sequence[ast.stmt], env: dict[str, Any], returned: list[Any]) -> None:
        """Read statements one after another."""
        for node in body:
            if isinstance(node, (*Definition.__args__, ast.ClassDef)):
                continue
            if isinstance(node, ast.Assign):
                value = self.value(node.value, env)
                for target in node.targets:
                    self.bind(target, value, env)
            elif isinstance(node, ast.Return) and node.value is not None:
                returned.append(self.value(node.value, env))
            else:
                if isinstance(node, ast.For):
                    self.bind_loop(node.target, node.iter, env)
                for child in ast.iter_child_nodes(node):
                    if isinstance(child, ast.expr):
                        self.value(child, env)
                for name in ("body", "orelse", "finalbody"):
                    self.block(getattr(node, name, []), env, returned)

    def bind(self, target: ast.expr, value: Any, env: dict[str, Any]) -> None:
        """Give a value to the target of an assignment."""
        if isinstance(target, (ast.Tuple, ast.List)):
            for n, item in enumerate(target.elts):
                if isinstance(value, Several):
                    inner = value.items[n] if n < len(value.items) else None
                else:
                    inner = value.then("index", n) if isinstance(value, Path) else None
                self.bind(item, inner, env)
            return
        if not isinstance(target, ast.Name):
            self.value(target, env)
            return
        env[target.id] = value
        if isinstance(value, Path):
            self.note(value)
            self.labels.setdefault(value, target.id)

    def bind_loop(self, target: ast.expr, over: ast.expr, env: dict[str, Any]) -> None:
        """Give a loop's variable the constants over which it runs, if they are in the source."""
        over = self.literal(over, env)
        values = constants_of(over)
        inner = [over] if values else getattr(over, "args", [])
        name = name_of(over.func) if isinstance(over, ast.Call) else ""
        targets = [target]
        if name in ("enumerate", "zip") and isinstance(target, ast.Tuple):
            targets = target.elts[1:] if name == "enumerate" else target.elts
        for one, item in zip(targets, inner, strict=False):
            if isinstance(one, ast.Name):
                found = constants_of(self.literal(item, env))
                env[one.id] = Constants(found) if found else None

    def literal(self, node: ast.expr, env: dict[str, Any]) -> ast.expr:
        """Return what the module assigns to a global variable, such as a tuple of names; otherwise `node`."""
        if not isinstance(node, ast.Name) or node.id in env:
            return node
        values = [
            n.value
            for n in self.contents.tree.body
            if isinstance(n, ast.Assign)
            and any(isinstance(t, ast.Name) and t.id == node.id for t in n.targets)
        ]
        return values[-1] if values else node

    def value(self, node: ast.expr, env: dict[str, Any]) -> Any:
        """Return the value of an expression as far as it is known, and note the paths in it."""
        if isinstance(node, ast.Name):
            found = env.get(node.id)
            if node.id not in env and node.id in self.globals:
                found = Path(f"net.{node.id}")
            if isinstance(found, Path):
                self.note(found)
            return found
        if isinstance(node, ast.Attribute):
            return self.attribute(node, env)
        if isinstance(node, ast.Subscript):
            return self.subscript(node, env)
        if isinstance(node, ast.Call):
            return self.call(node, env)
        if isinstance(node, ast.Constant):
            return Constants((node.value,))
        if isinstance(node, (ast.Tuple, ast.List)):
            return Several(tuple(self.value(item, env) for item in node.elts))
        if isinstance(node, (ast.ListComp, ast.DictComp, ast.GeneratorExp, ast.SetComp)):
            env = dict(env)
            for loop in node.generators:
                self.bind_loop(loop.target, loop.iter, env)
        for child in ast.walk(node) if isinstance(node, ast.Lambda) else ast.iter_child_nodes(node):
            if isinstance(child, ast.expr) and child is not node:
                self.value(child, env)
            elif isinstance(child, ast.comprehension):
                self.value(child.iter, env)
        return None

    def attribute(self, node: ast.Attribute, env: dict[str, Any]) -> Any:
        """Return the value of `base.name`."""
        if isinstance(node.value, ast.Name) and env.get(node.value.id) == Path("self"):
            found = Path(f"self.{node.attr}")
            self.note(found)
            return found
        base = self.value(node.value, env)
        if not isinstance(base, Path):
            return None
        if node.attr in OF_ARRAYS:
            return base if node.attr in SAME else None
        found = base.then("attribute", node.attr)
        self.note(found)
        return found

    def subscript(self, node: ast.Subscript, env: dict[str, Any]) -> Any:
        """Return the value of `base[key]`; a slice of a vector is one of its pieces."""
        base = self.value(node.value, env)
        if isinstance(node.slice, ast.Slice):
            for part in (node.slice.lower, node.slice.upper):
                if part is not None:
                    self.value(part, env)
        else:
            self.value(node.slice, env)
        if isinstance(base, Several) and isinstance(node.slice, ast.Constant):
            key = node.slice.value
            return base.items[key] if isinstance(key, int) and key < len(base.items) else None
        if isinstance(base, Many):
            keys = keys_of(node.slice, env)
            longer = [
                p.then("index" if isinstance(k, int) else "key", k)
                for p in base.paths
                for k in keys
            ]
            for path in longer:
                self.note(path)
            return Many(tuple(longer)) if longer else None
        if not isinstance(base, Path):
            return None
        if isinstance(node.slice, ast.Slice):
            number = self.pieces.setdefault(id(node), len(self.pieces))
            found = base.then("piece", number)
            self.note(found)
            return found
        keys = keys_of(node.slice, env)
        paths = [base.then("index" if isinstance(k, int) else "key", k) for k in keys]
        for path in paths:
            self.note(path)
        return paths[0] if len(paths) == 1 else Many(tuple(paths)) if paths else None

    def call(self, node: ast.Call, env: dict[str, Any]) -> Any:
        """Return the value of a call, and read the user's function that it calls."""
        given = [self.value(a.value if isinstance(a, ast.Starred) else a, env) for a in node.args]
        named = {w.arg: self.value(w.value, env) for w in node.keywords}
        facts = self.called(node.func, env)
        name = name_of(node.func) if isinstance(node.func, (ast.Name, ast.Attribute)) else ""
        if facts is None:
            base = self.value(node.func, env)
            if name in SAME and isinstance(base, Path):
                return base
            first = given[0] if given else None
            if name in ("split", "array_split") and isinstance(first, Path):
                return first.then("piece", "all")
            return first if name in SAME and isinstance(first, Path) else None
        if facts.name in self.running or len(self.running) > DEEPEST_CALLS:
            return None
        inner: dict[str, Any] = dict(zip(facts.arguments, given, strict=False))
        if any(isinstance(a, ast.Starred) for a in node.args) and facts.star:
            inner[facts.star] = given[-1]
        inner |= {w: v for w, v in named.items() if w}
        if None in named and facts.double_star:
            inner[facts.double_star] = named[None]
        if facts.instance:
            inner[facts.instance] = Path("self")
        vector = next((v for v in given if isinstance(v, Path)), None)
        if vector is not None and unpacks(facts):
            return vector.then("piece", "all")
        return self.run(facts, inner)

    def called(self, func: ast.expr, env: dict[str, Any]) -> FunctionFacts | None:
        """Return the user's function or method that a call calls; None if it is not the user's."""
        if isinstance(func, ast.Name) and func.id not in env:
            return self.contents.functions.get(func.id)
        owner = self.contents.classes.get(self.owner)
        base = func.value if isinstance(func, ast.Attribute) else None
        if owner is None or not isinstance(base, ast.Name) or not isinstance(func, ast.Attribute):
            return None
        own = env.get(base.id) == Path("self") or base.id == self.owner
        return owner.methods.get(func.attr) if own else None

    def note(self, path: Path) -> None:
        """Note that a path is used."""
        if path.root != "self":
            self.read.setdefault(path)


def keys_of(node: ast.expr, env: dict[str, Any]) -> list[Any]:
    """Return the constants that a key can be: a constant, a loop's variable, or a text with such parts."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int)):
        return [node.value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.operand, ast.Constant):
        return []
    if isinstance(node, ast.Name):
        found = env.get(node.id)
        return list(found.values) if isinstance(found, Constants) else []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = keys_of(node.left, env), keys_of(node.right, env)
        return [a + b for a in left for b in right if isinstance(a, str) and isinstance(b, str)]
    if isinstance(node, ast.JoinedStr):
        found = [""]
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            found = [a + str(b) for a in found for b in keys_of(inner, env)]
        return found
    return []


def constants_of(node: ast.expr) -> tuple[Any, ...]:
    """Return the constants over which a loop runs: the letters of a text, or the items of a tuple; or ()."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return tuple(node.value)
    if isinstance(node, ast.Call) and name_of(node.func) == "range" and len(node.args) == 1:
        number = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        return tuple(range(number)) if isinstance(number, int) and number <= GATES else ()
    if isinstance(node, (ast.Tuple, ast.List)):
        values = [n.value for n in node.elts if isinstance(n, ast.Constant)]
        return tuple(values) if len(values) == len(node.elts) else ()
    return ()


def unpacks(facts: FunctionFacts) -> bool:
    """Return True if a function cuts a vector into arrays: it takes slices and changes shapes."""
    nodes = list(ast.walk(facts.node))
    return any(
        isinstance(n, ast.Subscript)
        and isinstance(n.slice, ast.Slice)
        and isinstance(n.value, ast.Name)
        and n.value.id in facts.arguments
        for n in nodes
    ) and bool(facts.called & set(UNPACKING))


def leaves(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield the paths that are not the beginning of another one."""
    paths = list(paths)
    longer = {Path(p.root, p.steps[:n]) for p in paths for n in range(len(p.steps))}
    yield from (p for p in paths if p not in longer)
