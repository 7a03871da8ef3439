"""Finds the global variables that a user's functions read and whose values follow from the sizes or the parameters.

A wrapper sets the sizes and the parameters again in each call, so it must compute such variables again:
`z_size = H_size + X_size`, or a buffer `dWxh = np.zeros_like(Wxh)`. This module reads only the source.
"""

import ast
import builtins
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from charloom.diagnosis.forms.file_contents import (
    Contents,
    Definition,
    FunctionFacts,
    base_name,
    name_of,
)
from charloom.diagnosis.forms.gradient_sources import stripped
from charloom.diagnosis.forms.name_roles import GRADIENT_FIELDS, size_of
from charloom.diagnosis.forms.passing import SIZES

# Parts of the names of variables whose length is the size of the vocabulary.
VOCABULARY: Final = (
    "char",
    "vocab",
    "toix",
    "toidx",
    "toindex",
    "toid",
    "alphabet",
    "symbols",
    "letters",
)
TO_IDS: Final = (
    "toix",
    "toidx",
    "toindex",
    "toid",
    "toint",
    "stoi",
    "c2i",
    "char2i",
    "char2id",
    "ch2i",
)
RANDOM: Final = ("rand", "normal", "uniform", "choice", "shuffle")


@dataclass(frozen=True)
class Assignment:
    """One assignment at the top level: the variable, the statement's line, and the assigned value."""

    name: str
    line: int
    value: ast.expr


def assignments(contents: Contents) -> list[Assignment]:
    """Return the assignments of single names at the top level, in the order of the source."""
    return [one for node in contents.tree.body for one in of_statement(node)]


def of_statement(node: ast.stmt) -> Iterator[Assignment]:
    """Yield the assignments in a statement; `a, b = 1, 2` has two."""
    if isinstance(node, (ast.If, ast.With)):
        for child in node.body:
            yield from of_statement(child)
    if isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
        yield Assignment(node.target.id, node.lineno, node.value)
    if not isinstance(node, ast.Assign):
        return
    for target in node.targets:
        if isinstance(target, ast.Name):
            yield Assignment(target.id, node.lineno, node.value)
        elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            for one, value in zip(target.elts, node.value.elts, strict=False):
                if isinstance(one, ast.Name):
                    yield Assignment(one.id, node.lineno, value)


def size_role(one: Assignment) -> str:
    """Return "K", "H" or another role of a size (`name_roles.size_of`) that an assignment gives; "" if none."""
    if is_length_of_vocabulary(one.value):
        return "K"
    if isinstance(one.value, ast.Attribute) and (role := size_of(name_of(one.value))):
        return role  # such as args.hidden_size
    role = size_of(one.name)
    if len(one.name) > 1 or (isinstance(one.value, ast.Constant) and type(one.value.value) is int):
        return role
    return ""


def last_role(needed: Sequence[Assignment], roles: dict[str, str]) -> dict[str, str]:
    """Return the role of the only whole number without one: K if H is known, or H if K is known; or {}.

    `needed` are the assignments of the variables that the functions use.
    """
    missing = {"K", "H"} - set(roles.values())
    left = {
        one.name
        for one in needed
        if is_size(one.value) and one.name not in roles and not stripped(one.name)
    }
    if len(left) > 1:
        left &= {"V", "D", "A", "N"} if missing == {"K"} else {"N", "M"}
    return {left.pop(): missing.pop()} if len(missing) == len(left) == 1 else {}


def is_length_of_vocabulary(value: ast.expr) -> bool:
    """Return True for `len(chars)`, `len(set(text))` and the like."""
    if not (isinstance(value, ast.Call) and name_of(value.func) == "len" and value.args):
        return False
    inner = value.args[0]
    if isinstance(inner, ast.Call) and name_of(inner.func) == "set":
        return True
    word = name_of(inner).lower().replace("_", "")
    return any(part in word for part in VOCABULARY)


def global_lines(
    contents: Contents, reached: Sequence[FunctionFacts], parameters: Iterable[str]
) -> list[str]:
    """Return the lines that set the sizes which functions read, and what follows from them and the parameters.

    Args:
        contents: what the file defines.
        reached: the functions that are called.
        parameters: the global variables that the wrapper sets itself.
    """
    parameters = set(parameters)
    known = assignments(contents)
    read = {name for f in reached for name in f.read_globals | f.declared_global} - parameters
    needed = closure(read, known, parameters)
    zeroed = is_zeroed_elsewhere(contents, reached)
    shapes = roles_by_shapes(known, parameters)
    roles = {
        one.name: role
        for one in known
        if one.name in needed and (role := shapes.get(one.name) or size_role(one))
    }
    roles |= last_role([one for one in known if one.name in needed], roles)
    own = {one.name for one in known} | set(contents.functions) | set(contents.classes)
    roles |= {n: r for n in sorted(read - own) if len(n) > 1 and (r := size_of(n))}
    roles = {name: role for name, role in roles.items() if name not in parameters}
    lines = [f"net.{name} = {SIZES[role]}" for name, role in sorted(roles.items())]
    lines += held_sizes(contents, reached, own)
    for name in sorted(read & own):
        if is_mapping(name, known):
            lines.append(f"net.{name} = dict(zip(range(K), range(K)))  # ids stand for characters")
    changed = parameters | set(roles)
    buffers: list[Assignment] = []
    for one in known:
        if one.name in changed or one.name not in needed or is_random(one.value):
            continue
        if names_in(one.value) & changed:
            changed.add(one.name)
            makers = names_in(one.value) & set(contents.functions)
            if any(
                is_random(n)
                for name in makers
                for n in ast.walk(contents.functions[name].node)
                if isinstance(n, ast.expr)
            ):
                if one.name in read:
                    lines.append(f"net.{one.name} = fixed({in_module(one.value)})")
            elif stripped(one.name):
                buffers.append(one)
            else:
                lines.append(f"net.{one.name} = {in_module(one.value)}")
    return [*lines, *buffer_lines(buffers, zeroed)]


def is_zeroed_elsewhere(contents: Contents, reached: Sequence[FunctionFacts]) -> bool:
    """Return True if only code outside the called functions, such as a training loop, sets gradients to zero."""
    if any(sets_to_zero(f.node) for f in reached):
        return False
    inside = {id(n) for f in reached for n in ast.walk(f.node)}
    loops = [
        n
        for n in ast.walk(contents.tree)
        if isinstance(n, (ast.For, ast.While, *Definition.__args__)) and id(n) not in inside
    ]
    starts = [n for n in loops if getattr(n, "name", "") not in ("__init__", "__post_init__")]
    return any(sets_to_zero(n) for n in starts)


def sets_to_zero(node: ast.AST) -> bool:
    """Return True if a piece of source sets gradients to zero: by fill, zeros_like, `[...] = 0` or `*= 0`."""
    for n in ast.walk(node):
        if isinstance(n, ast.Call) and name_of(n.func) in ("fill", "zero_", "zero_grad"):
            return True
        if isinstance(n, ast.AugAssign) and isinstance(n.op, ast.Mult) and is_zero(n.value):
            return True
        if isinstance(n, ast.Assign) and (is_zero(n.value) or "zeros" in ast.unparse(n.value)):
            for target in n.targets:
                name = target.attr if isinstance(target, ast.Attribute) else base_name(target)
                if stripped(name) or name in GRADIENT_FIELDS:
                    return True
    return False


def is_zero(node: ast.expr) -> bool:
    """Return True for the constants 0 and 0.0."""
    return isinstance(node, ast.Constant) and node.value == 0 and node.value is not False


def buffer_lines(buffers: Sequence[Assignment], zeroed: bool) -> list[str]:
    """Return the lines that make the arrays of the gradients again for other sizes, or in every call.

    Only if other code sets them to zero before a call (`zeroed`) are they made in every call. So the
    wrapper does not hide that the user's functions forget to set them to zero.
    """
    if not buffers:
        return []
    return [
        "buffers = {",
        *(f'    "{one.name}": {in_module(one.value)},' for one in buffers),
        "}",
        *(
            ["vars(net).update(buffers)  # as your own code does before each call"]
            if zeroed
            else [
                "for name, new in buffers.items():",
                "    if np.shape(getattr(net, name, None)) != np.shape(new):  # for other sizes",
                "        setattr(net, name, new)",
            ]
        ),
    ]


def roles_by_shapes(known: Sequence[Assignment], parameters: set[str]) -> dict[str, str]:
    """Return the sizes that the assignments of the parameters show, such as n in `Whh = randn(n, n)`.

    A variable that stands twice in the assignment of a matrix is H. The other one in such an assignment is K.
    """
    sizes = {one.name for one in known if is_size(one.value)}
    pairs = [
        [n.id for n in ast.walk(one.value) if isinstance(n, ast.Name) and n.id in sizes]
        for one in known
        if one.name in parameters
    ]
    units = {names[0] for names in pairs if len(names) > 1 and len(set(names)) == 1}
    if len(units) != 1:
        return {}
    others = {n for names in pairs if len(names) == len(set(names)) == 2 for n in names} - units
    return {next(iter(units)): "H", **({next(iter(others)): "K"} if len(others) == 1 else {})}


def is_mapping(name: str, known: Sequence[Assignment]) -> bool:
    """Return True if a variable is a dict from characters to ids, such as char_to_ix."""
    word = name.lower().replace("_", "")
    return any(part in word for part in TO_IDS) and any(
        one.name == name and isinstance(one.value, (ast.DictComp, ast.Dict, ast.Call))
        for one in known
    )


def is_size(value: ast.expr) -> bool:
    """Return True for a whole number, `len(…)` or an attribute, which may be sizes."""
    if isinstance(value, ast.Constant):
        return type(value.value) is int
    return isinstance(value, ast.Attribute) or (
        isinstance(value, ast.Call) and name_of(value.func) in ("len", "int")
    )


def held_sizes(contents: Contents, reached: Sequence[FunctionFacts], own: set[str]) -> list[str]:
    """Return the lines that set sizes in an object or a dict of the module, such as args.hidden_size."""
    lines: dict[str, None] = {}
    for f in reached:
        bases = {name: name for name in f.read_globals & own} | {
            a: base for a, base in f.global_defaults().items() if base in own
        }
        for name, base in sorted(bases.items()):
            frozen = is_frozen(contents, base)
            for attribute in f.attributes_of(name):
                if len(attribute) > 1 and (role := size_of(attribute)):
                    line = f"net.{base}.{attribute} = {SIZES[role]}"
                    if frozen:
                        line = f'object.__setattr__(net.{base}, "{attribute}", {SIZES[role]})'
                    lines[line] = None
            for key in f.keys_of(name):
                if len(key) > 1 and (role := size_of(key)):
                    lines[f'net.{base}["{key}"] = {SIZES[role]}'] = None
    return list(lines)


def is_frozen(contents: Contents, name: str) -> bool:
    """Return True if a variable is an instance of a frozen dataclass of the file."""
    for one in assignments(contents):
        made = (
            contents.classes.get(name_of(one.value.func))
            if isinstance(one.value, ast.Call)
            else None
        )
        if one.name == name and made is not None:
            return any("frozen" in ast.unparse(mark) for mark in made.node.decorator_list)
    return False


def closure(read: set[str], known: Sequence[Assignment], stop: set[str]) -> set[str]:
    """Return the variables in `read`, and those from which their values are computed, up to those in `stop`."""
    found = set(read)
    for _ in range(len(known)):
        more = {
            name for one in known if one.name in found - stop for name in names_in(one.value)
        } - found
        if not more:
            break
        found |= more
    return found


def names_in(value: ast.expr) -> set[str]:
    """Return the names in an expression."""
    return {n.id for n in ast.walk(value) if isinstance(n, ast.Name)}


def is_random(value: ast.expr) -> bool:
    """Return True if an expression draws random numbers."""
    calls = [n.func for n in ast.walk(value) if isinstance(n, ast.Call)]
    return any(word in ast.unparse(f) for f in calls for word in RANDOM)


def in_module(value: ast.expr) -> str:
    """Return the source of an expression of the user's module, for use in the wrapper."""
    own = ast.parse(ast.unparse(value), mode="eval").body
    return ast.unparse(InModule(value).visit(own))


class InModule(ast.NodeTransformer):
    """Puts `net.` before the names of the user's module in an expression, but not before np."""

    def __init__(self, value: ast.expr) -> None:
        self.bound = {
            n.id
            for n in ast.walk(value)
            if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
        }

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """Return `net.NAME` for a name that is neither np, nor built in, nor bound in the expression."""
        if node.id == "np" or node.id in self.bound or hasattr(builtins, node.id):
            return node
        return ast.Attribute(ast.Name("net", ast.Load()), node.id, ast.Load())
