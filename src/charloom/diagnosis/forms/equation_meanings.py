"""Finds out what a plain cell's parameters and gradients are from the equations, whatever their names.

In `tanh(A @ x[t] + B @ s[t - 1] + p)`, A is U, B is W and p is b, because s is what the tanh gives. A
gradient belongs to the parameter of which `zeros_like` makes it, or that is updated by it. This module
reads only the source.
"""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from charloom.diagnosis.forms.file_contents import (
    Contents,
    FunctionFacts,
    base_name,
)
from charloom.diagnosis.forms.name_roles import VALUE_FIELDS, is_state, role_of_argument
from charloom.diagnosis.forms.parameter_layout import Layout, Part, layouts_of

PRODUCTS: Final = ("dot", "matmul", "inner", "mm", "matvec", "mv")
SQUASHING: Final = ("tanh", "relu", "maximum", "sigmoid", "arctan", "softsign")
JOINING: Final = ("concatenate", "hstack", "vstack", "r_", "c_", "append")
SIGMOIDS: Final = ("sigmoid", "sigm", "expit", "logistic")
DEEPEST_SUMS: Final = 4  # number of variables that are replaced by their values, one in another
MATRIX_LETTERS: Final = ("A", "O", "C")  # as names of states these letters are small
MEMORIES: Final = ("m", "v", "cache", "acc")  # beginnings of the names of an optimizer's arrays
MEMORY: Final = "meanings"  # the key of `Contents.memory`


@dataclass(frozen=True)
class Meanings:
    """What names mean by the equations of a file.

    Attributes:
        blocks: the block, such as "U", of each name of a parameter.
        gradients: the name of the parameter of each name of a gradient.
    """

    blocks: dict[str, str] = field(default_factory=dict)
    gradients: dict[str, str] = field(default_factory=dict)

    def layouts_of(self, names: Iterable[str], cell: str = "") -> list[Layout]:
        """Return the networks that arrays can be by their names and by the equations, the likeliest first."""
        names = list(dict.fromkeys(names))
        usual = layouts_of(names, cell)
        if cell not in ("", "rnn") or any(one.has_gates for one in usual):
            return usual
        parts: dict[str, Part] = {}
        known = usual[0].parts if usual else {}
        for name, part in ((n, Part(b)) for n in names if (b := self.blocks.get(n))):
            if part not in parts.values():
                parts[name] = part
        for name, part in known.items():
            if name not in parts and part not in parts.values():
                parts[name] = part
        one = Layout("rnn", {name: parts[name] for name in names if name in parts})
        is_new = {"U", "W"} <= one.blocks and one not in usual
        return [one, *usual] if is_new else usual

    def parameter_of(self, gradient: str) -> str:
        """Return the parameter to which a gradient belongs by the equations; "" if they do not say."""
        return self.gradients.get(gradient, "")


def meanings_of(contents: Contents) -> Meanings:
    """Return what names mean by the equations of a file; they are read only once."""
    if MEMORY not in contents.memory:
        functions = [
            *contents.functions.values(),
            *(f for one in contents.classes.values() for f in one.methods.values()),
        ]
        blocks: dict[str, str] = {}
        for facts in functions:
            for name, block in Equations(facts).blocks():
                blocks.setdefault(name, block)
        pairs = gradients_by_parameter(contents)
        gradients = {g: name for g, name in pairs.items() if name in blocks and g not in blocks}
        contents.memory[MEMORY] = Meanings(blocks, gradients)
    found: Meanings = contents.memory[MEMORY]
    return found


class Equations:
    """The equations of one function: its sums, and the variables that hold states."""

    def __init__(self, facts: FunctionFacts) -> None:
        self.facts = facts
        self.values: dict[str, list[ast.expr]] = {}
        self.aliases: dict[str, str] = {}
        for target, value in assigned_pairs(facts.node):
            name = base_name(target)
            if isinstance(target, ast.Name) and (shown := shown_name(value)):
                self.aliases[name] = shown
            elif name:
                self.values.setdefault(name, []).append(value)
        self.states = self.found_states()

    def found_states(self) -> set[str]:
        """Return the variables that hold what a squashing function gives, directly or through another one."""
        found = {
            name
            for name, values in self.values.items()
            if any(is_call(v, SQUASHING) for v in values)
            or (is_state(name) and name not in MATRIX_LETTERS)
        }
        for n in ast.walk(self.facts.node):
            if isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and len(n.args) == 1:
                kept = is_call(n.args[0], SQUASHING) or base_name(n.args[0]) in found
                if n.func.attr == "append" and kept:
                    found.add(base_name(n.func.value))
        for name, values in self.values.items():
            if any(isinstance(v, ast.Name) and v.id in found for v in values):
                found.add(name)
        return found

    def blocks(self) -> Iterator[tuple[str, str]]:
        """Yield the names of parameters with their blocks."""
        every = list(ast.walk(self.facts.node))
        if any(is_call(n, SIGMOIDS) for n in every) and any(is_call(n, ("tanh",)) for n in every):
            return  # the cell has gates
        inner: set[int] = set()
        sums: list[list[ast.expr]] = []
        for n in ast.walk(self.facts.node):
            if is_call(n, SQUASHING):
                for argument in n.args:  # type: ignore[attr-defined]
                    terms = self.terms(argument)
                    inner |= {id(m) for term in terms for m in ast.walk(term)}
                    sums.append(terms)
        found = [pair for terms in sums for pair in self.hidden(terms)]
        yield from found
        if not found:
            return
        known = {name for name, _ in found}
        for n in own_sums(self.facts.node):
            if id(n) not in inner:
                yield from self.output(self.terms(n), known)

    def hidden(self, terms: list[ast.expr]) -> list[tuple[str, str]]:
        """Return the parameters in the sum of a new state; [] if it has no product with an earlier one."""
        found: list[tuple[str, str]] = []
        for term in terms:
            factors = factors_of(term)
            if factors is None:
                continue
            name, other = self.parameter(factors)
            if name and is_joined(self.expanded(other)):
                found.append((name, "WU"))
            elif name:
                found.append((name, "W" if self.is_state(other) else "U"))
        if not {"W", "WU"} & {block for _, block in found}:
            return []
        return [*found, *((name, "b") for name in self.biases(terms))]

    def output(self, terms: list[ast.expr], known: set[str]) -> list[tuple[str, str]]:
        """Return the parameters in the sum of the output: the only product is that with a state."""
        products = [f for term in terms if (f := factors_of(term)) is not None]
        if len(products) != 1:
            return []
        name, other = self.parameter(products[0])
        if not name or name in known or not self.is_state(other) or is_transposed(other):
            return []
        return [(name, "V"), *((bias, "c") for bias in self.biases(terms))]

    def biases(self, terms: list[ast.expr]) -> Iterator[str]:
        """Yield the names of the terms of a sum that are single parameters."""
        for term in terms:
            name = self.name_of(term)
            if name and factors_of(term) is None and not self.is_variable(term):
                yield name

    def parameter(self, factors: tuple[ast.expr, ast.expr]) -> tuple[str, ast.expr]:
        """Return the name of the parameter in a product, "" if neither is one, and the other factor."""
        left, right = factors
        names = [self.name_of(left), self.name_of(right)]
        likely = [not self.is_variable(one) and not self.is_state(one) for one in factors]
        if likely[0] and likely[1]:
            likely[0] = role_of_argument(names[0]) != "x"
        if likely[0] and names[0]:
            return names[0], right
        return (names[1], left) if likely[1] else ("", left)

    def is_state(self, node: ast.expr) -> bool:
        """Return True if an expression shows a state: the variable of one, or an argument with such a name."""
        name = base_name(node)
        usual = is_state(name) and name not in self.aliases and name not in MATRIX_LETTERS
        return name in self.states or usual

    def is_variable(self, node: ast.expr) -> bool:
        """Return True if an expression shows a variable that the function computes, or an item by a position."""
        if is_item(node):
            return True
        name = base_name(node)
        return isinstance(root_of(node), ast.Name) and name in self.values

    def name_of(self, node: ast.expr) -> str:
        """Return the name of the parameter that an expression shows; "" if it shows none."""
        name = shown_name(node)
        return self.aliases.get(name, name)

    def terms(self, node: ast.expr, depth: int = 0) -> list[ast.expr]:
        """Return the terms of a sum; a variable in it that is a sum itself is replaced by its terms."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return [*self.terms(node.left, depth), *self.terms(node.right, depth)]
        inner = self.expanded(node) if depth < DEEPEST_SUMS else node
        return self.terms(inner, depth + 1) if inner is not node else [node]

    def expanded(self, node: ast.expr) -> ast.expr:
        """Return the only value of a variable if it is a sum, a product or a joined array; otherwise the node."""
        values = self.values.get(base_name(node), [])
        if len(values) != 1 or not isinstance(node, (ast.Name, ast.Subscript)):
            return node
        value = values[0]
        is_sum = isinstance(value, ast.BinOp) and isinstance(value.op, ast.Add)
        return value if is_sum or factors_of(value) or is_joined(value) else node


def assigned_pairs(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Yield the targets of assignments with their values, also those of `a, b = c, d` and `a += b`."""
    for n in ast.walk(node):
        if isinstance(n, ast.AugAssign):
            yield n.target, n.value
        if isinstance(n, ast.AnnAssign) and n.value is not None:
            yield n.target, n.value
        for target in n.targets if isinstance(n, ast.Assign) else ():
            value = n.value  # type: ignore[attr-defined]
            if isinstance(target, (ast.Tuple, ast.List)) and isinstance(
                value, (ast.Tuple, ast.List)
            ):
                yield from zip(target.elts, value.elts, strict=False)
            elif not isinstance(target, (ast.Tuple, ast.List)):
                yield target, value


def own_sums(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions of a function that are sums or products, but not parts of a larger sum."""
    for child in ast.iter_child_nodes(node):
        if (isinstance(child, ast.BinOp) and isinstance(child.op, ast.Add)) or (
            isinstance(child, ast.expr) and factors_of(child) is not None
        ):
            yield child
        else:
            yield from own_sums(child)


def factors_of(node: ast.expr) -> tuple[ast.expr, ast.expr] | None:
    """Return the factors of a product of matrices; None for other expressions.

    A column by an id, such as `Wxh[:, k]`, is the product with a one-hot vector.
    """
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
        return node.left, node.right
    if isinstance(node, ast.Call) and isinstance(node.func, (ast.Attribute, ast.Name)):
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
        if name in PRODUCTS and len(node.args) == 2:
            return node.args[0], node.args[1]
        if name in PRODUCTS and len(node.args) == 1 and isinstance(node.func, ast.Attribute):
            return node.func.value, node.args[0]
        if name == "reshape" and isinstance(node.func, ast.Attribute):
            return factors_of(node.func.value)
    if is_row(node):
        return node.value, node  # type: ignore[attr-defined]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Tuple):
        chosen = node.slice.elts[-1]
        whole = isinstance(node.slice.elts[0], ast.Slice)
        if whole and len(node.slice.elts) == 2 and isinstance(chosen, (ast.Name, ast.Subscript)):
            return node.value, node
    return None


def is_row(node: ast.expr) -> bool:
    """Return True for the row of a matrix by an id, such as `Wxh[k]` or `p["E"][ids[t]]`: a one-hot row times it."""
    if not isinstance(node, ast.Subscript) or isinstance(node.slice, (ast.Tuple, ast.Slice)):
        return False
    if not isinstance(node.slice, (ast.Name, ast.Subscript)):
        return False
    return isinstance(node.value, (ast.Name, ast.Attribute, ast.Subscript))


def shown_name(node: ast.expr) -> str:
    """Return the name that `W`, `self.W`, `p["W"]`, `self.W.value` or `W.T` shows; "" for other expressions."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        if node.attr == "T" or (node.attr in VALUE_FIELDS and not isinstance(node.value, ast.Name)):
            return shown_name(node.value)
        return node.attr
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value if isinstance(node.slice.value, str) else ""
    return ""


def root_of(node: ast.expr) -> ast.expr:
    """Return the expression below the positions and `.T` of another one."""
    while isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and node.attr == "T"):
        node = node.value
    return node


def is_item(node: ast.expr) -> bool:
    """Return True for an item by a position that a variable gives, such as `xs[t]`."""
    return isinstance(node, ast.Subscript) and not isinstance(node.slice, ast.Constant)


def is_transposed(node: ast.expr) -> bool:
    """Return True for `array.T`."""
    return isinstance(node, ast.Attribute) and node.attr == "T"


def is_joined(node: ast.expr) -> bool:
    """Return True for a call that puts arrays one below another."""
    return is_call(node, JOINING) or (
        isinstance(node, ast.Subscript) and base_name(node.value) in JOINING
    )


def is_call(node: ast.AST, names: Iterable[str]) -> bool:
    """Return True for a call of a function or method with one of these names."""
    return isinstance(node, ast.Call) and (
        getattr(node.func, "attr", "") in names or getattr(node.func, "id", "") in names
    )


def gradients_by_parameter(contents: Contents) -> dict[str, str]:
    """Return the parameter of each gradient: that of its `zeros_like`, or that which is updated by it."""
    found: dict[str, str] = {}
    updated = list(pairs_of_updates(contents.tree))
    made = [
        (gradient, parameter)
        for gradient, parameter in pairs_of_zeros(contents.tree)
        if not gradient.lower().startswith(MEMORIES)
    ]
    for gradient, parameter in (*updated, *made):
        if gradient and parameter and gradient != parameter:
            found.setdefault(gradient, parameter)
    return found


def pairs_of_zeros(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each name to which `zeros_like(W)` is assigned, with the name of W."""
    for target, value in assigned_pairs(tree):
        if is_call(value, ("zeros_like",)) and value.args:  # type: ignore[attr-defined]
            yield shown_name(target), shown_name(value.args[0])  # type: ignore[attr-defined]
    for n in ast.walk(tree):
        if not (isinstance(n, ast.Assign) and isinstance(n.targets[0], (ast.Tuple, ast.List))):
            continue
        value = n.value
        if not isinstance(value, (ast.ListComp, ast.GeneratorExp)):
            continue
        if is_call(value.elt, ("zeros_like", "zeros")):
            names = items(value.generators[0].iter, tree)
            yield from zip(map(shown_name, n.targets[0].elts), names, strict=False)


def items(node: ast.expr, tree: ast.AST) -> list[str]:
    """Return the names in a tuple, or of the variables into which the variable `node` is unpacked."""
    if isinstance(node, (ast.Tuple, ast.List)):
        return [shown_name(item) for item in node.elts]
    for n in ast.walk(tree):
        if not (isinstance(n, ast.Assign) and isinstance(n.targets[0], (ast.Tuple, ast.List))):
            continue
        if ast.unparse(n.value) == ast.unparse(node):
            return [shown_name(item) for item in n.targets[0].elts]
    return []


def pairs_of_updates(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the gradient and the parameter of each `W -= rate * dW`, also in a loop over `zip`."""
    for n in ast.walk(tree):
        if isinstance(n, ast.AugAssign) and isinstance(n.op, (ast.Sub, ast.Add)):
            value = n.value
            if isinstance(value, ast.BinOp) and isinstance(value.op, ast.Mult):
                yield shown_name(value.right), shown_name(n.target)
        if isinstance(n, ast.For) and is_call(n.iter, ("zip",)):
            lists = [items(one, tree) for one in n.iter.args]  # type: ignore[attr-defined]
            if len(lists) > 1 and updates(n):
                yield from zip(lists[1], lists[0], strict=False)


def updates(loop: ast.For) -> bool:
    """Return True if a loop over parameters and gradients subtracts from its first variable."""
    first = loop.target.elts[0] if isinstance(loop.target, ast.Tuple) else loop.target
    return any(
        isinstance(n, ast.AugAssign) and base_name(n.target) == base_name(first)
        for n in ast.walk(loop)
    )
